"""Which stations were told what readings to send, and what came of it."""

from __future__ import annotations

import json
from datetime import timedelta

from csms.base.clock import Clock
from csms.db import SQL, Pool

SESSION_AGE_MAX = timedelta(days=7)
"""A session that began longer ago does not run any more, whatever its row says."""


class SetupBook:
    """Remembers set-up stations in the database. `clock` is the system's."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def is_charging(self, station_id: str) -> bool:
        """Whether a session runs at the station."""
        async with self._pool.acquire() as conn:
            return bool(await SQL.station_is_charging.value(conn, station_id, self._clock() - SESSION_AGE_MAX))

    async def note(self, station_id: str, version: str, outcome: str, settings: dict[str, str]) -> None:
        """Remembers that the station was set up on this version."""
        async with self._pool.acquire() as conn:
            await SQL.note_setup.run(conn, station_id, version, outcome, json.dumps(settings), self._clock())

    async def learn_limits(self, station_id: str, tx_limits: frozenset[str]) -> None:
        """Remembers which limits of a session the station keeps itself."""
        async with self._pool.acquire() as conn:
            await SQL.learn_limits.run(conn, station_id, sorted(tx_limits))
