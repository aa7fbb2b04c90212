"""Rentals: wanted, given back, cancelled, inspected. Nothing goes to a cabinet before presence is proven."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.cabinets import OFFLINE, nearest
from csms.api.call import Call, Route, abroad, connection, idempotency_key, system
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.payers import payer_of, proven
from csms.api.presence import Proof
from csms.api.problems import Problem
from csms.api.rental_answers import Rental, refusal, rental
from csms.api.shapes import Body, ChosenId, Moment, MoneyBody, Page, Paging, Parameter, StationId
from csms.base.errors import NotYet, Refused
from csms.db import SQL, Record
from csms.domain.assets import RentalState
from csms.domain.events import Outcome
from csms.flows import rentals
from csms.flows.admin import CONNECTOR_MAX
from csms.flows.presence import Use, cabinet_to_use
from csms.flows.rentals import wish_id

Connector = Annotated[int, Field(ge=1, le=CONNECTOR_MAX)]
MeansId = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


class NewRental(Body):
    """
    What is wanted at a cabinet: the item of one door, of one type, or any.

    One of `token`, `payment_means` and `driver` (whose balance) pays; a driver who names none pays by the own
    balance. A driver proves presence; staff may act for one without.
    """

    station: StationId
    connector: Connector | None = None
    item_type: ChosenId | None = None
    token: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    payment_means: MeansId | None = None
    driver: ChosenId | None = None
    proof: Proof | None = None
    rest: Literal["keep", "refund"] | None = None


class NewReturn(Body):
    """Where an item is given back: at one door of a cabinet, or any that is free."""

    station: StationId
    connector: Connector | None = None
    proof: Proof | None = None


class NewInspection(Body):
    """What is wrong with an item that came back odd: its price, 0 if it is fine."""

    damage: MoneyBody
    reason: Reason


class RestChoice(Body):
    """What happens to money that was set aside and not spent: it stays in the balance, or goes back."""

    rest: Literal["keep", "refund"]


class RentalQuery(Paging):
    """Which rentals."""

    station: Parameter | None = Field(None, description="taken at this cabinet")
    provider: Parameter | None = Field(None, description="of this provider's items")
    driver: Parameter | None = Field(None, description="of this driver")
    item: Parameter | None = Field(None, description="of this item")
    state: RentalState | None = Field(None, description="in this state")
    since: Moment | None = Field(None, alias="from", description="asked for at this time or later")
    until: Moment | None = Field(None, alias="to", description="asked for before this time")


async def add_rental(call: Call) -> tuple[int, Rental]:
    """
    Rent an item: 201 with the door that opens, 202 while a payment service decides.

    402 when nobody pays, 403 when presence is not proven or the driver is blocked, 409 when there is no such item,
    or the cabinet is not connected; then nothing is held. What was refused leaves its proof free.
    """
    new: NewRental = call.body
    key, now = idempotency_key(call.request), call.parts.clock()
    rental_id = wish_id(call.client.id, key, "rental")
    async with abroad(call.parts) as conn:
        cabinet = await cabinet_to_use(conn, new.station, new.connector)
    payer = await payer_of(call, new)
    proof = await proven(call, key, Use(cabinet, payer.driver_id, rental_id), new.proof)
    wish = rentals.Wish(new.station, new.connector, new.item_type, payer, proof, call.client.id)
    outcome = await rentals.rent(call.parts.submit, rental_id, wish, now)
    async with system(call.parts) as conn:
        row = await SQL.show_rental.one(conn, rental_id)
        if outcome is not None and outcome.status != "accepted":
            await rentals.unused(conn, rental_id, call.client.id, key if row is None else "")
    if outcome is not None and outcome.status != "accepted":
        raise await _why_none(call, new, outcome) or refusal(outcome)
    if row is None:
        raise NotYet("this is not written yet and may still be done; ask again with the same key")
    if new.rest is not None and row["rest"] != new.rest and row["closed_at"] is None:
        await rentals.choose_rest(call.parts.submit, row, new.rest, now)
        async with system(call.parts) as conn:
            row = await rentals.show(conn, rental_id)
    return 202 if row["state"] == "requested" else 201, rental(row)


async def _why_none(call: Call, new: NewRental, outcome: Outcome) -> Problem | None:
    """Whoever asks for a type that nothing there has is told so: waiting for it would be of no use."""
    error = None if outcome.asset is None else outcome.asset.error
    if new.item_type is None or error not in ("NoBatteryAvailable", "UnitEmpty"):
        return None
    async with abroad(call.parts) as conn:
        if await SQL.is_type_at_station.value(conn, new.station, new.item_type):
            return None
    return Problem(409, f"there is nothing of type {new.item_type} at {new.station} now", members={"error": error})


async def list_rentals(call: Call) -> Page[Rental]:
    """Rentals, the newest first."""
    q: RentalQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_rentals.many(
        call.conn, q.limit + 1, *place, q.station, q.provider, q.driver, q.item, q.state, q.since, q.until
    )
    return page(rows, q.limit, rental, place_in_time("requested_at"))


async def show_rental(call: Call) -> Rental:
    """One rental."""
    return rental(await rentals.show(call.conn, UUID(call.path["rental"])))


async def return_rental(call: Call) -> Rental:
    """
    Have a door opened to give an item back.

    A cabinet without a free door gives the driver more time, and is 409, as is one that is not connected: the
    problem names `due_at` and the nearest `cabinets` that have a free door.
    """
    new: NewReturn = call.body
    key, now = idempotency_key(call.request), call.parts.clock()
    before = await _own(call)
    async with abroad(call.parts) as conn:
        cabinet = await cabinet_to_use(conn, new.station, new.connector)
    grant_id = wish_id(call.client.id, key, "return")
    use = Use(cabinet, before["driver_id"] or "", grant_id)
    try:
        proof = await proven(call, key, use, new.proof)
    except Problem as problem:
        if problem.members.get("error") != OFFLINE:
            raise
        more = await _elsewhere(call, new.station, before)
        raise Problem(409, problem.detail, members={**problem.members, **more}) from None
    wanted = rentals.Return(new.station, new.connector, grant_id, proof, call.client.id)
    outcome = await rentals.give_back(call.parts.submit, before["id"], wanted, now)
    if outcome.status == "accepted":
        return rental(await _own(call))
    async with system(call.parts) as conn:
        await rentals.unused(conn, grant_id, call.client.id, key)
    if outcome.asset is not None and outcome.asset.error in ("NoEmptySlot", "UnitOccupied", "UnitFaulted"):
        raise refusal(outcome, **await _elsewhere(call, new.station, before))
    raise refusal(outcome)


async def cancel_rental(call: Call) -> Rental:
    """Give up an item that was not taken yet; 409 once its door has been told to open."""
    await rentals.cancel(call.parts.submit, await _own(call), call.client.id, call.parts.clock())
    return rental(await _own(call))


async def inspect_rental(call: Call) -> Rental:
    """Say what an item that came back odd costs its driver, out of the deposit; then the rental is settled."""
    new: NewInspection = call.body
    damage, rental_id = new.damage.read("/damage"), UUID(call.path["rental"])
    if damage.minor < 0:
        raise Refused("damage is 0 or more", "/damage")
    row = await rentals.show(call.conn, rental_id)
    await rentals.inspect(call.parts.submit, row, damage, call.client.id, new.reason, call.parts.clock())
    return rental(await rentals.show(call.conn, rental_id))


async def put_rental_rest(call: Call) -> Rental:
    """Choose what happens to what a rental leaves over, until it is settled: then 409."""
    choice: RestChoice = call.body
    await rentals.choose_rest(call.parts.submit, await _own(call), choice.rest, call.parts.clock())
    return rental(await _own(call))


async def _own(call: Call) -> Record:
    """The rental in the address, which the client may know of."""
    async with connection(call.parts) as conn:
        return await rentals.show(conn, UUID(call.path["rental"]))


async def _elsewhere(call: Call, station_id: str, before: Record) -> dict[str, object]:
    """Where there is room, the nearest first, and until when there is time now."""
    after = await _own(call)
    async with abroad(call.parts) as conn:
        found = await nearest(
            conn, station_id, before["item_kind"] or "portable", on_map=call.client.driver is not None
        )
    due_at = rental(after).model_dump(mode="json")["due_at"]
    return {"due_at": due_at, "cabinets": [cabinet.model_dump(mode="json") for cabinet in found]}


SEE = ("stations:read", "reports:read", "driver:self")
ACT = ("stations:command", "driver:self")
REFUND = ("refund:create",)
REST = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/rentals", add_rental, ACT, "Rent an item at a cabinet", Rental, NewRental, status=201, or_else=202,
        moves_money=True, connects=False, refuses=(402, 429),
    ),
    Route("GET", "/rentals", list_rentals, SEE, "List rentals", Page[Rental], query=RentalQuery),
    Route("GET", "/rentals/{rental}", show_rental, SEE, "Show a rental", Rental),
    Route(
        "POST", "/rentals/{rental}/return", return_rental, ACT, "Have a door opened to give an item back", Rental,
        NewReturn, moves_money=True, connects=False, refuses=(429,),
    ),
    Route(
        "POST", "/rentals/{rental}/cancel", cancel_rental, ACT, "Give up an item that was not taken yet", Rental,
        connects=False,
    ),
    Route(
        "POST", "/rentals/{rental}/inspection", inspect_rental, REFUND, "Say what an item that came back odd costs",
        Rental, NewInspection, moves_money=True,
    ),
    Route(
        "PUT", "/rentals/{rental}/rest", put_rental_rest, REST, "Keep or refund what a rental leaves over", Rental,
        RestChoice, connects=False,
    ),
)  # fmt: skip
