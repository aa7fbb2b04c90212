"""
Simulated time for many stations: at a speed, or as fast as answers come.

Every station does its acts in its own order, at its own instants. So that the system hears of the
world roughly in order, nobody runs more than `AHEAD_S_MAX` ahead of the oldest start or end that is
not done: below the 300 s after which a 1.6 start counts as made offline.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import Final

AHEAD_S_MAX: Final = 240
NEVER: Final = 1 << 60


class Pace:
    """
    `speed` simulated seconds pass in a second of the wall; None means no waiting for the wall at all.

    Each of `actors` promises by `reach(actor, at, floor)` that none of its starts and ends comes before `floor`.
    """

    def __init__(self, actors: int, start: int, speed: float | None) -> None:
        self._floors = [start] * actors
        self._heap = [(start, actor) for actor in range(actors)]
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._start = start
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._count = 0
        self.now = start
        """The newest instant that any station has reached."""

    async def reach(self, actor: int, at: int, floor: int | None = None) -> None:
        """Returns when `at` (epoch seconds) is now for this actor."""
        self._raise_floor(actor, at if floor is None else floor)
        if self._speed is not None:
            wait_s = self._began_s + (at - self._start) / self._speed - self._loop.time()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        if at > self._limit():
            turn: asyncio.Future[None] = self._loop.create_future()
            self._count += 1
            heapq.heappush(self._waiting, (at, self._count, turn))
            await turn
        self.now = max(self.now, at)

    def leave(self, actor: int) -> None:
        """The actor has nothing more to do; nobody waits for it."""
        self._raise_floor(actor, NEVER)

    def _raise_floor(self, actor: int, floor: int) -> None:
        assert floor >= self._floors[actor], "an actor's time does not run backwards"
        if floor == self._floors[actor]:
            return
        self._floors[actor] = floor
        heapq.heappush(self._heap, (floor, actor))
        limit = self._limit()
        while self._waiting and self._waiting[0][0] <= limit:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)

    def _limit(self) -> int:
        """The latest instant that may happen now. Old floors are dropped from the heap on the way."""
        while self._heap[0][0] != self._floors[self._heap[0][1]]:
            heapq.heappop(self._heap)
        return self._heap[0][0] + AHEAD_S_MAX
