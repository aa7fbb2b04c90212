"""
Statements and receipts as documents: CSV, XLSX and PDF, the same bytes whenever they are asked for again.

What a statement says was fixed when it was drafted, and bills never change, so nothing here reads a clock. In
its rows the column `due` adds up to the amount due; closing rows are in the column `balance` alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

from csms.base.money import decimal_text
from csms.db import SQL, Connection, Record
from csms.documents.parts import Grid, Note, Pairs, Part
from csms.documents.words import Language, word
from csms.flows.settlements import Statement
from csms.flows.sheets import BOM, Cell, Workbook, csv_line

BILLS_READ = 1_000
"""Bills that are in memory at a time."""

_PLAIN = ("entry", "issued_at", "bill", "corrects", "session", "station", "tariff", "energy_wh", "currency")
_MONEY = ("fee", "vat", "operator_share", "provider_share", "host_share")
_LAST = ("paid_by", "late")
_CLOSING = ("due", "balance")

_FIRST_PLACE = (datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))


def columns(language: Language) -> list[str]:
    """The headings of a statement's rows; money is a decimal text and, beside it, minor units."""
    names = [word(name, language) for name in _PLAIN]
    for name in _MONEY:
        names += _money_names(name, language)
    names += [word(name, language) for name in _LAST]
    for name in _CLOSING:
        names += _money_names(name, language)
    return names


def _money_names(name: str, language: Language) -> list[str]:
    return [word(name, language), f"{word(name, language)} {word('minor', language)}"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a statement; money in minor units, None where it does not apply."""

    entry: str
    currency: str
    bill: Record | None = None
    due_minor: int | None = None
    balance_minor: int | None = None
    bill_id: UUID | None = None
    session_id: UUID | None = None
    station_id: str | None = None

    def cells(self, zone: ZoneInfo, language: Language) -> list[Cell]:
        """The row's cells, in the order of `columns`."""
        b = self.bill
        cells: list[Cell] = [word(self.entry, language)]
        if b is None:
            cells += [None, _text(self.bill_id), None, _text(self.session_id), self.station_id, None, None]
        else:
            cells += [
                b["issued_at"].astimezone(zone).isoformat(timespec="seconds"), str(b["id"]), _text(b["corrects"]),
                str(b["session_id"]), b["station_id"], f"{b['tariff_id']} {b['tariff_version']}", b["energy_wh"],
            ]  # fmt: skip
        cells.append(self.currency)
        for name in ("total_minor", "vat_minor", "operator_minor", "provider_minor", "host_minor"):
            cells += self._money(None if b is None else b[name])
        cells += [None, None] if b is None else [word(b["paid_by"], language), word("yes", language) * b["late"]]
        return [*cells, *self._money(self.due_minor), *self._money(self.balance_minor)]

    def _money(self, minor: int | None) -> tuple[Cell, Cell]:
        return (None, None) if minor is None else (decimal_text(minor, self.currency), minor)


async def entries(conn: Connection, statement: Statement) -> AsyncIterator[Entry]:
    """Every row of a statement: what was carried over, its bills, its adjustments, what it comes to."""
    statement_id = statement.row["id"]
    for total in statement.sums:
        opening = total["opening_minor"]
        yield Entry("opening", total["currency"], due_minor=opening, balance_minor=opening)
    place = _FIRST_PLACE
    while rows := await SQL.bills_of_statement.many(conn, statement_id, *place, BILLS_READ):
        for row in rows:
            due = row["provider_minor"] if row["paid_by"] == "run" else 0
            yield Entry(row["kind"], row["currency"], row, due_minor=due)
        place = (rows[-1]["issued_at"], rows[-1]["id"])
    for row in await SQL.adjustments_of_statement.many(conn, statement_id):
        yield Entry(
            row["kind"], row["currency"], due_minor=row["amount_minor"], bill_id=row["bill_id"],
            session_id=row["session_id"], station_id=row["station_id"],
        )  # fmt: skip
    for total in statement.sums:
        for name in ("due", "remitted", "carried"):
            yield Entry(name, total["currency"], balance_minor=total[f"{name}_minor"])


async def statement_csv(conn: Connection, statement: Statement, language: Language, bom: bool) -> AsyncIterator[bytes]:
    """The rows of a statement as CSV, in pieces."""
    zone = ZoneInfo(statement.row["time_zone"])
    text = (BOM if bom else "") + csv_line(columns(language))
    async for entry in entries(conn, statement):
        text += csv_line(entry.cells(zone, language))
        if len(text) > 64 * 1024:
            yield text.encode()
            text = ""
    yield text.encode()


async def statement_xlsx(conn: Connection, statement: Statement, language: Language, path: Path) -> None:
    """The rows of a statement as a workbook at `path`, made beside the loop: it is slow."""
    zone = ZoneInfo(statement.row["time_zone"])
    book = Workbook(path, word("statement", language), columns(language), statement.row["drafted_at"])
    rows: list[list[Cell]] = []
    async for entry in entries(conn, statement):
        rows.append(entry.cells(zone, language))
        if len(rows) >= BILLS_READ:
            await asyncio.to_thread(book.write, rows)
            rows = []
    await asyncio.to_thread(book.write, rows)
    await asyncio.to_thread(book.close)


async def statement_pdf(conn: Connection, statement: Statement, language: Language) -> bytes:
    """A statement to sign and send, from its first to its last day: what it comes to, day by day, and adjustments."""
    row, zone = statement.row, ZoneInfo(statement.row["time_zone"])
    days = f"{row['from_day']} - {row['to_day'] - timedelta(days=1)}"
    parts: list[Part] = [
        Pairs(
            [
                (word("provider", language), f"{row['provider_name']} ({row['provider_id']})"),
                (word("period", language), f"{days} ({row['time_zone']})"),
                (word("number", language), str(row["id"])),
                (word("drafted_at", language), _moment(row["drafted_at"], zone)),
                (word("state", language), word(row["state"], language)),
                (word("approved_at", language), _moment(row["approved_at"], zone) if row["approved_at"] else "-"),
            ]
        )
    ]
    parts += [_sums(total, language) for total in statement.sums]
    if not statement.sums:
        parts.append(Note(word("nothing", language)))
    if by_day := await SQL.days_of_statement.many(conn, row["id"]):
        parts.append(_days(by_day, language))
    if adjusted := await SQL.adjustments_of_statement.many(conn, row["id"]):
        parts.append(_adjustments(adjusted, language))
    from csms.documents.pages import pdf  # only who wants a PDF waits for it

    return pdf(f"{word('statement', language)} {row['provider_id']} {days}", parts)


def _sums(total: Record, language: Language) -> Grid:
    currency = total["currency"]
    lines = [
        ("opening", "opening"), ("fee", "fees"), ("vat", "vat"), ("operator_share", "operator"),
        ("operator_vat", "operator_vat"), ("provider_share", "provider"), ("host_share", "host"),
        ("by_psp", "by_psp"), ("by_run", "by_run"), ("adjustments", "adjustments"), ("due", "due"),
        ("remitted", "remitted"), ("carried", "carried"),
    ]  # fmt: skip
    rows = [(word("charges", language), str(total["charges"])), (word("credits", language), str(total["credits"]))]
    rows.append((word("energy_wh", language), str(total["energy_wh"])))
    rows += [(word(name, language), _amount(total[f"{column}_minor"], currency)) for name, column in lines]
    return Grid(f"{word('sums', language)} {currency}", ("", currency), rows, frozenset({1}))


def _days(days: Sequence[Record], language: Language) -> Grid:
    names = ("day", "currency", "bills", "energy_wh", "fee", "vat", "operator_share", "provider_share", "host_share")
    rows = [
        (
            str(day["day"]), day["currency"], str(day["bills"]), str(day["energy_wh"]),
            *(_amount(day[f"{n}_minor"], day["currency"]) for n in ("fees", "vat", "operator", "provider", "host")),
        )
        for day in days
    ]  # fmt: skip
    return Grid(word("days", language), [word(name, language) for name in names], rows, frozenset(range(2, 9)))


def _adjustments(adjusted: Sequence[Record], language: Language) -> Grid:
    names = ("entry", "bill", "session", "due")
    rows = [
        (word(row["kind"], language), str(row["bill_id"]), str(row["session_id"]),
         _amount(row["amount_minor"], row["currency"]))
        for row in adjusted
    ]  # fmt: skip
    return Grid(word("adjustments", language), [word(name, language) for name in names], rows, frozenset({3}))


def _amount(minor: int, currency: str) -> str:
    """Money for people: `1,234.50 EUR`."""
    whole, point, rest = decimal_text(minor, currency).partition(".")
    return f"{int(whole):,}{point}{rest} {currency}" if whole != "-0" else f"-0{point}{rest} {currency}"


def _moment(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).isoformat(sep=" ", timespec="minutes")


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
