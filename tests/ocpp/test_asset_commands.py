"""The opening of a door as a frame, and what a cabinet's answer to it means."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from csms.bus import subject
from csms.domain.commands import FEATURE_ABSENT, Answer, Command, OpenDoor, ReportUnits
from csms.ocpp import schemas
from csms.ocpp.gateway import COMMANDS
from csms.ocpp.schemas import FOLDERS, Version
from csms.ocpp.vendor import bodies
from tests.make import NOON
from tests.ocpp.house import Rig
from tests.ocpp.transcript import Conversation

GRANT = UUID("01991f00-0000-7000-8000-000000000001")
OPEN = OpenDoor(1, GRANT, "take", "PC-0042", 10, NOON + timedelta(seconds=15))
BARE = replace(OPEN, unit=9_999, why="service", item=None, hold_s=None)
REPORT = ReportUnits(GRANT, NOON + timedelta(seconds=15))


def body_of(version: Version, command: Command, seconds: int = 0) -> tuple[str, dict[str, Any]]:
    """Message and body of a command that is sent so many seconds after noon."""
    action, payload = COMMANDS[version](command, NOON + timedelta(seconds=seconds))
    assert (action, payload["vendorId"]) == ("DataTransfer", bodies.VENDOR)
    schemas.check(version, action, payload)
    data = payload["data"]
    assert isinstance(data, str if version == "ocpp1.6" else dict)
    return payload["messageId"], json.loads(data) if isinstance(data, str) else data


@pytest.mark.parametrize("version", FOLDERS)
@pytest.mark.parametrize("command", [OPEN, BARE, REPORT], ids=["open", "bare", "report"])
def test_a_command_is_what_the_schema_says_and_again_the_same_command(version: Version, command: Command) -> None:
    message, body = body_of(version, command)
    bodies.validator(f"down/{message}").validate(body)
    assert (body["id"], body["ts"], body["exp"]) == (str(GRANT), "2026-11-20T12:00:00Z", "2026-11-20T12:00:15Z")
    assert body_of(version, command, 4) == (message, body | {"ts": "2026-11-20T12:00:04Z"})


def test_the_example_of_a_door_that_is_opened_is_one_that_we_send() -> None:
    assert body_of("ocpp1.6", OPEN) == ("Door.Open", bodies.document()["$defs"]["down/Door.Open"]["examples"][0])


REJECTED = {"v": 1, "id": str(GRANT), "err": "DoorJammed"}


@pytest.mark.parametrize(
    ("answer", "end", "error"),
    [
        ([3, {"status": "Accepted", "data": {"v": 1, "id": str(GRANT)}}], "accepted", None),
        ([3, {"status": "Accepted"}], "accepted", None),
        ([3, {"status": "Rejected", "data": REJECTED}], "rejected", "DoorJammed"),
        ([3, {"status": "Rejected", "data": json.dumps(REJECTED)}], "rejected", "DoorJammed"),
        ([3, {"status": "Rejected", "statusInfo": {"reasonCode": "GrantExpired"}}], "rejected", "GrantExpired"),
        ([3, {"status": "Rejected", "data": "{", "statusInfo": {"reasonCode": "Busy"}}], "rejected", "Busy"),
        ([3, {"status": "Rejected", "data": {"err": {"a": "\0"}}}], "rejected", None),
        ([3, {"status": "Rejected", "data": {"err": "Odd\u0001"}}], "rejected", None),
        ([3, {"status": "Rejected", "data": "[" * 5_000}], "rejected", None),
        ([3, {"status": "Rejected"}], "rejected", None),
        ([3, {"status": "UnknownVendorId"}], "failed", FEATURE_ABSENT),
        ([3, {"status": "UnknownMessageId"}], "failed", FEATURE_ABSENT),
        ([4, "NotImplemented", "", {}], "failed", FEATURE_ABSENT),
        ([4, "NotSupported", "", {}], "failed", FEATURE_ABSENT),
        ([4, "InternalError", "lock", {}], "failed", "InternalError: lock"),
        ([3, []], "failed", "the answer is not an object"),
        ([3, {"status": ["Rejected"]}], "rejected", None),
    ],
)
@pytest.mark.parametrize("version", FOLDERS)
def test_a_cabinets_answer_is_understood(version: str, answer: list[Any], end: str, error: str | None) -> None:
    told = Conversation(version)
    told.peer.ready()
    told.command(OPEN)
    (sent,) = told.heard()
    told.say(json.dumps([answer[0], sent[1], *answer[1:]]))
    (ended,) = told.ends
    assert (ended.end, ended.error) == (end, error)


@pytest.mark.parametrize("version", FOLDERS)
async def test_a_door_is_opened_over_a_real_connection(rig: Rig, version: Version) -> None:
    station = await rig.station(version)
    boot = {"chargePointVendor": "V", "chargePointModel": "M"}
    if version != "ocpp1.6":
        boot = {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M"}}  # type: ignore[dict-item]
    await station.call("BootNotification", boot)
    epoch = await rig.pool.fetchval("select epoch from station where id = 'S1'")

    asked = asyncio.create_task(rig.bus.request(subject("S1", epoch), OPEN))
    frame = await station.hear()

    assert frame[2:4] == ["DataTransfer", COMMANDS[version](OPEN, rig.now)[1]]
    await station.say(json.dumps([3, frame[1], {"status": "Rejected", "data": REJECTED}]))
    payload = {"status": "Rejected", "data": REJECTED}
    assert await asked == Answer("rejected", payload, "DoorJammed")
    await station.leave()


async def test_a_bad_fact_told_again_and_again_is_parked_once(rig: Rig, conn: Any) -> None:
    station = await rig.station("ocpp1.6")
    body = {"v": 1, "id": "ev-00000001", "ts": "2026-11-20T12:00:00Z", "seq": 1, "u": 0, "item": "PC-0042"}
    transfer = {"vendorId": bodies.VENDOR, "messageId": "Item.Placed", "data": json.dumps(body)}
    for _ in range(3):
        answer = await station.call("DataTransfer", transfer)
        assert (answer["status"], json.loads(answer["data"])["err"]) == ("Rejected", "BadPayload")
    row = await conn.fetchrow("select min(action) as action, min(reason) as reason, count(*) from parked_report")
    assert (row["action"], row["count"]) == ("org.csms.assets/Item.Placed", 1)
    assert row["reason"].startswith("u: ")
    await station.leave()
