"""The HTTP side of the social-payment server: secret, idempotency keys, and the faults switched on."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec
from aiohttp import web

from charge_points_sim.social import requests as ask
from charge_points_sim.social.book import Book, Rejected
from charge_points_sim.social.faults import Faults
from charge_points_sim.social.journal import JournalFile, Line
from charge_points_sim.social.oidc import Issuer
from charge_points_sim.social.routes import Rule, looks, rules
from charge_points_sim.social.state import Json
from charge_points_sim.social.webhooks import Webhooks

BODY_BYTES_MAX = 65_536
KEY_LENGTH_MAX = 300

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Server:
    """Everything one process serves. `answers` has, per idempotency key, what was asked and what was answered."""

    book: Book
    issuer: Issuer
    faults: Faults
    secret: str
    random: Random
    file: JournalFile | None = None
    fee_bp: int = 0
    answers: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    webhooks: Webhooks = field(init=False)

    def __post_init__(self) -> None:
        self.webhooks = Webhooks(self.faults)

    def restore(self) -> None:
        """Take up the effects and answers of earlier runs from the journal's file."""
        if self.file is None:
            return
        for line in self.file.read():
            self.book.state.apply(line.entry)
            if line.entry["key"]:
                self.answers[line.entry["key"]] = (line.fingerprint, msgspec.json.encode(line.answer))

    def register(self, sellers: Iterable[str]) -> None:
        """Payees that are there from the beginning."""
        for seller in sellers:
            self._kept("", "", partial(self.book.register_seller, ask.Seller(seller)))

    def application(self) -> web.Application:
        """The aiohttp application with all routes."""
        basic = "Basic " + base64.b64encode(f"{self.secret}:".encode()).decode()
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.cleanup_ctx.append(self._with_webhooks)
        for method, path, operation, body_type, rule in rules(self.book, self.faults, self.webhooks):
            app.router.add_route(method, path, self._effect(operation, body_type, rule, basic))
        for method, path, operation, look in looks(self.book.state, self.faults, self.fee_bp):
            app.router.add_route(method, path, self._look(operation, look, basic))
        app.router.add_post("/oauth/driver-token", self._token)
        app.router.add_get("/.well-known/openid-configuration", self._public("verify", self.issuer.configuration))
        app.router.add_get("/.well-known/jwks.json", self._public("verify", self.issuer.jwks))
        app.router.add_get("/healthz", self._public("", lambda: {"status": "ok"}))
        return app

    async def _with_webhooks(self, app: web.Application) -> AsyncIterator[None]:
        await self.webhooks.open()
        yield
        await self.webhooks.close()

    def _effect(self, operation: str, body_type: Any, rule: Rule, basic: str) -> Handler:
        decode = msgspec.json.Decoder(body_type).decode if body_type is not None else None

        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), basic.encode()):
                return failure(401, "UNAUTHORIZED_KEY", "the secret key is missing or wrong")
            path_id = request.match_info.get("id", "")
            key = request.headers.get("Idempotency-Key", "")

            def run(how: str) -> web.Response:
                try:
                    asked = decode(body) if decode is not None else None
                    if not operation:
                        return self._kept("", "", lambda: rule("", path_id, asked, ""))
                    if not 0 < len(key) <= KEY_LENGTH_MAX:
                        raise Rejected(
                            400, "INVALID_IDEMPOTENCY_KEY", "Idempotency-Key is required, 1 to 300 characters"
                        )
                    fingerprint = blake2b(request.path.encode() + b"\n" + body, digest_size=16).hexdigest()
                    return self._kept(key, fingerprint, lambda: rule(key, path_id, asked, how))
                except Rejected as rejected:
                    return failure(rejected.status, rejected.code, rejected.message)
                except msgspec.DecodeError as error:
                    return failure(400, "INVALID_REQUEST", str(error))

            return await self._with_fault(operation, request, run)

        return handle

    def _kept(self, key: str, fingerprint: str, rule: Callable[[], Json]) -> web.Response:
        """
        Run a rule once per key; the same request under the same key gets the first answer again.

        Nothing here waits, so two requests with one key cannot both run. A refusal (no effect) is not kept.
        """
        known = self.answers.get(key) if key else None
        if known is not None:
            if known[0] != fingerprint:
                raise Rejected(422, "IDEMPOTENCY_KEY_REUSED", "this key was used with another request")
            return web.Response(body=known[1], content_type="application/json")
        entries = self.book.state.entries
        before = len(entries)
        answer = rule()
        body = msgspec.json.encode(answer)
        for entry in entries[before:]:
            if self.file is not None:
                self.file.append(Line(entry, fingerprint, answer))
            self.webhooks.tell(self.book.state, entry)
        if key:
            self.answers[key] = (fingerprint, body)
        return web.Response(body=body, content_type="application/json")

    async def _with_fault(
        self, operation: str, request: web.Request, run: Callable[[str], web.Response]
    ) -> web.StreamResponse:
        fault = self.faults.draw(operation) if operation and self.faults.active else None
        if fault is None:
            return run("")
        match fault.kind:
            case "delay":
                await asyncio.sleep(fault.delay_s)
                return run("")
            case "decline" | "pending":
                return run(fault.kind)
            case "duplicate":
                run("")
                return run("")
            case "error_5xx":
                return failure(500, "INTERNAL", "a fault, before any effect")
            case "error_after":
                run("")
                return failure(502, "INTERNAL", "a fault, after the effect")
            case "timeout_after":
                run("")
        await asyncio.sleep(fault.delay_s)
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=503)

    def _look(self, operation: str, look: Callable[[web.Request], Json | None], basic: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), basic.encode()):
                return failure(401, "UNAUTHORIZED_KEY", "the secret key is missing or wrong")

            def run(how: str) -> web.Response:
                found = look(request)
                if found is None:
                    return failure(404, "NOT_FOUND", "nothing by this id")
                return web.Response(body=msgspec.json.encode(found), content_type="application/json")

            return await self._with_fault(operation, request, run)

        return handle

    def _public(self, operation: str, answer: Callable[[], Json]) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            def run(how: str) -> web.Response:
                return web.Response(body=msgspec.json.encode(answer()), content_type="application/json")

            return await self._with_fault(operation, request, run)

        return handle

    async def _token(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()

        def run(how: str) -> web.Response:
            if how == "decline":
                return failure(403, "ACCESS_DENIED", "the sign-in was declined")
            try:
                wanted = msgspec.json.decode(body, type=ask.DriverToken)
            except msgspec.DecodeError as error:
                return failure(400, "INVALID_REQUEST", str(error))
            token = self.issuer.token(wanted, int(time.time()), f"{self.random.getrandbits(64):016x}")
            answer = {"access_token": token, "token_type": "Bearer", "expires_in": wanted.expires_in}
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

        return await self._with_fault("token", request, run)


def failure(status: int, code: str, message: str) -> web.Response:
    """An error in Toss's shape."""
    return web.Response(
        status=status, body=msgspec.json.encode({"code": code, "message": message}), content_type="application/json"
    )
