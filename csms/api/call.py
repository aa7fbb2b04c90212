"""One request: who asks, what is asked, and the table row that says how it is served."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ValidationError

from csms.api import jsontext
from csms.api.auth import Access, Client
from csms.api.problems import Problem, of_validation
from csms.api.shapes import Body, Query
from csms.base.clock import Clock
from csms.base.errors import NotFound
from csms.base.ids import CHOSEN_ID, STATION_ID
from csms.db import Connection, Pool
from csms.flows.command import Commands
from csms.flows.idempotency import KEY_LENGTH_MAX, once

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ADDRESS = re.compile(r"[a-z][A-Za-z0-9._:@|+=*-]{1,119}")
KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH_MAX}}}")
"""What an Idempotency-Key can be."""

PATHS: Mapping[str, re.Pattern[str]] = {
    "station": STATION_ID,
    "site": CHOSEN_ID,
    "provider": CHOSEN_ID,
    "tariff": CHOSEN_ID,
    "driver": CHOSEN_ID,
    "session": _UUID,
    "bill": _UUID,
    "command": _UUID,
    "parked_report": _UUID,
    "address": _ADDRESS,
    "report": re.compile(r"[a-z0-9_-]{1,48}"),
}
"""What each `{name}` in a path can be; anything else is not found."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the interface is built on."""

    pool: Pool
    clock: Clock
    access: Access
    commands: Commands
    streams: asyncio.Semaphore
    """Bounds the reports that are being streamed, each of which keeps a database connection."""
    acquire_s_max: float
    """A request that gets no database connection in this time is answered 503."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked; `conn` is there where the route connects."""

    parts: Parts
    client: Client
    path: Mapping[str, str]
    query: Any
    body: Any
    request: web.Request
    conn: Connection = None


Reply = BaseModel | tuple[int, BaseModel] | web.StreamResponse | None
"""A model, a model with another status than the route's, a finished response, or nothing (204)."""


@dataclass(frozen=True, slots=True)
class Route:
    """One address: how it is served and who may ask. Any one of `scopes` is enough."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Callable[[Call], Awaitable[Reply]]
    scopes: tuple[str, ...]
    summary: str
    answer: Any = None
    body: type[Body] | None = None
    query: type[Query] = Query
    status: int = 200
    or_else: int | None = None
    """Another status of success: what was asked for was there already, or came while the client waited."""
    moves_money: bool = False
    connects: bool = True


def serve(route: Route, parts: Parts) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        client = parts.access.require(request.headers.get("Authorization"), route.scopes)
        path = read_path(request.match_info)
        query = read_query(request, route.query)
        raw = await read_body(request) if route.body is not None else None
        body = None if raw is None or route.body is None else check_body(raw, route.body)
        call = Call(parts, client, path, query, body, request)
        if route.moves_money:
            return await serve_once(route, call, jsontext.write(raw))
        if not route.connects:
            return respond(route, await route.handler(call))
        async with connection(parts) as conn:
            return respond(route, await route.handler(replace(call, conn=conn)))

    return handle


async def serve_once(route: Route, call: Call, body: str) -> web.Response:
    """Serve a request that moves money, once per Idempotency-Key of the client."""
    key = call.request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        detail = f"a request that moves money needs an Idempotency-Key of 1 to {KEY_LENGTH_MAX} printable characters"
        raise Problem(400, detail)
    asked = f"{route.method} {call.request.path}\n{body}"
    async with connection(call.parts) as conn:

        async def work() -> tuple[int, object]:
            reply = await route.handler(replace(call, conn=conn))
            status, model = reply if isinstance(reply, tuple) else (route.status, reply)
            assert isinstance(model, BaseModel)
            return status, model.model_dump(mode="json")

        status, answer = await once(conn, call.client.id, key, asked, work)
    return web.json_response(text=json.dumps(answer, sort_keys=True), status=status)


def connection(parts: Parts) -> AbstractAsyncContextManager[Connection]:
    """A database connection, waited for at most `acquire_s_max` seconds."""
    acquired: AbstractAsyncContextManager[Connection] = parts.pool.acquire(timeout=parts.acquire_s_max)
    return acquired


def respond(route: Route, reply: Reply) -> web.StreamResponse:
    """What a handler answers, as a response."""
    if isinstance(reply, web.StreamResponse):
        return reply
    if reply is None:
        return web.Response(status=204)
    status, model = reply if isinstance(reply, tuple) else (route.status, reply)
    return web.Response(body=model.model_dump_json().encode(), status=status, content_type="application/json")


def read_path(found: Mapping[str, str]) -> dict[str, str]:
    """The ids in the address; NotFound when one cannot be an id."""
    for name, value in found.items():
        if not PATHS[name].fullmatch(value):
            raise NotFound(f"there is no such {name.replace('_', ' ')}")
    return dict(found)


def read_query(request: web.Request, model: type[Query]) -> Query:
    """The parameters; Problem 400 when one is unknown, given twice or malformed."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            raise Problem(400, "a parameter is given twice", [{"parameter": name, "detail": "given twice"}])
        given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise of_validation(400, error, "parameter") from None


async def read_body(request: web.Request) -> object:
    """The JSON value of the body."""
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise Problem(415, "send JSON, with Content-Type: application/json")
    try:
        return jsontext.read(await request.read())
    except jsontext.NotJson as error:
        raise Problem(400, f"the body is not JSON that is taken here: {error}") from None


def check_body(raw: object, model: type[Body]) -> Body:
    """The body as its model; Problem 422 says which parts are wrong."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise of_validation(422, error) from None
