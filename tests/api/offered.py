"""A town where vouchers are on sale, drivers have charged, and a psp takes what is asked, or does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Issuer
from csms.domain.authorization import Ask
from csms.psp.base import Answer, Denied, Found, Psp, VerifiedToken
from csms.psp.social import CAPS
from tests.api.conftest import NO_PSPS, running
from tests.api.issuer import issuing
from tests.api.lockers import Street
from tests.api.test_voucher_preview import ALL
from tests.make import NOON, after, fund, seed

SEOUL = timedelta(hours=9)
NIGHT = 22


@dataclass
class Till:
    """A payment service: `says` how asking ends; each key has one effect, and `get` tells it."""

    says: list[str] = field(default_factory=list)
    name: str = "social"
    caps = CAPS
    paid: dict[str, int] = field(default_factory=dict)
    asks: list[str] = field(default_factory=list)

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """`token-of-ann` is Ann's."""
        kind, _, subject = token.rpartition("-")
        return VerifiedToken("social", "https://s.example", subject, after(60)) if kind == "token-of" else Denied("no")

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """`lost`: taken, and the answer is lost; `away`: nothing is known at all."""
        self.asks.append(key)
        says = self.says.pop(0) if self.says else "done"
        order = str(ask.authorization_id)
        if says in ("done", "lost", "away-taken"):
            self.paid[order] = ask.amount_minor
        if says == "done":
            return Answer("done", f"pay-{order}")
        if says == "declined":
            return Answer("declined", reason="no money")
        self.hidden = says.startswith("away")
        return Answer("unknown", reason="no answer")

    hidden: bool = False

    async def get(self, kind: str, ref: str) -> Found:
        """What the order came to."""
        if self.hidden:
            return Found("unknown")
        return Found("taken", f"pay-{ref}", self.paid[ref]) if ref in self.paid else Found("missing")


@dataclass
class Bazaar(Street):
    """P1 to P4 are on sale; Ann, Bob and blocked Eve each have an app; Ann and Bob have 50,000 KRW."""

    till: Till = field(default_factory=Till)
    apps: dict[str, str] = field(default_factory=dict)

    async def app(self, who: str) -> str:
        """The id of a driver's app, which is proven to be theirs."""
        if who not in self.apps:
            body = {"type": "app", "value": f"app-of-{who}"}
            self.apps[who] = (await self.ask("staff", "POST", f"/drivers/{who}/vehicles", body)).json["id"]
        return self.apps[who]

    async def inquire(self, who: str = "ann", *, of: str | None = None, language: str = "en", **body: Any) -> Any:
        """A driver asks, with the own app or that of another."""
        path = f"/vehicles/{await self.app(of or who)}/voucher-inquiries?language={language}"
        return await self.ask(who, "POST", path, {"currency": "KRW", **body})

    async def offer(self, who: str = "ann", place: int = 0) -> Any:
        """One offer."""
        reply = await self.inquire(who)
        assert reply.status == 201, reply.body
        return reply.json["offers"][place]

    async def buy(
        self, offer: str, who: str = "ann", *, of: str | None = None, key: Any = None, pay: Any = None
    ) -> Any:
        """A driver takes an offer."""
        body = {"offer": offer, **({} if pay is None else {"pay": pay})}
        return await self.ask(who, "POST", f"/vehicles/{await self.app(of or who)}/vouchers", body, key=key)

    async def charged(self, who: str, hour: int, wh: int, days: set[int], count: int = 8) -> None:
        """An hour of charging at an hour of Seoul, on these weekdays of the last weeks, in quarters."""
        first = (NOON + SEOUL).replace(hour=0, minute=0) - timedelta(weeks=count)
        starts = [first + timedelta(days=day, hours=hour) - SEOUL for day in range(7 * count + 1)]
        for start in (at for at in starts if (at + SEOUL).weekday() in days and at < NOON):
            await self.quarters(who, start, [wh // 4] * 4)

    async def quarters(self, who: str, start: datetime, wh: list[int], station: str = "S1") -> None:
        """One session, as it is kept."""
        session = uuid4()
        async with self.rest.pool.acquire() as conn:
            for place, one in enumerate(wh):
                at = start + timedelta(minutes=15 * place)
                await conn.execute(
                    "insert into usage_segment (driver_id, at, session_id, station_id, wh, seconds)"
                    " values ($1, $2, $3, $4, $5, 900)",
                    who, at, session, station, one,
                )  # fmt: skip

    async def balance(self, who: str = "ann") -> int:
        """What a driver has."""
        return int((await self.rest.get(f"/drivers/{who}/balance"))["balances"][0]["balance"]["minor"])

    async def count(self, table: str) -> int:
        """Rows."""
        async with self.rest.pool.acquire() as conn:
            return int(await conn.fetchval(f"select count(*) from {table}"))


@asynccontextmanager
async def bazaar(dsn: str, pool: db.Pool) -> AsyncIterator[Bazaar]:
    """The town, running. At its end every invariant of the database holds."""
    async with issuing() as issuer:
        async with pool.acquire() as conn:
            await seed(conn)
            await fund(conn, "bob", 50_000)
            await conn.execute("insert into driver_identity select $1, id, id from driver", issuer.url)
        minutes: list[float] = [0]
        till = Till()
        settings = Settings(
            acquire_s_max=30.0, issuers=(Issuer(issuer.url, "csms", "driver", ("ES256",)),),
            psps={"social": cast(Psp, till)},
        )  # fmt: skip
        async with running(dsn, pool, settings, NO_PSPS, lambda: after(minutes[0])) as rest:
            for product in ALL:
                await rest.post("/voucher-products", product)
            yield Bazaar(rest, issuer, minutes=minutes, till=till)
        async with pool.acquire() as conn:
            wrong = await db.check(conn)
        assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}
