"""The system's clock, built once by `serve`: the wall, or simulated time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

JUMP_MAX = timedelta(days=31)
"""A clock that follows reports does not follow one further ahead than this: such a station's clock is wrong."""


def wall() -> datetime:
    """The present instant."""
    return datetime.now(UTC)


class Simulated:
    """
    Time from `start`, `speed` times as fast as `monotonic` (seconds).

    A speed of None is time that stands still but for `follow`: it is as late as the newest report.
    """

    def __init__(self, start: datetime, speed: float | None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._speed = speed
        self._monotonic = monotonic
        self._began_s = monotonic()
        self._newest = start

    def __call__(self) -> datetime:
        """The present instant of the simulation."""
        if self._speed is None:
            return self._newest
        return self._start + timedelta(seconds=(self._monotonic() - self._began_s) * self._speed)

    @property
    def follows(self) -> bool:
        """Whether reports move this clock."""
        return self._speed is None

    def follow(self, at: datetime) -> None:
        """A report was made at `at`: that is now, if it is later than now."""
        if self._newest < at <= self._newest + JUMP_MAX:
            self._newest = at
