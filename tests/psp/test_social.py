"""The adapter of the social-payment server keeps the port's promises, and judges its tokens."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import repeat
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from csms.psp.base import Denied, Kind, PayeeShare, Psp, SettlementMessage, VerifiedToken
from csms.psp.breaker import FAILURES_MAX, OPEN_S
from csms.psp.social import Social, SocialSettings
from tests.psp.contract import PspContract, question
from tests.psp.social_process import OPERATOR_ACCOUNT, PROVIDER_ACCOUNT, SECRET, SocialProcess
from tests.psp.strange import answering

KINDS: tuple[Kind, ...] = ("hold", "stored", "charge", "settlement", "payment", "refund", "payout", "chargeback")
SETTLEMENT = SettlementMessage("o", "p", 1, "KRW", (PayeeShare(PROVIDER_ACCOUNT, 1),), {})

FAULTS = {
    "lost_answer": "timeout_after",
    "error_after_effect": "error_after",
    "lost_request": "timeout_before",
    "error_before_effect": "error_5xx",
}
OPERATIONS = {"void": "cancel", "remit": "settle"}
"""The server's words for operations of the port, where they differ."""


@dataclass(slots=True)
class ArrangedSocial:
    """The social-payment server behind its adapter."""

    psp: Psp
    server: SocialProcess
    payees: tuple[str, str] = (PROVIDER_ACCOUNT, OPERATOR_ACCOUNT)
    refused_subject: str = "refused-jiho"

    async def fail_next(self, operation: str, how: str) -> None:
        await self.server.fail(OPERATIONS.get(operation, operation), FAULTS[how])

    async def effects(self, operation: str, ref: str) -> int:
        named = {"order_id", "payment_key"}
        name = OPERATIONS.get(operation, operation)
        return sum(
            entry["operation"] == name and ref in [entry.get(name) for name in named]
            for entry in await self.server.journal()
        )

    async def good_token(self, subject: str) -> str:
        return await self.server.token(subject)


@pytest.fixture
async def arranged(social: SocialProcess) -> AsyncIterator[ArrangedSocial]:
    psp = Social(SocialSettings(social.url, SECRET, social.url))
    yield ArrangedSocial(psp, social)
    await psp.close()


class TestSocial(PspContract):
    """All promises of the port."""


async def denied(arranged: ArrangedSocial, token: str) -> str:
    verdict = await arranged.psp.verify_token(token, "CP-1")
    assert isinstance(verdict, Denied), verdict
    assert not token or token not in verdict.reason
    return verdict.reason


async def test_tokens_that_are_old_or_made_for_others_are_refused(arranged: ArrangedSocial) -> None:
    assert "Expired" in await denied(arranged, await arranged.server.token("minsu", expires_in=-60))
    await denied(arranged, await arranged.server.token("minsu", audience="another-system"))
    assert "long" in await denied(arranged, await arranged.server.token("m" * 255, audience="x" * 255) + "x" * 2048)


async def test_tokens_that_were_tampered_with_are_refused(arranged: ArrangedSocial) -> None:
    good = await arranged.server.token("minsu")
    head, claims, signature = good.split(".")
    other = (await arranged.server.token("jiwoo")).split(".")[1]
    for forged in (f"{head}.{other}.{signature}", f"{head}.{claims}.", f"{head}.{claims}", "", "a.b.c", "\N{SNOWMAN}"):
        await denied(arranged, forged)


async def test_only_es256_by_a_published_key_is_believed(arranged: ArrangedSocial) -> None:
    claims = {"iss": arranged.server.url, "aud": "csms", "sub": "minsu", "exp": 4_000_000_000}
    _, keys = await arranged.server.call("GET", "/.well-known/jwks.json")
    published = keys["keys"][0]["kid"]
    stranger = ECKey.generate_key("P-256", private=True)
    shared = OctKey.import_key("a secret that is long enough to be one")
    for header, key in (
        ({"alg": "ES256", "kid": published}, stranger),
        ({"alg": "ES256", "kid": "another"}, stranger),
        ({"alg": "ES256"}, stranger),
        ({"alg": "HS256", "kid": published}, shared),
    ):
        await denied(arranged, jwt.encode(header, claims, key))
    unsigned = "eyJhbGciOiJub25lIn0." + jwt.encode({"alg": "HS256"}, claims, shared).split(".")[1] + "."
    await denied(arranged, unsigned)


async def test_made_up_key_ids_fetch_the_keys_once_a_minute_at_most(social: SocialProcess) -> None:
    now = [1_000.0]
    psp = Social(SocialSettings(social.url, SECRET, social.url), monotonic=lambda: now[0])
    stranger = ECKey.generate_key("P-256", private=True)
    try:
        assert isinstance(await psp.verify_token(await social.token("minsu"), "CP-1"), VerifiedToken)
        await social.fail("verify", "error_5xx", count=1)  # is used up by the next fetch, whoever makes it
        for number in range(5):
            made_up = jwt.encode({"alg": "ES256", "kid": str(number)}, {"sub": "x"}, stranger)
            assert isinstance(await psp.verify_token(made_up, "CP-1"), Denied)
        _, faults = await social.call("GET", "/admin/faults")
        assert len(faults["active"]) == 1
        now[0] += 61
        assert isinstance(await psp.verify_token(made_up, "CP-1"), Denied)
        _, faults = await social.call("GET", "/admin/faults")
        assert faults["active"] == []
        assert isinstance(await psp.verify_token(await social.token("minsu"), "CP-1"), VerifiedToken)
    finally:
        await psp.close()


async def test_a_token_expires_on_the_wall_clock(social: SocialProcess) -> None:
    psp = Social(SocialSettings(social.url, SECRET, social.url), wall=lambda: 4_000_000_000.0)
    assert isinstance(await psp.verify_token(await social.token("minsu"), "CP-1"), Denied)
    await psp.close()


async def test_a_server_that_is_not_there_is_retryable_and_judges_no_token(social: SocialProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    nowhere = f"http://127.0.0.1:{port}"
    psp = Social(SocialSettings(nowhere, SECRET, nowhere))
    assert (await psp.authorize(str(uuid4()), question(psp))).end == "retryable"
    assert (await psp.get("hold", "x")).standing == "unknown"
    assert isinstance(await psp.verify_token(await social.token("minsu"), "CP-1"), Denied)
    await psp.close()


async def test_a_wrong_secret_is_our_fault_and_never_shown(social: SocialProcess) -> None:
    settings = SocialSettings(social.url, "wrong-secret", social.url)
    psp = Social(settings)
    assert (await psp.authorize(str(uuid4()), question(psp))).end == "our_fault"
    assert "wrong-secret" not in repr(settings)
    await psp.close()


async def test_an_answer_slower_than_the_limit_is_unknown(social: SocialProcess) -> None:
    psp = Social(SocialSettings(social.url, SECRET, social.url, call_s_max=0.1))
    await social.fail("authorize", "delay", delay_s=0.3)
    assert (await psp.authorize(str(uuid4()), question(psp))).end == "unknown"
    await psp.close()


async def test_a_server_that_does_not_answer_is_left_alone_and_tried_now_and_then(social: SocialProcess) -> None:
    now = [1_000.0]
    psp = Social(SocialSettings(social.url, SECRET, social.url), monotonic=lambda: now[0])
    await social.fail("get", "error_5xx", count=FAILURES_MAX + 1)
    for _ in range(FAILURES_MAX + 5):
        assert (await psp.get("hold", "x")).standing == "unknown"
    _, faults = await social.call("GET", "/admin/faults")
    assert [fault["left"] for fault in faults["active"]] == [1], "the last five calls were not sent"
    assert (await psp.authorize(str(uuid4()), question(psp))).end == "retryable"
    now[0] += OPEN_S
    assert (await psp.get("hold", "x")).standing == "unknown"
    assert (await psp.get("hold", "x")).reason == "not sent"
    now[0] += OPEN_S
    assert (await psp.get("hold", "x")).standing == "missing"
    assert (await psp.authorize(str(uuid4()), question(psp))).end == "done"
    await psp.close()


ODD = [
    (200, '{"status": "WAITING", "paymentKey": "p", "totalAmount": 1}'),
    (200, '{"status": ["DONE"], "paymentKey": "p", "totalAmount": 1}'),
    (200, '{"status": "DONE", "paymentKey": "p", "capturedAmount": null}'),
    (200, '{"status": "DONE"}'),
    (200, "{}"),
    (200, "[" * 100_000),
    (200, "<html>"),
    (302, '{"status": "CANCELED", "paymentKey": "p", "totalAmount": 1}'),
    (404, "404: Not Found"),
    (404, '{"error": "no such route"}'),
    (500, "[]"),
]


@pytest.mark.parametrize(("status", "body"), ODD)
async def test_an_answer_that_is_none_of_the_servers_decides_nothing(status: int, body: str) -> None:
    async with answering(repeat((status, body))) as url:
        psp = Social(SocialSettings(url, SECRET, url))
        for kind in KINDS:
            assert (await psp.get(kind, "x")).standing == "unknown"
        if status != 404:
            assert (await psp.remit("k", SETTLEMENT)).end == "unknown"
        await psp.close()
