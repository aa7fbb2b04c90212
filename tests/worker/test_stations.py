"""A spent session is stopped for certain, or people are told; what was topped up is not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from csms.bus import LocalBus
from csms.db import Connection, Pool
from csms.domain.commands import Answer, AnyCall, Command, StopSession, UseMeterKeys
from csms.domain.events import SpendingChecked
from csms.flows.command import Commands
from csms.store.outbox import Job, Result
from csms.worker import balance, stations
from csms.worker.tasks import Outside
from tests import make
from tests.flows.voucher_shop import sell
from tests.make import BOB, NOON, Told, after, ended, metered, started


class Floor:
    """The seeded world with one spent session, a station that answers commands, and the task under test."""

    def __init__(self, pool: Pool, conn: Connection) -> None:
        self.conn = conn
        self.bus = LocalBus()
        self.commands = Commands(pool, self.bus, lambda: NOON)
        self.outside = Outside(pool, {}, {}, lambda: NOON + timedelta(hours=1), random.Random(1))
        self.heard: list[Command] = []

    def connect(self, end: Any = "accepted") -> None:
        async def answer(command: Command | UseMeterKeys) -> Answer:
            assert not isinstance(command, UseMeterKeys)
            self.heard.append(command)
            return Answer(end)

        self.bus.serve("station/S1/0", answer)

    async def job(self, kind: str = "station.stop", attempts: int = 1) -> Job:
        row = await self.conn.fetchrow("select * from outbox where kind = $1 order by created_at limit 1", kind)
        assert row is not None
        payload = json.loads(row["payload"])
        return Job(row["id"], row["kind"], row["key"], row["subject"], payload, attempts, attempts)

    async def stop(self, attempts: int = 1) -> Result:
        return await stations.stop(self.commands, await self.job(attempts=attempts), self.outside)


@pytest.fixture
async def floor(dsn: str, pool: Pool, conn: Connection) -> Floor:
    await make.seed(conn)
    await make.fund(conn, "bob", 1_000)
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB), metered(minutes=5, wh=2_500), metered(minutes=10, wh=4_000)])
        await told.tell(metered(minutes=11, wh=4_100))
    return Floor(pool, conn)


async def test_a_stop_that_was_accepted_is_repeated_until_the_session_ends(dsn: str, floor: Floor) -> None:
    floor.connect()
    results = [await floor.stop(attempts) for attempts in (1, 2, 3)]
    assert [result.state for result in results] == ["waiting"] * 3
    assert results[0].wait_s < results[1].wait_s < results[2].wait_s
    assert floor.heard == [StopSession("r1")] * 3
    async with Told(dsn) as told:
        await told.tell(ended(minutes=12, wh=4_200))
    last = await floor.stop(4)
    assert (last.state, len(floor.heard)) == ("done", 3)


@pytest.mark.parametrize("end", ["rejected", "offline", "unknown", "accepted"])
async def test_a_station_that_does_not_stop_is_listed_for_people_in_the_end(floor: Floor, end: str) -> None:
    floor.connect(end)
    result = await floor.stop(stations.STOP_ATTEMPTS_MAX)
    assert result.state == "given_up"
    assert [(concern.kind, concern.station_id) for concern in result.concerns] == [("stop_failed", "S1")]


async def test_a_stop_is_withdrawn_when_a_top_up_came_before_it(dsn: str, floor: Floor) -> None:
    floor.connect()
    await make.fund(floor.conn, "bob", 9_000)
    async with Told(dsn) as told:
        await told.tell(SpendingChecked("S1", "r1", after(12)))
    result = await floor.stop()
    assert (result.state, result.facts, floor.heard) == ("done", {"withdrawn": True}, [])


async def limits(conn: Connection, kept: Iterable[str] | None, protocol: str = "ocpp2.1") -> None:
    await conn.execute("update station set protocol = $1, tx_limits = $2 where id = 'S1'", protocol, kept)


@pytest.mark.parametrize(
    ("kept", "protocol", "asked"),
    [
        (["energy"], "ocpp2.1", False),
        (["cost", "time"], "ocpp2.1", False),
        (["time"], "ocpp2.1", True),
        ([], "ocpp2.1", True),
        (None, "ocpp2.1", True),
        (["energy"], "ocpp2.0.1", True),
    ],
)
async def test_only_a_station_that_keeps_a_sufficient_limit_itself_is_not_told_to_stop(
    floor: Floor, kept: list[str] | None, protocol: str, asked: bool
) -> None:
    floor.connect()
    await limits(floor.conn, kept, protocol)
    await floor.stop()
    assert bool(floor.heard) == asked


async def test_a_station_that_does_not_keep_its_limit_is_told_to_stop(dsn: str, floor: Floor) -> None:
    floor.connect()
    await limits(floor.conn, ["energy"])
    async with Told(dsn) as told:
        await told.tell(metered(minutes=20, wh=5_000))
        await told.tell(SpendingChecked("S1", "r1", after(20)))
    over = await floor.conn.fetchrow("select * from outbox where key like '%/stop-over/%'")
    payload = json.loads(over["payload"])
    job = Job(over["id"], over["kind"], over["key"], over["subject"], payload, 1, 1)
    assert (await stations.stop(floor.commands, job, floor.outside)).state == "waiting"
    assert floor.heard == [StopSession("r1")]


async def test_a_raised_limit_is_told_by_having_the_station_send_an_event(dsn: str, floor: Floor) -> None:
    floor.connect()
    await make.fund(floor.conn, "bob", 9_000)
    async with Told(dsn) as told:
        await told.tell(SpendingChecked("S1", "r1", after(12)))
    job = await floor.job("station.limit")
    assert (await stations.tell_limit(floor.commands, job, floor.outside)).facts == {"needed": False}
    await limits(floor.conn, ["cost"])
    assert (await stations.tell_limit(floor.commands, job, floor.outside)).facts == {"answer": "accepted"}
    assert floor.heard == [AnyCall("TriggerMessage", {"requestedMessage": "TransactionEvent", "evse": {"id": 1}})]


async def test_after_a_top_up_a_drivers_sessions_are_looked_at_oldest_first_and_nobody_elses(
    dsn: str, floor: Floor
) -> None:
    await make.fund(floor.conn, "bob", 500)
    async with Told(dsn) as told:
        await told.tell(started("theirs", station_id="S2"))
        await told.tell(started("second", token=BOB, connector=2, at=after(30)))
    await floor.conn.execute("select fund(gen_random_uuid(), 'cash', 'till', 'bob', 'KRW', 100, now())")
    looked: list[str] = []
    task = balance.tasks(lambda event: looked.append(event.ref))["balance.check"]
    result = await task(await floor.job("balance.check"), floor.outside)
    assert (result.state, looked) == ("done", ["r1", "second"])


async def test_after_a_top_up_a_session_on_a_voucher_alone_is_looked_at_too(dsn: str, floor: Floor) -> None:
    await sell(floor.conn, "bob")
    async with Told(dsn) as told:
        [begun] = await told.tell(started("leaning", token=BOB, connector=2, at=after(30)))
        await told.tell(started("over", token=BOB, station_id="S2", at=after(30)))
        await told.tell(ended("over", station_id="S2", minutes=60))
    looked: list[str] = []

    await floor.conn.execute("select fund(gen_random_uuid(), 'cash', 'till', 'bob', 'KRW', 100, now())")
    task = balance.tasks(lambda event: looked.append(event.ref))["balance.check"]
    await task(await floor.job("balance.check"), floor.outside)

    assert (begun.status, looked) == ("accepted", ["r1", "leaning"])


async def test_the_job_of_a_session_that_nobody_knows_is_done(floor: Floor) -> None:
    job = await floor.job()
    job.payload["session"] = str(UUID(int=1))
    assert (await stations.stop(floor.commands, job, floor.outside)).state == "done"
