"""
How often a login may fail (targets.md, security 9).

Failures are counted per (station id, source address) and per source address. Counting an id over all
addresses would let anybody lock a station out by failing in its name. A station that has logged in
from an address before keeps a larger allowance there, so that a neighbour behind the same address
does not lock it out either. Only logins that are looked at count: a station that goes on knocking
comes in soon after its key was put right.
"""

from __future__ import annotations

from collections import OrderedDict

STATION_FAILURES_MAX = 10
PROVEN_FAILURES_MAX = 100
SOURCE_FAILURES_MAX = 300
"""How many failures stand at once; each is forgotten after its time below."""

STATION_FORGET_S = 10
SOURCE_FORGET_S = 1

ENTRIES_MAX = 65_536
"""Addresses and ids remembered; the longest unseen is forgotten first."""


class _Buckets:
    """Leaking buckets, bounded in number: key -> (level, the second it was true)."""

    __slots__ = ("_entries", "_forget_s")

    def __init__(self, forget_s: int) -> None:
        self._forget_s = forget_s
        self._entries: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def has_room(self, key: object, now: int, most: int) -> bool:
        return self._level(key, now) <= most - 1

    def _level(self, key: object, now: int) -> float:
        found = self._entries.get(key)
        return 0.0 if found is None else max(0.0, found[0] - (now - found[1]) / self._forget_s)

    def add(self, key: object, now: int, count: int = 1) -> None:
        self._entries[key] = (max(0.0, self._level(key, now) + count), now)
        self._entries.move_to_end(key)
        if len(self._entries) > ENTRIES_MAX:
            self._entries.popitem(last=False)


class FailedLogins:
    """What is remembered of failed logins. Seconds are whole and come from the caller."""

    __slots__ = ("_proven", "_sources", "_stations")

    def __init__(self) -> None:
        self._stations = _Buckets(STATION_FORGET_S)
        self._sources = _Buckets(SOURCE_FORGET_S)
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()

    def allows(self, station_id: str, source: str, now: int) -> bool:
        """
        Whether this login is looked at at all.

        If so it counts against its id and address until it is known how it went: a thousand at
        once are not a thousand guesses.
        """
        key = (station_id, source)
        proven = key in self._proven
        if not self._stations.has_room(key, now, PROVEN_FAILURES_MAX if proven else STATION_FAILURES_MAX):
            return False
        if not proven and not self._sources.has_room(source, now, SOURCE_FAILURES_MAX):
            return False
        self._stations.add(key, now)
        return True

    def failed(self, source: str, now: int) -> None:
        """A login that was allowed was wrong."""
        self._sources.add(source, now)

    def undecided(self, station_id: str, source: str, now: int) -> None:
        """A login that was allowed could not be judged: it counts as none."""
        self._stations.add((station_id, source), now, -1)

    def succeeded(self, station_id: str, source: str, now: int) -> None:
        """A login that was allowed was right: the station is at home at this address."""
        self._stations.add((station_id, source), now, -1)
        self._proven[station_id, source] = None
        self._proven.move_to_end((station_id, source))
        if len(self._proven) > ENTRIES_MAX:
            self._proven.popitem(last=False)
