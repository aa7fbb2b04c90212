"""Readings turned into charging periods: when energy flowed, how fast, and when a vehicle was only parked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise

from csms.base.units import SECONDS_PER_HOUR, seconds_between
from csms.domain.events import Reading
from csms.domain.tariff_periods import Period

POINTS_MAX = 3_000
"""Of more registers only as many are looked at, evenly chosen: a day of one every half minute."""


def periods(
    readings: Sequence[Reading], start: datetime, end: datetime, meter_start: int, meter_end: int
) -> tuple[Period, ...]:
    """
    The charging periods of a session from `start` to `end`, whose Wh sum to `meter_end - meter_start`.

    Registers (Wh) outside of these two, or below an earlier one, belong to something else and are
    left out. Between two known registers energy flows evenly, also where readings are missing. An
    interval without a rise, and without a power reading above 0, is parking; the last until the end
    too. Whole seconds from the start on; a session of no length is one period of no length.
    """
    assert meter_end >= meter_start
    ordered = sorted(readings, key=lambda reading: (reading.at, reading.digest))
    points = _points(ordered, start, seconds_between(start, end), meter_start, meter_end)
    powers = [(seconds_between(start, r.at), r.power_w) for r in ordered if r.power_w is not None and r.at > start]
    found: list[Period] = []
    place = 0
    for (from_s, low_wh), (until_s, high_wh) in pairwise(points):
        while place < len(powers) and powers[place][0] <= from_s:
            place += 1
        told: list[int] = []
        while place < len(powers) and powers[place][0] <= until_s:
            told.append(powers[place][1])
            place += 1
        period = _period(start, from_s, until_s, high_wh - low_wh, told)
        if found and period.max_power_w == 0 == found[-1].max_power_w:
            found[-1] = replace(found[-1], end=period.end, parking_s=found[-1].parking_s + period.parking_s)
        else:
            found.append(period)
    return tuple(found)


def _points(
    readings: Sequence[Reading], start: datetime, seconds: int, meter_start: int, meter_end: int
) -> list[tuple[int, int]]:
    """Known registers by seconds from the start, rising in both."""
    points = [(0, meter_start)]
    for reading in readings:
        wh, at_s = reading.register_wh, seconds_between(start, reading.at)
        if wh is not None and points[-1][0] < at_s < seconds and points[-1][1] <= wh <= meter_end:
            points.append((at_s, wh))
    if len(points) > POINTS_MAX:
        stride = -(-len(points) // POINTS_MAX)
        points = points[::stride]
    return [*points, (seconds, meter_end)]


def _period(start: datetime, from_s: int, until_s: int, wh: int, powers: Sequence[int]) -> Period:
    """One interval: charging if its register rose or its power readings say so, else parking."""
    length_s = until_s - from_s
    mean_w = Fraction(0)
    if wh > 0 and length_s > 0:
        mean_w = Fraction(wh * SECONDS_PER_HOUR, length_s)
    elif powers:
        mean_w = Fraction(max(0, sum(powers)), len(powers))
    charges = wh > 0 or mean_w > 0
    return Period(
        start + timedelta(seconds=from_s),
        start + timedelta(seconds=until_s),
        wh,
        length_s if charges else 0,
        0 if charges else length_s,
        mean_w,
        mean_w,
    )


def as_json(period: Period) -> dict[str, str | int]:
    """A period as a bill keeps it: Wh, seconds, and the mean power in whole W."""
    return {
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "energy_wh": int(period.energy_wh),
        "charging_s": int(period.charging_s),
        "parking_s": int(period.parking_s),
        "power_w": int(period.max_power_w or 0),
    }
