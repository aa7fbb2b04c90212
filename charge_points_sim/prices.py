"""What the simulated providers charge, and what a charge must cost, reckoned apart from the system."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from charge_points_sim.scenarios.charge import Charge

CURRENCY = "USD"
HOLD_MINOR = 60_00
"""Set aside at a start: above the dearest real charge."""


@dataclass(frozen=True, slots=True)
class Price:
    """
    Prices without tax in hundredths of a cent, tax in tenths of a percent: integers, and exact.

    `operator_bp` basis points of a fee, and `operator_fixed_minor` cents, go to the operator.
    """

    id: str
    per_kwh: int
    per_hour: int
    flat: int
    tax: int
    operator_bp: int
    operator_fixed_minor: int = 0

    def fee_minor(self, charge: Charge) -> int:
        """The fee of a charge in cents, tax included: exact, rounded once, halves up. Without energy there is none."""
        if charge.delivered_wh == 0:
            return 0
        hours = Fraction(charge.departure - charge.arrival, 3600)
        exact = self.per_kwh * Fraction(charge.delivered_wh, 1000) + self.per_hour * hours + self.flat
        return int(exact * Fraction(1000 + self.tax, 1000) / 100 + Fraction(1, 2))

    def operator_minor(self, fee_minor: int) -> int:
        """The operator's share of a fee in cents."""
        return min(fee_minor, (fee_minor * self.operator_bp + 5000) // 10_000 + self.operator_fixed_minor)

    def document(self) -> dict[str, Any]:
        """The OCPI tariff."""
        parts = [("FLAT", self.flat), ("ENERGY", self.per_kwh), ("TIME", self.per_hour)]
        components = [
            {"type": kind, "price": price / 10_000, "vat": self.tax / 10, "step_size": 1}
            for kind, price in parts
            if price
        ]
        return {
            "country_code": "US",
            "party_id": "SIM",
            "id": self.id,
            "currency": CURRENCY,
            "tax_included": "NO",
            "elements": [{"price_components": components}],
            "last_updated": "2019-01-01T00:00:00Z",
        }


PRICES = (
    Price("energy-and-start", per_kwh=3000, per_hour=0, flat=10_000, tax=95, operator_bp=1000),
    Price("energy-and-time", per_kwh=2200, per_hour=2000, flat=0, tax=95, operator_bp=800, operator_fixed_minor=5),
)
"""Sites take them in turn."""


def of_site(sites: list[str], site: str) -> Price:
    """The price in force at a site."""
    return PRICES[sorted(sites).index(site) % len(PRICES)]
