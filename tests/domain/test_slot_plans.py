"""What a station was told of charging its packs: what still stands, what must be told anew, who is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.charging_order import Slot, plan
from csms.domain.slot_limits import powers, together_above
from csms.domain.slot_plans import ABSENT, BACK_OFF, BACK_OFF_MAX, Change, Connection, Told, change, changes, told_now

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WAITS = ((0, 30), (1_000, 60), (0, 0))
FULL = ((1_000, 60), (0, 0))
HERE = Connection(7, None)
TOLD = Told(3, {1: (NOON, WAITS)})


def test_that_time_passes_is_nothing_to_tell() -> None:
    later = TOLD.standing(1, None, NOON + 10 * MINUTE)
    assert later == ((0, 20), (1_000, 60), (0, 0))
    assert change("B1", 1, later, ((0, 25), (1_000, 75), (0, 0))) is None


def test_another_power_or_another_order_is_told() -> None:
    assert change("B1", 1, WAITS, FULL) == Change("B1", 1, FULL, falls=False)
    assert change("B1", 1, FULL, WAITS) == Change("B1", 1, WAITS, falls=True)
    assert change("B1", 1, WAITS, ((0, 30), (900, 70), (0, 0))) is not None


def test_a_slot_that_was_told_nothing_may_take_all_so_whatever_it_is_told_is_less() -> None:
    assert TOLD.standing(2, None, NOON) is None
    assert change("B1", 2, None, FULL) == Change("B1", 2, FULL, falls=True)


def test_what_was_told_before_a_boot_is_not_trusted_to_stand() -> None:
    assert TOLD.standing(1, NOON + MINUTE, NOON + 2 * MINUTE) is None
    assert TOLD.standing(1, NOON - MINUTE, NOON) == WAITS


def test_what_was_accepted_stands_from_when_it_begins() -> None:
    now = told_now(TOLD, [(Change("B1", 2, FULL), "accepted")], NOON + MINUTE, NOON + 2 * MINUTE, HERE)
    assert now == Told(4, {1: (NOON, WAITS), 2: (NOON + MINUTE, FULL)})


def test_where_nobody_knows_what_was_heard_the_higher_limit_is_taken_to_stand() -> None:
    now = told_now(TOLD, [(Change("B1", 1, FULL), "unknown")], NOON, NOON, HERE)
    assert now.slots[1] == (NOON, ((1_000, 30), (1_000, 30), (1_000, 30), (0, 0)))
    assert told_now(TOLD, [(Change("B1", 2, FULL), "unknown")], NOON, NOON, HERE).slots.keys() == {1}


def test_a_limit_that_is_lifted_stands_no_more() -> None:
    now = told_now(TOLD, [(Change("B1", 1, ((5_000, 0),), lifts=True), "accepted")], NOON, NOON, HERE)
    assert now == Told(4, {})


@pytest.mark.parametrize("end", ["away", "unknown"])
def test_who_does_not_answer_is_left_alone_longer_each_time_unless_it_connects_anew(end: str) -> None:
    told = TOLD
    for minutes in (2, 4, 8, 16, 32, 60, 60):
        told = told_now(told, [(Change("B1", 1, FULL), end)], NOON, NOON, HERE)  # type: ignore[list-item]
        assert told.again_at == NOON + minutes * MINUTE
    assert told.is_left_alone(2, 7, NOON) and not told.is_left_alone(2, 8, NOON)
    assert not told.is_left_alone(2, 7, NOON + BACK_OFF_MAX)
    assert told_now(told, [(Change("B1", 1, FULL), "accepted")], NOON, NOON, HERE).failures == 0


def test_a_slot_that_refuses_is_left_alone_and_the_others_are_not() -> None:
    ends = [(Change("B1", 1, FULL), "refused"), (Change("B1", 2, FULL), "accepted")]
    now = told_now(TOLD, ends, NOON, NOON, HERE)  # type: ignore[arg-type]
    assert now.is_left_alone(1, 8, NOON) and not now.is_left_alone(2, 7, NOON)
    assert not now.is_left_alone(1, 7, NOON + BACK_OFF)
    assert now.slots[1] == (NOON, WAITS)
    again = told_now(now, ends, NOON, NOON, HERE)  # type: ignore[arg-type]
    assert again.refused[1] == (2, NOON + 2 * BACK_OFF)
    assert told_now(again, [(Change("B1", 1, FULL), "accepted")], NOON, NOON, HERE).refused == {}


def test_who_has_no_such_call_is_left_alone_for_a_day_however_often_it_connects() -> None:
    now = told_now(TOLD, [(Change("B1", 1, FULL), "absent")], NOON, NOON, HERE)
    assert now.is_left_alone(1, 8, NOON + ABSENT - MINUTE) and not now.is_left_alone(1, 7, NOON + ABSENT)


def test_of_two_plans_not_even_a_later_minute_may_exceed_the_cap() -> None:
    standing = {("B1", 1): FULL, ("B1", 2): ((0, 60), (1_000, 30), (0, 0)), ("B1", 3): ((0, 0),)}
    slots = [Slot("B1", 1, 1_000, 1_000), Slot("B1", 2, 2_000, 1_000), Slot("B1", 3, 500, 1_000)]
    planned = {place: charging.limits for place, charging in plan(slots, 1_000).items()}
    told = {new.unit: new for new in changes(standing, planned, 1_000)}
    assert change("B1", 2, standing["B1", 2], planned["B1", 2]) is None
    assert told.keys() == {1, 2, 3}
    assert (told[1].falls, told[2].falls, told[3].falls) == (True, True, False)


@st.composite
def needs(draw: st.DrawFn) -> list[Slot]:
    return [Slot("B1", unit, draw(st.none() | st.integers(0, 3_000)), 1_500) for unit in range(1, 5)]


@given(needs(), needs(), st.integers(0, 300), st.integers(1_000, 4_000), st.integers(1_000, 4_000))
def test_after_all_was_told_what_stands_keeps_the_cap_and_nothing_is_left_to_tell(
    before: list[Slot], after: list[Slot], minutes: int, cap_before: int, cap_w: int
) -> None:
    first = plan(before, cap_before)
    told = Told(1, {unit: (NOON, first["B1", unit].limits) for unit in range(1, 5)})
    now = NOON + minutes * MINUTE
    standing = {("B1", unit): told.standing(unit, None, now) for unit in range(1, 5)}
    planned = {place: charging.limits for place, charging in plan(after, cap_w).items()}
    news = changes(standing, planned, cap_w)
    told = told_now(told, [(new, "accepted") for new in news], now, now, HERE)
    found = {("B1", unit): told.standing(unit, None, now) for unit in range(1, 5)}
    assert all(limits is not None and powers(limits) == powers(planned[place]) for place, limits in found.items())
    assert not together_above([limits for limits in found.values() if limits], [], cap_w)
    assert changes(found, planned, cap_w) == []
