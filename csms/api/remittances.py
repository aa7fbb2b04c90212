"""Remittances to providers, what psps say of our money, and chargebacks."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time, unseal
from csms.api.problems import Problem
from csms.api.settlements import APPROVE, RUN, SEE, Day
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, Page, Paging, Parameter, money
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.flows import remittances, settlements

LAST_PLACE = "\U0010ffff"
"""After every place of a statement line."""


class Attempt(Answer):
    """A try to have a remittance paid; `psp` is `bank` where staff paid by hand."""

    attempt: int
    psp: str
    account: str | None
    state: str
    psp_ref: str | None
    reason: str | None
    submitted_at: Moment
    ended_at: Moment | None


class Remittance(Answer):
    """What an approved statement pays in one currency."""

    id: str
    settlement: str
    provider: str
    amount: Money
    state: str
    psp: str | None
    account: str | None
    bank_ref: str | None
    paid_by: str | None
    approved_by: str
    created_at: Moment
    ended_at: Moment | None
    attempts: list[Attempt]


class RemittanceQuery(Paging):
    """Which remittances."""

    provider: Parameter | None = Field(None, description="of this provider")
    state: Literal["open", "submitted", "paid", "failed", "returned"] | None = Field(None, description="in this state")
    settlement: UUID | None = Field(None, description="of this statement")


class PaidByHand(Body):
    """A payment that staff made, by the bank's name for it."""

    bank_ref: Annotated[str, StringConstraints(min_length=1, max_length=140, strip_whitespace=True)]


class Returned(Body):
    """Why the bank sent it back."""

    reason: Annotated[str, StringConstraints(min_length=3, max_length=500, strip_whitespace=True)]


class Reconciliations(Body):
    """The days `from` to `to` (both, in UTC) whose statements of a psp are to be read."""

    psp: ChosenId
    first: Day = Field(alias="from")
    last: Day = Field(alias="to")
    again: bool = Field(False, description="also days that were read")


class Reading(Answer):
    """Days that will be read, or were."""

    psp: str
    days: int


class Line(Answer):
    """One movement of our money at a psp, as it says (theirs) and as we have it (ours)."""

    psp: str
    kind: str
    psp_ref: str
    inward: bool
    order: str | None
    day: str
    at: Moment
    verdict: str
    theirs: Money | None
    fee: Money
    ours: Money | None
    object: str | None


class LineQuery(Paging):
    """Which lines."""

    psp: Parameter | None = Field(None, description="of this psp")
    verdict: Literal["matched", "missing_here", "missing_there", "amount_differs"] | None = Field(
        None, description="with this verdict"
    )
    since: Moment | None = Field(None, alias="from", description="moved at this time or later")
    until: Moment | None = Field(None, alias="to", description="moved before this time")


class Chargeback(Answer):
    """A payment that a driver's bank took back, and what of it the driver bears."""

    id: str
    psp: str
    psp_ref: str
    payment_ref: str
    driver: str | None
    session: str | None
    amount: Money
    from_balance: Money
    to_debt: Money
    state: str
    opened_at: Moment
    ended_at: Moment | None


class ChargebackQuery(Paging):
    """Which chargebacks."""

    state: Literal["opened", "won", "lost"] | None = Field(None, description="in this state")
    driver: Parameter | None = Field(None, description="of this driver's payments")


async def list_remittances(call: Call) -> Page[Remittance]:
    """Remittances, the newest first."""
    q: RemittanceQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_remittances.many(call.conn, q.limit + 1, *place, q.provider, q.state, q.settlement)
    tries = await SQL.attempts_of_remittances.many(call.conn, [row["id"] for row in rows])
    return page(rows, q.limit, lambda row: _remittance(row, tries), place_in_time("created_at"))


async def show_remittance(call: Call) -> Remittance:
    """One remittance."""
    id_ = UUID(call.path["remittance"])
    row = await SQL.show_remittance.one(call.conn, id_)
    if row is None:
        raise NotFound("there is no such remittance")
    return _remittance(row, await SQL.attempts_of_remittances.many(call.conn, [id_]))


async def mark_remittance_paid(call: Call) -> Remittance:
    """Staff paid it by hand."""
    body: PaidByHand = call.body
    id_ = UUID(call.path["remittance"])
    await remittances.mark_paid(call.conn, id_, body.bank_ref, call.client.id, call.parts.clock())
    return await show_remittance(call)


async def mark_remittance_returned(call: Call) -> Remittance:
    """The bank sent back what staff had paid."""
    body: Returned = call.body
    await remittances.mark_returned(call.conn, UUID(call.path["remittance"]), body.reason, call.parts.clock())
    return await show_remittance(call)


async def retry_remittance(call: Call) -> Remittance:
    """Have it paid by the provider's psp, again or at last."""
    await remittances.retry(call.conn, UUID(call.path["remittance"]), call.parts.clock())
    return await show_remittance(call)


async def read_statements(call: Call) -> Reading:
    """Have a psp's statements read; days that were read stay as they are unless they are to be read again."""
    body: Reconciliations = call.body
    await settlements.ask_reconciliations(call.conn, body.psp, body.first, body.last, body.again)
    return Reading(psp=body.psp, days=(body.last - body.first).days + 1)


async def list_statement_lines(call: Call) -> Page[Line]:
    """Lines of psps' statements, the newest first."""
    q: LineQuery = call.query
    place = _line_place(q.cursor)
    rows = await SQL.list_statement_lines.many(call.conn, q.limit + 1, *place, q.psp, q.verdict, q.since, q.until)
    return page(rows, q.limit, _line, lambda row: json.dumps([row["at"].isoformat(), row["place"]]))


def _line_place(cursor: str | None) -> tuple[datetime, str]:
    """The (time, place) that the list goes on below."""
    if cursor is None:
        return LAST_TIME, LAST_PLACE
    try:
        at, place = json.loads(unseal(cursor))
        moment = datetime.fromisoformat(at)
        if not isinstance(place, str) or "\x00" in place or moment.tzinfo is None:
            raise ValueError
        return moment, place
    except (ValueError, TypeError, RecursionError):
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


async def list_chargebacks(call: Call) -> Page[Chargeback]:
    """Chargebacks, the newest first."""
    q: ChargebackQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_chargebacks.many(call.conn, q.limit + 1, *place, q.state, q.driver)
    return page(rows, q.limit, _chargeback, place_in_time("opened_at"))


_ATTEMPT = ("attempt", "psp", "state", "psp_ref", "reason", "submitted_at", "ended_at")
_REMITTANCE = ("state", "psp", "account", "bank_ref", "paid_by", "approved_by", "created_at", "ended_at")


def _remittance(row: Record, tries: list[Record]) -> Remittance:
    return Remittance(
        id=str(row["id"]), settlement=str(row["statement_id"]), provider=row["provider_id"],
        amount=money(row["amount_minor"], row["currency"]),
        attempts=[
            Attempt(account=of["account"] or None, **{name: of[name] for name in _ATTEMPT})
            for of in tries if of["remittance_id"] == row["id"]
        ],
        **{name: row[name] for name in _REMITTANCE},
    )  # fmt: skip


def _line(row: Record) -> Line:
    theirs, ours, currency = row["theirs_minor"], row["ours_minor"], row["currency"]
    return Line(
        psp=row["psp"], kind=row["kind"], psp_ref=row["psp_ref"], inward=row["inward"], order=row["order_ref"],
        day=str(row["day"]), at=row["at"], verdict=row["verdict"], fee=money(row["fee_minor"], currency),
        theirs=None if theirs is None else money(theirs, currency),
        ours=None if ours is None else money(ours, currency), object=row["ours"],
    )  # fmt: skip


def _chargeback(row: Record) -> Chargeback:
    currency = row["currency"]
    return Chargeback(
        id=str(row["id"]), psp=row["psp"], psp_ref=row["psp_ref"], payment_ref=row["payment_ref"],
        driver=row["driver_id"], session=None if row["session_id"] is None else str(row["session_id"]),
        amount=money(row["amount_minor"], currency), from_balance=money(row["from_balance_minor"], currency),
        to_debt=money(row["to_debt_minor"], currency), state=row["state"], opened_at=row["opened_at"],
        ended_at=row["ended_at"],
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route("GET", "/remittances", list_remittances, SEE, "List remittances", Page[Remittance], query=RemittanceQuery),
    Route("GET", "/remittances/{remittance}", show_remittance, SEE, "Show a remittance", Remittance),
    Route(
        "POST", "/remittances/{remittance}/mark-paid", mark_remittance_paid, APPROVE,
        "Note that staff paid a remittance by hand",
        Remittance, PaidByHand, moves_money=True,
    ),
    Route(
        "POST", "/remittances/{remittance}/mark-returned", mark_remittance_returned, APPROVE,
        "Note that the bank sent back what staff had paid", Remittance, Returned, moves_money=True,
    ),
    Route(
        "POST", "/remittances/{remittance}/retry", retry_remittance, APPROVE,
        "Have a psp pay a remittance, again or at last",
        Remittance, moves_money=True,
    ),
    Route(
        "POST", "/reconciliations", read_statements, RUN, "Have a psp's statements read and compared with our books",
        Reading, Reconciliations, status=202,
    ),
    Route(
        "GET", "/reconciliation-lines", list_statement_lines, SEE, "List lines of psps' statements with their verdicts",
        Page[Line], query=LineQuery,
    ),
    Route(
        "GET", "/chargebacks", list_chargebacks, (*SEE, "refund:create"), "List chargebacks", Page[Chargeback],
        query=ChargebackQuery,
    ),
)  # fmt: skip
