"""Money that goes back: once at the psp, once in our ledger, or in the driver's balance when it cannot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from csms import db
from csms.db import Connection, Pool
from csms.flows import chargebacks
from csms.psp.base import Refund
from csms.psp.social import Social
from csms.store import outbox
from csms.worker import tasks
from csms.worker.tasks import ATTEMPTS_MAX, FAULT_ATTEMPTS_MAX
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, HOLD, OPERATOR_SHARE
from tests.worker.test_killed import POINTS, killed_at

HARMLESS = ["timeout_before", "timeout_after", "error_5xx", "error_after", "duplicate", "delay"]
LEFT = HOLD - 5_000


@pytest.fixture
async def psp(social: SocialProcess, conn: Connection) -> AsyncIterator[Social]:
    await stage.parties(conn)
    psp = stage.adapter(social)
    yield psp
    await psp.close()


async def standing(conn: Connection, refund_id: UUID) -> tuple[str, int]:
    """The refund's state, and how much of its payment counts as sent back."""
    row = await conn.fetchrow(
        "select r.state, p.refunded_minor from refund r join payment p on p.id = r.payment_id where r.id = $1",
        refund_id,
    )
    assert row is not None
    return row["state"], row["refunded_minor"]


PENDING = "select bool_or(result ? 'pending') from outbox where kind = 'psp.refund'"
"""The refund's job has heard that it is pending."""


async def test_a_refund_is_sent_once_and_then_the_psp_holds_that_much_less(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, ref = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("paid", 5_000)
    assert [entry["amount"] for entry in await stage.at_psp(social, "refund", payment_key=ref)] == [5_000]
    assert await stage.balances(conn) == {"psp:social:clearing": -LEFT, "driver:D:balance": LEFT}


async def test_whatever_goes_wrong_on_the_way_money_goes_back_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    for kind in HARMLESS:
        payment_id, ref = await stage.paid_payment(conn, psp)
        refund_id = await stage.begun_refund(conn, payment_id, 5_000)
        await social.fail("refund", kind, count=2)
        await social.fail("get", "error_5xx", count=2)
        async with stage.working(pool, psp):
            await stage.drained(conn)
        await social.heal()
        assert len(await stage.at_psp(social, "refund", payment_key=ref)) == 1, kind
        assert await standing(conn, refund_id) == ("paid", 5_000)
    count = len(HARMLESS)
    assert await stage.balances(conn) == {"psp:social:clearing": -LEFT * count, "driver:D:balance": LEFT * count}
    assert await conn.fetchval("select count(*) from exception") == 0


async def test_every_attempt_at_a_refund_uses_one_key(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, ref = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await social.fail("refund", "timeout_after", count=1)
    await social.fail("get", "error_5xx", count=1)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert [e["key"] for e in await stage.at_psp(social, "refund", payment_key=ref)] == [f"refund/{refund_id}"]


async def test_a_refund_that_is_declined_is_the_drivers_balance_again_and_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, _ = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await social.fail("refund", "decline")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("failed", 0)
    assert await stage.balances(conn) == {"psp:social:clearing": -HOLD, "driver:D:balance": HOLD}
    listed = await conn.fetchrow("select kind, ref, details ->> 'reason' as reason from exception")
    assert tuple(listed) == ("refund_failed", f"refund/{refund_id}", "REJECT_CANCEL")


async def test_a_refund_that_the_psp_has_no_money_left_for_fails_for_good(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, ref = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    by_hand = Refund(str(uuid4()), ref, HOLD, "KRW", "by hand, at the psp's own desk")
    assert (await psp.refund("by hand", by_hand)).end == "done"
    await conn.execute("update outbox set attempts = $1", FAULT_ATTEMPTS_MAX - 2)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("failed", 0)
    assert (await stage.balances(conn))["driver:D:balance"] == HOLD


async def test_while_nobody_can_say_what_became_of_a_refund_it_stays_on_its_way_and_is_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, _ = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await conn.execute("update outbox set attempts = $1", ATTEMPTS_MAX - 1)
    await social.fail("refund", "decline")
    await social.fail("get", "error_5xx")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("pending", 5_000)
    assert (await stage.balances(conn))["psp:social:refunds"] == 5_000
    assert await conn.fetchval("select kind from exception") == "refund_stuck"


@pytest.mark.parametrize(
    ("status", "state", "refunded", "balance"), [("DONE", "paid", 5_000, LEFT), ("FAILED", "failed", 0, HOLD)]
)
async def test_a_refund_that_the_psp_has_still_to_send_ends_when_it_says_so(
    pool: Pool,
    conn: Connection,
    social: SocialProcess,
    psp: Social,
    status: str,
    state: str,
    refunded: int,
    balance: int,
) -> None:
    payment_id, _ = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await social.fail("refund", "pending")
    async with stage.working(pool, psp):
        await stage.until(conn, PENDING)
        assert await standing(conn, refund_id) == ("pending", 5_000)
        assert (await social.call("POST", f"/admin/refunds/{refund_id}", {"status": status}))[0] == 200
        await stage.drained(conn)
    assert await standing(conn, refund_id) == (state, refunded)
    assert (await stage.balances(conn))["driver:D:balance"] == balance
    assert "psp:social:refunds" not in await stage.balances(conn)


@pytest.mark.parametrize("shares_by", ["psp", "run"])
async def test_of_a_payment_made_before_the_fee_is_kept_and_the_rest_goes_back(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, shares_by: str
) -> None:
    scene = await stage.billed(conn, psp, "pay_before_refund_rest", shares_by=shares_by)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    effects = await stage.effects(social, scene)
    assert sorted(effects) == sorted([("refund", HOLD - FEE)] + ([("settle", FEE)] if shares_by == "psp" else []))
    payment = await conn.fetchrow("select amount_minor, refunded_minor, session_id from payment")
    assert tuple(payment) == (HOLD, HOLD - FEE, scene.session_id)
    paid_out = {"bank": -OPERATOR_SHARE}
    owed = {"psp:social:clearing": -FEE, "provider:P:payable": FEE - OPERATOR_SHARE}
    assert await stage.balances(conn) == {"operator:fee": OPERATOR_SHARE} | (paid_out if shares_by == "psp" else owed)
    assert await conn.fetchval("select count(*) from exception") == 0


async def test_of_a_bill_whose_shares_the_run_pays_no_settlement_message_is_sent(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await stage.billed(conn, psp, shares_by="run")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE)]
    assert await conn.fetchval("select count(*) from remittance_item") == 0
    payment = await conn.fetchrow("select psp_ref, amount_minor, driver_id, kind from payment")
    assert tuple(payment) == (scene.psp_ref, FEE, "D", "session")


async def test_what_was_paid_before_and_not_used_goes_back_whole(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    for kind in ("delay", *HARMLESS):
        id_, ref = await stage.authorization(conn, psp, "voiding", "pay_before_refund_rest")
        await stage.post(conn, f"authorization/{id_}/paid", "psp:social:clearing", f"authorization:{id_}:held", HOLD)
        await stage.insert_void(conn, id_)
        await social.fail("refund", kind)
        async with stage.working(pool, psp):
            await stage.drained(conn)
        assert [e["amount"] for e in await stage.at_psp(social, "refund", payment_key=ref)] == [HOLD]
        assert await conn.fetchval("select state from psp_authorization where id = $1", id_) == "voided"
    assert await stage.balances(conn) == {}


async def test_a_worker_killed_at_any_point_sends_every_refund_once(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    refs = []
    for point in POINTS:
        payment_id, ref = await stage.paid_payment(conn, psp)
        await stage.begun_refund(conn, payment_id, 5_000)
        refs.append(ref)
        await killed_at(dsn, social, point, 1)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    for ref in refs:
        assert [e["amount"] for e in await stage.at_psp(social, "refund", payment_key=ref)] == [5_000]
    count = len(refs)
    assert await stage.balances(conn) == {"psp:social:clearing": -LEFT * count, "driver:D:balance": LEFT * count}


async def test_a_rest_that_a_payment_has_not_left_is_listed_and_not_tried_for_ever(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await stage.billed(conn, psp, "pay_before_refund_rest")
    await conn.execute("update outbox set attempts = $1 where kind = 'psp.refund_rest'", FAULT_ATTEMPTS_MAX - 2)
    await conn.execute(
        "insert into payment values ($1, 'social', $2, 'D', 'session', $3, $4, $4, 'KRW', now())",
        uuid4(),
        scene.psp_ref,
        scene.session_id,
        HOLD,
    )
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert ("refund", HOLD - FEE) not in await stage.effects(social, scene)
    listed = await conn.fetchrow("select kind, ref from exception")
    assert tuple(listed) == ("job_refused", f"session/{scene.session_id}")
    assert await db.check(conn, {"refunds": db.checks()["refunds_on_their_way"]}) == {}


async def test_many_workers_send_each_refund_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payments = [await stage.paid_payment(conn, psp) for _ in range(4)]
    for _ in range(3):
        for payment_id, _ in payments:
            await stage.begun_refund(conn, payment_id, 1_000)
    async with stage.working(pool, psp), stage.working(pool, psp), stage.working(pool, psp):
        await stage.drained(conn)
    for _, ref in payments:
        assert [e["amount"] for e in await stage.at_psp(social, "refund", payment_key=ref)] == [1_000] * 3
    assert await stage.balances(conn) == {"psp:social:clearing": -4 * 17_000, "driver:D:balance": 4 * 17_000}


async def test_a_refund_is_told_to_whoever_wants_to_know(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await conn.execute(
        "insert into webhook_endpoint (id, url, secrets, created_at) values ($1, 'https://x.example/', '{x}', now())",
        uuid4(),
    )
    payment_id, _ = await stage.paid_payment(conn, psp)
    for minor, fault in ((5_000, None), (3_000, "decline")):
        await stage.begun_refund(conn, payment_id, minor)
        if fault is not None:
            await social.fail("refund", fault)
        async with stage.working(pool, psp):
            await stage.until(conn, "select bool_and(state <> 'pending') from refund")
    rows = await conn.fetch("select type, driver_id, body::text as body from notice order by type desc")
    assert [(row["type"], row["driver_id"]) for row in rows] == [("refund.paid", "D"), ("refund.failed", "D")]
    assert json.loads(rows[0]["body"])["amount"] == {"minor": 5_000, "currency": "KRW"}
    assert await conn.fetchval("select count(*) from outbox where kind = 'notify'") == 2


async def test_a_rest_is_on_its_way_before_anything_else_can_take_it_of_its_payment(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await stage.billed(conn, psp, "pay_before_refund_rest")
    [job] = await outbox.claim(conn, 1, 0)
    await outbox.save(conn, [await tasks.TASKS[job.kind](job, stage.outside_of(pool, psp))])
    assert await db.check(conn, {"refunds": db.checks()["refunds_on_their_way"]}) == {}
    assert scene.psp_ref is not None

    await chargebacks.told(conn, "social", "dispute-1", "opened", scene.psp_ref, HOLD, "KRW", stage.START)
    async with stage.working(pool, psp):
        await stage.drained(conn)

    stands = await stage.balances(conn)
    assert ("psp:social:refunds" in stands, stands["driver:D:debt"]) == (False, -FEE)
    assert [amount for operation, amount in await stage.effects(social, scene) if operation == "refund"] == [HOLD - FEE]
