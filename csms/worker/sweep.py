"""What is looked at again and again, for as long as the system runs: one loop for everything that sweeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from csms.db import TROUBLE

log = structlog.get_logger("sweep")


@asynccontextmanager
async def sweeping(
    name: str, sweep: Callable[[], Awaitable[object]], every_s: float, *, at_once: bool = False
) -> AsyncIterator[None]:
    """
    Inside, `sweep` runs with `every_s` seconds after each time, the first time after them or `at_once`.

    Whatever goes wrong, the next sweep begins anew, so a sweep must be harmless to repeat. At the end one that
    runs is cut off.
    """
    loop = asyncio.create_task(_loop(name, sweep, every_s, at_once), name=name)
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def _loop(name: str, sweep: Callable[[], Awaitable[object]], every_s: float, at_once: bool) -> None:
    if not at_once:
        await asyncio.sleep(every_s)
    while True:
        try:
            await sweep()
        except TROUBLE as error:
            log.warning("cannot sweep now", sweep=name, error=str(error))
        except Exception:
            log.exception("sweep failed", sweep=name)
        await asyncio.sleep(every_s)
