"""Two battery stations behind the running interface, and people before them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Issuer
from csms.domain.asset_events import GrantAnswered
from csms.domain.pack_state import PackState
from tests.api.conftest import NO_PSPS, Reply, running
from tests.api.issuer import issuing
from tests.api.lockers import HERE, NEAR, SECRET, Street, code
from tests.flows import swaps
from tests.flows.swaps import moved
from tests.make import NOON, after


class Plaza(Street):
    """X1 (b1, b2, b3 and an empty slot), X2 (b4 and an empty slot); both are connected. Ann and Bob have money."""

    def shown(self) -> dict[str, Any]:
        """What the screen of a station shows now."""
        return code(-int(self.minutes[0] * 60))

    async def pack(self, who: str = "ann", **more: Any) -> str:
        """A pack that a driver has in hands: its code."""
        rental = (await self.rent("staff", "X1", driver=who, proof=None, **more)).json
        grant = UUID(rental["door"]["id"])
        await self.rest.tell(GrantAnswered("X1", self.now, grant, "accepted", None))
        async with self.rest.pool.acquire() as conn:
            rid = await conn.fetchval(
                "select rid from swap s join rental r on r.swap_id = s.id where r.id = $1", UUID(rental["id"])
            )
        level = swaps.state(rental["item"])
        await self.rest.tell(moved("out", rid, {rental["door"]["connector"]: level}, self.now))
        return str(rental["item"])

    async def swap(self, who: str = "ann", station: str = "X1", **more: Any) -> Reply:
        """A driver asks for a swap, with the code of the screen."""
        key = more.pop("key", None)
        proof = more.pop("proof", self.shown())
        body = {"station": station, **({} if proof is None else {"proof": proof}), **more}
        return await self.ask(who, "POST", "/swaps", body, key=key)

    async def told(self, what: Any, rid: int, slots: dict[int, PackState]) -> Any:
        """What X1 tells of packs."""
        [outcome] = await self.rest.tell(moved(what, rid, slots, self.now))
        return outcome.asset

    async def sell(self, **more: Any) -> Any:
        """A product: 2,000 Wh for 10,000 KRW, for 30 days."""
        terms = {
            "id": "m", "name": "Monthly", "unit": "wh", "amount": 2_000, "vat_percent": "10", "valid_days": 30,
            "price": {"minor": 10_000, "currency": "KRW"}, "refund": "unused",
        }  # fmt: skip
        return await self.rest.post("/voucher-products", {**terms, **more})

    async def check(self) -> dict[str, Any]:
        """What is wrong in the books; nothing."""
        async with self.rest.pool.acquire() as conn:
            wrong = await db.check(conn)
        return {name: [dict(row) for row in rows] for name, rows in wrong.items()}


@asynccontextmanager
async def plaza(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    """The plaza, running. At its end every invariant of the database holds."""
    async with issuing() as issuer:
        issuers = (Issuer(issuer.url, "csms", "driver", ("ES256",)),)
        async with pool.acquire() as conn:
            await swaps.build(conn)
            await conn.execute("insert into driver_identity select $1, id, id from driver", issuer.url)
            for station, place in (("X1", HERE), ("X2", NEAR)):
                await conn.execute(
                    "insert into cabinet_presence values ($1, '{totp,ble,geofence}', $2, $3, $4, 50, 30, $5)",
                    station, SECRET, *place, NOON,
                )  # fmt: skip
        minutes: list[float] = [0]
        settings = Settings(acquire_s_max=5.0, issuers=issuers)
        async with running(dsn, pool, settings, NO_PSPS, lambda: after(minutes[0])) as rest:
            frames = {station: rest.connect(station) for station in ("X1", "X2")}
            found = Plaza(rest, issuer, frames, minutes=minutes)
            await rest.tell(swaps.units("X1", {1: "b1", 2: "b2", 3: "b3", 4: None}))
            await rest.tell(swaps.units("X2", {1: "b4", 2: None}))
            yield found
            assert await found.check() == {}
