"""
Any order, same custody, same net money: visits at a battery station told whenever they are told, against the same in
time.

The stations hand packs out by themselves (as one does that was offline, or knows no `Battery.Release`), so what really
happened is the same whatever we say. Compared are: where every pack is, what every driver has paid or owes, and how
often each pack was billed, for how much energy. Told late, and again in other words, are the release of a first pack,
insertions, releases, packs that were not taken, snapshots and states. What cannot be compared, and is not asked for:

- prices by time: until its release is told, a pack counts as taken when its slot could open. These tariffs have none;
- a station that tells of a visit only in part: a pack whose insertion nobody told of is found by a snapshot, and its
  level is what it is by then;
- a pack that was put in, or handed out, before its last move was told: nobody had it as far as anybody knew. A station
  replays its queue in order, so that takes two of them; people are told (`pack_out_without_leave`);
- a driver who cannot pay: what is told in time is refused, what is told late is debt.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from csms.domain import asset_events as said
from csms.domain import pack_events as moves
from csms.domain import packs, swap_in, swaps
from tests.domain.lending_town import ANN, BOB, NOON
from tests.simulation.pack_clock import run_clock
from tests.simulation.pack_stations import PackStations
from tests.simulation.swap_laws import always

HOUR = 3_600
DELAYS = st.sampled_from([0, 0, 0, 2, 25, 200, 700, 2 * HOUR, 20 * HOUR])
GONE = timedelta(days=4)
"""Before anything is overdue."""


End = Literal["takes", "leaves", "nothing"]
"""How a visit ends: another pack is taken; it is not, and its slot locks again; no slot opens."""


@dataclass(frozen=True)
class Visit:
    """A driver's pack goes in, another comes out `after_s` later; how late each is told, and again in other words."""

    driver: str
    rides_wh: int
    after_s: int
    delays: tuple[int, int]
    again: tuple[int | None, int | None]
    shown: bool
    end: End


visits = st.builds(
    Visit,
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([100, 500, 900]),
    st.sampled_from([5, 20]),
    st.tuples(DELAYS, DELAYS),
    st.tuples(st.none() | DELAYS, st.none() | DELAYS),
    st.booleans(),
    st.sampled_from(["takes", "takes", "takes", "leaves", "nothing"]),
)
Told = tuple[int, int | None]
"""How late something is told, and again in other words."""

firsts = st.tuples(*[st.tuples(st.sampled_from([0, 0, 25, HOUR, 2 * HOUR]), st.none() | DELAYS)] * 2)
Look = tuple[int, int, bool]
"""When a station looks at its slots, how late that is told, and whether by a snapshot or pack by pack."""

looks = st.lists(st.tuples(st.integers(0, 4), DELAYS, st.sampled_from([True, True, False])), max_size=4)


class Telling:
    """Ann and Bob, a pack each, at one station; visits every two hours. `lags`: how late what is put in is told."""

    def __init__(
        self, told: Sequence[Visit], seen: Sequence[Look], seed: int, lags: Sequence[int], firsts: Sequence[Told]
    ) -> None:
        self.lags, self.ready, self.only_back = list(lags), dict[str, Any](), set[Any]()
        self.town = town = PackStations() if firsts is AT_ONCE else PackStations(always)
        town.top_up("bob", 110_000)
        self.drawn, self.steps = random.Random(seed), itertools.count()
        self.queue: list[tuple[float, float, int, Callable[[], None]]] = []
        self.begun = (town.now - NOON).total_seconds()
        self.has = {"ann": self.first(ANN, firsts[0]), "bob": self.first(BOB, firsts[1])}
        self.slots: dict[int, str | None] = {1: None, 2: None, 3: None, 4: None}
        for code in {"b1", "b2", "b3"} - set(self.has.values()):
            self.slots[int(code[1])] = code
        self.slots[4] = "b7"
        for number, visit in enumerate(told):
            self.at(2 * HOUR * (number + 1), lambda v=visit, n=number: self.visit(v, n))  # type: ignore[misc]
        for hours, delay, at_once in seen:
            self.at(2 * HOUR * hours + HOUR, lambda d=delay, a=at_once: self.look(d) if a else self.states(d))  # type: ignore[misc]

    def at(self, seconds: float, work: Callable[[], None]) -> None:
        """What is due at one instant comes in any order."""
        heapq.heappush(self.queue, (seconds, self.drawn.random(), next(self.steps), work))

    def run(self) -> PackStations:
        town = self.town
        while self.queue:
            seconds, _, _, work = heapq.heappop(self.queue)
            run_clock(town, NOON + timedelta(seconds=self.begun + seconds))
            work()
            for _ in range(4):  # another pack, the own one: the clock has a say, too
                self.refuse()
                run_clock(town, town.now + timedelta(seconds=6))
        town.units("S1", self.slots)
        run_clock(town, NOON + GONE)
        town.units("S1", self.slots)
        return town

    def first(self, token: str, delays: Told) -> str:
        """A driver's first pack, by the app; that it was taken may be told later."""
        grant = self.town.granted(self.town.ask(token, "S1"))
        self.town.answer(grant.id)
        self.town.carried |= {errand.key for errand in self.town.to_carry()}
        assert grant.rental_id is not None and grant.item is not None
        rid = self.town.swap_of(grant.rental_id).rid
        self.tell(self.town.moved("out", rid, {grant.unit: grant.item}, at=self.town.later(1)), delays)
        return grant.item

    def refuse(self) -> None:
        """Where nobody takes a pack, no slot opens, whatever we say; else one has opened long since."""
        while waits := self.town.to_carry():
            errand = waits[0]
            self.town.carried.add(errand.key)
            if errand.payload.get("rid") in self.only_back:
                id_ = UUID(str(errand.payload["grant"]))
                self.town.tell(said.GrantAnswered("S1", self.town.now, id_, "rejected", "GrantExpired"))

    def tell(self, event: Any, delays: Told) -> None:
        """One report, and perhaps the same in other words."""
        start = (event.at - NOON).total_seconds() - self.begun
        for delay, more in zip(delays, ("", "-again"), strict=True):
            if delay is not None:
                told = replace(event, id=event.id + more, seq=None if more else event.seq)
                self.at(start + delay, lambda t=told: self.town.tell(replace(t, received_at=self.town.now)))  # type: ignore[misc]

    def visit(self, visit: Visit, number: int) -> None:
        """What happens; what is told of it is another matter."""
        town, mine = self.town, self.has.get(visit.driver)
        if mine is None:
            return
        town.levels[mine] = _ridden(town.levels[mine], visit.rides_wh)
        unit = next(unit for unit, code in self.slots.items() if code is None)
        token = {"ann": ANN, "bob": BOB}[visit.driver] if visit.shown else None
        inserted = town.moved("in", number + 1, {unit: mine}, token=token)
        self.tell(inserted, (visit.delays[0], visit.again[0]))
        self.slots[unit] = mine
        del self.has[visit.driver]
        self.ready[mine] = town.now + timedelta(seconds=self.lags[number])
        full = [it for it in self.slots.items() if it[1] is not None and self.ready.get(it[1], NOON) <= town.now]
        full = [it for it in full if it[1] != mine]
        if visit.end == "nothing" or not full:
            self.only_back.add(number + 1)
            return
        taken = visit.end == "takes"  # not always the one that is chosen; what is left there, is
        place, code = max(full, key=lambda it: (town.levels[it[1] or ""].soc, it[0] if taken else -it[0]))
        what, after_s = ("out", visit.after_s) if taken else ("timeout", 60)
        moved = town.moved(what, number + 1, {place: code or ""}, at=town.now + timedelta(seconds=after_s))
        self.tell(moved, (visit.delays[1], visit.again[1]))
        if not taken:
            return
        self.slots[place], self.has[visit.driver] = None, code or ""

    def look(self, delay: int) -> None:
        """The station says what is where at one time, and is heard at another."""
        town, before = self.town, dict(self.town.slots)
        for (station, unit), slot in before.items():
            if station == "S1":
                slot.pack = self.slots[unit]
        waiting = list(town.waiting)
        town.see("S1", late=True)
        event: Any = town.waiting[-1]
        town.waiting = waiting
        self.tell(event, (delay, None))

    def states(self, delay: int) -> None:
        """The station says how each pack is that stands in it."""
        for unit, code in self.slots.items():
            if code is not None:
                base = self.town.report("S1")
                state = moves.PackStated(**base, pack=self.town.levels[code], unit=unit, source="station")
                self.tell(state, (delay, None))


def _ridden(level: Any, wh: int) -> Any:
    less = wh * 10_000 * 10_000 // (1_500 * level.soh)
    return level._replace(soc=max(0, level.soc - less), discharge_wh=level.discharge_wh + wh)


def net(town: PackStations) -> dict[str, int]:
    """What each driver has paid or owes in the end, without what is still held."""
    kept: Counter[str | None] = Counter()
    for session in town.world.sessions.values():
        kept[session.driver_id] += town.accounts[f"session:{session.id}:held"]
    found = {}
    for driver in ("ann", "bob"):
        paid = town.topped[driver] - town.balance(driver) - town.accounts[f"driver:{driver}:debt"]
        found[driver] = paid - kept[driver]
    return found


def custody(town: PackStations) -> Any:
    assets = town.world.assets
    having = {r.item: r.driver_id for r in assets.rentals.values() if r.state in ("active", "overdue")}
    return [(i.code, i.place, i.station_id, i.unit, having.get(i.code)) for i in assets.items.values()]


def billed(town: PackStations) -> Any:
    """How often each pack was billed to whom, and for how much energy."""
    rentals = town.world.assets.rentals.values()
    return Counter((r.item, r.driver_id, r.battery_wh) for r in rentals if r.state == "closed")


AT_ONCE: Sequence[Told] = ((0, None), (0, None))
"""The reference, of which only the end counts: the laws are looked at where reports come as they come."""


def same_in_any_order(told: list[Visit], seen: list[Look], firsts: Sequence[Told], seed: int) -> None:
    """The law, for one set of visits."""
    told = [*map(_in_its_turn, told[:-1]), told[-1]]
    lags = [visit.delays[0] for visit in told]
    in_time = [replace(visit, delays=(0, 0), again=(None, None)) for visit in told]
    first, then = Telling(in_time, [], 0, lags, AT_ONCE).run(), Telling(told, seen, seed, lags, firsts).run()
    assert custody(then) == custody(first), "10: the same custody"
    assert billed(then) == billed(first), "10: the same packs billed to the same drivers"
    assert net(then) == net(first), "10: the same net money"


def _in_its_turn(visit: Visit) -> Visit:
    """A visit all of which is told before the next one."""
    return replace(visit, delays=(min(visit.delays[0], HOUR), min(visit.delays[1], HOUR)))


def play(examples: int, shrink: bool = False) -> None:
    """Many visits; a planted defect is only to be found, not made small."""

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, report_multiple_bugs=False,
        phases=tuple(Phase) if shrink else (Phase.generate,), suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(visits, min_size=1, max_size=4), looks, firsts, st.integers(0, 2**32))
    def any_order(told: list[Visit], seen: list[Look], firsts: Sequence[Told], seed: int) -> None:
        same_in_any_order(told, seen, firsts, seed)

    any_order()


def test_any_order_and_lateness_of_visits_ends_in_the_same_custody_and_the_same_net_money() -> None:
    play(45, shrink=True)


# -- planted ----------------------------------------------------------------------------------------------------------


def told_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """Things happen when they are heard of."""
    patch.setattr(swaps, "key_of", lambda world, event: (event.received_at, event.id))


def what_left_first_is_lost(patch: pytest.MonkeyPatch) -> None:
    """A pack that left before anybody told what was put in for it stays unknown."""
    patch.setattr(swap_in, "claimed", lambda world, changes, swap, now: swap)


def the_level_of_now_counts(patch: pytest.MonkeyPatch) -> None:
    """A pack is billed by its newest level, whichever report brought it back."""
    patch.setattr(packs, "level_of", lambda pack, state, at: None if pack is None else pack.level())
    patch.setattr(packs, "with_level_in", lambda assets, one: one)


def late_insertions_are_dropped(patch: pytest.MonkeyPatch) -> None:
    """What was put in long ago does not end its rental."""
    real = swap_in.returned

    def returned(world: Any, changes: Any, one: Any, place: Any, at: Any, now: Any, *, sure: bool) -> Any:
        return real(world, changes, one, place, at, now, sure=sure) if (now - at).seconds < 300 else one

    patch.setattr(swap_in, "returned", returned)


PLANTS = (
    told_by_arrival,
    what_left_first_is_lost,
    the_level_of_now_counts,
    late_insertions_are_dropped,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_how_visits_are_folded_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(200)  # those that take longest are found within a hundred
