"""What a psp's webhook comes to, whatever state it arrives in: the psp is asked, and money moves once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from csms.db import Connection, Pool
from csms.flows import webhooks
from csms.psp.base import top_up_order
from csms.psp.social import Social
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, HOLD
from tests.worker.test_give_back import PENDING, standing

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
async def psp(social: SocialProcess, conn: Connection) -> AsyncIterator[Social]:
    await stage.parties(conn)
    psp = stage.adapter(social)
    yield psp
    await psp.close()


async def hear(conn: Connection, psp: Social, kind: str, ref: str, status: str = "DONE") -> UUID | None:
    """A webhook that anybody may have sent: not signed."""
    body = {"id": f"evt_{uuid4()}", "type": kind, "at": NOW.isoformat(), "data": {"kind": kind, "ref": ref}}
    body["data"] |= {"status": status, "orderId": None}  # type: ignore[operator]
    raw = json.dumps(body).encode()
    return await webhooks.keep(conn, psp.name, webhooks.read(psp, {}, raw), {}, raw, NOW)


async def paid_at_psp(social: SocialProcess, order: str, amount: int = HOLD) -> str:
    """A payment that a driver made at the psp by themselves; its name there."""
    body: dict[str, Any] = {"orderId": order, "customerKey": f"payer-{uuid4()}", "amount": amount, "currency": "KRW"}
    _, payment = await social.call("POST", "/v1/payments/confirm", body, key=str(uuid4()))
    return str(payment["paymentKey"])


async def test_a_top_up_is_in_the_balance_once_however_often_it_is_told(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    ref = await paid_at_psp(social, top_up_order("D", str(uuid4())))
    for status in ("DONE", "CANCELED", "DONE", "ABORTED"):
        await hear(conn, psp, "payment", ref, status)
    async with stage.working(pool, psp), stage.working(pool, psp):
        await stage.drained(conn)
        await hear(conn, psp, "payment", ref)
        await stage.drained(conn)
    assert await stage.balances(conn) == {"psp:social:clearing": -HOLD, "driver:D:balance": HOLD}
    assert await conn.fetchval("select count(*) from payment where kind = 'top_up' and psp_ref = $1", ref) == 1


async def test_a_webhook_about_a_payment_that_the_psp_does_not_have_moves_nothing(
    pool: Pool, conn: Connection, psp: Social
) -> None:
    id_ = await hear(conn, psp, "payment", "pay_made_up")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.balances(conn) == {}
    outcome = await conn.fetchval("select outcome from webhook_in where id = $1", id_)
    assert outcome == "the psp knows nothing of it"


async def test_a_top_up_for_a_driver_whom_nobody_knows_is_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    ref = await paid_at_psp(social, top_up_order("nobody", str(uuid4())))
    await hear(conn, psp, "payment", ref)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.balances(conn) == {}
    listed = await conn.fetchrow("select kind, details ->> 'ref' as ref from exception")
    assert tuple(listed) == ("top_up_unmatched", ref)


async def test_a_top_up_that_went_back_before_we_heard_of_it_is_listed_and_not_funded(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    ref = await paid_at_psp(social, top_up_order("D", str(uuid4())))
    body = {"orderId": str(uuid4()), "amount": 1, "reason": "by hand"}
    assert (await social.call("POST", f"/v1/payments/{ref}/refunds", body, key=str(uuid4())))[0] == 200
    await hear(conn, psp, "payment", ref)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.balances(conn) == {}
    assert await conn.fetchval("select kind from exception") == "top_up_unmatched"


async def test_news_of_a_refund_ends_it_without_waiting_for_its_job(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    payment_id, _ = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await social.fail("refund", "pending")
    async with stage.working(pool, psp):
        await stage.until(conn, PENDING)
        await conn.execute("update outbox set next_at = now() + interval '1 hour' where kind = 'psp.refund'")
        await hear(conn, psp, "refund", str(refund_id))  # too early: it changes nothing
        await social.call("POST", f"/admin/refunds/{refund_id}", {"status": "DONE"})
        await hear(conn, psp, "refund", str(refund_id))
        await stage.until(conn, "select bool_and(state = 'paid') from refund")
        await conn.execute("update outbox set next_at = now() where kind = 'psp.refund'")
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("paid", 5_000)
    assert await stage.balances(conn) == {"psp:social:clearing": 5_000 - HOLD, "driver:D:balance": HOLD - 5_000}


async def test_a_refund_that_was_paid_and_came_back_is_the_drivers_balance_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment_id, _ = await stage.paid_payment(conn, psp)
    refund_id = await stage.begun_refund(conn, payment_id, 5_000)
    await social.fail("refund", "pending")
    async with stage.working(pool, psp):
        await stage.until(conn, PENDING)
        # the psp says paid first, and failed afterwards: the ledger has believed the first word
        await social.call("POST", f"/admin/refunds/{refund_id}", {"status": "FAILED"})
        row = await conn.fetchval("select end_refunds(array[($1, 'pending', 'paid', 'ref', now())]::refund_end_in[])",
                                  refund_id)  # fmt: skip
        assert row == refund_id
        await stage.post(conn, f"refund/{refund_id}/paid", "psp:social:refunds", "psp:social:clearing", 5_000)
        for _ in range(3):
            await hear(conn, psp, "refund", str(refund_id), "FAILED")
        await conn.execute("update outbox set next_at = now()")
        await stage.drained(conn)
    assert await standing(conn, refund_id) == ("failed", 0)
    assert await stage.balances(conn) == {"psp:social:clearing": -HOLD, "driver:D:balance": HOLD}
    assert await conn.fetchval("select details ->> 'was' from exception where kind = 'refund_failed'") == "paid"


async def test_a_chargeback_is_taken_from_the_driver_once_and_given_again_when_it_is_won(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    _, ref = await stage.paid_payment(conn, psp)
    _, dispute = await social.call("POST", "/admin/chargebacks", {"paymentKey": ref, "amount": 3_000})
    async with stage.working(pool, psp):
        for _ in range(2):
            await hear(conn, psp, "chargeback", dispute["disputeId"], "OPENED")
        await stage.drained(conn)
        opened = await stage.balances(conn)
        await social.call("POST", f"/admin/chargebacks/{dispute['disputeId']}", {"status": "WON"})
        for status in ("WON", "OPENED"):
            await hear(conn, psp, "chargeback", dispute["disputeId"], status)
        await stage.drained(conn)
    assert opened["psp:social:clearing"] == 3_000 - HOLD
    assert opened["driver:D:balance"] == HOLD - 3_000
    assert await stage.balances(conn) == {"psp:social:clearing": -HOLD, "driver:D:balance": HOLD}


async def test_news_of_a_fee_makes_its_job_due_now(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    scene = await stage.billed(conn, psp)
    assert scene.psp_ref is not None
    await conn.execute("update outbox set next_at = now() + interval '1 hour'")
    await hear(conn, psp, "payment", scene.psp_ref)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert [name for name, _ in await stage.effects(social, scene)] == ["capture", "settle"]
    assert (await stage.balances(conn))["bank"] < 0 < FEE


async def test_while_the_psp_does_not_answer_a_webhook_waits_and_nothing_is_believed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    ref = await paid_at_psp(social, top_up_order("D", str(uuid4())))
    await social.fail("get", "error_5xx", count=3)
    await hear(conn, psp, "payment", ref)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert (await stage.balances(conn))["driver:D:balance"] == HOLD
    assert await conn.fetchval("select attempts from outbox where kind = 'webhook.process'") == 3


async def test_what_cannot_be_read_is_kept_and_looked_into_by_nobody(conn: Connection, psp: Social) -> None:
    for raw in (b"", b"[]", b"{", b'{"data": {"kind": "payment"}}', b"\xff" * 10, b"[" * 50_000):
        headers = {"Authorization": "secret", "Cookie": "c", "X": "y"}
        assert await webhooks.keep(conn, "social", webhooks.read(psp, headers, raw), headers, raw, NOW) is not None
    rows = await conn.fetch("select verified, kind, headers::text as headers from webhook_in")
    assert {(row["verified"], row["kind"]) for row in rows} == {(False, None)}
    assert {row["headers"] for row in rows} == {'{"x": "y"}'}
    assert await conn.fetchval("select count(*) from outbox") == 0


async def test_a_webhook_of_odd_characters_is_kept_without_them(conn: Connection, psp: Social) -> None:
    for number, ref in enumerate(("\\ud800", "\\u0000", "", "x" * 600)):
        body = '{"id": "e%d", "type": "t", "at": "%s", "data": {"kind": "refund", "ref": "%s", "status": "DONE"}}'
        raw = (body % (number, NOW.isoformat(), ref)).encode()
        headers = {
            "webhook-id": "\udc80",
            "odd": "a\udc80b",
            "webhook-signature": "v1,\udcff",
            "webhook-timestamp": "1",
        }
        assert await webhooks.keep(conn, "social", webhooks.read(psp, headers, raw), headers, raw, NOW) is not None
    rows = await conn.fetch("select ref, headers ->> 'odd' as odd from webhook_in")
    assert {(row["ref"], row["odd"]) for row in rows} == {(None, "a?b")}
    assert await conn.fetchval("select count(*) from outbox") == 0


async def test_the_same_bytes_are_kept_once_and_an_unsigned_one_takes_no_genuine_ones_place(
    conn: Connection, psp: Social
) -> None:
    raw = json.dumps(
        {"id": "evt_1", "type": "t", "at": NOW.isoformat(), "data": {"kind": "payment", "ref": "p", "status": "DONE"}}
    ).encode()
    told = webhooks.read(psp, {"webhook-id": "evt_1"}, raw)
    assert await webhooks.keep(conn, "social", told, {}, raw, NOW) is not None
    assert await webhooks.keep(conn, "social", told, {}, raw, NOW) is None
    assert told.hint is not None  # type: ignore[union-attr]
    assert await webhooks.keep(conn, "social", told.hint, {}, raw, NOW) is not None  # type: ignore[union-attr]
    assert await conn.fetchval("select count(*) from webhook_in where event_id = 'evt_1'") == 1
