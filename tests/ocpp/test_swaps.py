"""BatterySwap of OCPP 2.1: what happened to which packs; answered whatever it holds, and kept where it is unclear."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import Outcome, Unreadable
from csms.domain.pack_events import InSlot, PacksMoved
from csms.domain.pack_state import NoLevel, PackState
from csms.ocpp.levels import hundredths
from tests.make import NOON
from tests.ocpp.transcript import Conversation

TOKEN = "04A2246F99AA"
PACK = {"evseId": 3, "serialNumber": "BAT-0007", "soC": 20, "soH": 95}


def swap(*packs: dict[str, Any], **more: Any) -> dict[str, Any]:
    token = {"idToken": TOKEN, "type": "ISO14443"}
    return {"eventType": "BatteryIn", "requestId": 7, "idToken": token, "batteryData": list(packs) or [PACK]} | more


def heard(payload: object, told: Conversation | None = None) -> Any:
    """What is understood of a BatterySwap; its answer has no fields, whatever it is."""
    told = told or Conversation("ocpp2.1")
    told.kind("battery_station")
    told.say(json.dumps([2, "1", "BatterySwap", payload]))
    assert told.heard() == [[3, "1", {}]]
    (event,) = told.events
    told.events = []
    return event


def test_every_field_of_a_swap_arrives() -> None:
    event = heard(swap(PACK | {"productionDate": "2025-03-01T00:00:00Z", "vendorInfo": "x"}, eventType="BatteryOut"))
    assert isinstance(event, PacksMoved)
    assert (event.what, event.rid, event.token, event.at, event.seq) == ("out", 7, TOKEN, NOON, None)
    assert event.slots == (InSlot(3, PackState("BAT-0007", 2000, 9500, made=date(2025, 3, 1))),)


def test_the_same_again_is_the_same_report_and_anything_else_another() -> None:
    same = [heard(swap()).id for _ in range(2)]
    others = [
        heard(swap(**more)).id
        for more in ({"requestId": 8}, {"eventType": "BatteryOut"}, {"batteryData": [PACK | {"soC": 20.01}]})
    ]
    in_another_order = [
        heard(swap(*packs)).id for packs in ((PACK, PACK | {"evseId": 4}), (PACK | {"evseId": 4}, PACK))
    ]
    assert len({*same, *others}) == 4 and len(set(in_another_order)) == 1
    assert all(8 <= len(id_) <= 36 for id_ in same)


def test_no_token_is_kept_in_clear() -> None:
    more = {"additionalInfo": [{"additionalIdToken": TOKEN, "type": "x"}]}
    for payload in (swap(), swap(idToken={"idToken": TOKEN, "type": "Central"} | more), swap(batteryData=[])):
        event = heard(payload)
        assert TOKEN not in event.raw and "BatterySwap" in event.raw
    told = Conversation("ocpp2.1")
    told.say(json.dumps([2, "1", "BatterySwap", swap()])[:-4])
    (event,) = told.events
    assert isinstance(event, Unreadable)
    assert TOKEN not in event.raw and "BAT-0007" in event.raw


@pytest.mark.parametrize(
    ("more", "serial", "soc"),
    [
        ({"soC": 100.001}, "BAT-0007", 10_000),
        ({"soC": "20,5"}, "BAT-0007", 2_050),
        ({"soC": 20.005}, "BAT-0007", 2_001),
        ({"soH": "NaN"}, "BAT-0007", 2_000),
        ({"serialNumber": " BAT-0007\0\0 "}, "BAT-0007", 2_000),
        ({"serialNumber": 7}, "7", 2_000),
        ({"productionDate": "long ago"}, "BAT-0007", 2_000),
        ({"evseId": "3"}, "BAT-0007", 2_000),
    ],
)
def test_what_can_be_mended_of_a_pack_is(more: dict[str, Any], serial: str, soc: int) -> None:
    event = heard(swap(PACK | more))
    assert [(slot.unit, slot.pack.serial, slot.pack.soc) for slot in event.slots] == [(3, serial, soc)]


@pytest.mark.parametrize("soc", [-1, -5, 101, 1e300, "NaN", None, "full"])
def test_a_level_that_no_pack_can_have_is_not_told_and_the_pack_has_moved_all_the_same(soc: Any) -> None:
    event = heard(swap(PACK | {"soC": soc}))
    assert event.slots == (InSlot(3, NoLevel("BAT-0007", 9_500)),)


@pytest.mark.parametrize("soh", [-1, 100.1, 200, "NaN"])
def test_a_health_that_no_pack_can_have_is_not_told(soh: Any) -> None:
    event = heard(swap(PACK | {"soH": soh}))
    assert event.slots == (InSlot(3, PackState("BAT-0007", 2_000, None)),)


@pytest.mark.parametrize("rid", [0, 2**30, 2**31 - 1, "7"])
def test_a_station_numbers_its_swaps_as_it_likes(rid: Any) -> None:
    assert heard(swap(requestId=rid)).rid == int(rid)


@pytest.mark.parametrize(
    "odd",
    [
        swap(PACK | {"serialNumber": "x" * 300}),
        swap(PACK | {"serialNumber": "\0"}),
        swap(PACK | {"serialNumber": None}),
        swap(PACK | {"evseId": 0}),
        swap(PACK | {"evseId": -1}),
        swap(PACK | {"evseId": 99_999}),
        swap(PACK, PACK),
        swap(*(PACK | {"evseId": unit} for unit in range(1, 18))),
        swap(batteryData=[]),
        swap(batteryData=None),
        swap(batteryData="BAT-0007"),
        swap(requestId=-1),
        swap(requestId=2**31),
        swap(requestId=2**40),
        swap(requestId=2**70),
        swap(requestId=None),
        swap(eventType="BatteryEaten"),
        swap(eventType=None),
        {},
        [],
        None,
        "x",
    ],
)
def test_what_is_unclear_is_kept_and_answered(odd: object) -> None:
    event = heard(odd)
    assert isinstance(event, Unreadable) and event.action == "BatterySwap"
    assert "reader" not in event.reason and TOKEN not in event.raw + event.reason


def test_a_swap_without_a_token_is_a_swap_of_the_pack_alone() -> None:
    for token in (None, {"idToken": "", "type": "NoAuthorization"}, {"idToken": "", "type": "Central"}, "x"):
        assert heard(swap(idToken=token)).token is None


def test_a_swap_that_cannot_be_stored_is_answered_all_the_same() -> None:
    told = Conversation("ocpp2.1")
    told.outcomes["PacksMoved"] = Outcome("invalid", reason="parked")
    assert isinstance(heard(swap(), told), PacksMoved)


ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, 1e300, 10**30, 2**63, "", "\0", "\ud800", "x" * 300, "NaN", [], {}, [[]], [{}]]
) | st.text(max_size=20)


@given(
    st.dictionaries(st.sampled_from([*PACK, "productionDate"]), ODD), st.dictionaries(st.sampled_from([*swap()]), ODD)
)
@settings(max_examples=400, deadline=None)
def test_no_swap_breaks_a_conversation(pack: dict[str, Any], more: dict[str, Any]) -> None:
    event = heard(swap(PACK | pack) | more)
    if isinstance(event, Unreadable):
        assert "reader" not in event.reason
        return
    told = [slot.pack for slot in event.slots]
    assert all(0 < len(pack.serial) <= 50 and (pack.soh is None or 0 <= pack.soh <= 10_000) for pack in told)
    assert all(0 <= pack.soc <= 10_000 for pack in told if isinstance(pack, PackState))
    assert "\0" not in repr(event.slots) and event.raw.encode()


@given(st.decimals(allow_nan=True, allow_infinity=True) | st.floats() | st.text(max_size=9) | st.none() | st.booleans())
def test_a_level_is_a_whole_number_from_0_to_100_percent_or_none(percent: object) -> None:
    level = hundredths(percent)
    assert level is None or (type(level) is int and 0 <= level <= 10_000)


def test_a_level_is_rounded_half_up_as_it_was_written() -> None:
    assert [hundredths(percent) for percent in (0.005, 95.555, "99.994", "99.995", -1e30, 1e30)] == [
        1,
        9556,
        9999,
        10_000,
        None,
        None,
    ]
