"""`POST /oauth/token`: OAuth2 client credentials (RFC 6749, section 4.4), at a bounded rate."""

from __future__ import annotations

import base64
import hmac
import math
import time
from collections.abc import Callable, Hashable
from urllib.parse import unquote_plus

from aiohttp import web

from csms.api.auth import REALM, STAFF_SCOPES, Access
from csms.api.limits import Limit
from csms.api.problems import Problem
from csms.db import SQL, Pool, Record
from csms.flows.admin import ADMIN_SCOPE
from csms.flows.clients import hash_secret

NO_SECRET = bytes(32)
"""Compared with where there is no such client, so that the answer takes as long."""
WINDOW_S = 60.0
FAILURES_MAX = 10
"""Wrong secrets for one client from one source in a window: who guesses elsewhere locks nobody out."""
SOURCE_FAILURES_MAX = 60
"""Wrong answers to one source in a window, whatever client it names."""
TOKENS_MAX = 120
"""Tokens for one client in a window: a client that asks for one per request is mistaken."""


class TokenEndpoint:
    """Gives access tokens for secrets."""

    def __init__(
        self, pool: Pool, access: Access, acquire_s_max: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool, self._access, self._acquire_s_max = pool, access, acquire_s_max
        self._failures = Limit(FAILURES_MAX, WINDOW_S, monotonic)
        self._source_failures = Limit(SOURCE_FAILURES_MAX, WINDOW_S, monotonic)
        self._tokens = Limit(TOKENS_MAX, WINDOW_S, monotonic)

    async def serve(self, request: web.Request) -> web.Response:
        """A client's id and secret, by HTTP Basic or in the form, for an access token."""
        source = request.remote or ""
        self._bound(self._source_failures, source)
        try:
            return await self._answer(request, source)
        except Problem as problem:
            if problem.status == 401:
                self._source_failures.note(source)
            raise

    async def _answer(self, request: web.Request, source: str) -> web.Response:
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
        self._bound(self._failures, (client_id, source))
        async with self._pool.acquire(timeout=self._acquire_s_max) as conn:
            row = await SQL.find_client.one(conn, client_id)
        if not _opens(row, secret) or row is None:
            self._failures.note((client_id, source))
            raise _refusal(401, "invalid_client", "client id or secret is wrong")
        self._bound(self._tokens, client_id)
        self._tokens.note(client_id)
        asked = str(form.get("scope") or "").split()
        granted = set(row["scopes"])
        covered = granted | (STAFF_SCOPES if ADMIN_SCOPE in granted else set())
        if not covered.issuperset(asked):
            raise _refusal(400, "invalid_scope", f"this client may ask for {' '.join(sorted(covered))}")
        answer = self._access.issue(client_id, sorted(set(asked)) or sorted(granted), row["provider_id"])
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    def _bound(self, limit: Limit, name: Hashable) -> None:
        """Problem 429 while `name` has had enough."""
        if (wait_s := limit.wait_s(name)) > 0:
            members = {"error": "temporarily_unavailable"}
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise Problem(
                429, "too many requests for tokens; wait, and keep a token until it expires", (), headers, members
            )


def _opens(row: Record | None, secret: str) -> bool:
    """Whether `secret` is the client's; the one before it, too, while it is kept. Always the same work."""
    shown = hash_secret(secret)
    now = hmac.compare_digest(shown, bytes(row["secret_hash"]) if row else NO_SECRET)
    before = hmac.compare_digest(shown, bytes(row["previous_hash"]) if row and row["previous_hash"] else NO_SECRET)
    return now or before


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
