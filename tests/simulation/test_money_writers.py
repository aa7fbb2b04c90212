"""Sixteen writers at once by the real flows: nothing twice, nothing overdrawn, and whoever repeats gets what stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from csms import db
from csms.base.errors import Conflict, Refused
from csms.base.money import Money
from csms.db import SQL
from csms.domain.events import BillCorrected, BillRefunded
from csms.flows import books, chargebacks, debts, give_back, top_up
from csms.flows.refund_rest import Wish, send_back
from csms.store import outbox
from csms.store.outbox import Job, Result
from tests import make
from tests.make import BOB, NOON, Told, after, ended, started

WRITERS = 16
PAYMENTS = 8

Step = Callable[[Any], Awaitable[object]]


def steps() -> list[Step]:
    """What every writer does, in an order of its own: so each thing is done by all of them, at once."""

    def fund(number: int) -> Step:
        return lambda conn: top_up.fund(conn, "bob", Money(1_000 * number, "KRW"), "social", f"pay-{number}", NOON)

    def wish(number: int) -> Step:
        asked = Wish(f"wish/{number}", "bob", Money(700 * number, "KRW"), ("social",), "asked", "staff")
        return lambda conn: send_back(conn, asked, after(number))

    def dispute(number: int, end: Any) -> Step:
        told = ("social", f"dispute-{number}", end, f"pay-{number}", 900 * number, "KRW", after(number))
        return lambda conn: chargebacks.told(conn, *told)

    found = [fund(number) for number in range(1, PAYMENTS + 1)]
    found += [wish(number) for number in range(1, 9)]
    found += [dispute(number, end) for number, end in ((1, "opened"), (2, "won"), (3, "lost"), (4, "won"), (4, "lost"))]
    return [*found, _spend, *[_end_refunds] * 2, lambda conn: debts.sweep(conn, after(1_000))]


async def _spend(conn: Any) -> None:
    """More than a fair part of the balance, as a road would that trusts the guard alone."""
    with suppress(books.PostingRefused):
        move = ("driver:bob:balance", "bank", 6_000)
        await books.post(conn, f"spent/{make.new_id()}", "spent", "bob", NOON, "KRW", move)


async def _end_refunds(conn: Any) -> None:
    """Every refund ends, also when another writer is ending it: paid or failed, as its id says."""
    for row in await conn.fetch("select id from refund where state = 'pending'"):
        record = await SQL.find_refund.one(conn, row["id"])
        assert record is not None
        ends = give_back.paid if row["id"].int % 2 else lambda refund, ref, at: give_back.failed(refund, "closed", at)
        job = Job(row["id"], "psp.refund", f"refund/{row['id']}", f"refund/{row['id']}", {}, 1, 1)
        await outbox.save(conn, [Result(job, "done", ended=(ends(record, None, NOON),))])


async def work(dsn: str, seed: int, problems: list[str]) -> None:
    """One writer: all steps, shuffled, each again when the ledger says that another was faster."""
    rng = random.Random(seed)
    conn = await db.writer(dsn)
    try:
        mine = steps()
        rng.shuffle(mine)
        for step in mine:
            try:
                await step(conn)
            except (Conflict, Refused):
                continue  # a chargeback that was lost is not won, a balance has less than is wanted
            except outbox.PostingRefused as error:
                problems.append(str(error))
    finally:
        await conn.close()


@pytest.fixture
async def town(dsn: str, conn: Any) -> str:
    await make.seed(conn)
    return dsn


async def everything(conn: Any) -> list[tuple[str, UUID]]:
    """Every posting that stands: key and id."""
    rows = await conn.fetch("select p.key, p.id from posting p order by p.key")
    return [(row["key"], row["id"]) for row in rows]


async def test_sixteen_writers_leave_what_one_would(town: str, conn: Any) -> None:
    problems: list[str] = []
    async with Told(town) as one, Told(town) as other:
        await asyncio.gather(*[work(town, seed, problems) for seed in range(WRITERS)], sessions(one), sessions(other))
    assert problems == []
    await held_together(conn)
    before = await everything(conn)
    await asyncio.gather(*[work(town, seed, problems) for seed in (1, 2)])
    after_replays = dict(await everything(conn))
    assert {key: after_replays[key] for key, _ in before} == dict(before)
    await held_together(conn)


async def held_together(conn: Any) -> None:
    """The books hold; each payment is here once, and each refund and chargeback ended once."""
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}
    assert await conn.fetchval("select sum(balance) from account_balance") == 0
    assert await conn.fetchval("select min(balance) from guarded_account") >= 0
    assert await conn.fetchval("select count(*) from payment where psp_ref like 'pay-%'") == PAYMENTS
    ended_twice = await conn.fetchval(
        "select count(*) from (select ref from posting where kind in ('refund_paid', 'refund_failed')"
        " group by ref having count(*) > 1) twice"
    )
    assert ended_twice == 0
    over = "select count(*) from payment where refunded_minor not between 0 and amount_minor"
    assert await conn.fetchval(over) == 0


async def sessions(told: Told) -> None:
    """Two roads tell the same sessions, corrections and refunds."""
    for number in range(6):
        ref, at = f"r{number}", after(number * 100)
        began = started(ref, token=BOB, at=at, received_at=at, session_id=UUID(int=number + 1))
        await told.tell(began)
        over = after(number * 100 + 60)
        [outcome] = await told.tell(ended(ref, at=over, received_at=over))
        if outcome.fee_minor:
            refund_id = UUID(int=(number + 1) << 16)
            await told.tell(
                BillRefunded("S1", ref, over, refund_id, 1, "late", "staff"),
                BillCorrected("S1", ref, over, 2, 1_000, None, "meter", "staff"),
            )


async def without_the_guard(conn: Any) -> None:
    """Balances may fall below zero."""
    await conn.execute("alter table guarded_account drop constraint guarded_account_balance_check")


async def refunds_begin_twice(conn: Any) -> None:
    """A payment's row is neither locked nor raised when part of it goes back."""
    text = await conn.fetchval("select pg_get_functiondef('begin_refund'::regproc)")
    spoiled = text.replace("for update", "").replace(
        "refunded_minor = refunded_minor + amount", "refunded_minor = refunded_minor"
    )
    assert spoiled != text
    await conn.execute(spoiled)


@pytest.mark.parametrize("plant", [without_the_guard, refunds_begin_twice])
async def test_a_broken_guard_is_found(town: str, conn: Any, plant: Callable[[Any], Awaitable[None]]) -> None:
    await plant(conn)
    problems: list[str] = []

    async def run() -> None:
        await asyncio.gather(*[work(town, seed, problems) for seed in range(WRITERS)])
        assert problems == []
        await held_together(conn)

    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        await run()
