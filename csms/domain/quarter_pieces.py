"""
Sessions that are kept in quarters of an hour, in pieces: as `charge_pieces.pieces` cuts them, ten times as fast.

Where all that asks the clock changes at full quarters, nothing changes within one: no quarter need be cut, and a price
is known by the minute of the week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache

from csms.domain.charge_pieces import Piece
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import Dimension, Tariff
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number, Period, pricing
from csms.domain.tariff_restrictions import Restrictions, State

QUARTER_MIN, HOUR_MIN, DAY_MIN = 15, 60, 24 * 60
QUARTER_US = QUARTER_MIN * 60 * SECOND_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DIMENSIONS: tuple[Dimension, ...] = ("FLAT", "ENERGY", "TIME", "PARKING_TIME")

Priced = tuple[tuple[Dimension, Fraction, Fraction | None], ...]
"""What a dimension costs: tax included, and without."""


def pieces(
    periods: Sequence[Period], tariff: Tariff, zone: str | None, conditions: Iterable[Restrictions] = ()
) -> list[Piece] | None:
    """What of a session has a price, in the order of time; None where it has to be cut."""
    if not _by_quarters(tariff) or not all(_at_quarters(one) for one in conditions):
        return None
    if not all(_within_one(period) for period in periods):
        return None
    found: list[Piece] = []
    placed: dict[Dimension, Number] = dict.fromkeys(DIMENSIONS, 0)
    zone_info, begin = zone_of(zone), periods[0].start
    for period in periods:
        local = period.start.astimezone(zone_info).replace(tzinfo=None)
        elapsed_us = (period.start - begin) // MICROSECOND
        state = State(
            local, placed["ENERGY"], elapsed_us // SECOND_US if elapsed_us % SECOND_US == 0 else
            Fraction(elapsed_us, SECOND_US), period.min_power_w, period.max_power_w, period.min_current_a,
            period.max_current_a,
        )  # fmt: skip
        prices = _prices(tariff, local.weekday() * DAY_MIN + local.hour * HOUR_MIN + local.minute)
        energy = period.energy_wh
        parked: Number = period.parking_s if tariff.prices_parking else 0
        amounts = {
            "FLAT": 1, "ENERGY": energy, "TIME": period.charging_s + period.parking_s - parked, "PARKING_TIME": parked,
        }  # fmt: skip
        for dimension, incl, excl in prices:
            low, amount = placed[dimension], amounts[dimension]
            if amount and not (dimension == "FLAT" and low):
                found.append(Piece(dimension, low, low + amount, incl, excl, state))
                if dimension == "FLAT":
                    placed["FLAT"] = 1
        for dimension in ("ENERGY", "TIME", "PARKING_TIME"):
            placed[dimension] += amounts[dimension]
    return found


@lru_cache(maxsize=512)
def _by_quarters(tariff: Tariff) -> bool:
    """Whether its prices hang on nothing but times of day and weekdays, and change at full quarters."""
    told = [e.restrictions for e in tariff.elements if e.reserved is None and e.restrictions is not None]
    return all(one == Restrictions(one.start_time, one.end_time, days=one.days) and _at_quarters(one) for one in told)


def _at_quarters(one: Restrictions) -> bool:
    """Whether the clock meets it, or ceases to, at full quarters. It may ask for dates and powers as well."""
    bound = Restrictions(
        one.start_time, one.end_time, one.start_date, one.end_date, one.days, min_power_w=one.min_power_w,
        max_power_w=one.max_power_w,
    )  # fmt: skip
    return one == bound and not (one.start_time or 0) % QUARTER_MIN and not (one.end_time or 0) % QUARTER_MIN


def _within_one(period: Period) -> bool:
    first, last = (period.start - EPOCH) // MICROSECOND, (period.end - EPOCH) // MICROSECOND
    return first // QUARTER_US == max(first, last - 1) // QUARTER_US


@lru_cache(maxsize=65_536)
def _prices(tariff: Tariff, minute: int) -> Priced:
    """What has a price in this minute of the week; the same objects for the same prices."""
    day, clock = divmod(minute, DAY_MIN)
    local = datetime(2024, 1, 1 + day, *divmod(clock, HOUR_MIN), tzinfo=UTC).replace(tzinfo=None)  # from a Monday on
    state = State(local, 0, 0, None, None, None, None)
    elements = [element for element in tariff.elements if element.reserved is None]
    found: list[tuple[Dimension, Fraction, Fraction | None]] = []
    for dimension in DIMENSIONS:
        priced = pricing(dimension, elements, state)
        if priced is not None and priced[1].incl_per_unit:
            found.append((dimension, priced[1].incl_per_unit, priced[1].excl_per_unit))
    return tuple(found)
