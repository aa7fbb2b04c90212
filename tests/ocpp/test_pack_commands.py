"""What we ask of battery stations as frames, what their answers mean, and what is asked instead."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from csms.bus import subject
from csms.domain.commands import FEATURE_ABSENT, Answer, Command, LimitSlot, ReleasePack, ReportUnits, StartSwap
from csms.ocpp import schemas
from csms.ocpp.gateway import COMMANDS
from csms.ocpp.schemas import FOLDERS, Version
from csms.ocpp.vendor import bodies
from tests.make import NOON
from tests.ocpp.house import Rig, Station
from tests.ocpp.test_asset_commands import body_of
from tests.ocpp.transcript import Conversation

GRANT = UUID("01991f00-0000-7000-8000-000000000001")
EXPIRES = NOON + timedelta(seconds=15)
SWAP = StartSwap(GRANT, 2**30 + 1, "00010203A4A5A6A7", 1, (3,), (4,), EXPIRES)
RELEASE = ReleasePack(4, GRANT, 7, None, EXPIRES)
RETURN = replace(RELEASE, error="BatteryUnknown")
LIMIT = LimitSlot(3, NOON, ((1000, 15), (0, 30), (500, 15)))
REPORT = ReportUnits(GRANT, EXPIRES)
VERSIONS = pytest.mark.parametrize("version", FOLDERS)


@VERSIONS
@pytest.mark.parametrize(
    ("command", "message", "fields"),
    [
        (RELEASE, "Battery.Release", {"rid": 7, "u": [4]}),
        (RETURN, "Battery.Return", {"rid": 7, "u": [4], "err": "BatteryUnknown"}),
    ],
)
def test_a_pack_is_released_or_given_back(version: Version, command: Command, message: str, fields: Any) -> None:
    name, body = body_of(version, command)
    bodies.validator(f"down/{message}").validate(body)
    assert (name, body) == (
        message,
        {"v": 1, "id": str(GRANT), "ts": "2026-11-20T12:00:00Z", "exp": "2026-11-20T12:00:15Z"} | fields,
    )


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1"])
def test_a_swap_is_begun_and_again_the_same_one(version: Version) -> None:
    message, body = body_of(version, SWAP)
    bodies.validator("down/Swap.Start").validate(body)
    assert (message, body["id"], body["rid"], body["n"]) == ("Swap.Start", str(GRANT), 2**30 + 1, 1)
    assert (body["in"], body["out"], body["token"]) == ([3], [4], "00010203A4A5A6A7")
    assert body_of(version, SWAP, 4)[1]["id"] == body["id"]


def test_ocpp_21_has_a_call_of_its_own_to_begin_a_swap() -> None:
    action, payload = COMMANDS["ocpp2.1"](SWAP, NOON)
    schemas.check("ocpp2.1", action, payload)
    token = {"idToken": "00010203A4A5A6A7", "type": "Central"}
    assert (action, payload) == ("RequestBatterySwap", {"requestId": 2**30 + 1, "idToken": token})


@VERSIONS
def test_a_slots_limits_follow_one_another(version: Version) -> None:
    action, payload = COMMANDS[version](LIMIT, NOON)
    schemas.check(version, action, payload)
    is_16 = version == "ocpp1.6"
    profile = payload["csChargingProfiles" if is_16 else "chargingProfile"]
    schedule = profile["chargingSchedule"] if is_16 else profile["chargingSchedule"][0]
    assert (action, payload["connectorId" if is_16 else "evseId"]) == ("SetChargingProfile", 3)
    assert profile["chargingProfileId" if is_16 else "id"] == 3
    assert (profile["stackLevel"], profile["chargingProfilePurpose"]) == (0, "TxDefaultProfile")
    periods = [(period["startPeriod"], period["limit"]) for period in schedule["chargingSchedulePeriod"]]
    assert (periods, schedule["startSchedule"]) == ([(0, 1000), (900, 0), (2700, 500)], "2026-11-20T12:00:00Z")


@pytest.mark.parametrize(
    ("answer", "end", "error"),
    [
        ([3, {"status": "Accepted"}], "accepted", None),
        (
            [3, {"status": "Rejected", "statusInfo": {"reasonCode": "NoBatteryAvailable"}}],
            "rejected",
            "NoBatteryAvailable",
        ),
        (
            [3, {"status": "Rejected", "statusInfo": {"reasonCode": "NOBATTERYAVAILABLE"}}],
            "rejected",
            "NoBatteryAvailable",
        ),
        ([3, {"status": "Rejected", "statusInfo": {"reasonCode": "Odd"}}], "rejected", "Odd"),
        ([3, {"status": "Rejected", "statusInfo": 7}], "rejected", None),
        ([3, {"status": "Rejected"}], "rejected", None),
        ([4, "NotImplemented", "", {}], "failed", FEATURE_ABSENT),
        ([4, "InternalError", "motor", {}], "failed", "InternalError: motor"),
    ],
)
def test_the_answer_to_a_swap_is_understood(answer: list[Any], end: str, error: str | None) -> None:
    told = Conversation("ocpp2.1")
    told.peer.ready()
    told.command(SWAP)
    (sent,) = told.heard()
    told.say(json.dumps([answer[0], sent[1], *answer[1:]]))
    (ended,) = told.ends
    assert (ended.end, ended.error) == (end, error)


# Over a real connection


async def booted(rig: Rig, version: Version, kind: str = "battery_station") -> tuple[Station, str]:
    """A station of this kind that may be asked, and where its commands go."""
    await rig.pool.execute("update station set kind = $1 where id = 'S1'", kind)
    station = await rig.station(version)
    boot: dict[str, Any] = {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}}
    if version == "ocpp1.6":
        boot = {"chargePointVendor": "V", "chargePointModel": "M"}
    await station.call("BootNotification", boot)
    epoch = await rig.pool.fetchval("select epoch from station where id = 'S1'")
    return station, subject("S1", epoch)


async def answers(station: Station, answer: list[Any]) -> list[Any]:
    """The call that the station gets, which it answers so."""
    frame: list[Any] = await station.hear()
    await station.say(json.dumps([answer[0], frame[1], *answer[1:]]))
    return frame[2:4]


@pytest.mark.parametrize("strange", [[3, {"status": "UnknownVendorId"}], [4, "NotImplemented", "", {}]])
async def test_a_station_without_our_protocol_is_asked_for_an_inventory(rig: Rig, strange: list[Any]) -> None:
    station, name = await booted(rig, "ocpp2.1")
    asked = asyncio.create_task(rig.bus.request(name, REPORT))
    assert (await answers(station, strange))[0] == "DataTransfer"
    action, payload = await answers(station, [3, {"status": "Accepted"}])
    assert (action, payload["reportBase"]) == ("GetBaseReport", "FullInventory")
    schemas.check("ocpp2.1", action, payload)
    assert await asked == Answer("accepted", {"status": "Accepted"})
    await station.leave()


async def test_a_station_without_block_s_is_asked_for_a_swap_in_our_words(rig: Rig) -> None:
    station, name = await booted(rig, "ocpp2.1")
    asked = asyncio.create_task(rig.bus.request(name, SWAP))
    assert (await answers(station, [4, "NotSupported", "", {}]))[0] == "RequestBatterySwap"
    action, payload = await answers(station, [3, {"status": "Accepted"}])
    assert (action, payload["messageId"]) == ("DataTransfer", "Swap.Start")
    assert (await asked).end == "accepted"
    await station.leave()


@pytest.mark.parametrize(("version", "kind"), [("ocpp2.1", "locker"), ("ocpp2.0.1", "battery_station")])
async def test_others_are_asked_once(rig: Rig, version: Version, kind: str) -> None:
    station, name = await booted(rig, version, kind)
    asked = asyncio.create_task(rig.bus.request(name, REPORT))
    await answers(station, [3, {"status": "UnknownVendorId"}])
    assert (await asked).error == FEATURE_ABSENT
    await station.leave()


@pytest.mark.parametrize("kind", ["charger", "locker", "battery_station"])
async def test_a_connection_knows_what_its_station_is(rig: Rig, kind: str) -> None:
    station, _ = await booted(rig, "ocpp1.6", kind)
    socket = rig.gateway.stations.find("S1")
    assert socket is not None and socket.peer is not None
    assert (socket.peer.kind, socket.peer.slots is not None) == (kind, kind == "battery_station")
    await station.leave()
