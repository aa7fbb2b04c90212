"""
Spending that time alone brings about: sessions whose watch has passed without a reading are looked at.

Flat and time prices grow while nothing is reported. A process that starts looks once at all that run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from csms.base.clock import Clock
from csms.db import SQL, Pool
from csms.domain.events import SpendingChecked
from csms.flows import debts, voucher_ends

SPENDING_SWEEP_S = 3.0

DEBTS_EVERY = 100
"""Debts are looked at every so many sweeps."""

RUNNING_MAX = 100_000
RUNNING_FOR_MAX = timedelta(days=60)
"""A session that runs for longer is nobody's any more."""

Due = Callable[[datetime], Iterable[tuple[str, str]]]


class SpendingTimer:
    """
    `sweep` looks at what is due.

    `due` names the sessions (station, ref) whose watch has passed by an instant; `check` puts a report
    on the road; `wake` tells the worker of new jobs. `clock` is the system's.
    """

    def __init__(
        self,
        pool: Pool,
        due: Due,
        check: Callable[[SpendingChecked], None],
        wake: Callable[[], None],
        clock: Clock,
        pace: debts.Pace = debts.PACE,
    ) -> None:
        self._pool = pool
        self._due = due
        self._check = check
        self._wake = wake
        self._clock = clock
        self._pace = pace
        self._looked_at_all = False
        self._sweeps = 0

    async def sweep(self) -> None:
        """Everything that is due, once."""
        now = self._clock()
        if not self._looked_at_all:
            async with self._pool.acquire() as conn:
                rows = await SQL.running_limited.many(conn, now - RUNNING_FOR_MAX, RUNNING_MAX)
            self._looked_at_all = True
            self._look(((row["station_id"], row["ref"]) for row in rows), now)
        self._look(self._due(now), now)
        if self._sweeps % DEBTS_EVERY == 0:
            async with self._pool.acquire() as conn:
                made = await debts.sweep(conn, now, self._pace)
                await voucher_ends.tell_of_ends(conn, now)
            if made:
                self._wake()
        self._sweeps += 1

    def _look(self, sessions: Iterable[tuple[str, str]], now: datetime) -> None:
        for station_id, ref in sessions:
            self._check(SpendingChecked(station_id, ref, now))
