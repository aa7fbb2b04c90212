"""Simulated time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from csms.clocks import JUMP_MAX, Simulated

START = datetime(2019, 6, 3, 7, tzinfo=UTC)


def test_a_simulated_clock_runs_at_its_speed() -> None:
    seconds = [100.0]
    clock = Simulated(START, 3600, lambda: seconds[0])
    assert clock() == START
    seconds[0] += 2
    assert clock() == START + timedelta(hours=2)
    clock.follow(START + timedelta(days=1))
    assert clock() == START + timedelta(hours=2), "only a clock of speed max follows reports"


def test_a_clock_of_speed_max_is_as_late_as_the_newest_report_and_never_goes_back() -> None:
    clock = Simulated(START, None)
    clock.follow(START + timedelta(hours=3))
    clock.follow(START + timedelta(hours=1))
    assert clock() == START + timedelta(hours=3)


def test_a_station_with_a_wrong_clock_does_not_take_the_system_along() -> None:
    clock = Simulated(START, None)
    clock.follow(START + JUMP_MAX + timedelta(seconds=1))
    assert clock() == START
