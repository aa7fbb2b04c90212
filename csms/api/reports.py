"""Reports, as pages of JSON or as CSV of any length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import structlog
from aiohttp import web
from pydantic import Field

from csms.api.answers import ReportPage
from csms.api.call import Call, connection
from csms.api.paging import seal, unseal
from csms.api.problems import Problem
from csms.api.shapes import PAGE_DEFAULT, PAGE_MAX, Moment, Parameter, Query
from csms.flows.reports import Filter, Report, csv_line, cursor_text, opened

WRITE_S_MAX = 60
"""A reader who takes nothing for so long is let go, because a report keeps a database connection."""
TURN_S_MAX = 30
"""How long a report waits while as many as may be read at once are being read."""
BLOCK_CHARACTERS = 64 * 1024
BOM = "\ufeff"

log = structlog.get_logger("csms.api")


class ReportQuery(Query):
    """Which rows of a report, and in which form."""

    since: Moment | None = Field(None, alias="from", description="issued at this time or later")
    until: Moment | None = Field(None, alias="to", description="issued before this time")
    provider: Parameter | None = Field(None, description="of this provider")
    by: Literal["day", "period"] | None = Field(None, description="what settlements are added up by")
    zone: Parameter | None = Field(None, description="IANA time zone of days; UTC when nothing is said")
    format: Literal["json", "csv"] = Field("json", description="JSON comes in pages, CSV whole")
    bom: bool = Field(False, description="begin CSV with a byte order mark, for spreadsheets")
    cursor: Parameter | None = Field(None, description="`next_cursor` of the page before")
    limit: int | None = Field(None, ge=1, description=f"rows; for JSON {PAGE_DEFAULT} at first and at most {PAGE_MAX}")


async def show_report(call: Call) -> ReportPage | web.StreamResponse:
    """A report by name."""
    query: ReportQuery = call.query
    after = None if query.cursor is None else cursor_text(unseal(query.cursor))
    whole = query.format == "csv"
    limit = query.limit if whole else min(query.limit or PAGE_DEFAULT, PAGE_MAX) + 1
    limit = None if limit is None else min(limit, 2**62)
    wanted = Filter(query.since, query.until, query.provider, after, limit, query.by, query.zone)
    name = call.path["report"]
    async with (
        turn(call.parts.streams),
        connection(call.parts) as conn,
        opened(conn, name, wanted) as report,
    ):
        if whole:
            return await _csv(call.request, name, report, query.bom)
        return await _page(name, report, (limit or 1) - 1)


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


async def _page(name: str, report: Report, limit: int) -> ReportPage:
    rows = [row async for row in report.rows]
    shown = rows[:limit]
    last = shown[-1].cursor if shown and len(rows) > limit else None
    return ReportPage(
        report=name,
        columns=list(report.columns),
        items=[dict(zip(report.columns, row.cells, strict=True)) for row in shown],
        next_cursor=None if last is None else seal(last),
    )


async def _csv(request: web.Request, name: str, report: Report, bom: bool) -> web.StreamResponse:
    """
    The report, block by block; the first is read before the answer begins, so that an error can still be told.

    An error later cuts the connection, which readers notice: half a report never looks whole.
    """
    response: web.StreamResponse | None = None
    try:
        async for block in _blocks(report, bom):
            response = response or await _begun(request, name)
            async with asyncio.timeout(WRITE_S_MAX):
                await response.write(block.encode())
    except Exception as error:
        if response is None:
            raise
        log.warning("report cut short", report=name, error=repr(error))
        if request.transport is not None:
            request.transport.abort()
        return response
    assert response is not None
    await response.write_eof()
    return response


async def _blocks(report: Report, bom: bool) -> AsyncIterator[str]:
    """The text in pieces of some length; at least one, which begins with the columns."""
    text = (BOM if bom else "") + csv_line(report.columns)
    async for row in report.rows:
        text += csv_line(row.cells)
        if len(text) >= BLOCK_CHARACTERS:
            yield text
            text = ""
    yield text


async def _begun(request: web.Request, name: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}.csv"'})
    response.content_type, response.charset = "text/csv", "utf-8"
    await response.prepare(request)
    return response
