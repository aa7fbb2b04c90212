"""What the clock brings about at cabinets: grants that nobody used, doors that stand open, rentals that are due."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from uuid import UUID

from csms.base.clock import Clock
from csms.db import SQL, Pool
from csms.domain import grants, openings
from csms.domain.asset_events import AssetEvent, DoorChecked, GrantChecked, RentalChecked
from csms.domain.events import Outcome
from csms.domain.pack_events import SwapChecked
from csms.flows.through import Submit

LENDING_SWEEP_S = 1.0
ROWS_MAX = 500
"""Looks of each kind in one sweep; the others are met by the next."""

ALIVE_SWEEPS = 10
"""So many sweeps apart it is noted that the system runs: for as long as it does not, nobody can bring anything back."""

PARKED_S = 3_600.0
"""What the road could not digest is looked at again after so long, on the wall: people are told meanwhile."""


class LendingTimer:
    """`sweep` has everything looked at that is due. `submit` puts an event on the road; `clock` is the system's."""

    def __init__(
        self, pool: Pool, submit: Submit, clock: Clock, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._submit = submit
        self._clock = clock
        self._monotonic = monotonic
        self._parked: dict[UUID, float] = {}
        self._sweeps = 0

    async def sweep(self) -> None:
        """Once. What is looked at too early, or twice, changes nothing."""
        now = self._clock()
        ajar, staff = (now - timedelta(seconds=s) for s in (openings.AJAR_S, openings.STAFF_S))
        wall = self._monotonic()
        self._parked = {id_: until for id_, until in self._parked.items() if until > wall}
        parked = list(self._parked)
        async with self._pool.acquire() as conn:
            if self._sweeps % ALIVE_SWEEPS == 0:
                await SQL.note_alive.run(conn, now)
            self._sweeps += 1
            unused = await SQL.due_grants.many(conn, now, now - grants.DRIFT, ROWS_MAX, parked)
            doors = await SQL.due_doors.many(conn, ajar, staff, ROWS_MAX)
            rentals = await SQL.due_rentals.many(conn, now, ROWS_MAX, parked)
            swaps = await SQL.due_swaps.many(conn, now, ROWS_MAX, parked)
        for row in unused:
            self._look(row["id"], GrantChecked(row["station_id"], now, row["id"]))
        for row in doors:
            self._look(None, DoorChecked(row["station_id"], now, row["unit"]))
        for row in rentals:
            self._look(row["id"], RentalChecked(row["station_id"], now, row["id"]))
        for row in swaps:
            self._look(row["id"], SwapChecked(row["station_id"], now, row["id"]))

    def _look(self, id_: UUID | None, event: AssetEvent | SwapChecked) -> None:
        self._submit(event, partial(self._looked, id_))

    def _looked(self, id_: UUID | None, outcome: Outcome) -> None:
        """What cannot be digested would be due, and parked, every second, and keep others from being looked at."""
        if id_ is not None and outcome.reason == "parked":
            self._parked[id_] = self._monotonic() + PARKED_S
