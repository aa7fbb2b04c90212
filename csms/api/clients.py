"""Clients of this interface, as the operator's administrators see and change them."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.paging import after_id, page
from csms.api.shapes import Answer, Body, ChosenId, Moment, Name, Page, Paging
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.flows import clients

SCOPES_MAX = 40


class NewClient(Body):
    """A client; with `provider` it is of that provider's staff and sees no other's."""

    scopes: list[Annotated[str, StringConstraints(max_length=40)]] = Field(min_length=1, max_length=SCOPES_MAX)
    name: Name | None = None
    provider: ChosenId | None = None


class NewSecret(Body):
    """A new secret; the old one works for `keep_old_s` seconds more."""

    keep_old_s: Annotated[int, Field(ge=0, le=clients.KEEP_OLD_S_MAX)] = 0


class Client(Answer):
    """A client. `secret` is there only where this very request made it."""

    id: str
    name: str | None
    scopes: list[str]
    provider: str | None
    created_at: Moment
    revoked_at: Moment | None
    old_secret_until: Moment | None
    secret: str | None = None


async def add_client(call: Call) -> Client:
    """Add a client; the answer tells its secret, this once."""
    new: NewClient = call.body
    client_id, secret = await clients.add_client(call.conn, new.scopes, new.name, call.parts.clock(), new.provider)
    return await _client(call, client_id, secret)


async def list_clients(call: Call) -> Page[Client]:
    """Clients by id, those that were revoked, too."""
    query: Paging = call.query
    rows = await SQL.list_clients.many(call.conn, after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, _shown, lambda row: str(row["id"]))


async def replace_secret(call: Call) -> Client:
    """Give a client a new secret, told in the answer, this once."""
    body: NewSecret = call.body
    secret = await clients.replace_secret(call.conn, call.path["client"], body.keep_old_s)
    return await _client(call, call.path["client"], secret)


async def revoke_client(call: Call) -> web.StreamResponse | None:
    """Give a client no further tokens; those it has end within 15 minutes."""
    await clients.revoke(call.conn, call.path["client"], call.parts.clock())
    return None


async def _client(call: Call, client_id: str, secret: str) -> Client:
    row = await SQL.show_client.one(call.conn, client_id)
    if row is None:
        raise NotFound(f"there is no client {client_id}")
    return _shown(row, secret)


def _shown(row: Record, secret: str | None = None) -> Client:
    return Client(
        id=row["id"], name=row["name"], scopes=row["scopes"], provider=row["provider_id"],
        created_at=row["created_at"], revoked_at=row["revoked_at"], old_secret_until=row["previous_until"],
        secret=secret,
    )  # fmt: skip


ADMIN = ("admin",)

ROUTES = (
    Route("POST", "/clients", add_client, ADMIN, "Let a program use REST", Client, NewClient, status=201),
    Route("GET", "/clients", list_clients, ADMIN, "List clients", Page[Client], query=Paging),
    Route(
        "POST", "/clients/{client}/secret", replace_secret, ADMIN, "Give a client a new secret", Client, NewSecret,
    ),
    Route("DELETE", "/clients/{client}", revoke_client, ADMIN, "Revoke a client", status=204),
)  # fmt: skip
