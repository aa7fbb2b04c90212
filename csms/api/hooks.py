"""Who is told what: the endpoints of outgoing webhooks, their secrets, and what became of each message."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.paging import FIRST_UUID, LAST_TIME, LAST_UUID, after_id, beside, page, place_in_time
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId, Moment, Page, Paging
from csms.base import webhook
from csms.base.errors import NotFound, Refused
from csms.base.ids import uuid7
from csms.db import SQL, Record
from csms.hooks.webhooks import URL_LENGTH_MAX, objection_to
from csms.store.notices import TYPES, Type

SECRET_BYTES = 32
OLD_SECRET_S = 24 * 3600.0
"""How long an endpoint's secret signs beside the one that took its place."""

Url = Annotated[str, StringConstraints(min_length=8, max_length=URL_LENGTH_MAX)]
Description = Annotated[str, StringConstraints(max_length=200)]
Types = Annotated[list[Type], Field(max_length=len(TYPES), description="what it is told; empty: everything")]


class NewEndpoint(Body):
    """Somebody who wants to be told."""

    url: Url
    description: Description | None = None
    types: Types = Field(default_factory=list)
    provider: ChosenId | None = Field(None, description="whose news it is told; null: everybody's")


class EndpointPatch(Body):
    """What changes; what is left out stays."""

    url: Url | None = None
    description: Description | None = None
    types: Types | None = None
    enabled: bool | None = None


class Endpoint(Answer):
    """Who is told what. `failing_since`: it has taken nothing since; after three days it is disabled."""

    id: str
    url: str
    description: str | None
    types: list[str]
    provider: str | None
    enabled: bool
    disabled_reason: str | None
    failing_since: Moment | None
    last_error: str | None
    created_at: Moment


class EndpointSecret(Endpoint):
    """The same with its secret, which is shown this once."""

    secret: str


class Sending(Answer):
    """A message that was begun to be sent."""

    id: str


class Delivery(Answer):
    """One message to an endpoint: `waiting` for its next attempt, `done`, or `given_up`."""

    id: str
    type: str
    at: Moment
    state: Literal["waiting", "done", "given_up"]
    attempts: int
    last_error: str | None
    next_at: Moment | None
    done_at: Moment | None


async def add_endpoint(call: Call) -> EndpointSecret:
    """Begin to tell somebody."""
    body: NewEndpoint = call.body
    _check(call, body.url)
    if body.provider is not None and await SQL.show_provider.one(call.conn, body.provider) is None:
        raise Refused("there is no such provider", "/provider")
    row = await SQL.add_endpoint.one(
        call.conn, uuid7(time.time_ns() // 1_000_000, secrets.randbits(80)), body.url, body.description, body.types,
        body.provider, [_new_secret()],
    )  # fmt: skip
    return _with_secret(row)


async def list_endpoints(call: Call) -> Page[Endpoint]:
    """Everybody who is told something."""
    q: Paging = call.query
    after = FIRST_UUID if q.cursor is None else _uuid(after_id(q.cursor))
    rows = await SQL.list_endpoints.many(call.conn, after, q.limit + 1)
    return page(rows, q.limit, _endpoint, lambda row: str(row["id"]))


async def show_endpoint(call: Call) -> Endpoint:
    """One of them."""
    return _endpoint(await _found(call))


async def change_endpoint(call: Call) -> Endpoint:
    """Tell it elsewhere, other things, nothing any more, or again."""
    body: EndpointPatch = call.body
    if body.url is not None:
        _check(call, body.url)
    row, given = await _found(call), body.model_fields_set
    return _endpoint(
        await SQL.change_endpoint.one(
            call.conn,
            row["id"],
            body.url or row["url"],
            body.description if "description" in given else row["description"],
            row["types"] if body.types is None else body.types,
            row["disabled_at"] is None if body.enabled is None else body.enabled,
        )
    )


async def rotate_secret(call: Call) -> EndpointSecret:
    """A new secret; the old one signs beside it for a day."""
    row = await _found(call)
    return _with_secret(await SQL.rotate_endpoint_secret.one(call.conn, row["id"], _new_secret(), OLD_SECRET_S))


async def remove_endpoint(call: Call) -> None:
    """Tell it nothing any more, and forget it."""
    row = await _found(call)
    await SQL.remove_endpoint.run(call.conn, row["id"])


async def ping_endpoint(call: Call) -> Sending:
    """Send it a message of type `ping`, to see whether it is taken."""
    row, id_ = await _found(call), uuid4()
    await SQL.tell_endpoint.run(call.conn, id_, row["id"], "ping", "{}", call.parts.clock())
    return Sending(id=f"msg_{id_.hex}")


async def list_deliveries(call: Call) -> Page[Delivery]:
    """What it was sent, the newest first."""
    q: Paging = call.query
    row = await _found(call)
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_messages.many(call.conn, str(row["id"]), *place, q.limit + 1)
    return page(rows, q.limit, _delivery, place_in_time("at"))


async def _found(call: Call) -> Record:
    row = await SQL.show_endpoint.one(call.conn, UUID(call.path["endpoint"]))
    if row is None:
        raise NotFound("there is no such endpoint")
    return row


def _check(call: Call, url: str) -> None:
    """Refused when nothing may be sent there."""
    if (objection := objection_to(url, private=call.parts.private_hooks)) is not None:
        raise Refused(objection, "/url")


def _new_secret() -> str:
    return webhook.secret(secrets.token_bytes(SECRET_BYTES))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


def _endpoint(row: Record) -> Endpoint:
    return Endpoint(**_fields(row))


def _with_secret(row: Record) -> EndpointSecret:
    return EndpointSecret(**_fields(row), secret=row["secrets"][0])


def _fields(row: Record) -> dict[str, Any]:
    return {
        "id": str(row["id"]), "url": row["url"], "description": row["description"], "types": row["types"],
        "provider": row["provider_id"], "enabled": row["disabled_at"] is None,
        "disabled_reason": row["disabled_reason"], "failing_since": row["failing_since"],
        "last_error": row["last_error"], "created_at": row["created_at"],
    }  # fmt: skip


def _delivery(row: Record) -> Delivery:
    return Delivery(
        id=f"msg_{row['id'].hex}", type=row["type"], at=row["at"], state=row["state"], attempts=row["attempts"],
        last_error=row["last_error"], next_at=row["next_at"] if row["state"] == "waiting" else None,
        done_at=row["done_at"],
    )  # fmt: skip


ADMIN = ("admin",)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/webhook-endpoints", add_endpoint, ADMIN, "Have somebody told; answers the secret, this once",
        EndpointSecret, NewEndpoint, status=201,
    ),
    Route("GET", "/webhook-endpoints", list_endpoints, ADMIN, "List who is told what", Page[Endpoint], query=Paging),
    Route("GET", "/webhook-endpoints/{endpoint}", show_endpoint, ADMIN, "Show who is told what", Endpoint),
    Route(
        "PATCH", "/webhook-endpoints/{endpoint}", change_endpoint, ADMIN, "Change who is told what, or enable it again",
        Endpoint, EndpointPatch,
    ),
    Route("DELETE", "/webhook-endpoints/{endpoint}", remove_endpoint, ADMIN, "Tell it nothing any more", status=204),
    Route(
        "POST", "/webhook-endpoints/{endpoint}/rotate-secret", rotate_secret, ADMIN,
        "Give it a new secret; the old one signs too for a day", EndpointSecret,
    ),
    Route("POST", "/webhook-endpoints/{endpoint}/ping", ping_endpoint, ADMIN, "Send it a ping", Sending, status=202),
    Route(
        "GET", "/webhook-endpoints/{endpoint}/deliveries", list_deliveries, ADMIN, "List what it was sent",
        Page[Delivery], query=Paging,
    ),
)  # fmt: skip
