"""OCPI Tariff documents (2.3.0; 2.2.1 is read too), read into the values that `tariff.py` prices with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from csms.base.errors import Refused
from csms.base.money import SCALES
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH

Dimension = Literal["ENERGY", "TIME", "FLAT"]
DIMENSIONS: Mapping[str, Dimension] = {"ENERGY": "ENERGY", "TIME": "TIME", "FLAT": "FLAT"}
UNITS: Mapping[Dimension, tuple[str, int]] = {
    "ENERGY": ("Wh", WH_PER_KWH),
    "TIME": ("s", SECONDS_PER_HOUR),
    "FLAT": ("session", 1),
}
"""The unit each dimension counts in, and how many of them a price is for."""
LATER = ("PARKING_TIME",)
TaxIncluded = Literal["YES", "NO", "N/A"]
TAX_INCLUDED: Mapping[str, TaxIncluded] = {"YES": "YES", "NO": "NO", "N/A": "N/A"}

SALES_TAX_COUNTRIES = frozenset({"CA", "US"})
SALES_TAX_CURRENCIES = frozenset({"CAD", "USD"})
"""Where taxes are no VAT: a component without `vat` has a tax that the tariff does not tell, not none."""

PLACES_MAX = 4
"""Decimals of OCPI numbers (2.3.0, types: number)."""
PRICE_MAX = 1_000_000_000
VAT_PERCENT_MAX = 100
STEP_MAX = 1_000_000_000
ELEMENTS_MAX = 100

_TARIFF_KEYS = frozenset(
    {
        *("country_code", "party_id", "id", "currency", "type", "tariff_alt_text", "tariff_alt_url"),
        *("min_price", "max_price", "preauthorize_amount", "elements", "tax_included"),
        *("start_date_time", "end_date_time", "energy_mix", "last_updated"),
    }
)
_COMPONENT_KEYS = frozenset({"type", "price", "vat", "step_size"})
_LIMIT_KEYS = {"before_taxes": "before_taxes", "after_taxes": "after_taxes", "excl_vat": "before_taxes"}
_LIMIT_KEYS["incl_vat"] = "after_taxes"


@dataclass(frozen=True, slots=True)
class Component:
    """
    The price of one dimension: per kWh (ENERGY), per hour (TIME) or per session (FLAT).

    `step_size` is in Wh or seconds, 0 for none. `vat_percent` is None where the tariff tells none.
    `excl_per_unit` and `incl_per_unit` are the price of one Wh, second or session without and with
    tax; the side that an untold tax hides is None.
    """

    dimension: Dimension
    price: Fraction
    step_size: int
    vat_percent: Fraction | None
    excl_per_unit: Fraction | None
    incl_per_unit: Fraction | None


@dataclass(frozen=True, slots=True)
class Tax:
    """What a tariff's prices are: with tax, without, or free of it; `untold` where a missing `vat` means unknown."""

    included: TaxIncluded
    untold: bool


@dataclass(frozen=True, slots=True)
class PriceLimit:
    """The least or the most that a session costs; each side, None for no limit, is applied on its own."""

    before_taxes: Fraction | None
    after_taxes: Fraction | None


@dataclass(frozen=True, slots=True)
class Tariff:
    """
    A tariff ready to price with; prices are exact units of `currency`.

    `components` has at most one component per dimension. `tax_included` says what the prices are:
    with tax, without, or free of it. `tax_known` is False where a tax is due that the document
    does not tell.
    """

    currency: str
    tax_included: TaxIncluded
    components: tuple[Component, ...]
    min_price: PriceLimit | None
    max_price: PriceLimit | None
    tax_known: bool


def parse(document: Mapping[str, object], *, tax_may_be_unknown: bool = False) -> Tariff:
    """
    Read an OCPI Tariff object (mod_tariffs of 2.3.0 and 2.2.1, where prices are without tax).

    Refused, with the JSON pointer of the place, for whatever is unknown, malformed, negative, too
    large or not supported yet (restrictions, PARKING_TIME, a validity period). A tariff whose tax
    is unknown cannot make a bill: it is refused too, unless `tax_may_be_unknown` (previews).
    """
    _only(document, _TARIFF_KEYS, "")
    for name in ("start_date_time", "end_date_time"):
        if document.get(name) is not None:
            raise Refused("a validity period is not supported yet; create a new version instead", f"/{name}")
    currency = document.get("currency")
    if not isinstance(currency, str) or currency not in SCALES:
        raise Refused(f"the currency {currency!r} is not known; known are {', '.join(SCALES)}", "/currency")
    told = document.get("tax_included")
    tax_included = TAX_INCLUDED.get("NO" if told is None else str(told))
    if tax_included is None:
        raise Refused("tax_included is YES, NO or N/A", "/tax_included")

    untold = tax_included != "N/A" and _has_sales_tax(document.get("country_code"), currency)
    components = _components(document.get("elements"), Tax(tax_included, untold))
    tax_known = not untold or all(component.vat_percent is not None for component in components)
    if not tax_known and not tax_may_be_unknown:
        raise Refused("the tax is unknown: give each component its vat, or set tax_included to N/A", "/elements")
    least, most = _limit(document, "min_price"), _limit(document, "max_price")
    _in_order(least, most)
    return Tariff(currency, tax_included, components, least, most, tax_known)


def _components(elements: object, tax: Tax) -> tuple[Component, ...]:
    """The component that counts of each dimension: without restrictions that is the first."""
    if not isinstance(elements, list) or not 0 < len(elements) <= ELEMENTS_MAX:
        raise Refused(f"elements is a list of 1 to {ELEMENTS_MAX} elements", "/elements")
    first: dict[Dimension, Component] = {}
    for number, element in enumerate(elements):
        at = f"/elements/{number}"
        element = _object(element, at)
        _only(element, frozenset({"price_components", "restrictions"}), at)
        if element.get("restrictions"):
            raise Refused("restrictions are not supported yet", f"{at}/restrictions")
        listed = element.get("price_components")
        if not isinstance(listed, list) or not 0 < len(listed) <= ELEMENTS_MAX:
            raise Refused(f"price_components is a list of 1 to {ELEMENTS_MAX} components", f"{at}/price_components")
        for index, document in enumerate(listed):
            component = _component(document, tax, f"{at}/price_components/{index}")
            first.setdefault(component.dimension, component)
    return tuple(first.values())


def _component(document: object, tax: Tax, at: str) -> Component:
    """One price component, in its own units."""
    document = _object(document, at)
    _only(document, _COMPONENT_KEYS, at)
    name = document.get("type")
    dimension = DIMENSIONS.get(name) if isinstance(name, str) else None
    if dimension is None:
        reason = f"{name} is not supported yet" if name in LATER else f"{name!r} is not a type of price component"
        raise Refused(f"{reason}; supported are {', '.join(DIMENSIONS)}", f"{at}/type")
    step_size = document.get("step_size", 1)
    if isinstance(step_size, bool) or not isinstance(step_size, int) or not 0 <= step_size <= STEP_MAX:
        raise Refused(f"step_size is a whole number from 0 to {STEP_MAX}", f"{at}/step_size")
    vat = document.get("vat")
    if vat is not None and tax.included == "N/A":
        raise Refused("tax_included N/A means no tax: leave vat out", f"{at}/vat")
    vat_percent = None if vat is None else _number(vat, VAT_PERCENT_MAX, f"{at}/vat")
    price = _number(document.get("price"), PRICE_MAX, f"{at}/price")
    excl, incl = _both_sides(price / UNITS[dimension][1], vat_percent, tax)
    return Component(dimension, price, step_size, vat_percent, excl, incl)


def _both_sides(amount: Fraction, vat_percent: Fraction | None, tax: Tax) -> tuple[Fraction | None, Fraction | None]:
    """An amount without and with tax; None for the side that an untold tax hides."""
    if vat_percent is None and tax.untold:
        return (None, amount) if tax.included == "YES" else (amount, None)
    factor = 1 + (vat_percent or 0) / Fraction(100)
    return (amount / factor, amount) if tax.included == "YES" else (amount, amount * factor)


def _limit(document: Mapping[str, object], name: str) -> PriceLimit | None:
    """`min_price` or `max_price`, by the names of 2.3.0 or of 2.2.1."""
    found = document.get(name)
    if found is None:
        return None
    found = _object(found, f"/{name}")
    _only(found, frozenset(_LIMIT_KEYS), f"/{name}")
    sides: dict[str, Fraction] = {}
    for key, value in found.items():
        if value is None:
            continue
        side = _LIMIT_KEYS[key]
        if side in sides:
            raise Refused(f"{side} is given twice", f"/{name}/{key}")
        sides[side] = _number(value, PRICE_MAX, f"/{name}/{key}")
    if not sides:
        raise Refused("a limit needs before_taxes, after_taxes or both", f"/{name}")
    before, after = sides.get("before_taxes"), sides.get("after_taxes")
    if before is not None and after is not None and after < before:
        raise Refused("after_taxes is below before_taxes", f"/{name}/after_taxes")
    return PriceLimit(before, after)


def _in_order(least: PriceLimit | None, most: PriceLimit | None) -> None:
    """Refuse a minimum above the maximum, on either side."""
    if least is None or most is None:
        return
    for low, high in ((least.before_taxes, most.before_taxes), (least.after_taxes, most.after_taxes)):
        if low is not None and high is not None and low > high:
            raise Refused("min_price is above max_price", "/min_price")


def _has_sales_tax(country: object, currency: str) -> bool:
    return country in SALES_TAX_COUNTRIES if country is not None else currency in SALES_TAX_CURRENCIES


def _number(value: object, most: int, at: str) -> Fraction:
    """A JSON number from 0 to `most`, exactly as it is written; a float counts as its shortest text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise Refused("a number is needed here", at)
    exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    if exact < 0:
        raise Refused("the number cannot be negative", at)
    if exact > most:
        raise Refused(f"the number cannot be above {most}", at)
    if (exact * 10**PLACES_MAX).denominator != 1:
        raise Refused(f"the number has more than {PLACES_MAX} decimals", at)
    return exact


def _object(value: object, at: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Refused("an object is needed here", at)
    return value


def _only(document: Mapping[str, object], known: frozenset[str], at: str) -> None:
    for name in document:
        if name not in known:
            raise Refused(f"{name!r} is not known here", f"{at}/{name}")
