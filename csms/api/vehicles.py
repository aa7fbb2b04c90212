"""Vehicles of drivers: only one that is proven to be a driver's asks for vouchers and buys them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints

from csms.api.call import Call, Route, connection, system
from csms.api.paging import FIRST_UUID, after_id, page
from csms.api.payers import known
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, Moment, Page, Paging
from csms.db import SQL, Record
from csms.domain.vehicle import HOW, Kind
from csms.flows import vehicles

ClassName = Annotated[str, StringConstraints(min_length=1, max_length=48, strip_whitespace=True)]


class NewVehicle(Body):
    """
    What identifies a vehicle, or an app. Of `value` a hash is kept, and its first and last letters, to tell it by.

    It is proven to be the driver's when staff add it, when an app adds itself (`app`), and when the driver has charged
    with it as token (`EVCCID`, `eMAID`, `MAC`). Ask again once that is so.
    """

    type: Kind
    value: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    vehicle_class: ClassName | None = None


class Vehicle(Answer):
    """A vehicle; `value` is masked. While it is not `proven`, `to_prove` says what proves it."""

    id: str
    driver: str
    type: str
    value: str
    vehicle_class: str | None
    proven: bool
    proof: str | None
    proven_at: Moment | None
    to_prove: str | None
    created_at: Moment


async def add_vehicle(call: Call) -> tuple[int, Vehicle]:
    """Add a vehicle of a driver: 201, or 200 when it is there; 409 when it is proven to be another's."""
    new: NewVehicle = call.body
    by_driver = call.client.driver is not None
    async with connection(call.parts) as conn:
        driver_id = await known(conn, call.path["driver"])
    wish = vehicles.Wish(driver_id, new.type, new.value, new.vehicle_class, by_driver)
    async with system(call.parts) as conn:
        row, is_new = await vehicles.add(conn, wish, call.parts.clock())
    return 201 if is_new else 200, _vehicle(row)


async def list_vehicles(call: Call) -> Page[Vehicle]:
    """A driver's vehicles."""
    query: Paging = call.query
    driver_id = await known(call.conn, call.path["driver"])
    after = FIRST_UUID if query.cursor is None else _uuid(after_id(query.cursor))
    rows = await SQL.list_vehicles.many(call.conn, driver_id, after, query.limit + 1)
    return page(rows, query.limit, _vehicle, lambda row: str(row["id"]))


async def drop_vehicle(call: Call) -> None:
    """Take a vehicle away; what was bought for it stays its driver's."""
    async with connection(call.parts) as conn:
        driver_id = await known(conn, call.path["driver"])
    async with system(call.parts) as conn:
        await vehicles.drop(conn, driver_id, UUID(call.path["vehicle"]))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


def _vehicle(row: Record) -> Vehicle:
    proven = row["proven_at"] is not None
    return Vehicle(
        id=str(row["id"]), driver=row["driver_id"], type=row["kind"], value=row["masked"], proven=proven,
        to_prove=None if proven else HOW[row["kind"]],
        **{name: row[name] for name in ("vehicle_class", "proof", "proven_at", "created_at")},
    )  # fmt: skip


SEE = ("drivers:read", "driver:self")
WRITE = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/drivers/{driver}/vehicles", add_vehicle, WRITE, "Add a vehicle of a driver", Vehicle, NewVehicle,
        status=201, or_else=200, connects=False,
    ),
    Route("GET", "/drivers/{driver}/vehicles", list_vehicles, SEE, "List a driver's vehicles", Page[Vehicle],
        query=Paging,
    ),
    Route(
        "DELETE", "/drivers/{driver}/vehicles/{vehicle}", drop_vehicle, WRITE, "Take a vehicle away", status=204,
        connects=False,
    ),
)  # fmt: skip
