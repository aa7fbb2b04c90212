"""`csms report NAME`: a report as CSV, JSON, XLSX or OCPI CDRs, streamed."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from csms.api import jsontext
from csms.base.errors import Refused
from csms.clocks import wall
from csms.commands.database import connected
from csms.config import Settings
from csms.db import Connection
from csms.flows import cdr, reports
from csms.flows.sheets import Workbook, csv_line

ROWS = 1_000
"""Rows written to a workbook at a time."""

CHOSEN = (
    *("station", "site", "driver", "tariff", "connector_kind", "currency", "kind", "owner", "state"),
    *("by", "zone"),
)
"""Flags that are parameters of some reports."""


def instant(text: str | None, field: str) -> datetime | None:
    """A date (its first moment, UTC) or an RFC 3339 instant; None stays None."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"--{field} {text!r} is not a date such as 2026-11-01 or 2026-11-01T08:00:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


async def report(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print a report, or write it to `--out`; without a name, what reports there are."""
    if arguments.name is None:
        _list(arguments.json)
        return 0
    form = "json" if arguments.json else arguments.format
    if form == "xlsx" and arguments.out is None:
        raise Refused("a workbook is not for a terminal; say where it goes with --out FILE")
    chosen = {name: value for name in CHOSEN if (value := getattr(arguments, name)) is not None}
    wanted = reports.Filter(
        since=instant(arguments.since, "from"),
        until=instant(arguments.until, "to"),
        provider=arguments.provider,
        chosen=chosen,
    )
    as_of = instant(arguments.as_of, "as-of")
    reports.find(arguments.name)
    async with connected(settings, create=False) as conn:
        snapshot = None if as_of is None else await reports.take_snapshot(conn, arguments.name, as_of, wall())
        if form == "ocpi":
            await _write_cdrs(conn, arguments, wanted, snapshot)
            return 0
        async with reports.opened(conn, arguments.name, wanted, snapshot) as opened:
            if form == "xlsx":
                await _write_xlsx(opened, arguments, reports.EPOCH if snapshot is None else snapshot.as_of)
                return 0
            with _output(arguments.out) as out:
                if form == "json":
                    await _write_json(opened, out)
                else:
                    out.write(csv_line(opened.columns))
                    async for row in opened.rows:
                        out.write(csv_line(row.cells))
    return 0


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is there only when it is whole."""
    if path is None:
        yield sys.stdout
        return
    with _whole(path) as part, part.open("w", encoding="utf-8", newline="") as out:
        yield out


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside `path`, which takes its place at the end; half a report never looks whole."""
    with tempfile.TemporaryDirectory(prefix=".csms-report-", dir=path.parent) as folder:
        part = Path(folder) / "report"
        yield part
        part.replace(path)


async def _write_json(opened: reports.Report, out: TextIO) -> None:
    """A JSON list with an object per row, one row a line."""
    separator = "[\n"
    async for row in opened.rows:
        line = json.dumps(dict(zip(opened.columns, row.cells, strict=True)), ensure_ascii=False)
        out.write(separator + line)
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


async def _write_xlsx(opened: reports.Report, arguments: argparse.Namespace, made_at: datetime) -> None:
    with _whole(arguments.out) as part:
        book = Workbook(part, arguments.name, opened.columns, made_at)
        rows: list[tuple[reports.Cell, ...]] = []
        async for row in opened.rows:
            rows.append(row.cells)
            if len(rows) >= ROWS:
                book.write(rows)
                rows = []
        book.write(rows)
        book.close()


async def _write_cdrs(
    conn: Connection, arguments: argparse.Namespace, wanted: reports.Filter, snapshot: reports.Snapshot | None
) -> None:
    """A JSON list of CDRs, one a line."""
    if arguments.name != "bills":
        raise Refused("only the report bills has an OCPI form: its CDRs")
    async with cdr.opened(conn, wanted, snapshot, arguments.ocpi_version) as cdrs:
        with _output(arguments.out) as out:
            separator = "[\n"
            async for each in cdrs:
                out.write(separator + jsontext.write(each.document))
                separator = ",\n"
            out.write("[]\n" if separator == "[\n" else "\n]\n")


def _list(as_json: bool) -> None:
    summaries = reports.summaries()
    if as_json:
        print(json.dumps(summaries, ensure_ascii=False))
    else:
        print("\n".join(f"{name:20} {summary}" for name, summary in summaries.items()))
