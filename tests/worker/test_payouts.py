"""Remittances by a psp: whatever answers get lost and whoever is killed, a provider is paid once."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.flows import remittances, settlements
from csms.flows.reconcile import reconcile
from csms.store import outbox
from csms.store.outbox import Result
from csms.worker.settling import payout
from csms.worker.tasks import Outside, Task
from tests.flows.settling import LATER, bill, payable, provider, settle
from tests.psp.social_process import PROVIDER_ACCOUNT, SocialProcess
from tests.worker import scene as stage
from tests.worker.test_killed import POINTS, killed_at


@pytest.fixture
async def remittance(conn: Any) -> UUID:
    """What is due to P for November, 900 KRW, to be paid by the psp `social`."""
    await provider(conn, accounts={"social": PROVIDER_ACCOUNT}, payout_psp="social")
    await bill(conn, 900)
    await settle(conn)
    return await conn.fetchval("select id from remittance")


async def work(pool: Any, conn: Any, social: SocialProcess) -> None:
    """The worker does what waits."""
    psp = stage.adapter(social)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    await psp.close()


async def paid_there(social: SocialProcess, remittance_id: UUID) -> list[int]:
    """What the psp paid for a remittance, attempt by attempt."""
    return [
        entry["amount"]
        for entry in await social.journal()
        if entry["operation"] == "payout" and str(remittance_id) in entry["order_id"]
    ]


async def tried(conn: Any) -> None:
    """Returns when the psp was asked and the job waits for its word."""
    async with asyncio.timeout(20):
        while True:
            if await conn.fetchval("select attempts from outbox where kind = 'psp.payout'"):
                return
            await asyncio.sleep(0.005)


async def states(conn: Any) -> list[tuple[int, str]]:
    return [tuple(r) for r in await conn.fetch("select attempt, state from remittance_attempt order by attempt")]


async def test_a_remittance_is_paid_and_no_longer_owed(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await work(pool, conn, social)
    assert await paid_there(social, remittance) == [900]
    assert await payable(conn) == 0
    assert await conn.fetchval("select state from remittance") == "paid"
    assert (await stage.balances(conn))["psp:social:clearing"] == 900


@pytest.mark.parametrize("fault", ["error_after", "error_5xx"])
async def test_a_lost_answer_is_cleared_up_and_nothing_is_paid_twice(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID, fault: str
) -> None:
    await social.fail("payout", fault, count=2)
    await work(pool, conn, social)
    assert await paid_there(social, remittance) == [900]
    assert await states(conn) == [(1, "paid")]


async def test_a_worker_killed_anywhere_pays_once(
    dsn: str, pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    for point in POINTS:
        if await conn.fetchval("select exists (select from outbox where state = 'waiting')"):
            await killed_at(dsn, social, point, 1)
    await work(pool, conn, social)
    assert await paid_there(social, remittance) == [900]
    assert await payable(conn) == 0


async def test_a_refused_payout_stays_owed_and_is_paid_by_a_new_attempt(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await social.fail("payout", "decline")
    await work(pool, conn, social)
    assert await states(conn) == [(1, "failed")]
    assert await payable(conn) == 900
    assert await conn.fetchval("select kind from exception where resolved_at is null") == "remittance_failed"
    await remittances.retry(conn, remittance, LATER)
    await work(pool, conn, social)
    assert await states(conn) == [(1, "failed"), (2, "paid")]
    assert await paid_there(social, remittance) == [900]
    assert await conn.fetchval("select count(*) from exception where resolved_at is null") == 0


async def test_before_a_new_attempt_the_psp_is_asked_and_a_late_success_counts(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await work(pool, conn, social)
    # As if we had been told that it failed, while it was paid.
    await conn.execute("alter table transfer disable trigger user; alter table posting disable trigger user")
    await conn.execute("delete from transfer using posting p where p.id = posting_id and p.kind = 'remittance'")
    await conn.execute("delete from posting where kind = 'remittance'")
    await conn.execute("update remittance_attempt set state = 'failed'")
    await conn.execute("update remittance set state = 'failed'")
    await remittances.retry(conn, remittance, LATER)
    await work(pool, conn, social)
    assert await states(conn) == [(1, "paid"), (2, "failed")]
    assert await paid_there(social, remittance) == [900]
    assert await payable(conn) == 0


async def test_a_pending_payout_is_paid_when_the_psp_says_so(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await social.fail("payout", "pending")
    psp = stage.adapter(social)
    async with stage.working(pool, psp):
        await tried(conn)
        assert await payable(conn) == 900
        order = remittances.order_of(remittance, 1)
        status, _ = await social.call("POST", f"/admin/payouts/{order}", {"status": "COMPLETED"})
        assert status == 200
        await conn.execute("update outbox set next_at = now()")
        await stage.drained(conn)
    await psp.close()
    assert await states(conn) == [(1, "paid")]
    assert await payable(conn) == 0


async def test_a_payout_without_an_answer_is_never_sent_under_a_new_key(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await conn.execute("update outbox set attempts = 50")
    await social.fail("payout", "error_after", count=None)
    await social.fail("get", "error_5xx", count=None)
    await work(pool, conn, social)
    assert await states(conn) == [(1, "submitted")]
    assert await conn.fetchval("select state from remittance") == "submitted"
    await social.heal()
    await remittances.retry(conn, remittance, LATER)
    await work(pool, conn, social)
    assert await states(conn) == [(1, "paid")]
    assert await paid_there(social, remittance) == [900]


async def test_the_psps_statement_of_the_day_matches_what_was_paid(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await work(pool, conn, social)
    today = datetime.now(UTC).date()
    await settlements.ask_reconciliations(conn, "social", today, today)
    await work(pool, conn, social)
    assert await conn.fetchval("select reason from psp_statement") == "the day is not over"
    psp = stage.adapter(social)
    await reconcile(conn, "social", today, await psp.statement(today), LATER)
    await psp.close()
    lines = await conn.fetch(
        "select kind, theirs_minor, verdict from psp_statement_line where ours like $1", f"%{remittance}%"
    )
    assert [tuple(line) for line in lines] == [("payout", -900, "matched")]
    assert await conn.fetchval("select state from psp_statement where day = $1", today) == "read"


async def test_a_psp_that_is_not_set_up_here_leaves_its_day_unread(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await settlements.ask_reconciliations(conn, "elsewhere", date(2026, 11, 1), date(2026, 11, 2))
    await work(pool, conn, social)
    rows = await conn.fetch("select state, reason from psp_statement order by day")
    assert [tuple(row) for row in rows] == [("unavailable", "psp elsewhere is not set up here")] * 2


async def test_a_job_of_an_ended_attempt_does_nothing(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID
) -> None:
    await remittances.ended(conn, remittance, 1, "failed", None, "told by a webhook", LATER)
    await work(pool, conn, social)
    assert await paid_there(social, remittance) == []
    assert await db.checks()["trial_balance"].many(conn) == []


@pytest.mark.parametrize(("told", "state"), [(True, "submitted"), (False, "failed")])
async def test_what_a_psp_that_is_not_set_up_any_more_may_have_paid_is_not_paid_by_hand(
    pool: Any, conn: Any, social: SocialProcess, remittance: UUID, told: bool, state: str
) -> None:
    if told:
        await social.fail("payout", "error_after", count=None)
        await social.fail("get", "error_5xx", count=None)
        psp = stage.adapter(social)
        async with stage.working(pool, psp):
            await tried(conn)
        await psp.close()
        await social.heal()
    result = await without_psp(pool, conn, payout)
    assert (result.state, await states(conn)) == ("given_up", [(1, state)])
    listed = await conn.fetchval("select kind from exception where kind like 'remittance%'")
    assert listed == ("remittance_unknown" if told else "remittance_failed")


async def without_psp(pool: Any, conn: Any, task: Task) -> Result:
    """The last attempt of the one job that waits, by a worker that has no psp any more."""
    await conn.execute(
        "update outbox set attempts = 50, claims = 50, next_at = now(), leased_until = null where state = 'waiting'"
    )
    (job,) = await outbox.claim(conn, 9, 15)
    outside = Outside(pool, {}, {}, lambda: LATER, random.Random(1))
    return await task(job, outside)
