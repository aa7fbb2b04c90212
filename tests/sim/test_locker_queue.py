"""A locker's events: none is lost, none comes twice, and copies of commands open nothing twice, on every version."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.memory import QUEUE_LENGTH_MAX, Memory
from charge_points_sim.faults import Faults
from charge_points_sim.times import epoch
from tests.sim.cabinet import AT, Scene

VERSIONS = pytest.mark.parametrize("version", DEVICES)


def visit(scene: Scene, u: int = 2) -> None:
    """Somebody breaks a door open, takes what is inside, and closes it: three events."""
    scene.locker.force(u)
    scene.locker.take(u)
    scene.locker.close(u)


@VERSIONS
@pytest.mark.parametrize("fate", ["busy", "error", "silence"])
def test_an_event_is_dropped_only_when_it_is_accepted(version: str, fate: str) -> None:
    scene = Scene(version)
    scene.central.fate = lambda message, body: fate  # type: ignore[assignment,return-value]
    visit(scene)
    scene.talk()
    for _ in range(3):
        scene.station.line.overdue()
        scene.locker.tick()
        scene.talk()
    assert len(scene.locker.memory.queue) == 3
    tried = {body["id"] for _, body in scene.central.heard if "seq" in body}
    assert len(tried) == 1
    scene.central.fate = lambda message, body: "accepted"
    scene.station.line.overdue()
    scene.locker.tick()
    scene.talk()
    assert scene.locker.outbox.idle
    assert [body["seq"] for body in scene.central.told()] == [1, 2, 3]


@VERSIONS
def test_an_event_that_is_refused_is_kept_aside_and_the_next_goes_on(version: str) -> None:
    scene = Scene(version)
    scene.central.fate = lambda message, body: "rejected" if body.get("seq") == 2 else "accepted"
    visit(scene)
    scene.talk()
    assert [body["seq"] for body in scene.central.told()] == [1, 3]
    scene.locker.lose_power()
    assert [event.body["seq"] for event in scene.locker.memory.aside] == [2]


@VERSIONS
def test_what_happened_offline_follows_hello_and_the_snapshot_in_order(version: str) -> None:
    scene = Scene(version)
    scene.station.line.disconnected()
    visit(scene)
    scene.at += 600
    scene.central.heard.clear()
    scene.reconnect()
    assert [message for message, _ in scene.central.heard] == [
        "Hello",
        "Unit.Snapshot",
        "Door.Status",
        "Item.Taken",
        "Door.Status",
    ]
    assert [(body["seq"], body["off"], epoch(body["ts"])) for body in scene.central.told()] == [
        (n, True, AT) for n in (1, 2, 3)
    ]
    times = [body["ts"] for body in scene.central.told()]
    assert times == sorted(set(times))
    snapshot = scene.central.heard[1][1]
    assert (snapshot["last"], snapshot["units"][1]["has"]) == (3, False)


@VERSIONS
def test_the_queue_and_its_numbers_survive_a_restart(version: str) -> None:
    scene = Scene(version)
    scene.station.line.disconnected()
    visit(scene)
    ids = [event.body["id"] for event in scene.locker.memory.queue]
    scene.locker.lose_power()
    scene.reconnect()
    visit(scene, 1)
    scene.talk()
    assert [body["seq"] for body in scene.central.told()] == [1, 2, 3, 4, 5, 6]
    assert [body["id"] for body in scene.central.told()][:3] == ids
    boots = [call for action, call in scene.central.calls if action == "BootNotification"]
    assert len(boots) == 2


@VERSIONS
def test_an_event_whose_answer_was_lost_comes_again_as_the_same(version: str) -> None:
    scene = Scene(version, faults=Faults(lose=0.5, random=Random(3)))
    visit(scene)
    scene.talk()
    assert scene.locker.outbox.idle
    assert [body["seq"] for body in scene.central.told()] == [1, 2, 3]
    assert len([body for _, body in scene.central.heard if "seq" in body]) > 3


@VERSIONS
def test_late_and_doubled_events_all_arrive(version: str) -> None:
    scene = Scene(version, faults=Faults(repeat=2, reorder=0.6, random=Random(2)))
    scene.station.line.disconnected()
    visit(scene)
    visit(scene, 1)
    scene.reconnect()
    assert [body["seq"] for body in scene.central.told()] == [1, 2, 3, 4, 5, 6]
    assert list(scene.central.events) != [body["id"] for body in scene.central.told()]
    assert scene.locker.outbox.idle


def test_ten_thousand_events_wait_and_a_full_queue_leaves_a_gap_to_see() -> None:
    memory = Memory(AT)
    for _ in range(QUEUE_LENGTH_MAX + 5):
        memory.keep(memory.event("Door.Status", AT, {"u": 1, "door": "closed"}, True))
    assert QUEUE_LENGTH_MAX >= 10_000
    assert (len(memory.queue), memory.lost, memory.seq) == (QUEUE_LENGTH_MAX, 5, QUEUE_LENGTH_MAX + 5)
    assert Memory.load(memory.dump()) == memory


sendings = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([0, 1, 9, 20]), st.booleans()), max_size=30
)
"""(number of the command, door, seconds that pass before it comes again, whether the power fails then)."""


@VERSIONS
@given(sendings)
@settings(max_examples=40, deadline=None)
def test_in_any_order_of_copies_a_grant_opens_one_door_once_and_in_time(
    version: str, sent: list[tuple[int, int, int, bool]]
) -> None:
    scene = Scene(version)
    bodies = {n: scene.central.opening(n, n, "inspect") for n in range(1, 5)}
    for number, other, seconds, dark in sent:
        scene.at += seconds
        if dark:
            scene.locker.lose_power()
            scene.station.line.disconnected()
            scene.reconnect()
        scene.send(bodies[number])
        scene.send({**bodies[number], "id": f"again-{number}-{other}", "u": other})
        for u, door in scene.locker.doors.items():
            if door.open:
                scene.locker.close(u)
    scene.talk()
    grants = [grant for _, grant, _ in scene.locker.unlocked]
    assert len(set(grants)) == len(grants)
    assert all(at < AT + 15 for _, _, at in scene.locker.unlocked)
    assert [body["seq"] for body in scene.central.told()] == list(range(1, scene.locker.memory.seq + 1))


acts = st.lists(
    st.tuples(
        st.sampled_from(["open", "take", "place", "close", "force", "jam", "cut", "dark", "talk", "lose"]),
        st.integers(1, 4),
    ),
    max_size=40,
)


@VERSIONS
@given(acts)
@settings(max_examples=40, deadline=None)
def test_whatever_people_do_the_accepted_events_tell_what_is_behind_each_door(
    version: str, done: list[tuple[str, int]]
) -> None:
    scene = Scene(version)
    locker, line = scene.locker, scene.station.line
    hands: list[str] = []
    for number, (act, u) in enumerate(done, start=1):
        door = locker.doors[u]
        scene.at += 1
        match act:
            case "open" if line.online:
                scene.open(number, u, "inspect")
            case "take" if door.open and door.item is not None:
                hands.append(locker.take(u))
            case "place" if door.open and door.item is None and hands:
                locker.place(u, hands.pop())
            case "close" if door.open:
                locker.close(u)
            case "force" if not door.open:
                locker.force(u)
            case "jam":
                locker.jam(u, None if door.jam else "noticed")
            case "cut":
                line.disconnected()
            case "dark":
                locker.lose_power()
                line.disconnected()
            case "talk":
                if not line.online:
                    line.connected()
                scene.talk()
            case "lose":
                line.faults = Faults(lose=0.5, random=Random(number))
    if not line.online:
        line.connected()
    scene.talk()
    behind: dict[int, str | None] = {1: "PC-1", 2: "PC-2", 3: None, 4: None}
    for message, body in sorted(scene.central.events.values(), key=lambda event: int(event[1]["seq"])):
        if message.startswith("Item."):
            behind[body["u"]] = body["item"] if message == "Item.Placed" else None
        else:
            assert body["has"] == (behind[body["u"]] is not None)
    assert behind == {u: door.item for u, door in locker.doors.items()}
    assert [body["seq"] for body in scene.central.told()] == list(range(1, locker.memory.seq + 1))
    assert locker.outbox.idle
