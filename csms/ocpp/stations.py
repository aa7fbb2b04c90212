"""Who is connected to this process: one connection per station, the newest (quirks Q-C01 to Q-C03)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Connection(Protocol):
    """What the registry needs to know of a connection: whose it is and its place in time."""

    @property
    def station_id(self) -> str:
        """The station that was proven at the other end."""

    @property
    def epoch(self) -> int:
        """Grows with every admitted connection of the station, over all processes."""


C = TypeVar("C", bound=Connection)


class Stations(Generic[C]):
    """The registry. It closes nothing itself: it answers what is to be closed."""

    __slots__ = ("_connections",)

    def __init__(self) -> None:
        self._connections: dict[str, C] = {}

    def admit(self, connection: C) -> C | None:
        """
        The connection that has to give way: the older one, None if there is none.

        It is `connection` itself when one with a later epoch is already here: two logins of a
        station may end in the other order than the database admitted them.
        """
        current = self._connections.get(connection.station_id)
        if current is not None and current.epoch > connection.epoch:
            return connection
        self._connections[connection.station_id] = connection
        return current if current is not connection else None

    def release(self, connection: C) -> bool:
        """Forget `connection`, and only it: the late end of an old one never unregisters the new (Q-C02)."""
        if self._connections.get(connection.station_id) is not connection:
            return False
        del self._connections[connection.station_id]
        return True

    def find(self, station_id: str) -> C | None:
        """The connection of a station, None when it is not connected here."""
        return self._connections.get(station_id)

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._connections.values()))
