"""The REST application: routes, access, problems, health, documents. It needs a pool and never the writer lane."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from csms import observe
from csms.api import auth, health, openapi
from csms.api.call import Parts, serve
from csms.api.problems import answer_problems, route_name
from csms.api.routes import PREFIX, ROUTES
from csms.base.clock import Clock
from csms.db import Pool
from csms.flows.command import Commands

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


async def create_app(
    pool: Pool, clock: Clock, commands: Commands, ready: health.Ready, settings: Settings | None = None
) -> web.Application:
    """
    The application. The schema must be up to date: its signing keys are read, or made, now.

    `ready` answers what `/readyz` tells beside the database: whether stations are listened to, the writer lives.
    """
    settings = settings or Settings()
    async with pool.acquire() as conn:
        keys = await auth.load_keys(conn, clock())
    access = auth.Access(keys, settings.issuer, settings.audience, settings.token_ttl_s)
    parts = Parts(pool, clock, access, commands, asyncio.Semaphore(STREAMS_MAX), settings.acquire_s_max)

    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[tell, answer_problems])
    for route in ROUTES:
        app.router.add_route(route.method, PREFIX + route.path, serve(route, parts))
    document = openapi.document(ROUTES, PREFIX)
    token = partial(auth.token, pool=pool, access=access, acquire_s_max=settings.acquire_s_max)
    app.router.add_post("/oauth/token", token)
    _add(app, "/.well-known/jwks.json", partial(_json, access.jwks))
    _add(app, f"{PREFIX}/openapi.json", partial(_json, document))
    _add(app, "/docs", _docs)
    _add(app, "/healthz", partial(health.healthz, pool, settings.health_s_max))
    _add(app, "/readyz", partial(health.readyz, pool, settings.health_s_max, ready))
    _add(app, "/metrics", health.metrics)
    app.on_response_prepare.append(_guard)
    return app


async def _guard(_: web.Request, response: web.StreamResponse) -> None:
    """Nothing here is kept by caches on the way, nor taken for another type than it says."""
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
        write("request", method=method, route=route, status=status, ms=round(took_s * 1000, 1))
