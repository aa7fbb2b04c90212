"""
What the worker has cabinets do: open doors, say what is where; and what it does when a rental is over or late.

A door that is told to open is told so once per grant: the command carries the grant's id, and whoever has it
never acts on it twice, or after its time. What comes of it is a report of the road (`GrantAnswered`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID

from csms.base.errors import CsmsError, NotFound
from csms.base.ids import uuid7
from csms.db import SQL
from csms.domain.asset_events import GrantAnswered
from csms.domain.commands import (
    FEATURE_ABSENT,
    Answer,
    Command,
    OpenDoor,
    ReleasePack,
    ReportUnits,
    StartSwap,
    StopSession,
)
from csms.domain.pack_events import SwapAnswered
from csms.flows.command import Commands
from csms.flows.through import Submit, through
from csms.store import notices
from csms.store.notices import Notice
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, Task

ATTEMPTS_MAX = 6
WAIT_S = 5.0
REPORT_S = 60
"""How long a cabinet may take to begin with a snapshot."""

BY = "csms"

End = Literal["accepted", "rejected", "failed", "offline", "unknown"]


def tasks(commands: Commands, submit: Submit) -> Mapping[str, Task]:
    """Kind of job -> what does it."""
    return {
        "door.open": partial(open_door, commands, submit),
        "swap.start": partial(start_swap, commands, submit),
        "cabinet.report": partial(ask_for_units, commands),
        "item.stop": partial(stop_energy, commands),
        "rental.remind": remind,
    }


async def open_door(commands: Commands, submit: Submit, job: Job, outside: Outside) -> Result:
    """
    Tell a cabinet to open a door, and the road what came of it.

    A job that was taken up before may have been sent: then nobody knows, unless its time is not over and the
    cabinet answers when it is sent again, as the same command.
    """
    payload, now = job.payload, outside.clock()
    grant_id, expires_at = UUID(payload["grant"]), datetime.fromisoformat(payload["expires_at"])
    end, error = "unknown" if job.claims > 1 else "offline", None
    if now < expires_at:
        answer = await ask(commands, payload["station"], _opening(payload, grant_id, expires_at))
        end, error = answer.end, answer.error
        if payload.get("exchange") and error == FEATURE_ABSENT:
            end = "accepted"  # a station that hands packs out by itself, once it knows that they are paid
        if job.claims > 1 and end in ("offline", "failed"):
            end = "unknown"  # now it is out of reach; before, it may have opened the door
    event = GrantAnswered(payload["station"], outside.clock(), grant_id, _end(end), error)
    await through(submit, event)
    return Result(job, "done", facts={"end": end, "error": error})


def _opening(payload: Mapping[str, Any], grant_id: UUID, expires_at: datetime) -> OpenDoor | ReleasePack:
    if "rid" in payload:
        return ReleasePack(payload["unit"], grant_id, payload["rid"], payload["err"], expires_at)
    return OpenDoor(payload["unit"], grant_id, payload["why"], payload["item"], None, expires_at)


async def start_swap(commands: Commands, submit: Submit, job: Job, outside: Outside) -> Result:
    """Tell a station that a driver is there to exchange packs, and the road what came of it."""
    payload = job.payload
    swap_id, expires_at = UUID(payload["swap"]), datetime.fromisoformat(payload["expires_at"])
    end, error = "unknown" if job.claims > 1 else "offline", None
    if outside.clock() < expires_at:
        command = StartSwap(
            swap_id, payload["rid"], payload["token"], payload["n"], tuple(payload["in"]), tuple(payload["out"]),
            expires_at,
        )  # fmt: skip
        answer = await ask(commands, payload["station"], command)
        end, error = answer.end, answer.error
    await through(submit, SwapAnswered(payload["station"], outside.clock(), swap_id, _end(end), error))
    return Result(job, "done", facts={"end": end, "error": error})


def _end(end: str) -> End:
    match end:
        case "accepted" | "rejected" | "failed" | "offline":
            return end
        case _:
            return "unknown"


async def ask_for_units(commands: Commands, job: Job, outside: Outside) -> Result:
    """Have a cabinet say what is where. One that is away says so by itself when it comes back."""
    expires_at = outside.clock() + timedelta(seconds=REPORT_S)
    answer = await ask(commands, job.payload["station"], ReportUnits(job.id, expires_at))
    if answer.end in ("accepted", "offline", "failed") or job.attempts >= ATTEMPTS_MAX:
        return Result(job, "done", facts={"end": answer.end, "error": answer.error})
    return Result(job, "waiting", wait_s=WAIT_S, error=answer.error or answer.end)


async def stop_energy(commands: Commands, job: Job, outside: Outside) -> Result:
    """No energy without a rental: whatever still runs at its item is stopped, until it has ended."""
    item = job.payload["item"]
    async with outside.pool.acquire() as conn:
        rows = await SQL.sessions_at_item.many(conn, item)
        driver_id = await SQL.driver_of_rental.value(conn, UUID(job.payload["rental"]))
    running = [row for row in rows if row["driver_id"] == driver_id]
    for row in running:
        await ask(commands, item, StopSession(row["ref"]))
    if not running or job.attempts >= ATTEMPTS_MAX:
        return Result(job, "done", facts={"running": len(running)})
    return Result(job, "waiting", wait_s=WAIT_S, error="energy still flows")


async def remind(job: Job, outside: Outside) -> Result:
    """Tell a driver that an item is due, or late."""
    async with outside.pool.acquire() as conn, conn.transaction():
        row = await SQL.rental_to_remind.one(conn, UUID(job.payload["rental"]))
        if row is None or row["state"] not in ("active", "overdue"):
            return Result(job, "done", facts={"told": 0})
        body: dict[str, object] = {
            "rental": str(row["id"]),
            "item": row["item"],
            "state": row["state"],
            "due_at": None if row["due_at"] is None else row["due_at"].isoformat(),
            "number": job.payload["number"],
        }
        notice = Notice(job.key, "rental.reminder", row["provider_id"], row["driver_id"], body, outside.clock())
        told = await notices.tell(conn, [notice])
    return Result(job, "done", facts={"told": told})


async def ask(commands: Commands, station_id: str, command: Command) -> Answer:
    """What became of a command."""
    command_id = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    try:
        issued = await commands.issue(command_id, station_id, command, BY)
        return await issued.answer
    except NotFound as gone:
        return Answer("offline", error=str(gone))
    except CsmsError as error:
        return Answer("failed", error=str(error))
