"""
Sessions that nothing is heard of any more: they end provisionally, and for good when no end ever comes (quirk Q-T13).

Looked at again at every sweep, so a sweep may fail or run twice: the road decides, and only once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from csms.base.clock import Clock
from csms.db import SQL, Pool
from csms.domain.events import ProvisionalFinished, ProvisionallyEnded

WATCHDOG_SWEEP_S = 300.0

SILENT_AFTER = timedelta(minutes=15)
"""No reading for so long, though the connector is free, has a newer session, or its station booted: it is over."""

SILENT_AFTER_SIMULATED = timedelta(days=1)
"""Simulated minutes pass in no time: stations of a simulation are not silent because they are slow."""

FINAL_AFTER = timedelta(hours=72)
"""How long the true end of a provisional session is waited for: stations were seen to be offline for three days."""

RECENT = FINAL_AFTER + timedelta(days=1)
"""A sweep reads the sessions opened since: nearly all that run, or whose true end is waited for."""

ALL_EVERY = timedelta(hours=1)
"""So often a sweep reads all that are not old: a million take seconds."""

OPENED_MAX = timedelta(days=60)
"""A session that began longer ago was looked at often enough."""

ROWS_MAX = 500
"""Sessions in one sweep; the others are met by the next."""

log = structlog.get_logger("watchdog")

Report = Callable[[ProvisionallyEnded | ProvisionalFinished], None]


class Watchdog:
    """Its `sweep` does what is due. `report` puts an event on the road; `clock` is the system's."""

    def __init__(
        self,
        pool: Pool,
        report: Report,
        clock: Clock,
        *,
        silent_after: timedelta = SILENT_AFTER,
        final_after: timedelta = FINAL_AFTER,
    ) -> None:
        self._pool = pool
        self._report = report
        self._clock = clock
        self._silent_after = silent_after
        self._final_after = final_after
        self._looked_at_all: datetime | None = None

    async def sweep(self) -> None:
        """Everything that is due, once; and energy that a meter counted between sessions is listed (quirk Q-M08)."""
        now = self._clock()
        all_of_them = self._looked_at_all is None or now - self._looked_at_all >= ALL_EVERY
        opened_since = now - (OPENED_MAX if all_of_them else RECENT)
        async with self._pool.acquire() as conn:
            silent = await SQL.silent_sessions.many(conn, now, now - self._silent_after, opened_since, ROWS_MAX)
            waited = await SQL.finished_provisionals.many(conn, now - self._final_after, opened_since, ROWS_MAX)
            await SQL.list_gaps.run(conn, opened_since)
        if all_of_them and max(len(silent), len(waited)) < ROWS_MAX:
            self._looked_at_all = now
        for row in silent:
            log.info("session is silent", station=row["station_id"], ref=row["ref"], why=row["why"])
            self._report(ProvisionallyEnded(row["station_id"], row["ref"], now, row["why"]))
        for row in waited:
            self._report(ProvisionalFinished(row["station_id"], row["ref"], now))
