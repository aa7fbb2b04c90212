"""The social-payment server itself: strict rules, one effect per key, books that can be read again from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charge_points_sim.social import requests as ask
from charge_points_sim.social import returns
from charge_points_sim.social.book import Book, Rejected
from charge_points_sim.social.state import Json, State
from charge_points_sim.social.statements import statement
from charge_points_sim.social.totals import journal_totals
from tests.psp.social_process import OPERATOR_ACCOUNT, PROVIDER_ACCOUNT, SocialProcess

steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("authorize", "capture", "cancel", "billing_key", "charge", "settle", "limit"),
                *("confirm", "refund", "refund_end", "payout", "payout_end", "dispute", "dispute_end"),
            ]
        ),
        st.integers(0, 5),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=40,
)


def new_book() -> Book:
    random = Random(7)
    book = Book(State(), now=lambda: "2026-11-20T12:00:00+00:00", random_32=lambda: random.getrandbits(32))
    book.register_seller(ask.Seller("P"))
    book.register_seller(ask.Seller("O"))
    return book


def nth(things: dict[str, Json], pick: int) -> str:
    """The name of one of several."""
    return list(things)[pick % len(things)]


def act(book: Book, step: tuple[str, int, int, bool], numbers: Iterator[int]) -> None:
    """One step on whatever the number picks; most steps are against some rule."""
    operation, pick, amount, flag = step
    payments, billing_keys = list(book.state.payments.values()), list(book.state.billing_keys.values())
    key, order, subject = f"k{next(numbers)}", f"o{next(numbers)}", f"driver{pick % 2}"
    payment = payments[pick % len(payments)] if payments else None
    match operation:
        case "authorize":
            book.authorize(key, ask.Authorize(order, subject, amount, "KRW"), decline=flag and pick == 0)
        case "billing_key":
            book.issue_billing_key(key, ask.IssueBillingKey(order, subject, amount, "KRW"))
        case "charge" if billing_keys:
            issued = billing_keys[pick % len(billing_keys)]
            book.charge(key, issued["billingKey"], ask.Charge(order, issued["customerKey"], amount, "KRW"))
        case "capture" if payment:
            book.capture(key, payment.payment_key, ask.Capture(amount))
        case "cancel" if payment:
            book.cancel(key, payment.payment_key, ask.Cancel("why", amount if flag else None))
        case "settle" if payment:
            fee = payment.captured or amount
            shares = [ask.Share("P", fee - fee // 2), *([ask.Share("O", fee // 2)] if fee > 1 else [])]
            book.settle(key, ask.Settle(order, payment.payment_key, fee, "KRW", shares))
        case "confirm":
            book.confirm(key, ask.Authorize(order, subject, amount, "KRW"), decline=flag and pick == 0)
        case "refund" if payment:
            how = "pending" if flag else ""
            returns.refund(book, key, payment.payment_key, ask.Refund(order, amount, "why"), how)
        case "refund_end" if book.state.refunds:
            returns.end_refund(book, nth(book.state.refunds, pick), ask.Ended("DONE" if flag else "FAILED"))
        case "payout":
            returns.payout(book, key, ask.Payout(order, "P", amount, "KRW"), "pending" if flag else "")
        case "payout_end" if book.state.payouts:
            returns.end_payout(book, nth(book.state.payouts, pick), ask.Ended("COMPLETED" if flag else "FAILED"))
        case "dispute" if payment:
            returns.charge_back(book, ask.Chargeback(payment.payment_key, amount if flag else None))
        case "dispute_end" if book.state.chargebacks:
            returns.end_chargeback(book, nth(book.state.chargebacks, pick), ask.Ended("WON" if flag else "LOST"))
        case "limit":
            book.set_subject(ask.Subject(subject, limit_minor=amount * 3 if flag else None))


@given(steps)
def test_whatever_is_tried_money_adds_up_and_the_journal_gives_the_same_books(
    tried: list[tuple[str, int, int, bool]],
) -> None:
    book, numbers = new_book(), count()
    for step in tried:
        before = len(book.state.entries)
        try:
            act(book, step, numbers)
        except Rejected:
            assert len(book.state.entries) == before, "a refusal had an effect"
    state = book.state
    for payment in state.payments.values():
        assert 0 <= payment.refunded <= payment.captured <= payment.amount
    for subject, driver in state.drivers.items():
        own = [payment for payment in state.payments.values() if payment.subject == subject]
        assert driver.held == sum(payment.amount for payment in own if payment.status == "AUTHORIZED")
        assert driver.spent == sum(payment.captured - payment.refunded for payment in own)
    totals = journal_totals(state)
    assert sum(totals["remitted"].values()) == totals["settled"] <= totals["captured"]
    assert len(state.settled_payments) == len(state.settlement_of_order)
    moved = sum(line["amount"] for line in statement(state, "2026-11-20", 0)["lines"])
    paid_out = sum(payout["amount"] for payout in state.payouts.values() if payout["status"] != "FAILED")
    disputed = sum(dispute["amount"] for dispute in state.chargebacks.values() if dispute["status"] != "WON")
    assert moved == totals["captured"] - totals["refunded"] - totals["settled"] - paid_out - disputed
    again = State()
    for entry in state.entries:
        again.apply(entry)
    assert again == state


async def hold(social: SocialProcess, amount: int = 1_000) -> Json:
    body = {"orderId": str(uuid4()), "customerKey": "minsu", "amount": amount, "currency": "KRW"}
    status, payment = await social.call("POST", "/v1/payments/authorize", body, key=str(uuid4()))
    assert (status, payment["status"]) == (200, "AUTHORIZED")
    return payment


async def refusal(social: SocialProcess, path: str, body: object) -> tuple[int, str]:
    status, answer = await social.call("POST", path, body, key=str(uuid4()))
    return status, answer.get("code", "accepted")


async def test_no_more_is_given_back_than_was_taken(social: SocialProcess) -> None:
    path = f"/v1/payments/{(await hold(social))['paymentKey']}"
    assert (await refusal(social, f"{path}/capture", {"amount": 600}))[1] == "accepted"
    assert (await refusal(social, f"{path}/capture", {"amount": 1}))[0] == 409
    back = {"cancelReason": "sorry", "cancelAmount": 400}
    assert (await refusal(social, f"{path}/cancel", back))[1] == "accepted"
    assert await refusal(social, f"{path}/cancel", back) == (400, "NOT_CANCELABLE_AMOUNT")
    assert (await refusal(social, f"{path}/cancel", {"cancelReason": "all"}))[1] == "accepted"
    assert await refusal(social, f"{path}/cancel", {"cancelReason": "all"}) == (409, "ALREADY_CANCELED_PAYMENT")


async def test_nothing_is_taken_after_a_cancel(social: SocialProcess) -> None:
    path = f"/v1/payments/{(await hold(social))['paymentKey']}"
    assert (await refusal(social, f"{path}/cancel", {"cancelReason": "unused"}))[1] == "accepted"
    assert await refusal(social, f"{path}/capture", {"amount": 1}) == (409, "ALREADY_PROCESSED_PAYMENT")


async def test_a_refund_that_fails_can_be_given_again_and_one_that_arrived_cannot_fail(social: SocialProcess) -> None:
    path = f"/v1/payments/{(await hold(social))['paymentKey']}"
    assert (await refusal(social, f"{path}/capture", {"amount": 600}))[1] == "accepted"
    first, second = ({"orderId": str(uuid4()), "amount": 600, "reason": "why"} for _ in range(2))
    await social.fail("refund", "pending")
    assert (await refusal(social, f"{path}/refunds", first))[1] == "accepted"
    assert (await refusal(social, f"{path}/refunds", second))[0] in (400, 409)
    assert (await refusal(social, f"/admin/refunds/{first['orderId']}", {"status": "FAILED"}))[1] == "accepted"
    assert (await refusal(social, f"{path}/refunds", second))[1] == "accepted"
    assert await refusal(social, f"/admin/refunds/{second['orderId']}", {"status": "FAILED"}) == (409, "ALREADY_ENDED")
    assert (await refusal(social, f"{path}/refunds", first))[1] == "DUPLICATED_ORDER_ID"


async def test_no_more_is_disputed_than_is_left_of_a_payment(social: SocialProcess) -> None:
    payment = await hold(social)
    await refusal(social, f"/v1/payments/{payment['paymentKey']}/capture", {"amount": 600})
    dispute = {"paymentKey": payment["paymentKey"], "amount": 400}
    assert (await refusal(social, "/admin/chargebacks", dispute))[1] == "accepted"
    assert (await refusal(social, "/admin/chargebacks", dispute))[0] == 400


async def test_a_settlement_is_of_what_was_taken_and_sums_to_the_fee(social: SocialProcess) -> None:
    payment = await hold(social)
    shares = [{"seller": PROVIDER_ACCOUNT, "amount": 90}, {"seller": OPERATOR_ACCOUNT, "amount": 10}]
    body: dict[str, Any] = {"orderId": str(uuid4()), "paymentKey": payment["paymentKey"], "fee": 100}
    body |= {"currency": "KRW", "shares": shares, "details": {"energy_wh": 3}}
    assert await refusal(social, "/v1/settlements", body) == (400, "FEE_MISMATCH")
    await refusal(social, f"/v1/payments/{payment['paymentKey']}/capture", {"amount": 100})
    assert await refusal(social, "/v1/settlements", {**body, "shares": shares[:1]}) == (400, "SHARES_MISMATCH")
    assert (await refusal(social, "/v1/settlements", body))[1] == "accepted"
    assert await refusal(social, "/v1/settlements", body) == (409, "ALREADY_SETTLED")
    settled = [entry for entry in await social.journal() if entry.get("order_id") == body["orderId"]]
    assert [entry["operation"] for entry in settled] == ["settle"]
    assert [(part["seller"], part["amount"]) for part in settled[0]["remittances"]] == [
        (PROVIDER_ACCOUNT, 90),
        (OPERATOR_ACCOUNT, 10),
    ]
    assert settled[0]["receipt"]["details"] == {"energy_wh": 3}


async def test_a_spending_limit_counts_holds_and_payments(social: SocialProcess) -> None:
    subject = f"limited-{uuid4()}"
    await social.call("POST", "/admin/subjects", {"subject": subject, "limit_minor": 1_500})
    body = {"orderId": "", "customerKey": subject, "amount": 1_000, "currency": "KRW"}
    verdicts = []
    for _ in range(2):
        _, payment = await social.call(
            "POST", "/v1/payments/authorize", {**body, "orderId": str(uuid4())}, str(uuid4())
        )
        verdicts.append((payment["status"], payment["failure"] and payment["failure"]["code"]))
    assert verdicts == [("AUTHORIZED", None), ("ABORTED", "EXCEED_MAX_AMOUNT")]


async def test_one_key_used_by_many_at_once_has_one_effect(social: SocialProcess) -> None:
    body = {"orderId": str(uuid4()), "customerKey": "minsu", "amount": 1_000, "currency": "KRW"}
    key = str(uuid4())
    await social.fail("authorize", "delay", count=3, delay_s=0.02)
    answers = await asyncio.gather(*(social.call("POST", "/v1/payments/authorize", body, key) for _ in range(12)))
    assert len({answer["paymentKey"] for _, answer in answers}) == 1
    assert sum(entry.get("order_id") == body["orderId"] for entry in await social.journal()) == 1
    status, answer = await social.call("POST", "/v1/payments/authorize", {**body, "amount": 2}, key)
    assert (status, answer["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_requests_without_key_secret_or_sense_are_refused(social: SocialProcess) -> None:
    body: dict[str, Any] = {"orderId": str(uuid4()), "customerKey": "minsu", "amount": 1_000, "currency": "KRW"}
    path = "/v1/payments/authorize"
    assert (await social.call("POST", path, body))[1]["code"] == "INVALID_IDEMPOTENCY_KEY"
    assert (await social.call("POST", path, body, "k", secret="wrong"))[0] == 401
    assert (await social.call("GET", "/v1/journal", secret="wrong"))[0] == 401
    for wrong in ({"amount": 0}, {"amount": -5}, {"amount": 1.5}, {"amount": "7"}, {"currency": "won"}, {"more": 1}):
        assert (await refusal(social, path, {**body, **wrong}))[1] == "INVALID_REQUEST"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[list[SocialProcess]]:
    """Servers of one test that keep their journal; the test starts them."""
    servers: list[SocialProcess] = []
    yield servers
    for server in servers:
        server.kill()


async def test_a_killed_server_goes_on_where_it_was(tmp_path: Path, kept: list[SocialProcess]) -> None:
    flags = ("--journal", str(tmp_path / "journal"), "--issuer", "https://issuer.example")
    kept.append(SocialProcess.start(*flags))
    body = {"orderId": "order", "customerKey": "minsu", "amount": 1_000, "currency": "KRW"}
    first = await kept[0].call("POST", "/v1/payments/authorize", body, "key")
    keys = await kept[0].call("GET", "/.well-known/jwks.json")
    journal = await kept[0].journal()
    kept[0].kill()
    with (tmp_path / "journal").open("ab") as torn:
        torn.write(b'{"entry": {"seq"')
    kept[0] = SocialProcess.start(*flags)
    assert await kept[0].journal() == journal
    assert await kept[0].call("GET", "/.well-known/jwks.json") == keys
    assert await kept[0].call("POST", "/v1/payments/authorize", body, "key") == first
    assert (await kept[0].call("POST", f"/v1/payments/{first[1]['paymentKey']}/capture", {"amount": 7}, "c"))[0] == 200
    assert len(await kept[0].journal()) == len(journal) + 1
