"""
What our system has to know before the load can charge: stations, drivers with money, tokens, a tariff.

`python -m tests.benchmarks.seed --dsn DSN --stations 512` fills a migrated database for `tests.benchmarks.load`.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from uuid import UUID

import asyncpg

from csms.domain.credential import canonical_key, seal
from tests.benchmarks.load import PASSWORD

BALANCE_MINOR = 10**12
"""Each driver's money at the beginning: more than any run can spend."""


async def fill(dsn: str, stations: int, password: str = PASSWORD) -> None:
    """Adds stations BENCH-00000 and up with a driver, a token and a balance each, all at once."""
    connection = await asyncpg.connect(dsn)
    try:
        pepper = await connection.fetchval("select pepper from installation")
        credential = seal(pepper, canonical_key(password.encode()))
        async with connection.transaction():
            await connection.execute((Path(__file__).parent / "seed.sql").read_text("utf-8"))
            await connection.execute("select pg_temp.seed_stations($1, $2)", stations, credential)
            for first in range(0, stations, 500):
                await _fund(connection, range(first, min(first + 500, stations)))
    finally:
        await connection.close()


async def _fund(connection: asyncpg.Connection[asyncpg.Record], indexes: range) -> None:
    ids = [UUID(int=(0xBE << 120) | (0x7 << 76) | (0b10 << 62) | index) for index in indexes]
    refused = await connection.fetchval("select pg_temp.seed_balances($1, $2, $3)", ids, list(indexes), BALANCE_MINOR)
    assert not refused, f"{refused} postings of the seed were refused"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--stations", type=int, default=512)
    parser.add_argument("--password", default=PASSWORD)
    given = parser.parse_args()
    asyncio.run(fill(given.dsn, given.stations, given.password))
