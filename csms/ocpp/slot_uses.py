"""
What the transactions of a battery station are (2.x): packs that are charged in slots, or sessions of drivers.

Only a transaction's beginning says so, and where it is; what follows may say neither. One per connection.
"""

from __future__ import annotations

USES_MAX = 1_000
"""Transactions of one connection that are remembered: more than any station has slots."""


class SlotUses:
    """Which slot a transaction is in, or that it is a driver's session."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: dict[str, int | None] = {}

    def session(self, ref: str) -> None:
        """A token was shown: from now on this is a driver's session."""
        self._put(ref, None)

    def is_session(self, ref: str) -> bool:
        """Whether a token was shown for it, as far as is known."""
        return self._slots.get(ref, 0) is None

    def place(self, ref: str, unit: int | None) -> int | None:
        """The slot of a transaction: `unit` where the station says it now, else what it said before."""
        if unit is not None:
            self._put(ref, unit)
        return self._slots.get(ref)

    def _put(self, ref: str, unit: int | None) -> None:
        if ref not in self._slots and len(self._slots) >= USES_MAX:
            del self._slots[next(iter(self._slots))]
        self._slots[ref] = unit
