"""
Sessions that are kept in quarters of an hour, in pieces: as `charge_pieces.pieces` cuts them, but far faster.

Where all that asks the clock changes at full quarters, nothing changes within one: no quarter need be cut, and what
holds in it is known by the week. Quarters that follow each other and differ in nothing are one piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from math import lcm
from typing import NamedTuple

from csms.base.units import SECONDS_PER_HOUR
from csms.domain.charge_pieces import Piece
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import Dimension, Element, Tariff
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number, pricing
from csms.domain.tariff_restrictions import Restrictions, State

QUARTER = timedelta(minutes=15)
QUARTER_MIN, QUARTER_US = 15, QUARTER // MICROSECOND
QUARTERS_PER_DAY = timedelta(days=1) // QUARTER
QUARTERS_PER_WEEK = 7 * QUARTERS_PER_DAY
DAY_US = QUARTERS_PER_DAY * QUARTER_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_WEEKDAY = 3
"""1970 began on a Thursday; weeks begin on Mondays."""
MONDAY = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
DIMENSIONS: tuple[Dimension, ...] = ("FLAT", "ENERGY", "TIME", "PARKING_TIME")

Quarter = tuple[int, int, int]
"""What of a session is in a quarter of an hour: from when on (microseconds since 1970), Wh, seconds."""

Priced = tuple[tuple[Dimension, Fraction, Fraction | None], ...]
"""What a dimension costs: tax included, and without."""

Alike = tuple[int, bool, int, int, int]
"""Equal for quarters that differ in nothing; first the quarter of the week of which the prices are."""


class _Week(NamedTuple):
    """
    What holds in each quarter of a week, from Monday on, by the clock of the site.

    `like` is the first quarter of the week with these very prices, in which the same conditions are met. What the week
    does not say: conditions may be `dated`, or have `bounds` of power, in such parts that `parts` of them are a W.
    """

    prices: tuple[Priced, ...]
    like: tuple[int, ...]
    dated: bool
    bounds: tuple[int, ...]
    parts: int


def pieces(
    quarters: Sequence[Quarter], tariff: Tariff, zone: str | None, conditions: tuple[Restrictions, ...], now: datetime
) -> list[Piece] | None:
    """
    What of a session has a price, in the order of time; None where it has to be cut.

    No piece goes on over the end of a day, counted back from `now`.
    """
    week = _week(tariff, conditions)
    if week is None or any(at_us % QUARTER_US + seconds * SECOND_US > QUARTER_US for at_us, _, seconds in quarters):
        return None
    found: list[Piece] = []
    placed: dict[Dimension, Number] = dict.fromkeys(DIMENSIONS, 0)
    for prices, wh, seconds, state in _runs(quarters, week, zone, now):
        parked = 0 if wh or not tariff.prices_parking else seconds
        amounts = {"FLAT": 1, "ENERGY": wh, "TIME": seconds - parked, "PARKING_TIME": parked}
        for dimension, incl, excl in prices:
            low, amount = placed[dimension], amounts[dimension]
            if amount and not (dimension == "FLAT" and low):
                found.append(Piece(dimension, low, low + amount, incl, excl, state))
                if dimension == "FLAT":
                    placed["FLAT"] = 1
        for dimension in ("ENERGY", "TIME", "PARKING_TIME"):
            placed[dimension] += amounts[dimension]
    return found


def _runs(
    quarters: Sequence[Quarter], week: _Week, zone: str | None, now: datetime
) -> Iterator[tuple[Priced, int, int, State]]:
    """Quarters that follow each other and are alike, as one: its prices, Wh, seconds, and how it begins."""
    begin_us, energy_wh = quarters[0][0], 0
    for (like, *_), run in groupby(quarters, _alike(week, zone, now)):
        times, energy, lengths = zip(*run, strict=True)
        power_w = _power_w(energy[0], lengths[0]) if week.bounds else None
        elapsed_us = times[0] - begin_us
        state = State(
            (EPOCH + times[0] * MICROSECOND).astimezone(zone_of(zone)).replace(tzinfo=None), energy_wh,
            elapsed_us // SECOND_US if elapsed_us % SECOND_US == 0 else Fraction(elapsed_us, SECOND_US),
            power_w, power_w, None, None,
        )  # fmt: skip
        wh = sum(energy)
        yield week.prices[like], wh, sum(lengths), state
        energy_wh += wh


def _power_w(wh: int, seconds: int) -> Number | None:
    """The mean of a quarter; None where energy came in no time."""
    return Fraction(wh * SECONDS_PER_HOUR, seconds) if seconds else None if wh else 0


def _alike(week: _Week, zone: str | None, now: datetime) -> Callable[[Quarter], Alike]:
    like, bounds, now_us = week.like, week.bounds, (now - EPOCH) // MICROSECOND

    def alike(quarter: Quarter) -> Alike:
        at_us, wh, seconds = quarter
        local = _local(zone, at_us // QUARTER_US)
        power = 0
        if bounds and wh:
            power = bisect_right(bounds, wh * SECONDS_PER_HOUR * week.parts // seconds) if seconds else -1
        return (
            like[local % QUARTERS_PER_WEEK], not wh, power, (at_us - now_us) // DAY_US,
            local // QUARTERS_PER_DAY if week.dated else 0,
        )  # fmt: skip

    return alike


@lru_cache(maxsize=16_384)
def _local(zone: str | None, quarter: int) -> int:
    """What the clock of the site shows in a quarter since 1970 (UTC), in quarters since the Monday before 1970."""
    offset = (EPOCH + quarter * QUARTER).astimezone(zone_of(zone)).utcoffset()
    assert offset is not None
    return quarter + offset // QUARTER + EPOCH_WEEKDAY * QUARTERS_PER_DAY


@lru_cache(maxsize=512)
def _week(tariff: Tariff, conditions: tuple[Restrictions, ...]) -> _Week | None:
    """None where anything but the week, dates of vouchers and their bounds of power matter within a quarter."""
    elements = [element for element in tariff.elements if element.reserved is None]
    told = [element.restrictions for element in elements if element.restrictions is not None]
    if not all(one == _clock(one) for one in told) or not all(map(_at_quarters, (*told, *conditions))):
        return None
    clocks = [_clock(one) for one in conditions]
    times = {0, *(time // QUARTER_MIN for one in (*told, *clocks) for time in (one.start_time, one.end_time) if time)}
    places: dict[object, int] = {}
    prices: list[Priced] = []
    like: list[int] = []
    for place in range(QUARTERS_PER_WEEK):
        if place % QUARTERS_PER_DAY in times:
            state = State(MONDAY + place * QUARTER, 0, 0, None, None, None, None)
            asked = _prices(elements, state)
            each = tuple((dimension, id(incl)) for dimension, incl, _ in asked)
            first = places.setdefault((each, *(one.met(state) for one in clocks)), place)
        prices.append(asked)
        like.append(first)
    powers = [bound for one in conditions for bound in (one.min_power_w, one.max_power_w) if bound is not None]
    parts = lcm(*(bound.denominator for bound in powers))
    return _Week(
        tuple(prices), tuple(like), any(one.start_date or one.end_date for one in conditions),
        tuple(sorted(int(bound * parts) for bound in powers)), parts,
    )  # fmt: skip


def _clock(one: Restrictions) -> Restrictions:
    """What of it the time of day and the weekday decide."""
    return Restrictions(one.start_time, one.end_time, days=one.days)


def _at_quarters(one: Restrictions) -> bool:
    """Whether the clock meets it, or ceases to, at full quarters. It may ask for dates and powers as well."""
    bound = Restrictions(
        one.start_time, one.end_time, one.start_date, one.end_date, one.days, min_power_w=one.min_power_w,
        max_power_w=one.max_power_w,
    )  # fmt: skip
    return one == bound and not (one.start_time or 0) % QUARTER_MIN and not (one.end_time or 0) % QUARTER_MIN


def _prices(elements: Sequence[Element], state: State) -> Priced:
    """What has a price then; the same objects for the same prices."""
    found: list[tuple[Dimension, Fraction, Fraction | None]] = []
    for dimension in DIMENSIONS:
        priced = pricing(dimension, elements, state)
        if priced is not None and priced[1].incl_per_unit:
            found.append((dimension, priced[1].incl_per_unit, priced[1].excl_per_unit))
    return tuple(found)
