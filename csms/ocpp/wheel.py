"""One timer for all connections: ten thousand idle stations cost one tick a second, not ten thousand timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

TICK_S = 1.0

log = structlog.get_logger("csms.ocpp")


class Wheel:
    """Calls back after whole seconds, by the network's clock. `now` counts the ticks."""

    __slots__ = ("_slots", "_timer", "now")

    def __init__(self) -> None:
        self.now = 0
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def after(self, seconds: int, action: Callable[[], None]) -> None:
        """Run `action` in `seconds` (at least 1, at most a second late)."""
        self._slots.setdefault(self.now + max(seconds, 1), []).append(action)

    def tick(self) -> None:
        """One second has passed."""
        self.now += 1
        for action in self._slots.pop(self.now, ()):
            try:
                action()
            except Exception:  # one connection's trouble must not leave the others without their clock
                log.exception("a timer failed")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tick by the loop's clock until `stop`."""

        def run() -> None:
            self._timer = loop.call_later(TICK_S, run)
            self.tick()

        self._timer = loop.call_later(TICK_S, run)

    def stop(self) -> None:
        """No tick comes any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
