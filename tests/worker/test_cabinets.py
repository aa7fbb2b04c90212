"""What becomes of a door that is told to open, as its cabinet can be reached or not."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from csms.bus import LocalBus
from csms.db import Connection, Pool
from csms.domain.asset_events import GrantAnswered
from csms.domain.events import RECORDED, Event, Outcome
from csms.flows.command import Commands
from csms.store.outbox import Job
from csms.worker import cabinets
from csms.worker.tasks import Outside
from tests import make
from tests.make import NOON, new_id

AWAY, OVER = timedelta(seconds=1), timedelta(seconds=16)


@pytest.mark.parametrize(
    ("claims", "after", "end"), [(1, AWAY, "offline"), (2, AWAY, "unknown"), (1, OVER, "offline"), (2, OVER, "unknown")]
)
async def test_a_door_may_be_open_if_a_process_died_that_had_its_job(
    pool: Pool, conn: Connection, claims: int, after: timedelta, end: str
) -> None:
    await make.seed(conn)
    grant_id, told = new_id(), []
    payload = {
        "grant": str(grant_id), "station": "S1", "unit": 1, "why": "take", "item": "i1",
        "expires_at": (NOON + timedelta(seconds=15)).isoformat(),
    }  # fmt: skip

    def submit(event: Event, reply: Callable[[Outcome], None]) -> None:
        told.append(event)
        reply(RECORDED)

    def clock() -> datetime:
        return NOON + after

    commands = Commands(pool, LocalBus(), clock)
    job = Job(new_id(), "door.open", f"grant/{grant_id}/open", f"grant/{grant_id}", payload, 1, claims)
    result = await cabinets.open_door(commands, submit, job, Outside(pool, {}, {}, clock, random.Random(1)))
    [event] = told
    assert isinstance(event, GrantAnswered) and (event.end, result.state) == (end, "done")
