"""Items as staff set them up and move them, doors that staff open, and what of a cabinet's inventory differs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import uuid7
from csms.db import SQL, Connection, Record
from csms.domain.asset_events import AssetAnswer, ItemMoved, ServiceOpened
from csms.domain.events import Outcome
from csms.flows.through import Submit, through

Place = Literal["connector", "staff", "workshop", "lost", "unknown"]
State = Literal["ok", "broken", "retired"]

POLL_S = 0.05

BY_HAND = "~staff/"
"""Begins the ids of staff's words: at one instant they are heard after what cabinets report."""


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """An item as staff describe it."""

    code: str
    kind: Literal["portable", "battery"]
    type: str
    provider: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """Where staff say that an item is, and what it is fit for (None: as before)."""

    place: Place
    station: str | None
    connector: int | None
    state: State | None
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A door of which a cabinet told something else than was believed: codes of items, None for no item."""

    connector: int
    expected: str | None
    found: str | None


def new_id() -> UUID:
    """An id whose low byte is free for what is derived from it."""
    return UUID(int=uuid7(time.time_ns() // 1_000_000, secrets.randbits(80)).int & ~0xFF)


async def add(conn: Connection, spec: ItemSpec, now: datetime) -> None:
    """Add an item that nobody has seen yet; Conflict when its code is taken."""
    if await SQL.show_provider.one(conn, spec.provider) is None:
        raise Refused(f"there is no provider {spec.provider}; add it first (POST /api/v1/providers)", "/provider")
    arguments = (spec.code, spec.kind, spec.type, spec.provider, spec.label, now)
    if await SQL.add_item.value(conn, *arguments) is None:
        raise Conflict(f"there is an item {spec.code} already")


async def show(conn: Connection, code: str) -> Record:
    """An item that the client may know of."""
    row = await SQL.show_item.one(conn, code)
    if row is None:
        raise NotFound("there is no such item")
    return row


async def move(submit: Submit, code: str, wanted: Move, now: datetime) -> None:
    """
    Staff's word on where an item is.

    Refused when a place at a cabinet names no door, or another place one; Conflict when that door cannot hold it.
    """
    if wanted.place == "connector" and (wanted.station is None or wanted.connector is None):
        raise Refused("a place at a cabinet has a station and a connector", "/connector")
    if wanted.place != "connector" and (wanted.station is not None or wanted.connector is not None):
        raise Refused("only a place at a cabinet has a station and a connector", "/station")
    event = ItemMoved(
        wanted.station or "", now, code, wanted.place, wanted.connector, wanted.state, wanted.by, wanted.reason,
        f"{BY_HAND}{new_id()}",
    )  # fmt: skip
    _done(await through(submit, event))


async def change_state(submit: Submit, item: Record, state: State, by: str, reason: str, now: datetime) -> None:
    """Say what an item is fit for, where it is; Conflict while a driver has it."""
    if item["place"] == "driver":
        raise Conflict("a driver has this item: say where it is, too (POST /items/{item}/moves)")
    await move(submit, item["code"], Move(item["place"], item["station_id"], item["unit"], state, by, reason), now)


async def open_door(
    submit: Submit, station_id: str, connector: int, why: Literal["inspect", "service"], by: str, reason: str,
    now: datetime,
) -> UUID:  # fmt: skip
    """Have a door opened for staff; answers the grant. Conflict when it is about to open for somebody else."""
    outcome = await through(submit, ServiceOpened(station_id, now, new_id(), connector, why, by, reason))
    if outcome.asset is not None and outcome.asset.error == "UnknownUnit":
        raise NotFound(f"cabinet {station_id} has no door {connector}")
    answer = _done(outcome)
    assert answer is not None and answer.grant_id is not None
    return answer.grant_id


async def snapshot_after(
    read: Callable[[], Awaitable[Sequence[Record]]], seen: set[str], wait_s: float
) -> Record | None:
    """The newest snapshot that `read` finds and that is not among `seen`, within `wait_s` seconds."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_s
    while True:
        new = [row for row in await read() if row["id"] not in seen]
        if new or loop.time() >= ends:
            return new[-1] if new else None
        await asyncio.sleep(POLL_S)


def differences(before: Sequence[Record], after: Sequence[Record]) -> list[Difference]:
    """The doors behind which a snapshot found something else than was believed before."""
    believed = {row["connector"]: row["item"] for row in before}
    return [
        Difference(row["connector"], believed.get(row["connector"]), row["item"])
        for row in after
        if believed.get(row["connector"]) != row["item"]
    ]


def _done(outcome: Outcome) -> AssetAnswer | None:
    """Conflict unless it was done; what broke a rule of ours is set aside as a report, and nothing of it is done."""
    if outcome.status == "refused":
        raise Conflict(outcome.reason or "refused")
    if outcome.status != "accepted":
        raise Conflict("this could not be done; it is on the list of parked reports")
    return outcome.asset
