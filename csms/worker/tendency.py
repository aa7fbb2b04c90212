"""When it is computed how drivers use stations: soon after each bill, and for all of them every night."""

from __future__ import annotations

from csms.base.clock import Clock
from csms.db import Pool
from csms.flows import tendency

TENDENCY_SWEEP_S = 5.0

BILLS = 50
"""Bills in one transaction: some 0.05 s of work (0.3 to 2 ms a session), between whose sessions others get a turn."""

TURNS_MAX = 10
"""Transactions in one sweep: at most 100 sessions a second, so that a burst of them is worked off beside the road."""


class TendencyTimer:
    """Its `sweep` does what is due; `clock` is the system's."""

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def sweep(self) -> None:
        """Once: new bills first, then the night's work, if a night has begun."""
        async with self._pool.acquire() as conn:
            for _ in range(TURNS_MAX):
                if not await tendency.take_bills(conn, BILLS, self._clock()):
                    break
            for _ in range(TURNS_MAX):
                if not await tendency.night_turn(conn, self._clock()):
                    break
