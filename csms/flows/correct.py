"""Held bills reviewed, settled ones corrected, money given back: asked by people, decided on the road."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.money import Money
from csms.db import SQL, Connection, Record
from csms.domain.events import BillCorrected, BillRefunded, Outcome, ReviewDecided
from csms.flows.through import Submit, through

REFUNDS = UUID("0b9c8e0a-3f0e-5f0c-8a53-5a3b1f6c2d11")
"""Namespace of refund ids: made of the client and its Idempotency-Key, so that a repeat is the same refund."""

ENERGY_WH_MAX = 10_000_000
SECONDS_MAX = 366 * 86_400


@dataclass(frozen=True, slots=True)
class By:
    """Who decides, when, and why; `reason` is kept with the bill."""

    client_id: str
    at: datetime
    reason: str


async def review(
    conn: Connection,
    submit: Submit,
    session_id: UUID,
    action: Literal["release", "correct", "waive"],
    energy_wh: int | None,
    by: By,
) -> None:
    """
    Decide on a session held for review.

    Refused when `correct` names no energy or `release` names one; Conflict when it is not held, or its
    registers tell no energy that could be released.
    """
    if (action == "correct" and energy_wh is None) or (action == "release" and energy_wh is not None):
        raise Refused("`correct` needs energy_wh, `release` takes none", "/energy_wh")
    row = await _session(conn, session_id)
    event = ReviewDecided(row["station_id"], row["ref"], by.at, action, energy_wh, by.reason, by.client_id)
    _accepted(await through(submit, event))


async def correct(
    conn: Connection, submit: Submit, bill_id: UUID, energy_wh: int | None, seconds: int | None, by: By
) -> UUID:
    """
    Take back all bills of a bill's session and bill it anew; answers the session.

    Refused when nothing is corrected; Conflict when another bill was made since `bill_id`.
    """
    if energy_wh is None and seconds is None:
        raise Refused("name energy_wh, seconds or both", "/energy_wh")
    bill = await _bill(conn, bill_id)
    event = BillCorrected(
        bill["station_id"], bill["ref"], by.at, bill["revision"], energy_wh, seconds, by.reason, by.client_id
    )
    _accepted(await through(submit, event))
    session_id: UUID = bill["session_id"]
    return session_id


async def refund(conn: Connection, submit: Submit, bill_id: UUID, money: Money, key: str, by: By) -> UUID:
    """
    Give part of a bill back to its driver; answers the credit that says so.

    Refused when the amount is not above 0 or of another currency; Conflict when it is more than what
    is left of the bill. `key` is the client's Idempotency-Key.
    """
    if money.minor <= 0:
        raise Refused("a refund is above 0", "/amount")
    bill = await _bill(conn, bill_id)
    if money.currency != bill["currency"]:
        raise Refused(f"the bill is in {bill['currency']}", "/amount/currency")
    credit_id = uuid5(REFUNDS, f"{by.client_id}\n{key}\n{bill_id}")
    event = BillRefunded(bill["station_id"], bill["ref"], by.at, credit_id, money.minor, by.reason, by.client_id)
    _accepted(await through(submit, event))
    return credit_id


async def _session(conn: Connection, session_id: UUID) -> Record:
    row = await SQL.show_session.one(conn, session_id)
    if row is None:
        raise NotFound("there is no such session")
    return row


async def _bill(conn: Connection, bill_id: UUID) -> Record:
    row = await SQL.bill_to_correct.one(conn, bill_id)
    if row is None:
        raise NotFound("there is no such bill")
    return row


def _accepted(outcome: Outcome) -> None:
    """Conflict unless it was done: what broke a rule of ours is set aside as a report, and nothing of it is done."""
    if outcome.status == "refused":
        raise Conflict(outcome.reason or "refused")
    if outcome.status != "accepted":
        raise Conflict("this could not be done; it is on the list of parked reports")
