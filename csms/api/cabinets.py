"""Where cabinets are, what stands behind their doors, who had them opened; and staff who open them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from csms.api import answers
from csms.api.call import Call, Route, abroad, connection
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time, unseal
from csms.api.problems import Problem
from csms.api.rental_answers import Opening, opening
from csms.api.sessions import WAIT_S_MAX, new_id, send
from csms.api.shapes import Answer, Body, Moment, Page, Paging, Parameter, Query
from csms.base.errors import NotFound
from csms.db import SQL, Connection, Record
from csms.domain.commands import ReportUnits
from csms.flows import items
from csms.flows.admin import CONNECTOR_MAX
from csms.flows.presence import Cabinet as Known
from csms.flows.presence import cabinet_to_use

Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]
NEAREST_MAX = 5
"""Other cabinets that a driver is told of who finds one full."""
REPORT_S = timedelta(seconds=60)
"""How long a cabinet may take to begin with a snapshot."""
FIRST = (-1.0, "")
OFFLINE = "offline"


class CabinetQuery(Paging):
    """Which cabinets, and from where distances count."""

    latitude: float | None = Field(None, ge=-90, le=90, description="of the place to count from; with longitude")
    longitude: float | None = Field(None, ge=-180, le=180, description="of the place to count from; with latitude")
    free_door: bool = Field(False, description="only with a door that is free for an item")
    item_type: Parameter | None = Field(None, description="only with an item of this type ready to be taken")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            raise ValueError("a place has a latitude and a longitude")
        return self


class Cabinet(Answer):
    """A cabinet: how far it is, how many of its doors are free, how many items of each type can be taken."""

    station: str
    kind: str
    provider: str
    latitude: float | None
    longitude: float | None
    distance_m: int | None
    connected: bool
    doors: int
    free_doors: int
    items_ready: dict[str, int]


class Door(Answer):
    """A door or slot with what stands behind it. `ready`: its item can be taken; `free`: one can be put in."""

    station: str
    connector: int
    kind: str
    state: str
    item: str | None
    item_type: str | None
    item_state: str | None
    reserved: bool
    fault: str | None
    out_of_service: bool
    free: bool
    ready: bool
    known_at: Moment | None


class Doors(Answer):
    """The doors of a cabinet, and where it is."""

    station: str
    latitude: float | None
    longitude: float | None
    items: list[Door]


class NewOpening(Body):
    """Why staff have a door opened."""

    why: Literal["service", "inspect"] = "service"
    reason: Reason


class OpeningQuery(Paging):
    """Which openings."""

    connector: int | None = Field(None, ge=1, le=CONNECTOR_MAX, description="of this door")


class InventoryQuery(Query):
    """How long to wait for the snapshot."""

    wait: int = Field(10, ge=0, le=WAIT_S_MAX, description="seconds to wait for the cabinet's snapshot")


class Difference(Answer):
    """A door behind which the cabinet saw something else than was believed: codes of items, null for none."""

    connector: int
    expected: str | None
    found: str | None


class Inventory(Answer):
    """
    A snapshot that a cabinet was asked for, and what of it differs from what was believed.

    `seen_at` is null while it has not come; it is taken for true whenever it does.
    """

    command: answers.Command
    seen_at: Moment | None
    differences: list[Difference]
    doors: list[Door]


async def list_cabinets(call: Call) -> Page[Cabinet]:
    """Cabinets, the nearest first; for drivers those on the map."""
    q: CabinetQuery = call.query
    after, on_map = _place(q.cursor), call.client.driver is not None
    kind = "any" if q.free_door else None
    async with abroad(call.parts) as conn:
        rows = await SQL.find_cabinets.many(
            conn, q.latitude, q.longitude, kind, q.item_type, on_map, *after, q.limit + 1
        )
    return page(rows, q.limit, _cabinet, lambda row: json.dumps([row["away_m"], row["id"]]))


async def nearest(conn: Connection, station_id: str, kind: str, *, on_map: bool) -> list[Cabinet]:
    """Cabinets near another one that have a free door for items of a kind."""
    row = await SQL.place_of_cabinet.one(conn, station_id)
    place = (None, None) if row is None else (row["latitude"], row["longitude"])
    rows = await SQL.find_cabinets.many(conn, *place, kind, None, on_map, *FIRST, NEAREST_MAX + 1)
    return [_cabinet(row) for row in rows if row["id"] != station_id][:NEAREST_MAX]


async def list_doors(call: Call) -> Doors:
    """The doors of a cabinet; drivers see none of one that is not on the map, and no codes of batteries."""
    station_id = call.path["station"]
    async with abroad(call.parts) as conn:
        row = await SQL.show_presence.one(conn, station_id, None)
        if row is None or (call.client.driver is not None and row["latitude"] is None):
            raise NotFound(f"there is no cabinet {station_id}")
        doors = await SQL.list_doors.many(conn, station_id)
    found = [_door(station_id, door) for door in doors]
    if call.client.driver is not None:  # a driver knows the own battery alone
        found = [door.model_copy(update={"item": None}) if door.kind == "slot" else door for door in found]
    return Doors(station=station_id, latitude=row["latitude"], longitude=row["longitude"], items=found)


async def open_door(call: Call) -> Opening:
    """Have a door opened for staff; what is taken out of it then is in staff's hands."""
    new: NewOpening = call.body
    station_id, connector = call.path["station"], int(call.path["connector"])
    async with connection(call.parts) as conn:
        cabinet = await cabinet_to_use(conn, station_id, connector)
    if not await call.parts.commands.is_connected(station_id, cabinet.epoch):
        raise offline(cabinet)
    grant_id = await items.open_door(
        call.parts.submit, station_id, connector, new.why, call.client.id, new.reason, call.parts.clock()
    )
    async with connection(call.parts) as conn:
        return opening(await SQL.show_opening.one(conn, grant_id))


async def list_openings(call: Call) -> Page[Opening]:
    """Who had which door opened, why, and how they proved that they stood there; the newest first."""
    q: OpeningQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    if await SQL.show_presence.one(call.conn, call.path["station"], None) is None:
        raise NotFound(f"there is no station {call.path['station']}")
    rows = await SQL.list_openings.many(call.conn, q.limit + 1, *place, call.path["station"], q.connector)
    return page(rows, q.limit, opening, place_in_time("issued_at"))


async def take_inventory(call: Call) -> tuple[int, Inventory]:
    """Have a cabinet say what is where: 200 with what differs from what was believed, 202 if it has not told yet."""
    station_id, query, now = call.path["station"], call.query, call.parts.clock()
    async with connection(call.parts) as conn:
        await cabinet_to_use(conn, station_id)
        before = await SQL.list_doors.many(conn, station_id)
        seen = {row["id"] for row in await SQL.snapshots_since.many(conn, station_id, now)}
    command_id = new_id()
    _, command = await send(call, command_id, station_id, ReportUnits(command_id, now + REPORT_S))

    async def read() -> list[Record]:
        async with connection(call.parts) as conn:
            return await SQL.snapshots_since.many(conn, station_id, now)

    snapshot = await items.snapshot_after(read, seen, query.wait)
    async with connection(call.parts) as conn:
        after = await SQL.list_doors.many(conn, station_id)
    found = [] if snapshot is None else items.differences(before, after)
    told = Inventory(
        command=command, seen_at=None if snapshot is None else snapshot["at"],
        differences=[Difference(connector=d.connector, expected=d.expected, found=d.found) for d in found],
        doors=[_door(station_id, row) for row in after],
    )  # fmt: skip
    return 202 if snapshot is None else 200, told


def offline(cabinet: Known) -> Problem:
    """None of its doors can be opened now."""
    return Problem(409, f"cabinet {cabinet.id} is not connected", members={"error": OFFLINE})


def _cabinet(row: Record) -> Cabinet:
    names = ("kind", "latitude", "longitude", "doors", "free_doors")
    return Cabinet(
        station=row["id"], provider=row["provider_id"], connected=not row["is_away"],
        distance_m=_metres(row), items_ready=json.loads(row["items_ready"]),
        **{name: row[name] for name in names},
    )  # fmt: skip


def _metres(row: Record) -> int | None:
    """How far it is; None without a place to count from, or of its own."""
    return round(row["away_m"]) if row["is_measured"] else None


def _door(station_id: str, row: Record) -> Door:
    names = ("connector", "kind", "state", "item", "item_type", "item_state", "fault", "out_of_service", "known_at")
    return Door(
        station=station_id, reserved=row["is_reserved"], free=bool(row["is_free"]), ready=bool(row["is_ready"]),
        **{name: row[name] for name in names},
    )  # fmt: skip


def _place(cursor: str | None) -> tuple[float, str]:
    """The (distance, id) that a list goes on after."""
    if cursor is None:
        return FIRST
    try:
        away_m, id_ = json.loads(unseal(cursor))
        if not isinstance(id_, str) or "\x00" in id_:
            raise ValueError
        return float(away_m), id_
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


SEE = ("stations:read",)
FIND = ("stations:read", "driver:self")
COMMAND = ("stations:command",)

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/cabinets", list_cabinets, FIND, "Find cabinets, the nearest first", Page[Cabinet], query=CabinetQuery,
        connects=False,
    ),
    Route(
        "GET", "/stations/{station}/doors", list_doors, FIND, "List the doors of a cabinet and what stands behind them",
        Doors, connects=False,
    ),
    Route(
        "POST", "/stations/{station}/doors/{connector}/open", open_door, COMMAND, "Have a door opened for staff",
        Opening, NewOpening, status=202, connects=False,
    ),
    Route(
        "GET", "/stations/{station}/openings", list_openings, SEE, "List who had doors of a cabinet opened",
        Page[Opening], query=OpeningQuery,
    ),
    Route(
        "POST", "/stations/{station}/inventory", take_inventory, COMMAND,
        "Have a cabinet say what is where, and list what differs", Inventory, query=InventoryQuery, or_else=202,
        connects=False,
    ),
)  # fmt: skip
