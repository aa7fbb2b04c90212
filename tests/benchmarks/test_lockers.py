"""The load of cabinets: what it says is by our protocol, it understands every answer, and the system can serve it."""

from __future__ import annotations

import json

import pytest
from ocpp.messages import Call, validate_payload

from csms.ocpp.vendor import bodies
from tests.benchmarks import frames, locker_frames, lockers
from tests.benchmarks.test_load import payload_of

AT = b"2026-11-20T15:04:05.123Z"
GID = b"01991f00-0000-7000-8000-000000000001"


def calls_of(version: str) -> dict[str, bytes]:
    speech = locker_frames.SPEECHES[version](frames.token_text(7), "5f0e1a2b", 7)
    item = locker_frames.item_code(7, 1)
    said = {
        "Hello": speech.hello(1, AT),
        "Unit.Snapshot": speech.snapshot(2, AT, [item, None, *[None] * 10], 41),
        "Door.Request": speech.request(3, AT, 3, "take", speech.token),
        "Door.Status": speech.door(4, AT, 42, 12, GID, "open", True),
        "Item.Taken": speech.moved(5, AT, 43, 1, GID, "Item.Taken", item),
    }
    return said | {"Item.Placed": speech.moved(6, AT, 44, 1, GID, "Item.Placed", item)}


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_every_prepared_report_is_valid_by_both_protocols(version: str) -> None:
    for message, frame in calls_of(version).items():
        _, message_id, action, payload = json.loads(payload_of(frame))
        await validate_payload(Call(message_id, action, payload), version)
        assert payload["messageId"] == message
        body = bodies.read(message, payload["data"])
        assert body.get("gid") in (None, GID.decode())
        assert isinstance(payload["data"], str) is (version == "1.6")


@pytest.mark.parametrize("as_text", [True, False])
def test_a_grant_is_found_in_the_answer_of_every_version(as_text: bool) -> None:
    data = {"v": 1, "id": "req-0001", "gid": GID.decode(), "u": 12, "exp": AT.decode()}
    answer = json.dumps([3, "1", {"status": "Accepted", "data": json.dumps(data) if as_text else data}]).encode()
    assert locker_frames.granted(answer) == (GID, 12)
    assert locker_frames.granted(answer.replace(b"Accepted", b"Rejected")) is None


def test_drivers_take_and_return_over_sockets_beside_others_who_charge_and_the_books_are_clean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lockers, "STATIONS", 2)
    points = lockers.measure([lockers.Point("a few", 6, 0.0, 1.0, charging=True)], seconds=1.0)
    lending, charging = points[0].results
    assert lending.sessions_total > 0
    assert charging.sessions_total > 0
    assert "Door.Request" in lockers.lines(points)
    json.dumps(lockers.as_json(points))
