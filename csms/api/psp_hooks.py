"""The door for what payment services tell us, and the list of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from csms.api.call import Call, Parts, Route, system
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.problems import Problem
from csms.api.shapes import Answer, Moment, Page, Paging
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.flows import webhooks
from csms.psp.base import Unverified

UNVERIFIED_MAX, UNVERIFIED_S = 60, 60.0
"""So many webhooks without a good signature are kept in so many seconds, of each psp: anybody may send them."""


class Heard(Answer):
    """A webhook of a psp as it came, and what came of asking the psp about it."""

    id: str
    psp: str
    event_id: str
    verified: bool
    reason: str | None
    kind: str | None
    ref: str | None
    occurred_at: Moment | None
    received_at: Moment
    outcome: str | None


async def list_heard(call: Call) -> Page[Heard]:
    """What payment services told us, the newest first."""
    q: Paging = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_webhooks_in.many(call.conn, *place, q.limit + 1)
    return page(rows, q.limit, _heard, place_in_time("received_at"))


class Receiver:
    """The door for payment services: whatever comes is kept, answered 200, and looked into by a job."""

    def __init__(self, parts: Parts, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._monotonic = monotonic
        self._unverified: dict[str, list[float]] = {}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`POST /webhooks/{psp}`, or `POST /webhooks` with the psp's name as `?psp=` or in `webhook-psp`."""
        name = request.match_info.get("psp") or request.query.get("psp") or request.headers.get("webhook-psp") or ""
        psp = self._parts.psps.get(name)
        if psp is None:
            raise NotFound("there is no such payment service")
        if (request.content_length or 0) > webhooks.RAW_BYTES_MAX:
            raise Problem(413, "the body is too large")
        raw = await request.read()
        if len(raw) > webhooks.RAW_BYTES_MAX:
            raise Problem(413, "the body is too large")
        told = webhooks.read(psp, request.headers, raw)
        if isinstance(told, Unverified) and not self._has_room(name):
            raise Problem(429, "too many messages without a good signature", headers={"Retry-After": "60"})
        async with system(self._parts) as conn:
            await webhooks.keep(conn, name, told, request.headers, raw, self._parts.clock())
        return web.json_response({})

    def _has_room(self, psp: str) -> bool:
        now = self._monotonic()
        recent = [at for at in self._unverified.get(psp, []) if now - at < UNVERIFIED_S]
        self._unverified[psp] = recent
        if len(recent) >= UNVERIFIED_MAX:
            return False
        recent.append(now)
        return True


def _heard(row: Record) -> Heard:
    return Heard(
        id=str(row["id"]), psp=row["psp"], event_id=row["event_id"], verified=row["verified"], reason=row["reason"],
        kind=row["kind"], ref=row["ref"], occurred_at=row["occurred_at"], received_at=row["received_at"],
        outcome=row["outcome"],
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route("GET", "/webhooks", list_heard, ("admin",), "List what payment services told us", Page[Heard], query=Paging),
)
