"""What the clock brings about at cabinets: grants that nobody used, doors that stand open, rentals that are due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from csms.base.clock import Clock
from csms.db import SQL, Pool
from csms.domain import grants, openings
from csms.domain.asset_events import AssetEvent, DoorChecked, GrantChecked, RentalChecked

LENDING_SWEEP_S = 1.0
ROWS_MAX = 500
"""Looks of each kind in one sweep; the others are met by the next."""


class LendingTimer:
    """`sweep` has everything looked at that is due. `report` puts an event on the road; `clock` is the system's."""

    def __init__(self, pool: Pool, report: Callable[[AssetEvent], None], clock: Clock) -> None:
        self._pool = pool
        self._report = report
        self._clock = clock

    async def sweep(self) -> None:
        """Once. What is looked at too early, or twice, changes nothing."""
        now = self._clock()
        opening, ajar, staff = (
            now - timedelta(seconds=s) for s in (grants.OPENING_S, openings.AJAR_S, openings.STAFF_S)
        )
        async with self._pool.acquire() as conn:
            unused = await SQL.due_grants.many(conn, opening, now - grants.DRIFT, ROWS_MAX)
            doors = await SQL.due_doors.many(conn, ajar, staff, ROWS_MAX)
            rentals = await SQL.due_rentals.many(conn, now, ROWS_MAX)
        for row in unused:
            self._report(GrantChecked(row["station_id"], now, row["id"]))
        for row in doors:
            self._report(DoorChecked(row["station_id"], now, row["unit"]))
        for row in rentals:
            self._report(RentalChecked(row["station_id"], now, row["id"]))
