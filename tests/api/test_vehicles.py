"""A vehicle is a driver's once that is proven, and nobody else's then (V05)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from tests.api.plaza import Plaza, plaza
from tests.make import ended, metered, started

EVCC = {"type": "EVCCID", "value": "01:23:45:67:89:AB"}
VIN = {"type": "VIN", "value": "WVWZZZ1JZXW000001"}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    async with plaza(dsn, pool) as found:
        yield found


async def add(town: Plaza, who: str = "ann", driver: str = "me", **body: Any) -> Any:
    return await town.ask(who, "POST", f"/drivers/{driver}/vehicles", {**VIN, **body})


async def charge(town: Plaza, token: str, driver: str = "ann") -> None:
    """A driver charges once at a station, with this token."""
    await town.rest.post(f"/drivers/{driver}/tokens", {"value": token, "type": "rfid", "status": "accepted"})
    await town.rest.tell(started("v", token=token.replace(":", "")), metered("v"), ended("v"))


async def test_what_staff_say_is_proven(town: Plaza) -> None:
    added = await add(town, "staff", "ann", vehicle_class="car")

    assert added.status == 201, added.body
    assert (added.json["proven"], added.json["proof"], added.json["driver"]) == (True, "staff", "ann")
    assert (added.json["value"], added.json["to_prove"], added.json["vehicle_class"]) == ("wv...01", None, "car")


async def test_what_a_driver_says_of_a_vin_is_not_proven(town: Plaza) -> None:
    added = await add(town)
    again = await add(town)

    assert (added.status, added.json["proven"], added.json["to_prove"]) == (201, False, "staff have to confirm it")
    assert (again.status, again.json) == (200, added.json)
    assert (await add(town, "staff", "ann")).json["proof"] == "staff"


async def test_an_app_proves_itself(town: Plaza) -> None:
    assert (await add(town, type="app", value="install-1")).json["proof"] == "app"


async def test_who_has_charged_with_it_has_proven_it(town: Plaza) -> None:
    assert (await add(town, **EVCC)).json["proven"] is False

    await charge(town, EVCC["value"])

    assert (await add(town, **{**EVCC, "value": "0123456789ab"})).json["proof"] == "session"
    assert (await add(town, "bob", **EVCC)).status == 409


async def test_a_vehicle_is_one_drivers_and_nobody_is_told_whose(town: Plaza) -> None:
    assert (await add(town, "staff", "ann")).status == 201

    for reply in (await add(town, "bob"), await add(town, "staff", "bob")):
        assert reply.status == 409 and "ann" not in reply.body.decode()


async def test_a_claim_that_is_not_proven_keeps_nobody_out(town: Plaza) -> None:
    assert (await add(town, "bob")).status == 201

    assert (await add(town, "staff", "ann")).json["proven"] is True
    assert (await add(town, "bob")).status == 409


async def test_of_two_at_once_one_has_it(town: Plaza) -> None:
    replies = await asyncio.gather(*[add(town, "staff", who) for who in ("ann", "bob") * 3])

    assert {reply.status for reply in replies} == {200, 201, 409}
    async with town.rest.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from vehicle where proven_at is not null") == 1


async def test_a_driver_sees_and_takes_away_the_own(town: Plaza) -> None:
    mine = (await add(town)).json

    assert (await town.ask("ann", "GET", "/drivers/me/vehicles")).json["items"] == [mine]
    assert (await town.ask("bob", "GET", "/drivers/ann/vehicles")).status == 404
    assert (await town.ask("bob", "DELETE", f"/drivers/me/vehicles/{mine['id']}")).status == 404
    assert (await town.ask("ann", "DELETE", f"/drivers/me/vehicles/{mine['id']}")).status == 204
    assert (await town.ask("ann", "GET", "/drivers/me/vehicles")).json["items"] == []


async def test_of_what_identifies_it_only_a_hash_is_kept(town: Plaza) -> None:
    await add(town)

    async with town.rest.pool.acquire() as conn:
        row = await conn.fetchval("select v::text from vehicle v")
    assert VIN["value"].casefold() not in row.casefold()


@pytest.mark.parametrize(
    "body",
    [
        {"value": "WVWZZZ1JZXW00000I"},
        {"value": "short"},
        {"type": "MAC", "value": "0123"},
        {"type": "plate"},
        {"type": "app", "value": "\x07"},
        {"type": "app", "value": "x" * 200},
    ],
)
async def test_what_identifies_nothing_is_refused(town: Plaza, body: dict[str, str]) -> None:
    assert (await add(town, **body)).status == 422


async def test_an_erased_driver_leaves_no_vehicle(town: Plaza) -> None:
    await town.rest.post("/drivers", {"id": "zoe"})
    await add(town, "staff", "zoe")

    assert (await town.ask("staff", "POST", "/drivers/zoe/erasure")).status == 200
    assert await town.count("vehicle") == 0
    assert (await add(town, "staff", "zoe")).status == 409
