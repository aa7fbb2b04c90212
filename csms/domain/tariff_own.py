"""
What rentals and exchanges are priced by, beside the OCPI document: the member `extra` of a tariff.

Its parts are `held_time` (seconds that a driver holds an item), `deliveries` (packs handed out),
`battery_energy` (Wh taken from packs), `late` (seconds after the item was due), `deposit`, and
`deemed_purchase` (an item so late that it counts as sold).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal, NamedTuple
from uuid import UUID

from csms.base.errors import Refused
from csms.base.money import from_minor
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH, round_up_to_step
from csms.domain.tariff_lines import Exact, Line, adjustment, sum_excl, sum_incl
from csms.domain.tariff_reading import count, listed, number, object_, only
from csms.domain.tariff_tax import PRICE_MAX, Tax, vat_of

Name = Literal["held_time", "deliveries", "battery_energy", "late"]
UNITS: Mapping[Name, tuple[str, str, int]] = {
    "held_time": ("HELD_TIME", "s", SECONDS_PER_HOUR),
    "deliveries": ("DELIVERIES", "delivery", 1),
    "battery_energy": ("BATTERY_ENERGY", "Wh", WH_PER_KWH),
    "late": ("LATE", "s", SECONDS_PER_HOUR),
}
"""The dimension of its line, the unit it counts in, and how many of them a price is for."""
VOUCHER_UNITS: Mapping[str, tuple[str, Name | None]] = {
    "wh": ("Wh", "battery_energy"),
    "sec": ("s", "held_time"),
    "cnt": ("delivery", "deliveries"),
    "val": ("minor", None),
}
"""What a voucher's units are called in a bill, and the part of the tariff that they cover; value covers all of it."""
Basis = Literal["soc", "net", "throughput"]
BASES: Mapping[object, Basis] = {"soc": "soc", "net": "net", "throughput": "throughput"}
TIERS_MAX = 100

FREE_WITHIN_S, GRACE_S = 300, 1_800
"""Where a tariff says nothing: what is back so soon costs nothing; late is what comes so much after its time."""

_KEYS = frozenset(
    {*UNITS, "delivery_wh", "battery_basis", "deposit", "deemed_purchase", "due_after", "grace", "free_within"}
)


@dataclass(frozen=True, slots=True)
class Tier:
    """From this quantity on the whole costs `fee`, and `price` per unit (hour, delivery, kWh) above `start`."""

    start: int
    fee: Fraction
    price: Fraction


@dataclass(frozen=True, slots=True)
class Rate:
    """Tiers in rising order, the first from 0; the quantity is rounded up to `step_size` first."""

    name: Name
    tiers: tuple[Tier, ...]
    step_size: int
    vat_percent: Fraction | None

    def fee(self, quantity: int) -> Fraction:
        """What a quantity costs, in exact units of the currency. Never less for more."""
        steps = Fraction(round_up_to_step(quantity, self.step_size))
        tier = [tier for tier in self.tiers if tier.start <= steps][-1]
        return tier.fee + tier.price * (steps - tier.start) / UNITS[self.name][2]


@dataclass(frozen=True, slots=True)
class Deemed:
    """An item that is `after_s` late counts as bought for `price`."""

    after_s: int
    price: Fraction
    vat_percent: Fraction | None


@dataclass(frozen=True, slots=True)
class Own:
    """
    The part of a tariff beside OCPI; `deposit` in exact units of the currency, 0 for none.

    An item is due `due_s` after it was taken (None: never), late `grace_s` after that, and free of
    charge when it is back within `free_s`. Who takes more than `delivery_wh` from a pack had more than one delivery.
    """

    rates: tuple[Rate, ...]
    battery_basis: Basis
    deposit: Fraction
    deemed: Deemed | None
    tax: Tax
    due_s: int | None = None
    grace_s: int = GRACE_S
    free_s: int = FREE_WITHIN_S
    delivery_wh: int | None = None

    def rate(self, name: Name) -> Rate | None:
        """How a quantity is priced, None where it is not."""
        return next((rate for rate in self.rates if rate.name == name), None)

    def deliveries(self, battery_wh: int) -> int:
        """How many deliveries a use counts as: one, or one for each `delivery_wh` that was begun."""
        return 1 if not self.delivery_wh else max(1, -(-battery_wh // self.delivery_wh))

    @property
    def tells_tax(self) -> bool:
        """Whether each part says its VAT."""
        parts = [rate.vat_percent for rate in self.rates] + ([] if self.deemed is None else [self.deemed.vat_percent])
        return None not in parts


class Drawn(NamedTuple):
    """
    What one use takes of one voucher: `units` of its unit, which release `minor` of what was paid for it.

    `value` is the part of a price that is not asked for it, in exact units of the currency, tax included, and
    `value_excl` the same without (None: with its share of the whole price's tax); 0 where quantities are taken out
    of the use instead. No units are taken where only the voucher's price for what goes beyond it counts.
    `funded_by` is the account that pays `minor` for a gift.
    """

    voucher_id: UUID
    unit: Literal["wh", "sec", "cnt", "val"]
    units: int
    minor: int
    currency: str
    vat_percent: Fraction
    value: Fraction = Fraction(0)
    value_excl: Fraction | None = None
    funded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """
    What was used beside energy and time of charging; whole seconds, deliveries and Wh.

    `damage` is what staff found broken, in exact units of the currency, tax included. `bought` False: however
    late, it does not count as sold (yet). What vouchers cover (`voucher.cover`) is `drawn`, and no longer among the
    quantities; `overuse` is what a unit (kWh, hour, delivery) beyond them costs, tax included, if the tariff asks more.
    """

    held_s: int = 0
    deliveries: int = 0
    battery_wh: int = 0
    late_s: int = 0
    damage: Fraction = Fraction(0)
    bought: bool = True
    drawn: tuple[Drawn, ...] = ()
    overuse: tuple[tuple[Name, Fraction], ...] = ()

    @property
    def drawn_minor(self) -> int:
        """What vouchers release for it."""
        return sum(part.minor for part in self.drawn)

    def of(self, name: Name) -> int:
        """The quantity that a part of the tariff prices."""
        match name:
            case "held_time":
                return self.held_s
            case "deliveries":
                return self.deliveries
            case "battery_energy":
                return self.battery_wh
            case "late":
                return self.late_s


def read(document: object, tax: Tax, at: str) -> Own:
    """Read `extra`; refused with its place when a tier would make more cost less."""
    document = object_(document, at)
    only(document, _KEYS, at)
    rates = [_rate(name, document[name], tax, f"{at}/{name}") for name in UNITS if document.get(name) is not None]
    told = document.get("battery_basis", "soc")
    basis = BASES.get(told) if isinstance(told, str) else None
    if basis is None:
        raise Refused(f"battery_basis is one of {', '.join(BASES.values())}", f"{at}/battery_basis")
    deposit = number(document.get("deposit", 0), PRICE_MAX, f"{at}/deposit")
    deemed = document.get("deemed_purchase")
    due, quota = document.get("due_after"), document.get("delivery_wh")
    return Own(
        tuple(rates),
        basis,
        deposit,
        None if deemed is None else _deemed(deemed, tax, f"{at}/deemed_purchase"),
        tax,
        None if due is None else count(due, f"{at}/due_after"),
        count(document.get("grace", GRACE_S), f"{at}/grace"),
        count(document.get("free_within", FREE_WITHIN_S), f"{at}/free_within"),
        None if quota is None else _quota(quota, f"{at}/delivery_wh"),
    )


def _quota(document: object, at: str) -> int:
    found = count(document, at)
    if found == 0:
        raise Refused("a delivery has at least 1 Wh", at)
    return found


def _rate(name: Name, document: object, tax: Tax, at: str) -> Rate:
    document = object_(document, at)
    only(document, frozenset({"tiers", "step_size", "vat"}), at)
    tiers = [
        _tier(tier, f"{at}/tiers/{place}")
        for place, tier in enumerate(listed(document.get("tiers"), TIERS_MAX, f"{at}/tiers"))
    ]
    if tiers[0].start != 0:
        raise Refused("the first tier begins at 0", f"{at}/tiers/0/from")
    for place, (low, high) in enumerate(pairwise(tiers), start=1):
        if high.start <= low.start:
            raise Refused("tiers are written in rising order", f"{at}/tiers/{place}/from")
        if high.fee < low.fee + low.price * (high.start - low.start) / UNITS[name][2]:
            raise Refused("more would cost less: raise this fee", f"{at}/tiers/{place}/fee")
    return Rate(name, tuple(tiers), count(document.get("step_size", 1), f"{at}/step_size"), vat_of(document, tax, at))


def _tier(document: object, at: str) -> Tier:
    document = object_(document, at)
    only(document, frozenset({"from", "fee", "price"}), at)
    fee, price = (number(document.get(name, 0), PRICE_MAX, f"{at}/{name}") for name in ("fee", "price"))
    return Tier(count(document.get("from", 0), f"{at}/from"), fee, price)


def _deemed(document: object, tax: Tax, at: str) -> Deemed:
    document = object_(document, at)
    only(document, frozenset({"after", "price", "vat"}), at)
    after_s = count(document.get("after"), f"{at}/after")
    return Deemed(after_s, number(document.get("price"), PRICE_MAX, f"{at}/price"), vat_of(document, tax, at))


def calculate(used: Used, own: Own, currency: str) -> Exact:
    """
    The unrounded price of what was used, a line per part.

    Lateness, damage and the deemed purchase together never exceed the deposit, where one was held.
    """
    lines = [_line(rate, used, own.tax) for rate in own.rates if used.of(rate.name) > 0]
    deemed = own.deemed
    if used.damage:
        lines.append(Line("DAMAGE", 1, "item", used.damage, None, used.damage, used.damage))
    if deemed is not None and used.bought and used.late_s >= deemed.after_s > 0:
        excl, incl = own.tax.sides(deemed.price, deemed.vat_percent)
        lines.append(Line("DEEMED_PURCHASE", 1, "item", deemed.price, deemed.vat_percent, excl, incl))
    late = [line for line in lines if line.dimension in ("LATE", "DAMAGE", "DEEMED_PURCHASE")]
    excl, incl = sum_excl(late), sum_incl(late)
    if own.deposit and incl is not None and incl > own.deposit:
        less = None if excl is None else excl * own.deposit / incl - excl
        lines.append(adjustment("NOT_CHARGED", less, own.deposit - incl))
    lines += with_vouchers(lines, used.drawn)
    return Exact(currency, tuple(lines), sum_excl(lines), sum_incl(lines))


def with_vouchers(lines: Sequence[Line], drawn: Sequence[Drawn]) -> list[Line]:
    """The lines of vouchers; what they pay for is taken off in a line of its own."""
    excl, incl = sum_excl(lines), sum_incl(lines)
    found = [_drawn(part) for part in drawn if part.units]
    covered, less = Fraction(0), None if excl is None else Fraction(0)
    for part in drawn:
        covered += part.value
        if less is not None and excl is not None and incl:
            less += excl * part.value / incl if part.value_excl is None else part.value_excl
    if covered and incl:
        found.append(adjustment("COVERED", None if less is None else -less, -covered))
    return found


def _line(rate: Rate, used: Used, tax: Tax) -> Line:
    """A rate's line; its unit price is the mean, because tiers have several. Never above the price of over-use."""
    dimension, unit, per = UNITS[rate.name]
    quantity = used.of(rate.name)
    fee = rate.fee(quantity)
    excl, incl = tax.sides(fee, rate.vat_percent)
    beyond = dict(used.overuse).get(rate.name)
    if beyond is not None and incl is not None and beyond * quantity / per < incl:
        most = beyond * quantity / per
        excl, fee, incl = None if excl is None else excl * most / incl, most, most
    return Line(dimension, quantity, unit, fee * per / quantity, rate.vat_percent, excl, incl)


def _drawn(part: Drawn) -> Line:
    """What a voucher covers, at what was paid for it."""
    incl = from_minor(part.minor, part.currency)
    excl = incl * 100 / (100 + part.vat_percent)
    unit, _ = VOUCHER_UNITS[part.unit]
    return Line("VOUCHER", part.units, unit, incl / part.units, part.vat_percent, excl, incl)
