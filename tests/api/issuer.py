"""A small issuer of access tokens, on a real socket: its documents, its keys, what it answers about opaque tokens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BasicAuth, web
from joserfc import jwt
from joserfc.jwk import ECKey

from csms.api.server import listening

CLIENT = ("csms", "its secret")


@dataclass
class IssuerServer:
    """What it knows, and what it was asked: paths in order."""

    url: str = ""
    keys: list[ECKey] = field(default_factory=lambda: [new_key()])
    opaque: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def token(self, key: ECKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token for `csms`, good for a minute unless the claims say otherwise; None leaves a claim out."""
        key = key or self.keys[0]
        good = {"iss": self.url, "aud": "csms", "sub": "someone", "exp": int(time.time()) + 60}
        told = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": key.kid, **(header or {})}, told, key)

    async def configuration(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "introspection_endpoint": f"{self.url}/introspect",
            }
        )

    async def jwks(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.keys]})

    async def introspect(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if BasicAuth.decode(request.headers["Authorization"]) != BasicAuth(*CLIENT):
            return web.json_response({"error": "invalid_client"}, status=401)
        form = await request.post()
        return web.json_response(self.opaque.get(str(form["token"]), {"active": False}))


def new_key() -> ECKey:
    """A P-256 key with a name."""
    return ECKey.generate_key("P-256", auto_kid=True)


@asynccontextmanager
async def issuing() -> AsyncIterator[IssuerServer]:
    """A running issuer."""
    server = IssuerServer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", server.configuration)
    app.router.add_get("/jwks", server.jwks)
    app.router.add_post("/introspect", server.introspect)
    async with listening(app, "127.0.0.1", 0) as port:
        server.url = f"http://127.0.0.1:{port}"
        yield server
