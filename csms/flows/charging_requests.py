"""Rented items told to charge: payment first, then the request; one command, however often it is asked."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.errors import Conflict, CsmsError, NotFound
from csms.base.ids import short_hex
from csms.db import SQL, Connection, Record
from csms.domain import token as tokens
from csms.domain.commands import StartSession
from csms.flows import remote
from csms.flows.rentals import CHARGING

CONNECTOR = 1
"""A portable charger has one."""

SENDING = timedelta(seconds=60)
"""A request whose command was never written belongs to a process that died, once it is so old."""


class NotReady(CsmsError):
    """The item cannot charge now; `error` says in one word what is missing."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


@dataclass(frozen=True, slots=True)
class Prepared:
    """The command of a charging request; `start` is None where it is under way already."""

    command_id: UUID
    item: str
    start: StartSession | None


async def prepare(conn: Connection, rental_id: UUID, command_id: UUID, now: datetime) -> Prepared:
    """
    The command that has a rented item charge: `command_id` if it is to be sent now, else the one that is under way.

    NotReady unless the rental is open and paid for, and its item plugged into an outlet that is known.
    """
    async with conn.transaction():
        await SQL.lock_charging.run(conn, str(rental_id))
        row = await SQL.rental_to_charge.one(conn, rental_id, now)
        if row is None:
            raise NotFound("there is no such rental")
        _check(row)
        if _under_way(row, now):
            return Prepared(row["command_id"], row["item"], None)
        alias = short_hex(secrets.randbits(64))
        token_key = tokens.key(tokens.canonical(alias))
        start = await remote.stand_in(conn, remote.StandIn(alias, row["token_key"], row["item"], CONNECTOR), now)
        number = (row["number"] or 0) + 1
        await SQL.add_charging_request.run(conn, rental_id, number, command_id, token_key, row["item"], now)
    return Prepared(command_id, row["item"], start)


async def await_command(conn: Connection, command_id: UUID, wait_s_max: float = 2.0) -> Record:
    """The command of another request, which may just be about to be written; Conflict when it never comes."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_s_max
    while True:
        row = await SQL.show_command.one(conn, command_id)
        if row is not None:
            return row
        if loop.time() > ends:
            raise Conflict("the first request has not sent its command (yet)")
        await asyncio.sleep(0.02)


def _check(row: Record) -> None:
    """In the order in which they are mended: rented, paid, plugged in, into an outlet of ours."""
    if row["state"] == "requested":
        raise NotReady("not_paid", "the payment is not decided yet: payment comes first, then the request to charge")
    if row["state"] not in CHARGING:
        raise NotReady("not_rented", f"the rental is {row['state']}: only an item in its driver's hands charges")
    funded = row["session_state"] == "active" and (row["hold_minor"] > 0 or row["means"] == "psp")
    if not funded or row["token_key"] is None:
        raise NotReady("not_paid", "nothing is set aside for this rental: payment comes first, then the request")
    if not row["is_station"]:
        raise NotReady("no_charger", f"{row['item']} is no portable charger that connects here")
    if not row["plugged"]:
        raise NotReady("not_plugged", f"{row['item']} is not plugged in: plug it into an outlet first")
    if not row["is_known_outlet"]:
        raise NotReady("unknown_outlet", f"the outlet that {row['item']} is plugged into is not known here")


def _under_way(row: Record, now: datetime) -> bool:
    """Whether the newest command may still make the item charge, or has: then no other is sent."""
    if row["number"] is None:
        return False
    match row["command_state"]:
        case None:
            return bool(now - row["asked_at"] < SENDING)
        case "queued" | "sent":
            return True
        case "answered" if row["is_taken"]:
            return bool(row["may_still_start"] if row["charge_id"] is None else row["is_charging"])
        case _:
            return False
