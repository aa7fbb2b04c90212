"""
What the worker does with vouchers that were bought at stations: it hands them over there, signed.

For the vehicle's own use: nothing of money hangs on it, so that what cannot be delivered is nobody's trouble.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from uuid import UUID

from csms.db import SQL, Record
from csms.domain.commands import FEATURE_ABSENT, DeliverVoucher
from csms.flows.command import Commands
from csms.store.outbox import Job, Result
from csms.worker.cabinets import ask
from csms.worker.tasks import Outside, Task

ATTEMPTS_MAX = 6
WAIT_S = 5.0
"""Doubled each time: a station that is away for two and a half minutes is not waited for."""

DELIVER_WITHIN = timedelta(seconds=60)
"""How long a station may take to act on it."""

DOCUMENT_LENGTH_MAX = 3_000
"""What the protocol has room for; conditions may name a thousand places."""


def tasks(commands: Commands, sign: Callable[[Record], str]) -> Mapping[str, Task]:
    """Kind of job -> what does it."""
    return {"voucher.deliver": partial(deliver, commands, sign)}


async def deliver(commands: Commands, sign: Callable[[Record], str], job: Job, outside: Outside) -> Result:
    """Send a voucher to its station until that has answered, a few times at most; it is the same command each time."""
    async with outside.pool.acquire() as conn:
        row = await SQL.voucher_to_deliver.one(conn, UUID(job.payload["offer"]))
    if row is None or row["station_id"] is None or row["state"] != "active":
        return Result(job, "done", facts={"end": "nothing to deliver"})
    document = sign(row)
    if len(document) > DOCUMENT_LENGTH_MAX:
        return Result(job, "done", facts={"end": "too long"})
    expires_at = outside.clock() + DELIVER_WITHIN
    command = DeliverVoucher(row["id"], row["vehicle_kind"], row["vehicle_masked"], document, expires_at)
    answer = await ask(commands, row["station_id"], command)
    ended = answer.end in ("accepted", "rejected") or answer.error == FEATURE_ABSENT
    if ended or job.attempts >= ATTEMPTS_MAX:
        return Result(job, "done", facts={"end": answer.end, "error": answer.error})
    return Result(job, "waiting", wait_s=WAIT_S * 2.0 ** (job.attempts - 1), error=answer.error or answer.end)
