"""Packs that are kept for drivers: at which instants, for whom, and only until they came."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.pack_rows import Reservation
from csms.domain.reservations import kept_for_others, running, used

SEOUL, BERLIN = "Asia/Seoul", "Europe/Berlin"
MONDAY = date(2026, 11, 16)
EVERY_DAY = 127


def kept(begins: int = 8 * 60, minutes: int = 60, **more: object) -> Reservation:
    """Two packs for Ann from eight to nine every day, in Seoul."""
    base = Reservation(
        UUID(int=1), 1, "B1", "ann", None, 2, EVERY_DAY, begins, minutes, MONDAY, None, SEOUL, None,
    )  # fmt: skip
    return base._replace(**more)  # type: ignore[arg-type]


def local(text: str, zone: str = SEOUL, fold: int = 0) -> datetime:
    """The instant at which clocks in a zone show this."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("clock", "runs"), [("07:59:59", False), ("08:00", True), ("08:59:59", True), ("09:00", False)]
)
def test_packs_are_kept_from_its_time_on_for_its_minutes(clock: str, runs: bool) -> None:
    assert running(kept(), local(f"2026-11-20T{clock}")) == (date(2026, 11, 20) if runs else None)


@pytest.mark.parametrize(("day", "runs"), [(16, True), (17, False), (21, False), (22, True), (23, True)])
def test_days_are_a_bit_each_from_monday_to_sunday(day: int, runs: bool) -> None:
    assert (running(kept(days=1 | 64), local(f"2026-11-{day}T08:30")) is not None) == runs


def test_an_occurrence_that_passes_midnight_belongs_to_the_day_it_began_on() -> None:
    night = kept(23 * 60, 180, days=1, until_date=MONDAY)
    assert running(night, local("2026-11-17T01:59")) == MONDAY
    assert running(night, local("2026-11-17T02:00")) is None
    assert running(night, local("2026-11-17T23:30")) is None


@pytest.mark.parametrize(("day", "runs"), [(15, False), (16, True), (18, True), (19, False)])
def test_it_occurs_from_its_first_day_to_its_last(day: int, runs: bool) -> None:
    limited = kept(until_date=date(2026, 11, 18))
    assert (running(limited, local(f"2026-11-{day}T08:30")) is not None) == runs


def test_when_clocks_are_put_forward_a_skipped_time_comes_later_and_lasts_as_long() -> None:
    spring = kept(2 * 60 + 30, 60, time_zone=BERLIN, from_date=date(2026, 3, 29))
    assert running(spring, local("2026-03-29T03:29", BERLIN)) is None
    assert running(spring, local("2026-03-29T03:30", BERLIN)) == date(2026, 3, 29)
    assert running(spring, local("2026-03-29T04:30", BERLIN)) is None


def test_when_clocks_are_put_back_it_begins_with_the_first_of_two_times_and_lasts_as_long() -> None:
    autumn = kept(2 * 60 + 30, 60, time_zone=BERLIN, from_date=date(2026, 10, 25))
    assert running(autumn, local("2026-10-25T02:30", BERLIN, fold=0)) == date(2026, 10, 25)
    assert running(autumn, local("2026-10-25T02:29", BERLIN, fold=1)) == date(2026, 10, 25)
    assert running(autumn, local("2026-10-25T02:30", BERLIN, fold=1)) is None


def test_packs_are_kept_for_others_of_the_type_they_want() -> None:
    at = local("2026-11-20T08:30")
    mine = [kept(), kept(driver_id="bob", item_type="b1", wanted=3), kept(driver_id="eve", begins=0, minutes=1)]
    assert kept_for_others(mine, "ann", "b1", at) == 3
    assert kept_for_others(mine, "ann", "b2", at) == 0
    assert kept_for_others(mine, "bob", "b2", at) == 2
    assert kept_for_others(mine, None, None, at) == 5
    assert kept_for_others(mine, None, None, at - timedelta(hours=1)) == 0


def test_who_came_is_kept_nothing_more_on_that_day_but_on_the_next() -> None:
    at = local("2026-11-20T08:30")
    came = used(kept(), at)
    assert came is not None and came.used_on == date(2026, 11, 20)
    assert kept_for_others([came], "bob", None, at) == 0
    assert used(came, at + timedelta(minutes=5)) is None
    assert kept_for_others([came], "bob", None, at + timedelta(days=1)) == 2


def test_who_comes_at_another_time_uses_nothing_up() -> None:
    assert used(kept(), local("2026-11-20T09:00")) is None


ZONES = [SEOUL, BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca"]
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
instants = st.integers(0, 365 * 86_400).map(lambda seconds: YEAR + timedelta(seconds=seconds))
dates = st.dates(date(2025, 12, 1), date(2027, 1, 1))


@st.composite
def reservations(draw: st.DrawFn) -> Reservation:
    from_date = draw(dates)
    until_date = draw(st.none() | st.dates(from_date, date(2027, 1, 1)))
    return kept(
        draw(st.integers(0, 1_439)), draw(st.integers(1, 1_440)), days=draw(st.integers(1, EVERY_DAY)),
        time_zone=draw(st.sampled_from(ZONES)), from_date=from_date, until_date=until_date,
        used_on=draw(st.none() | dates), driver_id=draw(st.sampled_from(["ann", "bob"])),
        item_type=draw(st.sampled_from([None, "b1", "b2"])), wanted=draw(st.integers(1, 16)),
    )  # fmt: skip


@given(reservations(), instants)
def test_what_runs_is_a_day_of_it_that_began_at_most_its_minutes_ago(mine: Reservation, now: datetime) -> None:
    day = running(mine, now)
    if day is None:
        return
    assert mine.days & 1 << day.weekday() and mine.from_date <= day and (mine.used_on is None or day > mine.used_on)
    assert mine.until_date is None or day <= mine.until_date
    assert running(mine, now - timedelta(minutes=mine.minutes)) != day
    assert running(mine, now + timedelta(minutes=mine.minutes)) != day


@given(reservations(), dates, st.integers(0, 1_440 * 60 - 1))
def test_every_day_of_it_runs_from_its_time_for_exactly_its_minutes(mine: Reservation, day: date, second: int) -> None:
    mine = mine._replace(from_date=day, until_date=day, days=EVERY_DAY, used_on=None)
    began = datetime(day.year, day.month, day.day, *divmod(mine.begins, 60), tzinfo=ZoneInfo(mine.time_zone))
    now = began.astimezone(UTC) + timedelta(seconds=second)
    assert running(mine, now) == (day if second < mine.minutes * 60 else None)
    assert running(mine, began.astimezone(UTC) - timedelta(seconds=1)) is None


@given(reservations(), instants)
def test_an_occurrence_is_used_once(mine: Reservation, now: datetime) -> None:
    came = mine
    for _ in range(2):  # two may run at once where clocks are put forward
        came = used(came, now) or came
    assert running(came, now) is None
    assert came._replace(used_on=mine.used_on) == mine


@given(st.lists(reservations(), max_size=6), st.sampled_from([None, "b1", "b2"]), instants)
def test_more_is_kept_for_a_stranger_than_for_any_driver(
    mine: list[Reservation], item_type: str | None, now: datetime
) -> None:
    stranger = kept_for_others(mine, None, item_type, now)
    assert 0 <= kept_for_others(mine, "ann", item_type, now) <= stranger <= kept_for_others(mine, None, None, now)
    assert kept_for_others(mine, "ann", item_type, now) == kept_for_others(
        [one for one in reversed(mine) if one.driver_id != "ann"], None, item_type, now
    )
