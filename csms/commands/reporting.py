"""`csms report NAME`: a report as CSV or JSON, streamed."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from csms.base.errors import Refused
from csms.commands.database import connected
from csms.config import Settings
from csms.flows import reports


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
    """Print a report; without a name, what reports there are."""
    if arguments.name is None:
        _list(arguments.json)
        return 0
    wanted = reports.Filter(
        since=instant(arguments.since, "from"),
        until=instant(arguments.until, "to"),
        provider=arguments.provider,
        by=arguments.by,
        zone=arguments.zone,
    )
    async with connected(settings, create=False) as conn, reports.opened(conn, arguments.name, wanted) as opened:
        if arguments.json or arguments.format == "json":
            await _write_json(opened)
        else:
            sys.stdout.write(reports.csv_line(opened.columns))
            async for row in opened.rows:
                sys.stdout.write(reports.csv_line(row.cells))
    return 0


async def _write_json(opened: reports.Report) -> None:
    """A JSON list with an object per row, one row a line."""
    separator = "[\n"
    async for row in opened.rows:
        line = json.dumps(dict(zip(opened.columns, row.cells, strict=True)), ensure_ascii=False)
        sys.stdout.write(separator + line)
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[\n" else "\n]\n")


def _list(as_json: bool) -> None:
    summaries = reports.summaries()
    if as_json:
        print(json.dumps(summaries, ensure_ascii=False))
    else:
        print("\n".join(f"{name:20} {summary}" for name, summary in summaries.items()))
