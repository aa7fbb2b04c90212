"""Who gets in: client credentials, access tokens, scopes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from csms.api import auth
from tests.api.conftest import Reply, Rest
from tests.make import NOON


async def ask_token(rest: Rest, **form: str) -> Reply:
    return await rest.raw("POST", "/oauth/token", data={"grant_type": "client_credentials", **form})


async def signing_key(rest: Rest) -> ECKey:
    async with rest.pool.acquire() as conn:
        return (await auth.load_keys(conn, NOON))[0]


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": "csms", "aud": "csms", "sub": "c", "client_id": "c", "iat": now, "exp": now + 60, "jti": "1"}
    return {key: value for key, value in {**good, "scope": "admin", **changed}.items() if value is not None}


async def judged(rest: Rest, token: str) -> int:
    reply = await rest.raw("GET", "/api/v1/stations", headers={"Authorization": f"Bearer {token}"})
    if reply.status != 200:
        assert reply.headers["WWW-Authenticate"].startswith('Bearer realm="csms"')
        assert reply.headers["Content-Type"].startswith("application/problem+json")
    return reply.status


async def test_a_client_gets_all_it_was_granted_or_what_it_asks_of_it(rest: Rest) -> None:
    client_id, secret = await rest.client("stations:read", "reports:read")
    whole = await ask_token(rest, client_id=client_id, client_secret=secret)
    assert whole.json["scope"] == "reports:read stations:read" and whole.json["expires_in"] == 900
    assert whole.headers["Cache-Control"] == "no-store"
    part = await ask_token(rest, client_id=client_id, client_secret=secret, scope="reports:read")
    assert part.json["scope"] == "reports:read"
    assert await judged(rest, part.json["access_token"]) == 403
    assert await judged(rest, whole.json["access_token"]) == 200
    more = await ask_token(rest, client_id=client_id, client_secret=secret, scope="admin")
    assert (more.status, more.json["error"]) == (400, "invalid_scope")


async def test_the_secret_may_come_by_basic_and_a_wrong_one_is_refused(rest: Rest) -> None:
    client_id, secret = await rest.client("stations:read")
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    good = await rest.raw(
        "POST", "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    )
    assert good.status == 200
    for form in (
        {"client_id": client_id, "client_secret": secret[:-1]},
        {"client_id": client_id, "client_secret": ""},
        {"client_id": "client-none", "client_secret": secret},
        {"client_id": "\x00", "client_secret": secret},
        {"client_id": client_id},
        {},
    ):
        bad = await ask_token(rest, **form)
        assert (bad.status, bad.json["error"]) == (401, "invalid_client"), form
        assert bad.headers["WWW-Authenticate"] == 'Basic realm="csms"'
    for header in ("Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe").decode(), "Bearer x"):
        bad = await rest.raw(
            "POST", "/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
        )
        assert bad.status == 401, header


async def test_only_client_credentials_in_a_form_are_served(rest: Rest) -> None:
    assert (await rest.raw("POST", "/oauth/token", json={"grant_type": "client_credentials"})).status == 400
    password = await rest.raw("POST", "/oauth/token", data={"grant_type": "password"})
    assert password.json["error"] == "unsupported_grant_type"
    assert (await rest.raw("GET", "/oauth/token")).status == 405


async def test_a_form_that_cannot_be_read_is_refused(rest: Rest) -> None:
    form = "application/x-www-form-urlencoded"
    for body, headers in (
        (b"\xff", {"Content-Type": form}),
        (b"a=b", {"Content-Type": f"{form}; charset=none-such"}),
        (b"\x1f\x8bx", {"Content-Type": form, "Content-Encoding": "gzip"}),
    ):
        reply = await rest.raw("POST", "/oauth/token", data=body, headers=headers)
        assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")


async def test_a_revoked_client_gets_no_token(rest: Rest) -> None:
    client_id, secret = await rest.client("stations:read")
    async with rest.pool.acquire() as conn:
        await conn.execute("update oauth_client set revoked_at = now() where id = $1", client_id)
    assert (await ask_token(rest, client_id=client_id, client_secret=secret)).status == 401


async def test_published_keys_verify_our_tokens_and_tell_no_secret(rest: Rest) -> None:
    published = (await rest.raw("GET", "/.well-known/jwks.json")).json["keys"]
    assert [key["kty"] for key in published] == ["EC"] and "d" not in published[0]
    decoded = jwt.decode(await rest.token("stations:read"), ECKey.import_key(published[0]), algorithms=["ES256"])
    assert decoded.header["typ"] == "at+jwt" and decoded.header["kid"] == published[0]["kid"]
    assert decoded.claims["aud"] == "csms" and decoded.claims["exp"] - decoded.claims["iat"] == 900


async def test_two_processes_share_one_signing_key(rest: Rest) -> None:
    first, second = await signing_key(rest), await signing_key(rest)
    assert first.kid == second.kid == (await rest.raw("GET", "/.well-known/jwks.json")).json["keys"][0]["kid"]


async def test_a_token_that_expired_or_is_for_others_is_refused(rest: Rest) -> None:
    key = await signing_key(rest)
    header = {"alg": "ES256", "typ": "at+jwt"}
    assert await judged(rest, jwt.encode(header, claims(), key)) == 200
    wrong: list[dict[str, Any]] = [{"exp": 1_700_000_000}, {"aud": "another"}, {"iss": "another"}]
    missing: list[dict[str, Any]] = [{name: None} for name in ("exp", "aud", "iss", "sub", "client_id", "jti")]
    for changed in wrong + missing:
        assert await judged(rest, jwt.encode(header, claims(**changed), key)) == 401, changed
    assert await judged(rest, jwt.encode({"alg": "ES256", "typ": "id+jwt"}, claims(), key)) == 401


async def test_a_token_signed_otherwise_is_refused(rest: Rest) -> None:
    key = await signing_key(rest)
    stranger = ECKey.generate_key("P-256")
    assert await judged(rest, jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid}, claims(), stranger)) == 401
    good = jwt.encode({"alg": "ES256", "typ": "at+jwt"}, claims(), key)
    assert await judged(rest, jwt.encode({"alg": "ES256"}, claims(), key)) == 401
    head, body, signature = good.split(".")
    assert await judged(rest, f"{head}.{encoded(claims(scope='admin', sub='x'))}.{signature}") == 401
    assert await judged(rest, f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{body}.") == 401
    for odd in ({"crit": 7}, {"crit": ["exp"]}, {"kid": 7}, {"kid": "made-up"}, {"jwk": 7}, {"zip": "DEF"}, {"x5c": 3}):
        other = encoded({"alg": "ES256", "typ": "at+jwt", **odd})
        assert await judged(rest, f"{other}.{body}.{signature}") == 401, odd
    public = json.dumps(key.as_dict(private=False)).encode()
    confused = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt'})}.{body}"
    forged = base64.urlsafe_b64encode(hmac.digest(public, confused.encode(), hashlib.sha256)).decode().rstrip("=")
    assert await judged(rest, f"{confused}.{forged}") == 401


async def test_what_is_no_token_is_refused(rest: Rest) -> None:
    for header in ("", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer ..", "Bearer é.é.é"):
        headers = {"Authorization": header} if header else {}
        reply = await rest.raw("GET", "/api/v1/stations", headers=headers)
        assert reply.status == 401 and "WWW-Authenticate" in reply.headers, header


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
