"""Bills become segments and tendencies, once, whoever dies or comes second; and what is to be forgotten stays so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from csms import db
from csms.db import SQL, Connection
from csms.flows import tendency
from csms.flows.erase import erase
from csms.worker.tendency import TendencyTimer
from tests import make
from tests.make import ANN, BOB, NOON, Told, after, ended, metered, started
from tests.worker import scene

KWH_10 = [(0, 1_500, 900), (15, 1_500, 900), (30, 3_500, 900), (45, 3_500, 900)]
"""The session of `make`: 3 kWh in its first half hour, 7 in the second."""


class Days:
    """A small world, charges there, and the worker that looks at them; its clock stands at `now`."""

    def __init__(self, pool: db.Pool, conn: Connection, told: Told) -> None:
        self.conn, self.told = conn, told
        self.now = after(90)
        self.timer = TendencyTimer(pool, lambda: self.now)
        self.other = TendencyTimer(pool, lambda: self.now)

    async def charge(self, ref: str = "r1", token: str = ANN, days: int = 0) -> None:
        """10 kWh in an hour from noon on of so many days later, with a reading on the first one."""
        later = timedelta(days=days)
        await self.told.tell(started(ref, token=token, at=NOON + later))
        if not days:
            await self.told.tell(metered(ref))
        await self.told.tell(ended(ref, at=after(60) + later, received_at=after(60) + later))
        self.now = max(self.now, after(90) + later)

    async def segments(self, driver: str = "ann") -> list[tuple[float, int, int]]:
        """Minutes after noon, Wh, seconds."""
        rows = await self.conn.fetch("select * from usage_segment where driver_id = $1 order by at", driver)
        return [((row["at"] - NOON).total_seconds() / 60, row["wh"], row["seconds"]) for row in rows]

    async def tendency(self, driver: str = "ann") -> Any:
        return await SQL.show_tendency.one(self.conn, driver)


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[db.Pool]:
    """Connections with the rights of the worker."""
    pool = await db.pool(dsn, name="test", role=db.WRITER)
    yield pool
    await asyncio.wait_for(pool.close(), 10)


@pytest.fixture
async def days(writer: db.Pool, conn: Connection, dsn: str) -> AsyncIterator[Days]:
    await make.seed(conn)
    await make.fund(conn, "ann", 1_000_000)
    await make.fund(conn, "bob", 1_000_000)
    async with Told(dsn) as told:
        yield Days(writer, conn, told)


async def test_a_billed_session_is_known_by_its_quarters_after_one_sweep(days: Days) -> None:
    await days.charge()
    await days.timer.sweep()
    assert await days.segments() == KWH_10
    row = await days.tendency()
    assert (row["version"], row["sessions"], row["wh"], row["computed_at"]) == (1, 1, 10_000, days.now)
    assert row["bands_wh"][5] == 10_000  # from 21 h in Seoul, a Friday


async def test_sweeps_without_news_change_nothing(days: Days) -> None:
    await days.charge()
    for _ in range(3):
        await days.timer.sweep()
    assert (await days.tendency())["version"] == 1
    mark = await days.conn.fetchval("select xid from tendency_mark")
    await days.timer.sweep()
    assert await days.conn.fetchval("select xid from tendency_mark") == mark


async def test_a_worker_that_dies_in_between_loses_nothing(days: Days, writer: db.Pool) -> None:
    await days.charge()
    async with writer.acquire() as conn:
        dying = conn.transaction()
        await dying.start()
        await tendency.take_bills(conn, 100, days.now)
        assert await conn.fetchval("select count(*) from usage_segment") == len(KWH_10)
        await dying.rollback()
    assert await days.segments() == []
    await days.timer.sweep()
    assert await days.segments() == KWH_10


async def test_two_workers_at_once_are_harmless(days: Days) -> None:
    for number, token in enumerate([ANN, BOB, ANN]):
        await days.charge(f"r{number}", token, days=number)
    await asyncio.gather(*(timer.sweep() for timer in (days.timer, days.other) * 3))
    assert len(await days.segments()) == 8 and len(await days.segments("bob")) == 4
    assert (await days.tendency())["sessions"] == 2 and (await days.tendency("bob"))["wh"] == 10_000


async def test_what_one_worker_has_in_hand_the_other_leaves(days: Days, writer: db.Pool) -> None:
    await days.charge()
    async with writer.acquire() as conn, conn.transaction():
        await SQL.lock_tendency_mark.one(conn)
        await days.timer.sweep()
    assert await days.segments() == []


async def test_a_corrected_bill_replaces_what_was_kept_of_its_session(days: Days) -> None:
    await days.charge()
    await days.timer.sweep()
    await days.conn.execute(CORRECTED, 30 * 60, 4_000)
    await days.timer.sweep()
    assert await days.segments() == [(0, 2_000, 900), (15, 2_000, 900)]
    assert (await days.tendency())["version"] == 2
    await days.conn.execute(CORRECTED, 30 * 60, 0)
    await days.timer.sweep()
    assert await days.segments() == [] and await days.tendency() is None


CORRECTED = """
insert into bill (id, session_id, revision, station_id, provider_id, driver_id, tariff_id, tariff_version,
    terms_version, means, currency, started_at, ended_at, seconds, energy_wh, total_minor, vat_minor, not_charged_minor,
    operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at, kind, corrects)
select gen_random_uuid(), session_id, revision + number, station_id, provider_id, driver_id, tariff_id, tariff_version,
    terms_version, means, currency, started_at, ended_at, case number when 1 then -seconds else $1 end,
    case number when 1 then -energy_wh else $2 end, 0, 0, 0, 0, 0, 0, '[]', '{}', issued_at,
    case number when 1 then 'credit' else 'charge' end, case number when 1 then id end
from (select * from bill where kind = 'charge' order by revision desc limit 1) b, generate_series(1, 2) number
"""
"""The newest charge is taken back, and there is another of $1 seconds and $2 Wh."""


async def test_a_rental_and_a_session_of_nobody_leave_no_segments(days: Days) -> None:
    await days.charge("r1")
    await days.conn.execute("update session set use = 'rental'")
    await days.timer.sweep()
    assert await days.segments() == []


async def test_of_who_opted_out_nothing_is_kept_until_the_first_session_after(days: Days) -> None:
    await days.charge("r0")
    await days.timer.sweep()
    await days.charge("r1", days=1)
    await tendency.opt_out(days.conn, "ann", True, days.now)
    await days.charge("r2", days=2)
    await days.timer.sweep()
    assert await days.segments() == [] and await days.tendency() is None
    await tendency.opt_out(days.conn, "ann", False, days.now)
    await days.timer.sweep()
    await days.charge("r3", days=3)
    await days.timer.sweep()
    assert {minute // 1440 for minute, _, _ in await days.segments()} == {3}
    assert (await days.tendency())["sessions"] == 1


async def test_what_was_forgotten_does_not_come_back_by_a_correction_or_a_late_sweep(days: Days) -> None:
    await days.charge()
    await tendency.forget(days.conn, "ann", days.now)
    await days.timer.sweep()
    assert await days.segments() == []
    await days.conn.execute(CORRECTED, 1_800, 5_000)
    await days.timer.sweep()
    assert await days.segments() == [] and await days.tendency() is None


async def test_who_opts_out_while_it_is_computed_is_waited_for(days: Days, writer: db.Pool) -> None:
    await days.charge()
    async with writer.acquire() as conn:
        async with conn.transaction():
            await tendency.opt_out(conn, "ann", True, days.now)
            sweeping = asyncio.create_task(days.timer.sweep())
            while not await days.conn.fetchval("select count(*) from pg_locks where not granted"):
                assert not sweeping.done()
                await asyncio.sleep(0)
        await asyncio.wait_for(sweeping, 20)
    assert await days.segments() == [] and await days.tendency() is None


async def test_an_erased_driver_leaves_no_tendency_and_no_segments(days: Days) -> None:
    await days.charge()
    await days.timer.sweep()
    await days.conn.execute("update guarded_account set balance = 0 where address = 'driver:ann:balance'")
    await days.conn.execute("insert into cohort values ('any', 'any', 20, 'ann', $1)", NOON)
    await days.conn.execute("update driver set vehicle_class = 'car' where id = 'ann'")
    await erase(days.conn, "ann", days.now)
    assert await days.conn.fetchval("select vehicle_class from driver where id = 'ann'") is None
    await days.timer.sweep()
    assert await days.segments() == [] and await days.tendency() is None
    assert await days.conn.fetchval("select count(*) from cohort") == 0


async def test_every_night_all_are_computed_anew_and_old_segments_go(days: Days) -> None:
    await days.charge()
    await days.timer.sweep()
    since = await days.conn.fetchval("select night from tendency_mark")
    assert str(since) == "2026-11-20"  # the night began at 3 h in Seoul
    days.now = datetime.fromisoformat("2026-11-20T17:59:00Z")
    await days.timer.sweep()
    assert await days.conn.fetchval("select night from tendency_mark") == since
    days.now += timedelta(days=60)
    await days.timer.sweep()
    assert await days.tendency() is None and await days.segments() == KWH_10
    days.now += timedelta(days=61)
    await days.timer.sweep()
    assert await days.segments() == []


async def test_the_work_of_a_night_goes_on_where_it_was_left(
    days: Days, monkeypatch: pytest.MonkeyPatch, writer: db.Pool
) -> None:
    monkeypatch.setattr(tendency, "NIGHT_DRIVERS", 1)
    reached = []
    async with writer.acquire() as conn:
        while await tendency.night_turn(conn, days.now):
            reached.append(await conn.fetchval("select reached from tendency_mark"))
    assert reached == ["ann", "bob", "eve"]
    assert await days.conn.fetchval("select night is not null and reached is null from tendency_mark")


async def test_a_bill_whose_tariff_is_not_read_any_more_is_kept_without_prices(
    conn: Connection, writer: db.Pool
) -> None:
    await scene.parties(conn)
    await conn.execute("insert into site values ('site', 'P', 'S', 'UTC', $1)", scene.START)
    id_ = make.new_id()
    await conn.execute(UNREAD, id_, scene.START)
    await conn.execute(BILLED, id_, scene.START)
    async with writer.acquire() as worker:
        await tendency.take_bills(worker, 10, scene.START + timedelta(hours=1))
    rows = await conn.fetch("select wh, cheap from usage_segment")
    assert [tuple(row) for row in rows] == [(500, None)]


UNREAD = """
insert into session (station_id, id, ref, start_key, version, state, day, provider_id, terms_version, driver_id,
    offline, opened_at)
values ('CP-1', $1, 'r', 'r', 1, 'active', '2026-11-20', 'P', 1, 'D', false, $2)
"""
BILLED = """
insert into bill (id, session_id, station_id, provider_id, driver_id, tariff_id, tariff_version, terms_version, means,
    currency, started_at, ended_at, seconds, energy_wh, total_minor, vat_minor, not_charged_minor, operator_minor,
    operator_vat_minor, provider_minor, lines, flags, issued_at)
values (gen_random_uuid(), $1, 'CP-1', 'P', 'D', 'T', 1, 1, 'balance', 'KRW', $2, $2, 600, 500, 0, 0, 0, 0, 0, 0, '[]',
    '{}', $2)
"""
