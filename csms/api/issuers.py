"""Access tokens of other issuers: signed ones by the issuer's published keys, opaque ones by asking it (RFC 7662)."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from aiohttp import BasicAuth, ClientError, ClientSession, ClientTimeout
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from csms.base.ids import CHOSEN_ID

LEEWAY_S = 5
REFETCH_S_MIN = 60.0
"""Keys that are known are not fetched again sooner: unknown key ids are free to make up."""
RETRY_S_MIN = 1.0
"""An issuer whose document could not be fetched is not asked again sooner."""
INTROSPECTED_S_MAX = 60.0
"""How long an issuer's word that an opaque token is good counts."""
INTROSPECTED_MAX = 10_000
ANSWER_S_MAX = 5.0
"""How long an issuer may take to answer; who brought its token waits."""
DOCUMENT_BYTES_MAX = 256 * 1024
SUBJECT_LENGTH_MAX = 255
AWAY = (ClientError, TimeoutError, JoseError, ValueError, KeyError, TypeError)
"""What fetching an issuer's documents may raise."""

log = structlog.get_logger("csms.api")


@dataclass(frozen=True, slots=True)
class Issuer:
    """
    An issuer whose access tokens are taken, as settings describe it.

    `kind` says whose tokens these are. `algorithms` are pinned: a token cannot choose how it is checked.
    `scope_claim` is text or a list; a driver's token needs none. With `provider_claim` every token must
    name its provider there, without it its bearers are the operator's staff. `client_id` and
    `client_secret` are ours there, for asking about opaque tokens; without them those are not taken.
    """

    issuer: str
    audience: str
    kind: Literal["staff", "driver"]
    algorithms: tuple[str, ...] = ("ES256", "RS256")
    scope_claim: str = "scope"
    provider_claim: str | None = None
    client_id: str | None = None
    client_secret: str | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a good token names: `provider` is None for the operator's staff and for drivers."""

    issuer: Issuer
    subject: str
    scopes: frozenset[str]
    provider: str | None


def open_session() -> ClientSession:
    """What other issuers are asked through."""
    return ClientSession(timeout=ClientTimeout(total=ANSWER_S_MAX))


class NotGood(ValueError):
    """The token is not taken; the text holds nothing of it."""


class Checker:
    """Judges the tokens of one issuer. Expiry is judged by `wall`; `monotonic` paces what is asked of the issuer."""

    def __init__(
        self,
        issuer: Issuer,
        http: ClientSession,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._http, self._wall, self._monotonic = http, wall, monotonic
        self._claims = JWTClaimsRegistry(
            now=lambda: int(wall()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer.issuer},
            aud={"essential": True, "value": issuer.audience},
            sub={"essential": True},
            exp={"essential": True},
        )
        self._keys: KeySet | None = None
        self._configuration: Mapping[str, Any] = {}
        self._fetch_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._known: dict[bytes, tuple[float, Bearer]] = {}

    @property
    def introspects(self) -> bool:
        """Whether opaque tokens can be asked about."""
        return self.issuer.client_id is not None and self.issuer.client_secret is not None

    async def verify(self, token: str, header: Mapping[str, object]) -> Bearer:
        """Whom a signed token names, `header` being its own; NotGood when it is not taken."""
        if header.get("alg") not in self.issuer.algorithms or not isinstance(header.get("kid"), str):
            raise NotGood("not signed as this issuer signs, by a named key")
        keys = await self._keys_with(str(header["kid"]))
        if keys is None:
            raise NotGood("the issuer's keys are not to be had")
        try:
            claims = jwt.decode(token, keys, algorithms=list(self.issuer.algorithms)).claims
            self._claims.validate(claims)
        except (JoseError, ValueError) as error:
            raise NotGood(type(error).__name__) from None
        return self._bearer(claims)

    async def introspect(self, token: str) -> Bearer | None:
        """Whom an opaque token names, by the issuer's word; None when the issuer does not know it as good."""
        key = hashlib.sha256(token.encode()).digest()
        now = self._monotonic()
        if (known := self._known.get(key)) is not None and now < known[0]:
            return known[1]
        answer = await self._ask(token)
        if answer is None:
            return None
        bearer = self._bearer(answer)
        left_s = answer["exp"] - self._wall()
        if len(self._known) >= INTROSPECTED_MAX:
            self._known.clear()
        self._known[key] = (now + min(left_s, INTROSPECTED_S_MAX), bearer)
        return bearer

    async def _ask(self, token: str) -> Mapping[str, Any] | None:
        """The issuer's answer about a token that it calls active and that was made for us."""
        issuer = self.issuer
        auth = BasicAuth(issuer.client_id or "", issuer.client_secret or "")
        try:
            endpoint = (await self._configured())["introspection_endpoint"]
            form = {"token": token, "token_type_hint": "access_token"}
            async with self._http.post(endpoint, data=form, auth=auth, allow_redirects=False) as response:
                response.raise_for_status()
                answer = await response.json(content_type=None)
            if not isinstance(answer, dict):
                raise ValueError("not a JSON object")
            # RFC 7662 leaves out what it need not say; who asks for itself is named by its client alone
            told = {"iss": issuer.issuer, "exp": int(self._wall()) + 1, "sub": answer.get("client_id"), **answer}
            self._claims.validate(told)
            return told if answer["active"] is True else None
        except AWAY as error:
            if not isinstance(error, JoseError):
                log.warning("an issuer does not answer", issuer=issuer.issuer, error=repr(error))
            return None

    def _bearer(self, claims: Mapping[str, Any]) -> Bearer:
        """What the claims say of who asks."""
        issuer, subject = self.issuer, claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX or not subject.isprintable():
            raise NotGood("the subject is not a name")
        told = claims.get(issuer.scope_claim, ())
        scopes = told.split() if isinstance(told, str) else told
        if not isinstance(scopes, Iterable) or not all(isinstance(scope, str) for scope in scopes):
            raise NotGood("the scopes are not names")
        provider = None if issuer.provider_claim is None else claims.get(issuer.provider_claim)
        if issuer.provider_claim is not None and not (isinstance(provider, str) and CHOSEN_ID.fullmatch(provider)):
            raise NotGood("the token names no provider")
        return Bearer(issuer, subject, frozenset(scopes), provider)

    async def _keys_with(self, key_id: str) -> KeySet | None:
        """The issuer's keys, fetched anew if `key_id` is not among them and a fetch is due. None: we have none."""
        if not self._knows(key_id):
            async with self._fetching:
                if not self._knows(key_id) and self._monotonic() >= self._fetch_at:
                    await self._fetch()
        return self._keys

    def _knows(self, key_id: str) -> bool:
        return self._keys is not None and any(key.kid == key_id for key in self._keys.keys)

    async def _configured(self) -> Mapping[str, Any]:
        """The issuer's discovery document; KeyError when it could not be had lately."""
        if not self._configuration:
            async with self._fetching:
                if not self._configuration and self._monotonic() >= self._fetch_at:
                    await self._fetch()
        if not self._configuration:
            raise KeyError("no discovery document")
        return self._configuration

    async def _fetch(self) -> None:
        """Fetch the discovery document and the keys that it names."""
        try:
            configuration = await self._document(f"{self.issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
            if configuration["issuer"] != self.issuer.issuer:
                raise ValueError("the issuer calls itself otherwise")
            self._keys = KeySet.import_key_set(await self._document(configuration["jwks_uri"]))  # type: ignore[arg-type]
            self._configuration = configuration
            self._fetch_at = self._monotonic() + REFETCH_S_MIN
        except AWAY as error:
            log.warning("an issuer's keys cannot be fetched", issuer=self.issuer.issuer, error=repr(error))
            self._fetch_at = self._monotonic() + (REFETCH_S_MIN if self._keys is not None else RETRY_S_MIN)

    async def _document(self, url: str) -> dict[str, Any]:
        """A JSON object at `url`."""
        async with self._http.get(url, allow_redirects=False) as response:
            response.raise_for_status()
            if response.status != 200 or (response.content_length or 0) > DOCUMENT_BYTES_MAX:
                raise ValueError("not a document")
            found = await response.json(content_type=None)
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        return found
