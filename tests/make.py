"""Builders for tests: events with sensible values, and the road on a small seeded world."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from csms import db
from csms.base.ids import uuid7
from csms.domain.authorization import Ask
from csms.domain.events import (
    AuthorizationDecided,
    Event,
    Outcome,
    Reading,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    TokenPresented,
)
from csms.domain.world import Rules
from csms.flows.report import Road

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN = "A0A0A0A0"
BOB = "B0B0B0B0"
SUE = "50C1A100"
TOM = "50C1A200"
SOCIAL = Rules(policies={"social": "hold_capture"})
_random = random.Random(7)
_numbers = itertools.count(1)


def new_id() -> UUID:
    """A fresh id, as an edge draws it."""
    return uuid7(1_700_000_000_000 + next(_numbers), _random.getrandbits(80))


def after(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def started(ref: str = "r1", **fields: Any) -> SessionStarted:
    """A live start at S1, connector 1, by Ann, at noon, at 1000 Wh."""
    at = fields.pop("at", NOON)
    values: dict[str, Any] = {
        "station_id": "S1",
        "received_at": at,
        "at": at,
        "connector": 1,
        "ref": ref,
        "start_key": fields.get("ref", ref),
        "token": ANN,
        "meter_wh": 1000,
        "offline": False,
        "session_id": new_id(),
        "authorization_id": new_id(),
        "raw": "[2,...]",
    }
    return SessionStarted(**(values | fields))


def authorized(ref: str = "r1", **fields: Any) -> SessionAuthorized:
    """The token of a session that began without one."""
    values: dict[str, Any] = {
        "station_id": "S1",
        "received_at": after(1),
        "at": after(1),
        "connector": 1,
        "ref": ref,
        "token": ANN,
        "offline": False,
        "session_id": new_id(),
        "authorization_id": new_id(),
        "raw": "[2,...]",
    }
    return SessionAuthorized(**(values | fields))


def metered(ref: str = "r1", minutes: float = 30, wh: int | None = 4000, **fields: Any) -> SessionMetered:
    """One reading."""
    at = after(minutes)
    values: dict[str, Any] = {
        "station_id": "S1",
        "ref": ref,
        "received_at": at,
        "readings": (Reading(at, hash((minutes, wh)) & 0x7FFFFFFF, wh),),
        "connector": 1,
        "offline": False,
        "session_id": new_id(),
        "raw": "[2,...]",
    }
    return SessionMetered(**(values | fields))


def ended(ref: str = "r1", minutes: float = 60, wh: int | None = 11000, **fields: Any) -> SessionEnded:
    """An end one hour after noon: 10 kWh, 3000 KRW."""
    at = after(minutes)
    values: dict[str, Any] = {
        "station_id": "S1",
        "received_at": at,
        "at": at,
        "ref": ref,
        "meter_wh": wh,
        "reason": "Local",
        "offline": False,
        "session_id": new_id(),
        "authorization_id": new_id(),
        "raw": "[2,...]",
        "may_open": True,
    }
    return SessionEnded(**(values | fields))


def presented(token: str = ANN, **fields: Any) -> TokenPresented:
    """An Authorize at S1."""
    values: dict[str, Any] = {
        "station_id": "S1",
        "received_at": NOON,
        "token": token,
        "authorization_id": new_id(),
        "driver_id": f"d-{next(_numbers)}",
    }
    return TokenPresented(**(values | fields))


def verdict(ask: Ask, word: str = "authorized", **fields: Any) -> AuthorizationDecided:
    """A psp's word on an ask."""
    values: dict[str, Any] = {
        "authorization_id": ask.authorization_id,
        "station_id": ask.station_id,
        "received_at": NOON,
        "verdict": word,
        "reason": None if word == "authorized" else word,
        "psp_ref": "pay-1",
        "driver_id": f"d-{next(_numbers)}",
    }
    return AuthorizationDecided(**(values | fields))


async def seed(conn: Any) -> None:
    """The small world of `seed.sql`."""
    await conn.execute(Path(__file__).with_name("seed.sql").read_text())


async def fund(conn: Any, driver_id: str, minor: int, currency: str = "KRW") -> None:
    """Money into a driver's balance."""
    answers = await conn.fetchval(
        "select post(array[($1, $2, 'top_up', $3, now())]::posting_in[],"
        " array[(1, 1, 'psp:social:clearing', $4, $5, $6)]::transfer_in[])",
        new_id(),
        f"fund/{next(_numbers)}",
        f"driver/{driver_id}",
        f"driver:{driver_id}:balance",
        currency,
        minor,
    )
    assert answers == ["posted"]


class Told:
    """A road on the seeded world, and what it did: the questions it asked, how often it woke the worker."""

    def __init__(self, dsn: str, rules: Rules = SOCIAL, at_point: Callable[[str], None] = lambda _: None) -> None:
        self.dsn = dsn
        self.asks: list[Ask] = []
        self.woken = 0
        self.road = Road(self._connect, rules, self.asks.append, self._wake, at_point)

    async def _connect(self) -> Any:
        return await db.writer(self.dsn)

    def _wake(self) -> None:
        self.woken += 1

    async def __aenter__(self) -> Told:
        await self.road.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.road.close(), 20)

    def send(self, event: Event) -> asyncio.Future[Outcome]:
        """Puts one report on the road; the future has its answer."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.road.submit(event, answer.set_result)
        return answer

    async def tell(self, *events: Event) -> list[Outcome]:
        """Reports in one batch; their answers."""
        return await asyncio.wait_for(asyncio.gather(*[self.send(event) for event in events]), 20)

    async def tell_apart(self, events: Iterable[Event]) -> list[Outcome]:
        """Reports one after the other, each in a batch of its own."""
        return [(await self.tell(event))[0] for event in events]
