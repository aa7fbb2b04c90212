"""An end whose start never comes is shown to people, and taken off their list when it comes after all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from csms import db
from csms.worker.timers import LIST_EVERY_S, Timers
from tests import make
from tests.make import Told, after, ended, started


class Hand:
    """Timers on clocks that the test turns."""

    def __init__(self, pool: Any) -> None:
        self.at = after(60)
        self.wall = 0.0
        self.timers = Timers(
            pool, {}, lambda _: None, lambda _: False, lambda: None, lambda: self.at, str, monotonic=lambda: self.wall
        )

    async def sweep(self, minutes: float) -> None:
        self.at = after(minutes)
        self.wall += LIST_EVERY_S
        await self.timers.sweep()


async def test_an_end_without_a_start_is_listed_after_an_hour_and_resolved_when_the_start_comes(
    dsn: str, conn: Any, pool: Any
) -> None:
    await make.seed(conn)
    hand = Hand(pool)
    async with Told(dsn) as told:
        await told.tell(ended())
        await hand.sweep(119)
        assert await conn.fetchval("select count(*) from exception") == 0

        await hand.sweep(121)
        listed = await conn.fetchrow("select kind, resolved_at from exception")
        assert tuple(listed) == ("session_unsettled", None)

        await told.tell(started(received_at=after(130)))
        await hand.sweep(140)

    resolved = await conn.fetchrow("select resolved_at, resolution from exception")
    assert tuple(resolved) == (after(140), "closed as completed")
    assert await db.check(conn) == {}


async def test_sessions_are_not_read_at_every_sweep(dsn: str, conn: Any, pool: Any) -> None:
    await make.seed(conn)
    hand = Hand(pool)
    async with Told(dsn) as told:
        await hand.sweep(0)
        await told.tell(ended())
        hand.at += timedelta(hours=9)
        await hand.timers.sweep()
        assert await conn.fetchval("select count(*) from exception") == 0
        await hand.sweep(999)
        assert await conn.fetchval("select count(*) from exception") == 1
