"""When an element of a tariff applies: OCPI TariffRestrictions (2.3.0 mod_tariffs), all of them to be met at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from fractions import Fraction
from typing import Literal, NamedTuple

from csms.base.errors import Refused
from csms.domain.tariff_reading import COUNT_MAX, count, listed, number, object_, only

Reserved = Literal["RESERVATION", "RESERVATION_EXPIRES"]
RESERVED: Mapping[object, Reserved] = {"RESERVATION": "RESERVATION", "RESERVATION_EXPIRES": "RESERVATION_EXPIRES"}
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
MIDNIGHT = 0
MINUTES_PER_HOUR = 60
PHASE_V = 230
THOUSAND = 1_000
"""Wh of a kWh, W of a kW."""

_TIMES, _DATES = ("start_time", "end_time"), ("start_date", "end_date")
_MEASURES = {
    "min_kwh": THOUSAND,
    "max_kwh": THOUSAND,
    "min_power": THOUSAND,
    "max_power": THOUSAND,
    "min_current": 1,
    "max_current": 1,
}
_DURATIONS = ("min_duration", "max_duration")
_KEYS = frozenset({*_TIMES, *_DATES, *_MEASURES, *_DURATIONS, "day_of_week", "reservation"})


class State(NamedTuple):
    """
    How a use stands at one instant: what restrictions ask for.

    `local` is the wall clock of the site, naive. Energy and time count from the start of the use.
    Powers are W, currents A summed over the phases; None where nobody knows. A current that nobody
    knows is the power over `PHASE_V`: readings keep none.
    """

    local: datetime
    energy_wh: int | Fraction
    elapsed_s: int | Fraction
    min_power_w: int | Fraction | None
    max_power_w: int | Fraction | None
    min_current_a: int | Fraction | None
    max_current_a: int | Fraction | None

    def least_current_a(self) -> int | Fraction | None:
        """The least current, told or by the power."""
        return _by_power(self.min_power_w) if self.min_current_a is None else self.min_current_a

    def most_current_a(self) -> int | Fraction | None:
        """The most current, told or by the power."""
        return _by_power(self.max_power_w) if self.max_current_a is None else self.max_current_a


def _by_power(power_w: int | Fraction | None) -> Fraction | None:
    return None if power_w is None else Fraction(power_w) / PHASE_V


@dataclass(frozen=True, slots=True)
class Restrictions:
    """
    Lower bounds are inclusive, upper bounds exclusive; None (or no days) restricts nothing.

    Times, in minutes after midnight, and dates are local to the site. `end_time` of midnight is the end
    of the day, one before `start_time` is on the next day. Energy in Wh, power in W, current in A, durations in s.
    """

    start_time: int | None = None
    end_time: int | None = None
    start_date: date | None = None
    end_date: date | None = None
    days: frozenset[int] = frozenset()
    min_wh: Fraction | None = None
    max_wh: Fraction | None = None
    min_power_w: Fraction | None = None
    max_power_w: Fraction | None = None
    min_current_a: Fraction | None = None
    max_current_a: Fraction | None = None
    min_duration_s: int | None = None
    max_duration_s: int | None = None

    def asks_the_clock(self) -> bool:
        """Whether the wall clock of the site matters."""
        return bool(self.start_time or self.end_time or self.start_date or self.end_date or self.days)

    def met(self, state: State) -> bool:
        """Whether all of them are met; a bound of a power or current that nobody knows is not."""
        return (
            self._in_day(state.local.hour * MINUTES_PER_HOUR + state.local.minute)
            and (self.start_date is None or state.local.date() >= self.start_date)
            and (self.end_date is None or state.local.date() < self.end_date)
            and (not self.days or state.local.weekday() in self.days)
            and (self.min_wh is None or state.energy_wh >= self.min_wh)
            and (self.max_wh is None or state.energy_wh < self.max_wh)
            and (self.min_duration_s is None or state.elapsed_s >= self.min_duration_s)
            and (self.max_duration_s is None or state.elapsed_s < self.max_duration_s)
            and _at_least(state.min_power_w, self.min_power_w)
            and _below(state.max_power_w, self.max_power_w)
            and (self.min_current_a is None or _at_least(state.least_current_a(), self.min_current_a))
            and (self.max_current_a is None or _below(state.most_current_a(), self.max_current_a))
        )

    def _in_day(self, clock: int) -> bool:
        starts, ends = self.start_time or MIDNIGHT, self.end_time or MIDNIGHT
        if ends == MIDNIGHT:
            return clock >= starts
        return starts <= clock < ends if starts < ends else clock >= starts or clock < ends


def _at_least(value: int | Fraction | None, bound: Fraction | None) -> bool:
    return bound is None or (value is not None and value >= bound)


def _below(value: int | Fraction | None, bound: Fraction | None) -> bool:
    return bound is None or (value is not None and value < bound)


def read(document: object, at: str) -> tuple[Restrictions | None, Reserved | None]:
    """The restrictions of an element, None where there are none, and whether it prices a reservation."""
    if document is None:
        return None, None
    document = object_(document, at)
    only(document, _KEYS, at)
    told = {name: value for name, value in document.items() if value is not None and value != []}
    asked = told.get("reservation")
    reserved = RESERVED.get(asked) if isinstance(asked, str) else None
    if reserved is None and asked is not None:
        raise Refused(f"reservation is {' or '.join(RESERVED.values())}", f"{at}/reservation")
    times = {name: _time(told[name], f"{at}/{name}") for name in _TIMES if name in told}
    dates = {name: _date(told[name], f"{at}/{name}") for name in _DATES if name in told}
    found = {
        name: number(told[name], COUNT_MAX, f"{at}/{name}") * factor
        for name, factor in _MEASURES.items()
        if name in told
    }
    spans = {name: count(told[name], f"{at}/{name}") for name in _DURATIONS if name in told}
    _never_empty(times, dates, {**found, **spans}, at)
    restrictions = Restrictions(
        times.get("start_time"), times.get("end_time"), dates.get("start_date"), dates.get("end_date"),
        _days(told.get("day_of_week"), f"{at}/day_of_week"), found.get("min_kwh"), found.get("max_kwh"),
        found.get("min_power"), found.get("max_power"), found.get("min_current"), found.get("max_current"),
        spans.get("min_duration"), spans.get("max_duration"),
    )  # fmt: skip
    return None if restrictions == Restrictions() else restrictions, reserved


def _time(value: object, at: str) -> int:
    """`HH:MM`, as OCPI writes a time of day, in minutes."""
    try:
        if isinstance(value, str) and len(value) == len("00:00") and value.isascii():
            clock = time.fromisoformat(value)
            return clock.hour * MINUTES_PER_HOUR + clock.minute
    except ValueError:
        pass
    raise Refused("a time of day is written such as 09:30, from 00:00 to 23:59", at)


def _date(value: object, at: str) -> date:
    """`YYYY-MM-DD`, as OCPI writes a date."""
    try:
        if isinstance(value, str) and len(value) == len("2026-01-31") and value.isascii():
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise Refused("a date is written such as 2026-01-31", at)


def _days(value: object, at: str) -> frozenset[int]:
    """Weekdays as numbers, Monday 0; none for all of them."""
    if value is None:
        return frozenset()
    days = listed(value, len(DAYS), at)
    for number_, day in enumerate(days):
        if day not in DAYS:
            raise Refused(f"a day is one of {', '.join(DAYS)}", f"{at}/{number_}")
    return frozenset(DAYS.index(str(day)) for day in days)


def _never_empty(
    times: Mapping[str, int], dates: Mapping[str, date], found: Mapping[str, int | Fraction], at: str
) -> None:
    """Refuse what could never be met: surely something else was meant."""
    start, end = times.get("start_time", MIDNIGHT), times.get("end_time", MIDNIGHT)
    if start == end != MIDNIGHT:
        raise Refused("start_time and end_time are the same; leave both out for the whole day", f"{at}/end_time")
    if dates.keys() == set(_DATES) and dates["start_date"] >= dates["end_date"]:
        raise Refused("end_date is the first day after; it must be later than start_date", f"{at}/end_date")
    for name in ("kwh", "power", "current", "duration"):
        least, most = found.get(f"min_{name}"), found.get(f"max_{name}")
        if most == 0 or (least is not None and most is not None and least >= most):
            raise Refused(f"max_{name} must be above min_{name}, and above 0", f"{at}/max_{name}")
