"""
How much power sold vouchers are expected to draw, by the half hours of a week: what was sold for a window must fit in.

A voucher's Wh are spread evenly over all half hours of the days on which it can be used in which its conditions can be
met; powers are left out of it. A window is one of the week, local to the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from csms.domain.tariff_restrictions import Restrictions, State
from csms.domain.voucher_terms import Conditions

PER_HOUR = 2
DAY, WEEK = 24 * PER_HOUR, 7 * 24 * PER_HOUR
MONDAY = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Some Monday: windows know no dates."""

MINUTES = 60 // PER_HOUR

Load = tuple[Fraction, ...]
"""W by the half hours of a week, from Monday at midnight."""

EMPTY: Load = (Fraction(0),) * WEEK


class Sold(NamedTuple):
    """So many vouchers of one kind: `wh` each, valid for `days`."""

    conditions: Conditions
    wh: int
    days: int
    number: int = 1


def half_hours(conditions: Conditions) -> tuple[int, ...]:
    """The half hours of a week in which these conditions can be met, be it for a minute."""
    restrictions = conditions.restrictions
    if restrictions is None:
        return tuple(range(WEEK))
    return _half_hours(replace(restrictions, start_date=None, end_date=None, min_power_w=None, max_power_w=None))


@lru_cache(maxsize=512)
def _half_hours(weekly: Restrictions) -> tuple[int, ...]:
    def is_met(minute: int) -> bool:
        return weekly.met(State(MONDAY + timedelta(minutes=minute), 0, 0, None, None, None, None))

    begins = {0, (weekly.start_time or 0) % MINUTES}  # it is met from a full half hour on, or from its start on
    return tuple(place for place in range(WEEK) if any(is_met(place * MINUTES + minute) for minute in begins))


def days_of(conditions: Conditions, valid_days: int) -> int:
    """On how many days it can be used at most: those between its dates, where it has both."""
    told = conditions.restrictions
    if told is None or told.start_date is None or told.end_date is None:
        return valid_days
    return min(valid_days, (told.end_date - told.start_date).days)


def load(sold: Iterable[Sold]) -> Load:
    """The power that they are expected to draw together."""
    watts = list(EMPTY)
    for one in sold:
        places = half_hours(one.conditions)
        if not places:
            continue
        each = Fraction(one.wh * one.number * PER_HOUR * 7, one.days * len(places))
        for place in places:
            watts[place] += each
    return tuple(watts)


def is_full(standing: Load, more: Sold, limit_w: int | None) -> bool:
    """Whether one voucher more would draw above a limit in one of its half hours; without a limit nothing is full."""
    if limit_w is None:
        return False
    added = load([more._replace(number=1)])
    return any(extra and before + extra > limit_w for before, extra in zip(standing, added, strict=True))


def at(standing: Sequence[Fraction], local: datetime) -> Fraction:
    """What is expected to be drawn at an instant of the site's wall clock."""
    minutes = local.hour * 60 + local.minute
    return standing[local.weekday() * DAY + minutes * PER_HOUR // 60]
