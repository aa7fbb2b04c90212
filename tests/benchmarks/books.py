"""Whether our system kept true books of what the load did: the only thing a benchmark run may fail for."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import asyncpg

from tests.benchmarks.partners import Broken, csms

SETTLE_S_MAX = 30.0
"""How long the worker may take, after the load has ended, to empty the outbox."""

OPEN_WORK = """
select (select count(*) from outbox where state = 'waiting') as waiting,
       (select count(*) from outbox where state = 'given_up') as given_up,
       (select count(*) from bill) as bills,
       (select count(*) from bill where total_minor <= 0) as free,
       (select count(*) from session) as sessions,
       (select count(*) from session where state <> 'completed') as unfinished
"""


def check(dsn: str, sessions_driven: int, still_open: int = 0) -> None:
    """
    Raises Broken unless every session that was driven has exactly one bill and `csms check` finds nothing.

    `sessions_driven` counts from the creation of the database; `still_open` are those that are to go on.
    """
    row = asyncio.run(_settled(dsn))
    expected = {
        "waiting": 0,
        "given_up": 0,
        "bills": sessions_driven,
        "free": 0,
        "sessions": sessions_driven + still_open,
        "unfinished": still_open,
    }
    wrong = {name: (row[name], count) for name, count in expected.items() if row[name] != count}
    if wrong:
        raise Broken("books: " + ", ".join(f"{name} {got}, expected {want}" for name, (got, want) in wrong.items()))
    command = [sys.executable, *csms("check")]
    environment = {**os.environ, "CSMS_DATABASE_URL": dsn}
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if checked.returncode:
        raise Broken(f"csms check: {checked.stdout}{checked.stderr}")


async def _settled(dsn: str) -> asyncpg.Record:
    connection = await asyncpg.connect(dsn)
    try:
        until = time.monotonic() + SETTLE_S_MAX
        while True:
            row = await connection.fetchrow(OPEN_WORK)
            assert row is not None
            if row["waiting"] == 0 or time.monotonic() > until:
                return row
            await asyncio.sleep(0.2)
    finally:
        await connection.close()
