"""A driver whose voucher pays gets its last Wh, and goes on after a top-up, where a 2.1 station keeps limits itself."""

from __future__ import annotations

from functools import partial

import pytest

from charge_points_sim.devices import v21
from charge_points_sim.session import Session
from tests.stories.test_prepaid import ENERGY_ONLY, STEP_WH, reading, stops, top_up, until
from tests.stories.world import Place, World

OF_WH, PRICE = 4_000, 1_000
PRODUCT = {"id": "limits-4", "name": "Four kWh", "unit": "wh", "amount": OF_WH, "valid_days": 400}


async def with_a_voucher_alone(world: World, place: Place) -> tuple[str, Session]:
    """A driver who has spent the whole balance on a voucher, and charges on it."""
    await world.rest.post("/voucher-products", {**PRODUCT, "price": {"amount": str(PRICE), "currency": "KRW"}})
    driver, card = await world.prepaid(PRICE)
    await world.rest.post(f"/drivers/{driver}/vouchers", {"product": PRODUCT["id"]}, key=f"{driver}-4")
    session = await world.start(place, card)
    return driver, session


async def test_it_is_suspended_at_the_last_wh_that_is_paid_and_goes_on_when_more_is_set_aside(world: World) -> None:
    place = await world.place("2.1", device=v21.LIMITING, tariff=ENERGY_ONLY)
    await until(lambda: place.station.heard["SetVariables"] > 0, "the station is asked what it keeps")
    driver, session = await with_a_voucher_alone(world, place)
    paid_wh = OF_WH + 1  # 0.32 rounds to nothing

    for _ in range(6):
        await reading(world, place, session)

    assert session.limit is not None and session.limit.energy_wh == paid_wh
    assert (session.suspended, session.register_wh - session.start_wh) == (True, paid_wh)
    await top_up(world, driver, 3_200)
    await until(lambda: not session.suspended, "the session goes on")
    assert place.station.heard["TriggerMessage"] > 0 and stops(place) == 0
    await reading(world, place, session)
    await place.connection.do(partial(place.station.end, session, session.register_wh))
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["not_charged"]["minor"]) == (paid_wh + STEP_WH, 0)
    assert bill["total"]["minor"] == PRICE + round((1 + STEP_WH) * 0.32)


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_other_stations_are_asked_to_stop_before_the_voucher_is_used_up(world: World, version: str) -> None:
    place = await world.place(version, tariff=ENERGY_ONLY)
    _, session = await with_a_voucher_alone(world, place)

    for _ in range(3):
        await reading(world, place, session)
    await until(lambda: place.station.connectors[1].session is None, "the station was told to stop")

    assert session.limit is None
    assert session.register_wh - session.start_wh <= OF_WH
