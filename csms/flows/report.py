"""
The batch road: from what stations report to what is stored, and back to their answers.

What arrives while a commit runs is the next batch: load for all, decide each, save all in one
call, answer all (docs/explanation/architecture.md). One writer per process; it survives everything.

A lost race (CS001) loads and decides again. A database that is away is waited for, its reports
unanswered, so that stations keep them. Only what the database or a rule cannot digest is
bisected: the one bad report is parked with its text and still answered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime
from uuid import UUID

import asyncpg
import structlog

from csms import observe
from csms.base.ids import uuid7
from csms.db import SQL, Connection
from csms.domain.authorization import Ask
from csms.domain.decide import decide
from csms.domain.events import (
    AuthorizationDecided,
    Event,
    Outcome,
    SessionAuthorized,
    SessionStarted,
    SpendingChecked,
    TokenPresented,
    Unreadable,
)
from csms.domain.world import Changes, Rules, World
from csms.flows.memory import Memory
from csms.store import road

BATCH_MAX = 2_000
"""Reports in one transaction: enough to be limited by the stations, few enough for a quick commit."""

SAVE_ATTEMPTS_MAX = 6
"""Lost races in a row before a batch is taken apart."""

ALONE_ATTEMPTS_MAX = 60
"""Lost races in a row before a single report is parked: its rivals must have finished long since."""

ALONE_WAIT_S = 0.01

RECONNECT_S_MAX = 2.0

TROUBLE_S = 0.2
"""Pause before trying again what the database would not write though no report is to blame: it is full or read only."""

BROKEN = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What the driver raises when a connection breaks, at whatever moment."""

TRANSIENT = ("08", "40", "57")
"""Classes of SQLSTATE that a new connection mends."""

REPORTS_FAULT = ("22", "23")
"""Classes of SQLSTATE that a report may be to blame for; for nothing else that the database says is one parked."""

JUDGED = frozenset({TokenPresented, SessionStarted, SessionAuthorized})
"""The reports whose outcome judges a driver."""

SUSPECT_S = 300.0
"""How long a station whose report had to be parked travels alone, so that it slows nobody else down."""

Reply = Callable[[Outcome], None]
Item = tuple[Event, Reply]

log = structlog.get_logger("road")


class Road:
    """
    The one writer of reports in this process.

    `connect` opens the writer's own connection, `ask` starts asking a psp, `wake` tells the worker
    of new errands, `at_point` is called at named points (tests end the process there).
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        rules: Rules,
        ask: Callable[[Ask], None],
        wake: Callable[[], None],
        at_point: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._connect = connect
        self._rules = rules
        self._ask = ask
        self._wake = wake
        self._at_point = at_point
        self._memory = Memory()
        self._inbox: list[Item] = []
        self._checks: set[tuple[str, str]] = set()  # sessions that the inbox has a look for
        self._arrived = asyncio.Event()
        self._waiters: dict[UUID, list[tuple[Event, Outcome, Reply]]] = {}
        self._asking: set[UUID] = set()
        self._suspects: dict[str, float] = {}
        self._days: set[date] = set()
        self._pack_days: set[date] = set()
        self._conn: Connection | None = None
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    # -- for the edges ------------------------------------------------------------------------------

    def submit(self, event: Event, reply: Reply) -> None:
        """Puts a report on the road. `reply` is called once, after the commit that stores it, never before."""
        self._inbox.append((event, reply))
        if len(self._inbox) == 1:
            self._arrived.set()

    def check(self, event: SpendingChecked) -> None:
        """
        Has a session's spending looked at; nobody waits for the outcome.

        One look that has not begun is enough: while the database is away they would pile up.
        """
        key = (event.station_id, event.ref)
        if key not in self._checks:
            self._checks.add(key)
            self.submit(event, _nobody_waits)

    def spending_due(self, now: datetime) -> list[tuple[str, str]]:
        """Sessions (station, ref) that run here and whose spending is to be looked at because of the time."""
        return self._memory.due(now)

    def is_ready(self) -> bool:
        """Whether reports are being written."""
        return self._conn is not None and self._writer is not None and not self._writer.done()

    async def start(self) -> None:
        """Connects and begins to write."""
        self._conn = await self._connect()
        self._writer = asyncio.create_task(self._run(), name="road")

    async def close(self) -> None:
        """Writes what waits and stops."""
        self._closing = True
        self._arrived.set()
        if self._writer is not None:
            await self._writer
        if self._conn is not None:
            await self._conn.close()

    # -- the writer -----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            if not self._inbox:
                if self._closing:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
            if self._checks:
                self._checks -= {(event.station_id, event.ref) for event, _ in batch if type(event) is SpendingChecked}
            for part in self._lanes(batch):
                try:
                    await self._carry(part)
                except Exception:  # whatever it was, the stations behind this batch are still served
                    log.exception("batch_lost", reports=len(part))

    def _lanes(self, batch: list[Item]) -> list[list[Item]]:
        """The batch, and apart from it the reports of every station that needed one parked lately."""
        if not self._suspects:
            return [batch]
        now = time.monotonic()
        self._suspects = {station: until for station, until in self._suspects.items() if until > now}
        lanes: dict[str, list[Item]] = {"": []}
        for item in batch:
            station_id = item[0].station_id
            lanes.setdefault(station_id if station_id in self._suspects else "", []).append(item)
        return [lane for lane in lanes.values() if lane]

    async def _carry(self, batch: list[Item]) -> None:
        """One batch to its commit and its answers, however often it must be tried."""
        began = time.monotonic()
        lost = 0
        while True:
            try:
                outcomes, changes = await self._once([event for event, _ in batch])
                break
            except BROKEN as trouble:
                await self._reconnect(trouble)
            except asyncpg.PostgresError as error:
                state = error.sqlstate or ""
                if state == "CS001" and lost < (SAVE_ATTEMPTS_MAX if len(batch) > 1 else ALONE_ATTEMPTS_MAX):
                    lost += 1
                    if lost > SAVE_ATTEMPTS_MAX:
                        await asyncio.sleep(ALONE_WAIT_S * random.random())
                    observe.RACES_LOST.inc()
                    self._forget_all(batch)
                elif state == "CS001" or state[:2] in REPORTS_FAULT:
                    await self._take_apart(batch, error)
                    return
                else:
                    if state[:2] not in TRANSIENT:
                        await asyncio.sleep(TROUBLE_S)
                    await self._reconnect(error)
            except Exception as error:  # a rule broke on one of them: the writer must not die of it
                await self._take_apart(batch, error)
                return
        _count(batch, changes, time.monotonic() - began)
        self._answer(batch, outcomes, changes)

    async def _once(self, events: Sequence[Event]) -> tuple[list[Outcome], Changes]:
        """Load, decide, save, remember."""
        world = await self._world(events)
        outcomes, changes = decide(world, events)
        if changes.lacking or changes.assets.lacks():  # seldom: a rule wants to see more
            world = await self._world(events, lacking(world, changes))
            outcomes, changes = decide(world, events)
            if changes.lacking or changes.assets.lacks():  # what it found there made it want to see more, once
                world = await self._world(events, lacking(world, changes))
                outcomes, changes = decide(world, events)
            assert not changes.lacking and not changes.assets.lacks(), "what was loaded is not lacking"
        if not changes.is_empty():
            await self._ready_days(changes)
            self._at_point("before_commit")
            await road.save(self._conn, changes)
            self._at_point("after_commit")
        self._memory.remember(world)
        return outcomes, changes

    async def _world(self, events: Sequence[Event], more: road.Wanted | None = None) -> World:
        """All that these reports are decided on, remembered or loaded."""
        assert self._conn is not None
        world = World(self._rules, priced=self._memory.priced)
        wanted = self._memory.recall(world, events, more)
        if wanted is not None:
            await road.load(self._conn, world, wanted)
            await self._price(world)
        return world

    async def _price(self, world: World) -> None:
        """Tariffs and splits that this batch may close sessions with: read once per process and version."""
        for key in self._memory.unpriced(world):
            self._memory.priced[key] = await road.load_priced(self._conn, key)

    async def _ready_days(self, changes: Changes) -> None:
        for day in {row.day for row in changes.readings} - self._days:
            await SQL.ensure_readings.run(self._conn, day)
            self._days.add(day)
        for day in {row.day for row in changes.assets.pack_states} - self._pack_days:
            await SQL.ensure_pack_states.run(self._conn, day)
            self._pack_days.add(day)

    def _answer(self, batch: Sequence[Item], outcomes: Sequence[Outcome], changes: Changes) -> None:
        """After the commit: answers, questions to psps, work for the worker."""
        for (event, reply), outcome in zip(batch, outcomes, strict=True):
            if outcome.waits_for is None:
                _tell(event, outcome, reply)
            else:
                self._waiters.setdefault(outcome.waits_for, []).append((event, outcome, reply))
            if type(event) is AuthorizationDecided:
                self._asking.discard(event.authorization_id)
        for authorization_id, answers in changes.verdicts.items():
            for event, waiting, reply in self._waiters.pop(authorization_id, ()):
                if waiting.ref in answers:
                    _tell(event, answers[waiting.ref], reply)
                else:  # its session went on by a verdict heard elsewhere, or before: told again, it gets its answer
                    self.submit(event, reply)
        for (station_id, ref), at in changes.checks.items():
            self.check(SpendingChecked(station_id, ref, at))
        for ask in changes.asks.values():
            if ask.authorization_id not in self._asking:
                self._asking.add(ask.authorization_id)
                self._ask(ask)
        if changes.errands:
            self._wake()

    # -- trouble --------------------------------------------------------------------------------------

    def _forget_all(self, batch: Sequence[Item]) -> None:
        for event, _ in batch:
            self._memory.forget(event.station_id)

    async def _reconnect(self, trouble: Exception) -> None:
        """The database is away or asks for a retry: hold everything, connect again, without a limit of time."""
        log.warning("database_trouble", error=str(trouble), kind=type(trouble).__name__)
        wait_s = 0.02
        while True:
            try:
                if self._conn is not None and not self._conn.is_closed():
                    self._conn.terminate()
                self._conn = None
                self._conn = await self._connect()
                self._memory = Memory()
                return
            except (*BROKEN, asyncpg.PostgresError):
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(wait_s * 2, RECONNECT_S_MAX)

    async def _take_apart(self, batch: list[Item], error: Exception) -> None:
        """Halves until the one report that cannot be stored stands alone; that one is parked."""
        self._forget_all(batch)
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._carry(batch[:middle])
            await self._carry(batch[middle:])
            return
        event, reply = batch[0]
        self._suspects[event.station_id] = time.monotonic() + SUSPECT_S
        observe.REPORTS_PARKED.inc()
        log.error("report_parked", station=event.station_id, report=type(event).__name__, error=str(error))
        outcome = Outcome("invalid", ref=getattr(event, "ref", None), reason="parked")
        if isinstance(event, AuthorizationDecided):
            for _, waiting, waiter in self._waiters.pop(event.authorization_id, ()):
                _call(waiter, Outcome("invalid", ref=waiting.ref, reason="parked"))
        if not isinstance(event, Unreadable):
            await self._carry([(_parked(event, error), lambda _: None)])
        _call(reply, outcome)


def lacking(world: World, changes: Changes) -> road.Wanted:
    """What to load beside what the reports ask for: the readings, books and tokens of sessions, items, rentals."""
    wanted = road.Wanted(sessions=set(changes.lacking), books=set(changes.lacking))
    for key in changes.lacking:
        session = world.sessions[key]
        wanted.stations.add(session.station_id)
        if session.token_key is not None:
            wanted.tokens.add((session.token_key, session.station_id))
    wanted.assets.items |= changes.assets.lacking | world.assets.looked_up
    wanted.assets.rentals |= changes.assets.lacking_rentals | set(world.assets.rentals)
    return wanted


def _count(batch: Sequence[Item], changes: Changes, seconds: float) -> None:
    """What a committed batch adds to the metrics."""
    observe.BATCHES.inc()
    observe.BATCH_REPORTS.observe(len(batch))
    observe.BATCH_SECONDS.observe(seconds)
    if changes.bills:
        observe.SESSIONS_BILLED.inc(len(changes.bills))
    for concern in changes.concerns:
        observe.EXCEPTIONS.labels(concern.kind).inc()


def _parked(event: Event, error: Exception) -> Unreadable:
    """The report as text PostgreSQL can keep."""
    raw = _storable(getattr(event, "raw", "") or repr(event))
    reason = _storable(f"{type(error).__name__}: {error}")[:500]
    parked_id = uuid7(time.time_ns() // 1_000_000, random.getrandbits(80))
    answer = _storable(event.ref) if isinstance(event, SessionStarted) else None
    return Unreadable(event.station_id, event.received_at, type(event).__name__, reason, raw, parked_id, answer)


def _storable(text: str) -> str:
    return text.replace("\x00", "\N{SYMBOL FOR NULL}").encode("utf-8", "replace").decode("utf-8")


def _tell(event: Event, outcome: Outcome, reply: Reply) -> None:
    """The answer to a station; who is refused leaves a line, so that staff can say why."""
    if outcome.status != "accepted" and type(event) in JUDGED:
        observe.REFUSALS.labels(outcome.reason).inc()
        log.info("driver refused", station=event.station_id, reason=outcome.reason, status=outcome.status)
    _call(reply, outcome)


def _nobody_waits(outcome: Outcome) -> None:
    """The reply of a report that we sent ourselves."""


def _call(reply: Reply, outcome: Outcome) -> None:
    """A reply that fails (its socket is gone) is that station's loss only: the report is stored."""
    try:
        reply(outcome)
    except Exception:
        log.exception("reply_failed")
