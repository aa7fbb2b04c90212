"""Items that are lent: what they are, where they are, and staff's word on both."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from csms.api.call import Call, Route, connection, system
from csms.api.paging import after_id, page
from csms.api.shapes import Answer, Body, ChosenId, Moment, Page, Paging, Parameter, StationId
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.domain.assets import ItemState, Place
from csms.flows import items
from csms.flows.admin import CONNECTOR_MAX

Label = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]
State = Literal["ok", "broken", "retired"]


class NewItem(Body):
    """An item of a provider; `type` says which items stand in for each other."""

    code: StationId
    kind: Literal["portable", "battery"]
    type: ChosenId
    provider: ChosenId
    label: Label | None = None


class ItemPatch(Body):
    """What is given is changed; a new `state` needs a reason."""

    label: Label | None = None
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

    `rental` is there for those who may see it; `outlet` is what a portable charger was last plugged into.
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


class ItemQuery(Paging):
    """Which items."""

    provider: Parameter | None = Field(None, description="of this provider")
    station: Parameter | None = Field(None, description="in this cabinet")
    place: Place | None = Field(None, description="in such a place")
    state: ItemState | None = Field(None, description="in this state")
    type: Parameter | None = Field(None, description="of this type")


async def add_item(call: Call) -> Item:
    """Add an item; where it is is known once a cabinet reports it, or staff say so."""
    new: NewItem = call.body
    spec = items.ItemSpec(new.code, new.kind, new.type, new.provider, new.label)
    await items.add(call.conn, spec, call.parts.clock())
    return _item(await items.show(call.conn, new.code))


async def list_items(call: Call) -> Page[Item]:
    """Items by code."""
    q: ItemQuery = call.query
    rows = await SQL.list_items.many(
        call.conn, after_id(q.cursor), q.limit + 1, q.provider, q.station, q.place, q.state, q.type
    )
    return page(rows, q.limit, _item, lambda row: str(row["code"]))


async def show_item(call: Call) -> Item:
    """Where an item is. A driver finds items in cabinets on the map, and those that the driver has rented."""
    code = call.path["item"]
    async with connection(call.parts) as conn:
        row = await SQL.show_item.one(conn, code)
    if call.client.driver is not None:
        async with system(call.parts) as conn:
            row = await SQL.item_on_the_map.one(conn, code) or row
    if row is None:
        raise NotFound("there is no such item")
    return _item(row)


async def change_item(call: Call) -> Item:
    """Change what people call an item, or what it is fit for where it is."""
    patch: ItemPatch = call.body
    item = await items.show(call.conn, call.path["item"])
    if patch.state is not None and patch.reason is not None:
        now = call.parts.clock()
        await items.change_state(call.parts.submit, item, patch.state, call.client.id, patch.reason, now)
    if "label" in patch.model_fields_set:  # after the road, which would wait for this row
        await SQL.change_item_label.run(call.conn, item["code"], patch.label)
    return _item(await items.show(call.conn, item["code"]))


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
    return _item(await items.show(call.conn, item["code"]))


def _item(row: Record) -> Item:
    names = ("code", "kind", "type", "label", "state", "place", "latitude", "longitude", "plugged", "created_at")
    rental_id = row["rental_id"]
    return Item(
        provider=row["provider_id"], station=row["station_id"], connector=row["unit"], since=row["at"],
        rental=None if rental_id is None else str(rental_id), driver=row["driver_id"], outlet=row["tag"],
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
