"""The adapter of PortOne asks as PortOne documents, and makes no effect twice though PortOne takes no keys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from csms import config
from csms.domain.authorization import Policy
from csms.psp import registry
from csms.psp.base import Charge, Event, PayeeShare, Payout, Refund, SettlementMessage, Unavailable, Unverified
from csms.psp.portone import PortOne, PortOneSettings
from tests.psp.contract import question

AT = "2026-11-20T12:00:00Z"
SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
CHANNEL = {"type": "TEST", "pgProvider": "KAKAOPAY", "pgMerchantId": "m"}


@dataclass(slots=True)
class Recorder:
    """A server that keeps what it is asked, answers in PortOne's shapes, and pays no payment id twice."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    transfers: dict[str, dict[str, Any]] = field(default_factory=dict)
    lose_next_of: str = "-"
    refuse_next: tuple[int, dict[str, Any]] | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else json.loads(request.query.get("requestBody", "{}"))
        self.asked.append((request.method, request.path, body, dict(request.headers)))
        if self.refuse_next is not None:
            (status, told), self.refuse_next = self.refuse_next, None
            return web.json_response(told, status=status)
        status, told = self._did(request.method, request.path.strip("/").split("/"), body)
        if request.path.endswith(self.lose_next_of):
            self.lose_next_of = "-"
            assert request.transport is not None
            request.transport.close()
        return web.json_response(told, status=status)

    def _did(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, path:
            case "GET", ["billing-keys"]:
                customer = body["filter"]["customerId"]
                items = [] if customer == "keyless" else [billing_key(customer)]
                return 200, {"items": items, "page": {"number": 0, "size": 1, "totalCount": len(items)}}
            case "POST", ["payments", id_, "billing-key"]:
                if id_ in self.payments:
                    return 409, {"type": "ALREADY_PAID"}
                if body["customer"]["id"] == "poor":
                    self.payments[id_] = payment(id_, body, "FAILED")
                    return 502, {"type": "PG_PROVIDER", "pgCode": "51", "pgMessage": "no money"}
                self.payments[id_] = payment(id_, body, "PAID")
                return 200, {"payment": {"pgTxId": "pg-1", "paidAt": AT}}
            case "GET", ["payments", id_]:
                found = self.payments.get(id_)
                return (404, {"type": "PAYMENT_NOT_FOUND"}) if found is None else (200, found)
            case "POST", ["payments", id_, "cancel"]:
                return self._cancelled(self.payments[id_], body)
            case "POST", ["platform", "transfers", "manual"]:
                if body["id"] in self.transfers:
                    return 409, {"type": "PLATFORM_TRANSFER_ID_ALREADY_USED"}
                self.transfers[body["id"]] = transfer(body)
                return 200, {"transfer": self.transfers[body["id"]]}
            case "GET", ["platform", "transfers", id_]:
                known = self.transfers.get(id_)
                return (404, {"type": "PLATFORM_TRANSFER_NOT_FOUND"}) if known is None else (200, known)
        raise AssertionError(path)

    def _cancelled(self, found: dict[str, Any], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        amount = found["amount"]
        left = amount["paid"] - amount["cancelled"]
        if body["currentCancellableAmount"] != left:
            return 409, {"type": "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"}
        if body["amount"] > left:
            return 409, {"type": "CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT"}
        amount["cancelled"] += body["amount"]
        made = {
            "status": "SUCCEEDED", "id": f"c{left}", "totalAmount": body["amount"], "taxFreeAmount": 0, "vatAmount": 0,
            "reason": body["reason"], "requestedAt": AT, "cancelledAt": AT,
        }  # fmt: skip
        found.setdefault("cancellations", []).append(made)
        found["cancelledAt"] = AT
        found["status"] = "CANCELLED" if amount["cancelled"] == amount["paid"] else "PARTIAL_CANCELLED"
        return 200, {"cancellation": made}


def billing_key(customer: str) -> dict[str, Any]:
    return {
        "status": "ISSUED", "billingKey": f"key-{customer}", "merchantId": "m", "storeId": "store-1",
        "channels": [CHANNEL], "customer": {"id": customer}, "issuedAt": AT,
    }  # fmt: skip


def payment(id_: str, body: dict[str, Any], status: str) -> dict[str, Any]:
    total = body["amount"]["total"]
    return {
        "status": status, "id": id_, "transactionId": "t", "merchantId": "m", "storeId": "store-1",
        "channel": CHANNEL, "version": "V2", "requestedAt": AT, "updatedAt": AT, "statusChangedAt": AT,
        "orderName": body["orderName"], "currency": body["currency"], "customer": body["customer"],
        "amount": {"total": total, "taxFree": 0, "discount": 0, "paid": total, "cancelled": 0, "cancelledTaxFree": 0},
        "paidAt": AT, "failedAt": AT, "failure": {"reason": "no money", "pgCode": "51"}, "disputes": [],
        "origin": {"platformType": "API", "ipAddress": "127.0.0.1"},
    }  # fmt: skip


def transfer(body: dict[str, Any]) -> dict[str, Any]:
    partner = {
        "id": body["partnerId"], "graphqlId": "g", "name": "P", "contact": {"name": "n", "email": "e"},
        "account": {"bank": "KOOKMIN", "currency": "KRW", "number": "1", "holder": "h", "status": "VERIFIED"},
        "status": "APPROVED",
        "defaultContractId": "c", "memo": "", "tags": [], "isArchived": False, "isForTest": False, "appliedAt": AT,
        "type": {"type": "WHT_PAYER"}, "userDefinedProperties": {},
    }  # fmt: skip
    return {
        "type": "MANUAL", "id": body["id"], "graphqlId": "g", "partner": partner, "status": "SCHEDULED",
        "settlementDate": body["settlementDate"], "settlementCurrency": body["settlementCurrency"], "isForTest": False,
        "userDefinedProperties": [], "settlementAmount": body["settlementAmount"], "settlementTaxFreeAmount": 0,
        "memo": body["memo"],
    }  # fmt: skip


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    server = Recorder()
    runner = web.ServerRunner(web.Server(server.answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Recorder]:
    async with recording() as server:
        yield server


@pytest.fixture
async def psp(server: Recorder) -> AsyncIterator[PortOne]:
    psp = PortOne(PortOneSettings("secret", "store-1", (SECRET,), url=server.url))
    yield psp
    await psp.close()


def charge(subject: str = "minsu", minor: int = 7_001) -> Charge:
    return Charge(str(uuid4()), f"key-{subject}", subject, minor, "KRW")


async def paid(psp: PortOne) -> str:
    answer = await psp.charge("k", charge())
    assert answer.psp_ref is not None
    return answer.psp_ref


async def test_a_charge_is_a_payment_by_billing_key_with_our_order_as_its_id(psp: PortOne, server: Recorder) -> None:
    fee = charge()
    answer = await psp.charge("k", fee)
    assert (answer.end, answer.psp_ref) == ("done", fee.order)
    method, path, body, headers = server.asked[0]
    assert (method, path) == ("POST", f"/payments/{fee.order}/billing-key")
    assert body == {
        "storeId": "store-1", "billingKey": "key-minsu", "orderName": "Charging", "customer": {"id": "minsu"},
        "amount": {"total": 7_001}, "currency": "KRW",
    }  # fmt: skip
    assert headers["Authorization"] == "PortOne secret"
    found = await psp.get("charge", fee.order)
    assert (found.standing, found.amount_minor, found.currency, found.refunded_minor) == ("taken", 7_001, "KRW", 0)


async def test_a_charge_whose_answer_was_lost_is_made_good_and_not_paid_twice(psp: PortOne, server: Recorder) -> None:
    fee = charge()
    server.lose_next_of = "/billing-key"
    assert (await psp.charge("k", fee)).end == "unknown"
    assert (await psp.charge("k", fee)).end == "done"
    other = Charge(fee.order, fee.psp_ref, fee.subject, 1, "KRW")
    assert (await psp.charge("k2", other)).end == "our_fault"
    assert len(server.payments) == 1


async def test_a_payer_without_money_or_means_is_declined(psp: PortOne) -> None:
    poor = charge("poor")
    assert (await psp.charge("k", poor)).end == "declined"
    assert (await psp.get("charge", poor.order)).standing == "declined"
    for policy in ("charge_after", "pay_before_refund_rest"):
        asked = await psp.authorize("k", question(psp, policy, "keyless"))  # type: ignore[arg-type]
        assert asked.end == "declined"


@pytest.mark.parametrize(("policy", "taken"), [("charge_after", 0), ("pay_before_refund_rest", 20_000)])
async def test_an_authorization_finds_the_means_and_takes_only_what_its_policy_says(
    psp: PortOne, server: Recorder, policy: Policy, taken: int
) -> None:
    ask = question(psp, policy)
    answer = await psp.authorize("k", ask)
    assert answer.end == "done"
    assert server.asked[0][2]["filter"] == {"storeId": "store-1", "customerId": "minsu", "status": ["ISSUED"]}
    assert sum(made["amount"]["paid"] for made in server.payments.values()) == taken
    assert answer.psp_ref == (str(ask.authorization_id) if taken else "key-minsu")
    assert (await psp.get("hold", str(ask.authorization_id))).standing == ("taken" if taken else "missing")


async def test_what_portone_cannot_do_is_our_fault_and_is_not_sent(psp: PortOne, server: Recorder) -> None:
    message = SettlementMessage("o", "p", 1, "KRW", (PayeeShare("a", 1),), {})
    for answer in (
        await psp.authorize("k", question(psp)),
        await psp.capture("k", "p", 1, "KRW"),
        await psp.void("k", "p"),
        await psp.remit("k", message),
        await psp.charge("k", Charge("o", "b", "s", 1, "EUR")),
    ):
        assert answer.end == "our_fault"
    assert isinstance(await psp.statement(date(2026, 11, 20)), Unavailable)
    assert server.asked == []


async def test_a_refund_is_a_partial_cancel_made_once_though_its_answer_was_lost(
    psp: PortOne, server: Recorder
) -> None:
    ref = await paid(psp)
    refund = Refund(str(uuid4()), ref, 1_000, "KRW", "the rest")
    server.asked.clear()
    server.lose_next_of = "/cancel"
    assert (await psp.refund("k", refund)).end == "unknown"
    again = await psp.refund("k", refund)
    assert (again.end, again.standing) == ("done", "paid")
    cancels = [body for _, path, body, _ in server.asked if path.endswith("/cancel")]
    assert cancels[0] == {
        "storeId": "store-1", "amount": 1_000, "reason": f"[{refund.order}] the rest",
        "currentCancellableAmount": 7_001,
    }  # fmt: skip
    assert server.payments[ref]["amount"]["cancelled"] == 1_000
    found = await psp.get("payment", ref)
    assert (found.standing, found.amount_minor, found.refunded_minor) == ("taken", 7_001, 1_000)


async def test_no_more_goes_back_than_was_paid_and_two_at_once_are_not_both_believed(
    psp: PortOne, server: Recorder
) -> None:
    ref = await paid(psp)
    assert (await psp.refund("k", Refund("a", ref, 7_002, "KRW", "x"))).end == "our_fault"
    assert (await psp.refund("k", Refund("b", ref, 7_001, "KRW", "x"))).end == "done"
    assert (await psp.refund("k", Refund("c", ref, 1, "KRW", "x"))).end == "our_fault"
    assert (await psp.refund("k", Refund("d", "never", 1, "KRW", "x"))).end == "our_fault"
    server.refuse_next = (409, {"type": "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN"})
    assert (await psp.refund("k", Refund("e", ref, 1, "KRW", "x"))).end == "unknown"
    assert (await psp.get("refund", "b")).standing == "unknown"


async def test_a_payout_is_a_transfer_to_a_partner_with_our_order_as_its_id(psp: PortOne, server: Recorder) -> None:
    payout = Payout(str(uuid4()), "partner-p", 6_301, "KRW", "statement 2026-11")
    for _ in range(2):
        answer = await psp.payout("k", payout)
        assert (answer.end, answer.standing) == ("done", "pending")
    assert server.asked[0][:3] == ("POST", "/platform/transfers/manual", {
        "partnerId": "partner-p", "memo": "statement 2026-11", "settlementAmount": 6_301,
        "settlementDate": datetime.now(UTC).date().isoformat(), "id": payout.order, "settlementCurrency": "KRW",
    })  # fmt: skip
    assert len(server.transfers) == 1
    server.transfers[payout.order]["status"] = "PAID_OUT"
    assert (await psp.get("payout", payout.order)).standing == "paid"
    assert (await psp.get("payout", "never")).standing == "missing"


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        (401, {"type": "UNAUTHORIZED"}, "our_fault"),
        (403, {"type": "FORBIDDEN"}, "our_fault"),
        (400, {"type": "INVALID_REQUEST"}, "our_fault"),
        (404, {"type": "BILLING_KEY_NOT_FOUND"}, "declined"),
        (409, {"type": "BILLING_KEY_ALREADY_DELETED"}, "declined"),
        (502, {"type": "PG_PROVIDER", "pgCode": "1", "pgMessage": "?"}, "unknown"),
        (500, {"type": "SOMETHING_NEW"}, "unknown"),
        (503, {}, "unknown"),
    ],
)
async def test_every_error_ends_as_the_port_says(
    psp: PortOne, server: Recorder, status: int, body: dict[str, str], end: str
) -> None:
    server.refuse_next = (status, body)
    answer = await psp.charge("k", charge())
    assert answer.end == end
    assert answer.reason


async def test_what_was_certainly_not_sent_is_retryable() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        psp = PortOne(PortOneSettings("secret", url=f"http://127.0.0.1:{nobody.getsockname()[1]}"))
        assert (await psp.charge("k", charge())).end == "retryable"
        await psp.close()


def signed(raw: bytes, age_s: int = 0) -> dict[str, str]:
    at = str(int(time.time()) - age_s)
    mac = hmac.digest(b"k" * 24, f"evt-1.{at}.".encode() + raw, hashlib.sha256)
    return {"webhook-id": "evt-1", "webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(mac).decode()}


@pytest.mark.parametrize(
    ("type_", "told"),
    [
        ("Transaction.Paid", ("payment", "pay-1", "taken")),
        ("Transaction.Failed", ("payment", "pay-1", "declined")),
        ("Transaction.DisputeCreated", (None, "Transaction.DisputeCreated", None)),
        ("BillingKey.Issued", (None, "BillingKey.Issued", None)),
    ],
)
async def test_a_signed_event_says_where_to_look(psp: PortOne, type_: str, told: tuple[object, ...]) -> None:
    data = {"paymentId": "pay-1", "storeId": "s", "transactionId": "t", "billingKey": "b"}
    raw = json.dumps({"type": type_, "timestamp": AT, "data": data}).encode()
    read = psp.parse_webhook(signed(raw), raw)
    assert isinstance(read, Event), read
    assert (read.kind, read.ref, read.standing) == told
    assert read.event_id == "evt-1"


async def test_an_event_that_is_forged_old_or_unsigned_is_a_hint_only(psp: PortOne) -> None:
    raw = json.dumps({"type": "Transaction.Paid", "timestamp": AT, "data": {"paymentId": "pay-1"}}).encode()
    for headers, body in (({}, raw), (signed(raw, 301), raw), (signed(raw), raw + b" ")):
        read = psp.parse_webhook(headers, body)
        assert isinstance(read, Unverified)
        assert read.hint is not None
        assert read.hint.ref == "pay-1"
    for junk in (b"", b"\xff", b"[]", b"null", b'{"type":"Transaction.Paid"}'):
        assert isinstance(psp.parse_webhook(signed(junk), junk), Unverified)


async def test_a_system_with_a_portone_secret_has_portone() -> None:
    made = registry.build(config.load({"portone_secret": "s", "portone_store": "store-1"}))["portone"]
    assert (made.psp.name, made.policy) == ("portone", "charge_after")
    await made.psp.close()
