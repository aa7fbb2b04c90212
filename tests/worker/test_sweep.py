"""One loop for everything that sweeps: it goes on whatever goes wrong, and ends with the system."""

from __future__ import annotations

import asyncio

from csms.db import asyncpg
from csms.worker.sweep import sweeping


async def test_a_sweep_goes_on_after_it_failed_and_ends_with_the_system() -> None:
    failures: list[Exception] = [ValueError("a mistake"), asyncpg.InterfaceError("the database is away")]
    swept = asyncio.Event()
    times = 0

    async def sweep() -> None:
        nonlocal times
        times += 1
        if failures:
            raise failures.pop()
        swept.set()

    async with sweeping("test", sweep, 0.001):
        await asyncio.wait_for(swept.wait(), 5)
    at_the_end = times
    await asyncio.sleep(0.02)
    assert times == at_the_end >= 3


async def test_a_sweep_that_hangs_does_not_keep_the_system_from_ending() -> None:
    begun = asyncio.Event()

    async def sweep() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        async with sweeping("test", sweep, 3600, at_once=True):
            await begun.wait()
