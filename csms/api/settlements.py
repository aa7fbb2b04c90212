"""Statements of providers: drafted by one, approved by another, read as JSON, CSV, XLSX or PDF."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import BeforeValidator, Field, WithJsonSchema

from csms.api.call import Call, Route
from csms.api.paging import FIRST_TIME, FIRST_UUID, LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.problems import Problem
from csms.api.reports import turn
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, Page, Paging, Parameter, Query, money
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.flows import documents, settlements

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TYPES = {"csv": "text/csv", "xlsx": XLSX_TYPE, "pdf": "application/pdf"}
Format = Literal["json", "csv", "xlsx", "pdf"]
WRITE_S_MAX = 60
"""A reader who takes nothing for so long is let go."""


log = structlog.get_logger("csms.api")


def _day(value: object) -> object:
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    if type(value) is date:
        return value
    raise ValueError("write a day such as 2026-11-01")


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class NewSettlement(Body):
    """The statement of a provider's days `from` to before `to`, in the provider's zone."""

    provider: ChosenId
    first: Day = Field(alias="from")
    end: Day = Field(alias="to")


class SettlementTerms(Body):
    """How a provider is settled: the zone of its days, the least that is remitted, the psp that pays."""

    time_zone: Annotated[str, Field(min_length=1, max_length=60)] = "UTC"
    minimums: dict[str, Annotated[int, Field(ge=0, le=2**62)]] = Field(
        default_factory=dict, max_length=40, description="currency -> minor units"
    )
    payout_psp: ChosenId | None = None


class Terms(Answer):
    """How a provider is settled."""

    provider: str
    time_zone: str
    minimums: dict[str, int]
    payout_psp: str | None


class Sums(Answer):
    """What a statement comes to in one currency: opening + by_run + adjustments = due = remitted + carried."""

    currency: str
    charges: int
    credits: int
    energy_wh: int
    opening: Money
    fees: Money
    vat: Money
    operator_share: Money
    operator_vat: Money
    provider_share: Money
    host_share: Money
    by_psp: Money
    by_run: Money
    adjustments: Money
    due: Money
    remitted: Money
    carried: Money


class Differences(Answer):
    """How far the psps' statements of the period were compared with our books."""

    days_waiting: int
    days_unavailable: int
    lines_open: int


class Settlement(Answer):
    """A statement. `differences` are told of a single one, to the operator."""

    id: str
    provider: str
    provider_name: str
    time_zone: str
    from_day: date
    to_day: date
    starts_at: Moment
    ends_at: Moment
    state: str
    drafted_by: str
    drafted_at: Moment
    approved_by: str | None
    approved_at: Moment | None
    cancelled_by: str | None
    cancelled_at: Moment | None
    sums: list[Sums]
    differences: Differences | None = None


class SettledBill(Answer):
    """A bill of a statement, and who pays its provider's share: `due` is 0 where a psp does."""

    bill: str
    kind: str
    corrects: str | None
    session: str
    station: str
    issued_at: Moment
    fee: Money
    provider_share: Money
    due: Money
    paid_by: str
    late: bool


class SettlementQuery(Paging):
    """Which statements."""

    provider: Parameter | None = Field(None, description="of this provider")
    state: Literal["draft", "approved", "cancelled"] | None = Field(None, description="in this state")


class DocumentQuery(Query):
    """In which form."""

    format: Format | None = Field(None, description="what the Accept header asks for when nothing is said, else JSON")
    language: Literal["en", "ko"] = Field("en", description="of the words in a document")
    bom: bool = Field(False, description="begin CSV with a byte order mark, for spreadsheets")


class ApprovalQuery(Query):
    """Under which condition."""

    accept_differences: bool = Field(False, description="although the psps' statements do not agree with our books")


async def draft_settlement(call: Call) -> tuple[int, Settlement]:
    """Draft a statement: 201, or 200 when the period's statement is there already."""
    new: NewSettlement = call.body
    id_, is_new = await settlements.draft(
        call.conn, new.provider, new.first, new.end, call.client.id, call.parts.clock()
    )
    return 201 if is_new else 200, await _shown(call, id_)


async def list_settlements(call: Call) -> Page[Settlement]:
    """Statements, the newest first."""
    q: SettlementQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_statements.many(call.conn, q.limit + 1, *place, q.provider, q.state)
    sums = await SQL.sums_of_statements.many(call.conn, [row["id"] for row in rows])
    return page(
        rows,
        q.limit,
        lambda row: _settlement(row, [s for s in sums if s["statement_id"] == row["id"]]),
        place_in_time("drafted_at"),
    )


async def show_settlement(call: Call) -> Settlement | web.StreamResponse:
    """A statement, as JSON or as a document."""
    q: DocumentQuery = call.query
    id_ = UUID(call.path["settlement"])
    wanted = q.format or accepted(call.request)
    if wanted == "json":
        return await _shown(call, id_)
    statement = await settlements.show(call.conn, id_, compared=False)
    row = statement.row
    name = f"statement-{row['provider_id']}-{row['from_day']}-{row['to_day']}.{wanted}"
    async with turn(call.parts.streams):
        if wanted == "pdf":
            body = await documents.statement_pdf(call.conn, statement, q.language)
            return document(name, wanted, body)
        if wanted == "xlsx":
            with tempfile.TemporaryDirectory(prefix="csms-statement-") as folder:
                path = Path(folder) / "statement.xlsx"
                await documents.statement_xlsx(call.conn, statement, q.language, path)
                return document(name, wanted, await asyncio.to_thread(path.read_bytes))
        return await _streamed(call.request, name, documents.statement_csv(call.conn, statement, q.language, q.bom))


async def list_settled_bills(call: Call) -> Page[SettledBill]:
    """The bills of a statement, in the order of their issue."""
    q: Paging = call.query
    id_ = UUID(call.path["settlement"])
    if await SQL.show_statement.one(call.conn, id_) is None:
        raise NotFound("there is no such statement")
    place = beside(q.cursor, (FIRST_TIME, FIRST_UUID))
    rows = await SQL.bills_of_statement.many(call.conn, id_, *place, q.limit + 1)
    return page(rows, q.limit, _bill, place_in_time("issued_at"))


async def approve_settlement(call: Call) -> Settlement:
    """Approve a draft that another client made, and remit what is due."""
    q: ApprovalQuery = call.query
    id_ = UUID(call.path["settlement"])
    try:
        await settlements.approve(call.conn, id_, call.client.id, call.parts.clock(), q.accept_differences)
    except settlements.NeedsAnother as error:
        raise Problem(403, str(error)) from None
    return await _shown(call, id_)


async def cancel_settlement(call: Call) -> Settlement:
    """Give a draft up."""
    id_ = UUID(call.path["settlement"])
    await settlements.cancel(call.conn, id_, call.client.id, call.parts.clock())
    return await _shown(call, id_)


async def set_settlement_terms(call: Call) -> Terms:
    """Set how a provider is settled."""
    body: SettlementTerms = call.body
    await settlements.set_terms(call.conn, call.path["provider"], body.time_zone, body.minimums, body.payout_psp)
    return await show_settlement_terms(call)


async def show_settlement_terms(call: Call) -> Terms:
    """How a provider is settled."""
    row = await settlements.terms(call.conn, call.path["provider"])
    return Terms(provider=row.provider, time_zone=row.time_zone, minimums=dict(row.minimums), payout_psp=row.payout_psp)


def accepted(request: web.Request) -> Format:
    """What the Accept header asks for, JSON unless it names another form of ours first."""
    for part in request.headers.get("Accept", "").split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind == "application/json":
            return "json"
        for name, known in TYPES.items():
            if kind == known:
                return name  # type: ignore[return-value]
    return "json"


def document(name: str, wanted: str, body: bytes) -> web.Response:
    """A whole document to keep."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=body, headers=headers, content_type=TYPES[wanted])


async def _streamed(request: web.Request, name: str, blocks: AsyncIterator[bytes]) -> web.StreamResponse:
    """A document in pieces; the first is made before the answer begins, so that an error can still be told."""
    assert isinstance(blocks, AsyncGenerator)
    first = await anext(blocks)
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
    response.content_type, response.charset = TYPES["csv"], "utf-8"
    await response.prepare(request)
    try:
        await response.write(first)
        async for block in blocks:
            async with asyncio.timeout(WRITE_S_MAX):
                await response.write(block)
    except Exception as error:  # the answer has begun: cut it, so that half a statement never looks whole
        log.warning("statement cut short", name=name, error=repr(error))
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


async def _shown(call: Call, id_: UUID) -> Settlement:
    statement = await settlements.show(call.conn, id_, compared=call.client.provider is None)
    d, found = statement.differences, None
    if d is not None:
        found = Differences(days_waiting=d.days_waiting, days_unavailable=d.days_unavailable, lines_open=d.lines_open)
    return _settlement(statement.row, list(statement.sums), found)


_SAME = (
    *("provider_name", "time_zone", "from_day", "to_day", "starts_at", "ends_at", "state", "drafted_by", "drafted_at"),
    *("approved_by", "approved_at", "cancelled_by", "cancelled_at"),
)
_MONEY = (*("opening", "fees", "vat", "operator_vat", "by_psp", "by_run", "adjustments", "due", "remitted", "carried"),)


def _settlement(row: Record, sums: list[Record], differences: Differences | None = None) -> Settlement:
    return Settlement(
        id=str(row["id"]), provider=row["provider_id"], sums=[_sums(total) for total in sums],
        differences=differences, **{name: row[name] for name in _SAME},
    )  # fmt: skip


def _sums(row: Record) -> Sums:
    currency = row["currency"]
    amounts: dict[str, Any] = {name: money(row[f"{name}_minor"], currency) for name in _MONEY}
    return Sums(
        currency=currency, charges=row["charges"], credits=row["credits"], energy_wh=row["energy_wh"],
        operator_share=money(row["operator_minor"], currency), provider_share=money(row["provider_minor"], currency),
        host_share=money(row["host_minor"], currency), **amounts,
    )  # fmt: skip


def _bill(row: Record) -> SettledBill:
    currency, share = row["currency"], row["provider_minor"]
    return SettledBill(
        bill=str(row["id"]), kind=row["kind"], corrects=None if row["corrects"] is None else str(row["corrects"]),
        session=str(row["session_id"]), station=row["station_id"], issued_at=row["issued_at"],
        fee=money(row["total_minor"], currency), provider_share=money(share, currency),
        due=money(share if row["paid_by"] == "run" else 0, currency), paid_by=row["paid_by"], late=row["late"],
    )  # fmt: skip


RUN = ("settlement:run",)
APPROVE = ("remittance:approve",)
SEE = ("settlement:read", "settlement:run", "remittance:approve")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/settlements", draft_settlement, RUN, "Draft the statement of a provider's period", Settlement,
        NewSettlement,
        status=201, or_else=200, moves_money=True,
    ),
    Route("GET", "/settlements", list_settlements, SEE, "List statements", Page[Settlement], query=SettlementQuery),
    Route(
        "GET", "/settlements/{settlement}", show_settlement, SEE, "Show a statement, as JSON, CSV, XLSX or PDF",
        Settlement,
        query=DocumentQuery,
    ),
    Route(
        "GET", "/settlements/{settlement}/bills", list_settled_bills, SEE, "List the bills of a statement",
        Page[SettledBill], query=Paging,
    ),
    Route(
        "POST", "/settlements/{settlement}/approve", approve_settlement, APPROVE,
        "Approve a statement that another client drafted, and remit what is due", Settlement, query=ApprovalQuery,
        moves_money=True,
    ),
    Route("POST", "/settlements/{settlement}/cancel", cancel_settlement, RUN, "Give a draft up", Settlement),
    Route(
        "PUT", "/providers/{provider}/settlement-terms", set_settlement_terms, ("admin",),
        "Set how a provider is settled", Terms,
        SettlementTerms,
    ),
    Route(
        "GET", "/providers/{provider}/settlement-terms", show_settlement_terms, SEE,
        "Show how a provider is settled", Terms,
    ),
)  # fmt: skip
