"""
A small server with Stripe's wire shapes and the rules that localstripe lacks.

Idempotency with saved results, capture and refund limits, no capture after a cancel, Connect transfers out of a
charge, a transfer group that is set once, lists newest first with pages, and switchable faults.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

Thing = dict[str, Any]
KINDS = {
    "payment_intents": "pi", "setup_intents": "seti", "refunds": "re", "transfers": "tr", "charges": "ch",
    "disputes": "du", "balance_transactions": "txn",
}  # fmt: skip
DECLINED = "refused"
NO_CARD = "cardless"


class Wrong(Exception):
    """An answer that is an error, in Stripe's shape."""

    def __init__(self, status: int, type_: str, code: str | None = None, **more: object) -> None:
        super().__init__(code or type_)
        self.status = status
        self.body = {"error": {"type": type_, "code": code, "message": f"{type_} {code}", **more}}


def invalid(code: str | None, **more: object) -> Wrong:
    return Wrong(400, "invalid_request_error", code, **more)


@dataclass(slots=True)
class StrictStripe:
    """The server's state. `accounts` can be paid; `fail` holds (part of a path, how) of the next fault."""

    accounts: frozenset[str]
    url: str = ""
    things: dict[str, list[Thing]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    saved: dict[str, tuple[str, int, Thing]] = field(default_factory=dict)
    fail: tuple[str, str] | None = None
    seen: list[tuple[str, str, str | None, Thing]] = field(default_factory=list)
    captures: list[str] = field(default_factory=list)
    cancels: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, kind: str, **values: object) -> Thing:
        """A new thing, the newest of its kind."""
        made = {
            "id": f"{KINDS[kind]}_{next(self.numbers)}", "object": kind[:-1], "created": int(time.time()),
            "metadata": {}, **values,
        }  # fmt: skip
        self.things[kind].insert(0, made)
        return made

    def find(self, kind: str, id_: str) -> Thing:
        """404 when there is none."""
        for thing in self.things[kind]:
            if thing["id"] == id_:
                return thing
        raise Wrong(404, "invalid_request_error", "resource_missing")

    def balance(self, category: str, source: Thing, amount: int, fee: int = 0) -> None:
        self.add("balance_transactions", reporting_category=category, source=source["id"], amount=amount, fee=fee,
                 currency=source["currency"])  # fmt: skip

    def by_order(self, kind: str, order: str) -> int:
        return sum(thing["metadata"].get("order") == order for thing in self.things[kind])


def create_intent(at: StrictStripe, body: Thing) -> Thing:
    amount = int(body["amount"])
    if amount < 50:
        raise invalid("amount_too_small")
    if body["automatic_payment_methods"] != {"enabled": "true", "allow_redirects": "never"}:
        raise invalid("parameter_missing", param="return_url")
    intent = at.add(
        "payment_intents", amount=amount, currency=body["currency"], customer=body["customer"],
        payment_method=body["payment_method"], capture_method=body["capture_method"], amount_received=0,
        status="requires_payment_method", latest_charge=None, last_payment_error=None, metadata=body["metadata"],
    )  # fmt: skip
    charge = at.add(
        "charges", amount=amount, amount_captured=0, amount_refunded=0, currency=body["currency"],
        payment_intent=intent["id"], transfer_group=None, status="succeeded", metadata=dict(body["metadata"]),
        transferred=0,
    )  # fmt: skip
    intent["latest_charge"] = charge["id"]
    if DECLINED in body["payment_method"]:
        charge["status"] = "failed"
        intent["last_payment_error"] = {"code": "card_declined", "decline_code": "insufficient_funds"}
        raise Wrong(402, "card_error", "card_declined", decline_code="insufficient_funds", payment_intent=intent)
    if body["capture_method"] == "manual":
        intent["status"] = "requires_capture"
    else:
        take(at, intent, charge, amount)
    return intent


def take(at: StrictStripe, intent: Thing, charge: Thing, amount: int) -> None:
    intent["status"], intent["amount_received"], charge["amount_captured"] = "succeeded", amount, amount
    at.captures.append(intent["id"])
    at.balance("charge", charge, amount, fee=amount // 50)


def capture(at: StrictStripe, intent: Thing, body: Thing) -> Thing:
    amount = int(body["amount_to_capture"])
    if intent["status"] != "requires_capture":
        raise invalid("payment_intent_unexpected_state", payment_intent=intent)
    if amount > intent["amount"]:
        raise invalid("amount_too_large")
    take(at, intent, at.find("charges", intent["latest_charge"]), amount)
    return intent


def cancel(at: StrictStripe, intent: Thing, body: Thing) -> Thing:
    if intent["status"] not in ("requires_capture", "requires_payment_method"):
        raise invalid("payment_intent_unexpected_state", payment_intent=intent)
    intent["status"] = "canceled"
    at.cancels.append(intent["id"])
    return intent


def create_setup(at: StrictStripe, body: Thing) -> Thing:
    setup = at.add(
        "setup_intents", customer=body["customer"], payment_method=body["payment_method"], usage=body["usage"],
        status="succeeded", last_setup_error=None, metadata=body["metadata"],
    )  # fmt: skip
    if DECLINED in body["payment_method"]:
        setup["status"] = "requires_payment_method"
        setup["last_setup_error"] = {"code": "card_declined", "decline_code": "do_not_honor"}
        raise Wrong(402, "card_error", "card_declined", decline_code="do_not_honor", setup_intent=setup)
    return setup


def create_refund(at: StrictStripe, body: Thing) -> Thing:
    intent = at.find("payment_intents", body["payment_intent"])
    charge = at.find("charges", intent["latest_charge"])
    amount = int(body["amount"])
    if intent["status"] != "succeeded":
        raise invalid("payment_intent_unexpected_state", payment_intent=intent)
    if amount > charge["amount_captured"] - charge["amount_refunded"]:
        raise invalid("charge_already_refunded" if charge["amount_refunded"] == charge["amount_captured"] else None)
    charge["amount_refunded"] += amount
    refund = at.add("refunds", amount=amount, currency=charge["currency"], payment_intent=intent["id"],
                    charge=charge["id"], status="succeeded", metadata=body["metadata"])  # fmt: skip
    at.balance("refund", refund, -amount)
    return refund


def create_transfer(at: StrictStripe, body: Thing) -> Thing:
    amount = int(body["amount"])
    if body["destination"] not in at.accounts:
        raise Wrong(400, "invalid_request_error", "resource_missing", param="destination")
    if source := body.get("source_transaction"):
        charge = at.find("charges", source)
        if charge["transfer_group"] != body["transfer_group"]:
            raise invalid(None, param="transfer_group")
        if charge["transferred"] + amount > charge["amount_captured"]:
            raise invalid(None, param="amount")
        charge["transferred"] += amount
    made = at.add(
        "transfers", amount=amount, currency=body["currency"], destination=body["destination"], reversed=False,
        source_transaction=source, transfer_group=body["transfer_group"], metadata=body["metadata"],
    )  # fmt: skip
    at.balance("transfer", made, -amount)
    return made


def update_charge(at: StrictStripe, charge: Thing, body: Thing) -> Thing:
    if charge["transfer_group"] is not None:
        raise invalid(None, param="transfer_group")
    charge["transfer_group"] = body["transfer_group"]
    charge["metadata"].update(body["metadata"])
    return charge


CREATES = {
    "payment_intents": create_intent, "setup_intents": create_setup, "refunds": create_refund,
    "transfers": create_transfer,
}  # fmt: skip
ACTS = {("payment_intents", "capture"): capture, ("payment_intents", "cancel"): cancel, ("charges", ""): update_charge}


def post(at: StrictStripe, path: list[str], body: Thing) -> Thing:
    kind, rest = path[0], path[1:]
    if not rest:
        return CREATES[kind](at, body)
    return ACTS[kind, "".join(rest[1:])](at, at.find(kind, rest[0]), body)


def listed(at: StrictStripe, kind: str, asked: Thing) -> Thing:
    """One page, newest first."""
    found = at.things[kind]
    if kind == "payment_methods":
        return {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_methods"}
    for name in ("transfer_group", "payment_intent"):
        if name in asked:
            found = [thing for thing in found if thing[name] == asked[name]]
    if created := asked.get("created"):
        found = [thing for thing in found if int(created["gte"]) <= thing["created"] < int(created["lt"])]
    ids = [thing["id"] for thing in found]
    start = ids.index(asked["starting_after"]) + 1 if "starting_after" in asked else 0
    limit = int(asked.get("limit", 10))
    page = [expanded(at, thing, asked) for thing in found[start : start + limit]]
    return {"object": "list", "data": page, "has_more": len(found) > start + limit, "url": f"/v1/{kind}"}


def expanded(at: StrictStripe, thing: Thing, asked: Thing) -> Thing:
    """With what was asked to be expanded (`latest_charge`, `source`)."""
    for name in ("latest_charge", "source"):
        if any(str(wanted).endswith(name) for wanted in asked.get("expand", {}).values()) and thing.get(name):
            found = [other for kind in KINDS for other in at.things[kind] if other["id"] == thing[name]]
            thing = {**thing, name: found[0]}
    return thing


def get(at: StrictStripe, path: list[str], asked: Thing) -> Thing:
    match path:
        case ["customers", id_]:
            card = None if NO_CARD in id_ else f"pm_{id_}"
            return {"id": id_, "object": "customer", "invoice_settings": {"default_payment_method": card}}
        case ["payment_methods"]:
            return {"object": "list", "data": [], "has_more": False, "url": "/v1/payment_methods"}
        case ["payment_intents", "search"]:
            order = asked["query"].split("'")[3]
            found = [thing for thing in at.things["payment_intents"] if thing["metadata"].get("order") == order]
            page = [expanded(at, thing, asked) for thing in found]
            return {"object": "search_result", "data": page, "has_more": False, "url": "/v1/payment_intents/search"}
        case [kind]:
            return listed(at, kind, asked)
        case [kind, id_]:
            return expanded(at, at.find(kind, id_), asked)
    raise Wrong(404, "invalid_request_error", "resource_missing")


def tree(text: str) -> Thing:
    """`a[b][c]=1` as nested dicts."""
    found: Thing = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        *outer, last = re.findall(r"[^\[\]]+", name)
        place = found
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return found


async def answer(at: StrictStripe, request: web.BaseRequest) -> web.StreamResponse:
    """One request: faults, then the saved result of its key, then the rules."""
    if request.headers.get("Authorization") != "Bearer sk_test_1":
        return web.json_response(Wrong(401, "invalid_request_error").body, status=401)
    path = request.path.removeprefix("/v1/").split("/")
    if request.method == "GET":
        try:
            return web.json_response(get(at, path, tree(request.query_string)))
        except Wrong as wrong:
            return web.json_response(wrong.body, status=wrong.status)
    text, key = await request.text(), request.headers.get("Idempotency-Key")
    assert key, "no call that moves something is without a key"
    how = None
    if at.fail is not None and re.search(at.fail[0] + "$", request.path):
        (_, how), at.fail = at.fail, None
    if how == "error_before_effect":
        return web.json_response(Wrong(503, "api_error").body, status=503)
    if how != "lost_request":
        async with at.lock:
            status, body = once(at, path, text, key)
    if how in ("lost_request", "lost_answer"):
        assert request.transport is not None
        request.transport.close()
    if how == "error_after_effect":
        return web.Response(status=502, text="<html>bad gateway</html>")
    return web.json_response(body if how != "lost_request" else {}, status=status if how != "lost_request" else 500)


def once(at: StrictStripe, path: list[str], text: str, key: str) -> tuple[int, Thing]:
    """What the key's first request came to; another request under it is refused."""
    shape = "/".join(path) + "?" + text
    if key in at.saved:
        known, status, body = at.saved[key]
        if known != shape:
            return 400, Wrong(400, "idempotency_error").body
        return status, json.loads(json.dumps(body))
    at.seen.append(("POST", "/".join(path), key, tree(text)))
    try:
        status, body = 200, post(at, path, tree(text))
    except Wrong as wrong:
        status, body = wrong.status, wrong.body
    at.saved[key] = (shape, status, json.loads(json.dumps(body)))
    return status, body


@asynccontextmanager
async def running(*accounts: str) -> AsyncIterator[StrictStripe]:
    """The server on a free port of the loopback."""
    at = StrictStripe(frozenset(accounts))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return await answer(at, request)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        at.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield at
    finally:
        await runner.cleanup()
