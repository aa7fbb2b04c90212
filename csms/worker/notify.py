"""
Telling others: finding out what is new, and carrying each message until it is taken, for a day.

What is new is read from what was committed, by a sweep: the road writes nothing for it. An endpoint that
takes nothing for days is told nothing any more, and people are told so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID, uuid5

from csms.base import webhook
from csms.base.clock import Clock, rfc3339
from csms.base.money import Money
from csms.db import SQL, Pool, Record
from csms.domain.errand import Concern
from csms.hooks.base import Endpoint, Message
from csms.store.outbox import Job, Result, Sent
from csms.worker.hear import process
from csms.worker.tasks import Outside, Task

WAITS_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
"""How long after each attempt the next one is made: the last is a day and some hours after the first."""

FAILING_S_MAX = 3 * 24 * 3600.0
"""An endpoint that took nothing for so long is disabled."""

NEWS_SWEEP_S = 2.0
SWEEP_ROWS_MAX = 500


async def notify(job: Job, outside: Outside) -> Result:
    """One attempt to bring one message to one endpoint."""
    notice_id, endpoint_id = UUID(job.payload["notice"]), UUID(job.payload["endpoint"])
    async with outside.pool.acquire() as conn:
        row = await SQL.find_message.one(conn, notice_id, endpoint_id)
    if row is None or row["endpoint_id"] is None or row["disabled_at"] is not None:
        return Result(job, "done", facts={"sent": False, "why": "nobody is told any more"})
    assert outside.notifier is not None, "a worker that tells others has the means to"
    to = Endpoint(row["url"], tuple(webhook.key_of(secret) for secret in row["secrets"]))
    message = Message(f"msg_{notice_id.hex}", int(outside.wall()), body_of(row))
    outside.at_point("before_call")
    delivered = await outside.notifier.send(message, to)
    outside.at_point("after_call")
    if delivered.taken:
        return Result(job, "done", facts={"sent": True}, sent=(Sent(endpoint_id, True),))
    reason = delivered.reason or "not taken"
    sent = Sent(endpoint_id, False, reason)
    concerns: tuple[Concern, ...] = ()
    if delivered.gone or (row["failing_s"] or 0) > FAILING_S_MAX:
        why = "it said that it is gone" if delivered.gone else "it took nothing for days"
        sent = replace(sent, disable=why)
        concerns = (_disabled(row, why, reason, outside),)
    if delivered.gone or job.attempts > len(WAITS_S):
        return Result(job, "given_up", error=reason, sent=(sent,), concerns=concerns)
    pause = WAITS_S[job.attempts - 1] * outside.random.uniform(0.9, 1.1)
    return Result(job, "waiting", wait_s=pause, error=reason, sent=(sent,), concerns=concerns)


def body_of(row: Record) -> bytes:
    """The JSON text of a notice, the same at every attempt; money gets its decimal text."""
    body = {"type": row["type"], "timestamp": rfc3339(row["at"]), "data": with_amounts(json.loads(row["body"]))}
    return json.dumps(body, separators=(",", ":"), sort_keys=True).encode()


def with_amounts(value: object) -> object:
    """The value with every `{"minor", "currency"}` in it written as REST writes money."""
    if not isinstance(value, dict):
        return [with_amounts(part) for part in value] if isinstance(value, list) else value
    if value.keys() == {"minor", "currency"}:
        return Money(value["minor"], value["currency"]).as_json()
    return {name: with_amounts(part) for name, part in value.items()}


def _disabled(row: Record, why: str, last_error: str, outside: Outside) -> Concern:
    """What people are told of an endpoint that hears nothing any more."""
    at = outside.clock()
    ref = f"endpoint/{row['endpoint_id']}/{at:%Y-%m-%d}"
    details: dict[str, object] = {
        "endpoint": str(row["endpoint_id"]),
        "url": row["url"],
        "why": why,
        "last_error": last_error,
    }
    return Concern(uuid5(row["endpoint_id"], ref), "webhook_endpoint_disabled", ref, None, details, at)


class Herald:
    """Looks for news at every `sweep`; `wake` tells the worker of the jobs it made."""

    def __init__(self, pool: Pool, clock: Clock, wake: Callable[[], None]) -> None:
        self._pool = pool
        self._clock = clock
        self._wake = wake

    async def sweep(self) -> int:
        """Make messages of all that is new; answers how much that was."""
        total = 0
        async with self._pool.acquire() as conn:
            while rows := await SQL.sweep_notices.value(conn, SWEEP_ROWS_MAX, self._clock()):
                total += rows
                if rows < SWEEP_ROWS_MAX:
                    break
        if total:
            self._wake()
        return total


NEWS: Mapping[str, Task] = {"notify": notify, "webhook.process": process}
"""Kind of job -> what does it; beside `worker.tasks.TASKS`."""
