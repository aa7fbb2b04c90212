"""Prices and costs over real connections: a station that does not answer them charges on undisturbed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.ocpp.cost import COST_ANSWER_S, COST_S
from csms.ocpp.setup import SETTLE_S
from tests import make
from tests.ocpp.house import Rig, Station
from tests.ocpp.test_gateway import BOOT_2X, BOOT_16, event

TOKEN = {"idToken": make.ANN, "type": "ISO14443"}


@pytest.fixture
async def rig(pool: db.Pool, dsn: str) -> AsyncIterator[Rig]:
    async with Rig(pool, dsn, shows_costs=True) as rig:
        yield rig


def pass_seconds(rig: Rig, seconds: int) -> None:
    for _ in range(seconds):
        rig.gateway.wheel.tick()


async def asked_for(station: Station, action: str) -> dict[str, Any]:
    """The payload of the system's next call of that name; all others are not known here."""
    while True:
        frame = await station.hear()
        assert frame[0] == 2, frame
        if frame[2] == action:
            payload: dict[str, Any] = frame[3]
            await station.say(json.dumps([3, frame[1], {"status": "Accepted"}]))
            return payload
        await station.say(json.dumps([4, frame[1], "NotSupported", "", {}]))


async def told(station: Station, payload: dict[str, Any], calls: list[str]) -> Any:
    """The answer to a TransactionEvent, whatever is asked of the station before it; that is noted and not answered."""
    await station.say(json.dumps([2, f"e{payload['seqNo']}", "TransactionEvent", payload]))
    while (frame := await station.hear())[0] == 2:
        calls.append(frame[2])
    return frame[2]


async def test_a_2_1_station_gets_its_tariff_once_it_has_settled_after_boot(rig: Rig) -> None:
    station = await rig.station("ocpp2.1")
    await station.call("BootNotification", BOOT_2X)
    pass_seconds(rig, SETTLE_S)
    told = await asked_for(station, "SetDefaultTariff")
    assert (told["evseId"], told["tariff"]["tariffId"], told["tariff"]["currency"]) == (0, "T/1", "KRW")
    assert told["tariff"]["energy"]["prices"] == [{"priceKwh": 272.72727273}]


async def test_a_station_that_answers_no_cost_is_asked_once_and_stays_connected(rig: Rig) -> None:
    station = await rig.station("ocpp2.0.1")
    await station.call("BootNotification", BOOT_2X)
    await station.call("TransactionEvent", event("Started", 0, 0, 1000, idToken=TOKEN))
    rig.now = make.after(10)
    await station.call("TransactionEvent", event("Updated", 1, 10, 2000))
    cost = await station.hear()
    assert cost[2:] == ["CostUpdated", {"totalCost": 300, "transactionId": "t-1"}]
    calls: list[str] = []
    for number in range(2, 6):
        pass_seconds(rig, COST_ANSWER_S + COST_S)
        rig.now = make.after(10 * number)
        assert await told(station, event("Updated", number, 10 * number, 1000 + 1000 * number), calls) == {}
    rig.now = make.after(60)
    ended = await told(station, event("Ended", 6, 60, 11000), calls)
    assert ended["totalCost"] == 3000
    assert "CostUpdated" not in calls


async def test_a_1_6_station_hears_the_price_before_it_starts(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    await station.call("BootNotification", BOOT_16)
    assert (await station.call("Authorize", {"idTag": make.ANN}))["idTagInfo"]["status"] == "Accepted"
    told = await asked_for(station, "DataTransfer")
    assert told["messageId"] == "SetUserPrice"
    assert json.loads(told["data"]) == {"idToken": make.ANN, "priceText": "300 KRW/kWh"}


async def test_a_refused_token_is_told_no_price(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    await station.call("BootNotification", BOOT_16)
    assert (await station.call("Authorize", {"idTag": "FFFF"}))["idTagInfo"]["status"] == "Invalid"
    await station.call("Authorize", {"idTag": make.ANN})
    assert json.loads((await asked_for(station, "DataTransfer"))["data"])["idToken"] == make.ANN
