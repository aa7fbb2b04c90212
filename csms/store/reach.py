"""Whether the database can be reached."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from csms.db import SQL, Pool

AWAY = ("08", "53", "57")
"""Classes of SQLSTATE that say the server cannot serve anybody now."""


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database is away, not that a statement was wrong."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in AWAY
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError)


async def round_trip_s(pool: Pool, timeout_s: float) -> float | None:
    """How long a statement takes from here and back, in seconds; None when the database does not answer in time."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s), pool.acquire() as conn:
            await SQL.answer_one.value(conn)
    except Exception as error:
        if is_unavailable(error):
            return None
        raise
    return time.perf_counter() - began
