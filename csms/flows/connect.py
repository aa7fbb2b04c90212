"""
Letting stations in: who is it, and from which epoch on does this connection speak for it?

After a restart ten thousand stations arrive at once; those that wait while one batch is judged are
the next batch. A batch costs three statements, whatever its size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from csms.db import SQL, Pool, Record
from csms.domain.credential import KEY_BYTES_MAX, opens

BATCH_MAX = 512

CHARGER = "charger"
"""The kind of station that has neither doors nor slots: it is not missed when it is away."""

HAND_OVER_AFTER = timedelta(seconds=10)
"""A station that has just connected has other things to do than to take vouchers (quirks Q-B02, Q-C07)."""

_DUMMY = bytes(32)
"""Compared where there is no credential, so that an unknown station takes as long as a known one."""

log = structlog.get_logger("csms.connect")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A station at the door: the id it claims, the key it shows, the version it asks for (None: none of ours)."""

    station_id: str
    key: bytes | None
    protocol: str | None


@dataclass(frozen=True, slots=True)
class Admitted:
    """It is who it says. `protocol` is the one to speak, None when there is none: then it has no epoch."""

    epoch: int
    protocol: str | None
    strict: bool
    meter_keys: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Public keys of its meters, base64 DER by connector number."""
    is_set_up: bool = True
    """Whether it was told which readings to send, on this protocol; and on 2.1 asked which limits it keeps."""
    tx_limits: tuple[str, ...] = ()
    """The limits of a session that it keeps itself."""
    kind: str = CHARGER
    """What it is: `charger`, `locker` or `battery_station`. A cabinet is missed when it is away (`Admission.left`)."""


class Admission:
    """The door of one process."""

    def __init__(self, pool: Pool, pepper: bytes, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._pepper = pepper
        self._clock = clock
        self._waiting: list[tuple[Arrival, asyncio.Future[Admitted | None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def admit(self, arrival: Arrival) -> Admitted | None:
        """
        Let `arrival` in, or not (None): unknown station, wrong key, no key.

        Raises the database's error when it is away.
        """
        future: asyncio.Future[Admitted | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def left(self, station_id: str, epoch: int) -> None:
        """A cabinet's connection has ended: unless a newer one is here, it is away from now on."""
        async with self._pool.acquire() as conn:
            await SQL.station_left.run(conn, station_id, epoch, self._clock())

    async def _work(self) -> None:
        while self._waiting:
            batch = self._take()
            try:
                admitted = await self._judge([arrival for arrival, _ in batch])
            except Exception as error:
                log.warning("stations could not be admitted", count=len(batch), error=str(error))
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for arrival, future in batch:
                if not future.done():
                    future.set_result(admitted.get(arrival.station_id))

    def _take(self) -> list[tuple[Arrival, asyncio.Future[Admitted | None]]]:
        """The next batch: at most one arrival per station, because each needs an epoch of its own."""
        batch: dict[str, tuple[Arrival, asyncio.Future[Admitted | None]]] = {}
        later = []
        for entry in self._waiting:
            if len(batch) < BATCH_MAX and entry[0].station_id not in batch:
                batch[entry[0].station_id] = entry
            else:
                later.append(entry)
        self._waiting = later
        return list(batch.values())

    async def _judge(self, arrivals: list[Arrival]) -> dict[str, Admitted]:
        async with self._pool.acquire() as conn:
            found = await SQL.find_arriving_stations.many(conn, [arrival.station_id for arrival in arrivals])
            rows = {row["id"]: row for row in found}
            proven = {}
            for arrival in arrivals:
                row = rows.get(arrival.station_id)
                if self._opens(row["credential"] if row is not None else None, arrival.key):
                    assert row is not None
                    proven[arrival.station_id] = (arrival.protocol or row["assume_protocol"], row)
            spoken = {station_id: protocol for station_id, (protocol, _) in proven.items() if protocol is not None}
            epochs: dict[str, int] = {}
            kinds: dict[str, str] = {}
            if spoken:
                now = self._clock()
                for row in await SQL.admit_stations.many(conn, list(spoken), list(spoken.values()), now):
                    epochs[row["id"]] = row["epoch"]
                    kinds[row["id"]] = row["kind"]
                cabinets = [station_id for station_id, kind in kinds.items() if kind != CHARGER]
                if cabinets:
                    await SQL.stations_arrived.run(conn, cabinets, now)
                await SQL.hurry_deliveries.run(conn, list(epochs), HAND_OVER_AFTER)
        return {
            station_id: _admitted(row, epochs.get(station_id, 0), protocol, kinds.get(station_id, CHARGER))
            for station_id, (protocol, row) in proven.items()
            if protocol is None or station_id in epochs
        }

    def _opens(self, credential: bytes | None, key: bytes | None) -> bool:
        """Always the same work: a missing credential or key is compared as well."""
        fits = opens(self._pepper, credential or _DUMMY, (key or b"\0")[:KEY_BYTES_MAX])
        return fits and credential is not None and key is not None


def _admitted(row: Record, epoch: int, protocol: str | None, kind: str) -> Admitted:
    keys: dict[int, tuple[str, ...]] = {}
    for connector, key in row["meter_keys"]:
        keys[connector] = (*keys.get(connector, ()), key)
    is_set_up = row["set_up_on"] == protocol and (protocol != "ocpp2.1" or row["tx_limits"] is not None)
    return Admitted(epoch, protocol, row["strict"], keys, is_set_up, tuple(row["tx_limits"] or ()), kind)


async def pepper_of(pool: Pool) -> bytes:
    """This installation's pepper."""
    async with pool.acquire() as conn:
        pepper: bytes = await SQL.installation_pepper.value(conn)
    return pepper
