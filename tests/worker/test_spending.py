"""Time alone spends what is set aside: a session is looked at though its station says nothing."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from csms.db import Connection, Pool
from csms.worker.spending import SpendingTimer
from tests import make
from tests.make import BOB, NOON, Told, after, ended, metered, started

BY_TIME = {
    "country_code": "KR", "party_id": "CSM", "id": "T", "currency": "KRW", "tax_included": "YES",
    "elements": [{"price_components": [{"type": "TIME", "price": 600, "vat": 10, "step_size": 1}]}],
    "last_updated": "2026-01-01T00:00:00Z",
}  # fmt: skip


class Watchman:
    """A timer on a road, with a clock that the test turns."""

    def __init__(self, pool: Pool, told: Told) -> None:
        self.now: datetime = NOON
        self.told = told
        self.timer = SpendingTimer(pool, told.road.spending_due, told.road.check, lambda: None, lambda: self.now)

    async def at(self, minutes: float) -> None:
        self.now = after(minutes)
        await self.timer.sweep()
        await self.told.tell(make.presented())  # what it put on the road stands before this


@pytest.fixture
async def by_time(conn: Connection) -> None:
    """Bob has 1,000 KRW, which is 100 minutes."""
    await make.seed(conn)
    await make.fund(conn, "bob", 1_000)
    await conn.execute("insert into tariff values ('T', 2, 'P', 'KRW', $1, 30000, now())", json.dumps(BY_TIME))


async def flags(conn: Connection) -> list[str]:
    found: Any = await conn.fetchval("select flags from session")
    return list(found)


@pytest.mark.usefixtures("by_time")
async def test_a_silent_session_is_stopped_when_its_time_is_spent_and_not_before(
    dsn: str, pool: Pool, conn: Connection
) -> None:
    async with Told(dsn) as told:
        watchman = Watchman(pool, told)
        await told.tell_apart([started(token=BOB), metered(minutes=1, wh=1_500)])
        for minutes in (50, 80, 90, 99.9):
            await watchman.at(minutes)
            assert await flags(conn) == []
        await watchman.at(99.99)
        assert await flags(conn) == ["spent"]
        await watchman.at(105)
    assert await conn.fetchval("select count(*) from outbox where kind = 'station.stop'") == 1


@pytest.mark.usefixtures("by_time")
async def test_a_new_process_looks_at_sessions_it_has_never_heard_of(dsn: str, pool: Pool, conn: Connection) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB), metered(minutes=1, wh=1_500)])
    async with Told(dsn) as told:
        watchman = Watchman(pool, told)
        await watchman.at(30)
        assert await flags(conn) == []
        await watchman.at(100)
        assert await flags(conn) == ["spent"]


@pytest.mark.usefixtures("by_time")
async def test_a_session_that_has_ended_is_not_looked_at(dsn: str, pool: Pool, conn: Connection) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB), metered(minutes=1, wh=1_500), ended(minutes=50, wh=2_000)])
        watchman = Watchman(pool, told)
        await watchman.at(200)
    assert await flags(conn) == []
    assert await conn.fetchval("select count(*) from outbox where kind = 'station.stop'") == 0
