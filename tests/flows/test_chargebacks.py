"""Chargebacks: what a bank takes back is recovered from its driver once, and never more than the payment had left."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.base.errors import Conflict
from csms.flows import books, chargebacks, give_back
from csms.store import outbox
from tests import make


@pytest.fixture
async def payment(conn: Any) -> UUID:
    """Ann topped up 50,000 KRW by the payment `pay-1` at the psp `social`; all of it is in her balance."""
    await make.seed(conn)
    return await conn.fetchval(
        "insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)"
        " values ($1, 'social', 'pay-1', 'ann', 'top_up', 50000, 'KRW', $2) returning id",
        books.new_id(),
        make.NOON,
    )


async def accounts(conn: Any) -> dict[str, int]:
    rows = await conn.fetch("select address, balance from account_balance where balance <> 0")
    return {row["address"]: row["balance"] for row in rows}


async def spend(conn: Any, minor: int) -> None:
    key = f"spent/{books.new_id()}"
    await books.post(conn, key, "test", "ann", make.NOON, "KRW", ("driver:ann:balance", "operator:fee", minor))


async def open_(conn: Any, minor: int = 50_000, ref: str = "dispute-1", payment_ref: str = "pay-1") -> bool:
    return await chargebacks.opened(conn, "social", ref, payment_ref, minor, "KRW", make.NOON)


async def test_a_chargeback_takes_the_balance_first_and_the_rest_is_debt(conn: Any, payment: UUID) -> None:
    await spend(conn, 20_000)
    assert await open_(conn)
    assert await accounts(conn) == {"driver:ann:debt": -20_000, "operator:fee": 20_000}
    assert await conn.fetchval("select refunded_minor from payment") == 50_000
    listed = await conn.fetchrow("select kind, ref, details::jsonb ->> 'driver' as driver from exception")
    assert listed["kind"] == "chargeback" and listed["driver"] == "ann"
    assert listed["ref"] == f"chargeback/{await conn.fetchval('select id from chargeback')}"


async def test_the_same_chargeback_told_twice_moves_money_once(conn: Any, payment: UUID) -> None:
    assert [await open_(conn), await open_(conn)] == [True, False]
    assert await conn.fetchval("select count(*) from posting where kind = 'chargeback'") == 1


async def test_told_by_two_processes_at_once_it_moves_money_once(pool: Any, conn: Any, payment: UUID) -> None:
    async def one() -> bool:
        async with pool.acquire() as own:
            return await open_(own)

    assert sorted(await asyncio.gather(*[one() for _ in range(6)])) == [False] * 5 + [True]
    assert await accounts(conn) == {}


async def test_after_a_refund_only_what_the_payment_had_left_is_recovered(conn: Any, payment: UUID) -> None:
    await conn.execute("update payment set refunded_minor = 30000")
    await open_(conn)
    row = await conn.fetchrow("select from_balance_minor, to_debt_minor from chargeback")
    assert tuple(row) == (20_000, 0)
    assert (await accounts(conn))["chargeback"] == -30_000, "the operator bears what the psp took above that"


async def test_two_disputes_of_one_payment_recover_it_once(conn: Any, payment: UUID) -> None:
    await open_(conn, 30_000, "dispute-1")
    await open_(conn, 50_000, "dispute-2")
    assert await conn.fetchval("select sum(from_balance_minor + to_debt_minor) from chargeback") == 50_000


async def test_won_puts_everything_back_where_it_was(conn: Any, payment: UUID) -> None:
    await spend(conn, 20_000)
    before = await accounts(conn)
    await open_(conn)
    assert await chargebacks.won(conn, "social", "dispute-1", make.after(60))
    assert await accounts(conn) == before
    assert not await chargebacks.won(conn, "social", "dispute-1", make.after(61))
    assert await conn.fetchval("select refunded_minor from payment") == 0
    assert await conn.fetchval("select resolved_at is not null from exception")


async def test_won_after_the_debt_was_paid_goes_to_the_balance(conn: Any, payment: UUID) -> None:
    await spend(conn, 50_000)
    await open_(conn)
    await make.fund(conn, "ann", 30_000)
    await books.post(conn, "dunned", "test", "ann", make.NOON, "KRW", ("driver:ann:balance", "driver:ann:debt", 30_000))
    await chargebacks.won(conn, "social", "dispute-1", make.after(60))
    now = await accounts(conn)
    assert "driver:ann:debt" not in now and now["driver:ann:balance"] == 30_000


async def test_lost_moves_nothing_and_is_final(conn: Any, payment: UUID) -> None:
    await open_(conn)
    before = await accounts(conn)
    assert await chargebacks.lost(conn, "social", "dispute-1", make.after(60))
    assert await accounts(conn) == before
    with pytest.raises(Conflict):
        await chargebacks.won(conn, "social", "dispute-1", make.after(61))


async def test_the_end_may_be_told_before_the_beginning(conn: Any, payment: UUID) -> None:
    before = await accounts(conn)
    await chargebacks.told(conn, "social", "dispute-1", "won", "pay-1", 50_000, "KRW", make.NOON)
    await chargebacks.told(conn, "social", "dispute-1", "opened", "pay-1", 50_000, "KRW", make.NOON)
    assert await accounts(conn) == before
    assert await conn.fetchval("select state from chargeback") == "won"


async def test_a_chargeback_of_an_unknown_payment_is_kept_and_listed(conn: Any, payment: UUID) -> None:
    await open_(conn, 1_000, payment_ref="nobody-knows")
    assert (await accounts(conn))["chargeback"] == -1_000
    assert await conn.fetchval("select (details ->> 'payment_known')::boolean from exception") is False
    await chargebacks.won(conn, "social", "dispute-1", make.after(1))
    assert "chargeback" not in await accounts(conn)


async def test_the_books_hold_after_chargebacks(conn: Any, payment: UUID) -> None:
    await open_(conn, 30_000)
    await chargebacks.won(conn, "social", "dispute-1", make.after(60))
    await open_(conn, 40_000, "dispute-2")
    for name in ("trial_balance", "guarded_balances", "postings_whole"):
        assert await db.checks()[name].many(conn) == []


async def refund_fails(conn: Any, refund_id: UUID) -> None:
    """The psp says that the refund will not arrive."""
    (job,) = await outbox.claim(conn, 1, 15)
    row = await db.SQL.find_refund.one(conn, refund_id)
    end = give_back.failed(row, "account closed", make.after(30))
    await outbox.save(conn, [outbox.Result(job, "done", ended=(end,))])


@pytest.mark.parametrize("order", ["chargeback first", "failure first"])
@pytest.mark.parametrize("refunded", [30_000, 50_000])
async def test_a_refund_that_fails_leaves_the_same_before_and_after_a_chargeback(
    conn: Any, payment: UUID, order: str, refunded: int
) -> None:
    before = await accounts(conn)
    refund_id = books.new_id()
    await conn.fetchval(
        "select begin_refund($1, $2, $3, null, null, 'asked for', 'staff', $4)",
        refund_id, payment, refunded, make.NOON,
    )  # fmt: skip
    move = ("driver:ann:balance", "psp:social:refunds", refunded)
    await books.post(conn, "begun", "refund", "ann", make.NOON, "KRW", move)
    if order == "chargeback first":
        await open_(conn)
        await refund_fails(conn, refund_id)
    else:
        await refund_fails(conn, refund_id)
        await open_(conn)
    assert await accounts(conn) == {}, "all of the payment is recovered from the balance"
    assert await conn.fetchval("select refunded_minor from payment") == 50_000
    for name in ("guarded_balances", "payments_refunded", "chargebacks_posted", "refunds_on_their_way"):
        assert await db.checks()[name].many(conn) == []
    await chargebacks.won(conn, "social", "dispute-1", make.after(60))
    assert await accounts(conn) == before
