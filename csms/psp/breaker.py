"""A circuit breaker: while a psp does not answer, it is left alone but for one call now and then."""

from __future__ import annotations

from collections.abc import Callable

FAILURES_MAX = 20
"""Calls in a row without a proper answer, after which we stop calling."""

OPEN_S = 3.0
"""How long nothing is sent; then one call tries."""


class Breaker:
    """
    Counts failures in a row. `allows` says whether a call may be made, `ended` hears how it went.

    Calls that are not allowed were certainly not sent, so whoever wanted them may try again later.
    """

    def __init__(
        self, monotonic: Callable[[], float], failures_max: int = FAILURES_MAX, open_s: float = OPEN_S
    ) -> None:
        self._monotonic = monotonic
        self._failures_max = failures_max
        self._open_s = open_s
        self._failures = 0
        self._next_try_at = 0.0

    def allows(self) -> bool:
        """True while all is well, and once per `open_s` while it is not."""
        if self._failures < self._failures_max:
            return True
        now = self._monotonic()
        if now < self._next_try_at:
            return False
        self._next_try_at = now + self._open_s
        return True

    def ended(self, answered: bool) -> None:
        """A call that was allowed got a proper answer (also a refusal is one), or it got none."""
        if answered:
            self._failures = 0
            return
        self._failures += 1
        if self._failures == self._failures_max:
            self._next_try_at = self._monotonic() + self._open_s
