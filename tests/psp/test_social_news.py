"""What the social-payment server tells by itself: the account of a day, and signed events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from itertools import repeat
from uuid import uuid4

import pytest

from csms.base import webhook
from csms.psp.base import (
    Event,
    Refund,
    Statement,
    Unavailable,
    Unverified,
    ask_key,
    driver_of_top_up,
    top_up_order,
)
from csms.psp.breaker import FAILURES_MAX
from csms.psp.social import Social, SocialSettings
from tests.psp.contract import message, payout_to, question, refund_of
from tests.psp.social_process import SECRET, SocialProcess
from tests.psp.strange import answering
from tests.psp.test_social import ArrangedSocial

KEYS = (b"a" * 32, b"b" * 32)
NOW = 1_790_000_000


@pytest.fixture
async def psp(social: SocialProcess) -> AsyncIterator[Social]:
    secrets = tuple(webhook.secret(key) for key in KEYS)
    settings = SocialSettings(social.url, SECRET, social.url, webhook_secrets=secrets)
    made = Social(settings, wall=lambda: float(NOW))
    yield made
    await made.close()


async def test_a_statement_has_every_movement_of_its_day_once(social: SocialProcess, psp: Social) -> None:
    arranged = ArrangedSocial(psp, social)
    ask = question(psp)
    held = await psp.authorize(ask_key(ask.authorization_id), ask)
    assert held.psp_ref is not None
    ref = held.psp_ref
    await psp.capture(f"c/{ref}", ref, 7_001, "KRW")
    settlement = message(arranged, ref)
    await psp.remit(f"s/{ref}", settlement)
    refund, payout = refund_of(ref, 1), payout_to(arranged.payees[0])
    await psp.refund(f"r/{ref}", refund)
    await psp.payout(f"p/{ref}", payout)
    unused = question(psp)
    released = await psp.authorize(ask_key(unused.authorization_id), unused)
    await psp.void(f"v/{unused.authorization_id}", released.psp_ref or "")
    found = await psp.statement(datetime.now(UTC).date())
    assert isinstance(found, Statement)
    orders = {str(ask.authorization_id), settlement.order, refund.order, payout.order, str(unused.authorization_id)}
    mine = [(line.kind, line.order, line.amount_minor) for line in found.lines if line.order in orders]
    assert mine == [
        ("payment", str(ask.authorization_id), 7_001),
        ("settlement", settlement.order, -7_001),
        ("refund", refund.order, -1),
        ("payout", payout.order, -6_301),
    ]
    assert await psp.statement(date(2001, 1, 1)) == Statement(date(2001, 1, 1), ())


async def test_a_statement_that_cannot_be_had_or_read_is_unavailable(social: SocialProcess, psp: Social) -> None:
    await social.fail("statement", "error_5xx")
    assert isinstance(await psp.statement(date(2026, 1, 1)), Unavailable)
    for odd in ('{"day": "2026-01-02", "lines": []}', '{"day": "2026-01-01"}', "[]",
                '{"day": "2026-01-01", "lines": [{"kind": "gift"}]}'):  # fmt: skip
        async with answering(repeat((200, odd))) as url:
            other = Social(SocialSettings(url, SECRET, url))
            assert isinstance(await other.statement(date(2026, 1, 1)), Unavailable)
            await other.close()


async def test_new_calls_are_not_sent_either_while_nobody_answers(social: SocialProcess, psp: Social) -> None:
    await social.fail("statement", "error_5xx", count=FAILURES_MAX)
    for _ in range(FAILURES_MAX):
        await psp.statement(date(2026, 1, 1))
    refund = Refund(str(uuid4()), "pay_1", 1, "KRW", "why")
    assert (await psp.refund("k", refund)).end == "retryable"
    assert (await psp.payout("k", payout_to("P"))).end == "retryable"


def told(kind: str = "refund", status: str = "DONE", **more: object) -> bytes:
    """The body of an event."""
    body = {
        "id": "evt_1",
        "type": "t",
        "at": "2026-11-20T12:00:00.000+00:00",
        "data": {"kind": kind, "ref": "r", "status": status},
    }
    return json.dumps(body | more).encode()


@pytest.mark.parametrize("key", KEYS)
def test_a_signed_event_says_what_happened(psp: Social, key: bytes) -> None:
    raw = told()
    event = psp.parse_webhook(webhook.sign([key], "evt_7", NOW, raw), raw)
    assert isinstance(event, Event)
    assert (event.psp, event.event_id, event.kind, event.ref, event.standing) == (
        "social",
        "evt_7",
        "refund",
        "r",
        "paid",
    )
    assert event.occurred_at == datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_an_event_that_is_not_signed_or_old_is_only_a_hint(psp: Social) -> None:
    raw = told()
    for headers in ({}, webhook.sign([b"c" * 32], "evt_7", NOW, raw), webhook.sign(KEYS, "evt_7", NOW - 400, raw)):
        found = psp.parse_webhook(headers, raw)
        assert isinstance(found, Unverified)
        assert found.hint is not None
        assert found.hint.ref == "r"


async def test_without_a_secret_nothing_is_genuine(social: SocialProcess) -> None:
    psp = Social(SocialSettings(social.url, SECRET, social.url), wall=lambda: float(NOW))
    raw = told()
    assert isinstance(psp.parse_webhook(webhook.sign(KEYS, "evt_7", NOW, raw), raw), Unverified)
    await psp.close()


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b'"x"', b"[" * 60_000, told(at="yesterday"), told(at="9999-12-31T23:59:59-23:59"),
     told(data=[]), told(data={"kind": "refund", "ref": "r"}), b"\xff\xfe"],
)  # fmt: skip
def test_a_body_that_is_no_event_is_refused_whoever_signed_it(psp: Social, raw: bytes) -> None:
    found = psp.parse_webhook(webhook.sign(KEYS, "evt_7", NOW, raw), raw)
    assert isinstance(found, Unverified)


def test_news_of_an_unknown_kind_are_kept_and_useless(psp: Social) -> None:
    raw = told(kind="seller")
    event = psp.parse_webhook(webhook.sign(KEYS, "evt_7", NOW, raw), raw)
    assert isinstance(event, Event)
    assert (event.kind, event.standing) == (None, None)


def test_an_order_of_a_top_up_names_its_driver_and_others_name_nobody() -> None:
    assert driver_of_top_up(top_up_order("kim.1", "7")) == "kim.1"
    for order in (None, "", "top-up", "top-up:", "top-up:kim", "top-up:kim:", "top-up::7", str(uuid4())):
        assert driver_of_top_up(order) is None
