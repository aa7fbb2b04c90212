"""Every message of `org.csms.assets` is read as its schema says, on every version, and answered whatever it holds."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.asset_events import (
    AssetAnswer,
    DoorMoved,
    DoorRequested,
    ItemPlaced,
    ItemTaken,
    SocketChanged,
    UnitSeen,
    UnitsSeen,
)
from csms.domain.events import Outcome, TokenIssued, Unreadable
from csms.domain.pack_events import PacksMoved, PackStated
from csms.ocpp.schemas import FOLDERS
from csms.ocpp.vendor import bodies
from csms.ocpp.vendor.assets import FACTS, PAYMENT_PENDING_S
from csms.ocpp.vendor.transfers import TRANSFERS
from tests.make import NOON
from tests.ocpp.transcript import Conversation

DEFINITIONS = bodies.document()["$defs"]
UP = {name.removeprefix("up/"): made["examples"] for name, made in DEFINITIONS.items() if name.startswith("up/")}
SERVED = TRANSFERS[bodies.VENDOR]
EXAMPLES = [(message, example) for message, examples in UP.items() for example in examples]
GRANT = UUID("01991f00-0000-7000-8000-000000000001")
EVENTS = {
    "Hello": [],
    "Unit.Snapshot": [UnitsSeen],
    "Door.Request": [DoorRequested],
    "Door.Status": [DoorMoved],
    "Item.Placed": [ItemPlaced],
    "Item.Taken": [ItemTaken],
    "Socket.Connected": [SocketChanged],
    "Socket.Disconnected": [SocketChanged],
    "Auth.Token": [],
    "Battery.Inserted": [PacksMoved],
    "Battery.Released": [PacksMoved],
    "Battery.ReleaseTimeout": [PacksMoved],
    "Battery.State": [PackStated],
    "Voucher.Inquire": [],
    "Voucher.Purchase": [],
}


def say(told: Conversation, message: str, data: object, *, as_text: bool = False) -> dict[str, Any]:
    """The answer's payload; its `data` as an object, and held against the schema."""
    payload = {"vendorId": bodies.VENDOR, "messageId": message, "data": json.dumps(data) if as_text else data}
    told.say(json.dumps([2, "m", "DataTransfer", payload]))
    return answer_of(told)


def answer_of(told: Conversation) -> dict[str, Any]:
    """What was answered since the last look: one frame."""
    (frame,) = told.heard()
    assert frame[:2] == [3, "m"], frame
    answer: dict[str, Any] = frame[2]
    if "data" in answer:
        assert isinstance(answer["data"], str if told.peer.version == "ocpp1.6" else dict)
        answer["data"] = json.loads(answer["data"]) if isinstance(answer["data"], str) else answer["data"]
        bodies.validator("answer").validate(answer["data"])
        if told.peer.version != "ocpp1.6" and "err" in answer["data"]:
            assert answer["statusInfo"] == {"reasonCode": answer["data"]["err"]}
    return answer


@pytest.mark.parametrize("version", FOLDERS)
@pytest.mark.parametrize(("message", "example"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_each_example_is_read_into_the_event_it_stands_for(version: str, message: str, example: Any) -> None:
    bodies.validator(f"up/{message}").validate(example)
    told = Conversation(version)
    answer = say(told, message, example, as_text=version == "ocpp1.6")
    if message not in SERVED:
        assert (answer, told.events) == ({"status": "UnknownMessageId"}, [])
        return
    assert [type(event) for event in told.events] == EVENTS[message]
    assert answer["data"]["id"] == example["id"]
    expected = (
        "Rejected" if message in ("Door.Request", "Auth.Token") else "Accepted"
    )  # nothing stands behind this road
    assert answer["status"] == expected


@pytest.mark.parametrize(("message", "example"), EXAMPLES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_version_leaves_the_same_events_from_text_and_from_objects(message: str, example: Any) -> None:
    left = []
    for version in FOLDERS:
        for as_text in (True, False):
            told = Conversation(version)
            say(told, message, example, as_text=as_text)
            left.append([replace(event, raw="") for event in told.events])  # type: ignore[type-var,call-arg]
    assert all(events == left[0] for events in left)


def test_every_field_of_a_report_arrives() -> None:
    told = Conversation("ocpp2.0.1")
    for message in ("Unit.Snapshot", "Door.Status", "Item.Placed", "Socket.Connected"):
        say(told, message, UP[message][0])
    seen, moved, placed, plugged = told.events
    at = NOON.replace(second=2)
    assert isinstance(seen, UnitsSeen)
    assert isinstance(placed, ItemPlaced)
    assert isinstance(plugged, SocketChanged)
    assert (seen.units[0], seen.units[2]) == (
        UnitSeen(1, "closed", True, "PC-0042"),
        UnitSeen(3, "unknown", False, None, True),
    )
    assert (seen.last_seq, seen.seq) == (41, None)
    assert replace(moved, raw="") == DoorMoved(  # type: ignore[type-var,call-arg]
        station_id="S1", received_at=NOON, id="ev-00000042", at=at, seq=42, offline=False, raw="",
        unit=1, door="open", grant_id=GRANT, has=True, error=None,
    )  # fmt: skip
    assert (placed.flags, placed.offline, placed.item) == (("damaged",), True, "PC-0042")
    assert (plugged.connected, plugged.tag, plugged.meter_wh) == (True, "OUTLET-7", 120500)


ANSWERS = [
    AssetAnswer(),
    AssetAnswer(repeated=True),
    AssetAnswer(grant_id=GRANT, unit=3, expires_at=NOON + timedelta(seconds=15)),
    *(
        AssetAnswer(error=code, repeated=repeated)
        for code in DEFINITIONS["error"]["enum"]
        for repeated in (True, False)
    ),
]


@pytest.mark.parametrize("version", FOLDERS)
def test_an_event_is_accepted_with_its_error_and_a_request_is_refused(version: str) -> None:
    told = Conversation(version)
    for answer in ANSWERS:
        told.outcomes = dict.fromkeys(("ItemPlaced", "DoorRequested"), Outcome("accepted", asset=answer))
        stored = say(told, "Item.Placed", UP["Item.Placed"][0])
        asked = say(told, "Door.Request", UP["Door.Request"][0])
        assert (stored["status"], asked["status"]) == ("Accepted", "Rejected" if answer.error else "Accepted")
        for data in (stored["data"], asked["data"]):
            assert (data.get("err"), data.get("dup", False)) == (answer.error, answer.repeated)
            assert (data.get("gid"), data.get("u")) == (answer.grant_id and str(answer.grant_id), answer.unit)
    assert say(told, "Door.Request", UP["Door.Request"][0])["data"].get("exp") is None
    assert all(len(code) <= 20 for code in DEFINITIONS["error"]["enum"])  # what a reasonCode takes


def test_a_request_that_could_not_be_stored_is_busy_and_never_granted() -> None:
    told = Conversation()
    told.outcomes["DoorRequested"] = Outcome("invalid", reason="parked")
    answer = say(told, "Door.Request", UP["Door.Request"][0])
    assert (answer["status"], answer["data"]["err"]) == ("Rejected", "Busy")


# The second that a driver at the lock waits


@pytest.mark.parametrize("version", FOLDERS)
def test_a_slow_decision_is_answered_pending_once_and_blocks_nobody(version: str) -> None:
    told = Conversation(version)
    told.stalled = True
    told.outcomes["DoorRequested"] = Outcome("accepted", asset=ANSWERS[2])
    request = {"vendorId": bodies.VENDOR, "messageId": "Door.Request", "data": UP["Door.Request"][0]}
    told.say(json.dumps([2, "m", "DataTransfer", request]))
    told.wait(PAYMENT_PENDING_S - 0.1)
    assert told.heard() == []

    told.wait(0.1)

    answer = answer_of(told)
    assert (answer["status"], answer["data"]["err"]) == ("Rejected", "PaymentPending")
    moved = {"vendorId": bodies.VENDOR, "messageId": "Door.Status", "data": UP["Door.Status"][0]}
    told.say(json.dumps([2, "n", "DataTransfer", moved]))
    told.pending.pop(1)()
    assert [frame[1] for frame in told.heard()] == ["n"]
    told.decide()
    assert told.heard() == []


def test_a_decision_in_time_is_the_only_answer() -> None:
    told = Conversation()
    told.outcomes["DoorRequested"] = Outcome("accepted", asset=ANSWERS[2])
    assert say(told, "Door.Request", UP["Door.Request"][0])["data"]["gid"] == str(GRANT)
    told.stalled = True
    told.say('[2,"next","Authorize",{"idTag":"A0A0A0A0"}]')
    told.wait(PAYMENT_PENDING_S)
    assert told.heard() == []


def test_a_social_token_at_the_lock_is_shown_to_its_issuer_and_kept_nowhere() -> None:
    told = Conversation("ocpp2.0.1")
    told.outcomes["DoorRequested"] = Outcome("accepted", asset=ANSWERS[2])
    body = UP["Door.Request"][0] | {"token": "good-token", "tokenType": "social"}
    assert say(told, "Door.Request", body)["status"] == "Accepted"
    issued, asked = told.events
    assert isinstance(issued, TokenIssued)
    assert isinstance(asked, DoorRequested)
    assert (issued.subject, asked.token) == ("sue", issued.alias)
    assert "good-token" not in repr(told.events)

    refused = say(told, "Door.Request", body | {"token": "bad-token"})
    assert (refused["status"], refused["data"]["err"]) == ("Rejected", "NotAuthorized")
    assert len(told.events) == 2


def test_an_issuer_that_is_slow_denies_nobody_twice() -> None:
    told = Conversation()
    told.stalled = True
    body = UP["Door.Request"][0] | {"token": "bad-token", "tokenType": "social"}
    request = {"vendorId": bodies.VENDOR, "messageId": "Door.Request", "data": body}
    told.say(json.dumps([2, "m", "DataTransfer", request]))
    told.wait(PAYMENT_PENDING_S)
    assert answer_of(told)["data"]["err"] == "PaymentPending"
    told.decide()
    assert (told.heard(), told.events) == ([], [])


# What is wrong with a body


def test_a_bad_fact_is_refused_each_time_and_kept_once_for_each_different_one() -> None:
    told = Conversation()
    for message in sorted(FACTS):
        for data in (UP[message][0] | {"surprise": 1}, UP[message][0] | {"id": 7}):
            for as_text in (True, False, True):
                answer = say(told, message, data, as_text=as_text)
                assert (answer["status"], answer["data"]["err"]) == ("Rejected", "BadPayload")
                assert answer["data"]["id"] == (data["id"] if isinstance(data["id"], str) else "")
    kept = {event.parked_id: event for event in told.events if isinstance(event, Unreadable)}
    assert len(kept) == 2 * len(FACTS)
    assert {event.action for event in kept.values()} == {f"{bodies.VENDOR}/{message}" for message in FACTS}


def test_a_request_is_never_kept() -> None:
    told = Conversation()
    for message in sorted(set(SERVED) - FACTS):
        answer = say(told, message, UP[message][0] | {"surprise": 1})
        assert answer["data"] == {"v": 1, "id": UP[message][0]["id"], "err": "BadPayload"}
    assert told.events == []


@pytest.mark.parametrize("version", FOLDERS)
def test_whole_numbers_are_whole_however_they_are_written(version: str) -> None:
    told = Conversation(version)
    text = json.dumps(UP["Door.Status"][0]).replace('"u": 1', '"u": 1.0e0').replace('"seq": 42', '"seq": 42.0')
    payload = '{"vendorId":"org.csms.assets","messageId":"Door.Status","data":%s}'
    for data in (text, json.dumps(text)):
        told.say('[2,"m","DataTransfer",' + payload % data + "]")
        assert answer_of(told)["status"] == "Accepted"
    for event in told.events:
        assert isinstance(event, DoorMoved)
        assert [type(event.unit), type(event.seq)] == [int, int]


@pytest.mark.parametrize(("doors", "status"), [(150, "Accepted"), (256, "Rejected"), (2_000, "Rejected")])
def test_a_snapshot_may_be_longer_than_other_messages(doors: int, status: str) -> None:
    units = [{"u": u, "door": "closed", "has": True, "item": f"PORTABLE-CHARGER-{u:04d}"} for u in range(1, doors + 1)]
    for version in FOLDERS:
        snapshot = UP["Unit.Snapshot"][0] | {"units": units}
        if len(json.dumps(snapshot)) < 60_000:
            assert say(Conversation(version), "Unit.Snapshot", snapshot)["status"] == status
    told = Conversation()
    answer = say(told, "Door.Status", UP["Door.Status"][0] | {"err": "x" * bodies.DATA_BYTES_MAX})
    assert answer["data"] == {"v": 1, "id": "ev-00000042", "err": "BadPayload"}


def test_a_unit_is_told_of_once() -> None:
    twice = UP["Unit.Snapshot"][0]["units"][:1] * 2
    assert say(Conversation(), "Unit.Snapshot", UP["Unit.Snapshot"][0] | {"units": twice})["status"] == "Rejected"
    contrary = [{"u": 1, "door": "closed", "has": False, "item": "PC-0042"}]
    assert say(Conversation(), "Unit.Snapshot", UP["Unit.Snapshot"][0] | {"units": contrary})["status"] == "Rejected"


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ODD = (
    st.sampled_from(
        [None, True, 0, -1, 1.5, 2.0, 1e300, 10**30, 10**400, 2**63, "", "\0", "\ud800", "ü" * 60, "x" * 3_000, [], {}]
    )
    | st.integers(15, 900).map(_nested)
    | st.text(max_size=40)
)


@pytest.mark.parametrize("version", FOLDERS)
def test_no_body_breaks_a_conversation_and_every_one_is_answered(version: str) -> None:
    @given(st.sampled_from(EXAMPLES), st.data(), st.booleans())
    @settings(max_examples=300, deadline=None)
    def holds(example: tuple[str, Any], data: Any, as_text: bool) -> None:
        message, body = example[0], dict(example[1])
        for _ in range(data.draw(st.integers(1, 3))):
            field = data.draw(st.sampled_from([*body, "surprise"]))
            if data.draw(st.booleans()):
                body[field] = data.draw(ODD)
            else:
                body.pop(field, None)
        text = json.dumps(body)
        if data.draw(st.booleans()):
            text = text[: data.draw(st.integers(0, len(text)))]
            as_text = True
        told = Conversation(version)
        payload = {"vendorId": bodies.VENDOR, "messageId": message, "data": text if as_text else body}
        told.say(json.dumps([2, "m", "DataTransfer", payload]))
        (frame,) = told.heard()
        assert frame[1] == "m"
        if frame[0] == 3 and "data" in frame[2]:
            told.sent.append(json.dumps(frame).encode())
            answered = answer_of(told)["data"]
            if text == json.dumps(body) and _is_id(body.get("id")):
                assert answered["id"] == body["id"]
        for event in told.events:
            assert isinstance(event, Unreadable | TokenIssued) or all(
                type(getattr(event, field.name)) is not float for field in fields(event)
            )
            assert "\0" not in "".join(str(getattr(event, field.name)) for field in fields(event))
        told.say('[2,"end","Heartbeat",{}]')
        assert told.heard()[0][:2] == [3, "end"]
        assert told.closed is None

    holds()


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and bool(bodies.validator("id").is_valid(value))


def test_every_text_of_the_protocol_is_one_that_can_be_stored() -> None:
    def texts(node: Any) -> list[Any]:
        if isinstance(node, list):
            return [found for inner in node for found in texts(inner)]
        if not isinstance(node, dict):
            return []
        mine = [node] if node.get("type") == "string" else []
        return mine + [found for name, inner in node.items() if name != "examples" for found in texts(inner)]

    found = texts(DEFINITIONS)
    assert len(found) > 10
    assert [node for node in found if "pattern" not in node] == []
