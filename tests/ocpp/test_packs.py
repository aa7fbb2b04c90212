"""Battery.* of `org.csms.assets`, and the alias of a pack's serial."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from csms.base.clock import rfc3339
from csms.domain.asset_events import AssetAnswer, BillTold, UnitsSeen
from csms.domain.events import Outcome, Unreadable
from csms.domain.pack_events import InSlot, PacksMoved, PackStated
from csms.domain.pack_rows import alias_of
from csms.domain.pack_state import PackState
from csms.ocpp.calls import ALIAS_AGE
from csms.ocpp.schemas import FOLDERS
from tests.make import NOON, after
from tests.ocpp.test_assets import UP, say
from tests.ocpp.transcript import Conversation

VERSIONS = pytest.mark.parametrize("version", FOLDERS)
STATE = UP["Battery.State"][0]
INSERTED = UP["Battery.Inserted"][0]
SECRET = "04A2246F99AA"


@VERSIONS
def test_every_field_of_a_state_arrives(version: str) -> None:
    told = Conversation(version)
    say(told, "Battery.State", STATE)
    (event,) = told.events
    assert isinstance(event, PackStated)
    assert (event.unit, event.source, event.seq, event.at) == (3, "station", 53, after(15))
    assert event.pack == PackState(
        "BAT-0007", 2350, 9500, 51800, 9800, 31, 311, 431070, 460200, 1, 1500, date(2025, 3, 1), (), "charging"
    )


@VERSIONS
@pytest.mark.parametrize(
    ("message", "what"),
    [("Battery.Inserted", "in"), ("Battery.Released", "out"), ("Battery.ReleaseTimeout", "timeout")],
)
def test_a_step_of_a_swap_arrives(version: str, message: str, what: str) -> None:
    told = Conversation(version)
    two = INSERTED | {"slots": [INSERTED["slots"][0], {"u": 4, "battery": {"serial": "B", "soc": 1, "soh": 2}}]}
    say(told, message, two)
    (event,) = told.events
    assert isinstance(event, PacksMoved)
    assert (event.what, event.rid, event.token, event.seq, event.offline) == (what, 7, None, 50, False)
    assert event.slots == (
        InSlot(3, PackState("BAT-0007", 2000, 9500, cycles=310)),
        InSlot(4, PackState("B", 1, 2)),
    )


def test_a_day_that_no_calendar_has_is_no_reason_to_refuse_a_pack() -> None:
    told = Conversation()
    say(told, "Battery.State", STATE | {"made": "2025-02-30"})
    (event,) = told.events
    assert isinstance(event, PackStated) and event.pack.made is None


def test_a_serial_that_is_filled_up_with_zero_bytes_is_read_without_them() -> None:
    told = Conversation()
    say(told, "Battery.State", STATE | {"serial": "BAT-0007\0\0"})
    (event,) = told.events
    assert isinstance(event, PackStated) and event.pack.serial == "BAT-0007"


def test_a_snapshot_tells_which_pack_stands_where() -> None:
    told = Conversation()
    battery = INSERTED["slots"][0]["battery"]
    units = [{"u": 1, "door": "closed", "has": True, "battery": battery}, {"u": 2, "door": "closed", "has": False}]
    say(told, "Unit.Snapshot", UP["Unit.Snapshot"][0] | {"units": units})
    (event,) = told.events
    assert isinstance(event, UnitsSeen)
    assert event.units[0].pack == PackState("BAT-0007", 2000, 9500, cycles=310)
    assert [(unit.item, unit.pack and unit.pack.serial) for unit in event.units] == [(None, "BAT-0007"), (None, None)]


def test_a_pack_that_is_mute_does_not_hide_what_is_in_the_other_slots() -> None:
    told = Conversation()
    mute, known = {"serial": "BAT-0001"}, {"serial": "BAT-0007", "soc": 2000}
    batteries = {1: mute, 2: mute | {"soh": 9_000}, 3: known}
    units = [{"u": unit, "door": "closed", "has": True, "battery": battery} for unit, battery in batteries.items()]
    units[1]["item"] = "K-1"
    assert say(told, "Unit.Snapshot", UP["Unit.Snapshot"][0] | {"units": units})["status"] == "Accepted"
    (event,) = told.events
    assert isinstance(event, UnitsSeen) and all(unit.has for unit in event.units)
    assert [unit.item for unit in event.units] == [None, "K-1", None]
    assert [unit.pack for unit in event.units] == [None, None, PackState("BAT-0007", 2000)]


@VERSIONS
def test_the_health_of_a_pack_may_be_unknown_and_its_level_may_not(version: str) -> None:
    told = Conversation(version)
    slot = {"u": 3, "battery": {"serial": "BAT-0007", "soc": 2000}}
    assert say(told, "Battery.Inserted", INSERTED | {"slots": [slot]})["status"] == "Accepted"
    state = {name: value for name, value in STATE.items() if name != "soh"}
    assert say(told, "Battery.State", state)["status"] == "Accepted"
    moved, stated = told.events
    assert isinstance(moved, PacksMoved) and moved.slots == (InSlot(3, PackState("BAT-0007", 2000)),)
    assert isinstance(stated, PackStated) and stated.pack.soh is None
    del slot["battery"]["soc"], state["soc"]  # type: ignore[attr-defined]
    for message, body in (("Battery.Inserted", INSERTED | {"slots": [slot]}), ("Battery.State", state)):
        assert say(told, message, body | {"id": f"mute-{message}"})["status"] == "Rejected"


@VERSIONS
def test_the_answer_says_what_is_handed_out_and_what_it_cost(version: str) -> None:
    told = Conversation(version)
    answer = AssetAnswer(rid=7, units_out=(4, 5), bill=BillTold("BILL-1", 1500, "KRW"))
    told.outcomes["PacksMoved"] = Outcome("accepted", asset=answer)
    assert say(told, "Battery.Inserted", INSERTED)["data"] == {
        "v": 1,
        "id": INSERTED["id"],
        "rid": 7,
        "out": [4, 5],
        "bill": {"ref": "BILL-1", "fee": 1500, "currency": "KRW"},
    }


@VERSIONS
@pytest.mark.parametrize("as_text", [True, False])
def test_no_token_of_a_swap_is_kept_in_clear(version: str, as_text: bool) -> None:
    told = Conversation(version)
    for odd in ({}, {"surprise": SECRET[:2]}, {"slots": []}, {"token": SECRET + "\u00e9"}, {"token": [SECRET]}):
        say(told, "Battery.Inserted", INSERTED | {"token": SECRET} | odd, as_text=as_text)
    moved, *kept = told.events
    assert isinstance(moved, PacksMoved) and moved.token == SECRET
    assert len(kept) == 4 and all(isinstance(event, Unreadable) for event in kept)
    for event in (moved, *kept):
        assert SECRET not in event.raw + getattr(event, "reason", "")  # type: ignore[union-attr]
        assert "BAT-0007" in event.raw or event is kept[1]  # type: ignore[union-attr]


@VERSIONS
@pytest.mark.parametrize(
    "odd",
    [
        {"slots": INSERTED["slots"] * 2},
        {"slots": []},
        {"slots": [INSERTED["slots"][0] | {"u": 0}]},
        {"slots": [INSERTED["slots"][0] | {"u": 10_000}]},
        {"slots": [{"u": 3, "battery": {"serial": "x" * 300, "soc": 1, "soh": 1}}]},
        {"slots": [{"u": 3, "battery": {"serial": "B 7", "soc": 1, "soh": 1}}]},
        {"slots": [{"u": 3, "battery": {"serial": "B", "soc": 10_001, "soh": 1}}]},
        {"slots": [{"u": 3, "battery": {"serial": "B", "soc": 1.5, "soh": 1}}]},
        {"rid": -1},
        {"rid": 2**40},
        {"rid": None},
    ],
)
def test_a_bad_swap_is_refused_and_kept(version: str, odd: dict[str, Any]) -> None:
    told = Conversation(version)
    answer = say(told, "Battery.Inserted", INSERTED | odd)
    assert (answer["status"], answer["data"]["err"]) == ("Rejected", "BadPayload")
    assert [type(event) for event in told.events] == [Unreadable]


@VERSIONS
def test_a_packs_serial_gets_its_alias_at_once_and_nobody_is_asked(version: str) -> None:
    told = Conversation(version)
    told.stalled = True
    shown = UP["Auth.Token"][0] | {"type": "battery"}
    answer = say(told, "Auth.Token", shown | {"token": "BAT-0007"})
    assert (answer["status"], told.events, told.pending) == ("Accepted", [], [])
    assert answer["data"]["token"] == alias_of("BAT-0007")
    assert answer["data"]["exp"] == rfc3339(NOON + ALIAS_AGE) and timedelta(0) < ALIAS_AGE
    for odd in ("x" * 51, "no/serial"):
        refused = say(told, "Auth.Token", shown | {"token": odd})
        assert (refused["status"], refused["data"]["err"]) == ("Rejected", "BatteryUnknown")


def test_text_that_is_no_json_loses_its_token_and_nothing_else_of_worth() -> None:
    told = Conversation()
    text = json.dumps(INSERTED | {"token": SECRET}).replace('"slots"', '"late": 1, "slots"')[:-1]
    payload = {"vendorId": "org.csms.assets", "messageId": "Battery.Inserted", "data": text}
    told.say(json.dumps([2, "m", "DataTransfer", payload]))
    (event,) = told.events
    assert isinstance(event, Unreadable)
    assert SECRET not in event.raw and "BAT-0007" in event.raw
