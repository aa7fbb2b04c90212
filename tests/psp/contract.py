"""
What every psp adapter promises. A test module makes one class from `PspContract` and gives it `arranged`.

The promises are told in the words of the port; how a psp is made to fail, and how its effects are
counted, is each psp's own (`Arranged`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

import pytest

from csms.domain.authorization import Ask, Policy
from csms.psp.base import (
    Answer,
    Charge,
    Kind,
    PayeeShare,
    Payout,
    Psp,
    Refund,
    SettlementMessage,
    VerifiedToken,
    ask_key,
    asked_kind,
)

CALLS = ["authorize", "capture", "void", "charge", "remit", "refund", "payout"]
LOST = ["lost_answer", "error_after_effect"]
BEFORE = ["lost_request", "error_before_effect"]


class Arranged(Protocol):
    """A psp at hand, and the means to make it fail and to see what it did."""

    psp: Psp
    payees: tuple[str, str]
    refused_subject: str

    async def fail_next(self, operation: str, how: str) -> None:
        """Let the next call of a port operation fail, in one of the ways of `LOST` and `BEFORE`."""
        ...

    async def effects(self, operation: str, ref: str) -> int:
        """How many effects of an operation the psp itself counts, on one order or payment."""
        ...

    async def good_token(self, subject: str) -> str:
        """A token that the psp's issuer made for `subject`."""
        ...


def question(psp: Psp, policy: Policy = "hold_capture", subject: str = "minsu", amount_minor: int = 20_000) -> Ask:
    """A new question to `psp`."""
    return Ask(uuid4(), "CP-1", psp.name, "https://issuer.example", subject, amount_minor, "KRW", policy)


async def held(arranged: Arranged, amount_minor: int = 20_000) -> tuple[Ask, str]:
    """A hold that stands: the question, and the psp's name for it."""
    ask = question(arranged.psp, amount_minor=amount_minor)
    answer = await arranged.psp.authorize(ask_key(ask.authorization_id), ask)
    assert answer.end == "done"
    assert answer.psp_ref is not None
    return ask, answer.psp_ref


async def taken(arranged: Arranged, fee_minor: int = 7_001) -> str:
    """A payment of `fee_minor` that was captured."""
    _, ref = await held(arranged)
    answer = await arranged.psp.capture(f"take/{ref}", ref, fee_minor, "KRW")
    assert answer.end == "done"
    return ref


def message(arranged: Arranged, psp_ref: str, order: str | None = None) -> SettlementMessage:
    """The settlement of a fee of 7,001 on `psp_ref`."""
    provider, operator = arranged.payees
    shares = (PayeeShare(provider, 6_301), PayeeShare(operator, 700))
    return SettlementMessage(order or str(uuid4()), psp_ref, 7_001, "KRW", shares, {"energy_wh": 12_345})


class PspContract:
    """The promises."""

    async def test_a_hold_is_taken_in_part_and_stands_as_taken(self, arranged: Arranged) -> None:
        ask, ref = await held(arranged)
        assert (await arranged.psp.get("hold", str(ask.authorization_id))).standing == "held"
        assert (await arranged.psp.capture("c/" + ref, ref, 7_001, "KRW")).end == "done"
        found = await arranged.psp.get("hold", str(ask.authorization_id))
        assert (found.standing, found.psp_ref, found.amount_minor) == ("taken", ref, 7_001)

    async def test_a_released_hold_cannot_be_taken(self, arranged: Arranged) -> None:
        ask, ref = await held(arranged)
        assert (await arranged.psp.void("v/" + ref, ref)).end == "done"
        assert (await arranged.psp.capture("c/" + ref, ref, 1, "KRW")).end != "done"
        assert (await arranged.psp.get("hold", str(ask.authorization_id))).standing == "released"

    async def test_more_than_the_hold_is_never_taken(self, arranged: Arranged) -> None:
        _, ref = await held(arranged, 500)
        assert (await arranged.psp.capture("c/" + ref, ref, 501, "KRW")).end == "our_fault"
        assert await arranged.effects("capture", ref) == 0

    @pytest.mark.parametrize("policy", ["hold_capture", "charge_after", "pay_before_refund_rest"])
    async def test_a_refused_payer_is_declined_with_a_reason(self, arranged: Arranged, policy: Policy) -> None:
        if policy not in arranged.psp.caps.policies:
            pytest.skip("not a policy of this psp")
        ask = question(arranged.psp, policy, arranged.refused_subject)
        answer = await arranged.psp.authorize(ask_key(ask.authorization_id), ask)
        assert answer.end == "declined"
        assert answer.reason
        assert (await arranged.psp.get(asked_kind(policy), str(ask.authorization_id))).standing == "declined"

    async def test_one_key_at_many_times_and_at_once_is_one_effect(self, arranged: Arranged) -> None:
        ask = question(arranged.psp)
        key = ask_key(ask.authorization_id)
        answers = await asyncio.gather(*(arranged.psp.authorize(key, ask) for _ in range(10)))
        answers.append(await arranged.psp.authorize(key, ask))
        assert len({answer.psp_ref for answer in answers}) == 1
        assert await arranged.effects("authorize", str(ask.authorization_id)) == 1

    async def test_a_key_is_not_taken_for_another_request(self, arranged: Arranged) -> None:
        ask = question(arranged.psp)
        key = ask_key(ask.authorization_id)
        assert (await arranged.psp.authorize(key, ask)).end == "done"
        assert (await arranged.psp.authorize(key, replace(ask, amount_minor=1))).end == "our_fault"

    async def test_nothing_is_found_of_what_was_never_asked(self, arranged: Arranged) -> None:
        kinds: tuple[Kind, ...] = (
            "hold",
            "stored",
            "charge",
            "settlement",
            "payment",
            "refund",
            "payout",
            "chargeback",
        )
        for kind in kinds:
            assert (await arranged.psp.get(kind, str(uuid4()))).standing == "missing"

    @pytest.mark.parametrize("how", LOST)
    @pytest.mark.parametrize("operation", CALLS)
    async def test_a_lost_answer_is_unknown_and_the_same_key_clears_it_up(
        self, arranged: Arranged, operation: str, how: str
    ) -> None:
        call, ref = await prepared(arranged, operation)
        await arranged.fail_next(operation, how)
        assert (await call()).end == "unknown"
        assert (await call()).end == "done"
        assert await arranged.effects(operation, ref) == 1

    @pytest.mark.parametrize("how", BEFORE)
    @pytest.mark.parametrize("operation", CALLS)
    async def test_a_lost_request_is_made_good_under_the_same_key(
        self, arranged: Arranged, operation: str, how: str
    ) -> None:
        call, ref = await prepared(arranged, operation)
        await arranged.fail_next(operation, how)
        assert (await call()).end in ("unknown", "retryable")
        assert await arranged.effects(operation, ref) == 0
        assert (await call()).end == "done"
        assert await arranged.effects(operation, ref) == 1

    async def test_a_session_is_settled_once_whatever_the_key(self, arranged: Arranged) -> None:
        first = message(arranged, await taken(arranged))
        assert (await arranged.psp.remit("s/1/" + first.order, first)).end == "done"
        assert (await arranged.psp.remit("s/2/" + first.order, first)).end != "done"
        again = replace(first, order=str(uuid4()))
        assert (await arranged.psp.remit("s/3/" + again.order, again)).end != "done"
        assert await arranged.effects("remit", first.order) == 1
        assert await arranged.effects("remit", again.order) == 0
        found = await arranged.psp.get("settlement", first.order)
        assert (found.standing, found.amount_minor) == ("settled", 7_001)

    async def test_shares_must_sum_to_the_fee_and_go_to_known_payees(self, arranged: Arranged) -> None:
        good = message(arranged, await taken(arranged))
        short = replace(good, shares=good.shares[:1])
        assert (await arranged.psp.remit("short/" + good.order, short)).end == "our_fault"
        stranger = replace(good, shares=(PayeeShare("nobody", 7_001),))
        assert (await arranged.psp.remit("stranger/" + good.order, stranger)).end == "our_fault"
        assert await arranged.effects("remit", good.order) == 0

    async def test_what_is_paid_before_is_taken_whole_and_its_rest_goes_back(self, arranged: Arranged) -> None:
        if "pay_before_refund_rest" not in arranged.psp.caps.policies:
            pytest.skip("not a policy of this psp")
        ask = question(arranged.psp, "pay_before_refund_rest")
        paid = await arranged.psp.authorize(ask_key(ask.authorization_id), ask)
        assert paid.psp_ref is not None
        found = await arranged.psp.get("hold", str(ask.authorization_id))
        assert (found.standing, found.psp_ref, found.amount_minor) == ("taken", paid.psp_ref, 20_000)
        rest = await arranged.psp.refund("rest/" + paid.psp_ref, refund_of(paid.psp_ref, 12_999))
        assert (rest.end, rest.standing) == ("done", "paid")
        payment = await arranged.psp.get("payment", paid.psp_ref)
        assert (payment.standing, payment.amount_minor, payment.refunded_minor) == ("taken", 20_000, 12_999)
        assert payment.currency == "KRW"

    async def test_no_more_goes_back_than_was_taken(self, arranged: Arranged) -> None:
        ref = await taken(arranged)
        first = refund_of(ref, 7_000)
        assert (await arranged.psp.refund("r/1/" + ref, first)).end == "done"
        assert (await arranged.psp.refund("r/2/" + ref, refund_of(ref, 2))).end in ("our_fault", "declined")
        assert await arranged.effects("refund", ref) == 1
        found = await arranged.psp.get("refund", first.order)
        assert (found.standing, found.amount_minor) == ("paid", 7_000)

    async def test_a_refund_is_made_once_whatever_the_key(self, arranged: Arranged) -> None:
        refund = refund_of(await taken(arranged), 1_000)
        assert (await arranged.psp.refund("r/1/" + refund.order, refund)).end == "done"
        assert (await arranged.psp.refund("r/2/" + refund.order, refund)).end != "done"
        assert await arranged.effects("refund", refund.psp_ref) == 1

    async def test_nothing_goes_back_of_what_was_never_taken(self, arranged: Arranged) -> None:
        _, ref = await held(arranged)
        refund = refund_of(ref, 1)
        assert (await arranged.psp.refund("r/" + refund.order, refund)).end != "done"
        assert await arranged.effects("refund", ref) == 0

    async def test_a_payee_is_paid_out_once_and_a_stranger_never(self, arranged: Arranged) -> None:
        if not arranged.psp.caps.payout:
            pytest.skip("this psp pays nobody out")
        payout = payout_to(arranged.payees[0])
        assert (await arranged.psp.payout("p/1/" + payout.order, payout)).end == "done"
        assert (await arranged.psp.payout("p/2/" + payout.order, payout)).end != "done"
        assert await arranged.effects("payout", payout.order) == 1
        found = await arranged.psp.get("payout", payout.order)
        assert found.standing in ("paid", "pending")
        assert found.amount_minor == payout.amount_minor
        stranger = payout_to("nobody")
        assert (await arranged.psp.payout("p/" + stranger.order, stranger)).end == "our_fault"

    async def test_a_good_token_names_its_subject(self, arranged: Arranged) -> None:
        verified = await arranged.psp.verify_token(await arranged.good_token("minsu"), "CP-1")
        assert isinstance(verified, VerifiedToken)
        assert (verified.psp, verified.subject) == (arranged.psp.name, "minsu")


def refund_of(psp_ref: str, amount_minor: int) -> Refund:
    """A new refund of a payment."""
    return Refund(str(uuid4()), psp_ref, amount_minor, "KRW", "the rest")


def payout_to(account: str) -> Payout:
    """A new payout of 6,301."""
    return Payout(str(uuid4()), account, 6_301, "KRW", "statement 2026-11")


class Prepared(Protocol):
    """A call that is ready to be made, again and again, under one key."""

    async def __call__(self) -> Answer: ...


async def prepared(arranged: Arranged, operation: str) -> tuple[Prepared, str]:
    """A call of `operation` with all that has to come before it, and the name by which its effects are counted."""
    psp = arranged.psp
    key = f"{operation}/{uuid4()}"
    match operation:
        case "authorize":
            ask = question(psp)
            return lambda: psp.authorize(key, ask), str(ask.authorization_id)
        case "capture":
            _, ref = await held(arranged)
            return lambda: psp.capture(key, ref, 7_001, "KRW"), ref
        case "void":
            _, ref = await held(arranged)
            return lambda: psp.void(key, ref), ref
        case "charge":
            probe = question(psp, "charge_after")
            stored = await psp.authorize(ask_key(probe.authorization_id), probe)
            assert stored.psp_ref is not None
            charge = Charge(str(uuid4()), stored.psp_ref, probe.subject, 7_001, "KRW")
            return lambda: psp.charge(key, charge), charge.order
        case "refund":
            refund = refund_of(await taken(arranged), 7_001)
            return lambda: psp.refund(key, refund), refund.psp_ref
        case "payout":
            if not psp.caps.payout:
                pytest.skip("this psp pays nobody out")
            payout = payout_to(arranged.payees[0])
            return lambda: psp.payout(key, payout), payout.order
        case _:
            settlement = message(arranged, await taken(arranged))
            return lambda: psp.remit(key, settlement), settlement.order
