"""A fee that a psp refused is asked for again: notice first, the same bill, never taken twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from csms import db
from csms.base.money import Money
from csms.db import Connection, Pool
from csms.flows import debts, settlements
from csms.flows.refund_rest import Wish, send_back
from csms.psp.social import Social
from csms.store import outbox
from csms.worker import balance
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, PROVIDER_SHARE, START, Scene

LATER = datetime(2027, 6, 1, tzinfo=UTC)


def nothing(event: object) -> None:
    """No session runs here."""


TASKS = balance.tasks(nothing)


@pytest.fixture
async def psp(social: SocialProcess) -> AsyncIterator[Social]:
    psp = stage.adapter(social)
    yield psp
    await psp.close()


async def refused(pool: Pool, conn: Connection, social: SocialProcess, psp: Social) -> Scene:
    """A fee that was declined: its driver owes it."""
    await stage.parties(conn)
    scene = await stage.billed(conn, psp, "charge_after")
    await social.fail("charge", "decline")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert (await stage.balances(conn))["driver:D:debt"] == -FEE
    return scene


async def step(pool: Pool, conn: Connection, psp: Social, days: float) -> dict[str, int]:
    """What is due on that day is done; the balances after it."""
    await debts.sweep(conn, START + timedelta(days=days))
    async with stage.working(pool, psp, more=TASKS):
        await stage.drained(conn)
    return await stage.balances(conn)


async def waiting_for_a_lock(pool: Pool) -> None:
    """Returns when somebody waits for an advisory lock of this database."""
    async with asyncio.timeout(10), pool.acquire() as watcher:
        while not await watcher.fetchval(  # noqa: ASYNC110
            "select exists (select from pg_locks where locktype = 'advisory' and not granted and database ="
            " (select oid from pg_database where datname = current_database()))"
        ):
            await asyncio.sleep(0.01)


async def taken(social: SocialProcess, scene: Scene) -> int:
    """What the psp took for this session."""
    return sum(minor for operation, minor in await stage.effects(social, scene) if operation == "charge")


async def test_nothing_is_charged_before_the_notice_had_its_time_and_then_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    for days in (0, 0.2, 0.9):
        assert (await step(pool, conn, psp, days))["driver:D:debt"] == -FEE
    assert await taken(social, scene) == 0
    for days in (1.1, 1.2, 5, 9):
        assert "driver:D:debt" not in await step(pool, conn, psp, days)
    assert await stage.effects(social, scene) == [("charge", FEE), ("settle", FEE)]
    assert await conn.fetchval("select state from dunning") == "resolved"
    payment = await conn.fetchrow("select kind, amount_minor, session_id from payment")
    assert tuple(payment) == ("session", FEE, scene.session_id)
    wrong = await db.check(conn)
    assert wrong.keys() <= {"bill_lines", "bills_as_sessions"}  # the scene's bill has no lines


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after", "error_5xx", "error_after", "duplicate"])
async def test_whatever_happens_to_the_answer_it_is_taken_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, fault: str
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await social.fail("charge", fault)
    assert "driver:D:debt" not in await step(pool, conn, psp, 1.1)
    assert await taken(social, scene) == FEE


async def test_a_bill_declined_every_time_is_tried_three_times_and_then_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await social.fail("charge", "decline", None)
    for days in (0, 1.1, 4.2, 7.3, 10.4, 13.5, 20):
        assert (await step(pool, conn, psp, days))["driver:D:debt"] == -FEE
    await social.heal()
    assert await taken(social, scene) == 0
    assert await conn.fetchval("select count(*) from outbox where kind = 'debt.collect'") == debts.RETRIES_MAX
    listed = await conn.fetch("select ref from exception where kind = 'debt' and resolved_at is null")
    assert [row["ref"] for row in listed] == ["D/KRW"]


async def test_a_debt_that_a_top_up_paid_meanwhile_is_not_charged(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await debts.sweep(conn, START + timedelta(days=1.1))
    await pay(conn, FEE)
    async with stage.working(pool, psp, more=TASKS):
        await stage.drained(conn)
    assert await taken(social, scene) == 0
    assert "driver:D:debt" not in await stage.balances(conn)


async def test_what_a_worker_took_before_it_died_is_booked_though_a_top_up_paid_the_debt_meanwhile(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await debts.sweep(conn, START + timedelta(days=1.1))
    died = asyncio.Event()

    def die(point: str) -> None:
        if point == "before_commit":
            died.set()
            raise ConnectionResetError("the worker is gone")

    async with stage.working(pool, psp, die, more=TASKS):
        await asyncio.wait_for(died.wait(), 10)
    await pay(conn, FEE)
    await step(pool, conn, psp, 1.2)
    assert await taken(social, scene) == FEE
    stands = await step(pool, conn, psp, 1.3)
    assert ("driver:D:debt" in stands, stands["driver:D:balance"]) == (False, FEE)


async def pay(conn: Connection, minor: int) -> Any:
    return await conn.fetchval(
        "select fund(gen_random_uuid(), 'cash', 'till-1', 'D', 'KRW', $1, $2)", minor, START + timedelta(days=1)
    )


async def test_the_role_that_workers_run_as_may_do_all_of_it(dsn: str, conn: Connection) -> None:
    await stage.parties(conn)
    await conn.execute(
        "select post(array[(gen_random_uuid(), 'owed', 'debt', 'x', now())]::posting_in[],"
        " array[(1, 1, 'driver:D:debt', 'psp:social:receivable', 'KRW', 300)]::transfer_in[])"
    )
    workers = await db.pool(dsn, name="test", role=db.WRITER)
    async with workers.acquire() as mine:
        assert await debts.sweep(mine, START) == 0
        await pay(mine, 1_000)
        await debts.sweep(mine, START + timedelta(days=2))
        wish = Wish("back", "D", Money(700, "KRW"), ["cash"], "asked for", "test", whole=True)
        assert [part.minor for part in await send_back(mine, wish, START)] == [700]
    await workers.close()
    assert await conn.fetchval("select state from dunning") == "resolved"
    assert (await stage.balances(conn)).keys() == {"psp:social:receivable", "psp:cash:clearing", "psp:cash:refunds"}


async def test_a_debt_collected_after_the_run_took_its_share_over_is_not_paid_out_by_the_psp_too(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    first, _ = await settlements.draft(conn, "P", date(2026, 11, 1), date(2026, 12, 1), "maker", LATER)
    await settlements.approve(conn, first, "checker", LATER, accept_differences=True)
    assert await conn.fetchval("select amount_minor from remittance") == PROVIDER_SHARE
    await conn.execute("delete from outbox where kind = 'psp.reconcile'")
    assert "driver:D:debt" not in await step(pool, conn, psp, 1.1)
    assert await stage.effects(social, scene) == [("charge", FEE)]
    assert await conn.fetchval("select count(*) from remittance_item") == 0


async def test_a_share_is_paid_once_when_a_statement_takes_it_over_while_the_debt_is_being_collected(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await debts.sweep(conn, START + timedelta(days=1.1))
    (job,) = [job for job in await outbox.claim(conn, 10, 60) if job.kind == "debt.collect"]
    result = await balance.collect_debt(job, stage.outside_of(pool, psp))

    first, _ = await settlements.draft(conn, "P", date(2026, 11, 1), date(2026, 12, 1), "maker", LATER)
    await outbox.save(conn, [result])
    await settlements.approve(conn, first, "checker", LATER, accept_differences=True)
    await conn.execute("delete from outbox where kind = 'psp.reconcile'")
    await conn.execute("update outbox set leased_until = null")
    async with stage.working(pool, psp, more=TASKS):
        await stage.drained(conn)

    assert await conn.fetchval("select sum(amount_minor) from remittance") == PROVIDER_SHARE
    assert await conn.fetchval("select count(*) from remittance_item") == 0
    assert "settle" not in {operation for operation, _ in await stage.effects(social, scene)}
    assert "shares_remitted" not in await db.check(conn)


async def test_a_statement_waits_for_a_share_that_is_going_to_a_psp_and_leaves_it_there(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await debts.sweep(conn, START + timedelta(days=1.1))
    (job,) = [job for job in await outbox.claim(conn, 10, 60) if job.kind == "debt.collect"]
    result = await balance.collect_debt(job, stage.outside_of(pool, psp))

    async with pool.acquire() as other:
        async with conn.transaction():
            await outbox.save(conn, [result])
            draft = settlements.draft(other, "P", date(2026, 11, 1), date(2026, 12, 1), "maker", LATER)
            drafting = asyncio.create_task(draft)
            await waiting_for_a_lock(pool)
        await asyncio.wait_for(drafting, 10)

    assert await conn.fetchval("select count(*) from remittance_item where state = 'submitted'") > 0
    assert await conn.fetchval("select count(*) from statement_adjustment") == 0


async def test_while_nobody_knows_what_an_attempt_took_no_other_is_made(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await refused(pool, conn, social, psp)
    await step(pool, conn, psp, 0)
    await social.fail("charge", "error_after", None)
    await social.fail("get", "error_5xx", None)
    calls: list[list[str]] = []
    for days in (1.1, 5):
        await debts.sweep(conn, START + timedelta(days=days))
        await conn.execute("update outbox set attempts = 50 where state = 'waiting'")
        calls.append([])
        async with stage.working(pool, psp, calls[-1].append, more=TASKS):
            await stage.drained(conn)
    await social.heal()
    assert ["before_call" in points for points in calls] == [False, False]
    assert await conn.fetchval("select count(*) from exception where kind = 'debt_collect_failed'") > 0
    assert "driver:D:debt" not in await step(pool, conn, psp, 9)
    assert await taken(social, scene) == FEE
