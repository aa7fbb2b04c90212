"""Clients of REST: what each scope opens, secrets that are replaced and revoked, a bounded rate of tokens."""

from __future__ import annotations

import re
from uuid import UUID

from csms import db
from csms.api.limits import Limit
from csms.api.routes import PREFIX, ROUTES
from csms.api.token_endpoint import FAILURES_MAX, SOURCE_FAILURES_MAX, TOKENS_MAX
from csms.flows import clients, idempotency
from csms.flows.admin import SCOPES
from tests.api.conftest import Reply, Rest
from tests.make import NOON


async def ask_token(rest: Rest, client_id: str, secret: str) -> Reply:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return await rest.raw("POST", "/oauth/token", data=form)


async def test_each_route_opens_to_its_scopes_and_to_no_other(rest: Rest) -> None:
    tokens = {scope: await rest.token(scope) for scope in SCOPES}
    wrong = []
    for route in ROUTES:
        path = PREFIX + re.sub(r"{[a-z_]+}", str(UUID(int=7)), route.path)
        for scope, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            reply = await rest.raw(route.method, path, headers=headers, data=b"null")
            opens = scope != "driver:self" and (scope in route.scopes or scope == "admin")
            if (reply.status != 403) != opens:
                wrong.append((route.method, route.path, scope, reply.status))
    assert wrong == []


def test_every_scope_opens_something() -> None:
    assert {scope for route in ROUTES for scope in route.scopes} | {"admin"} == set(SCOPES)


async def test_an_administrator_adds_lists_and_revokes_clients(seeded: Rest) -> None:
    made = await seeded.post("/clients", {"scopes": ["stations:read"], "name": "export", "provider": "P"})
    listed = {client["id"]: client for client in (await seeded.get("/clients"))["items"]}
    assert listed[made["id"]] == {**made, "secret": None} and made["provider"] == "P"
    token = (await ask_token(seeded, made["id"], made["secret"])).json
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert (await seeded.raw("GET", f"{PREFIX}/stations", headers=headers)).status == 200
    assert (await seeded.ask("DELETE", f"/clients/{made['id']}")).status == 204
    assert (await ask_token(seeded, made["id"], made["secret"])).status == 401
    left = {client["id"] for client in (await seeded.get("/clients"))["items"] if client["revoked_at"] is None}
    assert made["id"] not in left and left
    assert (await seeded.ask("DELETE", "/clients/none")).status == 404
    for body in ({"scopes": []}, {"scopes": ["all"]}, {"scopes": ["admin"], "provider": "none"}):
        assert (await seeded.ask("POST", "/clients", json=body)).status == 422, body


async def test_a_new_secret_replaces_the_old_one_at_once_or_after_a_while(seeded: Rest) -> None:
    client_id, first = await seeded.client("stations:read")
    second = (await seeded.post(f"/clients/{client_id}/secret", {"keep_old_s": 60}))["secret"]
    assert [(await ask_token(seeded, client_id, secret)).status for secret in (first, second)] == [200, 200]
    third = (await seeded.post(f"/clients/{client_id}/secret", {}))["secret"]
    tried = [(await ask_token(seeded, client_id, secret)).status for secret in (first, second, third)]
    assert tried == [401, 401, 200]
    assert (await seeded.ask("POST", f"/clients/{client_id}/secret", json={"keep_old_s": 10**9})).status == 422
    await seeded.ask("DELETE", f"/clients/{client_id}")
    assert (await seeded.ask("POST", f"/clients/{client_id}/secret", json={})).status == 404


async def test_guessing_a_secret_is_slowed_and_locks_no_other_client_out(seeded: Rest) -> None:
    client_id, secret = await seeded.client("stations:read")
    other = await seeded.client("stations:read")
    for _ in range(FAILURES_MAX):
        assert (await ask_token(seeded, client_id, "guess")).status == 401
    slowed = await ask_token(seeded, client_id, secret)
    assert slowed.status == 429 and 0 < int(slowed.headers["Retry-After"]) <= 60
    assert slowed.headers["Content-Type"] == "application/problem+json"
    assert (await ask_token(seeded, *other)).status == 200


async def test_one_source_guesses_no_more_by_naming_many_clients(rest: Rest) -> None:
    for n in range(SOURCE_FAILURES_MAX):
        assert (await ask_token(rest, f"client-{n}", "guess")).status == 401
    assert (await ask_token(rest, "client-new", "guess")).status == 429


async def test_a_client_that_asks_for_a_token_per_request_is_told_so(seeded: Rest) -> None:
    client_id, secret = await seeded.client("stations:read")
    statuses = [(await ask_token(seeded, client_id, secret)).status for _ in range(TOKENS_MAX + 1)]
    assert statuses == [200] * TOKENS_MAX + [429]


def test_a_limit_forgets_when_its_window_is_over() -> None:
    now = [0.0]
    limit = Limit(2, 10.0, lambda: now[0])
    for _ in range(2):
        assert limit.wait_s("a") == 0
        limit.note("a")
    assert (limit.wait_s("a"), limit.wait_s("b")) == (10.0, 0.0)
    now[0] = 4.0
    assert limit.wait_s("a") == 6.0
    now[0] = 10.0
    assert limit.wait_s("a") == 0


async def test_answers_nobody_repeats_any_more_are_forgotten(conn: db.Connection) -> None:
    client_id, _ = await clients.add_client(conn, ["admin"], None, NOON)
    add = (
        "insert into idempotency_key (client_id, key, body_hash, created_at) values ($1, $2, '', now() - $3::interval)"
    )
    await conn.execute(add, client_id, "old", idempotency.KEPT * 1.01)
    await conn.execute(add, client_id, "new", idempotency.KEPT * 0.99)
    await idempotency.sweep(conn)
    assert [row["key"] for row in await conn.fetch("select key from idempotency_key")] == ["new"]
