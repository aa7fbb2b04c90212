"""The running REST interface on a real socket and a real database, and clients with chosen scopes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import pytest

from csms import db
from csms.api.app import Settings, create_app
from csms.api.server import listening
from csms.base.clock import Clock
from csms.bus import LocalBus
from csms.domain.commands import Answer, Command
from csms.domain.events import Event, Outcome
from csms.domain.world import Rules
from csms.flows import clients
from csms.flows.command import Commands
from csms.flows.report import Road
from tests.make import NOON, seed


@dataclass
class Reply:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Rest:
    """The running interface, called with an all-powerful token unless told otherwise."""

    base: str
    dsn: str
    pool: db.Pool
    bus: LocalBus
    http: aiohttp.ClientSession
    road: Road
    tokens: dict[str, str] = field(default_factory=dict)
    ready: dict[str, bool] = field(default_factory=lambda: {"listening": True, "writer": True})

    async def client(self, *scopes: str, provider: str | None = None) -> tuple[str, str]:
        """A new client's id and secret."""
        async with self.pool.acquire() as conn:
            return await clients.add_client(conn, scopes, "test", NOON, provider)

    async def token(self, *scopes: str, provider: str | None = None) -> str:
        """An access token with these scopes, of a provider's client where one is named."""
        name = f"{' '.join(scopes)} of {provider}"
        if name not in self.tokens:
            client_id, secret = await self.client(*scopes, provider=provider)
            form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
            async with self.http.post(f"{self.base}/oauth/token", data=form) as response:
                self.tokens[name] = (await response.json())["access_token"]
        return self.tokens[name]

    async def ask(
        self,
        method: str,
        path: str,
        *,
        scopes: tuple[str, ...] = ("admin",),
        headers: Mapping[str, str] = {},
        **more: Any,
    ) -> Reply:
        """One request under /api/v1."""
        sent = {"Authorization": f"Bearer {await self.token(*scopes)}", **headers}
        return await self.raw(method, f"/api/v1{path}", headers=sent, **more)

    async def raw(self, method: str, path: str, **more: Any) -> Reply:
        """One request, as it is given."""
        async with self.http.request(method, f"{self.base}{path}", **more) as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def get(self, path: str, **more: Any) -> Any:
        """The JSON of a GET that succeeds."""
        reply = await self.ask("GET", path, **more)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, path: str, body: object, **more: Any) -> Any:
        """The JSON of a POST that succeeds."""
        reply = await self.ask("POST", path, json=body, **more)
        assert reply.status in (200, 201, 202), reply.body
        return reply.json

    async def tell(self, *events: Event) -> list[Outcome]:
        """Reports in one batch, as stations make them; their answers."""
        answers: list[asyncio.Future[Outcome]] = []
        for event in events:
            answers.append(asyncio.get_running_loop().create_future())
            self.road.submit(event, answers[-1].set_result)
        return await asyncio.wait_for(asyncio.gather(*answers), 20)

    def connect(self, station_id: str, epoch: int = 0, end: Any = "accepted") -> list[Command]:
        """A connected station that answers every command; the commands it got."""
        got: list[Command] = []

        async def answer(command: Command) -> Answer:
            got.append(command)
            return Answer(end)

        self.bus.serve(f"station/{station_id}/{epoch}", answer)
        return got


NO_PSPS = Rules(policies={})


@asynccontextmanager
async def running(
    dsn: str, pool: db.Pool, settings: Settings, rules: Rules = NO_PSPS, clock: Clock = lambda: NOON
) -> AsyncIterator[Rest]:
    """The interface over the database `dsn`, with these settings; nobody asks psps anything."""
    bus, ready = LocalBus(), {"listening": True, "writer": True}
    commands = Commands(pool, bus, clock)
    road = Road(partial(db.writer, dsn), rules, lambda ask: None, lambda: None)
    await road.start()
    app = await create_app(pool, clock, commands, road.submit, lambda: ready, settings)
    async with listening(app, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
        yield Rest(f"http://127.0.0.1:{port}", dsn, pool, bus, http, road, ready=ready)
    await asyncio.wait_for(commands.stop(), 10)
    await asyncio.wait_for(road.close(), 10)


@pytest.fixture
async def rest(dsn: str, pool: db.Pool) -> AsyncIterator[Rest]:
    """The interface over an empty database. On a busy machine a new connection takes a while: nobody is in a hurry."""
    async with running(dsn, pool, Settings(acquire_s_max=30.0, health_s_max=10.0)) as rest:
        yield rest


@pytest.fixture
async def hasty(dsn: str, pool: db.Pool) -> AsyncIterator[Rest]:
    """The interface over an empty database that waits for no connection."""
    async with running(dsn, pool, Settings(acquire_s_max=1.0, health_s_max=1.0)) as rest:
        yield rest


@pytest.fixture
async def seeded(rest: Rest) -> Rest:
    """The interface over the small world of `seed.sql`."""
    async with rest.pool.acquire() as conn:
        await seed(conn)
    return rest
