"""A session started and stopped from afar, as by a QR page, is an ordinary session (P01)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.rest import RestError
from tests.stories.world import Place, World

VERSIONS = pytest.mark.parametrize("version", DEVICES)


async def started(world: World, place: Place) -> dict[str, Any]:
    """The station's session, once the system has it."""
    for _ in range(200):
        if place.station.line.idle and (sessions := await world.sessions(place)):
            return sessions[0]
        await asyncio.sleep(0.02)
    raise AssertionError("no session began")


@VERSIONS
async def test_a_remote_start_and_stop_leave_one_bill(world: World, version: str) -> None:
    place = await world.place(version)
    driver, card = await world.prepaid()
    body = {"station": place.station.id, "connector": 1, "token": card.value}
    asked = await world.rest.post("/sessions?wait=10", body)
    assert (asked["state"], asked["answer"]) == ("answered", {"status": "Accepted"})
    session = await started(world, place)
    assert (session["driver"], session["state"]) == (driver, "active")

    place.at(3600)
    running = place.station.connectors[1].session
    assert running is not None
    running.register_wh = running.start_wh + 11_000
    stopped = await world.rest.post(f"/sessions/{session['id']}/stop?wait=10", {})
    assert stopped["answer"] == {"status": "Accepted"}
    await world.quiet(place)
    bill = await world.bill(await world.only(place))
    assert (bill["driver"], bill["energy_wh"], bill["total"]["minor"]) == (driver, 11_000, 500 + 11 * 320 + 600)


@VERSIONS
async def test_a_station_may_reject_a_remote_start(world: World, version: str) -> None:
    place = await world.place(version)
    place.station.asked_to_start = lambda asked: False
    _, card = await world.prepaid()
    body = {"station": place.station.id, "connector": 1, "token": card.value}
    asked = await world.rest.post("/sessions?wait=10", body)
    assert asked["answer"] == {"status": "Rejected"}
    assert await world.sessions(place) == []


async def test_a_station_that_is_away_cannot_be_started(world: World) -> None:
    place = await world.place("2.0.1")
    _, card = await world.prepaid()
    await place.connection.close()
    await asyncio.sleep(0.1)
    body = {"station": place.station.id, "connector": 1, "token": card.value}
    with pytest.raises(RestError, match="not connected"):
        await world.rest.post("/sessions", body)
