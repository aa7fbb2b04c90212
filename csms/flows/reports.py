"""
Reports: one SQL file each, in `db/reports`; the columns are what PostgreSQL says they are.

A column `x_minor` holds minor units of the row's `currency`; a column `x` with the same money as a
decimal string is put before it. A column `_cursor` says where the row stands, for going on after it.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import asyncpg

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
        attributes = statement.get_attributes()
        rows = _rows(statement.cursor(*arguments, prefetch=ROWS_FETCHED), attributes)
        try:
            yield Report(tuple(_columns([attribute.name for attribute in attributes])), rows)
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


async def _rows(cursor: AsyncIterator[Record], attributes: Sequence[Any]) -> AsyncIterator[Row]:
    """Rows as they come. What each column needs is found out once, for there may be millions of rows."""
    shown = [
        (place, column.name.endswith("_minor"), _WRITERS.get(column.type.name))
        for place, column in enumerate(attributes)
        if not column.name.startswith("_")
    ]
    async for record in cursor:
        values = tuple(record)
        cells: list[Cell] = []
        for place, is_money, write in shown:
            value = values[place]
            if is_money:
                cells.append(None if value is None else decimal_text(value, record["currency"]))
            cells.append(value if write is None or value is None else write(value))
        yield Row(tuple(cells), record["_cursor"])


_WRITERS: Mapping[str, Callable[[Any], Cell]] = {
    "timestamptz": lambda at: f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
    "date": date.isoformat,
    "uuid": str,
    "numeric": str,
}
"""How values of some PostgreSQL types become JSON values; text, integers and booleans are. Times come in UTC."""


def csv_line(cells: Sequence[Cell]) -> str:
    """
    One line of RFC 4180 CSV, CRLF included.

    Text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
    """
    return ",".join([_csv_cell(cell) for cell in cells]) + "\r\n"


def _csv_cell(cell: Cell) -> str:
    if not isinstance(cell, str):
        return "" if cell is None else str(cell)
    text = f"'{cell}" if cell.startswith(_RISKY) and not _NUMBER.fullmatch(cell) else cell
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


_QUOTED = re.compile(r'[",\r\n]')
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
