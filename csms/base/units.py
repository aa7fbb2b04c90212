"""Units of what is measured and shared: watt-hours, seconds, basis points. All are integers."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

WH_PER_KWH = 1_000
SECONDS_PER_HOUR = 3_600
BASIS_POINTS = 10_000
"""Basis points of a whole: 250 of them are 2.5 percent."""


def seconds_between(earlier: datetime, later: datetime) -> int:
    """
    Whole seconds from `earlier` to `later` (both aware), never below 0.

    Counted in UTC: Python subtracts two times of one zone by their wall clocks, an hour wrong
    across a change of summer time.
    """
    assert earlier.tzinfo is not None
    assert later.tzinfo is not None
    return max(0, int((later.astimezone(UTC) - earlier.astimezone(UTC)).total_seconds()))


def round_up_to_step(amount: int | Fraction, step: int) -> int | Fraction:
    """The smallest multiple of `step` that is not below `amount` (>= 0); a step of 0 leaves it as it is."""
    assert amount >= 0
    assert step >= 0
    return -(-amount // step) * step if step else amount
