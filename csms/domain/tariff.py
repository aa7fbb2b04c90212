"""Usage x tariff -> price: exact arithmetic line by line, one rounding at the total."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from csms.base.money import exact_text, from_minor, half_up, to_minor
from csms.base.units import round_up_to_step
from csms.domain.tariff_document import UNITS, PriceLimit
from csms.domain.tariff_document import Component as Component
from csms.domain.tariff_document import Tariff as Tariff
from csms.domain.tariff_document import parse as parse

Bound = Callable[[Fraction, Fraction], Fraction]


@dataclass(frozen=True, slots=True)
class Usage:
    """What was consumed: Wh and seconds of charging. Sessions have whole ones; previews may ask for parts."""

    energy_wh: int | Fraction
    seconds: int | Fraction

    def __post_init__(self) -> None:
        assert self.energy_wh >= 0
        assert self.seconds >= 0


@dataclass(frozen=True, slots=True)
class Line:
    """
    One line of a price; amounts are exact units of the currency, None where the tax is unknown.

    `dimension` is a tariff dimension, or `MIN_PRICE`, `MAX_PRICE`, `NOT_CHARGED` for what a limit
    adds or takes away. `quantity` counts `unit` after rounding up to the tariff's step;
    `unit_price` is per kWh, hour or session.
    """

    dimension: str
    quantity: int | Fraction
    unit: str
    unit_price: Fraction
    vat_percent: Fraction | None
    exact_excl: Fraction | None
    exact_incl: Fraction | None


@dataclass(frozen=True, slots=True)
class Exact:
    """An unrounded price: the lines sum to the totals, exactly. A side is None where the tax is unknown."""

    currency: str
    lines: tuple[Line, ...]
    exact_excl: Fraction | None
    exact_incl: Fraction | None


@dataclass(frozen=True, slots=True)
class Price:
    """
    What a use costs: `total_minor` includes `vat_minor`, both minor units of `currency`.

    The lines sum exactly to `exact_excl` and `exact_incl`; the total is `exact_incl`, rounded half up.
    """

    total_minor: int
    vat_minor: int
    lines: tuple[Line, ...]
    exact_excl: Fraction
    exact_incl: Fraction
    currency: str


def price(usage: Usage, tariff: Tariff) -> Price:
    """
    The price of a use under a tariff whose tax is known (`parse` sees to that).

    With tax inside the prices, VAT is taken out of the rounded total: `round(total * 10 / 110)` at
    10 percent. With tax on top, both totals are rounded and VAT is their difference.
    """
    exact = calculate(usage, tariff)
    excl, incl = exact.exact_excl, exact.exact_incl
    assert excl is not None
    assert incl is not None
    total_minor = to_minor(incl, tariff.currency)
    if tariff.tax_included == "NO":
        vat_minor = min(max(0, total_minor - to_minor(excl, tariff.currency)), total_minor)
    else:
        vat_minor = _vat_inside(total_minor, excl, incl)
    return Price(total_minor, vat_minor, exact.lines, excl, incl, tariff.currency)


def calculate(usage: Usage, tariff: Tariff) -> Exact:
    """The unrounded price of a use, line by line; OCPI 2.3.0 mod_tariffs, without restrictions."""
    lines = [_line(component, usage) for component in tariff.components]
    for name, limit in (("MIN_PRICE", tariff.min_price), ("MAX_PRICE", tariff.max_price)):
        if limit is not None and (line := _limit_line(name, limit, lines)) is not None:
            lines.append(line)
    return Exact(tariff.currency, tuple(lines), _excl(lines), _incl(lines))


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
    line = _adjustment("NOT_CHARGED", excl - priced.exact_excl, incl - priced.exact_incl)
    vat_minor = _vat_inside(limit_minor, excl, incl)
    return Price(limit_minor, vat_minor, (*priced.lines, line), excl, incl, priced.currency)


def as_json(line: Line) -> dict[str, str | None]:
    """A line as JSON: numbers as decimal text, at most 18 decimals."""
    return {
        "dimension": line.dimension,
        "quantity": exact_text(line.quantity),
        "unit": line.unit,
        "unit_price": exact_text(line.unit_price),
        "vat_percent": None if line.vat_percent is None else exact_text(line.vat_percent),
        "excl_vat": None if line.exact_excl is None else exact_text(line.exact_excl),
        "incl_vat": None if line.exact_incl is None else exact_text(line.exact_incl),
    }


def _line(component: Component, usage: Usage) -> Line:
    """The line of one component: the quantity in steps, times the price, without and with tax."""
    quantity: int | Fraction
    match component.dimension:
        case "ENERGY":
            quantity = round_up_to_step(usage.energy_wh, component.step_size)
        case "TIME":
            quantity = round_up_to_step(usage.seconds, component.step_size)
        case "FLAT":
            quantity = 1
    excl = None if component.excl_per_unit is None else component.excl_per_unit * quantity
    incl = None if component.incl_per_unit is None else component.incl_per_unit * quantity
    unit = UNITS[component.dimension][0]
    return Line(component.dimension, quantity, unit, component.price, component.vat_percent, excl, incl)


def _limit_line(name: str, limit: PriceLimit, lines: Sequence[Line]) -> Line | None:
    """What a limit adds or takes away, each side on its own (OCPI PriceLimit: both apply)."""
    bound: Bound = max if name == "MIN_PRICE" else min
    excl_change = _change(_excl(lines), limit.before_taxes, bound)
    incl_change = _change(_incl(lines), limit.after_taxes, bound)
    if not excl_change and not incl_change:
        return None
    return _adjustment(name, excl_change, incl_change)


def _change(total: Fraction | None, limit: Fraction | None, bound: Bound) -> Fraction | None:
    """How much `bound` moves a total to its limit; None for an unknown total."""
    if total is None:
        return None
    return Fraction(0) if limit is None else bound(total, limit) - total


def _adjustment(name: str, excl: Fraction | None, incl: Fraction | None) -> Line:
    unit_price = incl if incl is not None else excl
    assert unit_price is not None
    return Line(name, 1, "session", unit_price, None, excl, incl)


def _excl(lines: Sequence[Line]) -> Fraction | None:
    """The sum without tax; one unknown line makes it unknown."""
    total = lines[0].exact_excl
    for line in lines[1:]:
        if total is None or line.exact_excl is None:
            return None
        total += line.exact_excl
    return total


def _incl(lines: Sequence[Line]) -> Fraction | None:
    """The sum with tax; one unknown line makes it unknown."""
    total = lines[0].exact_incl
    for line in lines[1:]:
        if total is None or line.exact_incl is None:
            return None
        total += line.exact_incl
    return total


def _vat_inside(total_minor: int, excl: Fraction, incl: Fraction) -> int:
    """The VAT inside a rounded total, by the exact ratio of tax to total; within 0 and the total."""
    if incl <= 0:
        return 0
    with_tax = incl.numerator * excl.denominator
    tax = with_tax - excl.numerator * incl.denominator
    return min(max(0, half_up(total_minor * tax, with_tax)), total_minor)
