"""What people must look at: exceptions with their owners and how they ended, and reports that nobody understood."""

from __future__ import annotations

import json
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.paging import FIRST_TIME, FIRST_UUID, LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, Json, Moment, Page, Paging, Parameter
from csms.base.errors import Conflict, NotFound
from csms.db import SQL, Record

RESOLUTION_LENGTH_MAX = 2_000


class ExceptionQuery(Paging):
    """Which exceptions."""

    resolved: bool = Field(False, description="those that were resolved, too")
    kind: Parameter | None = Field(None, description="of this kind")
    owner: Parameter | None = Field(None, description="that this person minds")
    station: Parameter | None = Field(None, description="of this station")


class ParkedQuery(Paging):
    """Which parked reports."""

    station: Parameter | None = Field(None, description="of this station")


class ExceptionPatch(Body):
    """Who minds it (null: nobody), or how it ended; or both. What is resolved stays so."""

    owner: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)] | None = None
    resolution: (
        Annotated[str, StringConstraints(min_length=1, max_length=RESOLUTION_LENGTH_MAX, strip_whitespace=True)] | None
    ) = None


class Concern(Answer):
    """Something people must look at. `resolved_by` is null where it ended by itself."""

    id: str
    kind: str
    ref: str
    station: str | None
    details: Json
    opened_at: Moment
    owner: str | None
    resolved_at: Moment | None
    resolved_by: str | None
    resolution: str | None


class Change(Answer):
    """What somebody did with an exception: the owner after it, and the resolution where it gave one."""

    at: Moment
    by: str
    owner: str | None
    resolution: str | None


class ConcernWithChanges(Concern):
    """An exception and everything that people did with it, in order."""

    changes: list[Change]


class ParkedReport(Answer):
    """A report that could not be understood; `raw` is its text, where it is asked for."""

    id: str
    station: str
    action: str
    reason: str
    received_at: Moment
    raw: str | None = None


async def list_exceptions(call: Call) -> Page[Concern]:
    """What people must look at, the oldest first."""
    query: ExceptionQuery = call.query
    place = beside(query.cursor, (FIRST_TIME, FIRST_UUID))
    rows = await SQL.list_exceptions.many(
        call.conn, query.limit + 1, *place, query.resolved, query.kind, query.owner, query.station
    )
    return page(rows, query.limit, lambda row: Concern(**_concern(row)), place_in_time("opened_at"))


async def show_exception(call: Call) -> ConcernWithChanges:
    """One exception, and what people did with it."""
    return await _shown(call)


async def change_exception(call: Call) -> ConcernWithChanges:
    """Give an exception to somebody, or say how it ended. Who did so and when is kept."""
    patch: ExceptionPatch = call.body
    id_, given = UUID(call.path["exception"]), patch.model_fields_set
    if not given or (given == {"resolution"} and patch.resolution is None):
        raise Problem(422, "say who minds it (owner), or how it ended (resolution)")
    row = await SQL.lock_exception.one(call.conn, id_)
    if row is None:
        raise _not_there()
    if row["resolved_at"] is not None:
        raise Conflict("this exception is resolved; what was decided stands")
    now = call.parts.clock()
    await SQL.mind_exception.run(call.conn, id_, "owner" in given, call.client.id, patch.owner, patch.resolution, now)
    return await _shown(call)


async def _shown(call: Call) -> ConcernWithChanges:
    id_ = UUID(call.path["exception"])
    row = await SQL.show_exception.one(call.conn, id_)
    if row is None:
        raise _not_there()
    changes = [
        Change(at=change["at"], by=change["made_by"], owner=change["owner"], resolution=change["resolution"])
        for change in await SQL.exception_changes.many(call.conn, id_)
    ]
    return ConcernWithChanges(**_concern(row), changes=changes)


def _not_there() -> NotFound:
    return NotFound("there is no such exception")


def _concern(row: Record) -> dict[str, Json]:
    names = ("kind", "ref", "opened_at", "owner", "resolved_at", "resolved_by", "resolution")
    told = {name: row[name] for name in names}
    return {"id": str(row["id"]), "station": row["station_id"], "details": json.loads(row["details"]), **told}


async def list_parked_reports(call: Call) -> Page[ParkedReport]:
    """Reports that could not be understood, the newest first, without their text."""
    query: ParkedQuery = call.query
    place = beside(query.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_parked_reports.many(call.conn, query.limit + 1, *place, query.station)
    return page(rows, query.limit, _parked, place_in_time("received_at"))


async def show_parked_report(call: Call) -> ParkedReport:
    """One report that could not be understood, with its text, in which a token may stand in clear."""
    row = await SQL.show_parked_report.one(call.conn, UUID(call.path["parked_report"]))
    if row is None:
        raise NotFound("there is no such report")
    return _parked(row)


def _parked(row: Record) -> ParkedReport:
    return ParkedReport(
        id=str(row["id"]), station=row["station_id"], action=row["action"], reason=row["reason"],
        received_at=row["received_at"], raw=row.get("raw"),
    )  # fmt: skip


SEE = ("reports:read", "settlement:read", "stations:read")
MIND = ("settlement:run", "refund:create", "stations:write")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/exceptions", list_exceptions, SEE, "List what people must look at", Page[Concern],
        query=ExceptionQuery,
    ),
    Route("GET", "/exceptions/{exception}", show_exception, SEE, "Show an exception", ConcernWithChanges),
    Route(
        "PATCH", "/exceptions/{exception}", change_exception, MIND, "Mind an exception, or say how it ended",
        ConcernWithChanges, ExceptionPatch,
    ),
    Route(
        "GET", "/parked-reports", list_parked_reports, ("stations:read",),
        "List reports that could not be understood", Page[ParkedReport], query=ParkedQuery,
    ),
    Route(
        "GET", "/parked-reports/{parked_report}", show_parked_report, ("admin",),
        "Show a report that could not be understood, with its text", ParkedReport,
    ),
)  # fmt: skip
