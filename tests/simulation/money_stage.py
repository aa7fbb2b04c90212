"""Where a money machine plays: a database of its own, the road, and all that jobs work with."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from hypothesis.stateful import RuleBasedStateMachine

from csms import db
from csms.base.ids import uuid7
from csms.domain.authorization import Policy
from csms.domain.events import SessionStarted
from csms.domain.world import Rules
from csms.store.outbox import Job, Result
from csms.worker import balance, tasks
from csms.worker.tasks import Outside
from tests import make
from tests.make import NOON, Told, started
from tests.simulation import playing
from tests.simulation.their_book import TheirBook

T = TypeVar("T")
Administer = Callable[[str], str]
Plant = Callable[[Any], Awaitable[None]]

TASKS = {**tasks.TASKS, **balance.tasks(lambda check: None)}
_numbers = itertools.count(1)


class MoneyStage(RuleBasedStateMachine):
    """Made with `dsn_of` and `template` set on the class. `policies`: how each psp is paid by."""

    dsn_of: Administer
    template: str
    plant: Plant | None = None
    policies: Mapping[str, Policy] = {"social": "hold_capture"}

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.their = TheirBook()
        self.names = itertools.count(1)
        self.now = NOON
        self.random = random.Random(1)
        self.run(self._set_up())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def _set_up(self) -> None:
        self.name = f"csms_money_{os.getpid()}_{next(_numbers)}"
        await _administer(self.dsn_of, f"create database {self.name} template {self.template} strategy file_copy")
        self.pool = await db.pool(self.dsn_of(self.name), size=2, name="money")
        self.conn = await asyncpg.connect(self.dsn_of(self.name), server_settings={"timezone": "UTC"})
        await make.seed(self.conn)
        if self.plant is not None:
            await type(self).plant(self.conn)  # type: ignore[misc]
        self.road = Told(self.dsn_of(self.name), Rules(policies=self.policies))
        await self.road.__aenter__()
        psps: Any = dict.fromkeys(self.policies, self.their)
        accounts = dict.fromkeys(self.policies, "operator")
        self.outside = Outside(self.pool, psps, accounts, lambda: self.now, self.random, back_off_s=0.0)

    def teardown(self) -> None:
        try:
            wrong = self.run(db.check(self.conn))
            assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}
        finally:
            self.run(self._tear_down())
            self.loop.close()

    async def _tear_down(self) -> None:
        await self.road.__aexit__()
        await self.pool.close()
        await self.conn.close()
        await _administer(self.dsn_of, f"drop database {self.name} with (force)")

    def new_id(self) -> UUID:
        """The same in every run: which of a session's jobs comes first hangs on its id."""
        return uuid7(1_700_000_000_000 + next(self.names), self.random.getrandbits(80))

    def started(self, place: tuple[str, int], token: str) -> SessionStarted:
        """A start that is told now."""
        ref, at = f"r{next(self.names)}", self.later()
        ids = {"session_id": self.new_id(), "authorization_id": self.new_id()}
        return started(ref, station_id=place[0], connector=place[1], token=token, at=at, received_at=at, **ids)

    def later(self) -> datetime:
        self.now += timedelta(hours=12)
        return self.now

    async def tried(self, job: Job) -> Result:
        return await TASKS[job.kind](job, self.outside)


async def _administer(dsn_of: Administer, statement: str) -> None:
    conn = await asyncpg.connect(dsn_of("postgres"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


def play(
    machine: type[MoneyStage],
    dsn_of: Administer,
    template: str,
    plant: Plant | None = None,
    examples: int = 12,
    steps: int = 40,
    shrink: bool = False,
) -> None:
    """Run the machine; a planted defect is only to be found, not made small."""
    settled = {
        "dsn_of": staticmethod(dsn_of),
        "template": template,
        "plant": None if plant is None else staticmethod(plant),
    }
    playing.play(type(machine.__name__, (machine,), settled), examples, steps, "MONEY_SEED", shrink)
