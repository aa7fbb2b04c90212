"""The tagged outlets of sites, into which portable chargers are plugged."""

from __future__ import annotations

from csms.api.call import Call, Route
from csms.api.paging import after_id, page
from csms.api.shapes import Answer, Moment, Page, Paging
from csms.db import Record
from csms.flows import outlets


class Outlet(Answer):
    """An outlet: the tag that portable chargers read there, and the site whose host gives the electricity."""

    tag: str
    site: str
    created_at: Moment


async def put_outlet(call: Call) -> tuple[int, Outlet]:
    """Give a site an outlet; the same again is the one that is there."""
    row, is_new = await outlets.add(call.conn, call.path["site"], call.path["tag"], call.parts.clock())
    return 201 if is_new else 200, _outlet(row)


async def list_outlets(call: Call) -> Page[Outlet]:
    """A site's outlets by tag."""
    query: Paging = call.query
    rows = await outlets.listed(call.conn, call.path["site"], after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, _outlet, lambda row: str(row["tag"]))


async def remove_outlet(call: Call) -> None:
    """Take an outlet away from a site."""
    await outlets.remove(call.conn, call.path["site"], call.path["tag"])


def _outlet(row: Record) -> Outlet:
    return Outlet(tag=row["tag"], site=row["site_id"], created_at=row["created_at"])


ROUTES: tuple[Route, ...] = (
    Route(
        "PUT", "/sites/{site}/outlets/{tag}", put_outlet, ("stations:write",), "Give a site an outlet with a tag",
        Outlet, status=201, or_else=200,
    ),
    Route(
        "GET", "/sites/{site}/outlets", list_outlets, ("stations:read",), "List a site's outlets", Page[Outlet],
        query=Paging,
    ),
    Route(
        "DELETE", "/sites/{site}/outlets/{tag}", remove_outlet, ("stations:write",), "Take an outlet away from a site",
        status=204,
    ),
)  # fmt: skip
