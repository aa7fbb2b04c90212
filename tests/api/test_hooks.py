"""Who is told what, by REST; and the door for payment services, with a real one knocking."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from csms import db
from csms.api.app import Settings
from csms.api.psp_hooks import UNVERIFIED_MAX
from csms.base import webhook
from csms.psp.social import Social, SocialSettings
from tests.api.conftest import Rest, running
from tests.psp.social_process import SECRET, SocialProcess
from tests.worker import scene as stage

HOOK_SECRET = webhook.secret(b"h" * 32)
ANY = {"url": "https://example.com/hook"}
HOME = "/webhook-endpoints"


@pytest.fixture(scope="module")
def social_server() -> Iterator[SocialProcess]:
    """This module's own, because its webhooks go to one address."""
    server = SocialProcess.start()
    yield server
    server.kill()


@pytest.fixture
async def psp(social_server: SocialProcess) -> AsyncIterator[Social]:
    made = Social(SocialSettings(social_server.url, SECRET, social_server.url, webhook_secrets=(HOOK_SECRET,)))
    yield made
    await made.close()
    await social_server.heal()


@pytest.fixture
async def hooked(dsn: str, pool: db.Pool, psp: Social) -> AsyncIterator[Rest]:
    """The interface with one payment service."""
    async with running(dsn, pool, Settings(psps={"social": psp})) as rest, pool.acquire() as conn:
        await stage.parties(conn)
        yield rest


async def test_an_endpoint_shows_its_secret_once_and_can_be_changed(rest: Rest) -> None:
    made = await rest.post(HOME, {**ANY, "types": ["bill.issued"], "description": "books"})
    assert len(webhook.key_of(made.pop("secret"))) == 32
    assert (made["enabled"], made["types"], made["provider"]) == (True, ["bill.issued"], None)
    path = f"{HOME}/{made['id']}"
    assert await rest.get(path) == made
    assert (await rest.get(HOME))["items"] == [made]
    changed = await rest.ask("PATCH", path, json={"enabled": False, "types": []})
    assert changed.json == {**made, "enabled": False, "types": [], "disabled_reason": "by staff"}
    again = await rest.ask("PATCH", path, json={"enabled": True, "description": None})
    assert again.json == {**made, "types": [], "description": None}
    rotated = await rest.post(f"{path}/rotate-secret", None)
    assert webhook.key_of(rotated["secret"])
    assert (await rest.ask("DELETE", path)).status == 204
    assert (await rest.ask("GET", path)).status == 404


async def test_a_ping_is_a_message_whose_fate_can_be_read(rest: Rest) -> None:
    made = await rest.post(HOME, ANY)
    path = f"{HOME}/{made['id']}"
    sending = await rest.ask("POST", f"{path}/ping")
    assert sending.status == 202
    [delivery] = (await rest.get(f"{path}/deliveries"))["items"]
    assert (delivery["id"], delivery["type"], delivery["state"]) == (sending.json["id"], "ping", "waiting")


@pytest.mark.parametrize(
    "body",
    [
        {"url": "http://example.com/"},
        {"url": "https://127.0.0.1/"},
        {"url": "https://localhost/"},
        {**ANY, "types": ["everything"]},
        {**ANY, "provider": "nobody"},
        {**ANY, "secret": "mine"},
        {},
    ],
)
async def test_what_cannot_be_an_endpoint_is_refused(rest: Rest, body: dict[str, object]) -> None:
    refused = await rest.ask("POST", HOME, json=body)
    assert refused.status == 422
    assert refused.json["errors"]


async def test_endpoints_are_for_the_operators_administrators(rest: Rest) -> None:
    made = await rest.post(HOME, ANY)
    for method, path in (("GET", HOME), ("POST", HOME), ("GET", f"{HOME}/{made['id']}"), ("GET", "/webhooks")):
        reply = await rest.ask(method, path, scopes=("reports:read", "stations:write"), json=ANY)
        assert reply.status == 403


def signed(body: dict[str, object], at: float | None = None, event_id: str = "") -> tuple[dict[str, str], bytes]:
    """A webhook of the psp's, with its headers."""
    raw = json.dumps(body).encode()
    headers = webhook.sign([webhook.key_of(HOOK_SECRET)], event_id or f"evt_{uuid4()}", int(at or time.time()), raw)
    return headers, raw


def about(kind: str, ref: str, status: str = "DONE") -> dict[str, object]:
    """What a webhook of the social-payment server says."""
    told = {"kind": kind, "ref": ref, "status": status, "orderId": None}
    return {"id": "evt", "type": f"{kind}.{status}", "at": "2026-11-20T12:00:00+00:00", "data": told}


async def heard(rest: Rest) -> list[tuple[bool, str | None]]:
    """(verified, why not) of what came, oldest first."""
    items = (await rest.get("/webhooks"))["items"]
    return [(item["verified"], item["reason"]) for item in reversed(items)]


async def test_a_genuine_webhook_is_kept_once_and_looked_into(hooked: Rest) -> None:
    headers, raw = signed(about("payment", "pay_1"))
    for path in ("/api/v1/webhooks/social", "/api/v1/webhooks?psp=social"):
        assert (await hooked.raw("POST", path, data=raw, headers=headers)).status == 200
    named = {**headers, "webhook-psp": "social"}
    assert (await hooked.raw("POST", "/api/v1/webhooks", data=raw, headers=named)).status == 200
    assert await heard(hooked) == [(True, None)]
    async with hooked.pool.acquire() as conn:
        kinds = [row["kind"] for row in await conn.fetch("select kind from outbox")]
    assert kinds == ["webhook.process"]


async def test_a_webhook_that_is_old_forged_or_not_signed_is_kept_as_a_hint(hooked: Rest) -> None:
    three_years = 3 * 365 * 86_400
    good, raw = signed(about("refund", "r"))
    old = signed(about("refund", "old"), time.time() - three_years)
    for headers, body in (
        (good, raw + b" "),
        old,
        (webhook.sign([b"x" * 32], "evt_9", int(time.time()), raw), raw),
        ({}, b"what?"),
    ):
        assert (await hooked.raw("POST", "/api/v1/webhooks/social", data=body, headers=headers)).status == 200
    assert await heard(hooked) == [
        (False, "badly signed"), (False, "not fresh"), (False, "badly signed"), (False, "not signed"),
    ]  # fmt: skip
    assert (await hooked.raw("POST", "/api/v1/webhooks/social", data=raw, headers=good)).status == 200
    assert (await heard(hooked))[-1] == (True, None)


async def test_unknown_services_large_bodies_and_floods_are_refused(hooked: Rest) -> None:
    assert (await hooked.raw("POST", "/api/v1/webhooks/nobody", data=b"{}")).status == 404
    assert (await hooked.raw("POST", "/api/v1/webhooks", data=b"{}")).status == 404
    assert (await hooked.raw("POST", "/api/v1/webhooks/social", data=b"x" * 70_000)).status == 413
    statuses = [
        (await hooked.raw("POST", "/api/v1/webhooks/social", data=str(number).encode())).status
        for number in range(UNVERIFIED_MAX + 5)
    ]
    assert statuses == [200] * UNVERIFIED_MAX + [429] * 5
    headers, raw = signed(about("payment", "pay_1"))
    assert (await hooked.raw("POST", "/api/v1/webhooks/social", data=raw, headers=headers)).status == 200


FAULTS = [None, "duplicate", "delay", "reorder", "unsigned", "forged", "stale"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_top_ups_and_refunds_arrive_once_whatever_becomes_of_the_services_webhooks(
    hooked: Rest, pool: db.Pool, conn: db.Connection, psp: Social, social_server: SocialProcess, fault: str | None
) -> None:
    target = {"url": f"{hooked.base}/api/v1/webhooks/social", "secret": HOOK_SECRET}
    await social_server.call("POST", "/admin/webhooks", target)
    if fault is not None:
        await social_server.fail("webhook", fault, count=None, delay_s=0.05)
    refs = []
    for number in range(3):
        order = {"orderId": f"top-up:D:{uuid4()}", "customerKey": "payer", "amount": 1_000 + number, "currency": "KRW"}
        _, payment = await social_server.call("POST", "/v1/payments/confirm", order, key=str(uuid4()))
        refs.append(payment["paymentKey"])
    funded = "select count(*) = 3 from payment where kind = 'top_up' and psp_ref = any($$%s$$::text[])"
    async with stage.working(pool, psp):
        await stage.until(conn, funded % ("{" + ",".join(refs) + "}"))
        payment_id = await conn.fetchval("select id from payment where psp_ref = $1", refs[0])
        await social_server.fail("refund", "pending")
        refund_id = await stage.begun_refund(conn, payment_id, 400)
        await stage.until(conn, "select bool_or(result ? 'pending') from outbox where kind = 'psp.refund'")
        await conn.execute("update outbox set next_at = now() + interval '1 hour' where kind = 'psp.refund'")
        await social_server.call("POST", f"/admin/refunds/{refund_id}", {"status": "DONE"})
        await stage.until(conn, "select state = 'paid' from refund")
    await social_server.call("POST", "/admin/webhooks", {"url": "", "secret": ""})
    balances = await stage.balances(conn)
    assert balances == {"psp:social:clearing": -2_603, "driver:D:balance": 2_603}
    verified = {item[0] for item in await heard(hooked)}
    assert verified == {fault not in ("unsigned", "forged", "stale")}
