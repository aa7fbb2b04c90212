"""
A day of stations, gateways and a psp in virtual time, from one seed: the same seed is the same day.

Frames are lost, doubled, late and out of order; gateways crash before and after the commit; stations
change gateways; verdicts come late, twice, never. Only the rules (`decide`) and the memory of a
gateway are real here. `laws.py` says what must hold at the end.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from csms.base.errors import LostRace
from csms.domain.authorization import Ask
from csms.domain.decide import decide
from csms.domain.events import AuthorizationDecided, Event, Outcome, SpendingChecked
from csms.domain.world import Changes, World
from csms.flows.memory import Memory
from csms.flows.report import SAVE_ATTEMPTS_MAX, lacking
from csms.store.road import Wanted
from tests.make import NOON
from tests.simulation import charges as scripts
from tests.simulation.charges import Charge, Draw, Report
from tests.simulation.store import Store
from tests.simulation.town import RULES, STATIONS, store_for

WAIT_S, GIVE_UP_S, SWEEP_S = 10.0, 120.0, 300.0

Reply = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each is."""

    lost: float = 0.12
    doubled: float = 0.15
    late: float = 0.10
    answer_lost: float = 0.08
    crash_before: float = 0.01
    crash_after: float = 0.015
    moves: float = 0.6
    dawdles: float = 0.8


FAULTS = Faults()
CALM = Faults(0, 0, 0, 0, 0, 0, 0, 0)
"""No faults: every frame arrives once, soon and in order."""


def decided(memory: Memory, store: Store, events: Sequence[Event]) -> tuple[World, list[Outcome], Changes]:
    """Recalls, loads and decides, and once more with what the rules lacked, as `Road` does it."""
    more: Wanted | None = None
    while True:
        world = World(RULES, priced=store.priced)
        wanted = memory.recall(world, events, more)
        if wanted is not None:
            store.load(world, wanted)
        outcomes, changes = decide(world, events)
        if not changes.lacking:
            return world, outcomes, changes
        assert more is None, "what was loaded is not lacking"
        more = lacking(world, changes)


@dataclass(slots=True, eq=False)
class Gateway:
    """One process: what waits, what it remembers, who waits for which verdict. A crash empties all of it."""

    name: str
    inbox: list[tuple[Event, Reply]] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    waiters: dict[UUID, list[tuple[Event, Outcome, Reply]]] = field(default_factory=dict)
    asking: set[UUID] = field(default_factory=set)
    life: int = 0
    lost: int = 0
    busy: bool = False

    def crash(self) -> None:
        """Everything in memory is gone; it is a new process from now on."""
        self.inbox, self.memory, self.waiters, self.asking = [], Memory(), {}, set()
        self.life += 1
        self.busy = False


@dataclass(frozen=True, slots=True)
class Part:
    """A batch that was decided and waits for its commit."""

    batch: list[tuple[Event, Reply]]
    world: World
    outcomes: list[Outcome]
    changes: Changes


@dataclass(slots=True)
class Psp:
    """What the psp did, by authorization: `held` or `declined`. Its answers may be late; its effects are not."""

    standing: dict[UUID, str] = field(default_factory=dict)

    def ask(self, ask: Ask) -> str:
        """One effect per authorization, however often it is asked for."""
        refuses = ask.subject.startswith(("declined", "late_no"))
        return self.standing.setdefault(ask.authorization_id, "declined" if refuses else "held")


def day(seed: int, count: int, lax: frozenset[str] = frozenset()) -> Play:
    """A day of `count` charges, run to its end."""
    return Play(seed, scripts.charges(random.Random(seed + 2), count, STATIONS, count * 1.5), lax=lax).run()


class Play:
    """One run. `delivered` counts the frames that reached a gateway."""

    def __init__(
        self,
        seed: int,
        made: list[Charge],
        faults: Faults = FAULTS,
        lax: frozenset[str] = frozenset(),
        began: float = 0.0,
    ) -> None:
        self.seed = seed
        self.faults = faults
        self.source = random.Random(seed)
        self.draw = Draw(random.Random(seed + 1))
        self.charges = made
        self.store = store_for(self.charges, lax)
        self.psp = Psp()
        self.gateways = [Gateway("g0"), Gateway("g1")]
        self.home = {name: self.source.choice(self.gateways) for name in [*STATIONS, "BARE"]}
        self.now = began
        self.given_up: set[bytes] = set()
        self.stuck: list[str] = []
        self.delivered = self.crashes = self.races = 0
        self._agenda: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0
        self.at(SWEEP_S, self.sweep)

    def clock(self) -> datetime:
        """The present instant of the run."""
        return NOON + timedelta(seconds=self.now)

    def at(self, delay_s: float, action: Callable[..., None], *arguments: Any) -> None:
        """Puts an action on the agenda."""
        self._planned += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._planned, action, arguments))

    def run(self) -> Play:
        """The whole day, and then the time it takes until nothing is left to happen, without new faults."""
        for charge in self.charges:
            self.at(charge.begins + charge.at_once * charge.seconds - self.now, self.tell, charge, 0)
        until = max(charge.begins + charge.seconds for charge in self.charges) + 3_600
        while self._agenda and self._agenda[0][0] < until:
            self._next()
        self.faults = CALM
        until += 10_000
        while self._agenda and self._agenda[0][0] < until:
            self._next()
        return self

    def _next(self) -> None:
        self.now, _, action, arguments = heapq.heappop(self._agenda)
        action(*arguments)

    # -- stations --------------------------------------------------------------------------------------------

    def tell(self, charge: Charge, place: int) -> None:
        """The station makes its next report. On 1.6 it needs the answer to its start before it goes on."""
        if charge.ref is None and place > 0 and charge.reports[place - 1].kind == "started":
            if not charge.reports[place - 1].answered:
                self.at(20, self.tell, charge, place)
                return
            charge.ref = charge.reports[place - 1].answers[0].ref
        report = charge.reports[place]
        self.send(report)
        if place + 1 < len(charge.reports):
            following = charge.reports[place + 1]
            offset = (following.at - NOON).total_seconds() - self.now
            self.at(max(offset, 0.0), self.tell, charge, place + 1)

    def send(self, report: Report) -> None:
        """One more frame of a report that is not answered yet, and perhaps its double; or it is lost on the way."""
        if report.answered:
            return
        draw, faults = self.source.random, self.faults
        frames = 0 if draw() < faults.lost else 2 if draw() < faults.doubled else 1
        for _ in range(frames):
            late = draw() < faults.late
            self.at(self.source.uniform(20, 1_500) if late else draw(), self.deliver, report)
        self.at(self.source.uniform(30, 90), self.send, report)

    def deliver(self, report: Report) -> None:
        """A frame arrives at the gateway where its station is connected."""
        station_id = report.charge.station_id
        if self.source.random() < self.faults.moves:
            self.home[station_id] = self.source.choice(self.gateways)
        gateway = self.home[station_id]
        self.delivered += 1
        event = scripts.frame(report, self.clock(), self.draw)
        self.submit(gateway, event, lambda outcome: self.answer(report, outcome))

    def answer(self, report: Report, outcome: Outcome) -> None:
        """The station gets its answer, unless that is lost."""
        report.answers.append(outcome)
        if self.source.random() >= self.faults.answer_lost:
            report.answered = True

    # -- gateways --------------------------------------------------------------------------------------------

    def submit(self, gateway: Gateway, event: Event, reply: Reply) -> None:
        """Puts a report on a gateway's road."""
        gateway.inbox.append((event, reply))
        if not gateway.busy:
            gateway.busy = True
            self.at(self.source.uniform(0, 2), self.turn, gateway, gateway.life)

    def turn(self, gateway: Gateway, life: int) -> None:
        """Loads and decides what waits, cut anywhere; the commit comes later, and others may come first."""
        if gateway.life != life:
            return
        size = self.source.randint(1, 40)
        batch, gateway.inbox = gateway.inbox[:size], gateway.inbox[size:]
        try:
            world, outcomes, changes = decided(gateway.memory, self.store, [event for event, _ in batch])
        except Exception as error:
            self.stuck.append(f"a rule broke: {error!r}")
            self.at(0.0, self.turn, gateway, life)
            return
        dawdles = self.source.random() < self.faults.dawdles
        part = Part(batch, world, outcomes, changes)
        self.at(self.source.uniform(0, 3) if dawdles else 0.0, self.commit, gateway, life, part)

    def commit(self, gateway: Gateway, life: int, part: Part) -> None:
        """Saves and answers, or crashes on either side of the commit, or finds that another gateway was first."""
        if gateway.life != life:
            return
        if self.source.random() < self.faults.crash_before:
            self.crash(gateway)
            return
        try:
            self.store.save(part.changes)
        except LostRace as race:
            self.races += 1
            gateway.lost += 1
            for event, _ in part.batch:
                gateway.memory.forget(event.station_id)
            if gateway.lost < SAVE_ATTEMPTS_MAX:
                gateway.inbox = part.batch + gateway.inbox
            else:
                self.stuck.append(f"a batch lost {gateway.lost} races, the last by {race}")
            self.at(0.0, self.turn, gateway, life)
            return
        gateway.lost = 0
        if self.source.random() < self.faults.crash_after:
            self.crash(gateway)
            return
        gateway.memory.remember(part.world)
        self.answers(gateway, part)
        gateway.busy = bool(gateway.inbox)
        if gateway.busy:
            self.at(self.source.uniform(0, 1), self.turn, gateway, life)

    def answers(self, gateway: Gateway, part: Part) -> None:
        """After the commit, as `Road` does it."""
        for (event, reply), outcome in zip(part.batch, part.outcomes, strict=True):
            if outcome.waits_for is None:
                reply(outcome)
            else:
                gateway.waiters.setdefault(outcome.waits_for, []).append((event, outcome, reply))
            if type(event) is AuthorizationDecided:
                gateway.asking.discard(event.authorization_id)
        for authorization_id, told in part.changes.verdicts.items():
            for event, waiting, reply in gateway.waiters.pop(authorization_id, ()):
                if waiting.ref in told:
                    reply(told[waiting.ref])
                else:
                    self.submit(gateway, event, reply)
        for (station_id, ref), at in part.changes.checks.items():
            self.submit(gateway, SpendingChecked(station_id, ref, at), lambda outcome: None)
        for ask in part.changes.asks.values():
            if ask.authorization_id not in gateway.asking:
                gateway.asking.add(ask.authorization_id)
                self.ask(gateway, ask)

    def crash(self, gateway: Gateway) -> None:
        """The process dies; its stations connect to the other one or to its successor."""
        self.crashes += 1
        gateway.crash()

    # -- the psp ---------------------------------------------------------------------------------------------

    def ask(self, gateway: Gateway, ask: Ask) -> None:
        """Asks, with an answer that comes as the kind of the driver says."""
        word = "authorized" if self.psp.ask(ask) == "held" else "declined"
        behaviour = ask.subject.split("-")[0]
        if behaviour in ("slow", "late_no"):
            delays = [(WAIT_S, "timed_out"), (self.source.uniform(WAIT_S, GIVE_UP_S), word)]
        elif behaviour == "never":
            delays = [(WAIT_S, "timed_out"), (GIVE_UP_S, "unknown")]
        else:
            first = self.source.uniform(0.05, WAIT_S - 0.1)
            delays = [(first, word)]
            if behaviour == "twice":
                delays.append((first + self.source.uniform(0, 30), word))
        for delay_s, verdict in delays:
            self.at(delay_s, self.verdict, gateway, gateway.life, ask.authorization_id, ask.station_id, verdict)

    def verdict(self, gateway: Gateway, life: int, authorization_id: UUID, station_id: str, word: str) -> None:
        """The psp's word reaches the process that asked, if that still lives."""
        if gateway.life == life:
            event = AuthorizationDecided(
                authorization_id, station_id, self.clock(), word, word, f"pay-{authorization_id}", self.draw.driver()
            )
            self.submit(gateway, event, lambda _: None)

    def sweep(self) -> None:
        """What the worker's timers do: unused authorizations go, asks that were left alone are cleared up."""
        now = self.clock()
        self.store.void_unused(now, timedelta(seconds=RULES.authorization_s_max))
        left_alone = now - timedelta(seconds=GIVE_UP_S * 1.5)
        for row in list(self.store.authorizations.values()):
            if row.state not in ("asking", "timed_out") or row.asked_at > left_alone:
                continue
            if not any(row.id in gateway.asking for gateway in self.gateways):
                gateway = self.source.choice(self.gateways)
                self.given_up.add(row.token_key)
                if row.state == "asking":
                    self.verdict(gateway, gateway.life, row.id, row.station_id, "timed_out")
                word = "authorized" if self.psp.standing.get(row.id) == "held" else "declined"
                self.verdict(gateway, gateway.life, row.id, row.station_id, word)
        self.at(SWEEP_S, self.sweep)
