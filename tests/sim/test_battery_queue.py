"""What a battery station tells after it was away: in order, once, and going on where the power failed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.pack import Pack
from charge_points_sim.faults import Faults
from tests.sim.swapping import Step, Visit, pack

VERSIONS = pytest.mark.parametrize("version", DEVICES)


@VERSIONS
def test_what_happened_offline_is_told_in_order_and_before_the_snapshot_where_it_has_no_time(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    visit.order("Battery.Release", rid=rid, u=[1])
    visit.station.line.disconnected()
    visit.place.take(1)
    other = visit.place.insert(pack("OTHER", 3_000))
    visit.at += 600
    visit.central.heard.clear()
    visit.reconnect()
    native = version == "2.1"
    assert [message for message, _ in visit.central.heard] == (
        ["Hello", "BatterySwap", "BatterySwap", "Unit.Snapshot"]
        if native
        else ["Hello", "Unit.Snapshot", "Battery.Released", "Battery.Inserted"]
    )
    assert [(step.what, step.rid) for step in visit.steps()] == [("in", rid), ("out", rid), ("in", other)]
    if not native:
        assert [body["off"] for body in visit.central.told("Battery.Released", "Battery.Inserted")] == [
            False,
            True,
            True,
        ]


@VERSIONS
@pytest.mark.parametrize("fate", ["error", "silence"])
def test_a_step_that_is_not_answered_is_told_again_and_nothing_overtakes_it(version: str, fate: str) -> None:
    visit = Visit(version)
    visit.central.fate = lambda message, body: fate  # type: ignore[assignment,return-value]
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    visit.place.tick()
    visit.station.line.overdue()
    visit.talk()
    assert not visit.steps() and not visit.place.outbox.idle
    visit.central.fate = lambda message, body: "accepted"
    visit.station.line.disconnected()
    visit.reconnect()
    assert [(step.what, step.rid) for step in visit.steps()] == [("in", rid)]
    assert visit.place.outbox.idle


@VERSIONS
def test_a_power_cut_while_a_pack_waits_to_be_taken_changes_nothing_in_the_end(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    visit.order("Battery.Release", rid=rid, u=[1, 2])
    visit.place.take(1)
    visit.place.lose_power()
    visit.station.line.disconnected()
    assert visit.place.offered() == []
    visit.at += 20
    visit.reconnect()
    assert visit.place.offered(rid) == [2]
    visit.place.take(2)
    visit.talk()
    assert [(step.what, step.rid, [u for u, *_ in step.packs]) for step in visit.steps()] == [
        ("in", rid, [3]),
        ("out", rid, [1, 2]),
    ]
    assert visit.place.insert(pack("NEXT")) == rid + 1


@VERSIONS
def test_a_power_cut_that_outlasts_the_offer_is_told_as_not_taken(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    visit.order("Battery.Release", rid=rid, u=[1])
    visit.place.lose_power()
    visit.station.line.disconnected()
    visit.pass_time(600)
    visit.reconnect()
    visit.pass_time(1)
    assert [(step.what, step.rid) for step in visit.steps()] == [("in", rid), ("timeout", rid)]
    assert visit.place.slots[1].pack is not None


@VERSIONS
def test_a_power_cut_before_the_insertion_was_told_tells_it_later(version: str) -> None:
    visit = Visit(version)
    asked = visit.place.ask(2, token="04AA")
    visit.place.put(asked.units[0], pack("M-1"))
    visit.place.lose_power()
    visit.station.line.disconnected()
    visit.reconnect()
    assert visit.place.put(asked.units[1], pack("M-2"))
    visit.talk()
    assert visit.steps() == [Step("in", asked.rid, [(3, "M-1", 2_000), (4, "M-2", 2_000)], "04AA")]


@VERSIONS
def test_lost_and_doubled_frames_tell_each_step_once_and_in_order(version: str) -> None:
    visit = Visit(version, faults=Faults(repeat=2, lose=0.4, reorder=0.5, random=Random(4)))
    rids = []
    for number in range(4):
        rid = visit.place.insert(pack(f"M-{number}"))
        visit.talk()
        (u, *_) = visit.place.full
        assert visit.order("Battery.Release", rid=rid, u=[u]) is None
        visit.place.take(u)
        visit.pass_time(90)
        rids.append(rid)
    visit.pass_time(1)
    steps = visit.steps()
    if version != "2.1":
        order = {body["id"]: body["seq"] for body in visit.central.told()}
        assert sorted(order.values()) == [*range(1, visit.place.memory.seq + 1)]
        steps = sorted(steps, key=lambda step: (step.rid, step.what == "out"))
    assert [(step.what, step.rid) for step in steps] == [(what, rid) for rid in rids for what in ("in", "out")]


acts = st.lists(
    st.tuples(
        st.sampled_from(["insert", "release", "take", "wait", "cut", "dark", "talk", "again"]), st.integers(1, 4)
    ),
    max_size=40,
)


@VERSIONS
@given(acts)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_the_steps_tell_where_every_pack_is(version: str, done: list[tuple[str, int]]) -> None:
    visit = Visit(version)
    place, line = visit.place, visit.station.line
    hands: list[Pack] = [pack(f"M-{n}") for n in range(6)]
    rid, sent = 0, []
    for act, u in done:
        match act:
            case "insert" if hands and place.ask(1).err is None:
                (waiting,) = place.standing("return")
                assert place.put(waiting, hands.pop(0))
                rid = place.swaps.rid
            case "release" if line.online:
                body = visit.body(rid=rid or 2**30, u=[u])
                sent.append(body)
                visit.send("Battery.Release", body)
            case "again" if line.online and sent:
                visit.send("Battery.Release", sent[u % len(sent)])
            case "take" if u in place.offered():
                hands.append(place.take(u))
            case "wait":
                visit.pass_time(20 * u)
            case "cut":
                line.disconnected()
            case "dark":
                place.lose_power()
                line.disconnected()
            case "talk":
                if not line.online:
                    line.connected()
                visit.talk()
    if not line.online:
        line.connected()
    visit.talk()
    visit.pass_time(60)
    inside: dict[int, str] = {1: "B-1", 2: "B-2"}
    steps = visit.steps()
    for step in steps:
        for slot, serial, _ in step.packs:
            if step.what == "in":
                assert slot not in inside
                inside[slot] = serial
            elif step.what == "out":
                assert inside.pop(slot) == serial
            else:
                assert inside[slot] == serial
    assert inside == {u: slot.pack.serial for u, slot in place.slots.items() if slot.pack}
    assert len({id for _, id, _ in place.unlocked}) == len(place.unlocked)
    assert place.outbox.idle
