"""A worker that is killed anywhere loses nothing and does nothing twice."""

from __future__ import annotations

import asyncio
import signal
import sys

from csms.db import Connection, Pool
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, OPERATOR_SHARE

POINTS = ["before_call", "after_call", "before_commit", "after_commit"]


async def killed_at(dsn: str, social: SocialProcess, point: str, times: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.worker.dying", dsn, social.url, point, str(times)
    )
    assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL


async def test_a_worker_killed_at_any_point_leaves_every_fee_taken_and_paid_once(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess
) -> None:
    await stage.parties(conn)
    psp = stage.adapter(social)
    scenes = []
    for times in (1, 2):
        for point in POINTS:
            scenes.append(await stage.billed(conn, psp, ("hold_capture", "charge_after")[times - 1]))
            await killed_at(dsn, social, point, times)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    await psp.close()
    for scene in scenes:
        (_, taken), *rest = await stage.effects(social, scene)
        assert (taken, rest) == (FEE, [("settle", FEE)])
    count = len(scenes)
    assert await stage.balances(conn) == {"bank": -OPERATOR_SHARE * count, "operator:fee": OPERATOR_SHARE * count}
    assert await conn.fetchval("select count(*) from exception") == 0
