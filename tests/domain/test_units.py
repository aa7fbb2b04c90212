"""Units: steps round up, time is counted between instants."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from csms.base.units import round_up_to_step, seconds_between


@given(st.integers(0, 10**9), st.integers(1, 10**6))
def test_a_step_rounds_up_by_less_than_itself(amount: int, step: int) -> None:
    rounded = round_up_to_step(amount, step)
    assert rounded % step == 0
    assert 0 <= rounded - amount < step


def test_a_step_of_zero_changes_nothing() -> None:
    assert round_up_to_step(Fraction(1152, 10), 0) == Fraction(1152, 10)


def test_the_hour_that_happens_twice_counts_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    before = datetime(2026, 10, 25, 1, 30, tzinfo=berlin)
    after = datetime(2026, 10, 25, 3, 30, tzinfo=berlin)
    utc = ZoneInfo("UTC")
    assert seconds_between(before.astimezone(utc), after.astimezone(utc)) == 3 * 3600
    assert seconds_between(before, after) == 3 * 3600
    assert seconds_between(after, before) == 0
