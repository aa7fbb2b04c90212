"""Pieces of power over time: what is left of them, when they have given enough, when two of them agree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.slot_limits import (
    NOTHING,
    Limits,
    highest,
    in_steps,
    most_within,
    power_at,
    powers,
    reached_at,
    still,
    together_above,
)

LIMITS: Limits = ((0, 30), (1_000, 60), (0, 0))

pieces = st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 120)), min_size=1, max_size=5).map(tuple)
minutes = st.integers(0, 700)


def test_steps_of_one_power_are_one_piece_and_the_end_is_nothing() -> None:
    assert in_steps([0, 0, 1_000, 1_000, 1_000, 1_000, 0], 15) == LIMITS
    assert in_steps([], 15) == in_steps([0, 0], 15) == NOTHING
    assert in_steps([500], 15) == ((500, 15), (0, 0))


def test_what_has_passed_is_left_out() -> None:
    assert still(LIMITS, 0) == LIMITS
    assert still(LIMITS, 29) == ((0, 1), (1_000, 60), (0, 0))
    assert still(LIMITS, 30) == ((1_000, 60), (0, 0))
    assert still(LIMITS, 90) == still(LIMITS, 9_999) == NOTHING


def test_limits_agree_that_change_to_the_same_powers_at_other_times() -> None:
    assert powers(((0, 5), (1_000, 20), (1_000, 20), (0, 0))) == powers(LIMITS) == (0, 1_000, 0)
    assert powers(((1_000, 5), (0, 0))) != powers(LIMITS)


def test_begun_minutes_count_whole() -> None:
    assert reached_at(LIMITS, 0) == 0
    assert reached_at(LIMITS, 1) == 31
    assert reached_at(LIMITS, 999) == reached_at(LIMITS, 1_000) == 90
    assert reached_at(LIMITS, 1_001) is None
    assert reached_at(((0, 30), (1_000, 0)), 5_000) == 330


@given(pieces, minutes, minutes)
def test_time_passes_in_any_portions(limits: Limits, some: int, more: int) -> None:
    assert still(still(limits, some), more) == still(limits, some + more)
    assert power_at(still(limits, some), more) == power_at(limits, some + more)


@given(pieces, minutes, st.integers(1, 60))
def test_the_most_within_a_time_is_the_most_of_its_minutes(limits: Limits, begins: int, length: int) -> None:
    each = [power_at(limits, minute) for minute in range(begins, begins + length)]
    assert most_within(limits, begins, begins + length) == max(each)


@given(pieces, pieces, minutes)
def test_of_two_the_higher_counts_at_every_minute(one: Limits, other: Limits, minute: int) -> None:
    assert power_at(highest(one, other), minute) == max(power_at(one, minute), power_at(other, minute))


@given(st.lists(pieces, max_size=4), st.lists(pieces, max_size=4), st.integers(0, 10_000))
def test_together_they_exceed_what_they_may_if_they_do_at_any_minute(
    some: list[Limits], others: list[Limits], most_w: int
) -> None:
    def sum_at(several: list[Limits], minute: int) -> int:
        return sum(power_at(limits, minute) for limits in several)

    exceed = [sum_at(some, minute) > max(most_w, sum_at(others, minute)) for minute in range(700)]
    assert together_above(some, others, most_w) == any(exceed)


@given(pieces, st.integers(0, 20_000))
def test_enough_is_given_at_the_minute_that_is_told_and_not_before(limits: Limits, need_wh: int) -> None:
    at = reached_at(limits, need_wh)
    given_by = [0]
    for minute in range(2_000):
        given_by.append(given_by[-1] + power_at(limits, minute))
    expected = next((minute for minute, wmin in enumerate(given_by) if wmin >= need_wh * 60), None)
    assert at == expected or (at is not None and at > 2_000 and expected is None)
