"""One request: who asks, what is asked, and the table row that says how it is served."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import structlog
from aiohttp import web
from pydantic import BaseModel, ValidationError

from csms.api import jsontext, trail
from csms.api.auth import Access, Client
from csms.api.limits import Limit
from csms.api.problems import Problem, of_validation
from csms.api.shapes import Body, Query
from csms.base.clock import Clock
from csms.base.errors import Conflict, NotFound
from csms.base.ids import CHOSEN_ID, OUTLET_TAG, STATION_ID
from csms.db import SQL, STAFF, WRITER, Connection, Pool
from csms.flows.command import Commands
from csms.flows.erase import ME
from csms.flows.idempotency import KEY_LENGTH_MAX, once
from csms.flows.through import Submit
from csms.psp.base import Psp

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ADDRESS = re.compile(r"[a-z][A-Za-z0-9._:@|+=*-]{1,119}")
KEY = re.compile(rf"[\x21-\x7e]{{1,{KEY_LENGTH_MAX}}}")
"""What an Idempotency-Key can be."""

GUESSES_MAX, GUESSES_S = 20, 600.0
CODES_MAX, CLIENT_CODES_MAX = 10, 100
"""Gift codes that are none, of one driver and of one client (which may ask for many drivers), in `GUESSES_S`."""

log = structlog.get_logger("csms.api")

PATHS: Mapping[str, re.Pattern[str]] = {
    "station": STATION_ID,
    "site": CHOSEN_ID,
    "provider": CHOSEN_ID,
    "tariff": CHOSEN_ID,
    "driver": CHOSEN_ID,
    "session": _UUID,
    "bill": _UUID,
    "command": _UUID,
    "refund": _UUID,
    "settlement": _UUID,
    "remittance": _UUID,
    "token": re.compile(r"[^\x00-\x1f/]{1,255}"),
    "endpoint": _UUID,
    "parked_report": _UUID,
    "address": _ADDRESS,
    "report": re.compile(r"[a-z0-9_-]{1,48}"),
    "client": CHOSEN_ID,
    "exception": _UUID,
    "country": re.compile(r"[A-Z]{2}"),
    "meter_key": _UUID,
    "tag": OUTLET_TAG,
    "item": STATION_ID,
    "rental": _UUID,
    "means": _UUID,
    "swap": _UUID,
    "reservation": _UUID,
    "product": CHOSEN_ID,
    "voucher": _UUID,
    "vehicle": _UUID,
    "batch": CHOSEN_ID,
    "connector": re.compile(r"[1-9][0-9]{0,3}"),
}
"""What each `{name}` in a path can be; anything else is not found."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the interface is built on."""

    pool: Pool
    clock: Clock
    access: Access
    commands: Commands
    submit: Submit
    """Puts what people decide about sessions on the road."""
    streams: asyncio.Semaphore
    """Bounds the reports that are being streamed, each of which keeps a database connection."""
    acquire_s_max: float
    """A request that gets no database connection in this time is answered 503."""
    psps: Mapping[str, Psp] = field(default_factory=dict)
    """The payment services that are set up, by name."""
    private_hooks: bool = False
    """Webhooks may go to http addresses and into our own network."""
    guesses: Limit = field(default_factory=lambda: Limit(GUESSES_MAX, GUESSES_S))
    """How often somebody may show a cabinet's proof that is none."""
    codes: Limit = field(default_factory=lambda: Limit(CODES_MAX, GUESSES_S))
    """How many gift codes that are none a driver may try."""
    client_codes: Limit = field(default_factory=lambda: Limit(CLIENT_CODES_MAX, GUESSES_S))
    """The same of a client."""
    client: Client | None = None
    """Who asks: of one request. `connection` lets it see no more than is its own."""
    reads: bool = False
    """This request changes nothing, so it sees one instant of the database."""


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
    afterwards: list[Callable[[], Awaitable[object]]] = field(default_factory=list)
    """What is done once the request's transaction is committed, before its answer; not when it was undone."""


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
    """Gets a connection whose transaction is the whole request; otherwise the handler takes one when it needs one."""
    refuses: tuple[int, ...] = ()
    """Statuses of refusals beside those of all routes."""
    changes: bool = True
    """A POST, PUT, PATCH or DELETE that changes something leaves an event in the trail."""

    body_bytes_max: int | None = None
    """What a body may be long; None: as all of them (`app.BODY_BYTES_MAX`)."""

    @property
    def takes_a_body(self) -> bool:
        """Whether a body means anything here: where the route has no model for it, it has no fields."""
        return self.method != "GET"

    @property
    def leaves_a_trail(self) -> bool:
        """Whether what is asked here is told in the trail."""
        return self.changes and self.method != "GET"


def serve(route: Route, parts: Parts) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        client = await parts.access.require(request.headers.get("Authorization"), route.scopes)
        path = read_path(request.match_info, client)
        query = read_query(request, route.query)
        raw = body = None
        if route.body is not None:
            raw = await read_body(request if route.body_bytes_max is None else larger(request, route.body_bytes_max))
            body = check_body(raw, route.body)
        elif route.takes_a_body and await request.read():
            check_body(await read_body(request), Body)  # what nobody looks at is refused, not passed over
        own = replace(parts, client=client, reads=route.method == "GET")
        call = Call(own, client, path, query, body, request)
        try:
            return await answer(route, call, jsontext.write(raw))
        except Exception as error:
            raise told(error, route, client) from error

    return handle


async def answer(route: Route, call: Call, body: str) -> web.StreamResponse:
    """Serve a checked request; what it changes is told in the trail, by the same transaction where there is one."""
    if not route.leaves_a_trail:
        return await answer_once(route, call, body, None)
    sent = None if route.body is None else body
    event = trail.of(call.client, call.request, route.path, call.path, sent, call.parts.clock())
    if not route.connects:
        async with connection(call.parts) as conn:
            await trail.note(conn, event, None)  # it may be done before its transaction of the trail ends
    try:
        response = await answer_once(route, call, body, event)
    except Exception as error:
        await trail.note_refusal(lambda: connection(call.parts), event, error)
        raise
    if not route.connects:
        async with connection(call.parts) as conn:
            await trail.note(conn, event, response.status)
    return response


async def answer_once(route: Route, call: Call, body: str, event: trail.Event | None) -> web.StreamResponse:
    """Serve a request in one transaction where the route connects, once per Idempotency-Key where it moves money."""
    if not route.connects:
        return respond(route, await route.handler(call), call.client)
    key = idempotency_key(call.request) if route.moves_money else None
    async with connection(call.parts) as conn:
        connected = replace(call, conn=conn)
        if key is None:
            response = respond(route, await route.handler(connected), call.client)
        else:
            response = await serve_once(route, connected, key, body)
        if event is not None:
            await trail.note(conn, event, response.status)
    for act in call.afterwards:
        await act()
    return response


async def serve_once(route: Route, call: Call, key: str, body: str) -> web.Response:
    """Serve a request that moves money, once per Idempotency-Key of the client."""

    async def work() -> tuple[int, object]:
        reply = await route.handler(call)
        status, model = reply if isinstance(reply, tuple) else (route.status, reply)
        assert isinstance(model, BaseModel)
        return status, model.model_dump(mode="json", exclude=hidden(call.client))

    asked = f"{route.method} {call.request.path}\n{body}"
    status, found = await once(call.conn, call.client.id, key, asked, work)
    return web.json_response(text=json.dumps(found, sort_keys=True), status=status)


def idempotency_key(request: web.Request) -> str:
    """The request's Idempotency-Key; Problem 400 when it has none."""
    key = request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        detail = f"a request that moves money needs an Idempotency-Key of 1 to {KEY_LENGTH_MAX} printable characters"
        raise Problem(400, detail)
    return key


@asynccontextmanager
async def connection(parts: Parts) -> AsyncIterator[Connection]:
    """
    A transaction in which no more can be seen and written than is the client's own.

    Its connection is waited for at most `acquire_s_max` seconds.
    """
    client = parts.client
    assert client is not None, "only a request has a connection"
    isolation = "repeatable_read" if parts.reads else None
    async with parts.pool.acquire(timeout=parts.acquire_s_max) as conn, conn.transaction(isolation=isolation):
        await SQL.act_as.run(conn, client.role, client.provider or "", client.driver or "", client.id)
        yield conn


@asynccontextmanager
async def system(parts: Parts) -> AsyncIterator[Connection]:
    """
    A transaction of the system's own, for what it does after a request was found to be allowed.

    It sees everything: look first, through `connection`, whether the client may know of the object at all.
    """
    async with parts.pool.acquire(timeout=parts.acquire_s_max) as conn, conn.transaction():
        await SQL.act_as.run(conn, WRITER, "", "", "")
        yield conn


@asynccontextmanager
async def abroad(parts: Parts) -> AsyncIterator[Connection]:
    """
    A transaction that sees the cabinets that the client may go to: staff theirs, a driver all of them.

    What a driver is told of others' cabinets is what stands on their doors.
    """
    client = parts.client
    assert client is not None
    async with system(parts) if client.driver is not None else connection(parts) as conn:
        yield conn


def told(error: Exception, route: Route, client: Client) -> Exception:
    """The error as this client may know it: what the database keeps from others is not there for them."""
    state = getattr(error, "sqlstate", None)
    if client.role == STAFF or state not in (FORBIDDEN, TAKEN, NEEDED):
        return error
    if state == TAKEN:
        return Conflict("this id is taken")
    if state == NEEDED:
        return Conflict("something else belongs to it")
    log.info("a client asked for what the database keeps from it", route=route.path, reason=str(error))
    if "{" in route.path:
        return NotFound("there is nothing here for this client")
    return Problem(403, "this is for the operator's staff")


FORBIDDEN, TAKEN, NEEDED = "42501", "23505", "23503"
"""
What PostgreSQL says (SQLSTATE) where a role may not do something; where an id is there already, or others hang on it.

The operator's staff are told both by the flows; what the others do not see, no flow can look for.
"""

HIDDEN_FROM_DRIVERS = ("operator_share", "operator_vat", "provider_share", "host_share", "terms_version")
"""How a fee is divided is between the operator and the provider."""


def hidden(client: Client) -> Any:
    """What of an answer this client does not get, in pydantic's words."""
    if client.driver is None:
        return None
    names: dict[str, Any] = dict.fromkeys(HIDDEN_FROM_DRIVERS, True)
    return {**names, "items": {"__all__": names}}


def respond(route: Route, reply: Reply, client: Client) -> web.StreamResponse:
    """What a handler answers, as a response."""
    if isinstance(reply, web.StreamResponse):
        return reply
    if reply is None:
        return web.Response(status=204)
    status, model = reply if isinstance(reply, tuple) else (route.status, reply)
    text = model.model_dump_json(exclude=hidden(client))
    return web.Response(body=text.encode(), status=status, content_type="application/json")


def read_path(found: Mapping[str, str], client: Client) -> dict[str, str]:
    """
    The ids in the address; NotFound when one cannot be an id.

    A driver is `me` to itself. Of the ledger a provider's staff and drivers see accounts of their own:
    of others' they would see just the transfers with themselves, which look like a balance and are none.
    """
    for name, value in found.items():
        if not PATHS[name].fullmatch(value):
            raise NotFound(f"there is no such {name.replace('_', ' ')}")
    own = f"driver:{client.driver}:" if client.driver is not None else f"provider:{client.provider}:"
    if client.role != STAFF and not found.get("address", own).startswith(own):
        raise NotFound("there is no such account of yours")
    if client.driver is not None and "driver" in found:
        if found["driver"] not in (ME, client.driver):
            raise NotFound("there is no such driver")
        return {**found, "driver": client.driver}
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


def larger(request: web.Request, bytes_max: int) -> web.Request:
    """The same request, whose body may be so long."""
    return request.clone(client_max_size=bytes_max)


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
