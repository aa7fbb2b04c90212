"""Reservations: packs that a driver wants kept at a battery station, again and again."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from csms.api.call import Call, Route, abroad, connection, system
from csms.api.paging import FIRST_UUID, after_id, page
from csms.api.payers import known
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId, Moment, Page, Paging, Parameter, StationId
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Record
from csms.flows import reservations
from csms.flows.erase import ME
from csms.flows.reservations import Day
from csms.flows.swaps import COUNT_MAX

TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


def _date(value: object) -> object:
    """JSON has no days: text such as 2026-11-20."""
    return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else value


CalendarDay = Annotated[date, BeforeValidator(_date)]


class NewReservation(Body):
    """
    Packs to be kept: `count` of a type, or of any, on these days from `begins` for so many minutes.

    Times are those of the station's site, or UTC. `from` and `until` are the first and the last day.
    """

    station: StationId
    driver: ChosenId | None = None
    item_type: ChosenId | None = None
    count: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    days: Annotated[list[Day], Field(min_length=1, max_length=7)]
    begins: TimeOfDay
    minutes: Annotated[int, Field(ge=1, le=1_440)]
    since: CalendarDay = Field(alias="from")
    until: CalendarDay | None = None


class Reservation(Answer):
    """Packs that are kept for a driver; `used_on` is the last day for which the driver came."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    id: str
    station: str
    driver: str
    item_type: str | None
    count: int
    days: list[str]
    begins: str
    minutes: int
    time_zone: str
    since: date = Field(serialization_alias="from")
    until: date | None
    used_on: date | None
    state: str
    created_at: Moment


class ReservationQuery(Paging):
    """Which reservations."""

    station: Parameter | None = Field(None, description="at this station")
    driver: Parameter | None = Field(None, description="of this driver")
    state: Literal["active", "cancelled"] | None = Field(None, description="in this state")


async def add_reservation(call: Call) -> Reservation:
    """Have packs kept for a driver; drivers for themselves. At those hours others are not given the last ones."""
    new: NewReservation = call.body
    async with abroad(call.parts) as conn:
        if await SQL.station_to_swap_at.one(conn, new.station) is None:
            raise NotFound(f"there is no battery station {new.station}")
    driver_id = call.client.driver if new.driver in (None, ME) else new.driver
    if driver_id is None:
        raise Refused("name the driver", "/driver")
    if call.client.driver not in (None, driver_id):
        raise NotFound("there is no such driver")
    async with connection(call.parts) as conn:
        await known(conn, driver_id)
    wish = reservations.Wish(
        new.station, driver_id, new.item_type, new.count, new.days, reservations.minutes_of(new.begins), new.minutes,
        new.since, new.until,
    )  # fmt: skip
    async with system(call.parts) as conn:
        return _reservation(await reservations.add(conn, wish, call.parts.clock()))


async def list_reservations(call: Call) -> Page[Reservation]:
    """Reservations in the order in which they were made."""
    q: ReservationQuery = call.query
    after = after_id(q.cursor)
    try:
        id_ = UUID(after) if after else FIRST_UUID
    except ValueError:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None
    rows = await SQL.list_reservations.many(call.conn, id_, q.limit + 1, q.station, q.driver, q.state)
    return page(rows, q.limit, _reservation, lambda row: str(row["id"]))


async def show_reservation(call: Call) -> Reservation:
    """One reservation."""
    return _reservation(await reservations.show(call.conn, UUID(call.path["reservation"])))


async def cancel_reservation(call: Call) -> None:
    """Have packs kept no more."""
    id_ = UUID(call.path["reservation"])
    async with connection(call.parts) as conn:
        await reservations.show(conn, id_)
    async with system(call.parts) as conn:
        await SQL.cancel_reservation.run(conn, id_)


def _reservation(row: Record) -> Reservation:
    names = ("item_type", "minutes", "time_zone", "used_on", "state", "created_at")
    return Reservation(
        id=str(row["id"]), station=row["station_id"], driver=row["driver_id"], count=row["wanted"],
        days=list(reservations.days_of(row["days"])), begins=reservations.text_of(row["begins"]),
        since=row["from_date"], until=row["until_date"], **{name: row[name] for name in names},
    )  # fmt: skip


SEE = ("stations:read", "driver:self")
ACT = ("stations:command", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/reservations", add_reservation, ACT, "Have packs kept for a driver", Reservation, NewReservation,
        status=201, connects=False,
    ),
    Route(
        "GET", "/reservations", list_reservations, SEE, "List reservations", Page[Reservation], query=ReservationQuery,
    ),
    Route("GET", "/reservations/{reservation}", show_reservation, SEE, "Show a reservation", Reservation),
    Route(
        "DELETE", "/reservations/{reservation}", cancel_reservation, ACT, "Have packs kept no more", status=204,
        connects=False,
    ),
)  # fmt: skip
