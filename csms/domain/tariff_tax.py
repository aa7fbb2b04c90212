"""What a tariff's prices are: with tax, without, or free of it; and the side of an amount that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from csms.base.errors import Refused
from csms.domain.tariff_reading import number

TaxIncluded = Literal["YES", "NO", "N/A"]
TAX_INCLUDED: Mapping[str, TaxIncluded] = {"YES": "YES", "NO": "NO", "N/A": "N/A"}

SALES_TAX_COUNTRIES = frozenset({"CA", "US"})
SALES_TAX_CURRENCIES = frozenset({"CAD", "USD"})
"""Where taxes are no VAT: a component without `vat` has a tax that the tariff does not tell, not none."""

PRICE_MAX = 1_000_000_000
VAT_PERCENT_MAX = 100


@dataclass(frozen=True, slots=True)
class Tax:
    """Whether prices include it; `untold` where a missing `vat` means unknown."""

    included: TaxIncluded
    untold: bool

    def sides(self, amount: Fraction, vat_percent: Fraction | None) -> tuple[Fraction | None, Fraction | None]:
        """An amount without and with tax; None for the side that an untold tax hides."""
        if vat_percent is None and self.untold:
            return (None, amount) if self.included == "YES" else (amount, None)
        factor = 1 + (vat_percent or 0) / Fraction(100)
        return (amount / factor, amount) if self.included == "YES" else (amount, amount * factor)


def tax_of(document: Mapping[str, object], currency: str) -> Tax:
    """The tax of a tariff; `tax_included` is NO where it is not told, as in 2.2.1."""
    told = document.get("tax_included")
    included = TAX_INCLUDED.get("NO" if told is None else str(told))
    if included is None:
        raise Refused("tax_included is YES, NO or N/A", "/tax_included")
    country = document.get("country_code")
    if not isinstance(country, str | None):
        raise Refused("country_code is two letters", "/country_code")
    sales_tax = country in SALES_TAX_COUNTRIES if country is not None else currency in SALES_TAX_CURRENCIES
    return Tax(included, included != "N/A" and sales_tax)


def vat_of(document: Mapping[str, object], tax: Tax, at: str) -> Fraction | None:
    """The VAT of a price in percent, None where none is told."""
    vat = document.get("vat")
    if vat is None:
        return None
    if tax.included == "N/A":
        raise Refused("tax_included N/A means no tax: leave vat out", f"{at}/vat")
    return number(vat, VAT_PERCENT_MAX, f"{at}/vat")
