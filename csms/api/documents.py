"""Receipts and tax invoices of bills, for drivers and for books."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from csms.api.call import Call, Route, connection, system
from csms.api.settlements import accepted, document
from csms.api.shapes import Answer, Json, Moment, Money, Query, money
from csms.base.errors import NotFound
from csms.db import SQL
from csms.flows import receipts
from csms.flows.receipts import Receipt as Shown


class SignedRecord(Answer):
    """What a meter signed, verbatim, and whether its registered key says so."""

    context: str
    encoding: str
    at: Moment
    register_wh: int | None
    verdict: str
    raw: str


class Receipt(Answer):
    """What a driver is shown of a bill: `net` + `vat` = `total`. A credit takes money of a charge back."""

    bill: str
    kind: str
    corrects: str | None
    seller: str
    seller_name: str
    tax_invoice: str | None
    session: str
    station: str
    connector: int | None
    issued_at: Moment
    started_at: Moment
    ended_at: Moment
    energy_wh: int
    seconds: int
    means: str
    psp: str | None
    lines: Json
    net: Money
    vat: Money
    total: Money
    not_charged: Money
    signed_records: list[SignedRecord]


class TaxInvoice(Answer):
    """The number of a bill's tax invoice: without gaps per issuer and year."""

    bill: str
    issuer: str
    year: int
    number: int
    text: str
    made_at: Moment


class Sending(Answer):
    """How many endpoints will be told to show or send the receipt to the driver."""

    bill: str
    told: int


class ReceiptQuery(Query):
    """In which form."""

    format: Literal["json", "pdf"] | None = Field(None, description="what the Accept header asks for, else JSON")
    language: Literal["en", "ko"] = Field("en", description="of the words on a page")


async def show_receipt(call: Call) -> Receipt | web.Response:
    """The receipt of a bill, as JSON or as a page."""
    q: ReceiptQuery = call.query
    id_ = UUID(call.path["bill"])
    async with connection(call.parts) as conn:
        if await SQL.show_bill.one(conn, id_) is None:
            raise NotFound("there is no such bill")
    async with system(call.parts) as conn:  # drivers do not see providers and sites, whose name and zone it shows
        shown = await receipts.show(conn, id_)
    wanted = q.format or accepted(call.request)
    if wanted == "pdf":
        return document(f"receipt-{shown.row['id']}.pdf", "pdf", receipts.receipt_pdf(shown, q.language))
    return _receipt(shown)


async def number_tax_invoice(call: Call) -> tuple[int, TaxInvoice]:
    """Give a bill the number of its tax invoice: 201, or 200 when it has it."""
    id_ = UUID(call.path["bill"])
    is_new = await receipts.number(call.conn, id_, call.client.id, call.parts.clock())
    shown = await receipts.show(call.conn, id_)
    row, text = shown.row, shown.invoice_number
    assert text is not None
    invoice = TaxInvoice(
        bill=str(id_), issuer=row["issuer"], year=row["year"], number=row["number"], text=text,
        made_at=row["invoiced_at"],
    )  # fmt: skip
    return 201 if is_new else 200, invoice


async def send_receipt(call: Call) -> Sending:
    """Send a receipt to its driver, through those who want `driver.receipt`; once."""
    id_ = UUID(call.path["bill"])
    return Sending(bill=str(id_), told=await receipts.send(call.conn, id_, call.parts.clock()))


_SAME = (*("kind", "connector", "issued_at", "started_at", "ended_at", "energy_wh", "seconds", "means", "psp"),)
_SIGNED = ("context", "encoding", "at", "register_wh", "verdict", "raw")


def _receipt(shown: Shown) -> Receipt:
    row, currency = shown.row, shown.row["currency"]
    amounts: dict[str, Any] = {name: money(row[f"{name}_minor"], currency) for name in ("vat", "total", "not_charged")}
    return Receipt(
        bill=str(row["id"]), corrects=None if row["corrects"] is None else str(row["corrects"]),
        seller=row["provider_id"], seller_name=row["provider_name"], tax_invoice=shown.invoice_number,
        session=str(row["session_id"]), station=row["station_id"], lines=list(shown.lines),
        net=money(shown.net_minor, currency),
        signed_records=[SignedRecord(**{name: record[name] for name in _SIGNED}) for record in shown.signed],
        **{name: row[name] for name in _SAME}, **amounts,
    )  # fmt: skip


SEE = ("reports:read", "settlement:read", "driver:self")
RUN = ("settlement:run",)

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/bills/{bill}/receipt", show_receipt, SEE, "Show the receipt of a bill, as JSON or PDF", Receipt,
        query=ReceiptQuery, connects=False,
    ),
    Route(
        "POST", "/bills/{bill}/tax-invoice", number_tax_invoice, RUN, "Give a bill the number of its tax invoice",
        TaxInvoice,
        status=201, or_else=200,
    ),
    Route("POST", "/bills/{bill}/receipt/send", send_receipt, RUN, "Send a receipt to its driver", Sending, status=202),
)  # fmt: skip
