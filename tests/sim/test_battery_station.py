"""A battery station without I/O: what people see and the system hears of a swap is the same on every version."""

from __future__ import annotations

from random import Random

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.judging import Rules
from charge_points_sim.devices.swaps import RID_END, Swaps
from charge_points_sim.faults import Faults
from tests.sim.central import gid
from tests.sim.swapping import Step, Visit, pack

VERSIONS = pytest.mark.parametrize("version", DEVICES)
RID = 2**30 + 1


@VERSIONS
def test_a_local_swap_is_told_by_the_stations_own_number(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("MINE", 2_000), token="04AABBCC")
    visit.talk()
    assert visit.place.offered() == []
    assert visit.order("Battery.Release", rid=rid, u=[2]) is None
    assert visit.place.offered(rid) == [2]
    assert visit.place.take(2).serial == "B-2"
    visit.talk()
    assert visit.steps() == [
        Step("in", rid, [(3, "MINE", 2_000)], "04AABBCC"),
        Step("out", rid, [(2, "B-2", 9_900)], "04AABBCC"),
    ]
    assert 0 < rid < RID_END
    assert visit.place.outbox.idle


@VERSIONS
def test_the_pack_alone_says_whose_it_is(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    assert visit.steps() == [Step("in", rid, [(3, "MINE", 2_000)], None)]
    assert ("BatterySwap" in [action for action, _ in visit.central.calls]) == (version == "2.1")


@VERSIONS
def test_two_packs_go_in_together_and_two_come_out_together(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("M-1"), pack("M-2"))
    visit.talk()
    assert visit.order("Battery.Release", rid=rid, u=[1, 2]) is None
    for u in (1, 2):
        visit.place.take(u)
        visit.talk()
    assert [(step.what, [u for u, *_ in step.packs]) for step in visit.steps()] == [("in", [3, 4]), ("out", [1, 2])]


@VERSIONS
def test_what_is_not_taken_in_time_is_locked_again_and_told(version: str) -> None:
    visit = Visit(version)
    rid = visit.place.insert(pack("M-1"), pack("M-2"))
    visit.order("Battery.Release", rid=rid, u=[1, 2])
    visit.place.take(1)
    visit.pass_time(59)
    assert visit.place.offered() == [2]
    visit.pass_time(1)
    assert visit.place.offered() == []
    assert [(step.what, [u for u, *_ in step.packs]) for step in visit.steps()] == [
        ("in", [3, 4]),
        ("out", [1]),
        ("timeout", [2]),
    ]
    with pytest.raises(AssertionError, match="locked"):
        visit.place.take(2)
    assert visit.order("Battery.Release", rid=rid, u=[2]) is None
    assert visit.place.take(2).serial == "B-2"


@VERSIONS
def test_a_pack_that_is_not_accepted_is_given_back_from_the_same_slot(version: str) -> None:
    visit = Visit(version)
    foreign = pack("FOREIGN")
    rid = visit.place.insert(foreign)
    visit.talk()
    assert visit.order("Battery.Return", rid=rid, u=[3], err="BatteryUnknown") is None
    assert visit.place.offered(rid) == [3]
    assert visit.place.take(3) is foreign
    visit.talk()
    assert [(step.what, step.rid) for step in visit.steps()] == [("in", rid), ("out", rid)]
    again = visit.place.insert(foreign)
    visit.order("Battery.Return", rid=again, u=[3], err="BatteryUnknown")
    visit.pass_time(60)
    assert [(step.what, step.rid) for step in visit.steps()][2:] == [("in", again), ("timeout", again)]
    assert visit.place.slots[3].pack is foreign


@VERSIONS
def test_a_swap_that_the_system_begins_waits_for_packs_in_the_slots_it_names(version: str) -> None:
    visit = Visit(version)
    body = visit.body(rid=RID, token="0011AA22", n=1, **{"in": [4], "out": [1]})
    assert visit.send("Swap.Start", body) == ("Accepted", {"v": 1, "id": body["id"], "rid": RID})
    assert visit.place.standing("return") == [4]
    assert not visit.place.put(3, pack("MINE"))
    assert visit.place.put(4, pack("MINE"))
    visit.talk()
    assert visit.steps() == [Step("in", RID, [(4, "MINE", 2_000)], "0011AA22")]


@VERSIONS
def test_a_swap_that_cannot_begin_is_refused_before_a_slot_opens(version: str) -> None:
    visit = Visit(version)

    def err(rid: int, into: list[int], out: list[int], n: int = 1) -> str | None:
        return visit.order("Swap.Start", rid=rid, token="T", n=n, **{"in": into, "out": out})

    assert err(RID, [9], [1]) == "UnknownUnit"
    assert err(RID, [1], [2]) == "UnitOccupied"
    assert err(RID, [3], [4]) == "UnitEmpty"
    assert err(RID, [3], [1], n=2) == "NoEmptySlot"
    visit.place.slots[3].out_of_service = True
    assert err(RID, [3], [1]) == "UnitFaulted"
    visit.place.jam(4)
    assert err(RID, [4], [1]) == "DoorJammed"
    assert [body["door"] for body in visit.central.told("Door.Status")] == ["jammed"]
    visit.place.jam(4, None)
    assert not visit.place.unlocked and not visit.steps()
    assert err(RID, [4], [1]) is None
    assert err(RID + 1, [4], [1]) == "Busy"
    assert visit.place.ask().err == "Busy"
    visit.pass_time(60)
    assert err(RID, [4], [1]) == "GrantUsed"
    assert (
        visit.send("Swap.Start", visit.body(rid="x", token="T", n=1, **{"in": [], "out": []}))[1]["err"] == "BadPayload"
    )
    assert visit.send("Battery.Release", visit.body(rid=1, u=[1, 1]))[1]["err"] == "BadPayload"


@VERSIONS
@pytest.mark.parametrize("message", ["Swap.Start", "Battery.Release", "Battery.Return"])
def test_it_never_acts_after_the_expiry_nor_twice(version: str, message: str) -> None:
    visit = Visit(version)
    fields = {
        "Swap.Start": {"rid": RID, "token": "T", "n": 1, "in": [3], "out": [1]},
        "Battery.Release": {"rid": RID, "u": [1]},
        "Battery.Return": {"rid": RID, "u": [1], "err": "BatteryUnknown"},
    }[message]
    late, body = visit.body(**fields), visit.body(**fields)
    first = visit.send(message, body)
    assert first[0] == "Accepted"
    visit.place.lose_power()
    visit.station.line.disconnected()
    visit.reconnect()
    visit.pass_time(60)
    assert visit.send(message, body) == ("Accepted", first[1] | {"dup": True})
    assert visit.send(message, late)[1]["err"] == "GrantExpired"
    assert [(u, id) for u, id, _ in visit.place.unlocked] == [(3 if message == "Swap.Start" else 1, body["id"])]
    assert not any(slot.loose for slot in visit.place.slots.values())


@VERSIONS
def test_without_the_rule_of_expiry_a_pack_is_handed_out_late(version: str) -> None:
    visit = Visit(version, Rules(expiry=False))
    body = visit.body(rid=RID, u=[1])
    visit.pass_time(3_600)
    assert visit.send("Battery.Release", body)[0] == "Accepted"
    assert visit.place.offered() == [1]


@VERSIONS
def test_a_slot_that_cannot_release_says_why(version: str) -> None:
    visit = Visit(version)
    assert visit.order("Battery.Release", rid=1, u=[9]) == "UnknownUnit"
    assert visit.order("Battery.Release", rid=1, u=[1, 3]) == "UnitEmpty"
    visit.place.jam(1)
    assert visit.order("Battery.Release", rid=1, u=[1]) == "DoorJammed"
    assert visit.order("Battery.Release", rid=1, u=[2]) is None
    assert visit.order("Battery.Release", rid=1, u=[2]) == "DoorAlreadyOpen"
    assert [u for u, _, _ in visit.place.unlocked] == [2]


@VERSIONS
def test_a_jam_that_nobody_notices_ends_as_a_pack_that_nobody_took(version: str) -> None:
    visit = Visit(version)
    visit.place.jam(1, "silent")
    assert visit.order("Battery.Release", rid=RID, u=[1]) is None
    assert visit.place.offered() == []
    visit.pass_time(60)
    assert [step.what for step in visit.steps()] == ["timeout"]


@VERSIONS
def test_a_person_whose_slot_jams_asks_again(version: str) -> None:
    visit = Visit(version, faults=Faults(jam=0.99, random=Random(1)))
    asked = visit.place.ask()
    assert not visit.place.put(asked.units[0], pack("MINE"))
    visit.pass_time(60)
    assert not visit.steps()
    visit.station.line.faults = Faults()
    visit.place.jam(3)
    assert visit.place.ask().units == [4]
    visit.talk()
    assert [body["u"] for body in visit.central.told("Door.Status")] == [3]


@VERSIONS
def test_a_swap_of_two_that_got_one_pack_is_told_with_that_one(version: str) -> None:
    visit = Visit(version)
    asked = visit.place.ask(2)
    visit.place.put(asked.units[0], pack("M-1"))
    visit.pass_time(60)
    assert visit.steps() == [Step("in", asked.rid, [(3, "M-1", 2_000)])]
    assert not visit.place.put(4, pack("M-2"))


@VERSIONS
def test_a_door_is_opened_by_a_grant_for_the_first_pack_and_for_staff(version: str) -> None:
    visit = Visit(version)
    place = visit.place
    assert visit.send("Door.Open", visit.central.opening(1, 1, item="B-1"))[0] == "Accepted"
    assert place.standing("take") == [1]
    mine = place.take(1)
    place.close(1)
    assert visit.send("Door.Open", visit.central.opening(2, 3, "return"))[0] == "Accepted"
    assert place.put(3, mine)
    place.close(3)
    visit.talk()
    events = [(m, b) for m, b in visit.central.events.values() if m != "Battery.State"]
    assert [(m, b["u"], b.get("door", b.get("item")), b["gid"]) for m, b in events] == [
        ("Door.Status", 1, "open", gid(1)),
        ("Item.Taken", 1, "B-1", gid(1)),
        ("Door.Status", 1, "closed", gid(1)),
        ("Door.Status", 3, "open", gid(2)),
        ("Item.Placed", 3, "B-1", gid(2)),
        ("Door.Status", 3, "closed", gid(2)),
    ]
    assert [body["serial"] for body in visit.central.told("Battery.State")] == ["B-1"]
    assert not visit.steps()


@VERSIONS
def test_a_snapshot_has_every_pack_with_its_battery(version: str) -> None:
    visit = Visit(version)
    hello, snapshot = [body for message, body in visit.central.heard if message in ("Hello", "Unit.Snapshot")]
    assert (hello["kind"], hello["units"]) == ("battery_station", 4)
    assert [(unit["u"], unit["has"], unit.get("battery", {}).get("serial")) for unit in snapshot["units"]] == [
        (1, True, "B-1"),
        (2, True, "B-2"),
        (3, False, None),
        (4, False, None),
    ]
    assert visit.order("Unit.Report") is None
    assert visit.central.heard[-1][0] == "Unit.Snapshot"


def test_numbers_of_swaps_stay_below_those_of_the_system_and_survive() -> None:
    swaps = Swaps(RID_END - 2)
    numbers = [swaps.begin(None).rid for _ in range(3)]
    assert numbers == [RID_END - 1, 1, 2]
    assert Swaps.load(swaps.dump()) == swaps
