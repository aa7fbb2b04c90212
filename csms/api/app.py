"""The REST application: routes, access, problems, health, documents. It needs a pool and never the writer lane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler

from csms import observe
from csms.api import auth, health, issuers, openapi, psp_hooks
from csms.api.call import Parts, serve
from csms.api.problems import answer_problems, route_name
from csms.api.routes import PREFIX, ROUTES
from csms.api.token_endpoint import TokenEndpoint
from csms.api.trail import request_id
from csms.base.clock import Clock
from csms.db import Pool
from csms.flows import clients
from csms.flows.command import Commands
from csms.flows.through import Submit
from csms.psp.base import Psp

BODY_BYTES_MAX = 256 * 1024
STREAMS_MAX = 4
TOKEN_TTL_S = 900
ISSUER = "csms"
AUDIENCE = "csms"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are told apart in logs and metrics: what clients invent must not make metrics without end."""
DOCS = Path(__file__).parent / "docs.html"

log = structlog.get_logger("csms.api")


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of the settings that the interface needs."""

    issuer: str = ISSUER
    audience: str = AUDIENCE
    token_ttl_s: int = TOKEN_TTL_S
    acquire_s_max: float = 5.0
    """How long a request waits for a database connection."""
    health_s_max: float = 2.0
    """How long `/healthz` waits for the database."""
    issuers: tuple[issuers.Issuer, ...] = ()
    """Others whose access tokens are taken."""
    psps: Mapping[str, Psp] = field(default_factory=dict)
    """The payment services that are set up, by name."""
    private_hooks: bool = False
    """Webhooks may go to http addresses and into our own network."""


async def create_app(
    pool: Pool,
    clock: Clock,
    commands: Commands,
    submit: Submit,
    ready: health.Ready,
    settings: Settings | None = None,
) -> web.Application:
    """
    The application. The schema must be up to date: its signing keys are read, or made, now.

    `submit` puts what people decide about sessions on the road. `ready` answers what `/readyz` tells beside
    the database: whether stations are listened to, the writer lives.
    """
    settings = settings or Settings()
    async with pool.acquire() as conn:
        keys = await auth.load_keys(conn, clock())
    others = issuers.open_session() if settings.issuers else None
    checkers = [] if others is None else [issuers.Checker(issuer, others) for issuer in settings.issuers]

    async def driver_of(issuer: str, subject: str) -> str:
        async with pool.acquire(timeout=settings.acquire_s_max) as conn:
            return await clients.driver_of(conn, issuer, subject, clock())

    access = auth.Access(keys, settings.issuer, settings.audience, settings.token_ttl_s, checkers, driver_of)
    parts = Parts(
        pool,
        clock,
        access,
        commands,
        submit,
        asyncio.Semaphore(STREAMS_MAX),
        settings.acquire_s_max,
        settings.psps,
        settings.private_hooks,
    )

    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[tell, answer_problems])
    for route in ROUTES:
        app.router.add_route(route.method, PREFIX + route.path, serve(route, parts))
    receiver = psp_hooks.Receiver(parts)
    app.router.add_post(f"{PREFIX}/webhooks", receiver.serve)
    app.router.add_post(f"{PREFIX}/webhooks/{{psp}}", receiver.serve)
    document = openapi.document(ROUTES, PREFIX)
    app.router.add_post("/oauth/token", TokenEndpoint(pool, access, settings.acquire_s_max).serve)
    _add(app, "/.well-known/jwks.json", partial(_json, access.jwks))
    _add(app, f"{PREFIX}/openapi.json", partial(_json, document))
    _add(app, "/docs", _docs)
    _add(app, "/healthz", partial(health.healthz, pool, settings.health_s_max))
    _add(app, "/readyz", partial(health.readyz, pool, settings.health_s_max, ready))
    _add(app, "/metrics", health.metrics)
    app.on_response_prepare.append(_guard)
    if others is not None:
        app.on_cleanup.append(partial(_close, others))
    return app


async def _close(others: ClientSession, _: web.Application) -> None:
    """End the connections to other issuers."""
    await others.close()


async def _guard(request: web.Request, response: web.StreamResponse) -> None:
    """Nothing here is kept by caches on the way, nor taken for another type than it says; and it tells its name."""
    response.headers["X-Request-Id"] = request_id(request)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")


def _add(app: web.Application, path: str, answer: Callable[[], Awaitable[web.Response]]) -> None:
    """An address that everybody may read."""

    async def handle(_: web.Request) -> web.Response:
        return await answer()

    app.router.add_get(path, handle)


async def _json(value: object) -> web.Response:
    return web.json_response(value)


async def _docs() -> web.Response:
    """The page that shows the OpenAPI document."""
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"
    headers = {"Content-Security-Policy": policy}
    return web.Response(text=DOCS.read_text("utf-8"), content_type="text/html", headers=headers)


@web.middleware
async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One log line and two metrics per request; addresses as patterns, for ids and tokens are not for logs."""
    began = time.perf_counter()
    status = 499
    try:
        response = await handler(request)
        status = response.status
        return response
    finally:
        took_s, route = time.perf_counter() - began, route_name(request)
        method = request.method if request.method in METHODS else "other"
        observe.REQUESTS.labels(method, route, str(status)).inc()
        observe.REQUEST_SECONDS.labels(route).observe(took_s)
        write = log.info if request.method != "GET" or status >= 400 else log.debug
        write(
            "request", method=method, route=route, status=status, ms=round(took_s * 1000, 1),
            request_id=request_id(request),
        )  # fmt: skip
