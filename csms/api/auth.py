"""Who asks: access tokens of ours (RFC 9068) and of configured issuers, and the scopes that a route needs."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from authlib.oauth2 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from csms.api.issuers import Bearer, Checker, NotGood
from csms.api.problems import Problem
from csms.base.errors import NotFound
from csms.db import DRIVER, PROVIDER, SQL, STAFF, Connection
from csms.flows.admin import ADMIN_SCOPE, DRIVER_SCOPE, SCOPES

ALGORITHM = "ES256"
KIND = (ALGORITHM, "at+jwt")
"""Algorithm and type in the head of every access token of ours: pinned."""
REALM = "csms"
PROVIDER_CLAIM = "provider"
"""In our tokens: whose staff the client is; the operator's when it is missing."""
TOKEN_BYTES_MAX = 8_192
STAFF_SCOPES = SCOPES.keys() - {DRIVER_SCOPE}

DriverOf = Callable[[str, str], Awaitable[str]]
"""The driver behind an issuer's subject."""


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, and what it may do: the operator's staff, the staff of `provider`, or the driver `driver`."""

    id: str
    scopes: frozenset[str]
    provider: str | None = None
    driver: str | None = None

    @property
    def role(self) -> str:
        """The database role that its transactions run as."""
        return DRIVER if self.driver is not None else PROVIDER if self.provider is not None else STAFF


class Validator(JWTBearerTokenValidator):  # type: ignore[misc]
    """Accepts our own tokens: signed by one of our keys, for us, not expired."""

    def __init__(self, issuer: str, audience: str, keys: KeySet) -> None:
        super().__init__(issuer, audience, realm=REALM)
        self._keys = keys

    def get_jwks(self) -> KeySet:
        """Our public keys: all are P-256, which pins the algorithm to ES256."""
        return self._keys


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs documents of ours that are no access tokens, by one of our keys."""

    key: ECKey
    issuer: str
    audience: str

    def sign(self, kind: str, purpose: str, claims: Mapping[str, Any]) -> str:
        """A document with these claims: `kind` is its type, `purpose` part of its audience."""
        header = {"alg": ALGORITHM, "typ": kind, "kid": self.key.kid}
        whole = {"iss": self.issuer, "aud": f"{self.audience}/{purpose}", **claims}
        return jwt.encode(header, whole, self.key, algorithms=[ALGORITHM])


class Access:
    """Issues access tokens and judges them. Expiry is judged on the wall clock, also when the system's is simulated."""

    def __init__(
        self,
        keys: Sequence[ECKey],
        issuer: str,
        audience: str,
        ttl_s: int,
        checkers: Sequence[Checker],
        driver_of: DriverOf,
    ) -> None:
        self.signer = Signer(keys[0], issuer, audience)
        self._issuer, self._audience, self._ttl_s = issuer, audience, ttl_s
        self._checkers, self._driver_of = checkers, driver_of
        self._keys = KeySet(list(keys))
        self.jwks = {"keys": [key.as_dict(private=False) for key in keys]}
        self._protector = ResourceProtector()
        self._protector.register_token_validator(Validator(issuer, audience, self._keys))

    def issue(self, client_id: str, scopes: Sequence[str], provider: str | None) -> dict[str, object]:
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
            **({} if provider is None else {PROVIDER_CLAIM: provider}),
        }
        header = {"alg": ALGORITHM, "typ": "at+jwt", "kid": self.signer.key.kid}
        token = jwt.encode(header, claims, self.signer.key, algorithms=[ALGORITHM])
        return {"access_token": token, "token_type": "Bearer", "expires_in": self._ttl_s, "scope": claims["scope"]}

    def signed(self, kind: str, purpose: str, text: str) -> dict[str, Any] | None:
        """The claims of a document of ours, whatever its time; None when we did not sign it, or for something else."""
        try:
            token = jwt.decode(text, self._keys, algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            return None
        claims: dict[str, Any] = token.claims
        ours = (claims.get("iss"), claims.get("aud")) == (self._issuer, f"{self._audience}/{purpose}")
        return claims if ours and token.header.get("typ") == kind else None

    async def require(self, authorization: str | None, scopes: Sequence[str]) -> Client:
        """
        Who asks, by the Authorization header; any one of `scopes` is enough, and `admin` for all but drivers' own.

        Problem 401 without a good token, 403 without a scope, each with WWW-Authenticate (RFC 6750). For
        a driver there is nothing at addresses that are not for drivers: NotFound.
        """
        client = await self._identified(_token(authorization))
        if client.driver is not None:
            if not client.scopes.intersection(scopes):
                raise NotFound("there is nothing here for drivers")
        elif not client.scopes.intersection([*scopes, ADMIN_SCOPE]) or not set(scopes) - {DRIVER_SCOPE}:
            needed = [scope for scope in scopes if scope != DRIVER_SCOPE] or [DRIVER_SCOPE]
            detail = f"this needs the scope {' or '.join(needed)}"
            raise _challenge(403, detail, error="insufficient_scope", scope=" ".join(needed))
        return client

    async def _identified(self, token: str) -> Client:
        """Whose token it is; Problem 401 when it is nobody's."""
        parts = _parts(token)
        if parts is None:
            return await self._of_opaque(token)
        header, claims = parts
        if claims.get("iss") == self._issuer:
            return self._of_ours(token, header)
        for checker in self._checkers:
            if checker.issuer.issuer == claims.get("iss"):
                try:
                    return await self._of_bearer(await checker.verify(token, header))
                except NotGood:
                    continue  # the same issuer may be there for another audience, too
        raise _not_valid()

    def _of_ours(self, token: str, header: Mapping[str, object]) -> Client:
        if (header.get("alg"), header.get("typ")) != KIND:
            raise _not_valid()
        try:
            claims = self._protector.validate_request([], _Request({"Authorization": f"Bearer {token}"}))
        except OAuth2Error:
            raise _not_valid() from None
        scopes = frozenset(str(claims.get("scope", "")).split()) & STAFF_SCOPES
        provider = claims.get(PROVIDER_CLAIM)
        return Client(str(claims["client_id"]), scopes, None if provider is None else str(provider))

    async def _of_opaque(self, token: str) -> Client:
        for checker in self._checkers:
            if checker.introspects:
                try:
                    bearer = await checker.introspect(token)
                except NotGood:
                    continue
                if bearer is not None:
                    return await self._of_bearer(bearer)
        raise _challenge(401, "send a bearer token from /oauth/token", error="invalid_token")

    async def _of_bearer(self, bearer: Bearer) -> Client:
        """The client that another issuer's token stands for; its name has the issuer in it: no two share one."""
        if bearer.issuer.kind == "driver":
            driver = await self._driver_of(bearer.issuer.issuer, bearer.subject)
            return Client(f"driver:{driver}", bearer.scopes & {DRIVER_SCOPE}, driver=driver)
        name = f"{bearer.issuer.issuer}|{bearer.subject}"
        return Client(name, bearer.scopes & STAFF_SCOPES, bearer.provider)


@dataclass(frozen=True, slots=True)
class _Request:
    """What authlib looks at."""

    headers: dict[str, str]


def _token(authorization: str | None) -> str:
    """The bearer token in the header."""
    if not authorization:
        raise _challenge(401, "send a bearer token from /oauth/token")
    kind, _, token = authorization.partition(" ")
    token = token.strip()
    if (
        kind.lower() != "bearer"
        or len(authorization) > TOKEN_BYTES_MAX
        or not token.isascii()
        or not token.isprintable()
    ):
        raise _challenge(401, "send a bearer token from /oauth/token", error="invalid_token")
    return token


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Header and claims of a signed token, unchecked; None for one that only its issuer can read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in parts[:2])
    except (ValueError, binascii.Error, RecursionError):
        raise _not_valid() from None
    if not isinstance(header, dict) or not isinstance(claims, dict) or "crit" in header:
        raise _not_valid()  # what is critical must be understood (RFC 7515, section 4.1.11), and nothing is
    return header, claims


def _not_valid() -> Problem:
    return _challenge(401, "the bearer token is not valid (any more)", error="invalid_token")


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
