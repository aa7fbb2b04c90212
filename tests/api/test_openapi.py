"""The OpenAPI document is whole, and what the interface answers is what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema_rs

from csms import db
from csms.api.routes import PREFIX, ROUTES
from csms.flows.admin import SCOPES
from tests.api.books import a_day, settled
from tests.api.conftest import Rest
from tests.api.two_providers import lend


def references(value: Any) -> set[str]:
    """Every `$ref` in the document."""
    if isinstance(value, dict):
        return {value["$ref"]} if "$ref" in value else set().union(*map(references, value.values()), set())
    return set().union(*map(references, value), set()) if isinstance(value, list) else set()


async def test_the_document_has_every_route_and_nothing_dangling(rest: Rest) -> None:
    document = (await rest.raw("GET", f"{PREFIX}/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(route.method, PREFIX + route.path) for route in ROUTES}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        scopes = {scope for need in operation["security"] for scope in need["oauth2"]}
        assert (
            scopes <= document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"].keys()
        )
        assert operation["summary"] and operation["description"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"], reference


GIVEN_BACK = """
insert into refund (id, payment_id, driver_id, amount_minor, currency, psp, reason, asked_at)
select gen_random_uuid(), id, driver_id, 1, currency, psp, 'test', at
from payment
limit 1
returning id"""


ENDPOINT = """
insert into webhook_endpoint (id, url, secrets, created_at)
values (gen_random_uuid(), 'https://example.test/', '{whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3}', now())
returning id"""


async def test_every_readable_route_answers_as_the_document_says(rest: Rest, dsn: str) -> None:
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
        await settled(conn)
        await conn.execute("insert into parked_report values (gen_random_uuid(), 'S1', 'a', 'r', 'x', null, now())")
        parked = await conn.fetchval("select id from parked_report")
        settlement = await conn.fetchval("select id from statement")
        remittance = await conn.fetchval("select id from remittance")
        refund = await conn.fetchval(GIVEN_BACK)
        exception = await conn.fetchval("select id from exception limit 1")
        endpoint = await conn.fetchval(ENDPOINT)
        await lend(conn, "S1", "ann")
        rental = await conn.fetchval("select id from rental")
        more = {
            "swap": await conn.fetchval("select id from swap"),
            "reservation": await conn.fetchval("select id from pack_reservation"),
            "voucher": await conn.fetchval("select id from voucher"),
            "product": "S1-product",
            "batch": "S1-batch",
        }
    rest.connect("S1")
    command = await rest.post("/sessions", {"station": "S1", "connector": 1, "token": "A0A0A0A0"})
    bill = await rest.get(f"/sessions/{sessions['paid']}/bill")
    document = (await rest.raw("GET", f"{PREFIX}/openapi.json")).json
    known = {
        "station": "S1", "provider": "P", "site": "site", "tariff": "T", "driver": "ann", "session": sessions["paid"],
        "bill": bill["id"], "command": command["id"], "parked_report": parked, "address": "driver:ann:balance",
        "report": "bills", "token": "A0A0A0A0", "settlement": settlement, "remittance": remittance, "refund": refund,
        "exception": exception, "endpoint": endpoint, "rental": rental, "item": "S1-item",
        **more,
    }  # fmt: skip
    for route in (route for route in ROUTES if route.method == "GET"):
        answer = await rest.get(re.sub(r"{(\w+)}", lambda found: str(known[found[1]]), route.path))
        responses = document["paths"][PREFIX + route.path]["get"]["responses"]
        schema = responses["200"]["content"]["application/json"]["schema"]
        jsonschema_rs.validate({**schema, "components": document["components"]}, answer)


async def test_the_page_shows_the_document_without_other_hosts(rest: Rest) -> None:
    reply = await rest.raw("GET", "/docs")
    page = reply.body.decode()
    assert reply.headers["Content-Type"].startswith("text/html") and f"{PREFIX}/openapi.json" in page
    assert "http://" not in page and "https://" not in page and "default-src 'none'" in str(reply.headers)


def test_the_reference_pages_name_every_route_scope_report_and_check() -> None:
    pages = Path(__file__).parents[2] / "docs" / "reference"
    rest = (pages / "rest.md").read_text()
    for route in ROUTES:
        scopes = " or ".join(f"`{scope}`" for scope in route.scopes)
        assert f"| {route.method} | `{route.path}` | {scopes} | {route.summary}" in rest, route.path
    for scope, meaning in SCOPES.items():
        assert f"| `{scope}` | {meaning} |" in rest
    for name in db.reports():
        assert f"| `{name}` |" in (pages / "reports.md").read_text()
    for name, query in db.checks().items():
        sentence = query.text.splitlines()[0].removeprefix("-- ")
        assert f"| `{name}` | {sentence} |" in (pages / "checks.md").read_text()
