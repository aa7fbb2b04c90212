"""The database goes away, loses an answer, or cannot digest a report: nothing is lost, nobody waits in vain."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from csms import db
from csms.domain.events import Event, Outcome, Reading
from csms.embedded import Embedded
from tests import make
from tests.conftest import TEST_SETTINGS
from tests.make import Told, ended, metered, started

RICH_MINOR = 10_000_000


@pytest.fixture
async def seeded(dsn: str, conn: Any) -> str:
    """A database with the small world, and Ann rich enough for every test."""
    await make.seed(conn)
    await make.fund(conn, "ann", RICH_MINOR)
    return dsn


def story(ref: str) -> list[Event]:
    """A whole charge: 10 kWh, 3000 KRW."""
    return [started(ref), metered(ref, 15, 3_000), metered(ref, 30, 6_000), ended(ref)]


async def left(conn: Any) -> tuple[int, int, int]:
    """Completed sessions, bills, and what they come to."""
    row = await conn.fetchrow(
        "select (select count(*) from session where state = 'completed'), count(*), coalesce(sum(total_minor), 0)"
        " from bill"
    )
    return (row[0], row[1], int(row[2]))


def fails_at(name: str, occurrence: int) -> Callable[[str], None]:
    """The connection breaks when this point is reached for the so manieth time."""
    left_over = [occurrence]

    def at_point(reached: str) -> None:
        if reached == name:
            left_over[0] -= 1
            if left_over[0] == 0:
                raise ConnectionResetError("the connection broke")

    return at_point


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
async def test_a_batch_whose_commit_is_not_heard_of_is_told_again_and_billed_once(
    seeded: str, conn: Any, point: str
) -> None:
    async with Told(seeded, at_point=fails_at(point, 1)) as told:
        outcomes = await told.tell(*story("r1"))

    assert [outcome.status for outcome in outcomes] == ["accepted"] * 4
    assert outcomes[3].fee_minor == 3_000
    assert await left(conn) == (1, 1, 3_000)
    assert await db.check(conn) == {}


async def test_a_start_keeps_its_transaction_id_when_the_commit_of_its_verdict_is_not_heard_of(
    seeded: str, conn: Any
) -> None:
    async with Told(seeded, at_point=fails_at("after_commit", 2)) as told:
        answer = told.send(started("111", token=make.SUE))
        await told.tell(metered("111"))
        await told.tell(make.verdict(told.asks[0]))
        outcome = await asyncio.wait_for(answer, 10)

    assert (outcome.status, outcome.ref) == ("accepted", "111")
    assert await conn.fetchval("select state from session") == "active"


async def test_the_writers_connection_is_terminated_twenty_times_and_nothing_is_lost_or_billed_twice(
    seeded: str, conn: Any
) -> None:
    ended_by_us = 0

    async def terminate() -> None:
        nonlocal ended_by_us
        while ended_by_us < 20:
            ended_by_us += await conn.fetchval(
                "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'csms road' and datname = current_database()) t"
            )
            await asyncio.sleep(0.02)

    async with Told(seeded) as told:
        killer = asyncio.create_task(terminate())
        count = 0
        while not killer.done():
            stories = [story(f"r{number}") for number in range(count, count + 10)]
            outcomes = await asyncio.gather(*[told.tell_apart(reports) for reports in stories])
            assert [outcome[3].fee_minor for outcome in outcomes] == [3_000] * 10
            count += 10
        await killer

    assert ended_by_us == 20
    assert await left(conn) == (count, count, count * 3_000)
    assert await conn.fetchval("select count(*) from reading") == 2 * count
    assert await db.check(conn) == {}


async def test_a_database_that_only_reads_is_waited_for_and_no_report_is_parked(seeded: str, conn: Any) -> None:
    name = await conn.fetchval("select current_database()")
    terminate = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = $1"
    async with Told(seeded) as told:
        await told.tell(started())
        await conn.execute(f"alter database {name} set default_transaction_read_only = on")
        await conn.execute(terminate, name)
        answer = told.send(ended())
        await asyncio.wait({answer}, timeout=0.3)
        assert not answer.done()
        await conn.execute(f"alter database {name} reset default_transaction_read_only")
        await conn.execute(terminate, name)
        outcome = await asyncio.wait_for(answer, 10)

    assert outcome.fee_minor == 3_000
    assert await left(conn) == (1, 1, 3_000)
    assert await conn.fetchval("select count(*) from parked_report") == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where a server of this test's own keeps its data."""
    path = Path(tempfile.mkdtemp(prefix="csms-away-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


async def test_the_whole_server_is_killed_and_what_waited_is_answered_when_it_is_back(folder: Path) -> None:
    server = await Embedded.start(folder, settings=TEST_SETTINGS)
    conn = await asyncpg.connect(server.dsn)
    await db.migrate(conn)
    await make.seed(conn)
    await make.fund(conn, "ann", RICH_MINOR)
    await conn.close()

    async with Told(server.dsn) as told:
        for life in range(3):
            told_before = await asyncio.gather(*[told.tell_apart(story(f"{life}-{n}")) for n in range(5)])
            waiting = [asyncio.create_task(told.tell_apart(story(f"{life}-late-{n}"))) for n in range(5)]
            os.kill(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
            await asyncio.sleep(random.Random(life).uniform(0, 0.2))
            server = await Embedded.start(folder, settings=TEST_SETTINGS)
            outcomes = [*told_before, *await asyncio.gather(*waiting)]
            assert [outcome[3].fee_minor for outcome in outcomes] == [3_000] * 10

    conn = await asyncpg.connect(server.dsn)
    assert await left(conn) == (30, 30, 90_000)
    assert await db.check(conn) == {}
    await conn.close()
    await server.stop()


POISON: dict[str, Event] = {
    "a NUL": started("a\x00b", station_id="S2"),
    "half a surrogate": started("\udc00", station_id="S2"),
    "a register too large": started("large", station_id="S2", meter_wh=2**70),
    "a digest too large": metered("d", station_id="S2", readings=(Reading(make.NOON, 2**40, 1),)),
    "a time before time": started("old", station_id="S2", received_at=datetime(1, 1, 1, tzinfo=UTC)),
    "a station nobody knows": started("nobody", station_id="GHOST"),
    "an empty ref": started("", station_id="S2"),
}


@pytest.mark.parametrize("name", POISON)
async def test_a_report_that_cannot_be_stored_is_set_aside_and_its_neighbours_are_billed(
    seeded: str, conn: Any, name: str
) -> None:
    reports = [report for number in range(21) for report in (*story(f"r{number}")[:2], story(f"r{number}")[3])]
    reports.insert(40, POISON[name])
    assert len(reports) == 64

    async with Told(seeded) as told:
        outcomes = await told.tell(*reports)
        after = await told.tell(started("next", station_id="S2"))

    poisoned = outcomes.pop(40)
    assert (poisoned.status, poisoned.reason) == ("invalid", "parked")
    assert {outcome.status for outcome in outcomes} == {"accepted"}
    assert after[0].status == "accepted"
    assert await left(conn) == (21, 21, 63_000)
    assert await conn.fetchval("select count(*) from parked_report") == 1
    assert await db.check(conn) == {}


BOBS_BALANCE = "select balance from guarded_account where address = 'driver:bob:balance'"


async def test_two_gateways_never_overdraw_one_balance(seeded: str, conn: Any) -> None:
    await make.fund(conn, "bob", 70_000)
    async with Told(seeded) as one, Told(seeded) as other:
        starts = [started(f"b{n}", station_id=f"S{n % 2 + 1}", token=make.BOB) for n in range(40)]
        answers = await asyncio.gather(*[told.tell(start) for start in starts for told in (one, other)])

        held = await conn.fetchval("select sum(hold_minor) from session where state = 'active'")
        assert await conn.fetchval(BOBS_BALANCE) == 0
        assert held == 70_000
        both = zip(answers[::2], answers[1::2], strict=True)
        assert all(mine[0].status == theirs[0].status for mine, theirs in both)
        await asyncio.gather(*[_end(one, other, start.ref, start.station_id) for start in starts])

    paid = await conn.fetchval("select sum(total_minor)::bigint from bill")
    assert paid == 3_000 * await conn.fetchval("select count(*) from session where state = 'completed'")
    assert await conn.fetchval(BOBS_BALANCE) == 70_000 - paid
    assert await db.check(conn) == {}


async def _end(one: Told, other: Told, ref: str, station_id: str) -> list[Outcome]:
    """The same end over both gateways at once."""
    answers = await asyncio.gather(*[told.tell(ended(ref, station_id=station_id)) for told in (one, other)])
    return [answer[0] for answer in answers]
