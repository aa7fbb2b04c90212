"""
The outbox worker: claims jobs under a lease, calls outside with no transaction open, writes results together.

Any number of workers may run on one database. One that dies leaves leases that lapse; its jobs are
claimed again, with the keys they always had.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import structlog

from csms import observe
from csms.flows import settle
from csms.psp.base import Answer
from csms.store import outbox
from csms.store.outbox import Job, Result
from csms.worker.purchases import VOUCHERS
from csms.worker.settling import SETTLING
from csms.worker.tasks import CLAIMS_MAX, TASKS, Outside, Task, later

CALLS_MAX = 32
"""Jobs that one worker has in hand at a time."""

LEASE_S = 15.0
"""A dead worker's jobs are taken over after this; a living one renews its leases long before."""

POLL_S = 1.0
"""How soon due jobs are seen of which nobody told us."""

TROUBLE_S = 1.0
"""Pause after the database refused or was away."""

REFUSED = "the books would not take what came of it"

DRAIN_S_MAX = 10.0
"""How long jobs in hand may take to finish when the worker is closed; their leases lapse otherwise."""

ALL_TASKS: Mapping[str, Task] = {**TASKS, **SETTLING, **VOUCHERS}

log = structlog.get_logger("worker")


class Worker:
    """Works on the outbox from `start` to `close`. `wake` says that there are new jobs."""

    def __init__(
        self,
        outside: Outside,
        *,
        tasks: Mapping[str, Task] = ALL_TASKS,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._outside = outside
        self._tasks = tasks
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()
        self._in_hand: dict[UUID, asyncio.Task[None] | None] = {}
        self._results: list[Result] = []
        self._written = asyncio.Event()
        self._closing = False
        self._loops: list[asyncio.Task[None]] = []

    def wake(self) -> None:
        """There may be jobs: look now."""
        self._woken.set()

    def start(self) -> None:
        """Begin to work."""
        for name, loop in (("claim", self._claim_loop), ("write", self._write_loop), ("renew", self._renew_loop)):
            self._loops.append(asyncio.create_task(loop(), name=f"worker {name}"))

    async def close(self) -> None:
        """Take no more jobs, finish those in hand if they hurry, and stop."""
        self._closing = True
        self._woken.set()
        if self._in_hand:
            await _set_within(self._idle, DRAIN_S_MAX)
        running = [task for task in self._in_hand.values() if task is not None]
        for task in (*self._loops, *running):
            task.cancel()
        await asyncio.gather(*self._loops, *running, return_exceptions=True)

    async def _claim_loop(self) -> None:
        while not self._closing:
            self._woken.clear()
            free = CALLS_MAX - len(self._in_hand)
            jobs = await self._claimed(free) if free >= CALLS_MAX // 2 else []
            for job in jobs:
                self._idle.clear()
                self._in_hand[job.id] = asyncio.create_task(self._work(job), name=f"job {job.key}")
            if not jobs or len(jobs) < free:
                await _set_within(self._woken, self._poll_s)

    async def _claimed(self, count: int) -> list[Job]:
        try:
            async with self._outside.pool.acquire() as conn:
                return await outbox.claim(conn, count, self._lease_s)
        except Exception:
            log.exception("cannot claim jobs")
            await asyncio.sleep(TROUBLE_S)
            return []

    async def _work(self, job: Job) -> None:
        """One attempt; it ends in a result whatever happens."""
        began = time.monotonic()
        try:
            task = self._tasks.get(job.kind)
            if task is None or job.claims > CLAIMS_MAX:
                reason = "no attempt of it could be recorded" if task else "nobody knows this kind"
                concern = settle.given_up(job, "job_failed", reason, self._outside.clock())
                result = Result(job, "given_up", error=reason, concerns=(concern,))
            else:
                result = await task(job, self._outside)
        except Exception:
            log.exception("job failed", job=job.key, kind=job.kind, attempt=job.attempts)
            self._let_go(job)
            return
        write = {"done": log.debug, "waiting": log.warning, "given_up": log.error}[result.state]
        ms = round((time.monotonic() - began) * 1000)
        write("job", job=job.key, kind=job.kind, attempt=job.attempts, outcome=result.state, error=result.error, ms=ms)
        observe.JOBS.labels(job.kind, result.state).inc()
        self._in_hand[job.id] = None
        self._results.append(result)
        self._written.set()

    def _let_go(self, job: Job) -> None:
        """Out of hand: its lease lapses, unless its result was written."""
        self._in_hand.pop(job.id, None)
        self._woken.set()
        if not self._in_hand:
            self._idle.set()

    async def _write_loop(self) -> None:
        """What comes in while a commit runs is written by the next."""
        while True:
            await self._written.wait()
            self._written.clear()
            batch, self._results = self._results, []
            await self._write(batch)
            for result in batch:
                self._let_go(result.job)

    async def _write(self, batch: list[Result]) -> None:
        """
        All in one transaction; if that is refused, one by one, so that only a bad one is left to its lease.

        What our own rules refuse (a payment with too little left) counts as an attempt, and is listed in the end.
        """
        try:
            self._outside.at_point("before_commit")
            async with self._outside.pool.acquire() as conn:
                await outbox.save(conn, batch)
            self._outside.at_point("after_commit")
        except Exception as error:
            if len(batch) > 1:
                for result in batch:
                    await self._write([result])
            elif outbox.is_refusal(error) and batch[0].error != REFUSED:
                log.exception("result refused", job=batch[0].job.key)
                refused = later(batch[0].job, self._outside, Answer("our_fault", reason=str(error)), "job_refused")
                await self._write([replace(refused, error=REFUSED)])
            else:
                log.exception("result not written", job=batch[0].job.key)
                await asyncio.sleep(TROUBLE_S)

    async def _renew_loop(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            if not self._in_hand:
                continue
            try:
                async with self._outside.pool.acquire() as conn:
                    await outbox.renew(conn, list(self._in_hand), self._lease_s)
            except Exception:
                log.exception("cannot renew leases")


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for the event, at most `timeout_s`."""
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
