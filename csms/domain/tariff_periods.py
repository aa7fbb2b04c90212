"""
A use in pieces: which element of a tariff prices which part of it (OCPI 2.3.0 mod_tariffs, TariffElement).

Periods are cut wherever an element may begin or cease to apply: at times of day, amounts of energy
and durations. Within a period energy and time flow evenly, so a cut is a share of it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from csms.base.units import round_up_to_step
from csms.domain.tariff_clock import boundaries
from csms.domain.tariff_document import Component, Dimension, Element
from csms.domain.tariff_restrictions import MIDNIGHT, Restrictions, State

MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
Number = int | Fraction


@dataclass(frozen=True, slots=True)
class Period:
    """
    What happened from `start` until `end`: Wh that flowed, seconds charging and seconds parked without.

    `power_w` and `current_a` are the least and the most of it; None where nobody knows.
    """

    start: datetime
    end: datetime
    energy_wh: Number = 0
    charging_s: Number = 0
    parking_s: Number = 0
    min_power_w: Number | None = None
    max_power_w: Number | None = None
    min_current_a: Number | None = None
    max_current_a: Number | None = None


@dataclass(slots=True)
class Portion:
    """What one component of an element prices of a use, and between which instants."""

    element: Element
    component: Component
    quantity: Number
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Part:
    """A share of a period, small enough that one element of each dimension prices it."""

    start: datetime
    end: datetime
    state: State
    amounts: tuple[tuple[Dimension, Number], ...]


def portions(periods: Sequence[Period], elements: Sequence[Element], zone: ZoneInfo) -> list[Portion]:
    """
    What each component prices of these periods, in the order of the tariff, steps included.

    FLAT counts once, by the first element that has one when it first applies.
    """
    found: dict[tuple[int, Dimension], Portion] = {}
    last: dict[str, Portion] = {}
    wanted = {component.dimension for element in elements for component in element.components}
    for part in parts(periods, elements, zone):
        for dimension, quantity in part.amounts:
            if not quantity or dimension not in wanted:
                continue
            priced = pricing(dimension, elements, part.state)
            if priced is None:
                continue
            element, component = priced
            portion = found.get((element.number, dimension))
            if portion is None:
                portion = Portion(element, component, 0, part.start, part.end)
                found[element.number, dimension] = portion
            portion.quantity += quantity
            portion.end = part.end
            if dimension == "FLAT":
                wanted.remove("FLAT")
            else:
                last["ENERGY" if dimension == "ENERGY" else "TIME"] = portion
    for portion in last.values():
        _round_up(portion, found.values())
    return sorted(found.values(), key=lambda p: (p.element.number, p.element.components.index(p.component)))


def _round_up(last: Portion, portions: Iterable[Portion]) -> None:
    """
    Round the total of a dimension up to the step of the component that priced it last.

    Once a session for ENERGY, once for TIME and PARKING_TIME together (the one used last). What no
    component priced is free and does not count.
    """
    dimension = last.component.dimension
    total = sum((p.quantity for p in portions if p.component.dimension == dimension), start=0)
    last.quantity += round_up_to_step(total, last.component.step_size) - total


def pricing(dimension: Dimension, elements: Iterable[Element], state: State) -> tuple[Element, Component] | None:
    """The first element that applies and has a price of this dimension."""
    for element in elements:
        for component in element.components:
            if component.dimension == dimension and (element.restrictions is None or element.restrictions.met(state)):
                return element, component
    return None


def parts(
    periods: Sequence[Period], elements: Sequence[Element], zone: ZoneInfo, also: Iterable[Restrictions] = ()
) -> Iterator[Part]:
    """The periods, cut wherever an element may begin or cease to apply, or the clock matters to one of `also`."""
    if not periods:
        return
    begin = periods[0].start
    restrictions = [*also, *(element.restrictions for element in elements if element.restrictions is not None)]
    instants = _instants(begin, periods[-1].end, restrictions, zone)
    amounts, durations = _thresholds(elements)
    energy_wh: Number = 0
    for period in periods:
        length_us = (period.end - period.start) // MICROSECOND
        elapsed_us = (period.start - begin) // MICROSECOND
        within = instants[bisect_right(instants, period.start) : bisect_left(instants, period.end)]
        cuts = {Fraction((instant - period.start) // MICROSECOND, length_us) for instant in within}
        cuts |= {Fraction(duration * SECOND_US - elapsed_us, length_us) for duration in durations if length_us}
        cuts |= {(amount - energy_wh) / Fraction(period.energy_wh) for amount in amounts if period.energy_wh}
        edges: list[Number] = [0, *sorted(cut for cut in cuts if 0 < cut < 1), 1]
        for low, high in pairwise(edges):
            yield _part(period, low, high, energy_wh, begin, zone)
        energy_wh += period.energy_wh


def _part(period: Period, low: Number, high: Number, energy_wh: Number, begin: datetime, zone: ZoneInfo) -> Part:
    """The share from `low` to `high` (0 to 1) of a period that began after `energy_wh`."""
    length_us = (period.end - period.start) // MICROSECOND
    from_us, until_us = low * length_us, high * length_us
    start = period.start + int(from_us) * MICROSECOND
    elapsed_us = (period.start - begin) // MICROSECOND + from_us
    state = State(
        start.astimezone(zone).replace(tzinfo=None),
        energy_wh + low * period.energy_wh,
        elapsed_us // SECOND_US if elapsed_us % SECOND_US == 0 else Fraction(elapsed_us) / SECOND_US,
        period.min_power_w,
        period.max_power_w,
        period.min_current_a,
        period.max_current_a,
    )
    share = high - low
    return Part(
        start,
        period.start + int(until_us) * MICROSECOND,
        state,
        (
            ("FLAT", 1),
            ("ENERGY", share * period.energy_wh),
            ("TIME", share * period.charging_s),
            ("PARKING_TIME", share * period.parking_s),
        ),
    )


def _instants(start: datetime, end: datetime, restrictions: Iterable[Restrictions], zone: ZoneInfo) -> list[datetime]:
    """Where the clock of the site may change what applies."""
    clocked = [r for r in restrictions if r.asks_the_clock()]
    if not clocked:
        return []
    times = {MIDNIGHT} | {clock for r in clocked for clock in (r.start_time, r.end_time) if clock is not None}
    return boundaries(start, end, times, zone)


def _thresholds(elements: Iterable[Element]) -> tuple[set[Fraction], set[int]]:
    """The amounts of energy (Wh) and the durations (s) at which another element may apply."""
    told = [element.restrictions for element in elements if element.restrictions is not None]
    amounts = {wh for r in told for wh in (r.min_wh, r.max_wh) if wh is not None}
    return amounts, {s for r in told for s in (r.min_duration_s, r.max_duration_s) if s is not None}
