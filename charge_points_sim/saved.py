"""What a voucher must take of charges, reckoned apart from the system from the readings that were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Any

from charge_points_sim.habit import line, quarters, within
from charge_points_sim.prices import Price
from charge_points_sim.scenarios.charge import Charge

DAY_S = 86_400
HALF = Fraction(1, 2)
Terms = Mapping[str, Any]
"""A voucher, an offer or a product of REST: its price, amount, effect and conditions."""


@dataclass(frozen=True, slots=True)
class Reckoned:
    """A charge with a voucher, in cents: its price without, what is paid now, and what the voucher has earned by it."""

    charge: Charge
    price_minor: int
    covered_wh: int
    value_minor: int
    paid_minor: int
    released_minor: int

    @property
    def saved_minor(self) -> int:
        """The voucher's own price for what it covered taken off."""
        return self.price_minor - self.paid_minor - self.released_minor


def reckon(charges: Sequence[Charge], price: Price, voucher: Terms, amount_wh: int) -> list[Reckoned]:
    """Each charge, in the order of time, with a voucher of so many Wh that is new before the first."""
    found: list[Reckoned] = []
    left, whole = amount_wh, int(voucher["price"]["minor"])
    for charge in charges:
        units, saving = 0, Fraction(0)
        for _, low, high in within(line(charge), voucher.get("conditions") or {}):
            high = min(high, Fraction(floor(low) + left))
            taken = floor(high) - floor(low)
            units, left = units + taken, left - taken
            saving += (high - low) * per_wh(price, voucher)
            if not left:
                break
        exact = exact_minor(price, charge)
        used = amount_wh - left
        released = released_minor(whole, amount_wh, used) - released_minor(whole, amount_wh, used - units)
        found.append(
            Reckoned(charge, floor(exact + HALF), units, floor(saving + HALF), floor(exact - saving + HALF), released)
        )
    return found


def released_minor(price_minor: int, total: int, used: int) -> int:
    """What so much of a voucher has earned of its price: the cumulative rule, half up."""
    return floor(Fraction(price_minor * used, total) + HALF)


def per_wh(price: Price, voucher: Terms) -> Fraction:
    """Cents that a voucher takes off a Wh."""
    whole = Fraction(price.per_kwh * (1000 + price.tax), 100 * 1000 * 1000)
    effect = voucher.get("effect") or {"kind": "included"}
    percent = Fraction(str(effect["percent"])) if effect["kind"] == "percent_off" else Fraction(100)
    return whole * percent / 100


def exact_minor(price: Price, charge: Charge) -> Fraction:
    """The price without a voucher in cents, not rounded."""
    hours = Fraction(charge.departure - charge.arrival, 3600)
    net = price.per_kwh * Fraction(charge.delivered_wh, 1000) + price.per_hour * hours + price.flat
    return net * Fraction(1000 + price.tax, 1000) / 100


@dataclass(frozen=True, slots=True)
class Tried:
    """What a product would have saved in every window of its days, its price taken off, in cents."""

    nets: Sequence[Fraction]

    @property
    def expected_minor(self) -> int:
        """The mean, rounded down."""
        return floor(sum(self.nets) / len(self.nets))

    @property
    def worst_minor(self) -> int:
        """The least."""
        return floor(min(self.nets))

    @property
    def gain(self) -> Fraction:
        """The share of windows in which money was saved."""
        return Fraction(sum(net > 0 for net in self.nets), len(self.nets))


def try_out(charges: Sequence[Charge], price: Price, product: Terms, now: int, days: int) -> Tried:
    """A product over all windows of the last `days`, of what is kept: whole Wh of quarters of an hour."""
    length, begin = product["valid_days"], now - days * DAY_S
    takes = sorted(
        (at, low, high)
        for charge in charges
        for part in pairwise(quarters(line(charge)))
        for at, low, high in within(part, product.get("conditions") or {})
    )
    nets = []
    for day in range(days - length + 1):
        first = begin + day * DAY_S
        left, wh = int(product["amount"]), Fraction(0)
        for at, low, high in takes:
            if first <= at < first + length * DAY_S and left:
                high = min(high, Fraction(floor(low) + left))
                left -= floor(high) - floor(low)
                wh += high - low
        nets.append(wh * per_wh(price, product) - int(product["price"]["minor"]))
    return Tried(nets)
