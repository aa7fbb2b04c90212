"""Whatever is wrong with a request is told as a problem document, and nothing is ever a 500."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from csms.api.jsontext import NotJson, read, write
from csms.api.problems import of_error
from csms.api.routes import PREFIX, ROUTES
from csms.base.errors import NotYet
from tests.api.conftest import Reply, Rest

ODD_IDS = [
    "%00",
    "..",
    "%2F",
    "%FF",
    "%ED%A0%80",
    "a" * 300,
    "%27%20or%201=1",
    "00000000-0000-0000-0000-000000000000",
    "é",
]
ODD_VALUES: list[Any] = [
    None, True, 0, -1, 2**63, 10**30, 1.5, "", "\x00", "a\x00b", "é", "x" * 10_000, [], {}, [None], {"": ""},
    {"amount": "1e5", "currency": "KRW"}, {"amount": "5", "currency": "\x00"}, {"minor": 2**70, "currency": "KRW"},
    "2026-13-45", "0001-01-01T00:00:00+14:00", [[[[]]]],
]  # fmt: skip
BODY = {
    "id": "x", "name": "X", "provider": "P", "kind": "charger", "time_zone": "UTC", "value": "AABBCCDD",
    "status": "accepted",
    "amount": {"amount": "5", "currency": "KRW"}, "payment_ref": "r", "psp": "p", "station": "S1", "connector": 1,
    "token": "A0A0A0A0", "tariff": "T", "currency": "KRW", "elements": [],
}  # fmt: skip


def is_problem(reply: Reply, status: int) -> bool:
    document = reply.json
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert document["status"] == status == reply.status, document
    assert document["title"] and document["type"] == "about:blank"
    return True


async def test_wrong_addresses_methods_and_bodies_are_problem_documents(seeded: Rest) -> None:
    assert is_problem(await seeded.raw("GET", "/api/v1/nothing"), 404)
    assert is_problem(await seeded.raw("GET", "/nothing"), 404)
    wrong = await seeded.ask("DELETE", "/stations")
    assert is_problem(wrong, 405) and set(wrong.headers["Allow"].split(",")) >= {"GET", "POST"}
    assert is_problem(await seeded.ask("POST", "/drivers", data=b"{}"), 415)
    json_type = {"Content-Type": "application/json"}
    for broken in (
        b"",
        b"{",
        b'{"id": NaN}',
        b"\xff\xfe",
        b'{"id": "a", "id": "b"}',
        b"[" * 100_000,
        b'{"x": 1e999999}',
    ):
        assert is_problem(await seeded.ask("POST", "/drivers", data=broken, headers=json_type), 400), broken[:20]
    for broken in (b'{"id": "\\u0000"}', b'{"name": "\\ud800"}', b'{"\\u0000": 1}', b'{"id": ' + b"9" * 5000 + b"}"):
        assert is_problem(await seeded.ask("POST", "/drivers", data=broken, headers=json_type), 400), broken[:20]
    assert is_problem(await seeded.ask("POST", "/drivers", data=b'"' + b"x" * 300_000 + b'"', headers=json_type), 413)


async def test_wrong_parts_are_pointed_at(seeded: Rest) -> None:
    unknown = await seeded.ask("POST", "/drivers", json={"id": "a", "colour": "red"})
    assert is_problem(unknown, 422) and unknown.json["errors"][0]["pointer"] == "/colour"
    typed = await seeded.ask("POST", "/stations", json={"id": "Z", "provider": "P", "strict": "yes"})
    assert is_problem(typed, 422) and typed.json["errors"][0]["pointer"] == "/strict"
    listed = await seeded.ask("POST", "/drivers", json=["a"])
    assert is_problem(listed, 422) and listed.json["errors"][0]["detail"] == "an object is asked for"
    paid = {"amount": {"amount": 5.5, "currency": "USD"}, "psp": "card", "payment_ref": "r"}
    number = await seeded.ask("POST", "/drivers/D/top-ups", json=paid, headers={"Idempotency-Key": "k"})
    assert is_problem(number, 422) and [e["pointer"] for e in number.json["errors"]] == ["/amount/amount"]
    for query in ("limit=0", "limit=1001", "limit=x", "colour=red", "cursor=!!", "cursor=AAAA&cursor=AAAA"):
        assert is_problem(await seeded.ask("GET", f"/sessions?{query}"), 400), query
    parameter = await seeded.ask("GET", "/sessions?from=yesterday")
    assert is_problem(parameter, 400) and parameter.json["errors"][0]["parameter"] == "from"
    assert parameter.json["errors"][0]["detail"].startswith("write a time as RFC 3339")
    country = await seeded.ask(
        "POST", "/tariffs", json={"id": "Z", "currency": "KRW", "country_code": {}, "elements": []}
    )
    assert is_problem(country, 422) and country.json["errors"][0]["pointer"] == "/country_code"
    another = await seeded.ask("GET", "/reports/bills?by=day")
    assert is_problem(another, 422) and another.json["errors"][0]["parameter"] == "by"


async def test_what_is_not_there_is_not_found(seeded: Rest) -> None:
    for route in ROUTES:
        if route.method == "GET" and "{" in route.path:
            for odd in ODD_IDS:
                path = route.path[: route.path.index("{")] + odd + route.path[route.path.index("}") + 1 :]
                if odd == ".." and not route.path.endswith("}"):
                    continue  # another address before it is sent
                reply = await seeded.ask("GET", path)
                assert reply.status in (404, 403, 405), (path, reply.status, reply.body)
                assert is_problem(reply, reply.status)


async def test_every_route_asks_for_a_token_and_a_scope(rest: Rest) -> None:
    for route in ROUTES:
        path = PREFIX + route.path.replace("{session}", "0" * 8).replace("{", "").replace("}", "")
        assert is_problem(await rest.raw(route.method, path), 401), route.path
        forbidden = await rest.ask(route.method, path.removeprefix(PREFIX), scopes=("driver:self",))
        assert is_problem(forbidden, 403) and "insufficient_scope" in forbidden.headers["WWW-Authenticate"]


class Names(dict[str, str]):
    """Names in addresses; those that are not said stand for something that is not there."""

    def __missing__(self, name: str) -> str:
        return "0" * 8


@pytest.mark.parametrize("seed", range(4))
async def test_no_body_is_our_fault(seeded: Rest, seed: int) -> None:
    chance = random.Random(seed)
    for route in (route for route in ROUTES if route.body is not None):
        path = route.path.format_map(Names(station="S1", provider="P", driver="ann"))
        for _ in range(25):
            body = {key: BODY.get(key, 1) for key in route.body.model_fields if chance.random() < 0.9}  # type: ignore[union-attr]
            for key in chance.sample(sorted(body), min(len(body), chance.randint(1, 2))):
                body[key] = chance.choice(ODD_VALUES)
            headers = {"Idempotency-Key": chance.choice(["k", "k" * 300, "é", str(chance.random())])}
            reply = await seeded.ask(
                route.method, path, data=write(body), headers=headers | {"Content-Type": "application/json"}
            )
            assert reply.status < 500, (route.path, body, reply.body)
            assert reply.status < 400 or is_problem(reply, reply.status)


async def test_null_is_no_body(seeded: Rest) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for route in (route for route in ROUTES if route.body is not None):
        path = route.path.format_map(Names(station="S1", provider="P", driver="ann"))
        reply = await seeded.ask(route.method, path, data=b"null", headers=headers)
        assert reply.status in (404, 422) and is_problem(reply, reply.status), route.path


async def test_what_nobody_looks_at_in_a_body_is_refused(seeded: Rest) -> None:
    paths = {(route.method, route.path) for route in ROUTES if route.body is None and route.takes_a_body}
    assert ("POST", "/drivers/{driver}/vouchers/{voucher}/refund") in paths
    uuid = "00000000-0000-0000-0000-000000000000"
    for method, pattern in sorted(paths):
        path = re.sub(r"{(station|driver|client|address|product|tag)}", "ann", pattern)
        path = re.sub(r"{connector}", "1", path)
        reply = await seeded.ask(method, re.sub(r"{[a-z_]+}", uuid, path), json={"amount": 5})
        assert is_problem(reply, 422) and reply.json["errors"][0]["pointer"] == "/amount", (method, path)
    nothing: dict[str, Any] = {"data": b"{}", "headers": {"Content-Type": "application/json"}}
    assert (await seeded.ask("DELETE", "/stations/S9", **nothing)).status == 404
    assert is_problem(await seeded.ask("DELETE", "/stations/S9", data=b"amount=5"), 415)


async def test_no_parameter_is_our_fault(seeded: Rest) -> None:
    odd = ["%00", "a%00", "%FF", "%ED%A0%80", "x" * 600, "9" * 30, "-1", "", "0001-01-01", "9999-12-31T23:59:59-14:00",
           "WyJhIl0", "W10", "bnVsbA", "WyJ4IiwgIngiXQ", "WzEsMl0", "%2Fetc%2Fpasswd", "infinity"]  # fmt: skip
    for route in (route for route in ROUTES if route.method == "GET"):
        path = route.path.format_map(
            Names(
                station="S1", provider="P", driver="ann", tariff="T", site="site", report="bills",
                address="driver:ann:balance",
            )
        )  # fmt: skip
        for name, described in route.query.model_fields.items():
            for value in odd:
                reply = await seeded.ask("GET", f"{path}?{described.alias or name}={value}")
                assert reply.status < 500, (path, name, value, reply.body)
                assert reply.status < 400 or is_problem(reply, reply.status)


def test_what_is_not_written_yet_is_to_be_asked_again() -> None:
    problem = of_error(NotYet("ask again with the same key"))
    assert problem is not None
    assert (problem.status, problem.detail) == (503, "ask again with the same key")
    assert problem.headers == {"Retry-After": "2"}


async def test_a_request_that_a_deadlock_ends_is_to_be_asked_again(seeded: Rest) -> None:
    async with seeded.pool.acquire() as conn, seeded.pool.acquire() as watcher:
        await conn.execute("set deadlock_timeout = '1h'")
        change = conn.transaction()
        await change.start()
        await conn.execute("select from audit_head for update")
        erased = asyncio.create_task(seeded.ask("POST", "/drivers/bob/erasure"))
        while not await watcher.fetchval(  # noqa: ASYNC110
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and cardinality(pg_blocking_pids(pid)) > 0)"
        ):
            await asyncio.sleep(0.01)
        await asyncio.wait_for(conn.execute("update driver set name = 'Bob' where id = 'bob'"), 20)
        await change.rollback()  # what was refused is told in the trail, too
        await conn.execute("reset deadlock_timeout")
        reply = await asyncio.wait_for(erased, 20)
    assert is_problem(reply, 503) and reply.headers["Retry-After"] == "2"
    assert (await seeded.ask("POST", "/drivers/bob/erasure")).status == 200


async def test_a_database_that_is_away_is_told_and_comes_back(hasty: Rest) -> None:
    assert (await hasty.raw("GET", "/healthz")).json["status"] == "ok"
    assert (await hasty.raw("GET", "/healthz")).json["database_ms"] > 0
    token = {"Authorization": f"Bearer {await hasty.token('admin')}"}
    holders = [await hasty.pool.acquire() for _ in range(hasty.pool.get_max_size())]
    answers = await asyncio.gather(
        hasty.raw("GET", "/healthz"), hasty.raw("GET", "/readyz"), hasty.raw("GET", "/api/v1/stations", headers=token)
    )
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert is_problem(answers[2], 503) and answers[2].headers["Retry-After"] == "2"
    for holder in holders:
        await hasty.pool.release(holder)
    assert (await hasty.raw("GET", "/readyz")).json == {
        "status": "ready", "parts": {"listening": True, "writer": True, "database": True},
    }  # fmt: skip
    hasty.ready["writer"] = False
    assert (await hasty.raw("GET", "/readyz")).status == 503


async def test_a_defect_of_ours_is_told_without_details(seeded: Rest) -> None:
    async with seeded.pool.acquire() as conn:
        await conn.execute("alter table driver rename to motorist")
    reply = await seeded.ask("GET", "/drivers")
    assert is_problem(reply, 500) and b"motorist" not in reply.body and b"driver" not in reply.body


async def test_metrics_count_requests_by_pattern(seeded: Rest) -> None:
    await seeded.get("/stations/S1")
    text = (await seeded.raw("GET", "/metrics")).body.decode()
    assert 'csms_http_requests_total{method="GET",route="/api/v1/stations/{station}",status="200"}' in text
    assert "S1" not in text
    assert is_problem(await seeded.ask("PROPFIND", "/stations"), 405)
    assert "PROPFIND" not in (await seeded.raw("GET", "/metrics")).body.decode()


async def test_answers_are_not_kept_by_caches(seeded: Rest) -> None:
    for reply in (await seeded.ask("GET", "/drivers"), await seeded.ask("GET", "/reports/bills?format=csv")):
        assert reply.headers["Cache-Control"] == "no-store" and reply.headers["X-Content-Type-Options"] == "nosniff"
    assert is_problem(await seeded.ask("GET", "/sessions?state=sleeping"), 400)


def test_numbers_keep_their_decimals() -> None:
    for text in ("1.10", "0.1", "100000000000000000.01", "12", '"1.10"', "[1.0, {}]", '{"a": -0.50}'):
        assert write(read(text.encode())) == text


@pytest.mark.parametrize(
    "text", ["1" * 41, "1e40", "0." + "1" * 60, '"\\ud800"', '{"a": 1, "a": 2}', "Infinity", "[1,]"]
)
def test_json_that_cannot_be_stored_exactly_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        read(text.encode())


async def test_odd_request_lines_and_headers_end_in_an_answer(rest: Rest) -> None:
    port = int(rest.base.rpartition(":")[2])
    token = await rest.token("admin")
    lines = ["/api/v1/stations/%zz", "//api//v1", "/api/v1/%2e%2e/x", "/api/v1/stations/a?%=%&==&&", "/\x7f", "*", "x"]
    bodies = ["{}", "", '{"id": "a"'] * 2
    for line, body in [*((line, "") for line in lines), *(("/api/v1/drivers", body) for body in bodies)]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        method = "POST" if line.endswith("drivers") else "GET"
        head = (
            f"{method} {line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nX: \xff\r\n"
        )
        head += f"Content-Type: application/json; charset=nonsense\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode("latin-1") + body.encode())
        status = int((await asyncio.wait_for(reader.read(), 10)).split()[1])
        assert status in (201, 400, 404, 405, 422), (line, status)
        writer.close()
