"""Checks signed tokens of one OpenID Connect issuer; its keys are fetched when needed and remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import ClientError, ClientSession
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from joserfc.jwt import JWTClaimsRegistry

from csms.psp.base import Denied, VerifiedToken

ALGORITHM = "ES256"
"""Pinned: a token cannot choose how it is checked."""

TOKEN_LENGTH_MAX = 2048
SUBJECT_LENGTH_MAX = 255
LEEWAY_S = 5
REFETCH_S_MIN = 60.0
"""Keys that are known are not fetched again sooner: unknown key ids are free to make up."""

RETRY_S_MIN = 1.0
"""An issuer whose keys we could not fetch is not asked again sooner."""


class TokenVerifier:
    """
    Judges tokens of `issuer` that were made for `audience`, for psp `psp`.

    `wall` and `monotonic` are the network's clocks: token expiry never follows simulated time.
    """

    def __init__(
        self,
        http: ClientSession,
        *,
        psp: str,
        issuer: str,
        audience: str,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._psp = psp
        self._issuer = issuer
        self._wall = wall
        self._monotonic = monotonic
        self._claims = JWTClaimsRegistry(
            now=lambda: int(wall()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._keys: KeySet | None = None
        self._fetch_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> VerifiedToken | Denied:
        """Whose token it is. A reason holds nothing of the token, so it may be logged."""
        if len(token) > TOKEN_LENGTH_MAX:
            return Denied("the token is too long")
        try:
            header = extract_compact(token.encode("ascii")).headers()
        except (JoseError, ValueError):
            return Denied("not a signed token")
        key_id = header.get("kid")
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            return Denied(f"not signed with {ALGORITHM} by a named key")
        keys = await self._keys_with(key_id)
        if keys is None:
            return Denied("the issuer's keys are not to be had")
        try:
            decoded = jwt.decode(token, keys, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError) as error:
            return Denied(f"the token is not good: {type(error).__name__}")
        subject = decoded.claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX or "\0" in subject:
            return Denied("the subject is not a name")
        expires_at = datetime.fromtimestamp(int(decoded.claims["exp"]), UTC)
        return VerifiedToken(self._psp, self._issuer, subject, expires_at)

    async def _keys_with(self, key_id: str) -> KeySet | None:
        """The issuer's keys, fetched anew if `key_id` is not among them and a fetch is due. None: we have none."""
        if not self._knows(key_id):
            async with self._fetching:
                if not self._knows(key_id) and self._monotonic() >= self._fetch_at:
                    await self._fetch()
        return self._keys

    def _knows(self, key_id: str) -> bool:
        return self._keys is not None and any(key.kid == key_id for key in self._keys.keys)

    async def _fetch(self) -> None:
        try:
            async with self._http.get(f"{self._issuer}/.well-known/openid-configuration") as response:
                response.raise_for_status()
                configuration = await response.json(content_type=None)
            if configuration["issuer"] != self._issuer:
                raise ValueError("the issuer calls itself otherwise")
            async with self._http.get(configuration["jwks_uri"]) as response:
                response.raise_for_status()
                self._keys = KeySet.import_key_set(await response.json(content_type=None))
            self._fetch_at = self._monotonic() + REFETCH_S_MIN
        except (ClientError, TimeoutError, JoseError, ValueError, KeyError, TypeError):
            known = self._keys is not None
            self._fetch_at = self._monotonic() + (REFETCH_S_MIN if known else RETRY_S_MIN)
