"""Money that comes and goes by word of a payment service, and others who are told of it (B01, M03)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from tests.stories.world import HOOK_SECRET, PAYMENTS, World


class Books:
    """Somebody who is told: keeps what arrives, once per message."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.told: dict[str, dict[str, Any]] = {}
        self.news = asyncio.Event()

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        """One message; refused when its signature is not ours."""
        raw = await request.read()
        id_, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{id_}.{at}.".encode() + raw, hashlib.sha256).digest()
        if request.headers["webhook-signature"] != "v1," + base64.b64encode(digest).decode():
            return web.Response(status=400)
        self.told[id_] = json.loads(raw)
        self.news.set()
        return web.Response()

    async def hear(self, type_: str, **named: object) -> dict[str, Any]:
        """The data of the message of this type that names these things, once it is here."""
        async with asyncio.timeout(30):
            while True:
                self.news.clear()
                for message in self.told.values():
                    data: dict[str, Any] = message["data"]
                    if message["type"] == type_ and named.items() <= data.items():
                        return data
                await self.news.wait()


@asynccontextmanager
async def listening(world: World) -> AsyncIterator[Books]:
    """Books that are told everything until the story ends."""
    books = Books()
    runner = web.ServerRunner(web.Server(books.take))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = await world.rest.post("/webhook-endpoints", {"url": f"http://127.0.0.1:{runner.addresses[0][1]}/"})
    books.secret = made["secret"]
    try:
        yield books
    finally:
        await world.rest.call("DELETE", f"/webhook-endpoints/{made['id']}")
        await runner.cleanup()


async def at_psp(world: World, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Something that happens at the payment service without us."""
    headers = {**PAYMENTS, "Idempotency-Key": str(uuid4())}
    async with world.http.post(f"{world.social}{path}", json=body, headers=headers) as answer:
        assert answer.status == 200
        found: dict[str, Any] = await answer.json()
        return found


async def balance(world: World, driver: str, wanted: int) -> None:
    """Returns when the driver has this much."""
    async with asyncio.timeout(30):
        while True:
            money = await world.rest.get(f"/drivers/{driver}/balance")
            if [each["balance"]["minor"] for each in money["balances"]] == [wanted]:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def told(world: World) -> AsyncIterator[World]:
    """The system, with a payment service that tells it what happens."""
    target = {"url": f"{world.rest.url}/api/v1/webhooks/social", "secret": HOOK_SECRET}
    await at_psp(world, "/admin/webhooks", target)
    yield world
    await at_psp(world, "/admin/webhooks", {"url": "", "secret": ""})


async def test_a_driver_pays_at_the_service_charges_and_gets_the_rest_back_and_others_hear_of_it(told: World) -> None:
    driver, card = await told.prepaid(0)
    async with listening(told) as books:
        order = {"orderId": f"top-up:{driver}:1", "customerKey": driver, "amount": 50_000, "currency": "KRW"}
        payment = await at_psp(told, "/v1/payments/confirm", order)
        await balance(told, driver, 50_000)
        place = await told.place("2.0.1")
        await told.charge(place, card)
        session = await told.only(place)
        bill = await told.bill(session)
        heard = await books.hear("bill.issued", session=session["id"])
        assert (heard["bill"], heard["total"]) == (bill["id"], bill["total"])
        back = {"amount": {"currency": "KRW", "minor": 20_000}}
        asked = await told.rest.post(f"/drivers/{driver}/refunds", back, key=f"back-{driver}")
        paid = await books.hear("refund.paid", driver=driver)
        assert (paid["refund"], paid["amount"]["minor"]) == (asked["parts"][0]["id"], 20_000)
        await balance(told, driver, 30_000 - bill["total"]["minor"])
    async with told.http.get(f"{told.social}/v1/payments/{payment['paymentKey']}", headers=PAYMENTS) as answer:
        assert (await answer.json())["balanceAmount"] == 30_000
