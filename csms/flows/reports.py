"""
Reports: one SQL file each, in `db/reports`; the columns are what PostgreSQL says they are.

A column `x_minor` holds minor units of the row's `currency`; a column `x` with the same money as a
decimal string is put before it. A column `_cursor` says where the row stands, for going on after it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import asyncpg

from csms.base.clock import rfc3339_ms
from csms.base.errors import NotFound, Refused
from csms.base.money import decimal_text
from csms.db import Connection, Query, Record, reports
from csms.flows.parties import check_zone

ROWS_FETCHED = 500
"""Rows asked of PostgreSQL at a time: a report of any length needs the memory of these."""

BYS = ("day", "period")

_PARAMETER = re.compile(r"^-- \$[0-9]+ ([a-z_]+): (.+)$", re.MULTILINE)
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")

Cell = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a report is wanted; None means no bound. `after` is the `cursor` of an earlier row."""

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    after: str | None = None
    limit: int | None = None
    by: str | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a cell per column, and where it stands."""

    cells: tuple[Cell, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """A report being read: its columns, and its rows once, from one instant of the database."""

    columns: tuple[str, ...]
    rows: AsyncIterator[Row]


def summaries() -> dict[str, str]:
    """Every report's name and what it tells."""
    return {name: query.text.splitlines()[0].removeprefix("-- ") for name, query in reports().items()}


def parameters(query: Query) -> dict[str, str]:
    """The parameters of a report and what they mean, in order, from its head comment."""
    return dict(_PARAMETER.findall(query.text))


@asynccontextmanager
async def opened(conn: Connection, name: str, wanted: Filter) -> AsyncIterator[Report]:
    """
    Read a report through a server-side cursor.

    NotFound when there is no such report, Refused when a filter is not one of this report's.
    """
    query = reports().get(name)
    if query is None:
        raise NotFound(f"there is no report {name}; there are {', '.join(reports())}")
    arguments = _arguments(name, parameters(query), wanted)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        statement = await conn.prepare(query.text)
        names = tuple(attribute.name for attribute in statement.get_attributes())
        rows = _rows(statement.cursor(*arguments, prefetch=ROWS_FETCHED), names)
        try:
            yield Report(tuple(_columns(names)), rows)
        except asyncpg.DataError:
            raise Refused("this cursor is not one of this report", "cursor") from None


def _arguments(name: str, known: Mapping[str, str], wanted: Filter) -> list[object]:
    """What stands for $1, $2, ...: the report's head comment names them."""
    if wanted.by is not None and wanted.by not in BYS:
        raise Refused(f"by is {' or '.join(BYS)}", "by")
    if wanted.zone is not None:
        check_zone(wanted.zone, "zone")
    values: dict[str, object] = {
        "from": wanted.since,
        "to": wanted.until,
        "provider": wanted.provider,
        "after": wanted.after,
        "limit": wanted.limit,
        "by": wanted.by,
        "zone": wanted.zone,
    }
    for parameter, value in values.items():
        if value is not None and parameter not in known:
            raise Refused(f"the report {name} has no parameter {parameter}", parameter)
    return [values[parameter] for parameter in known]


def _columns(names: Sequence[str]) -> list[str]:
    """The columns people see."""
    seen: list[str] = []
    for name in names:
        if name.endswith("_minor"):
            seen.append(name.removesuffix("_minor"))
        if not name.startswith("_"):
            seen.append(name)
    assert len(set(seen)) == len(seen), f"a report has two columns of one name: {seen}"
    return seen


async def _rows(cursor: AsyncIterator[Record], names: Sequence[str]) -> AsyncIterator[Row]:
    async for record in cursor:
        cells: list[Cell] = []
        for name in names:
            value = record[name]
            if name.endswith("_minor"):
                cells.append(None if value is None else decimal_text(value, record["currency"]))
            if not name.startswith("_"):
                cells.append(_cell(value))
        yield Row(tuple(cells), record["_cursor"])


def _cell(value: Any) -> Cell:
    """A value as JSON has it."""
    match value:
        case None | bool() | int() | str():
            return value
        case datetime():
            return rfc3339_ms(value)
        case date():
            return value.isoformat()
        case UUID():
            return str(value)
        case _:
            raise AssertionError(f"a report has a column of {type(value).__name__}")


def csv_line(cells: Sequence[Cell]) -> str:
    """
    One line of RFC 4180 CSV, CRLF included.

    Text that a spreadsheet would take for a formula gets an apostrophe in front; negative amounts stay numbers.
    """
    line = io.StringIO()
    csv.writer(line).writerow(["" if cell is None else _harmless(cell) for cell in cells])
    return line.getvalue()


def _harmless(cell: str | int) -> str | int:
    if isinstance(cell, str) and cell.startswith(_RISKY) and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def cursor_text(text: str) -> str:
    """Refused unless `text` can be a row's cursor: a JSON list of texts."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= 4
        or not all(v is None or isinstance(v, str) for v in value)
    ):
        raise Refused("this is not a cursor of ours", "cursor")
    return text
