"""A locker without I/O: when it opens a door, and what it makes of what people do, on every version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.cabinet import Outcome
from charge_points_sim.devices.judging import Rules
from charge_points_sim.devices.memory import ANSWERS_KEPT_MAX
from charge_points_sim.line import CallFailed
from charge_points_sim.times import wire
from tests.sim.cabinet import AT, Scene
from tests.sim.central import gid

VERSIONS = pytest.mark.parametrize("version", DEVICES)


@VERSIONS
def test_a_visit_is_told_in_order_with_its_grant(version: str) -> None:
    scene = Scene(version)
    status, answer = scene.open(1, 1, item="PC-1")
    assert (status, answer) == ("Accepted", {"v": 1, "id": "open-000001", "gid": gid(1), "u": 1})
    assert scene.locker.take(1) == "PC-1"
    scene.locker.close(1)
    scene.talk()
    told = [(m, b["u"], b.get("door", b.get("item")), b["gid"], b["seq"]) for m, b in scene.central.events.values()]
    assert told == [
        ("Door.Status", 1, "open", gid(1), 1),
        ("Item.Taken", 1, "PC-1", gid(1), 2),
        ("Door.Status", 1, "closed", gid(1), 3),
    ]
    assert [body["has"] for body in scene.central.told("Door.Status")] == [True, False]
    assert scene.locker.outbox.idle


@VERSIONS
@pytest.mark.parametrize("late_s", [15, 16, 3600])
def test_it_never_acts_after_the_expiry(version: str, late_s: int) -> None:
    scene = Scene(version)
    body = scene.central.opening(1, 1)
    scene.at += late_s
    assert scene.send(body)[1]["err"] == "GrantExpired"
    assert not scene.locker.unlocked and not scene.locker.doors[1].open


@VERSIONS
def test_without_the_rule_of_expiry_a_door_opens_late(version: str) -> None:
    scene = Scene(version, Rules(expiry=False))
    body = scene.central.opening(1, 1)
    scene.at += 3600
    assert scene.send(body)[0] == "Accepted"
    assert scene.locker.unlocked == [(1, gid(1), AT + 3600)]


@VERSIONS
def test_a_repeated_command_gets_its_stored_answer_and_opens_nothing(version: str) -> None:
    scene = Scene(version)
    body = scene.central.opening(1, 1)
    first = scene.send(body)
    scene.locker.close(1)
    assert scene.send(body) == (first[0], first[1] | {"dup": True})
    assert len(scene.locker.unlocked) == 1


@VERSIONS
def test_it_never_acts_twice_on_a_grant_whatever_the_command_is_called(version: str) -> None:
    scene = Scene(version)
    scene.open(1, 1)
    scene.locker.close(1)
    assert scene.err(1, 1, id="another-command") == "GrantUsed"
    assert scene.err(1, 2, id="another-door-of-it") == "GrantUsed"
    assert len(scene.locker.unlocked) == 1


@VERSIONS
def test_without_the_rule_of_once_a_door_opens_twice(version: str) -> None:
    scene = Scene(version, Rules(once=False))
    for _ in range(2):
        assert scene.open(1, 1)[0] == "Accepted"
        scene.locker.close(1)
    assert [opened[1] for opened in scene.locker.unlocked] == [gid(1), gid(1)]


@VERSIONS
def test_a_refusal_is_repeated_too_even_when_it_would_be_accepted_now(version: str) -> None:
    scene = Scene(version)
    scene.locker.jam(1)
    body = scene.central.opening(1, 1)
    assert scene.send(body)[1]["err"] == "DoorJammed"
    scene.locker.jam(1, None)
    assert scene.send(body)[1] == {"v": 1, "id": body["id"], "gid": gid(1), "u": 1, "err": "DoorJammed", "dup": True}
    assert not scene.locker.unlocked


@VERSIONS
def test_what_it_did_is_remembered_through_a_power_cut(version: str) -> None:
    scene = Scene(version)
    body = scene.central.opening(1, 1)
    scene.send(body)
    scene.locker.close(1)
    scene.locker.lose_power()
    scene.station.line.disconnected()
    scene.reconnect()
    assert scene.send(body)[1]["dup"] is True
    assert scene.err(1, 1, id="another-command") == "GrantUsed"
    assert len(scene.locker.unlocked) == 1


@VERSIONS
def test_the_last_256_answers_are_kept_for_a_day(version: str) -> None:
    scene = Scene(version, Rules(expiry=False))
    for number in range(1, ANSWERS_KEPT_MAX + 2):
        scene.open(number, 9)
    assert "dup" not in scene.open(1, 9)[1]
    body = scene.central.opening(ANSWERS_KEPT_MAX, 9)
    assert scene.send(body)[1]["dup"] is True
    scene.at += 24 * 3600
    assert "dup" not in scene.send(body)[1]


@VERSIONS
@pytest.mark.parametrize("error_s", [6, -6, 86_400, -86_400])
def test_a_clock_that_is_off_by_more_than_five_seconds_opens_nothing(version: str, error_s: int) -> None:
    scene = Scene(version)
    scene.locker.clock_error_s = error_s
    scene.station.beat()
    scene.talk()
    assert scene.err(1, 1) == "GrantExpired"
    assert not scene.locker.unlocked
    scene.locker.clock_error_s = 5 if error_s > 0 else -5
    scene.station.beat()
    scene.talk()
    assert scene.err(2, 1) is None


@VERSIONS
@pytest.mark.parametrize("error_s", [6, -6, -60])
def test_a_clock_that_is_off_opens_nothing_even_before_it_is_told_the_time(version: str, error_s: int) -> None:
    scene = Scene(version)
    scene.locker.clock_error_s = error_s
    assert scene.err(1, 1) == "GrantExpired"
    body = scene.central.opening(2, 2)
    scene.at += 20
    assert scene.send(body)[1]["err"] == "GrantExpired"
    assert not scene.locker.unlocked


@VERSIONS
def test_a_door_that_cannot_serve_says_why(version: str) -> None:
    scene = Scene(version)
    assert scene.err(1, 9) == "UnknownUnit"
    assert scene.err(2, 3) == "UnitEmpty"
    assert scene.err(3, 1, "return") == "UnitOccupied"
    assert scene.err(4, 1, item="PC-2") == "ItemMismatch"
    assert scene.err(5, 1) is None
    assert scene.err(6, 1) == "DoorAlreadyOpen"
    inoperative = {"type": "Inoperative"} if version == "1.6" else {"operationalStatus": "Inoperative"}
    door = {"connectorId": 2} if version == "1.6" else {"evse": {"id": 2}}
    scene.station.line.receive(json.dumps([2, "s1", "ChangeAvailability", {**door, **inoperative}]))
    scene.talk()
    assert scene.err(7, 2) == "UnitFaulted"
    assert scene.send({**scene.central.opening(8, 2), "v": 2})[1]["err"] == "BadVersion"
    assert scene.send({**scene.central.opening(9, 2), "why": "fun"})[1]["err"] == "BadPayload"
    assert scene.send({**scene.central.opening(10, 2), "exp": "soon"})[1]["err"] == "BadPayload"
    assert len(scene.locker.unlocked) == 1


@VERSIONS
def test_a_noticed_jam_is_refused_and_reported_and_a_silent_one_is_not(version: str) -> None:
    scene = Scene(version)
    scene.locker.jam(1)
    scene.locker.jam(2, "silent")
    assert scene.err(1, 1) == "DoorJammed"
    (told,) = scene.central.told()
    assert (told["door"], told["err"], told["gid"]) == ("jammed", "DoorJammed", gid(1))
    _, shown = next(call for call in reversed(scene.central.calls) if call[0] == "StatusNotification")
    assert "Faulted" in (shown.get("status"), shown.get("connectorStatus"))
    if version == "1.6":
        assert (shown["errorCode"], shown["vendorErrorCode"]) == ("ConnectorLockFailure", "DoorJammed")
    assert scene.open(2, 2)[0] == "Accepted"
    assert len(scene.central.told()) == 1
    assert not scene.locker.doors[2].open


@VERSIONS
def test_a_door_that_must_be_pulled_locks_again_after_its_hold(version: str) -> None:
    scene = Scene(version)
    scene.locker.doors[1].springs = scene.locker.doors[2].springs = False
    scene.open(1, 1, hold=30)
    scene.open(2, 2)
    assert not scene.locker.doors[1].open
    scene.at += 29
    assert not scene.locker.pull(2)
    assert scene.locker.pull(1)
    scene.talk()
    assert [(body["u"], body["gid"]) for body in scene.central.told()] == [(1, gid(1))]


def grant(scene: Scene, number: int = 7, u: int = 2, seconds: int = 15) -> dict[str, Any]:
    return {"gid": gid(number), "u": u, "exp": wire(scene.at + seconds)}


@VERSIONS
def test_a_token_at_the_lock_opens_the_door_it_is_granted(version: str) -> None:
    scene = Scene(version)
    scene.central.grants = lambda body: grant(scene)
    assert scene.present("04AA", "take", nonce="b7f1") == [Outcome(2, None)]
    assert scene.central.told("Door.Status")[0]["gid"] == gid(7)
    assert scene.locker.asked is not None and "seq" not in scene.locker.asked.body


@VERSIONS
@pytest.mark.parametrize("err", ["NotAuthorized", "NoCredit", "PaymentPending"])
def test_a_token_that_is_refused_opens_nothing(version: str, err: str) -> None:
    scene = Scene(version)
    scene.central.grants = lambda body: {"err": err}
    assert scene.present("04AA", "take", u=1) == [Outcome(None, err)]
    assert not scene.locker.unlocked


@VERSIONS
def test_a_lost_answer_is_asked_for_with_the_same_id_and_opens_once(version: str) -> None:
    scene = Scene(version)
    scene.central.grants = lambda body: grant(scene)
    scene.central.fate = lambda message, body: "error"
    (first,) = scene.present("04AA", "take")
    assert isinstance(first, CallFailed)
    scene.central.fate = lambda message, body: "accepted"
    for _ in range(2):
        scene.locker.insist(lambda outcome: None)
        scene.talk()
    assert len({body["id"] for message, body in scene.central.heard if message == "Door.Request"}) == 1
    assert len(scene.locker.unlocked) == 1


@VERSIONS
def test_a_grant_that_expired_on_its_way_opens_nothing(version: str) -> None:
    scene = Scene(version)
    scene.central.grants = lambda body: grant(scene, seconds=0)
    assert scene.present("04AA", "take") == [Outcome(None, "GrantExpired")]


@VERSIONS
def test_a_granted_door_that_jams_is_told_with_the_grant(version: str) -> None:
    scene = Scene(version)
    scene.locker.jam(2)
    scene.central.grants = lambda body: grant(scene)
    assert scene.present("04AA", "take") == [Outcome(None, "DoorJammed")]
    (told,) = scene.central.told()
    assert (told["door"], told["gid"], told["err"]) == ("jammed", gid(7), "DoorJammed")


@VERSIONS
def test_a_snapshot_says_what_is_where(version: str) -> None:
    scene = Scene(version)
    scene.locker.force(4)
    scene.open(1, 1)
    scene.locker.take(1)
    scene.talk()
    now = wire(scene.at)
    assert scene.send({"v": 1, "id": "report-01", "ts": now, "exp": wire(scene.at + 15)}, "Unit.Report")[0] == (
        "Accepted"
    )
    message, body = scene.central.heard[-1]
    assert message == "Unit.Snapshot"
    assert body["units"] == [
        {"u": 1, "door": "open", "has": False},
        {"u": 2, "door": "closed", "has": True, "item": "PC-2"},
        {"u": 3, "door": "closed", "has": False},
        {"u": 4, "door": "forced", "has": False},
    ]
    assert body["last"] == scene.locker.memory.seq == 3


@VERSIONS
def test_a_forced_door_has_no_grant(version: str) -> None:
    scene = Scene(version)
    scene.locker.force(2)
    scene.locker.take(2)
    scene.locker.close(2)
    scene.talk()
    assert [(body.get("door"), "gid" in body) for body in scene.central.told()] == [
        ("forced", False),
        (None, False),
        ("closed", False),
    ]


@VERSIONS
def test_a_blind_sensor_reports_nothing_taken_and_still_believes_the_item_is_there(version: str) -> None:
    scene = Scene(version)
    scene.locker.doors[1].blind = True
    scene.open(1, 1)
    scene.locker.take(1)
    scene.locker.close(1)
    scene.talk()
    assert not scene.central.told("Item.Taken")
    assert [body["has"] for body in scene.central.told("Door.Status")] == [True, True]


@VERSIONS
def test_a_wrong_item_is_reported_with_the_code_that_was_read(version: str) -> None:
    scene = Scene(version)
    scene.open(1, 3, "return", item="PC-9")
    scene.locker.place(3, "BRICK-1", flags=["mismatch"])
    scene.locker.close(3)
    scene.talk()
    (placed,) = scene.central.told("Item.Placed")
    assert (placed["item"], placed["flags"], placed["gid"]) == ("BRICK-1", ["mismatch"], gid(1))


@VERSIONS
def test_a_door_left_open_is_ajar_once(version: str) -> None:
    scene = Scene(version)
    scene.open(1, 1)
    for _ in range(3):
        scene.at += 31
        scene.locker.tick()
    scene.talk()
    assert [body["door"] for body in scene.central.told()] == ["open", "ajar"]


@VERSIONS
def test_each_door_shows_its_status(version: str) -> None:
    scene = Scene(version)
    word = "status" if version == "1.6" else "connectorStatus"
    door = "connectorId" if version == "1.6" else "evseId"
    shown = {call[door]: call[word] for action, call in scene.central.calls if action == "StatusNotification"}
    full = "Preparing" if version == "1.6" else "Occupied"
    assert shown == {1: full, 2: full, 3: "Available", 4: "Available"}
