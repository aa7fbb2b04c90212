"""Rentals as drivers and staff ask for them: each wish is an event of the road, and a repeat of it the same event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from csms.base.errors import Conflict, NotFound, NotYet
from csms.base.money import Money
from csms.db import SQL, Connection, Record
from csms.domain import token as tokens
from csms.domain.asset_events import RentalCancelled, RentalInspected, RentAsked, ReturnAsked
from csms.domain.assets import OVER
from csms.domain.events import Outcome, RestChosen
from csms.domain.rental import ref_of
from csms.flows.through import Submit, through

WISHES = UUID("5f6a0c1e-2a55-5c8e-9b1d-8f4b6c7d3e21")
"""Namespace of the ids of rentals and grants: made of the client and its Idempotency-Key."""

PSP_S_MAX = 3.0
"""How long whoever rents waits for a psp; the rental goes on by itself then."""

CHARGING: frozenset[str] = frozenset({"active", "overdue"})


@dataclass(frozen=True, slots=True)
class Payer:
    """The token that pays, and how it stands: `reason` says why it pays nothing. `driver_id` "" is not known yet."""

    key: bytes
    masked: str
    driver_id: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """A rental that is wanted at a cabinet: at one door, of one type of item, or any."""

    station_id: str
    unit: int | None
    item_type: str | None
    payer: Payer
    proof: str
    by: str


def wish_id(client_id: str, key: str, what: str) -> UUID:
    """The id of `what` a client wants under its key; the low byte is free for what is derived from it."""
    return UUID(int=uuid5(WISHES, f"{client_id}\n{key}\n{what}").int & ~0xFF)


async def payer_by_token(conn: Connection, text: str, now: datetime) -> Payer:
    """By a token that the client may know of."""
    canonical = tokens.canonical(text)
    row = await SQL.token_to_start_with.one(conn, tokens.key(canonical))
    if row is None:
        return Payer(b"", "", "", "this token is unknown")
    return _payer(row, tokens.masked(canonical), now)


async def payer_by_means(conn: Connection, means_id: UUID, now: datetime) -> Payer:
    """By a stored means that the client may know of."""
    row = await SQL.means_to_rent_with.one(conn, means_id)
    return Payer(b"", "", "", "there are no such means") if row is None else _payer(row, row["psp"], now)


async def payer_by_balance(conn: Connection, driver_id: str, now: datetime) -> Payer:
    """By a driver's balance, whichever tokens the driver has. Canonical text has no line break, so no token is this."""
    row = await SQL.show_driver.one(conn, driver_id)
    if row is None:
        raise NotFound(f"there is no driver {driver_id}")
    key = tokens.key(f"balance\n{driver_id}")
    if row["status"] == "blocked":
        return Payer(key, "app", driver_id, "blocked")
    await SQL.add_wallet.run(conn, key, driver_id, now)
    return Payer(key, "app", driver_id, None)


def _payer(row: Record, masked: str, now: datetime) -> Payer:
    standing: str | None = tokens.decide(row["status"], row["expires_at"], now)
    if row["driver_status"] == "blocked":
        standing = "blocked"
    reason = None if standing == "accepted" else standing
    return Payer(bytes(row["key"]), masked, row["driver_id"] or "", reason)


async def rent(submit: Submit, rental_id: UUID, wish: Wish, now: datetime) -> Outcome | None:
    """What a wish came to; None while a psp decides, or nothing is written yet."""
    event = RentAsked(
        station_id=wish.station_id,
        received_at=now,
        rental_id=rental_id,
        grant_id=_of(rental_id, "grant"),
        authorization_id=_of(rental_id, "authorization"),
        token_key=wish.payer.key,
        token_masked=wish.payer.masked,
        unit=wish.unit,
        item_type=wish.item_type,
        proof=wish.proof,
        by=wish.by,
    )
    try:
        return await through(submit, event, PSP_S_MAX)
    except NotYet:
        return None


@dataclass(frozen=True, slots=True)
class Return:
    """A return that is wanted at a cabinet."""

    station_id: str
    unit: int | None
    grant_id: UUID
    proof: str
    by: str


async def give_back(submit: Submit, rental_id: UUID, wanted: Return, now: datetime) -> Outcome:
    """What a wish to return came to."""
    return await through(
        submit,
        ReturnAsked(wanted.station_id, now, rental_id, wanted.grant_id, wanted.unit, wanted.proof, wanted.by),
    )


async def cancel(submit: Submit, row: Record, by: str, now: datetime) -> None:
    """Give up what was not taken yet; Conflict when its door has been told to open, or it is over."""
    outcome = await through(submit, RentalCancelled(row["station_id"], now, row["id"], by))
    _done(outcome)


async def inspect(submit: Submit, row: Record, damage: Money, by: str, reason: str, now: datetime) -> None:
    """Say what an item that came back odd cost; Conflict when nothing is to be inspected, or the deposit is less."""
    if damage.currency != row["currency"]:
        raise Conflict(f"the rental is in {row['currency']}")
    _done(await through(submit, RentalInspected(row["station_id"], now, row["id"], damage.minor, by, reason)))


async def choose_rest(submit: Submit, row: Record, rest: Literal["keep", "refund"], now: datetime) -> None:
    """Keep or refund what a rental leaves over, until it is settled: then Conflict."""
    if row["state"] in OVER and row["rest"] != rest:
        raise Conflict("the rental is settled: what was not spent has gone its way")
    _done(await through(submit, RestChosen(row["station_id"], ref_of(row["id"]), now, rest)))


async def show(conn: Connection, rental_id: UUID) -> Record:
    """A rental that the client may know of."""
    row = await SQL.show_rental.one(conn, rental_id)
    if row is None:
        raise NotFound("there is no such rental")
    return row


async def unused(conn: Connection, request_id: UUID, client_id: str, key: str) -> None:
    """Nothing came of a request: its proof and its key may be used again."""
    await SQL.give_proof_back.run(conn, request_id, client_id, key)


def _of(rental_id: UUID, what: str) -> UUID:
    return UUID(int=uuid5(rental_id, what).int & ~0xFF)


def _done(outcome: Outcome) -> None:
    """Conflict unless it was done; what broke a rule of ours is set aside as a report, and nothing of it is done."""
    if outcome.status == "refused":
        raise Conflict(outcome.reason or "refused")
    if outcome.status != "accepted":
        raise Conflict("this could not be done; it is on the list of parked reports")
