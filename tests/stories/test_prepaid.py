"""A prepaid driver gets what was paid for, no more and no less, and the rest back (B01 to B05)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES, v21
from charge_points_sim.rest import RestError
from charge_points_sim.session import Session, Token
from tests.stories.world import PAYMENTS, TARIFF, Place, World

VERSIONS = pytest.mark.parametrize("version", DEVICES)
STEP_S, STEP_WH = 600, 1_000
ENERGY_ONLY = {
    **TARIFF,
    "id": "energy-only",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 320, "vat": 10, "step_size": 1}]}],
}
STOPS = ("RemoteStopTransaction", "RequestStopTransaction")


def fee(steps: int) -> int:
    """Of so many readings: 500 flat, 320 a kWh, 600 an hour."""
    return 500 + 320 * steps + 100 * steps


async def until(true: Callable[[], bool], what: str) -> None:
    """Waits for what the system does by itself."""
    for _ in range(400):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it did not happen: {what}")


async def reading(world: World, place: Place, session: Session) -> None:
    """Ten minutes later: another kWh."""
    place.at(STEP_S)
    register = session.register_wh + STEP_WH
    await place.connection.do(partial(place.station.meter, session, register, power_w=6_000))


def stops(place: Place) -> int:
    """How often the station was asked to stop a session."""
    return sum(place.station.heard[action] for action in STOPS)


async def money(world: World, driver: str) -> tuple[int, int, int]:
    """To spend, set aside, on its way back."""
    found = (await world.rest.get(f"/drivers/{driver}/balance"))["balances"]
    return tuple(found[0][name]["minor"] for name in ("balance", "held", "refunding")) if found else (0, 0, 0)


async def top_up(world: World, driver: str, minor: int, number: str = "1", **changed: Any) -> Any:
    """The driver pays at the payment service, and the system is told."""
    asked = {
        "orderId": f"top-up:{driver}:{number}",
        "customerKey": driver,
        "amount": minor,
        "currency": "KRW",
    }
    headers = PAYMENTS | {"Idempotency-Key": f"{driver}-{number}"}
    async with world.http.post(f"{world.social}/v1/payments/confirm", json=asked, headers=headers) as answer:
        payment = await answer.json()
    body = {"amount": {"currency": "KRW", "minor": minor}, "psp": "social", "payment_ref": payment["paymentKey"]}
    return await world.rest.post(f"/drivers/{driver}/top-ups", body | changed, key=f"{driver}-{number}-{len(changed)}")


@VERSIONS
async def test_a_session_is_stopped_before_it_costs_more_than_the_driver_has(world: World, version: str) -> None:
    place = await world.place(version)
    driver, card = await world.prepaid(3_000)
    session = await world.start(place, card)
    for _ in range(5):
        assert stops(place) == 0
        await reading(world, place, session)
    await until(lambda: place.station.connectors[1].session is None, "the station was told to stop")
    await world.quiet(place)
    bill = await world.bill(await world.only(place))
    assert (bill["total"]["minor"], bill["not_charged"]["minor"]) == (fee(5), 0)
    assert await money(world, driver) == (3_000 - fee(5), 0, 0)


@VERSIONS
async def test_a_top_up_lets_a_running_session_go_on(world: World, version: str) -> None:
    place = await world.place(version)
    driver, card = await world.prepaid(3_000)
    session = await world.start(place, card)
    for _ in range(3):
        await reading(world, place, session)
    await top_up(world, driver, 5_000)
    for _ in range(200):
        if (await money(world, driver))[:2] == (0, 8_000):
            break
        await asyncio.sleep(0.05)
    for _ in range(13):
        await reading(world, place, session)
    assert stops(place) == 0
    await reading(world, place, session)
    await until(lambda: place.station.connectors[1].session is None, "the station was told to stop")
    await world.quiet(place)
    assert (await world.bill(await world.only(place)))["total"]["minor"] == fee(17)


async def test_a_2_1_station_that_keeps_limits_suspends_and_goes_on_after_a_top_up(world: World) -> None:
    place = await world.place("2.1", device=v21.LIMITING, tariff=ENERGY_ONLY)
    await until(lambda: place.station.heard["SetVariables"] > 0, "the station is asked what it keeps")
    driver, card = await world.prepaid(3_000)
    session = await world.start(place, card)
    most_wh = 9_376  # at 0.32 a Wh: rounded, 3,000
    for _ in range(11):
        await reading(world, place, session)
    assert session.limit is not None and session.limit.energy_wh == most_wh
    assert (session.suspended, session.register_wh - session.start_wh) == (True, most_wh)
    await top_up(world, driver, 3_200)
    await until(lambda: not session.suspended, "the session goes on")
    assert place.station.heard["TriggerMessage"] > 0 and stops(place) == 0
    await reading(world, place, session)
    await place.connection.do(partial(place.station.end, session, session.register_wh))
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["not_charged"]["minor"]) == (most_wh + STEP_WH, 0)
    assert await money(world, driver) == (6_200 - bill["total"]["minor"], 0, 0)


@VERSIONS
async def test_the_rest_goes_back_to_where_it_came_from_or_stays_as_the_driver_chose(
    world: World, version: str
) -> None:
    driver, card = await world.prepaid(0)
    await top_up(world, driver, 6_000, "1")
    await top_up(world, driver, 5_000, "2")
    place = await world.place(version)
    assert (await world.rest.call("PUT", f"/drivers/{driver}/rest", {"rest": "refund"}))["rest"] == "refund"
    await world.start(place, card)
    session = await world.only(place)
    await world.rest.call("PUT", f"/sessions/{session['id']}/rest", {"rest": "keep"})
    await finish(place)
    assert await money(world, driver) == (11_000 - fee(1), 0, 0)
    with pytest.raises(RestError) as refused:
        await world.rest.call("PUT", f"/sessions/{session['id']}/rest", {"rest": "refund"})
    assert refused.value.status == 409

    other = await world.place(version)
    await world.start(other, card)
    await finish(other)
    await until_back(world, driver)
    assert await money(world, driver) == (0, 0, 0)
    refunds = (await world.rest.get(f"/refunds?driver={driver}"))["items"]
    assert {refund["state"] for refund in refunds} == {"paid"}
    assert sorted(refund["amount"]["minor"] for refund in refunds) == [6_000 - 2 * fee(1), 5_000]


async def finish(place: Place) -> None:
    """Ten minutes and a kWh later the driver leaves."""
    session = place.station.connectors[1].session
    assert session is not None
    place.at(STEP_S)
    await place.connection.do(partial(place.station.end, session, session.register_wh + STEP_WH))


async def until_back(world: World, driver: str) -> None:
    """The payment service has paid back what it was told to."""
    for _ in range(400):
        refunds = (await world.rest.get(f"/refunds?driver={driver}"))["items"]
        if refunds and all(refund["state"] == "paid" for refund in refunds):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the rest did not come back")


async def test_a_driver_asks_for_money_back_and_gets_it_once(world: World) -> None:
    driver, _ = await world.prepaid(0)
    await top_up(world, driver, 6_000, "1")
    await top_up(world, driver, 5_000, "2")
    asked = {"amount": {"currency": "KRW", "minor": 7_000}, "reason": "moving away"}
    first = await world.rest.post(f"/drivers/{driver}/refunds", asked, key=f"{driver}-back")
    assert [part["amount"]["minor"] for part in first["parts"]] == [5_000, 2_000]
    assert await world.rest.post(f"/drivers/{driver}/refunds", asked, key=f"{driver}-back") == first
    with pytest.raises(RestError) as refused:
        await world.rest.post(f"/drivers/{driver}/refunds", asked, key=f"{driver}-more")
    assert refused.value.status == 422
    await until_back(world, driver)
    assert await money(world, driver) == (4_000, 0, 0)


async def test_only_what_the_payment_service_confirms_is_a_top_up_and_only_once(world: World) -> None:
    driver, _ = await world.prepaid(0)
    await top_up(world, driver, 4_000)
    await top_up(world, driver, 4_000)
    assert (await money(world, driver))[0] == 4_000
    for changed in (
        {"payment_ref": "nobody-paid-this"},
        {"amount": {"currency": "KRW", "minor": 40_000}},
    ):
        with pytest.raises(RestError) as refused:
            await top_up(world, driver, 4_000, "1", **changed)
        assert refused.value.status == 422
    stranger, _ = await world.prepaid(0)
    entry = (await world.rest.get(f"/ledger/accounts/driver:{driver}:balance"))["items"][0]
    stolen: dict[str, Any] = {"amount": {"currency": "KRW", "minor": 4_000}, "psp": "social"}
    stolen["payment_ref"] = entry["key"].rpartition("/")[2]
    with pytest.raises(RestError) as refused:
        await world.rest.post(f"/drivers/{stranger}/top-ups", stolen, key=stranger)
    assert refused.value.status == 422
    assert await money(world, stranger) == (0, 0, 0)


@VERSIONS
async def test_tokens_share_a_balance_within_their_limits(world: World, version: str) -> None:
    driver, parent = await world.prepaid(50_000)
    child = Token(f"C{parent.value[1:]}")
    await world.rest.post(f"/drivers/{driver}/tokens", {"value": child.value})
    limit = {"period": "day", "amount": {"currency": "KRW", "minor": 1_500}, "time_zone": "Asia/Seoul"}
    await world.rest.call("PUT", f"/drivers/{driver}/tokens/{child.value}/limit", {"limits": [limit]})
    place, elsewhere = await world.place(version), await world.place(version)
    place.now[0] = elsewhere.now[0]
    session = await world.start(place, child)
    assert not (await world.start(elsewhere, child)).accepted
    for _ in range(2):
        await reading(world, place, session)
    await until(lambda: place.station.connectors[1].session is None, "the station was told to stop")
    await world.quiet(place)
    assert (await world.bill(await world.only(place)))["total"]["minor"] == fee(2)
    (used,) = (await world.rest.get(f"/drivers/{driver}/tokens/{child.value}/limit"))["limits"]
    assert (used["amount"]["minor"], used["used"]["minor"]) == (1_500, fee(2))
    assert await world.accepted(place, parent)
