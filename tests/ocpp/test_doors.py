"""Doors in OCPP's own words: NotifyEvent of 2.0.1 and 2.1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from csms.domain.asset_events import DoorMoved
from tests.make import after
from tests.ocpp.transcript import Conversation

VERSIONS = pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])


def entry(value: str, door: int | None = 2, event_id: int = 7, **more: Any) -> dict[str, Any]:
    component: dict[str, Any] = {"name": "Connector"} if door is None else {"name": "Connector", "evse": {"id": door}}
    told = {"eventId": event_id, "timestamp": "2026-11-20T12:01:00Z", "trigger": "Delta", "actualValue": value}
    told |= {
        "eventNotificationType": "HardWiredNotification",
        "component": component,
        "variable": {"name": "SlotStatus"},
    }
    return told | more


def notify(version: str, *entries: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What is understood of a NotifyEvent, and what it is answered."""
    told = Conversation(version)
    payload = {"generatedAt": "2026-11-20T12:01:00Z", "seqNo": 0, "eventData": list(entries)}
    told.say(json.dumps([2, "1", "NotifyEvent", payload]))
    return told.events, [json.loads(text) for text in told.sent]


@VERSIONS
@pytest.mark.parametrize(
    ("value", "state", "has"),
    [("Open", "open", None), ("Occupied", "closed", True), ("Available", "closed", False), ("FAULTED", "jammed", None)],
)
def test_a_doors_movement_is_understood_in_ocpps_own_words(version: str, value: str, state: str, has: Any) -> None:
    [event], answers = notify(version, entry(value))
    assert isinstance(event, DoorMoved) and answers == [[3, "1", {}]]
    assert (event.unit, event.door, event.has, event.at, event.seq) == (2, state, has, after(1), None)


@VERSIONS
def test_several_doors_in_one_call_are_recorded_in_order_and_answered_once(version: str) -> None:
    events, answers = notify(version, entry("Open", 1), entry("Whatever", 3), entry("Closed", 2))
    assert [(event.unit, event.door) for event in events] == [(1, "open"), (2, "closed")] and len(answers) == 1


@VERSIONS
def test_the_same_event_again_is_the_same_report_and_another_is_not(version: str) -> None:
    [one], [again], [other] = (notify(version, entry("Open", 2, id_))[0] for id_ in (7, 7, 8))
    assert one.id == again.id != other.id and len(one.id) <= 36


@VERSIONS
@pytest.mark.parametrize(
    "odd",
    [
        entry("Open", None),
        entry("Open", 0),
        entry("Open", 99_999),
        entry("Purple"),
        entry("Open", variable={"name": "x"}),
    ],
)
def test_what_is_about_no_door_is_acknowledged_and_nothing_more(version: str, odd: dict[str, Any]) -> None:
    events, answers = notify(version, odd)
    assert (events, answers) == ([], [[3, "1", {}]])
