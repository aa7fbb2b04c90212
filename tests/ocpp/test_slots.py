"""Slots of battery stations: packs that are charged are no sessions, and a slot's status tells whether it is empty."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import (
    ConnectorReported,
    Outcome,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    TokenPresented,
    Unreadable,
)
from csms.domain.pack_events import PackStated, SlotShown
from csms.ocpp.slot_uses import USES_MAX
from tests.make import after
from tests.ocpp.transcript import Conversation

NEW = pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
KINDS = pytest.mark.parametrize("kind", ["charger", "locker"])
TOKEN = {"idToken": "04A2246F", "type": "ISO14443"}
NOBODY = {"idToken": "", "type": "NoAuthorization"}


def station(version: str, kind: str = "battery_station") -> Conversation:
    told = Conversation(version)
    told.kind(kind)
    return told


def event_of(kind: str, soc: object = 50, **more: Any) -> dict[str, Any]:
    """A TransactionEvent of the pack in slot 3."""
    samples = [{"value": 1500, "measurand": "Energy.Active.Import.Register"}]
    if soc is not None:
        samples.append({"value": soc, "measurand": "SoC"})  # type: ignore[dict-item]
    return {
        "eventType": kind,
        "timestamp": "2026-11-20T12:01:00Z",
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 1,
        "transactionInfo": {"transactionId": "slot-3"},
        "evse": {"id": 3},
        "meterValue": [{"timestamp": "2026-11-20T12:01:00Z", "sampledValue": samples}],
    } | more


def say(told: Conversation, payload: object, action: str = "TransactionEvent") -> tuple[list[Any], Any]:
    """What is understood of it, and its answer."""
    told.say(json.dumps([2, "1", action, payload]))
    events, told.events = told.events, []
    (answer,) = told.heard()
    return events, answer[2]


@NEW
@pytest.mark.parametrize(("kind", "mode"), [("Started", "charging"), ("Updated", "charging"), ("Ended", "idle")])
def test_a_pack_that_is_charged_in_its_slot_is_no_session(version: str, kind: str, mode: str) -> None:
    for more in ({}, {"idToken": NOBODY}):
        [event], answer = say(station(version), event_of(kind, 50.5, offline=True, **more))
        assert isinstance(event, PackStated)
        assert (event.unit, event.pack.serial, event.pack.soc, event.pack.mode) == (3, "", 5050, mode)
        assert (event.at, event.seq, event.offline, event.source) == (after(1), None, True, "station")
        assert answer == ({"idTokenInfo": {"status": "Accepted"}} if more else {})


@NEW
def test_the_same_event_again_is_the_same_report_and_another_is_not(version: str) -> None:
    told = station(version)
    payloads = [event_of("Updated"), event_of("Updated"), event_of("Ended"), event_of("Updated", seqNo=2)]
    ids = [say(told, payload)[0][0].id for payload in payloads]
    assert ids[0] == ids[1] and len(set(ids)) == 3 and all(8 <= len(id_) <= 36 for id_ in ids)


@NEW
def test_only_the_beginning_need_name_the_slot(version: str) -> None:
    told = station(version)
    later = event_of("Updated", 60)
    del later["evse"]
    assert say(told, later) == ([], {})
    say(told, event_of("Started"))
    [event], answer = say(told, later)
    assert (event.unit, event.pack.soc, answer) == (3, 6000, {})


@NEW
@pytest.mark.parametrize("soc", [None, "NaN", "x"])
def test_what_does_not_say_how_full_a_pack_is_is_acknowledged(version: str, soc: object) -> None:
    assert say(station(version), event_of("Started", soc)) == ([], {})


@NEW
def test_the_newest_charge_counts_however_it_is_spelled(version: str) -> None:
    values = [
        {"timestamp": "2026-11-20T12:02:00Z", "sampledValue": [{"value": 41, "measurand": "soc"}]},
        {"timestamp": "2026-11-20T12:03:00", "sampledValue": [{"value": 42, "measurand": "SOC"}]},
        {"timestamp": "2026-11-20T12:01:00Z", "sampledValue": [{"value": 40, "measurand": "SoC"}]},
        {"timestamp": "2026-11-20T12:04:00Z", "sampledValue": [{"value": 9, "measurand": "Voltage"}]},
    ]
    [event], _ = say(station(version), event_of("Ended", meterValue=values))
    assert event.pack.soc == 4200
    ten = [{"value": 5, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent", "multiplier": 1}}]
    values = [{"timestamp": "2026-11-20T12:02:00Z", "sampledValue": ten}]
    [event], _ = say(station(version), event_of("Ended", meterValue=values))
    assert event.pack.soc == 5000


@NEW
def test_with_a_token_it_is_a_session_and_stays_one(version: str) -> None:
    told = station(version)
    kinds = [say(told, event_of("Started", idToken=TOKEN))[0], say(told, event_of("Updated"))[0]]
    kinds += [say(told, event_of("Ended"))[0] for _ in range(2)]
    assert [type(events[0]) for events in kinds] == [SessionStarted, SessionMetered, SessionEnded, SessionEnded]


@NEW
def test_a_token_that_is_shown_later_makes_it_a_session(version: str) -> None:
    told = station(version)
    kinds = [say(told, event_of("Started"))[0], say(told, event_of("Updated", idToken=TOKEN))[0]]
    kinds.append(say(told, event_of("Ended"))[0])
    assert [type(events[0]) for events in kinds] == [PackStated, SessionAuthorized, SessionEnded]


@NEW
@KINDS
def test_elsewhere_a_transaction_without_a_token_is_a_session(version: str, kind: str) -> None:
    [event], _ = say(station(version, kind), event_of("Started"))
    assert isinstance(event, SessionStarted)


@NEW
def test_a_pack_is_charged_on_whatever_became_of_its_report(version: str) -> None:
    told = station(version)
    told.outcomes["PackStated"] = Outcome("invalid", reason="parked")
    assert say(told, event_of("Started"))[1] == {}
    broken = event_of("Started", transactionInfo={"transactionId": ""})
    [event], answer = say(told, broken)
    assert (type(event), answer) == (Unreadable, {})
    [event], answer = say(told, broken | {"idToken": TOKEN})
    assert (type(event), answer) == (Unreadable, {"idTokenInfo": {"status": "Invalid"}})


@NEW
@pytest.mark.parametrize("unit", [0, -1, 99_999, None])
def test_a_slot_that_cannot_be_is_acknowledged(version: str, unit: object) -> None:
    assert say(station(version), event_of("Started", evse={"id": unit})) == ([], {})


def test_a_station_that_begins_without_end_is_not_remembered_without_end() -> None:
    told = station("ocpp2.1")
    for number in range(USES_MAX + 10):
        say(told, event_of("Started", transactionInfo={"transactionId": f"t{number}"}))
    assert told.peer.slots is not None and len(told.peer.slots._slots) == USES_MAX


# Status, and tokens


def status(version: str, word: str, unit: int = 3) -> tuple[str, dict[str, Any]]:
    if version == "ocpp1.6":
        return "StatusNotification", {"connectorId": unit, "errorCode": "NoError", "status": word}
    told = {"timestamp": "2026-11-20T12:01:00Z", "connectorStatus": word, "evseId": unit, "connectorId": 1}
    return "StatusNotification", told


ALL = pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
EMPTY = {
    "Available": True,
    "Occupied": False,
    "Preparing": False,
    "Charging": False,
    "SuspendedEVSE": False,
    "SuspendedEV": False,
}


@ALL
@pytest.mark.parametrize("word", [*EMPTY, "Finishing", "Reserved", "Unavailable", "Faulted", "Purple"])
def test_the_status_of_a_slot_tells_whether_it_is_empty(version: str, word: str) -> None:
    action, payload = status(version, word)
    events, answer = say(station(version), payload, action)
    assert [type(event) for event in events] == (
        [ConnectorReported, SlotShown] if word in EMPTY else [ConnectorReported]
    )
    assert answer == {}
    if word in EMPTY:
        assert (events[1].unit, events[1].empty, events[1].at) == (3, EMPTY[word], events[0].at)


@ALL
def test_other_connectors_are_no_slots(version: str) -> None:
    for kind, unit in (("battery_station", 0), ("charger", 3), ("locker", 3)):
        action, payload = status(version, "Available", unit)
        assert [type(event) for event in say(station(version, kind), payload, action)[0]] == [ConnectorReported]


@ALL
def test_a_token_at_a_battery_station_means_a_swap(version: str) -> None:
    payload = {"idTag": "04A2246F"} if version == "ocpp1.6" else {"idToken": TOKEN}
    for kind in ("battery_station", "locker", "charger"):
        [event], _ = say(station(version, kind), payload, "Authorize")
        assert isinstance(event, TokenPresented)
        assert event.at_slots == (kind == "battery_station")


ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, 1e300, 10**30, 2**63, "", "\0", "\ud800", "x" * 300, "NaN", [], {}, [[]], [{}], NOBODY]
)


@NEW
def test_no_event_of_a_slot_breaks_a_conversation(version: str) -> None:
    @given(
        st.sampled_from(["Started", "Updated", "Ended"]), ODD, st.dictionaries(st.sampled_from([*event_of("")]), ODD)
    )
    @settings(max_examples=300, deadline=None)
    def holds(kind: str, soc: object, more: dict[str, Any]) -> None:
        told = station(version)
        events, answer = say(told, event_of(kind, soc) | {"idToken": None} | more)
        assert isinstance(answer, dict) and told.closed is None
        for event in events:
            assert "reader" not in getattr(event, "reason", "")
            assert isinstance(event, Unreadable | PackStated)

    holds()
