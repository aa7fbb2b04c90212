"""The benchmarks' world fits the schema, and a run whose books are wrong is worth nothing."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from csms import db
from csms.domain.token import canonical, key
from tests.benchmarks import books, frames, seed
from tests.benchmarks.partners import Broken


async def test_seeded_stations_can_charge_and_the_books_are_clean(dsn: str, conn: db.Connection) -> None:
    await seed.fill(dsn, 3)
    assert await db.check(conn) == {}
    assert await conn.fetchval("select balance from guarded_account where address = 'driver:bench-2:balance'") > 0
    presented = key(canonical(frames.token_text(2)))
    assert await conn.fetchval("select driver_id from token where key = $1", presented) == "bench-2"
    assert await conn.fetchval("select count(*) from station where tariff_id = 'bench' and credential is not null") == 3


def test_a_session_without_a_bill_breaks_the_run(empty_dsn: str) -> None:
    async def migrate() -> None:
        connection = await asyncpg.connect(empty_dsn)
        await db.migrate(connection)
        await connection.close()

    asyncio.run(migrate())
    books.check(empty_dsn, 0)
    with pytest.raises(Broken, match="bills 0, expected 1"):
        books.check(empty_dsn, 1)
