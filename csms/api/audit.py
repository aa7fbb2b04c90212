"""The audit trail, as people read it."""

from __future__ import annotations

import json

from pydantic import Field

from csms.api.call import Call, Route
from csms.api.paging import page, unseal
from csms.api.problems import Problem
from csms.api.shapes import Answer, Moment, Page, Paging, Parameter
from csms.db import SQL, Record

NUMBER_MAX = 2**63 - 1


class AuditQuery(Paging):
    """Which events."""

    client: Parameter | None = Field(None, description="asked by this client")
    route: Parameter | None = Field(None, description="at this address, as a pattern such as /stations/{station}")
    since: Moment | None = Field(None, alias="from", description="at this time or later")
    until: Moment | None = Field(None, alias="to", description="before this time")


class AuditEvent(Answer):
    """
    What somebody asked to be changed. `status` is the answer's; null in the event before something was tried.

    `body_hash` is the SHA-256 of what was sent; `hash` covers this event and, through the one before,
    all earlier ones.
    """

    n: int
    at: Moment
    client: str
    provider: str | None
    driver: str | None
    method: str
    route: str
    object: dict[str, str]
    status: int | None
    request_id: str
    body_hash: str | None
    hash: str


async def list_audit(call: Call) -> Page[AuditEvent]:
    """What people asked to be changed, the newest first; a provider's staff see what their own clients asked."""
    query: AuditQuery = call.query
    rows = await SQL.list_audit.many(
        call.conn, query.limit + 1, _below(query.cursor), query.client, query.route, query.since, query.until
    )
    return page(rows, query.limit, _event, lambda row: str(row["n"]))


def _below(cursor: str | None) -> int:
    """The number that the list goes on below."""
    text = str(NUMBER_MAX) if cursor is None else unseal(cursor)
    if not text.isascii() or not text.isdecimal() or int(text) > NUMBER_MAX:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given")
    return int(text)


def _event(row: Record) -> AuditEvent:
    return AuditEvent(
        n=row["n"], at=row["at"], client=row["client"], provider=row["provider_id"], driver=row["driver_id"],
        method=row["method"], route=row["route"], object=json.loads(row["object"]), status=row["status"],
        request_id=row["request_id"], body_hash=row["body_hash"], hash=row["hash"],
    )  # fmt: skip


ROUTES = (
    Route(
        "GET", "/audit", list_audit, ("reports:read",), "Show what people changed", Page[AuditEvent], query=AuditQuery
    ),
)
