"""Access of staff and machines: OAuth2 client credentials (RFC 6749), JWT access tokens (RFC 9068), scopes."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from authlib.oauth2 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc6749.errors import MissingAuthorizationError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from csms.api.problems import Problem
from csms.db import SQL, Connection, Pool
from csms.flows.admin import SCOPES, hash_secret

ALGORITHM = "ES256"
KIND = (ALGORITHM, "at+jwt")
"""Algorithm and type in the head of every access token of ours: pinned."""
REALM = "csms"
DRIVER_SCOPE = "driver:self"
ADMIN_SCOPE = "admin"
TOKEN_BYTES_MAX = 8_192
NO_SECRET = bytes(32)
"""Compared with where there is no such client, so that the answer takes as long."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and what it may do."""

    id: str
    scopes: frozenset[str]


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
    """Accepts our own tokens: signed by one of our keys, for us, not expired."""

    def __init__(self, issuer: str, audience: str, keys: KeySet) -> None:
        super().__init__(issuer, audience, realm=REALM)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        """Our public keys: all are P-256, which pins the algorithm to ES256."""
        return self._keys


class Access:
    """Issues access tokens and judges them. Expiry is judged on the wall clock, also when the system's is simulated."""

    def __init__(self, keys: Sequence[ECKey], issuer: str, audience: str, ttl_s: int) -> None:
        self._signer, self._issuer, self._audience, self._ttl_s = keys[0], issuer, audience, ttl_s
        self.jwks = {"keys": [key.as_dict(private=False) for key in keys]}
        self._protector = ResourceProtector()
        self._protector.register_token_validator(Validator(issuer, audience, KeySet(list(keys))))

    def issue(self, client_id: str, scopes: Sequence[str]) -> dict[str, object]:
        """The answer of the token endpoint: a token of `ttl_s` seconds with these scopes."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": client_id,
            "client_id": client_id,
            "iat": now,
            "exp": now + self._ttl_s,
            "jti": secrets.token_hex(16),
            "scope": " ".join(scopes),
        }
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self._signer.kid}
        token = jwt.encode(header, claims, self._signer, algorithms=[ALGORITHM])
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._ttl_s, "scope": claims["scope"]}

    def require(self, authorization: str | None, scopes: Sequence[str]) -> Client:
        """
        Who asks, by the Authorization header; any one of `scopes` is enough, and `admin` for all but drivers' own.

        Problem 401 without a good token, 403 without a scope, each with WWW-Authenticate (RFC 6750).
        """
        enough = [*scopes] if DRIVER_SCOPE in scopes else [*scopes, ADMIN_SCOPE]
        request = _Request({"Authorization": _plausible(authorization)} if authorization else {})
        try:
            token = self._protector.validate_request(enough, request)
        except MissingAuthorizationError:
            raise _challenge(401, "send a bearer token from /oauth/token") from None
        except OAuth2Error as error:
            if error.status_code == 403:
                detail = f"this needs the scope {' or '.join(scopes)}"
                raise _challenge(403, detail, error="insufficient_scope", scope=" ".join(scopes)) from None
            raise _challenge(401, "the bearer token is not valid (any more)", error="invalid_token") from None
        return Client(str(token["client_id"]), frozenset(str(token.get("scope", "")).split()))


@dataclass(frozen=True, slots=True)
class _Request:
    """What authlib looks at."""

    headers: dict[str, str]


def _plausible(authorization: str) -> str:
    """The header, if it can hold a token at all: three parts of base64url after a word."""
    kind, _, token = authorization.partition(" ")
    parts = token.strip().split(".")
    if kind.lower() != "bearer" or len(authorization) > TOKEN_BYTES_MAX or len(parts) != 3:
        raise _challenge(401, "send a bearer token from /oauth/token", error="invalid_token")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    except (ValueError, binascii.Error, RecursionError):
        header = claims = None
    if not isinstance(header, dict) or not isinstance(claims, dict) or (header.get("alg"), header.get("typ")) != KIND:
        raise _challenge(401, "the bearer token is not valid (any more)", error="invalid_token")
    return f"Bearer {token.strip()}"


def _challenge(status: int, detail: str, **attributes: str) -> Problem:
    """A 401 or 403 that says how to do better (RFC 6750, section 3)."""
    words = ", ".join(f'{name}="{value}"' for name, value in {"realm": REALM, **attributes}.items())
    return Problem(status, detail, headers={"WWW-Authenticate": f"Bearer {words}"})


async def load_keys(conn: Connection, now: datetime) -> list[ECKey]:
    """The installation's signing keys, the one that signs first; the very first is made here."""
    async with conn.transaction():
        await SQL.lock_signing_keys.run(conn)
        if not await SQL.list_signing_keys.many(conn):
            key = ECKey.generate_key("P-256", auto_kid=True)
            private = {**key.as_dict(private=True), "use": "sig", "alg": ALGORITHM}
            await SQL.add_signing_key.run(conn, key.kid, json.dumps(private), now)
        rows = await SQL.list_signing_keys.many(conn)
    return [ECKey.import_key(json.loads(row["private_jwk"])) for row in rows]


async def token(request: web.Request, pool: Pool, access: Access, acquire_s_max: float) -> web.Response:
    """`POST /oauth/token`: a client's id and secret, by HTTP Basic or in the form, for an access token."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise _refusal(400, "invalid_request", "send a form: grant_type=client_credentials")
    try:
        form = await request.post()
    except (UnicodeDecodeError, LookupError):
        raise _refusal(400, "invalid_request", "the form is not text in UTF-8") from None
    if form.get("grant_type") != "client_credentials":
        raise _refusal(400, "unsupported_grant_type", "only grant_type=client_credentials is served")
    basic = request.headers.get("Authorization")
    client_id, secret = _presented(basic, form.get("client_id"), form.get("client_secret"))
    async with pool.acquire(timeout=acquire_s_max) as conn:
        row = await SQL.find_client.one(conn, client_id)
    if not hmac.compare_digest(hash_secret(secret), bytes(row["secret_hash"]) if row else NO_SECRET) or row is None:
        raise _refusal(401, "invalid_client", "client id or secret is wrong")
    asked = str(form.get("scope") or "").split()
    granted = set(row["scopes"])
    covered = granted | (SCOPES.keys() - {DRIVER_SCOPE} if ADMIN_SCOPE in granted else set())
    if not covered.issuperset(asked):
        raise _refusal(400, "invalid_scope", f"this client may ask for {' '.join(sorted(covered))}")
    answer = access.issue(client_id, sorted(set(asked)) or sorted(granted))
    return web.json_response(answer, headers={"Cache-Control": "no-store"})


def _presented(basic: str | None, client_id: object, secret: object) -> tuple[str, str]:
    """The client's id and secret, from one place only (RFC 6749, section 2.3)."""
    if basic is not None:
        kind, _, encoded = basic.partition(" ")
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode() if kind.lower() == "basic" else ""
        except ValueError:
            text = ""
        given, _, key = text.partition(":")
        client_id, secret = unquote_plus(given), unquote_plus(key)
    if not isinstance(client_id, str) or not isinstance(secret, str) or not client_id or "\x00" in client_id:
        raise _refusal(401, "invalid_client", "send the client's id and secret, by HTTP Basic or in the form")
    return client_id, secret


def _refusal(status: int, code: str, description: str) -> Problem:
    """An error of the token endpoint: a problem document that also has the members of RFC 6749, section 5.2."""
    headers = {"WWW-Authenticate": f'Basic realm="{REALM}"'} if status == 401 else {}
    return Problem(status, description, headers=headers, members={"error": code, "error_description": description})
