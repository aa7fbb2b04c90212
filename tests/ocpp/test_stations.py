"""The newest admitted connection speaks for a station, in whichever order logins and ends arrive."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from csms.ocpp.limits import ENTRIES_MAX, SOURCE_FAILURES_MAX, STATION_FAILURES_MAX, FailedLogins
from csms.ocpp.stations import Stations
from csms.ocpp.wheel import Wheel


@dataclass(eq=False)
class Wire:
    """A connection, and whether it is open."""

    station_id: str
    epoch: int
    is_open: bool = field(default=True)


@given(st.permutations(range(1, 7)), st.data())
@settings(max_examples=200, deadline=None)
def test_one_connection_per_station_the_newest(epochs: list[int], data: st.DataObject) -> None:
    stations: Stations[Wire] = Stations()
    wires = [Wire("S1", epoch) for epoch in epochs]
    to_end: list[Wire] = []
    places = st.integers(0, 99)
    newest_seen = 0
    for wire in wires:
        loser = stations.admit(wire)
        if loser is not None:
            loser.is_open = False
            to_end.append(loser)
        newest_seen = max(newest_seen, wire.epoch)
        while to_end and data.draw(places) % 2:
            stations.release(to_end.pop(data.draw(places) % len(to_end)))
        found = stations.find("S1")
        assert found is not None
        assert found.epoch == newest_seen
        assert found.is_open
    for wire in to_end:
        assert not stations.release(wire)
    assert [wire.epoch for wire in wires if wire.is_open] == [6]
    last = stations.find("S1")
    assert last is not None
    assert stations.release(last)
    assert len(stations) == 0


def test_a_station_is_not_locked_out_by_others_who_fail_in_its_name() -> None:
    failed = FailedLogins()
    looked_at = _knock(failed, "S1", "6.6.6.6", 1_000)
    assert looked_at == STATION_FAILURES_MAX
    assert not failed.allows("S1", "6.6.6.6", 9)
    assert failed.allows("S1", "1.1.1.1", 9)


def test_logins_that_are_not_judged_yet_count_too() -> None:
    failed = FailedLogins()
    assert sum(failed.allows("S1", "6.6.6.6", 0) for _ in range(1_000)) == STATION_FAILURES_MAX
    for _ in range(STATION_FAILURES_MAX):
        failed.undecided("S1", "6.6.6.6", 0)
    assert failed.allows("S1", "6.6.6.6", 0)


def test_a_station_that_went_on_knocking_comes_in_soon_after_its_key_was_put_right() -> None:
    failed = FailedLogins()
    for second in range(0, 3_600, 2):
        _knock(failed, "S1", "1.1.1.1", 1, second)
    assert any(failed.allows("S1", "1.1.1.1", second) for second in range(3_600, 3_611, 2))


def test_a_station_that_reconnects_rightly_is_never_limited() -> None:
    failed = FailedLogins()
    for _ in range(1_000):
        assert failed.allows("S1", "1.1.1.1", 0)
        failed.succeeded("S1", "1.1.1.1", 0)


def test_a_known_station_comes_in_although_its_neighbour_behind_the_same_address_fails() -> None:
    failed = FailedLogins()
    assert failed.allows("S1", "1.1.1.1", 5)
    failed.succeeded("S1", "1.1.1.1", 5)
    looked_at = sum(_knock(failed, f"other {number}", "1.1.1.1", 1, 5) for number in range(1_000))
    assert looked_at == SOURCE_FAILURES_MAX
    assert not failed.allows("S2", "1.1.1.1", 5)
    assert failed.allows("S1", "1.1.1.1", 5)


def test_failures_are_forgotten_with_time() -> None:
    failed = FailedLogins()
    _knock(failed, "S1", "1.1.1.1", STATION_FAILURES_MAX)
    assert not failed.allows("S1", "1.1.1.1", 9)
    assert failed.allows("S1", "1.1.1.1", 10)
    assert not failed.allows("S1", "1.1.1.1", 11)


def test_what_is_remembered_of_failures_is_bounded() -> None:
    failed = FailedLogins()
    for number in range(ENTRIES_MAX + 500):
        failed.allows(f"S{number}", "1.1.1.1", 0)
        failed.failed(f"1.1.1.{number}", 0)
        failed.succeeded(f"S{number}", "1.1.1.1", 0)
    assert len(failed._stations._entries) == len(failed._sources._entries) == len(failed._proven) == ENTRIES_MAX


def _knock(failed: FailedLogins, station_id: str, source: str, times: int, now: int = 0) -> int:
    """Logins with a wrong key; answers how many were looked at."""
    looked_at = 0
    for _ in range(times):
        if failed.allows(station_id, source, now):
            looked_at += 1
            failed.failed(source, now)
    return looked_at


def test_the_wheel_runs_each_action_once_at_its_second() -> None:
    wheel = Wheel()
    ran: list[tuple[int, str]] = []
    wheel.after(2, lambda: ran.append((wheel.now, "two")))
    wheel.after(0, lambda: ran.append((wheel.now, "one")))
    for _ in range(4):
        wheel.tick()
    assert ran == [(1, "one"), (2, "two")]


def test_an_action_that_fails_takes_no_other_with_it() -> None:
    wheel = Wheel()
    ran: list[str] = []
    wheel.after(1, lambda: ran.append("before"))
    wheel.after(1, lambda: ran.remove("what is not there"))
    wheel.after(1, lambda: ran.append("behind"))
    wheel.tick()
    assert ran == ["before", "behind"]
