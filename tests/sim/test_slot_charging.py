"""Packs in slots are charged with time, as they are allowed to be, and told of in the words of each version."""

from __future__ import annotations

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.battery_station import Traits
from charge_points_sim.times import wire
from tests.sim.cabinet import AT
from tests.sim.swapping import Step, Visit, pack

VERSIONS = pytest.mark.parametrize("version", DEVICES)
PLAIN = pytest.mark.parametrize("version", ["1.6", "2.0.1"])
NATIVE = Traits(native_only=True)


def limit(visit: Visit, u: int, periods: list[tuple[int, int]]) -> str:
    """Sends a profile of W from seconds after now on; what it was answered."""
    schedule = {
        "startSchedule": wire(visit.at),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{"startPeriod": start, "limit": watts} for start, watts in periods],
    }
    kind = {"stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute"}
    if visit.version == "1.6":
        profile = {"chargingProfileId": u, **kind, "chargingSchedule": schedule}
        answer = visit.call("SetChargingProfile", {"connectorId": u, "csChargingProfiles": profile})
    else:
        profile = {"id": u, **kind, "chargingSchedule": [{"id": u, **schedule}]}
        answer = visit.call("SetChargingProfile", {"evseId": u, "chargingProfile": profile})
    return str(answer["status"])


@VERSIONS
def test_a_pack_is_charged_with_full_power_and_no_wh_is_lost(version: str) -> None:
    visit = Visit(version, traits=Traits(max_power_w=700))
    mine = pack("MINE", 1_000)
    visit.place.insert(mine)
    for _ in range(100):
        visit.pass_time(37)
    assert mine.charge_wh == 700 * 3_700 // 3_600
    assert visit.place.slots[3].power_w == 700
    visit.pass_time(100_000)
    assert (mine.wh, mine.room_wh(), visit.place.slots[3].power_w) == (1_500, 0, 0)


@VERSIONS
def test_a_limit_is_kept_to_from_its_minute_on_until_it_is_cleared(version: str) -> None:
    visit = Visit(version)
    mine = pack("MINE", 0)
    visit.place.insert(mine)
    assert limit(visit, 3, [(0, 300), (3_600, 0), (7_200, 600)]) == "Accepted"
    for wh in (300, 300, 900):
        visit.pass_time(3_600)
        assert mine.charge_wh == wh
    assert limit(visit, 9, [(0, 1)]) == "Rejected"
    clear = {"id": 3} if version == "1.6" else {"chargingProfileCriteria": {"evseId": 3}}
    assert visit.call("ClearChargingProfile", clear) == {"status": "Accepted"}
    assert visit.call("ClearChargingProfile", clear) == {"status": "Unknown"}
    visit.pass_time(360)
    assert mine.charge_wh == 1_000


@VERSIONS
@pytest.mark.parametrize("name", ["TargetSoC", "TargetSoc"])
def test_packs_are_charged_to_their_target(version: str, name: str) -> None:
    visit = Visit(version)
    if version == "1.6":
        assert visit.call("ChangeConfiguration", {"key": name, "value": "90"}) == {"status": "Accepted"}
        assert visit.call("ChangeConfiguration", {"key": name, "value": "900"}) == {"status": "Rejected"}
    else:
        wanted = {"component": {"name": "BatteryCartridge"}, "variable": {"name": name}, "attributeValue": "90"}
        other = {"component": {"name": "Other"}, "variable": {"name": "Thing"}, "attributeValue": "1"}
        results = visit.call("SetVariables", {"setVariableData": [wanted, other]})["setVariableResult"]
        assert [result["attributeStatus"] for result in results] == ["Accepted", "UnknownComponent"]
    mine = pack("MINE", 5_000)
    visit.place.insert(mine)
    visit.pass_time(36_000)
    assert mine.soc == 9_000


@PLAIN
def test_the_state_of_every_pack_is_told_once_a_minute(version: str) -> None:
    visit = Visit(version)
    mine = pack("MINE")
    visit.place.insert(mine)
    for _ in range(4):
        visit.pass_time(30)
    told = visit.central.told("Battery.State")
    assert [(body["u"], body["serial"]) for body in told] == [(1, "B-1"), (2, "B-2"), (3, "MINE")] * 2
    assert [body["chargeWh"] for body in told if body["u"] == 3] == [8, 25]
    assert (told[-1]["soc"], told[-1]["mode"]) == (2_166, "charging")
    visit.station.line.disconnected()
    visit.pass_time(86_400)
    assert not visit.place.memory.queue


def test_on_2_1_a_pack_is_a_transaction_without_a_driver_from_its_coming_to_its_going() -> None:
    visit = Visit("2.1")
    assert visit.transactions() == [("Started", 1, "tx-1"), ("Started", 2, "tx-2")]
    rid = visit.place.insert(pack("MINE"))
    visit.pass_time(0)
    visit.pass_time(60)
    events = [payload for action, payload in visit.central.calls if action == "TransactionEvent"]
    assert all("idToken" not in event for event in events)
    assert {(e["eventType"], e["evse"]["id"]) for e in events[2:]} == {("Started", 3)} | {
        ("Updated", u) for u in (1, 2, 3)
    }
    last = [event for event in events if event["evse"]["id"] == 3][-1]["meterValue"][0]["sampledValue"]
    assert [(value["measurand"], value["value"]) for value in last] == [
        ("Energy.Active.Import.Register", 16),
        ("Power.Active.Import", 1_000),
        ("SoC", 21.06),
    ]
    assert visit.order("Battery.Release", rid=rid, u=[1]) is None
    visit.place.take(1)
    visit.talk()
    assert visit.transactions()[-1] == ("Ended", 1, "tx-1")
    assert {body["u"] for body in visit.central.told("Battery.State")} == {1, 2, 3}


def test_on_2_1_all_packs_are_new_transactions_after_a_reboot() -> None:
    visit = Visit("2.1")
    visit.place.lose_power()
    visit.station.line.disconnected()
    visit.reconnect()
    assert visit.transactions()[2:] == [
        ("Ended", 1, "tx-1"),
        ("Ended", 2, "tx-2"),
        ("Started", 1, "tx-3"),
        ("Started", 2, "tx-4"),
    ]
    visit.station.line.disconnected()
    visit.reconnect()
    assert len(visit.transactions()) == 6


def test_a_transaction_that_the_system_stops_charges_no_more() -> None:
    visit = Visit("2.1")
    mine = pack("MINE")
    visit.place.insert(mine)
    visit.pass_time(60)
    assert visit.call("RequestStopTransaction", {"transactionId": "tx-3"}) == {"status": "Accepted"}
    visit.pass_time(3_600)
    assert mine.charge_wh < 20


@VERSIONS
def test_a_slot_shows_what_its_pack_does(version: str) -> None:
    visit = Visit(version)
    word = "status" if version == "1.6" else "connectorStatus"
    slot = "connectorId" if version == "1.6" else "evseId"
    visit.pass_time(0)
    visit.place.insert(pack("MINE", 9_900))
    visit.pass_time(0)
    visit.pass_time(3_600)
    shown = [call[word] for action, call in visit.central.calls if action == "StatusNotification" and call[slot] == 3]
    if version == "1.6":
        assert shown == ["Available", "Preparing", "Charging", "SuspendedEVSE"]
    else:
        assert shown == ["Available", "Occupied", "Occupied", "Occupied"]


@VERSIONS
def test_a_pack_with_a_fault_is_neither_charged_nor_given(version: str) -> None:
    visit = Visit(version)
    mine = pack("MINE")
    mine.faults.append("CellImbalance")
    visit.place.insert(mine)
    visit.pass_time(3_600)
    assert (mine.charge_wh, sorted(visit.place.full)) == (0, [1, 2])


def test_a_station_without_vendors_words_hands_out_the_fullest_when_batteryin_is_answered() -> None:
    visit = Visit("2.1", traits=NATIVE)
    assert not visit.central.heard
    visit.central.fate = lambda message, body: "error"
    rid = visit.place.insert(pack("MINE"))
    visit.talk()
    assert visit.place.offered() == []
    visit.central.fate = lambda message, body: "accepted"
    visit.place.tick()
    visit.talk()
    assert visit.place.offered(rid) == [2]
    visit.place.take(2)
    visit.talk()
    assert visit.steps() == [Step("in", rid, [(3, "MINE", 2_000)]), Step("out", rid, [(2, "B-2", 9_900)])]
    assert visit.send("Battery.Release", visit.body(rid=rid, u=[1])) == ("UnknownVendorId", {})
    assert not [action for action, _ in visit.central.calls if action == "DataTransfer"]


def test_a_station_without_vendors_words_that_has_too_few_packs_gives_the_own_ones_back() -> None:
    visit = Visit("2.1", traits=NATIVE)
    for slot in (1, 2):
        visit.place.slots[slot].pack.faults.append("Old")  # type: ignore[union-attr]
    visit.place.insert(pack("MINE"))
    visit.talk()
    assert visit.place.offered() == [3]


def test_a_station_without_vendors_words_says_what_is_where_in_ocpps_own() -> None:
    visit = Visit("2.1", traits=NATIVE)
    assert visit.call("GetBaseReport", {"requestId": 7, "reportBase": "FullInventory"}) == {"status": "Accepted"}
    action, report = visit.central.calls[-1]
    told = {(e["component"]["evse"]["id"], e["variable"]["name"]): e for e in report["reportData"]}
    assert (action, report["requestId"], len(told)) == ("NotifyReport", 7, 14)
    assert told[1, "SerialNumber"]["variableAttribute"][0]["value"] == "B-1"
    assert told[3, "SlotStatus"]["variableAttribute"][0]["value"] == "Available"


@pytest.mark.parametrize("native_only", [False, True])
def test_a_swap_that_is_requested_by_2_1_begins_in_slots_of_the_stations_choice(native_only: bool) -> None:
    visit = Visit("2.1", traits=Traits(native_only=native_only, packs_per_swap=2))
    payload = {"requestId": 2**30 + 5, "idToken": {"idToken": "0011AA22", "type": "Central"}}
    for _ in range(2):
        assert visit.call("RequestBatterySwap", payload) == {"status": "Accepted"}
    assert visit.place.standing("return") == [3, 4]
    assert [u for u, _, _ in visit.place.unlocked] == [3, 4]
    busy = visit.call("RequestBatterySwap", {**payload, "requestId": 2**30 + 6})
    assert busy == {"status": "Rejected", "statusInfo": {"reasonCode": "Busy"}}
    for u in (3, 4):
        visit.place.put(u, pack(f"M-{u}"))
    visit.talk()
    assert visit.steps()[0].token == "0011AA22"
    assert visit.steps()[0].rid == 2**30 + 5
    assert visit.place.offered() == ([2, 1] if native_only else [])
    full = visit.call("RequestBatterySwap", {**payload, "requestId": 2**30 + 7})
    assert full["statusInfo"]["reasonCode"] == ("Busy" if native_only else "NoEmptySlot")
    assert visit.at == AT
