"""What was sold for a window stays under its site's power (V07)."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csms.domain import voucher_terms
from csms.domain.voucher_windows import EMPTY, PER_HOUR, WEEK, Sold, at, days_of, half_hours, is_full, load


def sold(wh: int = 28_000, days: int = 28, number: int = 1, **conditions: Any) -> Sold:
    return Sold(voucher_terms.read(None, conditions or None, "wh").conditions, wh, days, number)


NIGHT = {"start_time": "22:00", "end_time": "02:00"}


def test_a_voucher_is_spread_over_the_hours_of_its_window() -> None:
    watts = load([sold(**NIGHT)])

    assert at(watts, datetime(2026, 3, 2, 23, 30, tzinfo=UTC)) == 250  # 1 kWh a day in four hours
    assert at(watts, datetime(2026, 3, 3, 1, 59, tzinfo=UTC)) == 250
    assert at(watts, datetime(2026, 3, 3, 2, 0, tzinfo=UTC)) == 0


def test_a_window_is_full_when_one_more_would_draw_above_the_limit() -> None:
    one = sold(**NIGHT)

    assert not is_full(load([one._replace(number=3)]), one, 1_000)
    assert is_full(load([one._replace(number=4)]), one, 1_000)
    assert not is_full(load([one._replace(number=4)]), one, None)
    assert not is_full(load([one._replace(number=4)]), sold(start_time="03:00", end_time="04:00"), 1_000)


def test_powers_are_no_part_of_a_window_and_dates_say_on_how_many_days_it_is_used() -> None:
    dated = sold(max_power=11, start_date="2020-01-01", end_date="2020-01-02", **NIGHT).conditions

    assert half_hours(dated) == half_hours(sold(**NIGHT).conditions)
    assert (days_of(dated, 28), days_of(sold(**NIGHT).conditions, 28)) == (1, 28)


def test_a_half_hour_counts_that_is_met_for_a_few_minutes() -> None:
    short = sold(start_time="02:05", end_time="02:35", day_of_week=["MONDAY"]).conditions

    assert half_hours(short) == (4, 5)


SOLD = st.builds(
    lambda wh, days, number, start, end: sold(wh, days, number, start_time=f"{start:02}:00", end_time=f"{end:02}:30"),
    st.integers(1, 500_000),
    st.integers(1, 90),
    st.integers(1, 500),
    st.integers(0, 23),
    st.integers(0, 23),
)


@given(st.lists(SOLD, max_size=5))
def test_what_is_expected_in_a_week_is_what_was_sold_for_one(many: list[Sold]) -> None:
    watts = load(many)

    assert sum(watts) / PER_HOUR == sum((Fraction(one.wh * one.number * 7, one.days) for one in many), Fraction(0))


@given(st.lists(SOLD, max_size=4), SOLD, st.integers(1, 50_000))
def test_what_is_sold_while_it_fits_never_draws_above_the_limit(many: list[Sold], more: Sold, limit_w: int) -> None:
    standing: list[Sold] = []
    for one in (*many, more):
        if not is_full(load(standing), one, limit_w):
            standing.append(one._replace(number=1))

    assert len(EMPTY) == WEEK
    assert all(watts <= limit_w for watts in load(standing))
