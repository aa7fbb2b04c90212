"""Swaps: packs brought and packs taken in one visit; asked for here, or begun at the station."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route, abroad, idempotency_key, system
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.payers import payer_of, proven
from csms.api.presence import Proof
from csms.api.problems import Problem
from csms.api.rental_answers import REASONS, WORDS
from csms.api.rentals import MeansId
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, Page, Paging, Parameter, StationId, money
from csms.base.errors import Conflict, NotFound, NotYet
from csms.db import SQL, Connection, Record
from csms.domain.events import Outcome
from csms.domain.pack_rows import SwapState
from csms.flows import rentals, swaps
from csms.flows.presence import Use, cabinet_to_use
from csms.flows.rentals import wish_id


class NewSwap(Body):
    """
    How many packs are wanted at a station for as many as are brought.

    One of `token`, `payment_means` and `driver` (whose vouchers and balance pay) is named; a driver who names none pays
    itself. A driver proves presence; staff may act for one without.
    """

    station: StationId
    count: Annotated[int, Field(ge=1, le=swaps.COUNT_MAX)] = 1
    token: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    payment_means: MeansId | None = None
    driver: ChosenId | None = None
    proof: Proof | None = None


class SwappedPack(Answer):
    """A pack that went in or out: its slot, the rental that it ended or began, and what that tells (1/100 %, Wh)."""

    connector: int
    item: str | None
    rental: str | None
    soc_out: int | None
    soh_out: int | None
    soc_in: int | None
    soh_in: int | None
    battery_wh: int | None
    bill: str | None
    fee: Money | None
    flags: list[str]


class Swap(Answer):
    """
    One visit at a battery station, which its station knows by `number`.

    `packs_in` were brought: their rentals are billed before anything is handed out. `packs_out` are or were taken.
    """

    id: str
    state: str
    station: str
    number: int
    provider: str
    driver: str | None
    asked_by: str
    proof: str
    count: int
    opened_at: Moment
    inserted_at: Moment | None
    ended_at: Moment | None
    packs_in: list[SwappedPack]
    packs_out: list[SwappedPack]
    flags: list[str]
    reason: str | None


class SwapQuery(Paging):
    """Which swaps."""

    station: Parameter | None = Field(None, description="at this station")
    driver: Parameter | None = Field(None, description="of this driver")
    state: SwapState | None = Field(None, description="in this state")
    since: Moment | None = Field(None, alias="from", description="begun at this time or later")
    until: Moment | None = Field(None, alias="to", description="begun before this time")


async def add_swap(call: Call) -> tuple[int, Swap]:
    """
    Begin a swap: 201 with the slots to put packs into, 202 while it is not answered yet.

    402 when nobody pays, 403 when presence is not proven or the driver may not, 409 when packs or empty slots are too
    few or the station is not connected: then no slot opens. What was refused leaves its proof free.
    """
    new: NewSwap = call.body
    key, now = idempotency_key(call.request), call.parts.clock()
    swap_id = wish_id(call.client.id, key, "swap")
    async with abroad(call.parts) as conn:
        if await SQL.station_to_swap_at.one(conn, new.station) is None:
            raise NotFound(f"there is no battery station {new.station}")
        cabinet = await cabinet_to_use(conn, new.station)
    payer = await payer_of(call, new)
    proof = await proven(call, key, Use(cabinet, payer.driver_id, swap_id), new.proof)
    wish = swaps.Wish(new.station, new.count, payer, proof, call.client.id)
    async with system(call.parts) as conn:
        token = await swaps.prepare(conn, swap_id, wish, now)
    outcome = await swaps.begin(call.parts.submit, swap_id, wish, token, now)
    async with system(call.parts) as conn:
        row = await SQL.show_swap.one(conn, swap_id)
        found = [] if row is None else await _swaps(conn, [row])
        if outcome is not None and _error(outcome) is not None:
            await rentals.unused(conn, swap_id, call.client.id, key if row is None else "")
    if outcome is not None and _error(outcome) is not None:
        raise refusal(outcome)
    if not found:
        raise NotYet("this is not written yet and may still be done; ask again with the same key")
    return 202 if outcome is None else 201, found[0]


async def list_swaps(call: Call) -> Page[Swap]:
    """Swaps, the newest first."""
    q: SwapQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_swaps.many(call.conn, q.limit + 1, *place, q.station, q.driver, q.state, q.since, q.until)
    shown = page(rows, q.limit, lambda row: row, place_in_time("opened_at"))
    return Page(items=await _swaps(call.conn, shown.items), next_cursor=shown.next_cursor)


async def show_swap(call: Call) -> Swap:
    """One swap."""
    [told] = await _swaps(call.conn, [await swaps.show(call.conn, UUID(call.path["swap"]))])
    return told


async def _swaps(conn: Connection, rows: Sequence[Record]) -> list[Swap]:
    known = await swaps.rentals_of(conn, list(rows))
    return [_swap(row, known) for row in rows]


def _swap(row: Record, known: Mapping[UUID, Record]) -> Swap:
    names = ("state", "proof", "asked_by", "opened_at", "inserted_at", "ended_at", "flags", "reason")
    return Swap(
        id=str(row["id"]), station=row["station_id"], number=row["rid"], provider=row["provider_id"],
        driver=row["driver_id"], count=row["wanted"], packs_in=_packs(row, "in", known),
        packs_out=_packs(row, "out", known), **{name: row[name] for name in names},
    )  # fmt: skip


def _packs(row: Record, way: str, known: Mapping[UUID, Record]) -> list[SwappedPack]:
    """The packs of one way; of slots that are only kept, nothing but their numbers."""
    units, codes, ids = (row[f"{what}_{way}"] for what in ("units", "packs", "rentals"))
    return [
        _pack(unit, codes[place] if place < len(codes) else "", ids[place] if place < len(ids) else None, known)
        for place, unit in enumerate(units)
    ]


def _pack(unit: int, code: str, rental_id: UUID | None, known: Mapping[UUID, Record]) -> SwappedPack:
    rental = None if rental_id is None else known.get(rental_id)
    names = ("soc_out", "soh_out", "soc_in", "soh_in", "battery_wh")
    bill = None if rental is None or rental["bill_id"] is None else rental
    return SwappedPack(
        connector=unit, item=code or None, rental=None if rental_id is None else str(rental_id),
        bill=None if bill is None else str(bill["bill_id"]),
        fee=None if bill is None else money(bill["total_minor"], bill["currency"]),
        flags=[] if rental is None else rental["flags"],
        **{name: None if rental is None else rental[name] for name in names},
    )  # fmt: skip


STATUSES = {"NoCredit": 402, "NotAuthorized": 403, "UnknownUnit": 404}
SWAP_WORDS = {
    **WORDS,
    "NoEmptySlot": "this station has no slot to put a pack into",
    "NotAuthorized": "this driver may not swap packs here",
    "NoCustody": "this driver has too few packs to bring",
    "Busy": "another swap is under way at this station",
}


def refusal(outcome: Outcome) -> Exception:
    """What was refused, as a problem with the protocol's word: 402 nobody pays, 403 the driver may not, else 409."""
    error = _error(outcome)
    if error is None or outcome.asset is None:
        return Conflict(outcome.reason or "this could not be done; it is on the list of parked reports")
    detail = REASONS.get(outcome.reason or "") or SWAP_WORDS.get(error, error)
    return Problem(STATUSES.get(error, 409), detail, members={"error": error})


def _error(outcome: Outcome) -> str | None:
    """The protocol's word for a refusal, "" where there is none for it; None where it was done."""
    if outcome.asset is not None and outcome.asset.error is not None:
        return outcome.asset.error
    return None if outcome.status == "accepted" else ""


SEE = ("stations:read", "reports:read", "driver:self")
ACT = ("stations:command", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/swaps", add_swap, ACT, "Begin a swap at a battery station", Swap, NewSwap, status=201, or_else=202,
        moves_money=True, connects=False, refuses=(402, 429),
    ),
    Route("GET", "/swaps", list_swaps, SEE, "List swaps", Page[Swap], query=SwapQuery),
    Route("GET", "/swaps/{swap}", show_swap, SEE, "Show a swap", Swap),
)  # fmt: skip
