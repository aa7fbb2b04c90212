"""
Reports: one SQL file each, in `db/reports`; the columns are what PostgreSQL says they are.

A column `x_minor` holds minor units of the row's `currency`; a column `x` with the same money as a
decimal string is put before it. A column `_cursor` says where the row stands, for going on after it,
`_link` where its figures come from: a path, and parameters.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import asyncpg

from csms.base.clock import rfc3339
from csms.base.errors import Conflict, NotFound, Refused
from csms.base.money import decimal_text
from csms.db import SQL, Connection, Query, Record, reports
from csms.domain.ledger import UNIT_ASSETS
from csms.flows.parties import check_zone
from csms.flows.sheets import Cell as Cell

ROWS_FETCHED = 500
"""Rows asked of PostgreSQL at a time: a report of any length needs the memory of these."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What a file says of when it was made, where nobody asked for an `as_of`: the same rows are the same file."""

_PARAMETER = re.compile(r"^-- \$[0-9]+ ([a-z_]+): (.+)$", re.MULTILINE)
_REFUSED = re.compile(r"^-- as_of is refused: (.+)$", re.MULTILINE)
_WORD = re.compile(r"`([a-z_]+)`")
_OURS = ("era", "snapshot")
"""Parameters that the snapshot of `as_of` gives, not whoever asks."""
_CHOICES = ("by", "state")
"""Parameters whose head comment names the words they can be."""


@dataclass(frozen=True, slots=True)
class Filter:
    """
    What of a report is wanted; None means no bound.

    `chosen` are the report's own parameters by name (`by`, `zone`, `station`, `owner`, ...), `after`
    is the `cursor` of an earlier row.
    """

    since: datetime | None = None
    until: datetime | None = None
    provider: str | None = None
    after: str | None = None
    limit: int | None = None
    chosen: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was there when `as_of` was first asked for: everybody who asks for it gets the same rows."""

    as_of: datetime
    taken_at: datetime
    era: int
    transactions: str

    @property
    def end(self) -> datetime:
        """The first instant after `as_of`: what happened at that very time still counts."""
        return self.as_of + timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Link:
    """Where the figures of a row come from: a path of the REST interface, and parameters for it."""

    path: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a cell per column, where it stands, and what it leads to."""

    cells: tuple[Cell, ...]
    cursor: str | None
    link: Link | None


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


def find(name: str) -> Query:
    """A report by name; NotFound says which there are."""
    query = reports().get(name)
    if query is None:
        raise NotFound(f"there is no report {name}; there are {', '.join(reports())}")
    return query


async def take_snapshot(conn: Connection, name: str, as_of: datetime, now: datetime) -> Snapshot:
    """
    The snapshot of `as_of`, taken now if nobody has asked for it before.

    Outside of any repeatable read, for it may be written. Whole milliseconds count. Refused where
    the report has none, and says why; and for a time after `now`, because what is still to come would
    be left out for good.
    """
    query = find(name)
    if "as_of" not in parameters(query):
        reason = _REFUSED.search(query.text)
        raise Refused(f"the report {name} has no as_of: {reason[1] if reason else 'it has no time'}", "as_of")
    if as_of > now:
        raise Refused(f"as_of is after now ({rfc3339(now)}): what is still to come would be left out", "as_of")
    try:
        row = await SQL.take_snapshot.one(conn, as_of.replace(microsecond=as_of.microsecond // 1000 * 1000))
    except asyncpg.ObjectNotInPrerequisiteStateError as error:
        raise Conflict(str(error)) from None
    assert row is not None
    return Snapshot(row["as_of"], row["taken_at"], row["era"], row["transactions"])


@asynccontextmanager
async def opened(
    conn: Connection, name: str, wanted: Filter, snapshot: Snapshot | None = None
) -> AsyncIterator[Report]:
    """
    Read a report through a server-side cursor.

    NotFound when there is no such report, Refused when a filter is not one of this report's.
    """
    query = find(name)
    arguments = _arguments(name, parameters(query), wanted, snapshot)
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        statement = await conn.prepare(query.text)
        attributes = statement.get_attributes()
        rows = _rows(statement.cursor(*arguments, prefetch=ROWS_FETCHED), attributes)
        try:
            yield Report(tuple(_columns([attribute.name for attribute in attributes])), rows)
        except asyncpg.DataError:
            raise Refused("this cursor is not one of this report", "cursor") from None


def _arguments(name: str, known: Mapping[str, str], wanted: Filter, snapshot: Snapshot | None) -> list[object]:
    """What stands for $1, $2, ...: the report's head comment names them."""
    chosen = wanted.chosen or {}
    for parameter in _CHOICES:
        words = _WORD.findall(known.get(parameter, ""))
        if words and chosen.get(parameter, words[0]) not in words:
            raise Refused(f"{parameter} is {', '.join(words[:-1])} or {words[-1]}", parameter)
    if "zone" in chosen:
        check_zone(chosen["zone"], "zone")
    refuse_foreign(f"the report {name}", known.keys() - set(_OURS), wanted)
    values: dict[str, object] = {
        **chosen,
        "from": wanted.since,
        "to": wanted.until,
        "provider": wanted.provider,
        "after": wanted.after,
        "limit": wanted.limit,
    }
    if snapshot is not None:
        values |= {"as_of": snapshot.as_of, "era": snapshot.era, "snapshot": snapshot.transactions}
    return [values.get(parameter) for parameter in known]


def refuse_foreign(what: str, known: Collection[str], wanted: Filter) -> None:
    """Refused when something is asked for that `what` does not have: no parameter is ever ignored."""
    bounds = {"from": wanted.since, "to": wanted.until, "provider": wanted.provider}
    for parameter in (*(name for name, value in bounds.items() if value is not None), *(wanted.chosen or {})):
        if parameter not in known:
            raise Refused(f"{what} has no parameter {parameter}", parameter)


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
    linked = any(column.name == "_link" for column in attributes)
    async for record in cursor:
        values = tuple(record)
        cells: list[Cell] = []
        for place, is_money, write in shown:
            value = values[place]
            if is_money:
                cells.append(None if value is None else _amount(value, record["currency"]))
            cells.append(value if write is None or value is None else write(value))
        yield Row(tuple(cells), record["_cursor"], _link(record["_link"]) if linked else None)


def _amount(minor: int, asset: str) -> str:
    """Money as a decimal string; units of vouchers are whole numbers."""
    return str(minor) if asset in UNIT_ASSETS.values() else decimal_text(minor, asset)


def _link(text: str | None) -> Link | None:
    """A row's `_link`; times in it come with the offset that PostgreSQL wrote."""
    if text is None:
        return None
    link = json.loads(text)
    given = link.get("parameters") or {}
    return Link(link["path"], {name: str(value) for name, value in given.items() if value is not None})


_WRITERS: Mapping[str, Callable[[Any], Cell]] = {
    "timestamptz": lambda at: f"{at.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z",
    "date": date.isoformat,
    "uuid": str,
    "numeric": str,
}
"""How values of some PostgreSQL types become JSON values; text, integers and booleans are. Times come in UTC."""


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
