"""What people ask to be changed, told in the audit trail with what it was answered."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import structlog
from aiohttp import web

from csms.api.auth import Client
from csms.api.problems import of_error
from csms.db import TROUBLE, Connection
from csms.flows.audit import Event, append

__all__ = ["REQUEST_ID", "Event", "note", "note_refusal", "of", "request_id"]

REQUEST_ID = web.RequestKey("request_id", str)
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("csms.api")


def request_id(request: web.Request) -> str:
    """The request's name in the log and the trail: the client's `X-Request-Id` where it can be one, else a new one."""
    if REQUEST_ID not in request:
        given = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = given if _GIVEN.fullmatch(given) else secrets.token_hex(8)
    return request[REQUEST_ID]


def of(
    client: Client, request: web.Request, route: str, path: Mapping[str, str], body: str | None, now: datetime
) -> Event:
    """
    What is asked. Of the body only a hash is kept, for secrets and names may stand in it.

    A token in the address is left out: the trail never changes, and who is forgotten takes the token along.
    """
    digest = None if body is None else hashlib.sha256(body.encode()).digest()
    ids = {name: value for name, value in path.items() if name != "token"}
    return Event(
        now, client.id, client.provider, client.driver, request.method, route, ids, digest, request_id(request)
    )


async def note(conn: Connection, event: Event, status: int | None) -> None:
    """Add the event to the trail, last in its transaction; without a status it is about to be done."""
    await append(conn, event, status)


async def note_refusal(
    connect: Callable[[], AbstractAsyncContextManager[Connection]], event: Event, error: Exception
) -> None:
    """Add an event whose transaction was undone."""
    problem = of_error(error)
    try:
        async with connect() as conn:
            await append(conn, event, 500 if problem is None else problem.status)
    except TROUBLE as trouble:
        log.warning("a refused request is not in the trail", request_id=event.request_id, error=str(trouble))
