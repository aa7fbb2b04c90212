"""A voucher's end is told before; what was never used is earned by a policy alone, and after a notice (V-money)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.base.clock import rfc3339
from csms.base.errors import Conflict
from csms.domain.events import ReviewDecided
from csms.flows import voucher_ends
from csms.flows.books import PostingRefused
from tests import make
from tests.flows.voucher_shop import balance, in_order, sell, used
from tests.make import NOON, Told, ended, started

END = NOON + timedelta(days=28)


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)
    await conn.execute(
        "insert into webhook_endpoint (id, url, secrets, created_at)"
        " values (gen_random_uuid(), 'https://books.example', '{whsec_eA==}', $1)",
        NOON,
    )


async def set_policy(conn: Any, after_days: int = 365, notice_days: int = 30) -> None:
    law = "section 9 of our terms"
    await db.SQL.put_breakage_policy.run(conn, "KR", after_days, notice_days, law, "staff", NOON)


async def told(conn: Any) -> list[str]:
    rows = await conn.fetch("select type from notice order by at, id")
    return [row["type"] for row in rows]


async def lapse(conn: Any, at: datetime, *, only_look: bool = False) -> tuple[int, int, int]:
    done = await voucher_ends.lapse(conn, "KR", at, only_look=only_look)
    return done.told, done.lapsed, done.minor["KRW"]


async def half_used(dsn: str, conn: Any, **terms: Any) -> UUID:
    """A voucher of 20 kWh for 1,001, half of it used."""
    voucher_id: UUID = await sell(conn, wh=20_000, price=1_001, **terms)
    async with Told(dsn) as road:
        await road.tell(started())
        await road.tell(ended())
    return voucher_id


async def test_its_driver_is_told_once_a_week_before_it_ends(dsn: str, conn: Any) -> None:
    await half_used(dsn, conn)

    assert await voucher_ends.tell_of_ends(conn, END - timedelta(days=8)) == 0
    assert await voucher_ends.tell_of_ends(conn, END - timedelta(days=6)) == 1
    assert await voucher_ends.tell_of_ends(conn, END - timedelta(days=5)) == 0
    assert (await told(conn)).count("voucher.ends") == 1


async def test_one_for_a_few_days_is_not_told_to_end_before_half_of_it_is_over(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)
    from_, until = NOON, NOON + timedelta(days=6)
    await conn.execute("update voucher set valid_from = $2, valid_until = $3 where id = $1", voucher_id, from_, until)

    assert await voucher_ends.tell_of_ends(conn, NOON + timedelta(days=2.9)) == 0
    assert await voucher_ends.tell_of_ends(conn, NOON + timedelta(days=3)) == 1


async def test_without_a_policy_nothing_is_ever_lost(dsn: str, conn: Any) -> None:
    voucher_id = await half_used(dsn, conn, country="KR")

    with pytest.raises(Conflict):
        await lapse(conn, END + timedelta(days=10_000))
    assert await balance(conn, f"voucher:{voucher_id}:deferred") == 500


async def test_what_is_left_is_earned_after_its_time_and_after_a_notice(dsn: str, conn: Any) -> None:
    voucher_id = await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)

    assert await lapse(conn, due - timedelta(days=1)) == (0, 0, 0)
    assert await lapse(conn, due, only_look=True) == (1, 0, 0)
    assert await lapse(conn, due) == (1, 0, 0)
    assert await lapse(conn, due + timedelta(days=29)) == (0, 0, 0)
    assert await lapse(conn, due + timedelta(days=30), only_look=True) == (0, 1, 500)
    assert await lapse(conn, due + timedelta(days=30)) == (0, 1, 500)
    assert await lapse(conn, due + timedelta(days=31)) == (0, 0, 0)

    assert await balance(conn, "breakage") == 500
    assert (await told(conn)).count("voucher.lapses") == 1
    assert await used(conn, voucher_id) == (10_000, 501, 1)
    await in_order(conn)


async def test_vouchers_of_other_countries_are_left_alone(dsn: str, conn: Any) -> None:
    voucher_id = await half_used(dsn, conn, country="JP")
    await set_policy(conn)

    assert await lapse(conn, END + timedelta(days=5_000)) == (0, 0, 0)
    assert await balance(conn, f"voucher:{voucher_id}:deferred") == 500


async def test_one_that_is_used_up_has_nothing_to_lose(dsn: str, conn: Any) -> None:
    await sell(conn, wh=10_000, price=1_000, country="KR")
    async with Told(dsn) as road:
        await road.tell(started())
        await road.tell(ended())
    await set_policy(conn)

    assert await voucher_ends.tell_of_ends(conn, END - timedelta(days=1)) == 1
    assert "voucher.ends" not in await told(conn)
    assert await lapse(conn, END + timedelta(days=5_000)) == (0, 0, 0)


async def test_two_runs_at_once_earn_it_once(dsn: str, conn: Any, pool: db.Pool) -> None:
    await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    await lapse(conn, END + timedelta(days=365))
    at = END + timedelta(days=400)

    async with pool.acquire() as other, other.transaction():
        assert await lapse(other, at) == (0, 1, 500)
        assert await lapse(conn, at, only_look=True) == (0, 1, 500)
    assert await lapse(conn, at) == (0, 0, 0)

    assert await balance(conn, "breakage") == 500
    await in_order(conn)


async def test_what_an_open_bill_may_take_is_not_lost(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=1_000_000, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)
    async with Told(dsn) as road:
        await road.tell(started())
        await road.tell(ended(wh=901_000))
        assert await conn.fetchval("select state from session") == "review"

        assert await lapse(conn, due) == (0, 0, 0)
        await road.tell(ReviewDecided("S1", "r1", due, "correct", 200_000, "seen", "staff"))

    assert await used(conn, voucher_id) == (200_000, 5_000, 1)
    assert await lapse(conn, due) == (1, 0, 0)
    assert await lapse(conn, due + timedelta(days=30)) == (0, 1, 20_000)
    await in_order(conn)


async def test_a_bill_that_is_open_again_keeps_what_was_told_to_be_lost(dsn: str, conn: Any) -> None:
    await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)
    assert await lapse(conn, due) == (1, 0, 0)
    await conn.execute("update session set state = 'review'")

    assert await lapse(conn, due + timedelta(days=30)) == (0, 0, 0)
    await conn.execute("update session set state = 'completed'")
    assert await lapse(conn, due + timedelta(days=30)) == (0, 1, 500)


async def test_a_later_policy_takes_nothing_before_the_day_that_was_told(dsn: str, conn: Any) -> None:
    await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)
    assert await lapse(conn, due) == (1, 0, 0)
    said = await conn.fetchval("select body ->> 'until' from notice where type = 'voucher.lapses'")
    assert said == rfc3339(due + timedelta(days=30))
    await set_policy(conn, after_days=45, notice_days=1)

    assert await lapse(conn, due + timedelta(days=29)) == (0, 0, 0)
    assert await lapse(conn, due + timedelta(days=30)) == (0, 1, 500)


async def test_what_the_ledger_refuses_is_not_lost(dsn: str, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    voucher_id = await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)
    await lapse(conn, due)

    async def refuse(*_: object) -> str:
        return "insufficient"

    monkeypatch.setattr(voucher_ends, "post", refuse)
    with pytest.raises(PostingRefused):
        await lapse(conn, due + timedelta(days=30))
    assert await conn.fetchval("select state from voucher where id = $1", voucher_id) == "active"


async def test_whoever_uses_a_voucher_just_now_is_told_the_next_time(dsn: str, conn: Any, pool: db.Pool) -> None:
    await half_used(dsn, conn, country="KR")
    await set_policy(conn)
    due = END + timedelta(days=365)

    async with pool.acquire() as other, other.transaction():
        await other.execute("select from voucher for update")
        done = await asyncio.wait_for(voucher_ends.lapse(conn, "KR", due, only_look=False), 5)
    assert (done.told, done.more) == (0, True)
    assert await lapse(conn, due) == (1, 0, 0)
