"""Access tokens of other issuers: what is taken, what is refused, and how seldom the issuer is asked."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Checker, Issuer, NotGood, open_session
from csms.api.routes import PREFIX
from tests.api.conftest import Rest, running
from tests.api.issuer import CLIENT, IssuerServer, issuing, new_key
from tests.make import seed
from tests.psp.social_process import SocialProcess


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    """An issuer."""
    async with issuing() as server:
        yield server


@pytest.fixture
async def rest(dsn: str, pool: db.Pool, issuer: IssuerServer) -> AsyncIterator[Rest]:
    """The interface, which takes this issuer's tokens: of the operator's staff, of providers', and opaque ones."""
    settings = Settings(
        acquire_s_max=5.0,
        issuers=(
            Issuer(issuer.url, "csms", "staff", ("ES256",)),
            Issuer(issuer.url, "csms-providers", "staff", ("ES256",), "scp", "company"),
            Issuer(issuer.url, "csms-opaque", "staff", ("ES256",), client_id=CLIENT[0], client_secret=CLIENT[1]),
        ),
    )
    async with pool.acquire() as conn:
        await seed(conn)
    async with running(dsn, pool, settings) as rest:
        yield rest


async def stations(rest: Rest, token: str) -> int:
    """How a token fares that needs `stations:read`."""
    reply = await rest.raw("GET", f"{PREFIX}/stations", headers={"Authorization": f"Bearer {token}"})
    return reply.status


async def test_another_issuers_token_opens_what_its_scopes_say(rest: Rest, issuer: IssuerServer) -> None:
    assert await stations(rest, issuer.token(scope="openid stations:read")) == 200
    assert await stations(rest, issuer.token(scope=["stations:read"])) == 200
    assert await stations(rest, issuer.token(scope="openid")) == 403
    assert await stations(rest, issuer.token(scope="driver:self")) == 403
    assert issuer.asked.count("/jwks") == 1


async def test_its_provider_claim_binds_the_bearer_to_that_provider(rest: Rest, issuer: IssuerServer) -> None:
    async def seen(**claims: Any) -> Any:
        token = issuer.token(aud="csms-providers", scp="stations:read", **claims)
        reply = await rest.raw("GET", f"{PREFIX}/stations", headers={"Authorization": f"Bearer {token}"})
        return len(reply.json["items"]) if reply.status == 200 else reply.status

    assert (await seen(company="P"), await seen(company="Q"), await seen(), await seen(company="")) == (3, 0, 401, 401)
    for odd in ("P\x00", "P ", "Q'", "x" * 400, 7, ["P"]):
        assert await seen(company=odd) == 401, odd


async def test_a_token_that_is_not_as_it_must_be_is_refused(rest: Rest, issuer: IssuerServer) -> None:
    good = {"scope": "stations:read"}
    assert await stations(rest, issuer.token(**good)) == 200
    for changed in (
        {"iss": "https://another.example"}, {"aud": "another"}, {"exp": int(time.time()) - 60}, {"exp": None},
        {"aud": None}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 300}, {"iss": None}, {"scope": 7},
        {"nbf": int(time.time()) + 600}, {"sub": "a\x00"}, {"sub": "a\n"},
    ):  # fmt: skip
        assert await stations(rest, issuer.token(**{**good, **changed})) == 401, changed
    stranger = new_key()
    assert await stations(rest, issuer.token(stranger, **good)) == 401
    assert await stations(rest, issuer.token(stranger, {"kid": issuer.keys[0].kid}, **good)) == 401
    assert await stations(rest, issuer.token(header={"kid": "made-up"}, **good)) == 401


async def test_the_token_does_not_choose_how_it_is_checked(rest: Rest, issuer: IssuerServer) -> None:
    head, body, signature = issuer.token(scope="stations:read").split(".")
    for algorithm in ("none", "HS256", "ES384", "RS256"):
        other = encoded({"alg": algorithm, "kid": issuer.keys[0].kid})
        public = json.dumps(issuer.keys[0].as_dict(private=False)).encode()
        forged = hmac.digest(public, f"{other}.{body}".encode(), hashlib.sha256)
        for signed in ("", signature, base64.urlsafe_b64encode(forged).decode().rstrip("=")):
            assert await stations(rest, f"{other}.{body}.{signed}") == 401, algorithm
    assert await stations(rest, f"{head}.{body}.{signature}") == 200


async def test_new_keys_are_fetched_at_most_once_a_minute(issuer: IssuerServer) -> None:
    now = [0.0]
    async with open_session() as http:
        checker = Checker(Issuer(issuer.url, "csms", "staff", ("ES256",)), http, monotonic=lambda: now[0])

        async def verified(token: str, kid: str) -> bool:
            try:
                await checker.verify(token, {"alg": "ES256", "kid": kid})
            except NotGood:
                return False
            return True

        old, new = issuer.keys[0], new_key()
        assert await verified(issuer.token(old), old.kid)
        issuer.keys.append(new)
        tries = [
            verified(issuer.token(new), new.kid),
            *(verified(issuer.token(old, {"kid": f"made-up-{n}"}), f"made-up-{n}") for n in range(20)),
        ]
        assert not any(await asyncio.gather(*tries))
        assert issuer.asked.count("/jwks") == 1
        now[0] = 60.0
        assert await verified(issuer.token(new), new.kid)
        assert issuer.asked.count("/jwks") == 2


async def test_an_issuer_that_is_away_lets_nobody_in_and_is_asked_again_soon(issuer: IssuerServer) -> None:
    now, url = [0.0], issuer.url
    async with open_session() as http:
        checker = Checker(Issuer(f"{url}/nowhere", "csms", "staff", ("ES256",)), http, monotonic=lambda: now[0])
        for _ in range(2):
            with pytest.raises(NotGood, match="not to be had"):
                await checker.verify(issuer.token(), {"alg": "ES256", "kid": issuer.keys[0].kid})
        impostor = Checker(Issuer(url, "csms", "staff", ("ES256",)), http, monotonic=lambda: now[0])
        issuer.url = "https://another.example"
        with pytest.raises(NotGood, match="not to be had"):
            await impostor.verify(issuer.token(), {"alg": "ES256", "kid": issuer.keys[0].kid})
        issuer.url, now[0] = url, 1.0
        assert (await impostor.verify(issuer.token(), {"alg": "ES256", "kid": issuer.keys[0].kid})).subject == "someone"


async def test_an_opaque_token_is_asked_about_and_the_answer_counts_a_minute(rest: Rest, issuer: IssuerServer) -> None:
    exp = int(time.time()) + 3_600
    known = {"active": True, "sub": "someone", "aud": "csms-opaque", "exp": exp, "scope": "stations:read"}
    issuer.opaque = {
        "good": known,
        "for-others": {**known, "aud": "another"},
        "old": {**known, "exp": int(time.time()) - 60},
        "off": {**known, "active": False},
        "odd": {**known, "active": "true"},
        "nobody": {**known, "sub": None},
        "unspeakable": {**known, "sub": "\ud800"},
        "no-object": [known],
    }
    assert [await stations(rest, token) for token in issuer.opaque] == [200, *[401] * 7]
    before = issuer.asked.count("/introspect")
    assert [await stations(rest, "good") for _ in range(3)] == [200, 200, 200]
    assert issuer.asked.count("/introspect") == before


async def test_a_revoked_opaque_token_ends_within_a_minute_and_an_expired_one_at_once(issuer: IssuerServer) -> None:
    now = [0.0]
    settings = Issuer(issuer.url, "csms", "staff", ("ES256",), client_id=CLIENT[0], client_secret=CLIENT[1])
    known = {"active": True, "sub": "someone", "aud": "csms", "scope": "stations:read"}
    issuer.opaque = {"long": {**known, "exp": 10_000}, "short": {**known, "exp": 1_010}}
    async with open_session() as http:
        checker = Checker(settings, http, wall=lambda: 1_000.0 + now[0], monotonic=lambda: now[0])
        assert await checker.introspect("long") and await checker.introspect("short")
        issuer.opaque = {}
        now[0] = 9.0
        assert await checker.introspect("long") and await checker.introspect("short")
        now[0] = 11.0
        assert await checker.introspect("short") is None
        now[0] = 59.0
        assert await checker.introspect("long")
        now[0] = 61.0
        assert await checker.introspect("long") is None


# Another program's issuer: the social-payment server --------------------------------------------------------------


@pytest.fixture(scope="module")
def social() -> Iterator[SocialProcess]:
    """The social-payment server as a process of its own."""
    server = SocialProcess.start()
    yield server
    server.kill()


async def test_the_social_payment_servers_driver_has_what_is_own(
    dsn: str, pool: db.Pool, social: SocialProcess
) -> None:
    settings = Settings(acquire_s_max=5.0, issuers=(Issuer(social.url, "csms", "driver", ("ES256",)),))
    async with pool.acquire() as conn:
        await seed(conn)
        await conn.execute("insert into driver_identity values ($1, 'sue', 'ann')", social.url)
    async with running(dsn, pool, settings) as rest:
        headers = {"Authorization": f"Bearer {await social.token('sue')}"}
        shown = await rest.raw("GET", f"{PREFIX}/drivers/me", headers=headers)
        assert (shown.status, shown.json["id"]) == (200, "ann")
        assert (await rest.raw("GET", f"{PREFIX}/drivers/bob", headers=headers)).status == 404
        other = {"Authorization": f"Bearer {await social.token('sue', audience='another')}"}
        assert (await rest.raw("GET", f"{PREFIX}/drivers/me", headers=other)).status == 401


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
