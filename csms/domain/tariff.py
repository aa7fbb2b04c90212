"""Usage x tariff -> price: exact arithmetic line by line, one rounding at the total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from csms.base.money import to_minor
from csms.base.units import round_up_to_step
from csms.domain import tariff_own
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import UNITS, Element
from csms.domain.tariff_document import Component as Component
from csms.domain.tariff_document import Tariff as Tariff
from csms.domain.tariff_document import parse as parse
from csms.domain.tariff_limits import Bound as Bound
from csms.domain.tariff_limits import bound as bound
from csms.domain.tariff_limits import cap as cap
from csms.domain.tariff_limits import limited
from csms.domain.tariff_lines import Exact as Exact
from csms.domain.tariff_lines import Line as Line
from csms.domain.tariff_lines import Price as Price
from csms.domain.tariff_lines import as_json as as_json
from csms.domain.tariff_lines import sum_excl, sum_incl, vat_inside
from csms.domain.tariff_periods import Period as Period
from csms.domain.tariff_periods import portions


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation that was used or expired: `period` with its time as `charging_s`."""

    period: Period
    expired: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """
    What was consumed: Wh, and seconds plugged in. Sessions have whole ones; previews may ask for parts.

    `periods`, in order, tell when and how; they are needed where the tariff `needs_profile`
    (`domain/usage.py` makes them of readings). An empty tuple says that nothing was used at all: a
    reservation that expired. A rental is `own`: it is priced by the tariff's `extra` alone.
    """

    energy_wh: int | Fraction
    seconds: int | Fraction
    periods: tuple[Period, ...] | None = None
    reservation: Reservation | None = None
    own: tariff_own.Used | None = None
    covered: tuple[tariff_own.Drawn, ...] = ()
    """What vouchers pay of a charging session (`voucher_session.covered`)."""

    def __post_init__(self) -> None:
        assert self.energy_wh >= 0
        assert self.seconds >= 0

    @property
    def drawn(self) -> tuple[tariff_own.Drawn, ...]:
        """What it takes of vouchers."""
        return self.covered if self.own is None else self.own.drawn

    @property
    def drawn_minor(self) -> int:
        """What vouchers release for it."""
        return sum(part.minor for part in self.drawn)

    def covered_minor(self, currency: str) -> int:
        """The part of a charging session's price that they take the place of."""
        return to_minor(sum((part.value for part in self.covered), Fraction(0)), currency)


def price(usage: Usage, tariff: Tariff, zone: str | None = None) -> Price:
    """
    The price of a use under a tariff whose tax is known (`parse` sees to that); `zone` is its site's (null: UTC).

    With tax inside the prices, VAT is taken out of the rounded total: `round(total * 10 / 110)` at 10 percent. With
    tax on top, both totals are rounded and VAT is their difference.
    """
    return rounded(calculate(usage, tariff, zone), tariff)


def rounded(exact: Exact, tariff: Tariff) -> Price:
    """The one rounding, half up, at the total."""
    excl, incl = exact.exact_excl, exact.exact_incl
    assert excl is not None
    assert incl is not None
    total_minor = to_minor(incl, tariff.currency)
    if tariff.tax_included == "NO":
        vat_minor = min(max(0, total_minor - to_minor(excl, tariff.currency)), total_minor)
    else:
        vat_minor = vat_inside(total_minor, excl, incl)
    return Price(total_minor, vat_minor, exact.lines, excl, incl, tariff.currency)


def calculate(usage: Usage, tariff: Tariff, zone: str | None = None) -> Exact:
    """
    The unrounded price of a use, line by line; OCPI 2.3.0 mod_tariffs.

    A tariff that has no PARKING_TIME prices all the time of a session as TIME, plugged in without
    charging too: nobody is told apart by readings whose tariff does not ask for it.
    """
    if usage.own is not None:
        if tariff.own is None:
            return Exact(tariff.currency, (), Fraction(0), Fraction(0))
        return tariff_own.calculate(usage.own, tariff.own, tariff.currency)
    charging = usage.periods != ()
    lines: list[Line] = []
    if usage.reservation is not None:
        lines += _reserved(usage.reservation, tariff, zone)
    if charging and tariff.needs_profile:
        assert usage.periods is not None, "this tariff prices a use by its periods"
        elements = [element for element in tariff.elements if element.reserved is None]
        lines += _profiled(usage.periods if tariff.prices_parking else _plugged(usage.periods), elements, zone)
    elif charging:
        lines += [_whole(component, usage) for component in tariff.components]
    if tariff.min_price is not None or tariff.max_price is not None:
        lines += limited(tariff, lines, charging=charging)
    lines += tariff_own.with_vouchers(lines, usage.covered)
    return Exact(tariff.currency, tuple(lines), sum_excl(lines), sum_incl(lines))


def together(left: Exact, right: Exact) -> Exact:
    """Two parts of one price."""
    lines = (*left.lines, *right.lines)
    return Exact(left.currency, lines, sum_excl(lines), sum_incl(lines))


def _whole(component: Component, usage: Usage) -> Line:
    """The line of a component that prices the whole use: the quantity in steps, times the price."""
    quantity: int | Fraction
    match component.dimension:
        case "ENERGY":
            quantity = round_up_to_step(usage.energy_wh, component.step_size)
        case "TIME" | "PARKING_TIME":
            quantity = round_up_to_step(usage.seconds, component.step_size)
        case "FLAT":
            quantity = 1
    return _line(component, quantity)


def _line(component: Component, quantity: int | Fraction) -> Line:
    """A quantity, times the price, without and with tax."""
    excl = None if component.excl_per_unit is None else component.excl_per_unit * quantity
    incl = None if component.incl_per_unit is None else component.incl_per_unit * quantity
    unit = UNITS[component.dimension][0]
    return Line(component.dimension, quantity, unit, component.price, component.vat_percent, excl, incl)


def _plugged(periods: Sequence[Period]) -> list[Period]:
    """The same periods, parked time as charging."""
    return [replace(p, charging_s=p.charging_s + p.parking_s, parking_s=0) if p.parking_s else p for p in periods]


def _profiled(periods: Sequence[Period], elements: Sequence[Element], zone: str | None) -> list[Line]:
    """A line per element and dimension that priced a part of these periods."""
    return [
        _line(p.component, p.quantity)._replace(element=p.element.number, start=p.start, end=p.end)
        for p in portions(periods, elements, zone_of(zone))
    ]


def _reserved(reservation: Reservation, tariff: Tariff, zone: str | None) -> list[Line]:
    """
    What a reservation costs, its time rounded up on its own.

    What expired is priced by the elements of RESERVATION_EXPIRES, and by those of RESERVATION for
    a dimension that the former have no price of.
    """
    wanted = ("RESERVATION_EXPIRES", "RESERVATION") if reservation.expired else ("RESERVATION",)
    elements = [element for kind in wanted for element in tariff.elements if element.reserved == kind]
    lines = _profiled((reservation.period,), elements, zone)
    return [line._replace(dimension="RESERVATION") for line in lines]
