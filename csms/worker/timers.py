"""
What must happen because time passes: unused authorizations are voided, asks left without a verdict are cleared up, the
sums of reports are kept up, what nobody raises is listed.

All is judged again at every sweep, so a sweep may fail or run twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from csms import observe
from csms.base.clock import Clock
from csms.db import SQL, Pool, Record
from csms.domain import errand
from csms.domain.events import AuthorizationDecided
from csms.domain.world import AUTHORIZATION_S_MAX
from csms.flows.authorize import decided
from csms.flows.settlements import ask_recent
from csms.psp.base import Answer, Psp, asked_kind
from csms.store import outbox
from csms.worker.list_concerns import list_concerns

TIMERS_SWEEP_S = 5.0
SWEEP_ROWS_MAX = 200

UNSETTLED_AFTER = timedelta(hours=1)
"""How long an ended session may wait for its start or its payer before people are told."""

LIST_EVERY_S = 600.0
"""Listing reads all sessions: not at every sweep."""

SUM_ROWS = 20_000
"""Rows added to the sums of reports in one transaction: a second of work at most."""

SUM_TURNS_MAX = 5
"""Such transactions in one sweep: the rest waits for the next. Reports are exact meanwhile, and a little slower."""

LOOKS_MAX = 16
"""Questions to psps at a time, what became of asks."""

STALE_ASK_S = 30.0
"""An ask without a verdict that nobody here asks for any more was left behind by a process that died."""

log = structlog.get_logger("timers")


class Timers:
    """
    `sweep` does what is due.

    `report` takes verdicts to the road, `is_asked` says whether this process still asks for one,
    `wake` tells the worker of new jobs. `clock` is the system's: it judges how long an authorization
    stood unused. `monotonic` is the wall's: a stale ask is one that was seen undecided for long.
    """

    def __init__(
        self,
        pool: Pool,
        psps: Mapping[str, Psp],
        report: Callable[[AuthorizationDecided], None],
        is_asked: Callable[[UUID], bool],
        wake: Callable[[], None],
        clock: Clock,
        draw_driver_id: Callable[[], str],
        *,
        authorization_s_max: float = AUTHORIZATION_S_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._psps = psps
        self._report = report
        self._is_asked = is_asked
        self._wake = wake
        self._clock = clock
        self._draw_driver_id = draw_driver_id
        self._unused_after = timedelta(seconds=authorization_s_max)
        self._monotonic = monotonic
        self._undecided_since: dict[UUID, float] = {}
        self._listed_at = -LIST_EVERY_S

    async def sweep(self) -> None:
        """Everything that is due, once; and how much work waits is measured."""
        await self.void_unused()
        if self._monotonic() - self._listed_at >= LIST_EVERY_S:
            self._listed_at = self._monotonic()
            await self.list_unsettled()
            await self.read_statements()
        await self.keep_sums()
        async with self._pool.acquire() as conn:
            observe.JOBS_WAITING.set(await SQL.waiting_jobs.value(conn))
        await self.clear_up_stale()  # last, because psps may be slow

    async def void_unused(self) -> None:
        """Authorizations that no start used in time go out of use, and the psp is told to release them."""
        async with self._pool.acquire() as conn, conn.transaction():
            rows = await SQL.unused_authorizations.many(conn, self._clock() - self._unused_after, SWEEP_ROWS_MAX)
            if not rows:
                return
            begun = await SQL.begin_voids.many(conn, [row["id"] for row in rows], [row["version"] for row in rows])
            await outbox.insert_errands(conn, [errand.void(row["id"]) for row in begun])
        log.info("unused authorizations voided", count=len(begun))
        self._wake()

    async def list_unsettled(self) -> None:
        """Ended sessions that lack their start or their payer become exceptions, until they are closed after all."""
        now = self._clock()
        async with self._pool.acquire() as conn:
            await SQL.list_unsettled.run(conn, now - UNSETTLED_AFTER, now)
            await SQL.resolve_settled.run(conn, now)
            await list_concerns(conn, now)

    async def read_statements(self) -> None:
        """Psps' statements of the last days are read and compared with our books. Their days are the wall clock's."""
        async with self._pool.acquire() as conn:
            asked = await ask_recent(conn, list(self._psps), datetime.now(UTC).date())
        if asked:
            self._wake()

    async def keep_sums(self) -> None:
        """New bills and transfers go into the sums that reports are made from."""
        async with self._pool.acquire() as conn:
            for add in (SQL.sum_bills, SQL.sum_transfers):
                for _ in range(SUM_TURNS_MAX):
                    if not await add.value(conn, SUM_ROWS):
                        break

    async def clear_up_stale(self) -> None:
        """
        Asks whose asker is gone: the psp is looked at, and its truth is reported; what it approved is given back.

        Stations that wait are told first, all of them: a slow psp delays nobody's answer.
        """
        async with self._pool.acquire() as conn:
            rows = await SQL.undecided_authorizations.many(conn, SWEEP_ROWS_MAX)
        now = self._monotonic()
        self._undecided_since = {row["id"]: self._undecided_since.get(row["id"], now) for row in rows}
        stale = [row for row in rows if now - self._undecided_since[row["id"]] >= STALE_ASK_S]
        stale = [row for row in stale if not self._is_asked(row["id"])]
        for row in stale:
            if row["state"] == "asking":
                self._tell(row, "timed_out", Answer("unknown", reason="left without an answer"))
        for start in range(0, len(stale), LOOKS_MAX):
            await asyncio.gather(*map(self._look, stale[start : start + LOOKS_MAX]))

    async def _look(self, row: Record) -> None:
        """What became of one ask, as its psp tells; nothing is decided while it does not."""
        psp = self._psps.get(row["psp"])
        if psp is None:
            return
        found = await psp.get(asked_kind(row["policy"]), str(row["id"]))
        match found.standing:
            case "held" | "stored" | "taken":
                self._tell(row, "authorized", Answer("done", found.psp_ref))
            case "missing" | "declined" | "released":
                self._tell(row, "declined", Answer("declined", found.psp_ref, found.reason or found.standing))
            case _:
                log.warning("undecided", authorization=str(row["id"]), standing=found.standing, reason=found.reason)

    def _tell(self, row: Record, verdict: str, answer: Answer) -> None:
        self._report(decided(row["id"], row["station_id"], verdict, answer, self._clock, self._draw_driver_id))
