"""
Somebody who charges at work: ten real weeks of one station, and what a system must know and ask of them.

ACN-Data as it is published says of no session whose car it was. So this is what is done: of one station at JPL the
first session of every weekday is taken to be one driver's, who comes at five in the morning. Arrivals, departures and
energy are real; that it is one person is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from charge_points_sim.provision import TIME_ZONE
from charge_points_sim.scenarios.charge import Charge, read, readings

STATION, FIRST_DAY = "AG-4F52", date(2019, 8, 5)
"""37 sessions in eight weeks, four or five a week, of 6 kWh; the weeks before and after have no gap either."""
HISTORY_WEEKS, AFTER_WEEKS = 8, 2
WEEK = timedelta(weeks=1)
READING_EVERY_S = QUARTER_S = 900
SATURDAY, BANDS, BAND_HOURS = 5, 6, 4
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
ZONE = ZoneInfo(TIME_ZONE)

Line = Sequence[tuple[int, int]]
"""The readings of a charge: (epoch seconds, Wh until then), from its arrival to its departure."""


@dataclass(frozen=True, slots=True)
class Habit:
    """
    The charges that are `before` vouchers are asked for, those `after`, and how many weeks later they are lived.

    `guest`: the next one at the station, which is said to be somebody else's.
    """

    before: Sequence[Charge]
    after: Sequence[Charge]
    guest: Charge
    moved_weeks: int


def habit(path: Path, start: int) -> Habit:
    """The driver's charges out of a CSV, so many whole weeks later that they begin after `start`. Raises `BadFile`."""
    mine: dict[date, Charge] = {}
    for charge in read(path):
        day = local(charge.arrival).date()
        weeks = (day - FIRST_DAY) // WEEK
        if charge.station_id == STATION and day.weekday() < SATURDAY and 0 <= weeks <= HISTORY_WEEKS + AFTER_WEEKS:
            mine.setdefault(day, charge)
    week_s = int(WEEK.total_seconds())
    first = min(charge.arrival for charge in mine.values())
    moved = max(0, -(-(start - first) // week_s))
    later = {
        day: charge._replace(arrival=charge.arrival + moved * week_s, departure=charge.departure + moved * week_s)
        for day, charge in mine.items()
    }
    parted = FIRST_DAY + HISTORY_WEEKS * WEEK
    ended = parted + AFTER_WEEKS * WEEK
    return Habit(
        [charge for day, charge in later.items() if day < parted],
        [charge for day, charge in later.items() if parted <= day < ended],
        next(charge for day, charge in later.items() if day >= ended),
        moved,
    )


def local(at: int) -> datetime:
    """The wall clock of the station, without a zone."""
    return datetime.fromtimestamp(at, UTC).astimezone(ZONE).replace(tzinfo=None)


def line(charge: Charge) -> Line:
    """What the station tells of a charge."""
    told = [(at, wh) for at, wh, _ in readings(charge, READING_EVERY_S)]
    return [(charge.arrival, 0), *told, (charge.departure, charge.delivered_wh)]


def quarters(told: Line) -> Line:
    """The same at every full quarter of an hour, in whole Wh: what is kept of it."""
    first, last = told[0][0], told[-1][0]
    full = range((first // QUARTER_S + 1) * QUARTER_S, last, QUARTER_S)
    return [told[0], *((at, floor(_at(told, at))) for at in full), told[-1]]


def _at(told: Line, at: int) -> Fraction:
    """Wh until `at`: between two readings energy flows evenly."""
    (low, low_wh), (high, high_wh) = next((one, other) for one, other in pairwise(told) if one[0] <= at <= other[0])
    return low_wh + Fraction((high_wh - low_wh) * (at - low), max(1, high - low))


def matrix(charges: Sequence[Charge]) -> list[list[int]]:
    """Wh by weekday or weekend (rows) and four hours of the clock (columns), of the whole quarters of an hour."""
    found = [[0] * BANDS, [0] * BANDS]
    for charge in charges:
        for (at, wh), (_, until_wh) in pairwise(quarters(line(charge))):
            here = local(at)
            found[here.weekday() >= SATURDAY][here.hour // BAND_HOURS] += until_wh - wh
    return found


def within(told: Line, conditions: Mapping[str, Any]) -> Iterator[tuple[int, Fraction, Fraction]]:
    """Where hours and weekdays of a voucher hold: from when on, and between which Wh; in parts between readings."""
    hours = [time.fromisoformat(conditions[name]) for name in ("start_time", "end_time") if name in conditions]
    days = conditions.get("day_of_week", DAYS)
    for (at, wh), (until, until_wh) in pairwise(told):
        cuts = sorted({at, until, *(cut for cut in _cuts(at, until, hours) if at < cut < until)})
        for low, high in pairwise(cuts):
            here = local(low)
            if DAYS[here.weekday()] in days and (not hours or _is_between(here.time(), *hours)):
                per_s = Fraction(until_wh - wh, until - at)
                yield low, wh + per_s * (low - at), wh + per_s * (high - at)


def _cuts(at: int, until: int, hours: Sequence[time]) -> Iterator[int]:
    """Midnights and these hours of the days that are touched."""
    day = local(at).date()
    while day <= local(until).date():
        for hour in (time(), *hours):
            yield int(datetime.combine(day, hour, ZONE).timestamp())
        day += timedelta(days=1)


def _is_between(now: time, start: time, end: time) -> bool:
    return start <= now < end if start < end else now >= start or now < end
