"""The least and the most that a use costs: a tariff's own limits, what was held, and a bound known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from csms.base.money import from_minor
from csms.domain.tariff_document import Dimension, PriceLimit, Tariff
from csms.domain.tariff_lines import Line, Price, adjustment, sum_excl, sum_incl, vat_inside

Of = Callable[[Fraction, Fraction], Fraction]


def limited(tariff: Tariff, lines: Sequence[Line], *, charging: bool) -> list[Line]:
    """
    The lines that `min_price` and `max_price` add, each side limited on its own (OCPI 2.3.0 mod_tariffs).

    A reservation that expired is no charging session: the minimum is not asked for it.
    """
    more: list[Line] = []
    limits = (("MIN_PRICE", tariff.min_price if charging else None), ("MAX_PRICE", tariff.max_price))
    for name, limit in limits:
        if limit is not None and (line := _limit_line(name, limit, [*lines, *more])) is not None:
            more.append(line)
    return more


def _limit_line(name: str, limit: PriceLimit, lines: Sequence[Line]) -> Line | None:
    """What a limit adds or takes away."""
    bound: Of = max if name == "MIN_PRICE" else min
    excl_change = _change(sum_excl(lines), limit.before_taxes, bound)
    incl_change = _change(sum_incl(lines), limit.after_taxes, bound)
    if not excl_change and not incl_change:
        return None
    return adjustment(name, excl_change, incl_change)


def _change(total: Fraction | None, limit: Fraction | None, bound: Of) -> Fraction | None:
    """How much `bound` moves a total to its limit; None for an unknown total."""
    if total is None:
        return None
    return Fraction(0) if limit is None else bound(total, limit) - total


def cap(priced: Price, limit_minor: int) -> Price:
    """
    The price when only `limit_minor` was held: the fee is never above it.

    What is above becomes a line `NOT_CHARGED` with negative amounts, and the VAT follows the lower total.
    """
    assert limit_minor >= 0
    if priced.total_minor <= limit_minor:
        return priced
    incl = from_minor(limit_minor, priced.currency)
    excl = priced.exact_excl * incl / priced.exact_incl
    line = adjustment("NOT_CHARGED", excl - priced.exact_excl, incl - priced.exact_incl)
    vat_minor = vat_inside(limit_minor, excl, incl)
    return Price(limit_minor, vat_minor, (*priced.lines, line), excl, incl, priced.currency)


@dataclass(frozen=True, slots=True)
class Bound:
    """
    A use of E Wh in S seconds costs at most `flat + E * per_wh + S * per_s`, taxes included.

    Exact units of the currency. `most` is the tariff's `max_price`, None where it has none: no use
    costs more. Whatever element applies when: the dearest is taken, and a whole step may be rounded up.
    """

    flat: Fraction
    per_wh: Fraction
    per_s: Fraction
    most: Fraction | None

    def at(self, energy_wh: int | Fraction, seconds: int | Fraction) -> Fraction:
        """The bound of one use."""
        told = self.flat + energy_wh * self.per_wh + seconds * self.per_s
        return told if self.most is None else min(told, self.most)


def bound(tariff: Tariff) -> Bound:
    """
    An upper bound of what a use of whole Wh and seconds, without a reservation, costs.

    Exact for a tariff without restrictions, limits, and steps above 1.
    """
    energy, charging = _dearest(tariff, "ENERGY"), _dearest(tariff, "TIME")
    parking, flat = _dearest(tariff, "PARKING_TIME"), _dearest(tariff, "FLAT")
    steps = _dearest_step(tariff, ("ENERGY",)) + _dearest_step(tariff, ("TIME", "PARKING_TIME"))
    least = tariff.min_price.after_taxes if tariff.min_price is not None else None
    most = tariff.max_price.after_taxes if tariff.max_price is not None else None
    return Bound(max(flat + steps, least or Fraction(0)), energy, max(charging, parking), most)


def _dearest(tariff: Tariff, dimension: Dimension) -> Fraction:
    """The highest price per Wh, second or session that a dimension can have."""
    return max((incl for _, incl in _prices(tariff, (dimension,))), default=Fraction(0))


def _dearest_step(tariff: Tariff, dimensions: Sequence[Dimension]) -> Fraction:
    """The most that rounding up can add: less than a step; of whole usage, all but one unit of it."""
    short = 0 if tariff.needs_profile else 1
    return max((max(0, step - short) * incl for step, incl in _prices(tariff, dimensions)), default=Fraction(0))


def _prices(tariff: Tariff, dimensions: Sequence[Dimension]) -> list[tuple[int, Fraction]]:
    """Step and price with tax of each component that prices charging."""
    components = [c for element in tariff.elements if element.reserved is None for c in element.components]
    found = [c for c in components if c.dimension in dimensions]
    assert all(c.incl_per_unit is not None for c in found), "a tariff whose tax is unknown makes no bill"
    return [(c.step_size, c.incl_per_unit or Fraction(0)) for c in found]
