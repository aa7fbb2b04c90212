"""What a price is made of: lines that sum to it exactly, before the one rounding at the total."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import NamedTuple

from csms.base.money import exact_text, half_up


class Line(NamedTuple):
    """
    One line of a price; amounts are exact units of the currency, None where the tax is unknown.

    `dimension` is a tariff dimension, `RESERVATION`, a dimension of our own (`tariff_own`), or
    `MIN_PRICE`, `MAX_PRICE`, `NOT_CHARGED` for what a limit adds or takes away. `quantity` counts
    `unit` after rounding up to the tariff's step; `unit_price` is per kWh, hour or session. Where a
    use is priced by its periods, `element` is the place of the tariff's element, from 0, and
    `start` and `end` tell from when until when it priced. A NamedTuple: a few are made at every end.
    """

    dimension: str
    quantity: int | Fraction
    unit: str
    unit_price: Fraction
    vat_percent: Fraction | None
    exact_excl: Fraction | None
    exact_incl: Fraction | None
    element: int | None = None
    start: datetime | None = None
    end: datetime | None = None


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


def sum_excl(lines: Iterable[Line]) -> Fraction | None:
    """The sum without tax; one unknown line makes it unknown."""
    total: Fraction | None = None
    for line in lines:
        if line.exact_excl is None:
            return None
        total = line.exact_excl if total is None else total + line.exact_excl
    return Fraction(0) if total is None else total


def sum_incl(lines: Iterable[Line]) -> Fraction | None:
    """The sum with tax; one unknown line makes it unknown."""
    total: Fraction | None = None
    for line in lines:
        if line.exact_incl is None:
            return None
        total = line.exact_incl if total is None else total + line.exact_incl
    return Fraction(0) if total is None else total


def adjustment(name: str, excl: Fraction | None, incl: Fraction | None) -> Line:
    """A line for what a limit adds (above 0) or takes away."""
    unit_price = incl if incl is not None else excl
    assert unit_price is not None
    return Line(name, 1, "session", unit_price, None, excl, incl)


def vat_inside(total_minor: int, excl: Fraction, incl: Fraction) -> int:
    """The VAT inside a rounded total, by the exact ratio of tax to total; within 0 and the total."""
    if incl <= 0:
        return 0
    with_tax = incl.numerator * excl.denominator
    tax = with_tax - excl.numerator * incl.denominator
    return min(max(0, half_up(total_minor * tax, with_tax)), total_minor)


def as_json(line: Line) -> dict[str, str | int | None]:
    """
    A line as JSON: numbers as decimal text, at most 18 decimals.

    `element`, `start` and `end` (UTC) are there only where periods were priced.
    """
    told: dict[str, str | int | None] = {
        "dimension": line.dimension,
        "quantity": exact_text(line.quantity),
        "unit": line.unit,
        "unit_price": exact_text(line.unit_price),
        "vat_percent": None if line.vat_percent is None else exact_text(line.vat_percent),
        "excl_vat": None if line.exact_excl is None else exact_text(line.exact_excl),
        "incl_vat": None if line.exact_incl is None else exact_text(line.exact_incl),
    }
    if line.element is not None and line.start is not None and line.end is not None:
        told |= {"element": line.element, "start": _instant(line.start), "end": _instant(line.end)}
    return told


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
