"""Random ids, drawn at the edge so that the rules stay pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from csms.base.ids import short_hex, uuid7, wire_number

POOL_BYTES = 4096


class Draw:
    """Draws ids from the system's randomness, fetched in pools: one system call serves hundreds of ids."""

    __slots__ = ("_at", "_pool", "_source")

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._pool = b""
        self._at = 0

    def _bits(self, count: int) -> int:
        """So many random bytes as a number."""
        if self._at + count > len(self._pool):
            self._pool = self._source(POOL_BYTES)
            self._at = 0
        self._at += count
        return int.from_bytes(self._pool[self._at - count : self._at], "big")

    def uuid(self, at: datetime) -> UUID:
        """A UUIDv7 of the instant `at`."""
        return uuid7(int(at.timestamp() * 1000), self._bits(10))

    def short(self) -> str:
        """16 upper-case hex characters: an alias, a driver's id."""
        return short_hex(self._bits(8))

    def number(self) -> int:
        """A 1.6 transaction id."""
        return wire_number(self._bits(4) & 0x7FFFFFFF)
