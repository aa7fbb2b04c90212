"""Items that are lent: what they are, where they are, and staff's word on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from csms.api.call import Call, Route, connection, system
from csms.api.pack_answers import Pack, pack
from csms.api.paging import after_id, page
from csms.api.shapes import Answer, Body, ChosenId, Moment, Page, Paging, Parameter, StationId
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain.assets import ItemState, Place
from csms.flows import items, packs
from csms.flows.admin import CONNECTOR_MAX

Label = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]
State = Literal["ok", "broken", "retired"]
Serial = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*_=:+|@.-]{1,50}$")]
CapacityWh = Annotated[int, Field(ge=1, le=1_000_000)]


class NewItem(Body):
    """
    An item of a provider; `type` says which items stand in for each other.

    A battery has a `serial`, which it says itself (the code, where nothing else is said), and a capacity when new.
    """

    code: StationId
    kind: Literal["portable", "battery"]
    type: ChosenId
    provider: ChosenId
    label: Label | None = None
    serial: Serial | None = None
    capacity_wh: CapacityWh | None = None

    @model_validator(mode="after")
    def _is_a_battery(self) -> Self:
        if self.kind != "battery" and (self.serial is not None or self.capacity_wh is not None):
            raise ValueError("only a battery has a serial and a capacity")
        return self


class ItemPatch(Body):
    """What is given is changed; a new `state` needs a reason. A battery has a serial and a capacity, too."""

    label: Label | None = None
    serial: Serial | None = None
    capacity_wh: CapacityWh | None = None
    state: State | None = None
    reason: Reason | None = None

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.state is None) != (self.reason is None):
            raise ValueError("a new state has a reason, and a reason is for a new state")
        return self


class NewMove(Body):
    """Where an item is; `connector` is a door: name its `station` and its number."""

    place: Literal["connector", "staff", "workshop", "lost", "unknown"]
    station: StationId | None = None
    connector: Annotated[int, Field(ge=1, le=CONNECTOR_MAX)] | None = None
    state: State | None = None
    reason: Reason


class Item(Answer):
    """
    An item and where it is since `since` (null: nobody has seen it): the cabinet, its place on the map, and the door.

    `rental` is there for those who may see it; `outlet` is what a portable charger was last plugged into, `battery`
    how a battery is.
    """

    code: str
    kind: str
    type: str
    provider: str
    label: str | None
    state: str
    place: str
    station: str | None
    connector: int | None
    latitude: float | None
    longitude: float | None
    since: Moment | None
    rental: str | None
    driver: str | None
    outlet: str | None
    plugged: bool
    created_at: Moment
    battery: Pack | None


class ItemQuery(Paging):
    """Which items."""

    provider: Parameter | None = Field(None, description="of this provider")
    station: Parameter | None = Field(None, description="in this cabinet")
    place: Place | None = Field(None, description="in such a place")
    state: ItemState | None = Field(None, description="in this state")
    type: Parameter | None = Field(None, description="of this type")
    kind: Literal["portable", "battery"] | None = Field(None, description="of this kind")
    quarantined: bool | None = Field(None, description="batteries in quarantine, or all others")


async def add_item(call: Call) -> Item:
    """Add an item; where it is is known once a cabinet reports it, or staff say so."""
    new: NewItem = call.body
    spec = items.ItemSpec(new.code, new.kind, new.type, new.provider, new.label)
    await items.add(call.conn, spec, call.parts.clock())
    if new.kind == "battery":
        await packs.add(call.conn, new.code, new.serial, new.capacity_wh)
    return await _shown(call.conn, new.code)


async def list_items(call: Call) -> Page[Item]:
    """Items by code."""
    q: ItemQuery = call.query
    rows = await SQL.list_items.many(
        call.conn, after_id(q.cursor), q.limit + 1, q.provider, q.station, q.place, q.state, q.type, q.kind,
        q.quarantined,
    )  # fmt: skip
    shown = page(rows, q.limit, lambda row: row, lambda row: str(row["code"]))
    return Page(items=await items_of(call.conn, shown.items), next_cursor=shown.next_cursor)


async def show_item(call: Call) -> Item:
    """
    Where an item is.

    A driver finds chargers in cabinets on the map, and what the driver has rented; of batteries those alone.
    """
    code = call.path["item"]
    async with connection(call.parts) as conn:
        row = await SQL.show_item.one(conn, code)
        found = [] if row is None else await items_of(conn, [row])
    if call.client.driver is not None:
        async with system(call.parts) as conn:
            on_map = await SQL.item_on_the_map.one(conn, code)
            found = found if on_map is None else [_item(on_map, None)]
    if not found:
        raise NotFound("there is no such item")
    return found[0]


async def change_item(call: Call) -> Item:
    """Change what people call an item, or what it is fit for where it is."""
    patch: ItemPatch = call.body
    item = await items.show(call.conn, call.path["item"])
    if patch.state is not None and patch.reason is not None:
        now = call.parts.clock()
        await items.change_state(call.parts.submit, item, patch.state, call.client.id, patch.reason, now)
    if "label" in patch.model_fields_set:  # after the road, which would wait for this row
        await SQL.change_item_label.run(call.conn, item["code"], patch.label)
    changed = patch.model_dump(include={"serial", "capacity_wh"}, exclude_unset=True)
    if "serial" in changed and patch.serial is None:
        raise Refused("a battery has a serial", "/serial")
    if changed:
        await packs.change(call.conn, item["code"], changed)
    return await _shown(call.conn, item["code"])


async def move_item(call: Call) -> Item:
    """Say where an item is: it counts from now on, until something newer is reported.

    Behind a door, with staff or in the workshop its rental is over; what is lost stays rented.
    """
    new: NewMove = call.body
    item = await items.show(call.conn, call.path["item"])
    if new.station is not None and await SQL.show_station.one(call.conn, new.station) is None:
        raise NotFound(f"there is no station {new.station}")
    move = items.Move(new.place, new.station, new.connector, new.state, call.client.id, new.reason)
    await items.move(call.parts.submit, item["code"], move, call.parts.clock())
    return await _shown(call.conn, item["code"])


async def items_of(conn: Connection, rows: Sequence[Record]) -> list[Item]:
    """Rows as clients get them, with the states of those that are batteries."""
    batteries = [row["code"] for row in rows if row["kind"] == "battery"]
    known = {row["code"]: row for row in await SQL.show_packs.many(conn, batteries)} if batteries else {}
    return [_item(row, known.get(row["code"])) for row in rows]


async def _shown(conn: Connection, code: str) -> Item:
    [item] = await items_of(conn, [await items.show(conn, code)])
    return item


def _item(row: Record, battery: Record | None) -> Item:
    names = ("code", "kind", "type", "label", "state", "place", "latitude", "longitude", "plugged", "created_at")
    rental_id = row["rental_id"]
    return Item(
        provider=row["provider_id"], station=row["station_id"], connector=row["unit"], since=row["at"],
        rental=None if rental_id is None else str(rental_id), driver=row["driver_id"], outlet=row["tag"],
        battery=None if battery is None else pack(battery),
        **{name: row[name] for name in names},
    )  # fmt: skip


SEE = ("stations:read",)
FIND = ("stations:read", "driver:self")
SET_UP = ("stations:write",)

ROUTES: tuple[Route, ...] = (
    Route("POST", "/items", add_item, SET_UP, "Add an item that is lent", Item, NewItem, status=201),
    Route("GET", "/items", list_items, SEE, "List items", Page[Item], query=ItemQuery),
    Route("GET", "/items/{item}", show_item, FIND, "Find an item", Item, connects=False),
    Route(
        "PATCH", "/items/{item}", change_item, SET_UP, "Change what an item is called, or is fit for", Item, ItemPatch,
    ),
    Route("POST", "/items/{item}/moves", move_item, SET_UP, "Say where an item is", Item, NewMove),
)  # fmt: skip
