"""A gateway on real sockets with the road behind it, and stations that connect to it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from csms import db
from csms.bus import LocalBus
from csms.domain.credential import canonical_key, seal
from csms.domain.events import Event, Outcome
from csms.flows import station_vouchers
from csms.flows.command import Commands
from csms.flows.connect import Admission, pepper_of
from csms.flows.setup import SetupBook
from csms.flows.tariffs import quote_of
from csms.ocpp.gateway import Gateway
from csms.ocpp.setup import Setup
from csms.psp.base import Denied, VerifiedToken
from tests import make

KEY = b"0123456789abcdef0123456789abcdef01234567"
FAR_AWAY = timedelta(days=3650)


class Rig:
    """
    One gateway. `issuer` says what is known of long tokens; `now` is the system's clock.

    With `shows_costs`, stations are told prices and costs; their seconds pass by `gateway.wheel.tick()` too.
    """

    def __init__(self, pool: db.Pool, dsn: str, *, shows_costs: bool = False) -> None:
        self.pool = pool
        self.shows_costs = shows_costs
        self.told = make.Told(dsn)
        self.now = make.NOON
        self.issuer: dict[str, VerifiedToken] = {}
        self.issuer_delay_s = 0.0
        self.bus = LocalBus()
        self.events: list[Event] = []
        self.port = 0

    async def __aenter__(self) -> Rig:
        async with self.pool.acquire() as conn:
            await make.seed(conn)
            await give_key(conn, "S1", KEY)
            await give_key(conn, "S2", KEY)
        pepper = await pepper_of(self.pool)
        await self.told.__aenter__()
        self.commands = Commands(self.pool, self.bus, self.clock)
        self.gateway = Gateway(
            submit=self._submit,
            admission=Admission(self.pool, pepper, self.clock),
            bus=self.bus,
            verify=self._verify,
            clock=self.clock,
            setup=Setup(SetupBook(self.pool, self.clock)),
            quotes=partial(quote_of, self.pool, self.clock) if self.shows_costs else None,
            vouchers=partial(station_vouchers.serve, self.pool, self.clock),
        )
        self.port = await self.gateway.start("127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.commands.stop()
        await self.gateway.stop()
        await self.told.__aexit__()

    def clock(self) -> datetime:
        """The system's clock stands still unless a test moves it."""
        return self.now

    def _submit(self, event: Event, reply: Callable[[Outcome], None]) -> None:
        self.events.append(event)
        self.told.road.submit(event, reply)

    async def _verify(self, token: str, station_id: str) -> VerifiedToken | Denied:
        await asyncio.sleep(self.issuer_delay_s)
        return self.issuer.get(token) or Denied("unknown token")

    async def station(self, version: str | None, station_id: str = "S1", **options: Any) -> Station:
        """A station that has connected."""
        headers = {"Authorization": basic(station_id, options.pop("key", KEY))}
        versions: Any = None if version is None else version.split(",")
        path = options.pop("path", f"/ocpp/{station_id}")
        url = f"ws://127.0.0.1:{self.port}{path}"
        socket = await connect(url, subprotocols=versions, additional_headers=headers, ping_interval=None, **options)
        return Station(socket)


class Station:
    """The other end: calls by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.count = 0

    async def call(self, action: str, payload: Any, message_id: str | None = None) -> Any:
        """The payload of the CALLRESULT, or the whole CALLERROR."""
        self.count += 1
        message_id = message_id or f"m{self.count}"
        await self.socket.send(json.dumps([2, message_id, action, payload]))
        frame = await self.hear()
        assert frame[1] == message_id, frame
        return frame[2] if frame[0] == 3 else frame

    async def say(self, text: str) -> None:
        """Any text at all."""
        await self.socket.send(text)

    async def hear(self) -> Any:
        """The next frame from the system."""
        return json.loads(await asyncio.wait_for(self.socket.recv(), 10))

    async def leave(self) -> None:
        """Close."""
        await self.socket.close()


def basic(user: str, key: bytes) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(user.encode() + b":" + key).decode()


async def give_key(conn: Any, station_id: str, key: bytes) -> None:
    """Set a station's key."""
    pepper = await conn.fetchval("select pepper from installation")
    await conn.execute("update station set credential = $2 where id = $1", station_id, seal(pepper, canonical_key(key)))
