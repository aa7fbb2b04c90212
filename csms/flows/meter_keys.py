"""The public keys of meters: registered by people out of band, used by the connection of their station at once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain.commands import UseMeterKeys
from csms.domain.meter_key import parse
from csms.flows.command import Commands

KEYS_MAX = 64
"""Of one station: a key for each of its meters, and those that took their place."""


async def add(
    conn: Connection,
    commands: Commands,
    key_id: UUID,
    station_id: str,
    connector: int,
    public_key: str,
    meter_serial: str | None,
    now: datetime,
    by: str,
) -> tuple[Record, bool]:
    """
    The registered key, and whether it is new. The same key again is the same row.

    Refused when it is no key, or the station has `KEYS_MAX`; NotFound without the station.
    """
    epoch = await _epoch(conn, station_id)
    der, curve = parse(public_key, "/public_key")
    if len(await SQL.list_meter_keys.many(conn, station_id)) >= KEYS_MAX:
        raise Refused(f"a station has at most {KEYS_MAX} meter keys; remove those of meters that are gone")
    arguments = (key_id, station_id, connector, der, curve, meter_serial, now, by)
    added = await SQL.add_meter_key.value(conn, *arguments)
    row = await SQL.find_meter_key.one(conn, station_id, connector, der)
    assert row is not None
    await _use(conn, commands, station_id, epoch)
    return row, added is not None


async def remove(conn: Connection, commands: Commands, station_id: str, key_id: UUID) -> None:
    """Takes a key back: what it verified stays as it was judged. NotFound without it."""
    epoch = await _epoch(conn, station_id)
    if await SQL.remove_meter_key.value(conn, station_id, key_id) is None:
        raise NotFound("this station has no such meter key")
    await _use(conn, commands, station_id, epoch)


async def listed(conn: Connection, station_id: str) -> list[Record]:
    """All keys of a station. NotFound without the station."""
    await _epoch(conn, station_id)
    return await SQL.list_meter_keys.many(conn, station_id)


async def _epoch(conn: Connection, station_id: str) -> int:
    epoch: int | None = await SQL.station_epoch.value(conn, station_id)
    if epoch is None:
        raise NotFound(f"there is no station {station_id}")
    return epoch


async def _use(conn: Connection, commands: Commands, station_id: str, epoch: int) -> None:
    """Tells the station's connection, wherever it is; one that begins later reads them itself."""
    keys: dict[int, tuple[str, ...]] = {}
    for row in await SQL.list_meter_keys.many(conn, station_id):
        keys[row["connector"]] = (*keys.get(row["connector"], ()), row["public_key"])
    await commands.tell(station_id, epoch, UseMeterKeys(keys))
