"""NotifyReport of a battery station: what stands in its slots, in OCPP's own words."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.asset_events import UnitSeen, UnitsSeen
from csms.domain.pack_state import PackState
from tests.make import after
from tests.ocpp.transcript import Conversation

VERSIONS = pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])


def entry(component: str, variable: str, value: object, unit: object = 3, **more: Any) -> dict[str, Any]:
    return {
        "component": {"name": component, "evse": {"id": unit}},
        "variable": {"name": variable},
        "variableAttribute": [{"value": value}],
    } | more


PACK = [entry("BatteryCartridge", "SerialNumber", "BAT-0007"), entry("BatteryCartridge", "SoC", "23.5")]


def report(version: str, *entries: Any, kind: str = "battery_station", **more: Any) -> list[Any]:
    """What is understood of a NotifyReport, which is answered without fields."""
    told = Conversation(version)
    told.kind(kind)
    payload = {"requestId": 1, "generatedAt": "2026-11-20T12:01:00Z", "seqNo": 0, "reportData": list(entries)} | more
    told.say(json.dumps([2, "1", "NotifyReport", payload]))
    assert told.heard() == [[3, "1", {}]]
    return told.events


@VERSIONS
def test_a_report_tells_what_stands_where(version: str) -> None:
    [event] = report(
        version,
        entry("Connector", "SlotStatus", "Occupied"),
        *PACK,
        entry("BatteryCartridge", "SoH", "95"),
        entry("BatteryCartridge", "Temperature", "31.5"),
        entry("BatteryCartridge", "Cycles", "310"),
        entry("BatteryCartridge", "Capacity", "1.5", variableCharacteristics={
            "unit": "kWh", "dataType": "decimal", "supportsMonitoring": False}),
        entry("BatteryCartridge", "ProductionDate", "2025-03-01T00:00:00Z"),
        entry("EVSE", "AvailabilityState", "Available", 4),
    )  # fmt: skip
    assert isinstance(event, UnitsSeen)
    pack = PackState("BAT-0007", 2350, 9500, temp=32, cycles=310, capacity_wh=1500, made=date(2025, 3, 1))
    assert event.units == (UnitSeen(3, "closed", True, pack=pack), UnitSeen(4, "closed", False))
    assert (event.at, event.seq, event.last_seq, event.offline) == (after(1), None, None, False)


@VERSIONS
def test_names_are_not_case_sensitive_and_a_target_is_no_level(version: str) -> None:
    entries = [
        entry("BATTERY", "serialnumber", "BAT-0007"),
        entry("battery", "STATEOFCHARGE", "20"),
        entry("Battery", "stateOfHealth", "90"),
        entry("BatteryCartridge", "TargetSoC", "80"),
        entry("BatteryCartridge", "TargetSoc", "81"),
        entry("connector", "slotstatus", "OCCUPIED"),
    ]
    [event] = report(version, *entries)
    assert event.units == (UnitSeen(3, "closed", True, pack=PackState("BAT-0007", 2000, 9000)),)


@VERSIONS
@pytest.mark.parametrize(
    ("entries", "seen"),
    [
        ([entry("Connector", "SlotStatus", "Available"), *PACK], UnitSeen(3, "closed", False)),
        ([entry("EVSE", "AvailabilityState", "Occupied")], UnitSeen(3, "closed", True)),
        (
            [entry("Connector", "SlotStatus", "Open"), *PACK],
            UnitSeen(3, "open", True, pack=PackState("BAT-0007", 2350)),
        ),
        (PACK, UnitSeen(3, "closed", True, pack=PackState("BAT-0007", 2350))),
        (PACK[:1], UnitSeen(3, "closed", True)),
        (
            [*PACK, entry("EVSE", "AvailabilityState", "Unavailable")],
            UnitSeen(3, "closed", True, None, True, PackState("BAT-0007", 2350)),
        ),
        ([entry("Connector", "SlotStatus", "Faulted"), *PACK[:1]], UnitSeen(3, "jammed", True)),
    ],
)
def test_the_slot_itself_knows_best(version: str, entries: list[Any], seen: UnitSeen) -> None:
    [event] = report(version, *entries)
    assert event.units == (seen,)


@VERSIONS
@pytest.mark.parametrize(
    "odd",
    [
        entry("Connector", "SlotStatus", "Open"),
        entry("Connector", "SlotStatus", "Purple"),
        entry("Connector", "SlotStatus", "Occupied", 0),
        entry("Connector", "SlotStatus", "Occupied", -1),
        entry("Connector", "SlotStatus", "Occupied", 99_999),
        entry("BatteryCartridge", "SoC", "20"),
        entry("BatteryCartridge", "SerialNumber", ""),
        entry("BatteryCartridge", "SerialNumber", "x" * 300),
        entry("BatteryCartridge", "SerialNumber", "BAT", variableAttribute=[{"type": "Target", "value": "BAT"}]),
        entry("EVSE", "AvailabilityState", "Reserved"),
        entry("EVSE", "Power", "3"),
        {**entry("Connector", "SlotStatus", "Occupied"), "component": {"name": "Connector"}},
    ],
)
def test_what_says_nothing_of_a_slot_is_acknowledged(version: str, odd: dict[str, Any]) -> None:
    assert report(version, odd) == []


@VERSIONS
def test_levels_that_cannot_be_are_left_out_and_the_pack_is_known(version: str) -> None:
    names = ("SoH", "Temperature", "Cycles", "Capacity", "ProductionDate")
    for odd in ("NaN", "x", "", "-1e30", "1e30", "9" * 60):
        [event] = report(version, *PACK, *(entry("BatteryCartridge", name, odd) for name in names))
        (seen,) = event.units
        assert seen.pack.soh in (None, 0, 10_000)
        assert seen.pack._replace(soh=None) == PackState("BAT-0007", 2350)


@VERSIONS
def test_the_same_part_again_is_the_same_report_and_another_is_not(version: str) -> None:
    same = [report(version, *PACK)[0].id for _ in range(2)]
    others = [report(version, *PACK, **more)[0].id for more in ({"requestId": 2}, {"seqNo": 1})]
    assert len({*same, *others}) == 3 and all(8 <= len(id_) <= 36 for id_ in same)


@VERSIONS
@pytest.mark.parametrize("kind", ["charger", "locker"])
def test_the_report_of_another_station_is_acknowledged(version: str, kind: str) -> None:
    assert report(version, *PACK, kind=kind) == []


ODD = st.sampled_from([None, True, 0, -1, 1.5, 10**30, "", "\0", "\ud800", "x" * 300, "NaN", [], {}, [{}]]) | st.text()


@VERSIONS
def test_no_report_breaks_a_conversation(version: str) -> None:
    names = st.sampled_from(["SerialNumber", "SoC", "Temperature", "Capacity", "SlotStatus", "AvailabilityState"])
    entries = st.lists(st.builds(entry, st.sampled_from(["BatteryCartridge", "EVSE"]), names, ODD, ODD), max_size=6)

    @given(entries, st.dictionaries(st.sampled_from(["requestId", "generatedAt", "seqNo", "reportData", "tbc"]), ODD))
    @settings(max_examples=300, deadline=None)
    def holds(found: list[Any], more: dict[str, Any]) -> None:
        told = Conversation(version)
        told.kind("battery_station")
        payload = {"requestId": 1, "generatedAt": "2026-11-20T12:01:00Z", "seqNo": 0, "reportData": [*PACK, *found]}
        told.say(json.dumps([2, "1", "NotifyReport", payload | more]))
        (answer,) = told.heard()
        assert answer[0] == 3 or answer[2] != "InternalError"
        for event in told.events:
            assert isinstance(event, UnitsSeen)
            assert "\0" not in repr(event.units)

    holds()
