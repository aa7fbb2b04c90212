"""A worker that is killed at a named point: `python -m tests.worker.dying DSN PSP_URL POINT TIMES`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from csms import db
from csms.psp.social import Social, SocialSettings
from tests.psp.social_process import SECRET
from tests.worker.scene import drained, working


async def main(dsn: str, url: str, point: str, times: int) -> None:
    """Work on the outbox; at the `times`-th passing of `point` this process is gone."""
    passed = 0

    def at_point(name: str) -> None:
        nonlocal passed
        passed += name == point
        if passed == times:
            os.kill(os.getpid(), signal.SIGKILL)

    pool = await db.pool(dsn)
    async with working(pool, Social(SocialSettings(url, SECRET, url)), at_point), pool.acquire() as conn:
        await drained(conn)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
