"""Drivers' means of payment: stored at a psp, named here. No number of a card is ever taken."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import uuid7
from csms.db import SQL, Connection

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Means:
    """A means at `psp`, of whom `issuer` calls `subject`; `label` is for its driver."""

    psp: str
    issuer: str
    subject: str
    label: str


async def issuer_of_own(conn: Connection, driver_id: str, subject: str, issuer: str | None) -> str | None:
    """The issuer that calls this driver so, None if none does: only then it is the driver's own name."""
    rows = await SQL.identities_named.many(conn, driver_id, subject, issuer)
    if len(rows) > 1:
        raise Refused("several issuers call you so; say which", "/issuer")
    return rows[0]["issuer"] if rows else None


async def add(conn: Connection, driver_id: str, means: Means, now: datetime) -> tuple[UUID, bool]:
    """
    Add a means for a driver and answer its id, and whether it is new; one that is there gets the new label.

    Conflict when the person at the psp is another driver of ours.
    """
    owner = await SQL.identity_of.value(conn, means.issuer, means.subject)
    if owner not in (None, driver_id):
        raise Conflict("these are the means of another driver")
    known: UUID | None = await SQL.find_means.value(conn, driver_id, means.psp, means.issuer, means.subject)
    if known is not None:
        await SQL.change_means_label.run(conn, known, means.label)
        return known, False
    id_ = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    # no text has this key: nobody can hold the token to a lock
    key = secrets.token_bytes(KEY_BYTES)
    await SQL.add_means.run(conn, id_, key, driver_id, means.psp, means.issuer, means.subject, means.label, now)
    return id_, True


async def drop(conn: Connection, driver_id: str, means_id: UUID) -> None:
    """Take a means away: nothing new is paid by it. What it has paid for goes on, and so does what is on its way."""
    if await SQL.show_means.one(conn, means_id, driver_id) is None:
        raise NotFound("there are no such means")
    await SQL.drop_means.run(conn, means_id)
