"""`post()`, the one writer of money, on a real database and by several writers at once."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from csms import db
from tests.make import NOON, new_id

Move = tuple[str, str, int]


async def post(conn: Any, *postings: tuple[str, list[Move]]) -> list[str]:
    """Posts `(key, moves)` in one call; the answers, in order."""
    heads = [(new_id(), key, "test", key, NOON) for key, _ in postings]
    legs = [
        (place, seq, debit, credit, "KRW", amount)
        for place, (_, moves) in enumerate(postings, 1)
        for seq, (debit, credit, amount) in enumerate(moves, 1)
    ]
    answers: list[str] = await conn.fetchval("select post($1, $2)", heads, legs)
    return answers


async def balance(conn: Any, address: str) -> int:
    found = await conn.fetchval("select balance from account_balance where address = $1", address)
    return found or 0


def top_up(driver: str, amount: int) -> tuple[str, list[Move]]:
    return f"top-up/{driver}/{amount}", [("psp:x:clearing", f"driver:{driver}:balance", amount)]


async def test_a_posting_sent_twice_moves_money_once(conn: Any) -> None:
    assert await post(conn, top_up("a", 100)) == ["posted"]
    assert await post(conn, top_up("a", 100), top_up("b", 5)) == ["replayed", "posted"]
    assert await balance(conn, "driver:a:balance") == 100
    assert await balance(conn, "psp:x:clearing") == -105


async def test_a_key_that_stands_with_other_transfers_is_refused(conn: Any) -> None:
    key, moves = top_up("a", 100)
    await post(conn, (key, moves))
    assert await post(conn, (key, [("psp:x:clearing", "driver:a:balance", 101)])) == ["conflict"]
    assert await post(conn, (key, [*moves, ("bank", "driver:a:balance", 1)])) == ["conflict"]
    assert await balance(conn, "driver:a:balance") == 100


async def test_an_overdraft_is_refused_and_its_neighbours_are_posted(conn: Any) -> None:
    answers = await post(
        conn,
        top_up("a", 100),
        ("poor", [("driver:poor:balance", "session:1:held", 1)]),
        ("fine", [("driver:a:balance", "session:2:held", 100)]),
    )
    assert answers == ["posted", "insufficient", "posted"]
    assert await balance(conn, "session:1:held") == 0
    assert await balance(conn, "session:2:held") == 100


async def test_the_same_key_twice_in_one_call_is_posted_once(conn: Any) -> None:
    assert await post(conn, top_up("a", 100), top_up("a", 100)) == ["posted", "replayed"]
    assert await balance(conn, "driver:a:balance") == 100


@pytest.mark.parametrize("amount", [0, -5])
async def test_only_positive_amounts_move(conn: Any, amount: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await post(conn, ("x", [("bank", "operator:fee", amount)]))
    with pytest.raises(asyncpg.CheckViolationError):
        await post(conn, ("y", [("bank", "bank", 5)]))


@pytest.mark.parametrize("table", ["posting", "transfer"])
@pytest.mark.parametrize("change", ["update {} set {} = {}", "delete from {}", "truncate {} cascade"])
async def test_nothing_in_the_ledger_is_ever_changed(conn: Any, table: str, change: str) -> None:
    await post(conn, top_up("a", 100))
    column = {"posting": "kind", "transfer": "debit"}[table]
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed"):
        await conn.execute(change.format(table, column, column))


async def test_sixteen_writers_overdraw_nothing_and_never_deadlock(dsn: str, conn: Any) -> None:
    drivers = [f"d{n}" for n in range(4)]
    await post(conn, *(top_up(driver, 1_000) for driver in drivers))
    rng = random.Random(5)
    orders: list[list[list[tuple[str, list[Move]]]]] = [
        [
            [
                (
                    f"{writer}/{turn}/{place}",
                    [
                        (f"driver:{a}:balance", f"driver:{b}:balance", rng.randint(1, 400))
                        for a, b in (rng.sample(drivers, 2) for _ in range(3))
                    ],
                )
                for place in range(3)
            ]
            for turn in range(12)
        ]
        for writer in range(16)
    ]

    async def write(turns: list[list[tuple[str, list[Move]]]]) -> list[str]:
        mine = await asyncpg.connect(dsn)
        try:
            return [answer for postings in turns for answer in await post(mine, *postings)]
        finally:
            await mine.close()

    answers = [answer for many in await asyncio.gather(*map(write, orders)) for answer in many]

    assert set(answers) == {"posted", "insufficient"}
    balances = [await balance(conn, f"driver:{driver}:balance") for driver in drivers]
    assert min(balances) >= 0
    assert sum(balances) == 4_000
    assert await db.check(conn) == {}


async def test_writers_who_race_for_one_key_agree_on_one_posting(dsn: str, conn: Any) -> None:
    async def write(_: int) -> list[str]:
        mine = await asyncpg.connect(dsn)
        try:
            return await post(mine, top_up("new", 100), top_up("newer", 7))
        finally:
            await mine.close()

    answers = await asyncio.gather(*map(write, range(12)))

    assert sorted(answers).count(["posted", "posted"]) == 1
    assert all(answer in (["posted", "posted"], ["replayed", "replayed"]) for answer in answers)
    assert await balance(conn, "driver:new:balance") == 100
