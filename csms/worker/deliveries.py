"""
What the worker does with vouchers that were bought at stations: it hands them over there, signed.

For the vehicle's own use: nothing of money hangs on it, so that what cannot be delivered is nobody's trouble. A voucher
waits for its station as long as it may be of use there; whoever admits the station makes it due (`flows/connect.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from csms.db import SQL, Record
from csms.domain.commands import FEATURE_ABSENT, Answer, DeliverVoucher
from csms.flows.command import Commands
from csms.store.outbox import Job, Result
from csms.worker.cabinets import ask
from csms.worker.tasks import Outside, Task

WAIT_S = 5.0
WAIT_S_MAX = 1_800.0
"""Between attempts, doubled each time: also a station that answers nothing is asked some fifty times at most."""

OFFERED_FOR = timedelta(days=1)
"""So long after it was bought a voucher is tried to be handed over: its vehicle is hardly there any more."""

DELIVER_WITHIN = timedelta(seconds=60)
"""How long a station may take to act on it."""

DOCUMENT_LENGTH_MAX = 3_000
"""What the protocol has room for; conditions may name a thousand places."""


def tasks(commands: Commands, sign: Callable[[Record], str]) -> Mapping[str, Task]:
    """Kind of job -> what does it."""
    return {"voucher.deliver": partial(deliver, commands, sign)}


async def deliver(commands: Commands, sign: Callable[[Record], str], job: Job, outside: Outside) -> Result:
    """Send a voucher to its station until that has answered; it is the same command each time."""
    async with outside.pool.acquire() as conn:
        row = await SQL.voucher_to_deliver.one(conn, UUID(job.payload["offer"]))
    now = outside.clock()
    if row is None or (over := _over(row, now)) is not None:
        return Result(job, "done", facts={"end": "nothing to deliver" if row is None else over})
    if not await commands.is_connected(row["station_id"], row["epoch"]):
        return _later(job, Answer("offline"))
    document = sign(row)
    if len(document) > DOCUMENT_LENGTH_MAX:
        return Result(job, "done", facts={"end": "too long"})
    command = DeliverVoucher(row["id"], row["vehicle_kind"], row["vehicle_masked"], document, now + DELIVER_WITHIN)
    answer = await ask(commands, row["station_id"], command)
    if answer.end in ("accepted", "rejected") or answer.error == FEATURE_ABSENT:
        return Result(job, "done", facts={"end": answer.end, "error": answer.error})
    return _later(job, answer)


def _over(row: Record, now: datetime) -> str | None:
    """Why a voucher is not to be handed over (any more)."""
    if row["station_id"] is None:
        return "nothing to deliver"
    if row["state"] != "active":
        return str(row["state"])
    if row["valid_until"] <= now:
        return "expired"
    return "too late" if now - row["bought_at"] >= OFFERED_FOR else None


def _later(job: Job, answer: Answer) -> Result:
    """Another attempt. `pending`: people need not look after it; `away` is what `hurry_deliveries` looks for."""
    wait_s = min(WAIT_S_MAX, WAIT_S * 2.0 ** min(job.attempts - 1, 30))
    facts: dict[str, object] = {"pending": "away" if answer.end == "offline" else answer.end}
    return Result(job, "waiting", wait_s=wait_s, error=answer.error or answer.end, facts=facts)
