"""Drivers see at the station what they pay, on every version that has words for it (M01, P05)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from charge_points_sim.devices import SHOWING
from tests.stories.world import HOLD, Place, World

VERSIONS = pytest.mark.parametrize("version", SHOWING)
FEE = 500 + 11 * 320 + 600
FIRST = 500 + 880 + 150
"""What a quarter of the charge costs: 2750 Wh, 15 minutes."""


async def place_of(world: World, version: str) -> Place:
    """A station that shows prices and costs."""
    place = await world.place(version)
    place.station.device = SHOWING[version]
    return place


async def until(is_so: Callable[[], bool]) -> None:
    """Calls of the system come when they come."""
    for _ in range(400):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was shown")


def shown(place: Place, kind: str) -> list[Mapping[str, Any]]:
    return [it.content for it in place.station.shown if it.kind == kind]


@VERSIONS
async def test_a_driver_sees_the_cost_so_far_and_the_fee(world: World, version: str) -> None:
    place = await place_of(world, version)
    _, card = await world.prepaid()
    await world.charge(place, card)
    await until(lambda: bool(shown(place, "running")) and bool(shown(place, "fee")))
    running, fee = shown(place, "running")[0], shown(place, "fee")
    session = await world.only(place)
    assert running["totalCost" if version != "1.6" else "cost"] == FIRST
    assert fee == [
        {"totalCost": FEE}
        if version != "1.6"
        else {"transactionId": int(session["ref"]), "cost": FEE, "priceText": f"{FEE} KRW"}
    ]
    bill = await world.bill(session)
    assert (bill["total"]["minor"], bill["flags"]) == (FEE, [])


async def test_a_1_6_driver_sees_prices_before_and_while_charging(world: World) -> None:
    place = await place_of(world, "1.6")
    _, card = await world.prepaid()
    await world.charge(place, card)
    await until(lambda: bool(shown(place, "fee")))
    assert shown(place, "prices") == [{"idToken": card.value, "priceText": "320 KRW/kWh, 600 KRW/h, 500 KRW once"}]
    running = shown(place, "running")[0]
    assert running["chargingPrice"] == {"kWhPrice": 320, "hourPrice": 600, "flatFee": 500}
    assert running["state"] == "Charging"


async def test_a_2_1_station_takes_the_tariff_and_comes_to_the_same_fee(world: World) -> None:
    place = await place_of(world, "2.1")
    _, card = await world.prepaid()
    await world.charge(place, card, wh=0)
    await until(lambda: place.station.tariff is not None)
    assert place.station.tariff is not None
    assert place.station.tariff["chargingTime"]["prices"] == [{"priceMinute": 9.09090909}]
    await world.charge(place, card)
    bill = next(bill for bill in await bills(world, place) if bill["energy_wh"])
    assert (bill["total"]["minor"], bill["flags"]) == (FEE, [])


async def test_a_2_1_station_that_comes_to_another_fee_is_listed_and_ours_counts(world: World) -> None:
    place = await place_of(world, "2.1")
    _, card = await world.prepaid()
    await world.charge(place, card, wh=0)
    await until(lambda: place.station.tariff is not None)
    place.station.tariff = json.loads(json.dumps(place.station.tariff).replace("290.90909091", "300"))
    await world.charge(place, card)
    bill = next(bill for bill in await bills(world, place) if bill["energy_wh"])
    assert (bill["total"]["minor"], bill["flags"]) == (FEE, ["cost_mismatch"])
    assert FEE <= HOLD


async def bills(world: World, place: Place) -> list[dict[str, Any]]:
    return [await world.bill(session) for session in await world.sessions(place)]


@VERSIONS
async def test_a_station_that_knows_nothing_of_costs_charges_as_ever(world: World, version: str) -> None:
    place = await world.place(version)
    _, card = await world.prepaid()
    for _ in range(2):
        await world.charge(place, card)
    assert shown(place, "prices") == shown(place, "running") == []
    assert [bill["total"]["minor"] for bill in await bills(world, place)] == [FEE, FEE]
