"""A provider's staff and a driver ask every route, as the OpenAPI document lists them, for everything of others."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Issuer
from csms.api.routes import PREFIX
from csms.domain import gift_code
from csms.flows.admin import SCOPES
from tests.api.conftest import Rest, running
from tests.api.issuer import IssuerServer, issuing
from tests.api.requests import Asked, requests
from tests.api.two_providers import MARK, Things, fingerprint, two_providers

ALL_SCOPES = tuple(SCOPES)
ELEMENTS = [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}]
SESSION = {
    "start_date_time": "2026-11-20T12:00:00Z",
    "end_date_time": "2026-11-20T13:00:00Z",
    "charging_periods": [{"start_date_time": "2026-11-20T12:00:00Z", "dimensions": [{"type": "ENERGY", "volume": 1}]}],
}
TARIFF = {"id": "new-tariff", "currency": "KRW", "elements": ELEMENTS, "last_updated": "2026-01-01T00:00:00Z"}
BODIES: dict[str, Any] = {
    "POST /tariffs": {**TARIFF, "country_code": "KR", "party_id": "CSM", "tax_included": "YES"},
    "POST /tariffs/price": {"tariff": {**TARIFF, "country_code": "KR", "party_id": "CSM"}, "session": SESSION},
    "POST /clients": {"scopes": ["reports:read"], "provider": "foreign-p"},
    "PATCH /drivers/{driver}": {"name": "changed"},
    "PATCH /exceptions/{exception}": {"owner": "somebody"},
    "POST /bills/{bill}/corrections": {"energy_wh": 1, "reason": "changed"},
    "PATCH /providers/{provider}": {"name": "changed"},
    "POST /items/{item}/state": {"serial": "foreign-s-serial", "soc": 100, "soh": 100},
    "POST /reservations": {
        "station": "foreign-s",
        "driver": "foreign-d",
        "days": ["MON"],
        "begins": "07:00",
        "minutes": 5,
        "from": "2026-11-20",
    },
    "POST /voucher-products": {
        "id": "foreign-s-product",
        "name": "x",
        "unit": "wh",
        "amount": 1,
        "price": {"minor": 1, "currency": "KRW"},
        "valid_days": 1,
    },
    "POST /drivers/{driver}/vouchers/redeem": {"code": gift_code.make(1)},
}
"""Bodies whose schema does not tell enough."""
NOBODYS = {"country": "KR", "report": "bills", "psp": "social", "connector": "1"}
"""Names in addresses that are nobody's."""
OFFERED = {"/voucher-products", "/voucher-products/{product}"}
"""What every driver may see of any provider: what is for sale."""


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    """An issuer of drivers' tokens."""
    async with issuing() as server:
        yield server


@pytest.fixture
async def world(dsn: str, pool: db.Pool, issuer: IssuerServer) -> AsyncIterator[tuple[Rest, Things, Things]]:
    """The interface over two providers; what is provider P's (and driver ann's), and what is foreign to it."""
    settings = Settings(acquire_s_max=5.0, issuers=(Issuer(issuer.url, "csms", "driver", ("ES256",)),))
    async with pool.acquire() as conn:
        own, foreign = await two_providers(conn, dsn)
        await conn.execute("insert into driver_identity values ($1, 'ann', 'ann')", issuer.url)
    async with running(dsn, pool, settings) as rest:
        yield rest, own, foreign


async def ask(rest: Rest, asked: Asked, number: int, headers: dict[str, str]) -> Any:
    """Send a request that was made from the document."""
    keyed = {**headers, "Idempotency-Key": f"k-{number}"} if asked.moves_money else headers
    body = {} if asked.body is None else {"json": asked.body}
    return await rest.raw(asked.method, f"{PREFIX}{asked.path}", headers=keyed, **body)


async def every_answer(rest: Rest, known: dict[str, str], headers: dict[str, str]) -> list[tuple[Asked, Any]]:
    """What every operation of the document answers about the objects of `known`."""
    document = (await rest.raw("GET", f"{PREFIX}/openapi.json")).json
    asked = list(requests(document, known, BODIES))
    return [(one, await ask(rest, one, number, headers)) for number, one in enumerate(asked)]


def strangers(texts: bytes, things: Things, sent: Asked) -> list[str]:
    """Which of the other's things an answer tells, apart from what the request named itself."""
    text = texts.decode(errors="replace")
    named = f"{sent.path} {sent.body}"
    if sent.pattern == "/audit":
        return []  # it says what this client asked for itself: see test_audit.py
    ids = {*things.named.values(), things.running}
    return [id_ for id_ in ids if id_ in text and id_ not in named] + (
        [MARK] if MARK in text and MARK not in named else []
    )


@pytest.mark.parametrize("scopes", [ALL_SCOPES, ("admin",)], ids=["every scope", "admin alone"])
async def test_a_provider_finds_nothing_of_another_at_any_route(
    world: tuple[Rest, Things, Things], scopes: tuple[str, ...]
) -> None:
    rest, _, foreign = world
    headers = {"Authorization": f"Bearer {await rest.token(*scopes, provider='P')}"}
    async with rest.pool.acquire() as conn:
        before = await fingerprint(conn)
    wrong = []
    for asked, reply in await every_answer(rest, {**foreign.named, **NOBODYS}, headers):
        about_an_object = set(asked.names) - NOBODYS.keys()
        if about_an_object and reply.status != 404:
            wrong.append((asked.method, asked.pattern, reply.status, reply.body[:200]))
        if not about_an_object and asked.method != "GET" and reply.status not in (200, 400, 403, 404, 409, 422):
            wrong.append((asked.method, asked.pattern, reply.status, reply.body[:200]))
        if told := strangers(reply.body, foreign, asked):
            wrong.append((asked.method, asked.pattern, "tells", told))
    assert wrong == []
    async with rest.pool.acquire() as conn:
        after = await fingerprint(conn)
    assert {table for table in before if before[table] != after[table]} == set()


async def test_a_provider_finds_all_that_is_its_own(world: tuple[Rest, Things, Things]) -> None:
    rest, own, _ = world
    headers = {"Authorization": f"Bearer {await rest.token(*ALL_SCOPES, provider='P')}"}
    operators = {"driver", "client", "endpoint", "payment", "token"}
    found = [
        (asked, reply.status)
        for asked, reply in await every_answer(rest, {**own.named, **NOBODYS}, headers)
        if asked.method == "GET" and not operators & set(asked.names)
    ]
    assert {(asked.pattern, status) for asked, status in found if status != 200} == set()
    assert len(found) > 15


async def test_a_driver_finds_all_that_is_its_own(world: tuple[Rest, Things, Things], issuer: IssuerServer) -> None:
    rest, own, _ = world
    headers = {"Authorization": f"Bearer {issuer.token(sub='ann', scope='driver:self')}"}
    document = (await rest.raw("GET", f"{PREFIX}/openapi.json")).json
    for asked in requests(document, {**own.named, **NOBODYS}, BODIES):
        scopes = document["paths"][PREFIX + asked.pattern][asked.method.lower()]["security"]
        if asked.method == "GET" and {"oauth2": ["driver:self"]} in scopes and "command" not in asked.names:
            reply = await ask(rest, asked, 0, headers)
            assert reply.status == 200, (asked.pattern, reply.status, reply.body)


async def test_filters_do_not_open_what_is_anothers(world: tuple[Rest, Things, Things]) -> None:
    rest, _, foreign = world
    headers = {"Authorization": f"Bearer {await rest.token(*ALL_SCOPES, provider='P')}"}
    for path in ("/sessions", "/bills", "/stations", "/reports/bills", "/reports/settlements"):
        for query in ("?provider=foreign-p", "?station=foreign-s", "?driver=foreign-d", "?format=csv", ""):
            reply = await rest.raw("GET", f"{PREFIX}{path}{query}", headers=headers)
            assert reply.status in (200, 400, 422), (path, query, reply.status, reply.body)
            rows = reply.body if reply.status == 200 else b""
            assert not strangers(rows, foreign, Asked("GET", "", "", (), None, False)), (path, query)


async def test_a_driver_finds_nothing_but_its_own(world: tuple[Rest, Things, Things], issuer: IssuerServer) -> None:
    rest, _, foreign = world
    headers = {"Authorization": f"Bearer {issuer.token(sub='ann', scope='driver:self')}"}
    async with rest.pool.acquire() as conn:
        before = await fingerprint(conn)
    wrong = []
    for asked, reply in await every_answer(rest, {**foreign.named, **NOBODYS}, headers):
        if asked.method == "GET" and asked.pattern in OFFERED:
            continue
        if (asked.names or asked.method != "GET") and reply.status != 404:
            wrong.append((asked.method, asked.pattern, reply.status, reply.body[:200]))
        if told := strangers(reply.body, foreign, asked):
            wrong.append((asked.method, asked.pattern, "tells", told))
    assert wrong == []
    async with rest.pool.acquire() as conn:
        after = await fingerprint(conn)
    assert {table for table in before if before[table] != after[table]} == set()


async def test_a_driver_sees_its_own_under_its_id_and_as_me(
    world: tuple[Rest, Things, Things], issuer: IssuerServer
) -> None:
    rest, own, _ = world
    headers = {"Authorization": f"Bearer {issuer.token(sub='ann', scope='driver:self')}"}

    async def get(path: str) -> Any:
        reply = await rest.raw("GET", f"{PREFIX}{path}", headers=headers)
        assert reply.status == 200, (path, reply.body)
        return reply.json

    assert (await get("/drivers/me"))["id"] == (await get("/drivers/ann"))["id"] == "ann"
    assert [token["value"] for token in (await get("/drivers/me/tokens"))["items"]]
    money = (await get("/drivers/me/balance"))["balances"][0]
    assert (money["balance"]["minor"], money["held"]["minor"]) == (17_000, 30_000)
    assert {entry["kind"] for entry in (await get("/drivers/me/transactions"))["items"]} >= {"top_up"}
    sessions = {item["id"] for item in (await get("/sessions"))["items"]}
    assert (
        sessions
        == {own.named["session"], own.running}
        == {s["id"] for s in (await get("/drivers/me/sessions"))["items"]}
    )
    bill = await get(f"/sessions/{own.named['session']}/bill")
    assert bill["total"]["minor"] == 3_000 and not {"operator_share", "provider_share", "host_share"} & bill.keys()
    listed = (await get("/bills"))["items"] + (await get("/drivers/me/bills"))["items"]
    assert {item["id"] for item in listed} == {own.named["bill"]} and "operator_share" not in listed[0]
    assert (await get(f"/bills/{own.named['bill']}"))["driver"] == "ann"
    receipt = await get(f"/bills/{own.named['bill']}/receipt")
    assert receipt["seller"] == "P" and not {"operator_share", "provider_share"} & receipt.keys()


async def test_a_driver_stops_its_own_session(world: tuple[Rest, Things, Things], issuer: IssuerServer) -> None:
    rest, own, foreign = world
    got = rest.connect("S1")
    headers = {"Authorization": f"Bearer {issuer.token(sub='ann', scope='driver:self')}"}
    refused = await rest.raw("POST", f"{PREFIX}/sessions/{foreign.running}/stop", headers=headers)
    stopped = await rest.raw("POST", f"{PREFIX}/sessions/{own.running}/stop", headers=headers)
    assert (refused.status, stopped.status) == (404, 202) and len(got) == 1
    shown = await rest.raw("GET", f"{PREFIX}/commands/{stopped.json['id']}", headers=headers)
    assert shown.json["requested_by"] == "driver:ann"


async def test_a_driver_is_forgotten_at_its_own_wish_once_nothing_is_open(
    world: tuple[Rest, Things, Things], issuer: IssuerServer
) -> None:
    rest, _, _ = world
    ann = {"Authorization": f"Bearer {issuer.token(sub='ann', scope='driver:self')}"}
    refused = await rest.raw("POST", f"{PREFIX}/drivers/me/erasure", headers=ann)
    assert refused.status == 409 and refused.json["detail"].endswith("a session has not been settled")
    new = {"Authorization": f"Bearer {issuer.token(sub='new', scope='driver:self')}"}
    first = (await rest.raw("GET", f"{PREFIX}/drivers/me", headers=new)).json["id"]
    erased = await rest.raw("POST", f"{PREFIX}/drivers/me/erasure", headers=new)
    assert (erased.status, erased.json["driver"]) == (200, first)
    assert (await rest.raw("GET", f"{PREFIX}/drivers/me", headers=new)).json["id"] != first
    assert (await rest.get(f"/drivers/{first}"))["status"] == "blocked"


async def test_a_person_who_comes_first_with_a_token_becomes_a_driver(
    world: tuple[Rest, Things, Things], issuer: IssuerServer
) -> None:
    rest, _, _ = world
    headers = {"Authorization": f"Bearer {issuer.token(sub='newcomer', scope='driver:self')}"}
    ids = {(await rest.raw("GET", f"{PREFIX}/drivers/me", headers=headers)).json["id"] for _ in range(2)}
    assert len(ids) == 1 and "newcomer" not in ids.pop()
    unscoped = {"Authorization": f"Bearer {issuer.token(sub='newcomer', scope='stations:read admin')}"}
    assert (await rest.raw("GET", f"{PREFIX}/drivers/me", headers=unscoped)).status == 404
    assert (await rest.raw("GET", f"{PREFIX}/stations", headers=unscoped)).status == 404


def test_only_call_and_its_neighbours_take_connections_that_see_everything() -> None:
    """Handlers that took one of the pool's own would go round the isolation."""
    for path in (Path(__file__).parents[2] / "csms" / "api").glob("*.py"):
        if path.stem not in {"call", "app", "token_endpoint", "health"}:
            assert not re.search(r"pool\.(acquire|fetch|execute)|parts\.pool", path.read_text()), path.name
