"""
What the worker has stations do: stop a session that is spent, hear of a raised limit.

That a station accepted a stop proves nothing (quirk Q-T17): the job is done when the session has ended.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from functools import partial
from uuid import UUID

from csms.base.errors import CsmsError, NotFound
from csms.base.ids import uuid7
from csms.db import SQL, Record
from csms.domain.commands import AnyCall, Command, StopSession
from csms.domain.spending import SPENT
from csms.flows import settle
from csms.flows.command import Commands
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, Task

STOP_ATTEMPTS_MAX = 14
"""About half an hour; then people are told. The session is billed all the same, up to what is set aside."""

STOP_FACTOR = 8.0
"""A station takes longer to stop a session than a psp to answer."""

STOP_WAIT_S_MAX = 240.0

LIMIT_ATTEMPTS_MAX = 6

BY = "csms"


def tasks(commands: Commands) -> Mapping[str, Task]:
    """Kind of job -> what does it."""
    return {"station.stop": partial(stop, commands), "station.limit": partial(tell_limit, commands)}


async def stop(commands: Commands, job: Job, outside: Outside) -> Result:
    """Ask a station to stop a spent session, until it has ended; withdrawn when more was set aside for it."""
    row = await _session(job, outside)
    if row is None or row["state"] != "active" or row["ended_at"] is not None:
        return Result(job, "done", facts={"ended": True})
    if SPENT not in row["flags"] or row["hold_minor"] != job.payload["hold_minor"]:
        return Result(job, "done", facts={"withdrawn": True})
    kept = keeps_limit(row, job.payload["kept_by"])
    if kept != bool(job.payload.get("over")):
        return Result(job, "done", facts={"kept_by_station": kept})
    why = await _ask(commands, job, StopSession(row["ref"]))
    if job.attempts >= STOP_ATTEMPTS_MAX:
        station_id = job.payload["station"]
        concern = settle.given_up(job, "stop_failed", why, outside.clock(), station_id)
        return Result(job, "given_up", error=why, concerns=(concern,))
    return _later(job, outside, why)


async def tell_limit(commands: Commands, job: Job, outside: Outside) -> Result:
    """
    Have a station that keeps limits itself send an event of this session: its answer carries the new one.

    A station that cannot be asked now sends its next reading anyway.
    """
    row = await _session(job, outside)
    if row is None or row["state"] != "active" or row["hold_minor"] != job.payload["hold_minor"]:
        return Result(job, "done", facts={"overtaken": True})
    if row["protocol"] != "ocpp2.1" or not row["tx_limits"]:
        return Result(job, "done", facts={"needed": False})
    payload: dict[str, object] = {"requestedMessage": "TransactionEvent"}
    if row["connector"]:
        payload["evse"] = {"id": row["connector"]}
    why = await _ask(commands, job, AnyCall("TriggerMessage", payload))
    if why == "accepted" or job.attempts >= LIMIT_ATTEMPTS_MAX:
        return Result(job, "done", facts={"answer": why})
    return _later(job, outside, why)


def keeps_limit(row: Record, kept_by: list[str]) -> bool:
    """Whether the station was told a limit that it keeps itself, and that alone is enough."""
    return row["protocol"] == "ocpp2.1" and bool(set(row["tx_limits"] or ()) & set(kept_by))


async def _session(job: Job, outside: Outside) -> Record | None:
    async with outside.pool.acquire() as conn:
        return await SQL.session_to_stop.one(conn, job.payload["station"], UUID(job.payload["session"]))


async def _ask(commands: Commands, job: Job, command: Command) -> str:
    """What became of the command, in a word."""
    command_id = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    try:
        issued = await commands.issue(command_id, job.payload["station"], command, BY)
        answer = await issued.answer
    except NotFound as gone:
        return str(gone)
    except CsmsError as error:
        return type(error).__name__
    return answer.end if answer.error is None else f"{answer.end}: {answer.error}"


def _later(job: Job, outside: Outside, why: str) -> Result:
    pause = min(STOP_WAIT_S_MAX, outside.back_off_s * STOP_FACTOR * 2.0 ** (job.attempts - 1))
    return Result(job, "waiting", wait_s=pause * outside.random.uniform(0.8, 1.2), error=why)
