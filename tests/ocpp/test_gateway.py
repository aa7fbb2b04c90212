"""Stations on real sockets: a charge on every version, commands, long tokens, who is connected."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from csms import db
from csms.base.errors import NotFound
from csms.domain.commands import AnyCall, EndConnection, StartSession, StopSession
from csms.flows.connect import Admission
from csms.ocpp.socket import TURN_MESSAGES_MAX
from csms.psp.base import VerifiedToken
from tests import make
from tests.make import after, new_id
from tests.ocpp.house import FAR_AWAY, Rig, Station
from tests.ocpp.test_frames import masked

BOOT_16 = {"chargePointVendor": "V", "chargePointModel": "M", "chargePointSerialNumber": "s-1"}
BOOT_2X = {"reason": "PowerUp", "chargingStation": {"vendorName": "V", "model": "M", "serialNumber": "s-1"}}


def at(minutes: float) -> str:
    return after(minutes).isoformat().replace("+00:00", "Z")


def register(minutes: float, wh: int) -> dict[str, Any]:
    return {"timestamp": at(minutes), "sampledValue": [{"value": wh}]}


def event(kind: str, number: int, minutes: float, wh: int, **more: Any) -> dict[str, Any]:
    return {
        "eventType": kind,
        "timestamp": at(minutes),
        "triggerReason": "MeterValuePeriodic",
        "seqNo": number,
        "transactionInfo": {"transactionId": "t-1"},
        "evse": {"id": 1},
        "meterValue": [register(minutes, wh)],
        **more,
    }


async def charge_16(rig: Rig, station: Station) -> Any:
    boot = await station.call("BootNotification", BOOT_16)
    assert (boot["status"], boot["currentTime"], boot["interval"]) == ("Accepted", "2026-11-20T12:00:00Z", 300)
    assert await station.call("Authorize", {"idTag": "a0:a0:a0:a0"}) == {"idTagInfo": {"status": "Accepted"}}
    begin = {"connectorId": 1, "idTag": "A0A0A0A0", "meterStart": 1000, "timestamp": at(0)}
    started = await station.call("StartTransaction", begin)
    assert started["idTagInfo"] == {"status": "Accepted"}
    number = started["transactionId"]
    rig.now = after(30)
    values = [{"timestamp": at(30), "sampledValue": [{"value": "4.5", "unit": "kWh"}]}]
    metered = {"connectorId": 1, "transactionId": number, "meterValue": values}
    assert await station.call("MeterValues", metered) == {}
    rig.now = after(60)
    end = {"transactionId": number, "meterStop": 11000, "timestamp": at(60), "idTag": "A0A0A0A0"}
    return await station.call("StopTransaction", end)


async def charge_2x(rig: Rig, station: Station) -> Any:
    boot = await station.call("BootNotification", BOOT_2X)
    assert (boot["status"], boot["currentTime"], boot["interval"]) == ("Accepted", "2026-11-20T12:00:00Z", 300)
    token = {"idToken": "a0a0a0a0", "type": "ISO14443"}
    assert await station.call("Authorize", {"idToken": token}) == {"idTokenInfo": {"status": "Accepted"}}
    started = await station.call("TransactionEvent", event("Started", 0, 0, 1000, idToken=token))
    assert started == {"idTokenInfo": {"status": "Accepted"}}
    rig.now = after(30)
    assert await station.call("TransactionEvent", event("Updated", 1, 30, 4500)) == {}
    rig.now = after(60)
    return await station.call("TransactionEvent", event("Ended", 2, 60, 11000))


@pytest.mark.parametrize(
    ("version", "charge", "answer"),
    [
        ("ocpp1.6", charge_16, {"idTagInfo": {"status": "Accepted"}}),
        ("ocpp2.0.1", charge_2x, {"totalCost": 3000}),
        ("ocpp2.1", charge_2x, {"totalCost": 3000}),
    ],
)
async def test_a_charge_leaves_one_bill_on_every_version(
    rig: Rig, conn: Any, version: str, charge: Any, answer: Any
) -> None:
    station = await rig.station(version)

    assert await charge(rig, station) == answer

    bill = await conn.fetchrow("select * from bill")
    assert (bill["energy_wh"], bill["total_minor"], bill["driver_id"], bill["flags"]) == (10_000, 3_000, "ann", [])
    readings = await conn.fetch("select register_wh from reading where register_wh = 4500")
    assert len(readings) == 1
    row = await conn.fetchrow("select vendor, serial, protocol, epoch, booted_at from station where id = 'S1'")
    assert tuple(row) == ("V", "s-1", version, 1, make.NOON)
    await station.leave()


async def test_statuses_are_for_people_to_see(rig: Rig, conn: Any) -> None:
    station = await rig.station("ocpp1.6")
    status = {"connectorId": 1, "errorCode": "NoError", "status": "SuspendedEV", "timestamp": at(0)}

    assert await station.call("StatusNotification", status) == {}

    assert await conn.fetchval("select status from connector where station_id = 'S1' and number = 1") == "suspended"
    await station.leave()


async def test_the_newest_version_is_chosen(rig: Rig) -> None:
    station = await rig.station("ocpp1.6,ocpp2.0.1,ocpp2.1")
    assert station.socket.subprotocol == "ocpp2.1"
    await station.leave()


async def test_compression_is_spoken_when_offered(rig: Rig) -> None:
    station = await rig.station("ocpp1.6", compression="deflate")
    assert "permessage-deflate" in station.socket.response.headers["Sec-WebSocket-Extensions"]  # type: ignore[union-attr]
    assert (await station.call("Heartbeat", {}))["currentTime"] == "2026-11-20T12:00:00Z"
    await station.leave()


async def test_a_connection_ends_when_its_station_is_known_no_more_as_it_was(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    await rig.commands.tell("S1", 1, EndConnection("this station has a new password"))
    with pytest.raises(ConnectionClosed) as closed:
        await station.hear()
    assert closed.value.rcvd is not None and closed.value.rcvd.reason == "this station has a new password"


async def test_the_newest_connection_wins_and_the_older_one_is_closed(rig: Rig) -> None:
    old = await rig.station("ocpp1.6")
    new = await rig.station("ocpp1.6")

    with pytest.raises(ConnectionClosed) as closed:
        await old.hear()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000
    assert (await new.call("Heartbeat", {}))["currentTime"]
    assert [socket.epoch for socket in rig.gateway.stations] == [2]
    await new.leave()


async def test_a_drain_tells_stations_to_come_back(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")

    await rig.gateway.stop()

    with pytest.raises(ConnectionClosed) as closed:
        await station.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
async def test_a_remote_start_and_stop_reach_the_station_and_are_answered(rig: Rig, conn: Any, version: str) -> None:
    station = await rig.station(version)
    await station.call("BootNotification", BOOT_16 if version == "ocpp1.6" else BOOT_2X)

    start = await rig.commands.issue(new_id(), "S1", StartSession(1, "0011223344556677", 7), "staff")
    frame = await station.hear()
    if version == "ocpp1.6":
        assert frame[2:] == ["RemoteStartTransaction", {"connectorId": 1, "idTag": "0011223344556677"}]
    else:
        token = {"idToken": "0011223344556677", "type": "Central"}
        assert frame[2:] == ["RequestStartTransaction", {"evseId": 1, "remoteStartId": 7, "idToken": token}]
    await station.say(f'[3,"{frame[1]}",{{"status":"Accepted"}}]')
    stop = await rig.commands.issue(new_id(), "S1", StopSession("12"), "staff")
    frame = await station.hear()
    await station.say(f'[3,"{frame[1]}",{{"status":"Rejected"}}]')

    assert (await start.answer).end == "accepted"
    assert (await stop.answer).end == "rejected"
    rows = await conn.fetch("select state, epoch, answer from command order by created_at, id")
    assert [(row["state"], row["epoch"]) for row in rows] == [("answered", 1), ("answered", 1)]
    await station.leave()


async def test_commands_have_one_end_each(rig: Rig, conn: Any) -> None:
    with pytest.raises(NotFound):
        await rig.commands.issue(new_id(), "nobody", AnyCall("Reset", {"type": "Soft"}), None)
    offline = await rig.commands.issue(new_id(), "S1", AnyCall("Reset", {"type": "Soft"}), None)
    assert (await offline.answer).end == "offline"
    station = await rig.station("ocpp1.6")
    await station.call("BootNotification", BOOT_16)
    wrong = await rig.commands.issue(new_id(), "S1", AnyCall("Reset", {"type": "Gently"}), None)
    assert (await wrong.answer).error == (
        'PropertyConstraintViolation: Reset/type: "Gently" is not one of "Hard" or "Soft"'
    )
    sent = await rig.commands.issue(new_id(), "S1", AnyCall("Reset", {"type": "Soft"}), None)
    await station.hear()
    await station.leave()
    assert (await sent.answer).end == "unknown"

    rows = await conn.fetch("select state from command order by created_at, id")
    assert [row["state"] for row in rows] == ["failed", "failed", "unknown"]


async def test_a_long_token_becomes_an_alias_and_delays_only_its_station(rig: Rig, conn: Any) -> None:
    rig.issuer["long" * 100] = VerifiedToken("social", "https://social.example", "sue", make.NOON + FAR_AWAY)
    rig.issuer_delay_s = 0.3
    slow, other = await rig.station("ocpp2.0.1"), await rig.station("ocpp1.6", "S2")
    body = {"v": 1, "id": "request-1", "ts": at(0), "token": "long" * 100, "type": "social"}
    ask = {"vendorId": "org.csms.assets", "messageId": "Auth.Token", "data": body}

    asking = asyncio.create_task(slow.call("DataTransfer", ask))
    await other.call("BootNotification", BOOT_16)
    assert not asking.done()

    answer = await asking
    assert answer["status"] == "Accepted"
    assert answer["data"] | {"token": ""} == {"v": 1, "id": "request-1", "token": "", "exp": "2026-11-20T12:02:00Z"}
    row = await conn.fetchrow(
        "select subject, single_use from token where key = sha256($1::bytea)", answer["data"]["token"].encode()
    )
    assert tuple(row) == ("sue", True)
    await slow.leave()
    await other.leave()


async def test_the_stop_of_a_session_from_another_version_fails_with_a_reason(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    issued = await rig.commands.issue(new_id(), "S1", StopSession("begun-on-2.0.1"), None)
    answer = await issued.answer
    assert (answer.end, answer.error) == (
        "failed",
        "PropertyConstraintViolation: begun-on-2.0.1 is no transaction id of OCPP 1.6",
    )
    await station.leave()


async def test_a_station_that_answers_no_call_has_to_redial(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csms.ocpp.gateway.COMMAND_S_MAX", 0.02)
    station = await rig.station("ocpp1.6")
    await station.call("BootNotification", BOOT_16)

    for _ in range(3):
        issued = await rig.commands.issue(new_id(), "S1", AnyCall("ClearCache", {}), None)
        assert (await station.hear())[2] == "ClearCache"
        assert (await issued.answer).end == "unknown"

    with pytest.raises(ConnectionClosed) as closed:
        await station.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


async def test_a_station_that_never_boots_is_called_once_it_has_spoken_and_ten_seconds_passed(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    issued = await rig.commands.issue(new_id(), "S1", AnyCall("ClearCache", {}), None)
    for _ in range(11):
        rig.gateway.wheel.tick()
    assert await station.call("Heartbeat", {})
    for _ in range(10):
        rig.gateway.wheel.tick()

    frame = await station.hear()
    await station.say(f'[3,"{frame[1]}",{{"status":"Accepted"}}]')

    assert frame[2] == "ClearCache"
    assert (await issued.answer).end == "accepted"
    await station.leave()


async def test_a_piece_of_thousands_of_messages_gives_others_their_turn(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    ours = rig.gateway.stations.find("S1")
    assert ours is not None

    ours.data_received(b"".join(masked(f'[2,"{number}","Heartbeat",{{}}]'.encode()) for number in range(3_000)))

    assert sum(rig.gateway._desk.counts.values()) == TURN_MESSAGES_MAX
    assert [(await station.hear())[1] for _ in range(3_000)] == [str(number) for number in range(3_000)]
    assert (await station.call("BootNotification", BOOT_16))["status"] == "Accepted"
    await station.leave()


async def test_hundreds_of_calls_in_one_piece_are_all_served_in_order(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    status = '{"connectorId":1,"errorCode":"NoError","status":"Available"}'
    calls = [f'[2,"{number}","StatusNotification",{status}]' for number in range(300)]

    station.socket.transport.write(b"".join(masked(call.encode()) for call in calls))

    assert [(await station.hear())[1] for _ in calls] == [str(number) for number in range(300)]
    assert (await station.call("Heartbeat", {}))["currentTime"]
    await station.leave()


async def test_without_a_database_stations_are_told_to_come_back(rig: Rig, dsn: str) -> None:
    closed = await db.pool(dsn, name="closed")
    await closed.close()
    rig.gateway._admission = Admission(closed, bytes(32), rig.clock)

    with pytest.raises(InvalidStatus) as refused:
        await rig.station("ocpp1.6")

    assert refused.value.response.status_code == 503
