"""Two cabinets behind the running interface, and people before them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Issuer
from csms.api.routes import PREFIX
from csms.domain import presence
from csms.domain.asset_events import GrantAnswered
from csms.domain.commands import Command
from tests.api.conftest import NO_PSPS, Reply, Rest, running
from tests.api.issuer import IssuerServer, issuing
from tests.flows import lending
from tests.make import NOON, after, new_id

SECRET = b"12345678901234567890123456789012"
HERE, NEAR = (37.5665, 126.9780), (37.5669, 126.9780)
SECONDS = int(NOON.timestamp())


@dataclass
class Street:
    """C1 (i1, i2 and an empty door), C2 (two empty doors); both are connected. `frames` is what they were sent."""

    rest: Rest
    issuer: IssuerServer
    frames: dict[str, list[Command]] = field(default_factory=dict)
    keys: itertools.count[int] = field(default_factory=itertools.count)
    minutes: list[float] = field(default_factory=lambda: [0])

    @property
    def now(self) -> datetime:
        """The system's time."""
        return after(self.minutes[0])

    def later(self, minutes: float) -> None:
        """Time passes."""
        self.minutes[0] += minutes

    async def ask(self, who: str, method: str, path: str, body: object = None, **more: Any) -> Reply:
        """One request of a driver, or of `staff`; `key` is its Idempotency-Key."""
        if who == "staff":
            bearer = await self.rest.token(*more.pop("scopes", ("admin",)), provider=more.pop("provider", None))
        else:
            bearer = self.issuer.token(sub=who, scope="driver:self")
        key = more.pop("key", None) or f"key-{next(self.keys)}"
        headers = {"Authorization": f"Bearer {bearer}", "Idempotency-Key": key}
        sent = {} if body is None else {"json": body}
        return await self.rest.raw(method, f"{PREFIX}{path}", headers=headers, **sent, **more)

    async def rent(self, who: str = "ann", station: str = "C1", **more: Any) -> Reply:
        """Ann rents by her own balance, with the code of the screen."""
        key = more.pop("key", None)
        proof = more.pop("proof", code())
        body = {"station": station, **({} if proof is None else {"proof": proof}), **more}
        return await self.ask(who, "POST", "/rentals", body, key=key)

    async def taken(self, rental: Mapping[str, Any]) -> None:
        """What the cabinet tells when its door opens and the item is taken."""
        door = rental["door"]
        station, unit, grant = door["station"], door["connector"], UUID(door["id"])
        await self.rest.tell(GrantAnswered(station, self.now, grant, "accepted", None))
        await self.rest.tell(
            lending.door(station, unit, "open", grant, self.now),
            lending.taken(station, unit, rental["item"], grant, self.now),
            lending.door(station, unit, "closed", grant, self.now, False),
        )

    async def held(self) -> Any:
        """A rental that Ann has in her hands."""
        rental = (await self.rent()).json
        await self.taken(rental)
        return await self.rest.get(f"/rentals/{rental['id']}")

    async def brought(self, rental: Mapping[str, Any]) -> None:
        """What the cabinet tells when an item is put in behind the door that was opened for it."""
        door = rental["door"]
        station, unit, grant = door["station"], door["connector"], UUID(door["id"])
        await self.rest.tell(GrantAnswered(station, self.now, grant, "accepted", None))
        await self.rest.tell(
            lending.door(station, unit, "open", grant, self.now),
            lending.placed(station, unit, rental["item"], grant, self.now),
            lending.door(station, unit, "closed", grant, self.now, True),
        )

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        async with self.rest.pool.acquire() as conn:
            return int(await conn.fetchval(f"select count(*) from {table}"))

    async def until(self, is_so: Callable[[], Awaitable[object]]) -> None:
        """Waits until something is so."""
        for _ in range(2_000):
            if await is_so():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("waited in vain")

    async def post(self, debit: str, credit: str, minor: int) -> None:
        """Money moves from one account to another."""
        async with self.rest.pool.acquire() as conn:
            answers = await conn.fetchval(
                "select post(array[($1, $2, 'test', 'test', now())]::posting_in[],"
                " array[(1, 1, $3, $4, 'KRW', $5)]::transfer_in[])",
                new_id(), f"test-{next(self.keys)}", debit, credit, minor,
            )  # fmt: skip
        assert answers == ["posted"]

    async def door_opens(self) -> int:
        """How many doors anybody was told to open: jobs for the worker, and frames."""
        async with self.rest.pool.acquire() as conn:
            jobs = await conn.fetchval("select count(*) from outbox where kind = 'door.open'")
        return int(jobs) + sum(len(frames) for frames in self.frames.values())


@asynccontextmanager
async def street(dsn: str, pool: db.Pool, **more: Any) -> AsyncIterator[Street]:
    """The street, running."""
    rules = more.pop("rules", NO_PSPS)
    async with issuing() as issuer:
        issuers = (Issuer(issuer.url, "csms", "driver", ("ES256",)),)
        async with pool.acquire() as conn:
            await lending.build(conn)
            await conn.execute("insert into driver_identity values ($1, 'ann', 'ann'), ($1, 'bob', 'bob')", issuer.url)
            await conn.execute("insert into driver_identity values ($1, 'eve', 'eve')", issuer.url)
            for station, place in (("C1", HERE), ("C2", NEAR)):
                await conn.execute(
                    "insert into cabinet_presence values ($1, '{totp,ble,geofence}', $2, $3, $4, 50, 30, now())",
                    station, SECRET, *place,
                )  # fmt: skip
        minutes: list[float] = [0]
        settings = Settings(acquire_s_max=5.0, issuers=issuers, **more)
        async with running(dsn, pool, settings, rules, lambda: after(minutes[0])) as rest:
            frames = {station: rest.connect(station) for station in ("C1", "C2")}
            found = Street(rest, issuer, frames, minutes=minutes)
            await rest.tell(lending.snapshot("C1", {1: "i1", 2: "i2", 3: None}))
            await rest.tell(lending.snapshot("C2", {1: None, 2: None}))
            yield found


def code(age_s: int = 0, secret: bytes = SECRET) -> dict[str, Any]:
    """The code that the screen showed so long ago."""
    return {"totp": {"code": presence.totp(secret, SECONDS - age_s)}}


def nonce(text: str = "nonce-01", age_s: int = 0, station: str = "C1") -> dict[str, Any]:
    """A nonce that a cabinet sent so long ago."""
    at = SECONDS - age_s
    signature = presence.nonce_signature(SECRET, station, text, at)
    return {"ble": {"nonce": text, "time": at, "signature": signature}}


def place(latitude: float = HERE[0], at: str = "2026-11-20T12:00:00Z", accuracy_m: float = 10.5) -> dict[str, Any]:
    """Where a telephone says that it is."""
    return {"geofence": {"latitude": latitude, "longitude": HERE[1], "accuracy_m": accuracy_m, "at": at}}
