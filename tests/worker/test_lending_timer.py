"""What the clock has looked at: each thing that is due, and what cannot be digested not every second."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from csms.db import SQL, Connection, Pool
from csms.domain.asset_events import AssetEvent, DoorChecked, GrantChecked, RentalChecked
from csms.domain.events import RECORDED, Outcome
from csms.worker.lending import PARKED_S, LendingTimer
from tests.flows import lending
from tests.make import Told, after


class Looks:
    """A road that only notes what it is told, and answers as it is said to."""

    def __init__(self) -> None:
        self.events: list[AssetEvent] = []
        self.answer: Outcome = RECORDED
        self.wall = 0.0
        self.now: datetime = after(0)

    def submit(self, event: Any, reply: Any) -> None:
        self.events.append(event)
        reply(self.answer)

    async def of(self, timer: LendingTimer) -> list[type]:
        self.events.clear()
        await timer.sweep()
        return [type(event) for event in self.events]


async def test_grants_doors_and_rentals_are_looked_at_when_they_are_due(dsn: str, pool: Pool, conn: Connection) -> None:
    await lending.build(conn)
    looks = Looks()
    timer = LendingTimer(pool, looks.submit, lambda: looks.now, monotonic=lambda: looks.wall)
    async with Told(dsn) as road:
        await lending.begin(road)
        wish = lending.rent(after(0))
        await road.tell(wish)
        assert await looks.of(timer) == []
        looks.now = after(1)
        assert await looks.of(timer) == [GrantChecked, RentalChecked]
        await road.tell(lending.door("C1", 1, "open", wish.grant_id, after(0.1)))
        looks.now = after(2)
        assert await looks.of(timer) == [DoorChecked, RentalChecked]


async def test_what_was_parked_is_left_alone_for_an_hour_and_keeps_nobody_waiting(
    dsn: str, pool: Pool, conn: Connection
) -> None:
    await lending.build(conn)
    looks = Looks()
    timer = LendingTimer(pool, looks.submit, lambda: looks.now, monotonic=lambda: looks.wall)
    async with Told(dsn) as road:
        await lending.begin(road)
        await road.tell(lending.rent(after(0)))
    looks.now, looks.answer = after(1), Outcome("invalid", reason="parked")
    assert await looks.of(timer) == [GrantChecked, RentalChecked]
    assert await looks.of(timer) == []
    looks.wall = PARKED_S + 1
    assert await looks.of(timer) == [GrantChecked, RentalChecked]


async def test_while_the_system_does_not_run_no_cabinet_is_there(dsn: str, pool: Pool, conn: Connection) -> None:
    await lending.build(conn)
    looks = Looks()
    timer = LendingTimer(pool, looks.submit, lambda: looks.now, monotonic=lambda: looks.wall)
    await timer.sweep()
    looks.now = after(300)
    await SQL.cabinets_away.run(conn, looks.now)  # killed at noon, started five hours later
    await SQL.stations_arrived.run(conn, ["C1"], after(301))
    rows = await conn.fetch("select station_id, from_at, until_at from station_outage order by station_id")
    assert [tuple(row) for row in rows] == [("C1", after(0), after(301)), ("C2", after(0), None)]
