"""
Days of faults in virtual time, a hundred thousand reports of them: money and sessions come out right all the same.

A day that breaks a law names its seed; `broken(day(SEED, CHARGES))` plays the same day again.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import Event
from csms.flows.memory import Memory
from tests.make import authorized, ended, metered, started
from tests.simulation.laws import broken
from tests.simulation.play import Play, day, decided
from tests.simulation.store import Store
from tests.simulation.town import store_for

CHARGES = 3_000
DAYS = range(1, 8)


@pytest.mark.parametrize("seed", DAYS)
def test_after_a_day_of_faults_every_session_is_billed_once_and_the_books_are_right(seed: int) -> None:
    play = day(seed, CHARGES)

    assert broken(play) == []
    assert play.delivered > 4 * CHARGES
    assert min(play.crashes, play.races) > 20


def test_the_same_seed_plays_the_same_day() -> None:
    one, other = day(5, 200), day(5, 200)

    assert (one.delivered, one.crashes, one.races) == (other.delivered, other.crashes, other.races)
    assert one.store.bills == other.store.bills
    assert one.store.sessions == other.store.sessions


TOKEN = "A0000000"
STORY = (
    started(station_id="S1", token=None, connector=1),
    authorized(station_id="S1", token=TOKEN),
    metered(station_id="S1", minutes=15, wh=3_000),
    metered(station_id="S1", minutes=30, wh=6_000),
    ended(station_id="S1", wh=None),
)


@settings(max_examples=150, deadline=None)
@given(st.permutations(range(len(STORY))), st.lists(st.booleans(), min_size=10, max_size=10))
def test_where_batches_are_cut_changes_nothing(order: list[int], cuts: list[bool]) -> None:
    frames = [STORY[place] for place in order] * 2

    assert _told(frames, cuts) == _told(frames, [True] * len(frames)) == _told(frames, [False] * len(frames))


def _told(frames: Sequence[Event], cuts: list[bool]) -> list[object]:
    """What is stored after these reports in batches that end where `cuts` says so."""
    store, memory, batch = store_for([]), Memory(), list[Event]()
    for frame, is_cut in zip(frames, cuts, strict=True):
        batch.append(frame)
        if is_cut:
            _carry(store, memory, batch)
            batch = []
    _carry(store, memory, batch)
    (session,) = store.sessions.values()
    return [session._replace(version=0), store.bills and store.bills[0].price, store.guarded]


def _carry(store: Store, memory: Memory, batch: list[Event]) -> None:
    world, _, changes = decided(memory, store, batch)
    store.save(changes)
    memory.remember(world)


def test_a_day_without_faults_loses_no_race_and_hears_every_report_once() -> None:
    play = day(3, 300)
    calm = Play(3, [charge.again() for charge in play.charges], faults=play.faults).run()

    assert (calm.crashes, calm.races) == (0, 0)
    assert calm.delivered == sum(len(charge.reports) for charge in calm.charges)
    assert broken(calm) == []
