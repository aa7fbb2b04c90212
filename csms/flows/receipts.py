"""Receipts and tax invoices: what a driver is shown of a bill, and numbers without gaps for what books need."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from csms.base.errors import NotFound, Refused
from csms.base.money import decimal_text
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH
from csms.db import SQL, Connection, Record
from csms.documents.parts import Grid, Pairs, Part
from csms.documents.words import Language, word
from csms.flows import books


@dataclass(frozen=True, slots=True)
class Receipt:
    """A bill as its driver is shown it: the row with its seller, its priced lines, and what its meter signed."""

    row: Record
    lines: tuple[dict[str, Any], ...]
    signed: tuple[Record, ...]

    @property
    def invoice_number(self) -> str | None:
        """The number of its tax invoice, if it has one."""
        return invoice_number(self.row["issuer"], self.row["year"], self.row["number"])

    @property
    def net_minor(self) -> int:
        """The total without VAT, in minor units."""
        return int(self.row["total_minor"] - self.row["vat_minor"])


def invoice_number(issuer: str | None, year: int | None, number: int | None) -> str | None:
    """`P-2026-000007`: issuer, year, number."""
    return None if number is None else f"{issuer}-{year}-{number:06}"


async def show(conn: Connection, bill_id: UUID) -> Receipt:
    """The receipt of a bill; NotFound when there is none."""
    row = await SQL.show_receipt.one(conn, bill_id)
    if row is None:
        raise NotFound("there is no such bill")
    signed = await SQL.show_signed_values.many(conn, row["session_id"])
    return Receipt(row, tuple(json.loads(row["lines_text"])), tuple(signed))


async def number(conn: Connection, bill_id: UUID, by: str, now: datetime) -> bool:
    """
    Give a bill the next number of its issuer's tax invoices; once. Answers whether it is new.

    The issuer is the provider, the year that of now in its zone. Refused for a bill of nothing.
    """
    row = await SQL.show_receipt.one(conn, bill_id)
    if row is None:
        raise NotFound("there is no such bill")
    if not row["total_minor"]:
        raise Refused("a bill of nothing has no tax invoice")
    year = now.astimezone(ZoneInfo(row["provider_zone"])).year
    is_new: bool = await SQL.number_tax_invoice.value(conn, bill_id, row["provider_id"], year, by, now)
    return is_new


async def send(conn: Connection, bill_id: UUID, now: datetime) -> int:
    """Send the receipt to whoever tells drivers (`driver.receipt`), once; answers how many are told."""
    receipt = await show(conn, bill_id)
    row = receipt.row
    body: dict[str, object] = {
        "bill": str(bill_id),
        "session": str(row["session_id"]),
        "kind": row["kind"],
        "driver": row["driver_id"],
        "provider": row["provider_id"],
        "tax_invoice": receipt.invoice_number,
        "energy_wh": row["energy_wh"],
        "total": {"minor": row["total_minor"], "currency": row["currency"]},
        "vat": {"minor": row["vat_minor"], "currency": row["currency"]},
    }
    return await books.tell(
        conn, f"bill/{bill_id}/receipt", "driver.receipt", row["provider_id"], row["driver_id"], body, now
    )


def receipt_pdf(receipt: Receipt, language: Language) -> bytes:
    """The receipt, or the tax invoice once it has its number, as a page."""
    row, zone, number_ = receipt.row, ZoneInfo(receipt.row["zone"]), receipt.invoice_number
    kind = "credit_note" if row["kind"] == "credit" else "tax_invoice" if number_ else "receipt"
    pairs = [
        ("seller", f"{row['provider_name']} ({row['provider_id']})"), ("receipt_number", str(row["id"])),
        ("tax_invoice_number", number_), ("corrected_bill", row["corrects"] and str(row["corrects"])),
        ("issued", _moment(row["issued_at"], zone)), ("place", row["station_id"]), ("session", str(row["session_id"])),
        ("began", _moment(row["started_at"], zone)), ("ended", _moment(row["ended_at"], zone)),
        ("energy", _kwh(row["energy_wh"])), ("duration", _duration(row["seconds"])),
        ("means", row["psp"] or word("prepaid", language)),
    ]  # fmt: skip
    parts: list[Part] = [Pairs([(word(name, language), value) for name, value in pairs if value])]
    if receipt.lines:
        parts.append(_lines(receipt, language))
    sums = [("net", receipt.net_minor), ("vat_total", row["vat_minor"]), ("total", row["total_minor"])]
    if row["not_charged_minor"]:
        sums.insert(0, ("not_charged", row["not_charged_minor"]))
    rows = [(word(name, language), f"{decimal_text(minor, row['currency'])} {row['currency']}") for name, minor in sums]
    parts.append(Grid(word("total", language), ("", row["currency"]), rows, frozenset({1})))
    if receipt.signed:
        parts.append(_signed(receipt, zone, language))
    from csms.documents.pages import pdf  # only who wants a PDF waits for it

    return pdf(word(kind, language), parts)


def _lines(receipt: Receipt, language: Language) -> Grid:
    names = ("item", "quantity", "unit_price", "vat_rate", "amount")
    rows = [
        (
            word(line["dimension"], language),
            f"{line['quantity']} {line['unit']}",
            _told(line["unit_price"]),
            _told(line["vat_percent"]),
            _told(line["incl_vat"] or line["excl_vat"]),
        )
        for line in receipt.lines
    ]
    return Grid(word("item", language), [word(name, language) for name in names], rows, frozenset(range(1, 5)))


def _signed(receipt: Receipt, zone: ZoneInfo, language: Language) -> Grid:
    names = ("meter_record", "issued", "register", "verdict")
    rows = [
        (
            f"{word(row['context'], language)} ({row['encoding']})",
            _moment(row["at"], zone),
            "-" if row["register_wh"] is None else _kwh(row["register_wh"]),
            word(row["verdict"], language),
        )
        for row in receipt.signed
    ]
    return Grid(word("signed", language), [word(name, language) for name in names], rows, frozenset({2}))


def _told(value: object) -> str:
    return "-" if value is None else str(value)


def _kwh(wh: int) -> str:
    return f"{'-' if wh < 0 else ''}{abs(wh) // WH_PER_KWH:,}.{abs(wh) % WH_PER_KWH:03} kWh"


def _duration(seconds: int) -> str:
    hours, rest = divmod(abs(seconds), SECONDS_PER_HOUR)
    return f"{'-' if seconds < 0 else ''}{hours}:{rest // 60:02}:{rest % 60:02}"


def _moment(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="minutes")
