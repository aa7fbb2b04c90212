"""One charge is one bill, on every version and whatever happens to the frames (O06, P01 to P06)."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.session import Token
from charge_points_sim.station import Station
from tests.stories.world import HOLD, PAYMENTS, World

VERSIONS = pytest.mark.parametrize("version", DEVICES)
FEE = 500 + 11 * 320 + 600


def rough() -> Faults:
    """Every frame three times, readings after their end where the protocol allows, answers lost."""
    return Faults(repeat=3, reorder=1.0, lose=0.3, random=Random(11))


async def settlement(world: World, session: dict[str, Any]) -> dict[str, Any]:
    """What the social-payment server was told of a session, once it was told."""
    for _ in range(200):
        async with world.http.get(f"{world.social}/v1/journal?limit=10000", headers=PAYMENTS) as answer:
            entries = (await answer.json())["entries"]
        settled = [e for e in entries if e["operation"] == "settle" and session["id"] in str(e)]
        if settled:
            assert len(settled) == 1
            entry: dict[str, Any] = settled[0]
            return entry
        await asyncio.sleep(0.05)
    raise AssertionError("the psp was never told")


async def test_a_prepaid_charge_is_the_same_on_every_version_and_under_every_repetition(world: World) -> None:
    stories = []
    for version in DEVICES:
        for faults in (None, rough()):
            place = await world.place(version, faults)
            _, card = await world.prepaid()
            await world.charge(place, card)
            session = await world.only(place)
            stories.append((world.told(await world.bill(session)), await world.transfers(session)))
            assert place.station.line.counters.disagreed == 0
    bill, transfers = stories[0]
    assert (bill["energy_wh"], bill["seconds"], bill["total"]["minor"]) == (11_000, 3600, FEE)
    assert sum(minor for _, _, minor in transfers) == 0
    assert all(story == stories[0] for story in stories)


async def test_a_social_charge_is_the_same_on_every_version_and_settled_once(world: World) -> None:
    stories = []
    for version in DEVICES:
        for faults in (None, rough()):
            place = await world.place(version, faults)
            alias = await world.alias(place, f"friend-{world.day}-{version}-{faults is None}")
            assert alias is not None
            await world.charge(place, alias)
            session = await world.only(place)
            told = await settlement(world, session)
            shares = sorted((part["seller"], part["amount"]) for part in told["remittances"])
            stories.append((world.told(await world.bill(session)), await world.transfers(session), told["fee"], shares))
    assert stories[0][2:] == (FEE, [("operator", FEE // 10), ("provider", FEE - FEE // 10)])
    assert all(story == stories[0] for story in stories)


@VERSIONS
async def test_a_lost_connection_does_not_end_or_double_a_charge(world: World, version: str) -> None:
    place = await world.place(version, Faults(cut=0.3, random=Random(2)))
    _, card = await world.prepaid()
    await world.charge(place, card)
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["total"]["minor"]) == (11_000, FEE)


@VERSIONS
async def test_a_charge_made_offline_comes_later_in_any_order_and_is_billed_once(world: World, version: str) -> None:
    place = await world.place(version, rough())
    _, card = await world.prepaid()
    place.connection.cut()
    while place.station.line.online:  # noqa: ASYNC110
        await asyncio.sleep(0)
    session = place.station.start(1, card)
    place.at(1800)
    place.station.meter(session, session.start_wh + 5_000)
    place.at(1800)
    place.station.end(session, session.start_wh + 11_000)
    place.at(600)
    while not place.station.line.idle:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    bill = await world.bill(await world.only(place))
    assert (bill["energy_wh"], bill["total"]["minor"]) == (11_000, FEE)


@VERSIONS
async def test_a_charge_without_energy_costs_nothing_and_frees_its_hold(world: World, version: str) -> None:
    place = await world.place(version)
    driver, card = await world.prepaid()
    await world.charge(place, card, wh=0)
    session = await world.only(place)
    (balance,) = (await world.rest.get(f"/drivers/{driver}/balance"))["balances"]
    assert session["state"] == "completed"
    assert (balance["balance"]["minor"], balance["held"]["minor"]) == (100_000, 0)


@VERSIONS
async def test_money_is_set_aside_while_a_charge_runs(world: World, version: str) -> None:
    place = await world.place(version)
    driver, card = await world.prepaid()
    session = await world.start(place, card)
    (during,) = (await world.rest.get(f"/drivers/{driver}/balance"))["balances"]
    place.at(600)
    await place.connection.do(partial(place.station.end, session, session.start_wh + 500))
    (after,) = (await world.rest.get(f"/drivers/{driver}/balance"))["balances"]
    assert (during["balance"]["minor"], during["held"]["minor"]) == (100_000 - HOLD, HOLD)
    assert (after["balance"]["minor"], after["held"]["minor"]) == (100_000 - 500 - 160 - 100, 0)


@VERSIONS
async def test_energy_beyond_the_connectors_power_is_held_for_review(world: World, version: str) -> None:
    place = await world.place(version, max_power_w=7_400)
    _, card = await world.prepaid()
    await world.charge(place, card, wh=11_000_000)
    session = await world.only(place)
    assert session["state"] == "review"
    assert session["fee"] is None


async def test_nothing_of_one_station_can_be_stopped_or_metered_by_another(world: World) -> None:
    victim = await world.place("1.6")
    attacker = await world.place("1.6")
    _, card = await world.prepaid()
    attacker.now[0] = victim.now[0]
    session = await world.start(victim, card)
    twin = Station(attacker.station.id, attacker.station.device, lambda: "", lambda: victim.now[0])
    stolen = twin.start(1, Token(card.value))
    stolen.ref = session.ref
    message = twin.device.ended(stolen, victim.now[0], "local", False)
    await attacker.connection.do(partial(attacker.station.send, message))
    victim.at(3600)
    assert (await world.only(victim))["state"] == "active"
    await victim.connection.do(partial(victim.station.end, session, session.start_wh + 11_000))
    assert (await world.bill(await world.only(victim)))["total"]["minor"] == FEE
