"""
Any order, same net money: whole rentals whose reports are told whenever they are told, against the same in time.

What cannot be known is not asked for here (cabinets.py, returns.py):

- an item that is put back and taken out again by one opening: which of its returns ended the rental depends on what
  was known when it was billed;
- seconds: until `Item.Taken` is told, an item counts as taken when its door opened or closed. The journeys here are
  never within a minute of where a tier begins;
- a driver who cannot pay: late reports are billed to a balance that is there, or are debt. Both count as paid.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from csms.domain import asset_events as said
from csms.domain import cabinets, rental, rental_times, returns
from csms.domain.tariff_own import Used
from tests.domain.lending_town import ANN, BOB, NOON
from tests.simulation.lending_laws import always, at_rest, paid
from tests.simulation.lockers import Lockers

MINUTE, HOUR, DAY = 60, 3_600, 86_400
DELAYS = st.sampled_from([0, 0, 2, 30, 7 * MINUTE, HOUR, 30 * HOUR, 12 * DAY])
Kind = Literal["normal", "elsewhere", "nothing", "short", "late", "very late", "another door"]
HELD_S: dict[str, int] = {
    "normal": 20 * MINUTE, "elsewhere": 3 * HOUR, "short": 3 * MINUTE, "late": 40 * HOUR, "very late": 5 * DAY,
    "another door": 90 * MINUTE,
}  # fmt: skip
FEES = {"normal": 165, "elsewhere": 360, "nothing": 0, "short": 0, "late": 900 + 1_000, "very late": 900 + 3_000,
        "another door": 360}  # fmt: skip


@dataclass(frozen=True)
class Journey:
    """What a driver does, and how late each of the six reports of it is told, and once more."""

    kind: str
    delays: tuple[int, ...]
    again: tuple[int | None, ...]
    answer: str


journeys = st.builds(
    Journey,
    st.sampled_from(["normal", "elsewhere", "nothing", "short", "late", "very late", "another door"]),
    st.tuples(*[DELAYS] * 6),
    st.tuples(*[st.none() | DELAYS] * 6),
    st.sampled_from(["accepted", "accepted", "unknown"]),
)


Look = tuple[str, float, int]
"""A cabinet, when it looks, and how much later that is heard."""

looks = st.tuples(
    st.sampled_from(["C1", "C2"]),
    st.sampled_from([1.5, 5.0, 8.0, 100.0, 20 * MINUTE + 30.0, 4.0 * HOUR, 50.0 * HOUR, 6.0 * DAY]),
    DELAYS,
)


class Telling:
    """One or two journeys in a town, whose reports come in as the delays say; the clock runs meanwhile."""

    def __init__(self, journeys: list[Journey], seed: int, looks: Sequence[Look] = ()) -> None:
        self.town = Lockers(always)
        self.drawn = random.Random(seed)
        self.steps = itertools.count()
        self.queue: list[tuple[float, float, int, Any]] = []
        for number, journey in enumerate(journeys):
            self.at(10 * number, lambda n=number, j=journey: self.begin(n, j))
        for look in looks:
            self.see(*look)

    def at(self, seconds: float, work: Any) -> None:
        """What is due at one instant comes in any order."""
        heapq.heappush(self.queue, (seconds, self.drawn.random(), next(self.steps), work))

    def see(self, station: str, seconds: float, delay: int) -> None:
        """A cabinet says what is where at one time, and is heard at another."""

        def look() -> None:
            before = list(self.town.waiting)
            self.town.see(station, late=True)
            [told] = [event for event in self.town.waiting if event not in before]
            self.town.waiting = before
            self.at(seconds + delay, lambda: self.town.tell(replace(told, received_at=self.town.now)))  # type: ignore[call-arg]

        self.at(seconds, look)

    def run(self) -> Lockers:
        while self.queue:
            seconds, _, _, work = heapq.heappop(self.queue)
            self.town.run_clock(NOON + timedelta(seconds=seconds))
            work()
        self.town.run_clock(self.town.now + timedelta(days=70))
        at_rest(self.town)
        return self.town

    def tell(self, journey: Journey, number: int, seconds: float, event: Any) -> None:
        """A report of something that happens at `seconds`."""
        event = replace(event, at=NOON + timedelta(seconds=seconds))
        for delay in (journey.delays[number], journey.again[number]):
            if delay is not None:
                self.at(seconds + delay, lambda: self.town.tell(replace(event, received_at=self.town.now)))

    def begin(self, driver: int, journey: Journey) -> None:
        """The driver asks, the door opens, the item is taken or not."""
        town, start = self.town, (self.town.now - NOON).total_seconds()
        grant = town.granted(town.ask(BOB if driver else ANN, unit=driver + 1))
        box = town.boxes["C1", grant.unit]
        town.openings[grant.id].append(town.now)
        answered = said.GrantAnswered("C1", town.now, grant.id, journey.answer, None)  # type: ignore[arg-type]
        self.at(start + 1, lambda: town.tell(replace(answered, received_at=town.now)))
        self.tell(journey, 0, start + 2, town.door_event("C1", box.unit, "open", grant.id, True))
        is_taken = journey.kind != "nothing"
        if is_taken:
            town.box_emptied(box, grant.id)
            self.tell(journey, 1, start + 4, town.taken_event("C1", box.unit, grant.item or "", grant.id))
            held_s = HELD_S[journey.kind]
            self.at(start + 4 + held_s, lambda: self.end(journey, grant.rental_id, grant.item or "", box.unit))
        self.tell(journey, 2, start + 6, town.door_event("C1", box.unit, "closed", grant.id, not is_taken))

    def end(self, journey: Journey, rental_id: Any, item: str, taken_from: int) -> None:
        """The driver gives it back: by a grant, if the rental is known to be open, else where a door is."""
        town, start = self.town, (self.town.now - NOON).total_seconds()
        at = ("C2", taken_from) if journey.kind == "elsewhere" else ("C1", taken_from)
        if journey.kind == "another door":
            at = ("C1", 3) if town.boxes["C1", 3].item is None else ("C2", taken_from)
        ids = said.ReturnAsked(at[0], town.now, rental_id, town.new_id(), at[1], "totp", "ann")
        asset = town.tell(ids).asset
        gid = None if asset is None else asset.grant_id
        if gid is not None:
            town.openings[gid].append(town.now)
            town.tell(said.GrantAnswered(at[0], town.now, gid, "accepted", None))
        self.tell(journey, 3, start + 1, town.door_event(*at, "open", gid, False))
        self.tell(journey, 4, start + 2, town.placed_event(*at, item, gid))
        self.tell(journey, 5, start + 4, town.door_event(*at, "closed", gid, True))
        town.box_filled(town.boxes[at], item)


def net(town: Lockers) -> dict[str, int]:
    """What each driver has paid or owes in the end."""
    return {d: 100_000 - town.balance(d) - town.accounts[f"driver:{d}:debt"] for d in ("ann", "bob")}


def custody(town: Lockers) -> Any:
    return [(item.code, item.place, item.station_id, item.unit) for item in town.world.assets.items.values()]


def same_in_any_order(told: list[Journey], seen: list[Look], seed: int) -> None:
    """The law, for one set of journeys."""
    at_once = [replace(journey, delays=(0,) * 6, again=(None,) * 6, answer="accepted") for journey in told]
    in_order, as_it_came = Telling(at_once, 0).run(), Telling(told, seed, seen).run()

    assert net(in_order) == dict(zip(("ann", "bob"), [*[FEES[j.kind] for j in told], 0], strict=False))
    assert net(as_it_came) == net(in_order), "10: the same net money"
    assert custody(as_it_came) == custody(in_order), "10: the same custody"
    assert all(paid(as_it_came, rental) >= 0 for rental in as_it_came.world.assets.rentals.values())


def play(examples: int, shrink: bool = False) -> None:
    """Many journeys; a planted defect is only to be found, not made small."""

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, report_multiple_bugs=False,
        phases=tuple(Phase) if shrink else (Phase.generate,), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(journeys, min_size=1, max_size=2), st.lists(looks, max_size=3), st.integers(0, 2**32))
    def any_order(told: list[Journey], seen: list[Look], seed: int) -> None:
        same_in_any_order(told, seen, seed)

    any_order()


def test_any_order_and_lateness_of_reports_ends_in_the_same_custody_and_the_same_net_money() -> None:
    play(100, shrink=True)


@pytest.mark.parametrize("kind", list(FEES))
def test_a_journey_costs_what_its_time_costs(kind: str) -> None:
    town = Telling([Journey(kind, (0,) * 6, (None,) * 6, "accepted")], 0).run()
    assert net(town)["ann"] == FEES[kind]


# -- planted ----------------------------------------------------------------------------------------------------------


def late_since_the_taking(patch: pytest.MonkeyPatch) -> None:
    """Lateness is counted from when the item was taken, not from when it was due."""
    real = rental_times.late_s
    patch.setattr(rental_times, "late_s", lambda one, own, end: real(one._replace(due_at=one.taken_at), own, end))


def billed_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """Things happen when they are heard of."""
    patch.setattr(cabinets, "key_of", lambda world, event: (event.received_at, event.id))


def late_takings_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """What is told of a rental that was given up is ignored."""
    patch.setattr(returns, "revived", lambda *arguments: None)


def late_returns_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """A purchase stands, though the item was back in time and the cabinet could not say so."""
    patch.setattr(returns, "_is_news", lambda one, place, at: one.state == "deemed" and at > one.closed_at)


def no_free_time(patch: pytest.MonkeyPatch) -> None:
    """Five minutes cost as much as six."""
    patch.setattr(rental, "used", lambda one, own, end, currency: Used((end - one.taken_at).seconds, 1))


PLANTS = (
    late_since_the_taking,
    billed_by_arrival,
    late_takings_are_dropped,
    late_returns_are_dropped,
    no_free_time,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_what_is_billed_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(200)
