"""The one clock of a scenario in which devices and people wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_S = 0.01


class Hours:
    """
    Epoch seconds from `start`. Devices read it by calling it.

    At speed 1 it is the wall's clock. At any other, time passes only while somebody waits (so many seconds in
    one of the wall; None: at once): grants hold for seconds, and a slow computer must not let them expire.
    """

    def __init__(self, start: int, speed: float | None) -> None:
        self._now = start
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()

    def __call__(self) -> int:
        """Now."""
        return self._now + int(self._loop.time() - self._began_s if self._speed == 1 else 0)

    def set(self, now: int) -> None:
        """It is `now`: a device was told the time."""
        self._now, self._began_s = now, self._loop.time()

    async def wait(self, seconds: int) -> None:
        """So much time passes."""
        await asyncio.sleep(0 if self._speed is None else seconds / self._speed)
        if self._speed != 1:
            self._now += seconds


async def until(holds: Callable[[], bool], wall_s_max: float) -> bool:
    """Waits for the answers of others, in seconds of the wall; whether it came to hold."""
    deadline_s = asyncio.get_running_loop().time() + wall_s_max
    while not holds():
        if asyncio.get_running_loop().time() > deadline_s:
            return False
        await asyncio.sleep(POLL_S)
    return True
