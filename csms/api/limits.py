"""How often somebody may try something: counts per window, for as many names as a process can keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

NAMES_MAX = 50_000


class Limit:
    """At most `count` of each name in any window of `window_s` seconds; windows begin with a name's first."""

    def __init__(self, count: int, window_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._count, self._window_s, self._monotonic = count, window_s, monotonic
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def wait_s(self, name: Hashable) -> float:
        """How long until `name` may try again; 0 when it may now."""
        ends, count = self._seen.get(name, (0.0, 0))
        left_s = ends - self._monotonic()
        return left_s if left_s > 0 and count >= self._count else 0.0

    def note(self, name: Hashable) -> None:
        """Count one of `name`."""
        now = self._monotonic()
        ends, count = self._seen.get(name, (0.0, 0))
        if ends > now:
            self._seen[name] = (ends, count + 1)
            return
        if len(self._seen) >= NAMES_MAX:
            self._seen = {name: kept for name, kept in self._seen.items() if kept[0] > now}
        if len(self._seen) >= NAMES_MAX:
            self._seen.clear()
        self._seen[name] = (now + self._window_s, 1)
