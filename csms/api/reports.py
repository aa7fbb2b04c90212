"""Reports: pages of JSON or OCPI, or the whole as CSV or XLSX of any length."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlencode

import structlog
from aiohttp import web
from pydantic import Field

from csms.api import jsontext
from csms.api.answers import ReportPage
from csms.api.call import Call, Route, connection
from csms.api.openapi import XLSX_TYPE
from csms.api.paging import seal, unseal
from csms.api.problems import Problem
from csms.api.shapes import PAGE_DEFAULT, PAGE_MAX, Moment, Parameter, Query
from csms.base.clock import rfc3339, rfc3339_ms
from csms.base.errors import Refused
from csms.flows import cdr
from csms.flows.reports import EPOCH, Filter, Link, Report, Snapshot, cursor_text, opened, take_snapshot
from csms.flows.sheets import BOM, Cell, Workbook, csv_line

WRITE_S_MAX = 60
"""A reader who takes nothing for so long is let go, because a report keeps a database connection."""
TURN_S_MAX = 30
"""How long a report waits while as many as may be read at once are being read."""
BLOCK_CHARACTERS = 64 * 1024
XLSX_ROWS = 1_000
"""Rows written to a workbook at a time, beside the event loop."""
KEPT = ("from", "to", "provider", "as_of")
"""What a link from one report to another takes over."""

log = structlog.get_logger("csms.api")


class ReportQuery(Query):
    """Which rows of a report, and in which form. Not every report has every parameter; none is ignored."""

    since: Moment | None = Field(None, alias="from", description="at this time or later")
    until: Moment | None = Field(None, alias="to", description="before this time")
    as_of: Moment | None = Field(
        None, description="as it was known when this time was first asked for: the same answer whenever it is asked"
    )
    provider: Parameter | None = Field(None, description="of this provider")
    station: Parameter | None = Field(None, description="of this station")
    site: Parameter | None = Field(None, description="at this site")
    driver: Parameter | None = Field(None, description="of this driver")
    tariff: Parameter | None = Field(None, description="priced by this tariff")
    connector_kind: Parameter | None = Field(None, description="at connectors of this kind")
    currency: Parameter | None = Field(None, description="in this currency")
    kind: Parameter | None = Field(None, description="exceptions of this kind")
    owner: Parameter | None = Field(None, description="exceptions that this person minds")
    state: Parameter | None = Field(None, description="only in this state")
    by: Parameter | None = Field(None, description="what is added up by; the reference of reports tells which can be")
    zone: Parameter | None = Field(None, description="IANA time zone of days; UTC when nothing is said")
    format: Literal["json", "csv", "xlsx", "ocpi"] = Field("json", description="JSON and OCPI come in pages")
    version: Literal["2.2.1", "2.3.0"] = Field("2.2.1", description="of OCPI")
    bom: bool = Field(False, description="begin CSV with a byte order mark, for spreadsheets")
    cursor: Parameter | None = Field(None, description="`next_cursor` of the page before")
    limit: int | None = Field(None, ge=1, description=f"rows; of a page {PAGE_DEFAULT} at first and at most {PAGE_MAX}")

    def filter(self) -> Filter:
        """The filter of the report."""
        names = (
            *("station", "site", "driver", "tariff", "connector_kind", "currency"),
            *("kind", "owner", "state", "by", "zone"),
        )
        chosen = {name: value for name in names if (value := getattr(self, name)) is not None}
        after = None if self.cursor is None else cursor_text(unseal(self.cursor))
        paged = self.format in ("json", "ocpi")
        limit = min(self.limit or PAGE_DEFAULT, PAGE_MAX) + 1 if paged else self.limit
        return Filter(
            self.since, self.until, self.provider, after, None if limit is None else min(limit, 2**62), chosen
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """A report that is asked for: its name, which rows, and the snapshot of its `as_of`."""

    name: str
    wanted: Filter
    snapshot: Snapshot | None

    @property
    def page(self) -> int:
        """Rows of a page; one more is read, to see whether there is another page."""
        return (self.wanted.limit or 1) - 1

    @property
    def headers(self) -> dict[str, str]:
        """What tells of the snapshot, so that it can be asked for again."""
        if self.snapshot is None:
            return {}
        return {
            "X-As-Of": self.snapshot.as_of.isoformat().replace("+00:00", "Z"),
            "X-Snapshot-Taken-At": rfc3339_ms(self.snapshot.taken_at),
        }


async def show_report(call: Call) -> ReportPage | web.StreamResponse:
    """
    A report by name.

    With `as_of` it is what was known when that time was first asked for: two exports are the same,
    byte by byte, whatever came in meanwhile, also what is dated earlier.
    """
    query: ReportQuery = call.query
    name, wanted, snapshot = call.path["report"], query.filter(), None
    if query.format == "ocpi" and name != "bills":
        raise Refused("only the report bills has an OCPI form: its CDRs", "format")
    async with turn(call.parts.streams):
        if query.as_of is not None:
            async with connection(replace(call.parts, reads=False)) as conn:
                snapshot = await take_snapshot(conn, name, query.as_of, call.parts.clock())
        asked = Asked(name, wanted, snapshot)
        async with connection(call.parts) as conn:
            if query.format == "ocpi":
                total = await cdr.count(conn, wanted, snapshot)
                async with cdr.opened(conn, wanted, snapshot, query.version) as cdrs:
                    return await _ocpi(call, asked, cdrs, total)
            async with opened(conn, name, wanted, snapshot) as report:
                match query.format:
                    case "csv":
                        return await _sent(call, asked, "text/csv", "csv", _csv(report, query.bom))
                    case "xlsx":
                        return await _sent(call, asked, XLSX_TYPE, "xlsx", _xlsx(asked, report))
                return await _page(call, asked, report)


@asynccontextmanager
async def turn(streams: asyncio.Semaphore) -> AsyncIterator[None]:
    """One of the places of `streams`; Problem 503 when slow readers keep them all."""
    try:
        async with asyncio.timeout(TURN_S_MAX):
            await streams.acquire()
    except TimeoutError:
        raise Problem(503, "too many reports are being read at once; try again") from None
    try:
        yield
    finally:
        streams.release()


async def _page(call: Call, asked: Asked, report: Report) -> ReportPage:
    rows = [row async for row in report.rows]
    shown = rows[: asked.page]
    last = shown[-1].cursor if shown and len(rows) > asked.page else None
    snapshot = asked.snapshot
    return ReportPage(
        report=asked.name,
        as_of=None if snapshot is None else snapshot.as_of,
        snapshot_taken_at=None if snapshot is None else snapshot.taken_at,
        columns=list(report.columns),
        items=[dict(zip(report.columns, row.cells, strict=True)) for row in shown],
        links=[_address(call, row.link) for row in shown],
        next_cursor=None if last is None else seal(last),
    )


def _address(call: Call, link: Link | None) -> str | None:
    """A link as an address under `/api`; one to another report takes over what this one was narrowed by."""
    if link is None:
        return None
    base = call.request.path.removesuffix(f"/reports/{call.path['report']}")
    given = call.request.query
    kept = {
        n: given[n] for n in ("from", "to", "provider", "as_of") if n in given and link.path.startswith("/reports/")
    }
    parameters = {**kept, **link.parameters}
    return base + quote(link.path, safe="/:*@+=|") + (f"?{urlencode(parameters)}" if parameters else "")


async def _ocpi(call: Call, asked: Asked, cdrs: AsyncIterator[cdr.Cdr], total: int) -> web.Response:
    """A page of CDRs with OCPI's headers of paging (2.2.1 transport_and_format, pagination)."""
    found = [each async for each in cdrs]
    shown = found[: asked.page]
    headers = {"X-Total-Count": str(total), "X-Limit": str(PAGE_MAX), **asked.headers}
    if len(found) > asked.page:
        following = call.request.url.update_query(cursor=seal(shown[-1].cursor))
        headers["Link"] = f'<{following}>; rel="next"'
    body = {
        "data": [each.document for each in shown],
        "status_code": 1000,
        "status_message": "Success",
        "timestamp": rfc3339(call.parts.clock()),
    }
    return web.Response(text=jsontext.write(body), headers=headers, content_type="application/json")


async def _csv(report: Report, bom: bool) -> AsyncGenerator[bytes, None]:
    """The text in pieces of some length; at least one, which begins with the columns."""
    text = (BOM if bom else "") + csv_line(report.columns)
    async for row in report.rows:
        text += csv_line(row.cells)
        if len(text) >= BLOCK_CHARACTERS:
            yield text.encode()
            text = ""
    yield text.encode()


async def _xlsx(asked: Asked, report: Report) -> AsyncGenerator[bytes, None]:
    """The file in pieces. XLSX is an archive that is only whole at its end, so it is made on disk first."""
    made_at = EPOCH if asked.snapshot is None else asked.snapshot.as_of
    with tempfile.TemporaryDirectory(prefix="csms-report-") as folder:
        path = Path(folder) / "report.xlsx"
        book = Workbook(path, asked.name, report.columns, made_at)
        rows: list[tuple[Cell, ...]] = []
        async for row in report.rows:
            rows.append(row.cells)
            if len(rows) >= XLSX_ROWS:
                await asyncio.to_thread(book.write, rows)
                rows = []
        await asyncio.to_thread(book.write, rows)
        await asyncio.to_thread(book.close)
        with path.open("rb") as file:
            while block := file.read(BLOCK_CHARACTERS):
                yield block


async def _sent(
    call: Call, asked: Asked, content_type: str, suffix: str, blocks: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """
    The whole report, block by block; the first is read before the answer begins, so that an error can still be told.

    An error later cuts the connection, which readers notice: half a report never looks whole.
    """
    response: web.StreamResponse | None = None
    try:
        async with aclosing(blocks):
            async for block in blocks:
                response = response or await _begun(call, asked, content_type, suffix)
                async with asyncio.timeout(WRITE_S_MAX):
                    await response.write(block)
    except Exception as error:
        if response is None:
            raise
        log.warning("report cut short", report=asked.name, error=repr(error))
        if call.request.transport is not None:
            call.request.transport.abort()
        return response
    assert response is not None
    await response.write_eof()
    return response


async def _begun(call: Call, asked: Asked, content_type: str, suffix: str) -> web.StreamResponse:
    disposition = {"Content-Disposition": f'attachment; filename="{asked.name}.{suffix}"'}
    response = web.StreamResponse(headers={**disposition, **asked.headers})
    response.content_type = content_type
    if content_type.startswith("text/"):
        response.charset = "utf-8"
    await response.prepare(call.request)
    return response


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/reports/{report}", show_report, ("reports:read", "settlement:read"),
        "Read a report, as JSON, CSV, XLSX or OCPI", ReportPage, query=ReportQuery, connects=False,
    ),
)  # fmt: skip
