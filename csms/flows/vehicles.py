"""Vehicles of drivers: added, proven, taken away. What identifies them is kept as a hash, as tokens are compared."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import UniqueViolationError

from csms.base.errors import Conflict, NotFound
from csms.base.ids import uuid7
from csms.db import SQL, Connection, Record
from csms.domain import token as tokens
from csms.domain import vehicle
from csms.domain.vehicle import SHOWN, Kind, Proof

VEHICLES_MAX = 50
"""Of one driver."""

ANOTHERS = "this vehicle is another driver's; if it is yours, let staff clear that up"


@dataclass(frozen=True, slots=True)
class Wish:
    """A vehicle that is added for a driver, by staff or (`by_driver`) by the driver's own app."""

    driver_id: str
    kind: Kind
    value: str
    vehicle_class: str | None
    by_driver: bool


async def add(conn: Connection, wish: Wish, now: datetime) -> tuple[Record, bool]:
    """
    Add a vehicle, or look again whether one that is there is proven; answers it, and whether it is new.

    In the caller's transaction. Conflict when it is proven to be another driver's.
    """
    text = vehicle.read(wish.kind, wish.value)
    key = tokens.key(text)
    if await SQL.count_vehicles.value(conn, wish.driver_id, wish.kind, key) >= VEHICLES_MAX:
        raise Conflict(f"a driver has at most {VEHICLES_MAX} vehicles; take one away first")
    proof = await _proof(conn, wish, key)
    id_ = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    try:
        row = await SQL.add_vehicle.one(
            conn, id_, wish.driver_id, wish.kind, key, tokens.masked(text), wish.vehicle_class, proof, now
        )
    except UniqueViolationError:
        row = None
    if row is None:
        raise Conflict(ANOTHERS)
    return await SQL.show_vehicle.one(conn, row["id"]), row["is_new"]


async def _proof(conn: Connection, wish: Wish, key: bytes) -> Proof | None:
    if not wish.by_driver:
        return "staff"
    if wish.kind == "app":
        return "app"
    return "session" if await _charged_with(conn, wish.driver_id, wish.kind, key) else None


async def _charged_with(conn: Connection, driver_id: str, kind: str, key: bytes) -> bool:
    return kind in SHOWN and bool(await SQL.charged_with.value(conn, driver_id, key))


async def prove(conn: Connection, row: Record, now: datetime) -> None:
    """
    Prove whose a vehicle is by having charged with it since it was added; Conflict, which says how else, if it was not.

    In the caller's transaction.
    """
    if not await _charged_with(conn, row["driver_id"], row["kind"], bytes(row["key"])):
        raise Conflict(f"it is not proven that this vehicle is yours: {vehicle.HOW[row['kind']]}")
    try:
        await SQL.prove_vehicle.run(conn, row["id"], now, "session")
    except UniqueViolationError:
        raise Conflict(ANOTHERS) from None


async def drop(conn: Connection, driver_id: str, vehicle_id: UUID) -> None:
    """Take a vehicle away: what was bought for it stays its driver's."""
    if await SQL.drop_vehicle.value(conn, vehicle_id, driver_id) is None:
        raise NotFound("there is no such vehicle")
