"""The adapter of Stripe keeps the port's promises: on a strict server of ours, and on localstripe where it can."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiohttp import ClientConnectionError, ClientSession, web
from stripe import WebhookSignature

from csms import config
from csms.psp import registry
from csms.psp.base import Charge, Event, Kind, PayeeShare, Psp, Refund, Statement, Unverified, ask_key
from csms.psp.stripe import Stripe, StripeSettings
from csms.psp.stripe_look_up import LOOK_BACK_MAX, PAGE
from tests.psp import contract, strict_stripe
from tests.psp.contract import PspContract, held, message, question, refund_of, taken
from tests.psp.social_process import SocialProcess
from tests.psp.strange import answering
from tests.psp.strict_stripe import StrictStripe

PATHS = {
    "authorize": "payment_intents",
    "charge": "payment_intents",
    "capture": "capture",
    "void": "cancel",
    "remit": "transfers",
    "payout": "transfers",
    "refund": "refunds",
}
PROVIDER, OPERATOR, HOST = "acct_provider", "acct_us", "acct_host"
SECRET = "whsec_test"


@dataclass(slots=True)
class ArrangedStripe:
    """The strict server behind the adapter."""

    psp: Psp
    server: StrictStripe
    social: SocialProcess
    payees: tuple[str, str] = (PROVIDER, OPERATOR)
    refused_subject: str = "cus_refused"

    async def fail_next(self, operation: str, how: str) -> None:
        self.server.fail = (PATHS[operation], how)

    async def effects(self, operation: str, ref: str) -> int:
        server = self.server
        match operation:
            case "authorize" | "charge":
                return server.by_order("payment_intents", ref)
            case "capture":
                return server.captures.count(ref)
            case "void":
                return server.cancels.count(ref)
            case "refund":
                return sum(refund["payment_intent"] == ref for refund in server.things["refunds"])
            case _:
                return sum(transfer["transfer_group"] == ref for transfer in server.things["transfers"])

    async def good_token(self, subject: str) -> str:
        return await self.social.token(subject)


@pytest.fixture
async def arranged(social: SocialProcess) -> AsyncIterator[ArrangedStripe]:
    async with strict_stripe.running(PROVIDER, HOST) as server:
        psp = Stripe(StripeSettings("sk_test_1", OPERATOR, (SECRET,), issuer=social.url, url=server.url))
        yield ArrangedStripe(psp, server, social)
        await psp.close()


class TestStripe(PspContract):
    """All promises of the port."""


async def test_every_payee_but_ourselves_gets_a_transfer_out_of_the_payment(arranged: ArrangedStripe) -> None:
    good = message(arranged, await taken(arranged))
    three = (PayeeShare(PROVIDER, 5_000), PayeeShare(HOST, 1_301), PayeeShare(OPERATOR, 700))
    assert (await arranged.psp.remit("s", replace(good, shares=three))).end == "done"
    made = arranged.server.things["transfers"]
    assert sorted((t["destination"], t["amount"]) for t in made) == [(HOST, 1_301), (PROVIDER, 5_000)]
    assert {t["source_transaction"] for t in made} == {arranged.server.things["charges"][0]["id"]}


async def test_shares_that_were_paid_in_part_are_completed_and_not_called_settled_before(
    arranged: ArrangedStripe,
) -> None:
    good = message(arranged, await taken(arranged))
    settlement = replace(good, shares=(PayeeShare(PROVIDER, 5_000), PayeeShare("acct_later", 2_001)))
    assert (await arranged.psp.remit("s", settlement)).end == "our_fault"
    assert (await arranged.psp.get("settlement", good.order)).standing == "unknown"
    arranged.server.accounts |= {"acct_later"}
    arranged.server.saved.clear()  # Stripe forgets keys after a day
    assert (await arranged.psp.remit("s", settlement)).end == "done"
    assert (await arranged.psp.get("settlement", good.order)).standing == "settled"
    assert sorted(t["amount"] for t in arranged.server.things["transfers"]) == [2_001, 5_000]


async def test_refunds_and_payouts_are_made_once_even_when_stripe_has_forgotten_the_key(
    arranged: ArrangedStripe,
) -> None:
    refund = refund_of(await taken(arranged), 1_000)
    payout = contract.payout_to(PROVIDER)
    for _ in range(2):
        assert (await arranged.psp.refund("r", refund)).end == "done"
        assert (await arranged.psp.payout("p", payout)).end == "done"
        arranged.server.saved.clear()
    assert await arranged.effects("refund", refund.psp_ref) == 1
    assert await arranged.effects("payout", payout.order) == 1


async def test_a_customer_without_a_card_is_declined(arranged: ArrangedStripe) -> None:
    ask = question(arranged.psp, "hold_capture", "cus_cardless")
    answer = await arranged.psp.authorize(ask_key(ask.authorization_id), ask)
    assert (answer.end, answer.reason) == ("declined", "the customer has no card")


async def test_an_amount_below_stripes_least_is_declined_not_called_our_fault(arranged: ArrangedStripe) -> None:
    charge = Charge(str(uuid4()), "pm_1", "cus_1", 10, "KRW")
    answer = await arranged.psp.charge("c", charge)
    assert (answer.end, answer.reason) == ("declined", "amount_too_small")


async def test_an_old_payment_is_found_by_search_and_what_lists_do_not_tell_is_unknown(
    arranged: ArrangedStripe,
) -> None:
    ask, ref = await held(arranged)
    refund = refund_of(await taken(arranged), 1_000)
    await arranged.psp.refund("r", refund)
    for thing in (*arranged.server.things["payment_intents"], *arranged.server.things["refunds"]):
        thing["created"] -= 86_400
    template = dict(arranged.server.things["payment_intents"][0], metadata={})
    newer = [dict(template, id=f"pi_new{n}") for n in range(PAGE)]
    arranged.server.things["payment_intents"][:0] = newer
    arranged.server.things["refunds"][:0] = [
        dict(arranged.server.things["refunds"][0], id=f"re_{n}", metadata={}) for n in range(PAGE)
    ]
    assert (await arranged.psp.get("hold", str(ask.authorization_id))).psp_ref == ref
    assert (await arranged.psp.get("hold", str(uuid4()))).standing == "missing"
    assert (await arranged.psp.get("refund", refund.order)).standing == "unknown"


async def test_what_may_stand_behind_a_thousand_newer_ones_is_unknown_not_missing(arranged: ArrangedStripe) -> None:
    await held(arranged)
    template = arranged.server.things["payment_intents"][0]
    arranged.server.things["payment_intents"] = [
        dict(template, id=f"pi_{n}", metadata={}) for n in range(LOOK_BACK_MAX + 1)
    ]
    assert (await arranged.psp.get("hold", str(uuid4()))).standing == "unknown"


@pytest.mark.parametrize(
    ("status", "body", "end"),
    [
        (429, {"type": "invalid_request_error", "code": "rate_limit"}, "retryable"),
        (409, {"type": "idempotency_error", "code": "idempotency_key_in_use"}, "unknown"),
        (400, {"type": "idempotency_error"}, "our_fault"),
        (400, {"type": "invalid_request_error", "code": "parameter_unknown"}, "our_fault"),
        (400, {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}, "unknown"),
        (401, {"type": "invalid_request_error"}, "our_fault"),
        (403, {"type": "invalid_request_error"}, "our_fault"),
        (402, {"type": "card_error", "code": "card_declined", "decline_code": "lost_card"}, "declined"),
        (402, {"type": "card_error", "code": "expired_card"}, "declined"),
        (500, {"type": "api_error"}, "unknown"),
        (503, {"type": "api_error"}, "unknown"),
    ],
)
async def test_every_error_ends_as_the_port_says(status: int, body: dict[str, str], end: str) -> None:
    async with answering(iter([(status, json.dumps({"error": {"message": "no", **body}}))])) as url:
        psp = Stripe(StripeSettings("sk_test_1", OPERATOR, url=url))
        answer = await psp.void("k", "pi_1")
        await psp.close()
    assert answer.end == end
    assert answer.reason


async def test_answers_that_are_not_stripes_are_unknown_and_nothing_sent_is_retryable() -> None:
    async with answering(iter([(200, "<html>"), (404, "<html>"), (200, "{"), (404, "<html>")])) as url:
        psp = Stripe(StripeSettings("sk_test_1", OPERATOR, url=url))
        for _ in range(3):
            assert (await psp.void("k", "pi_1")).end == "unknown"
        assert (await psp.get("payment", "pi_1")).standing == "unknown"
        await psp.close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        psp = Stripe(StripeSettings("sk_test_1", OPERATOR, url=f"http://127.0.0.1:{nobody.getsockname()[1]}"))
        assert (await psp.void("k", "pi_1")).end == "retryable"
        await psp.close()


async def test_the_statement_of_a_day_has_every_movement_once(arranged: ArrangedStripe) -> None:
    settlement = message(arranged, await taken(arranged))
    refund, payout = refund_of(settlement.psp_ref, 500), contract.payout_to(PROVIDER)
    await arranged.psp.remit("s", settlement)
    await arranged.psp.refund("r", refund)
    await arranged.psp.payout("p", payout)
    for _ in range(PAGE):
        arranged.server.balance("fee", {"id": "fee_1", "currency": "krw"}, -1)
    for moved in arranged.server.things["balance_transactions"][:PAGE]:
        moved["source"] = None
    statement = await arranged.psp.statement(datetime.now(UTC).date())
    assert isinstance(statement, Statement)
    told = [(line.kind, line.order, line.amount_minor, line.fee_minor) for line in statement.lines]
    order = arranged.server.things["payment_intents"][0]["metadata"]["order"]
    assert told[:PAGE] == [("fee", None, -1, 0)] * PAGE
    assert sorted(told[PAGE:], key=str) == sorted(
        [
            ("payment", order, 7_001, 140),
            ("settlement", settlement.order, -6_301, 0),
            ("refund", refund.order, -500, 0),
            ("payout", payout.order, -6_301, 0),
        ],
        key=str,
    )
    payment = next(line for line in statement.lines if line.kind == "payment")
    assert (payment.psp_ref, payment.currency) == (settlement.psp_ref, "KRW")


def event(type_: str, **thing: object) -> bytes:
    return json.dumps(
        {"id": "evt_1", "object": "event", "type": type_, "created": int(time.time()), "data": {"object": thing}}
    ).encode()


def signed(raw: bytes, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    at = int(time.time()) - age_s
    return {"stripe-signature": WebhookSignature.generate_signature_header(raw.decode(), secret, at)}


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        ({"object": "payment_intent", "id": "pi_1", "status": "succeeded"}, ("payment", "pi_1", "taken")),
        (
            {"object": "refund", "id": "re_1", "status": "failed", "metadata": {"order": "o"}},
            ("refund", "o", "failed"),
        ),
        ({"object": "dispute", "id": "du_1", "status": "needs_response"}, ("chargeback", "du_1", "opened")),
        ({"object": "dispute", "id": "du_1", "status": "lost"}, ("chargeback", "du_1", "lost")),
        ({"object": "dispute", "id": "du_1", "status": "warning_needs_response"}, (None, "du_1", None)),
        (
            {"object": "transfer", "id": "tr_1", "reversed": True, "metadata": {"order": "o", "kind": "payout"}},
            ("payout", "o", "failed"),
        ),
        ({"object": "customer", "id": "cus_1"}, (None, "cus_1", None)),
    ],
)
async def test_a_signed_event_says_where_to_look(
    arranged: ArrangedStripe, thing: dict[str, object], told: tuple[Kind | None, str, str | None]
) -> None:
    raw = event("x.y", **thing)
    read = arranged.psp.parse_webhook(signed(raw), raw)
    assert isinstance(read, Event), read
    assert (read.kind, read.ref, read.standing) == told
    assert read.event_id == "evt_1"


async def test_an_event_that_is_forged_old_or_unsigned_is_a_hint_only(arranged: ArrangedStripe) -> None:
    raw = event("x.y", object="payment_intent", id="pi_1", status="succeeded")
    good = signed(raw)
    forgeries = [({}, raw), (signed(raw, "whsec_other"), raw), (signed(raw, age_s=301), raw), (good, raw + b" ")]
    for headers, body in forgeries:
        read = arranged.psp.parse_webhook(headers, body)
        assert isinstance(read, Unverified)
        assert read.hint is not None
        assert read.hint.ref == "pi_1"
    for junk in (b"", b"\xff", b"[]", b'{"id":1}', b"null", b'{"type":"a","data":{"object":3}}'):
        read = arranged.psp.parse_webhook(good, junk)
        assert isinstance(read, Unverified)
        assert read.hint is None
        assert isinstance(arranged.psp.parse_webhook({}, junk), Unverified)
    psp = Stripe(StripeSettings("sk_test_1", OPERATOR, ("whsec_new", SECRET)))
    assert isinstance(psp.parse_webhook(good, raw), Event)
    assert isinstance(psp.parse_webhook(signed(raw, "whsec_new"), raw), Event)
    await psp.close()


async def test_a_chargeback_names_the_payment_it_takes_back(arranged: ArrangedStripe) -> None:
    ref = await taken(arranged)
    dispute = arranged.server.add("disputes", amount=7_001, currency="krw", payment_intent=ref, status="needs_response",
                                  reason="fraudulent")  # fmt: skip
    found = await arranged.psp.get("chargeback", dispute["id"])
    assert (found.standing, found.amount_minor, found.payment_ref) == ("opened", 7_001, ref)


@pytest.fixture(scope="module")
def localstripe() -> Iterator[str]:
    """localstripe as a process of its own, from scratch."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "localstripe", "--port", str(port), "--from-scratch"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


async def create(url: str, path: str, **form: str) -> str:
    """One thing made there; its id. Waits until the server is up."""
    for _ in range(200):
        try:
            async with (
                ClientSession() as http,
                http.post(f"{url}/v1/{path}", data=form, headers={"Authorization": "Bearer sk_test_1"}) as answer,
            ):
                body = await answer.json()
                assert answer.status == 200, body
                return str(body["id"])
        except ClientConnectionError:
            await asyncio.sleep(0.05)
    raise AssertionError("localstripe did not start")


async def older(url: str) -> tuple[web.ServerRunner, str]:
    """A relay that leaves out the one parameter that localstripe is too old to know."""

    async def relay(request: web.BaseRequest) -> web.StreamResponse:
        text = await request.text()
        kept = "&".join(part for part in text.split("&") if not part.startswith("automatic_payment_methods"))
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with (
            ClientSession() as http,
            http.request(request.method, url + request.path_qs, data=kept.encode(), headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")

    runner = web.ServerRunner(web.Server(relay))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def test_localstripe_holds_takes_releases_charges_and_refunds(localstripe: str) -> None:
    card = await create(localstripe, "payment_methods", type="card", **{
        "card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2030", "card[cvc]": "123",
    })  # fmt: skip
    customer = await create(
        localstripe, "customers", payment_method=card, **{"invoice_settings[default_payment_method]": card}
    )
    runner, url = await older(localstripe)
    psp = Stripe(StripeSettings("sk_test_1", OPERATOR, url=url))
    try:
        ask = question(psp, "hold_capture", customer)
        hold = await psp.authorize("a", ask)
        assert hold.end == "done"
        assert hold.psp_ref is not None
        assert (await psp.get("hold", str(ask.authorization_id))).standing == "held"
        assert (await psp.capture("c", hold.psp_ref, 7_001, "KRW")).end == "done"
        # its old shape lacks `amount_received`: what was taken cannot be told, so it is not made up
        assert (await psp.get("hold", str(ask.authorization_id))).standing == "unknown"
        refund = Refund(str(uuid4()), hold.psp_ref, 7_001, "KRW", "the rest")
        answer = await psp.refund("r", refund)
        assert (answer.end, answer.standing) == ("done", "paid")
        assert (await psp.get("refund", refund.order)).amount_minor == 7_001
        other = question(psp, "hold_capture", customer)
        second = await psp.authorize("b", other)
        assert second.psp_ref is not None
        assert (await psp.void("v", second.psp_ref)).end == "done"
        assert (await psp.get("hold", str(other.authorization_id))).standing == "released"
        charge = Charge(str(uuid4()), card, customer, 900, "KRW")
        assert (await psp.charge("d", charge)).end == "done"
        assert (await psp.get("charge", str(uuid4()))).standing == "missing"
        assert (await psp.get("payment", "pi_none")).standing == "missing"
    finally:
        await psp.close()
        await runner.cleanup()


async def test_a_system_with_a_stripe_secret_has_stripe_and_one_without_imports_no_sdk() -> None:
    code = "import sys; import csms.serve; assert not {'stripe', 'portone_server_sdk'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "stripe" not in registry.build(config.load())
    made = registry.build(config.load({"stripe_secret": "sk_test_1", "stripe_policy": "charge_after"}))["stripe"]
    assert (made.psp.name, made.policy, made.operator_account) == ("stripe", "charge_after", "operator")
    await made.psp.close()
