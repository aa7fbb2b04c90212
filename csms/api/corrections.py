"""Held bills reviewed, settled ones corrected, money given back."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.session_answers import Bill, Session, bill, session
from csms.api.shapes import Answer, Body, Moment, Money, MoneyBody, Page, Paging, Parameter, money
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.flows import correct
from csms.flows.correct import ENERGY_WH_MAX, SECONDS_MAX, By

EnergyWh = Annotated[int, Field(ge=0, le=ENERGY_WH_MAX)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


class Review(Body):
    """What is decided on a session whose bill is held."""

    action: Literal["release", "correct", "waive"] = Field(
        description="`release` bills what the registers say, `correct` bills energy_wh, `waive` charges nothing"
    )
    energy_wh: EnergyWh | None = None
    reason: Reason


class NewCorrection(Body):
    """What a session really was: what is not named stays as it was billed."""

    energy_wh: EnergyWh | None = None
    seconds: Annotated[int, Field(ge=0, le=SECONDS_MAX)] | None = None
    reason: Reason


class NewRefund(Body):
    """How much of a bill goes back, and why."""

    amount: MoneyBody
    reason: Reason


class Refund(Answer):
    """Money on its way back to a driver: `pending` until the psp confirms it, `failed` when it came back to us."""

    id: str
    driver: str
    session: str | None
    bill: str | None
    psp: str
    amount: Money
    state: str
    reason: str
    psp_ref: str | None
    requested_by: str | None
    asked_at: Moment
    ended_at: Moment | None


class RefundQuery(Paging):
    """Which refunds."""

    driver: Parameter | None = Field(None, description="of this driver")
    state: Literal["pending", "paid", "failed"] | None = Field(None, description="in this state")


async def review(call: Call) -> Session:
    """Decide on a held bill."""
    body: Review = call.body
    session_id = UUID(call.path["session"])
    await correct.review(call.conn, call.parts.submit, session_id, body.action, body.energy_wh, _by(call, body.reason))
    return session(await SQL.show_session.one(call.conn, session_id))


async def add_correction(call: Call) -> Bill:
    """Take a session's bills back and bill it anew; answers the new bill."""
    body: NewCorrection = call.body
    by = _by(call, body.reason)
    session_id = await correct.correct(
        call.conn, call.parts.submit, UUID(call.path["bill"]), body.energy_wh, body.seconds, by
    )
    return bill(await SQL.show_session_bill.one(call.conn, session_id))


async def add_refund(call: Call) -> Bill:
    """Give part of a bill back; answers the credit."""
    body: NewRefund = call.body
    by, key = _by(call, body.reason), call.request.headers["Idempotency-Key"]
    amount = body.amount.read("/amount")
    credit_id = await correct.refund(call.conn, call.parts.submit, UUID(call.path["bill"]), amount, key, by)
    return bill(await SQL.show_bill.one(call.conn, credit_id))


async def list_session_bills(call: Call) -> Page[Bill]:
    """All bills of a session, credits included."""
    session_id = UUID(call.path["session"])
    if await SQL.show_session.one(call.conn, session_id) is None:
        raise NotFound("there is no such session")
    rows = await SQL.list_session_bills.many(call.conn, session_id)
    return Page[Bill](items=[bill(row) for row in rows], next_cursor=None)


async def list_refunds(call: Call) -> Page[Refund]:
    """Refunds, the newest first."""
    q: RefundQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_refunds.many(call.conn, q.limit + 1, *place, q.driver, q.state)
    return page(rows, q.limit, _refund, place_in_time("asked_at"))


async def show_refund(call: Call) -> Refund:
    """One refund."""
    row = await SQL.show_refund.one(call.conn, UUID(call.path["refund"]))
    if row is None:
        raise NotFound("there is no such refund")
    return _refund(row)


def _refund(row: Record) -> Refund:
    return Refund(
        id=str(row["id"]), driver=row["driver_id"], session=_text(row["session_id"]), bill=_text(row["bill_id"]),
        psp=row["psp"], amount=money(row["amount_minor"], row["currency"]), state=row["state"], reason=row["reason"],
        psp_ref=row["psp_ref"], requested_by=row["requested_by"], asked_at=row["asked_at"], ended_at=row["ended_at"],
    )  # fmt: skip


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)


def _by(call: Call, reason: str) -> By:
    return By(call.client.id, call.parts.clock(), reason)


REFUND = ("refund:create",)
SEE = ("reports:read", "settlement:read")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/sessions/{session}/review", review, REFUND, "Release, correct or waive a bill that is held",
        Session, Review, moves_money=True,
    ),
    Route(
        "GET", "/sessions/{session}/bills", list_session_bills, SEE, "List all bills of a session, credits included",
        Page[Bill],
    ),
    Route(
        "POST", "/bills/{bill}/corrections", add_correction, REFUND, "Take a session's bills back and bill it anew",
        Bill, NewCorrection, status=201, moves_money=True,
    ),
    Route(
        "POST", "/bills/{bill}/refunds", add_refund, REFUND, "Give part of a bill back to its driver",
        Bill, NewRefund, status=201, moves_money=True,
    ),
    Route("GET", "/refunds", list_refunds, SEE, "List refunds", Page[Refund], query=RefundQuery),
    Route("GET", "/refunds/{refund}", show_refund, SEE, "Show a refund", Refund),
)  # fmt: skip
