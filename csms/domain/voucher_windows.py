"""
How much power sold vouchers are expected to draw, by the half hours of a week: what was sold for a window must fit in.

A voucher's Wh are spread evenly over all half hours of its validity in which its conditions can be met. Dates and
powers are left out of it: a window is one of the week. Local to the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from csms.domain.tariff_restrictions import State
from csms.domain.voucher_terms import Conditions

PER_HOUR = 2
DAY, WEEK = 24 * PER_HOUR, 7 * 24 * PER_HOUR
MONDAY = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
"""Some Monday: windows know no dates."""

STATES = tuple(
    State(MONDAY + timedelta(minutes=60 // PER_HOUR * place), 0, 0, None, None, None, None) for place in range(WEEK)
)

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
    """The half hours of a week in which these conditions can be met."""
    restrictions = conditions.restrictions
    if restrictions is None:
        return tuple(range(WEEK))
    weekly = replace(restrictions, start_date=None, end_date=None, min_power_w=None, max_power_w=None)
    return tuple(place for place, state in enumerate(STATES) if weekly.met(state))


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
