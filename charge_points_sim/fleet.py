"""Many stations in one process: they connect together, share counters, and are looked after by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from charge_points_sim.connection import CannotConnect, Connection
from charge_points_sim.line import Counters
from charge_points_sim.station import Station

ALONE_S_MAX = 60
"""When no station can connect for so long, the run ends."""
CONNECTING_MAX = 32
"""So many handshakes run at once."""


class Fleet:
    """Connections of `stations` to the system at `url`; use as an async context manager."""

    def __init__(self, stations: Sequence[Station], url: str, password: str | None, seed: int = 0) -> None:
        self.counters = Counters()
        self.connections: dict[str, Connection] = {}
        self._url = url
        self._password = password
        self._random = Random(seed)
        for station in stations:
            self._add(station)

    def _add(self, station: Station) -> Connection:
        station.line.counters = self.counters
        connection = Connection(station, self._url, self._password, Random(self._random.random()))
        self.connections[station.id] = connection
        return connection

    async def __aenter__(self) -> Fleet:
        """All connect and boot; the first that cannot stops it (`CannotConnect`)."""
        gate = asyncio.Semaphore(CONNECTING_MAX)

        async def introduce(connection: Connection) -> None:
            async with gate:
                await connection.connect()
                await connection.do(connection.station.boot)

        try:
            async with asyncio.TaskGroup() as group:
                for connection in self.connections.values():
                    group.create_task(introduce(connection))
        except ExceptionGroup as errors:
            await self._close()
            raise errors.exceptions[0] from None
        return self

    async def join(self, station: Station) -> Connection:
        """One station more: it connects, and boots. Raises `CannotConnect`."""
        connection = self._add(station)
        await connection.connect()
        await connection.do(station.beat if station.booted is False else station.boot)
        return connection

    async def leave(self, station: Station) -> None:
        """A station goes dark."""
        await self.connections.pop(station.id).close()

    async def look_after(self) -> None:
        """Runs beside the scenario until cancelled. Raises `CannotConnect` when nobody is connected any more."""
        alone_s = 0
        while True:
            await asyncio.sleep(1)
            now_s = asyncio.get_running_loop().time()
            for connection in self.connections.values():
                connection.look_after(now_s)
            connected = any(connection.station.line.online for connection in self.connections.values())
            alone_s = 0 if connected else alone_s + 1
            if alone_s > ALONE_S_MAX:
                raise CannotConnect(f"the system has been away for {ALONE_S_MAX} s")

    async def settle(self) -> None:
        """Waits until every station has been answered everything."""
        while not all(c.station.line.idle for c in self.connections.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # at the end of a run only; no event is worth its upkeep on the hot path

    async def __aexit__(self, *exception: object) -> None:
        await self._close()

    async def _close(self) -> None:
        for connection in self.connections.values():
            await connection.close()
