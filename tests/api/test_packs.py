"""Packs: registered, seen by those who may, told of by terminals, judged by staff; and the slots they stand in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from tests.api.plaza import Plaza, plaza
from tests.flows import lending, swaps
from tests.make import after

NEW = {"code": "b9", "kind": "battery", "type": "k1", "provider": "P", "serial": "SN-9", "capacity_wh": 1_500}
SAID = {"serial": "B3", "soc": 8_000, "soh": 9_400, "temp": 21, "dischargeWh": 40_300}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    async with plaza(dsn, pool) as found:
        yield found


async def test_a_pack_is_registered_with_its_serial_once(town: Plaza) -> None:
    added = await town.ask("staff", "POST", "/items", NEW)
    assert added.status == 201, added.body
    battery = added.json["battery"]
    assert (battery["serial"], battery["capacity_wh"], battery["newest"]) == ("SN-9", 1_500, None)
    assert len(battery["alias"]) == 16 and battery["faults"] == []
    taken = await town.ask("staff", "POST", "/items", {**NEW, "code": "b10"})
    assert taken.status == 409 and (await town.ask("staff", "GET", "/items/b10")).status == 404
    plain = await town.ask("staff", "POST", "/items", {"code": "b11", "kind": "battery", "type": "k1", "provider": "P"})
    assert plain.json["battery"]["serial"] == "b11"
    charger = {**NEW, "code": "i1", "kind": "portable"}
    assert (await town.ask("staff", "POST", "/items", charger)).status == 422


async def test_serial_and_capacity_are_changed_by_staff_alone(town: Plaza) -> None:
    body = {"serial": "SN-1", "capacity_wh": 1_600, "label": "One"}
    changed = (await town.ask("staff", "PATCH", "/items/b1", body)).json
    assert (changed["label"], changed["battery"]["serial"], changed["battery"]["capacity_wh"]) == ("One", "SN-1", 1_600)
    assert (await town.ask("staff", "PATCH", "/items/b1", {"capacity_wh": None})).json["battery"]["capacity_wh"] is None
    assert (await town.ask("staff", "PATCH", "/items/b1", {"serial": "B2"})).status == 409
    assert (await town.ask("staff", "PATCH", "/items/b1", {"serial": None})).status == 422
    assert (await town.ask("ann", "PATCH", "/items/b1", {"serial": "X"})).status == 404


async def test_a_pack_shows_its_newest_state_and_who_told_it(town: Plaza) -> None:
    found = await town.rest.get("/items/b1")
    newest = found["battery"]["newest"]
    assert (found["station"], found["connector"]) == ("X1", 1)
    assert (newest["soc"], newest["source"], newest["at"]) == (9_500, "station", "2026-11-20T12:00:00.000Z")
    listed = {item["code"]: item["battery"] for item in (await town.rest.get("/items?station=X2"))["items"]}
    assert listed["b4"]["soc"] == 9_500


async def test_a_driver_sees_the_own_pack_and_no_other(town: Plaza) -> None:
    code = await town.pack()
    own = (await town.ask("ann", "GET", f"/items/{code}")).json
    assert (own["place"], own["driver"], own["battery"]["soc"]) == ("driver", "ann", 9_500)
    for who, other in (("bob", code), ("ann", "b2"), ("bob", "b4")):
        for path in ("", "/states", "/history"):
            assert (await town.ask(who, "GET", f"/items/{other}{path}")).status == 404, (who, other, path)
    assert [item["code"] for item in (await town.ask("ann", "GET", "/drivers/me/items")).json["items"]] == [code]
    assert (await town.ask("bob", "GET", "/drivers/me/items")).json["items"] == []
    assert (await town.ask("bob", "GET", "/drivers/ann/items")).status == 404
    doors = (await town.ask("bob", "GET", "/stations/X1/doors")).json["items"]
    assert {door["item"] for door in doors} == {None} and doors[1]["item_type"] == "k1"


async def test_a_series_goes_page_by_page_and_a_driver_sees_the_own_part(town: Plaza) -> None:
    for minute in (1, 2, 3):
        await town.rest.tell(swaps.units("X1", {1: "b1", 2: "b2", 3: "b3", 4: None}, after(minute)))
    town.later(5)
    code = await town.pack()
    whole = (await town.rest.get(f"/items/{code}/states"))["items"]
    assert [state["at"][14:16] for state in whole] == ["05", "03", "02", "01", "00"]
    first = await town.rest.get(f"/items/{code}/states?limit=2")
    rest = await town.rest.get(f"/items/{code}/states?limit=9&cursor={first['next_cursor']}")
    assert first["items"] + rest["items"] == whole and rest["next_cursor"] is None
    some = await town.rest.get(f"/items/{code}/states?from=2026-11-20T12:01:00Z&to=2026-11-20T12:03:00Z")
    assert [state["at"][14:16] for state in some["items"]] == ["02", "01"]
    own = (await town.ask("ann", "GET", f"/items/{code}/states")).json["items"]
    assert [state["at"][14:16] for state in own] == ["05"]
    assert (await town.ask("staff", "GET", f"/items/{code}/states?cursor=eA")).status == 400


async def test_a_terminal_tells_of_the_own_pack_and_is_believed_less(town: Plaza) -> None:
    code = await town.pack()
    town.later(10)
    said = {**SAID, "serial": code.upper(), "at": "2026-11-20T12:09:00Z"}
    del said["soh"]  # a terminal need not know it
    told = await town.ask("ann", "POST", f"/items/{code}/state", said)
    assert (told.status, told.json["source"]) == (200, "terminal"), told.body
    await town.ask("ann", "POST", f"/items/{code}/state", said)
    states = (await town.rest.get(f"/items/{code}/states"))["items"]
    assert [state["source"] for state in states].count("terminal") == 1
    assert (states[0]["soc"], states[0]["discharge_wh"], states[0]["station"]) == (8_000, 40_300, None)
    assert (await town.rest.get(f"/items/{code}"))["battery"]["newest"]["source"] == "station"


@pytest.mark.parametrize(
    ("who", "change", "status"),
    [
        ("bob", {}, 404),
        ("ann", {"serial": "B2"}, 422),
        ("ann", {"soc": 10_001}, 422),
        ("ann", {"source": "station"}, 422),
        ("ann", {"made": "2026-02-30"}, 422),
        ("ann", {"at": "2026-11-20T11:00:00Z"}, 422),
        ("ann", {"at": "2026-11-21T11:00:00Z"}, 422),
        ("ann", {"v": 1}, 422),
    ],
)
async def test_a_state_that_cannot_be_is_refused(town: Plaza, who: str, change: dict[str, Any], status: int) -> None:
    code = await town.pack()
    before = await town.count("pack_state")
    reply = await town.ask(who, "POST", f"/items/{code}/state", {**SAID, "serial": code.upper(), **change})
    assert reply.status == status, reply.body
    assert await town.count("pack_state") == before


async def test_the_history_of_a_pack_tells_with_which_levels_it_went_and_came(town: Plaza) -> None:
    code = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(code, 2_000, 1_070)})
    [custody] = (await town.rest.get(f"/items/{code}/history"))["items"]
    assert (custody["driver"], custody["soc_out"], custody["soc_in"]) == ("ann", 9_500, 2_000)
    assert custody["battery_wh"] == 1_068 and custody["return_connector"] == 4 and custody["swap"] is not None


async def test_a_pack_in_quarantine_is_not_handed_out(town: Plaza) -> None:
    for code in ("b1", "b2", "b3"):
        judged = await town.ask("staff", "POST", f"/items/{code}/quarantine", {"reason": "it was dropped"})
        assert (judged.status, judged.json["quarantine"]) == (200, "it was dropped"), judged.body
    assert (await town.rent("ann", "X1")).status == 409
    kept = (await town.rest.get("/items?kind=battery&quarantined=true"))["items"]
    assert [item["code"] for item in kept] == ["b1", "b2", "b3"]
    assert [item["code"] for item in (await town.rest.get("/items?quarantined=false"))["items"]] == ["b4", "b5"]
    assert (await town.rest.get("/items?kind=portable"))["items"] == []
    slots = (await town.rest.get("/stations/X1/slots"))["items"]
    assert {slot["pack"]["unready"] for slot in slots[:3]} == {"not_charged"}
    released = await town.ask("staff", "DELETE", "/items/b2/quarantine", {"reason": "looked at"})
    assert (released.status, released.json["quarantine"]) == (200, None)
    assert (await town.rent("ann", "X1")).json["item"] == "b2"
    assert (await town.ask("ann", "DELETE", "/items/b2/quarantine", {"reason": "looked at"})).status == 404
    assert (await town.ask("staff", "POST", "/items/b7/quarantine", {"reason": "a test"})).status == 404


async def test_slots_tell_which_packs_are_fit_and_why_others_are_not(town: Plaza) -> None:
    await town.ask("staff", "POST", "/items/b2/quarantine", {"reason": "it was dropped"})
    slots = (await town.rest.get("/stations/X1/slots"))["items"]
    packs = {slot["connector"]: slot["pack"] for slot in slots}
    assert packs[4] is None and (packs[1]["fit"], packs[1]["unfit"]) == (True, None)
    assert (packs[2]["fit"], packs[2]["unfit"], packs[2]["quarantine"]) == (False, "BatteryDamaged", "it was dropped")
    assert [slot["free"] for slot in slots] == [False, False, False, True]
    rules = await town.ask("staff", "PUT", "/stations/X1/slot-rules", {"target_soc": 9_600, "foreign_packs": "accept"})
    assert rules.json == {
        "station": "X1", "target_soc": 9_600, "soh_min": 7_000, "temp_min": 0, "temp_max": 45,
        "foreign_packs": "accept",
    }  # fmt: skip
    assert await town.rest.get("/stations/X1/slot-rules") == rules.json
    slots = (await town.rest.get("/stations/X1/slots"))["items"]
    assert slots[0]["pack"]["unfit"] == "BatterySoC"
    assert (await town.ask("ann", "GET", "/stations/X1/slots")).status == 404


async def test_slots_tell_when_a_pack_will_be_ready_under_the_limit_of_its_site(town: Plaza) -> None:
    async with town.rest.pool.acquire() as conn:
        await conn.execute("update connector set max_power_w = 3000 where station_id in ('X1', 'X2')")
    capped = await town.ask("staff", "PATCH", "/sites/site", {"power_cap_w": 1_000})
    assert capped.json["power_cap_w"] == 1_000 and (await town.rest.get("/sites/site"))["power_cap_w"] == 1_000
    at = after(1)
    seen = [(1, "b1", 2_491), (2, "b2", 5_499)]
    for unit, code, soc in seen:
        state = swaps.state(code, soc, temp=20, mode="charging")
        report = lending.report("X1", at)
        await town.rest.tell(swaps.packs.PackStated(**report, pack=state, unit=unit, source="station"))
    town.later(1)
    shown = (await town.rest.get("/stations/X1/slots"))["items"][:3]
    ready = {slot["connector"]: slot["pack"]["ready_at"] for slot in shown}
    assert {slot["pack"]["unready"] for slot in shown} == {None}
    assert ready[3] is not None and ready[3] <= "2026-11-20T12:01:00.000Z"
    assert ready[2] == "2026-11-20T12:31:00.000Z" and ready[1] > ready[2]
    assert (await town.ask("staff", "PATCH", "/sites/site", {"power_cap_w": 0})).status == 422


@pytest.mark.parametrize(
    ("station", "body", "status"),
    [
        ("X1", {"target_soc": 0}, 422),
        ("X1", {"temp_min": 50}, 422),
        ("X1", {"foreign_packs": "keep"}, 422),
        ("S1", {}, 409),
        ("X9", {}, 404),
    ],
)
async def test_rules_that_cannot_be_are_refused(town: Plaza, station: str, body: Any, status: int) -> None:
    assert (await town.ask("staff", "PUT", f"/stations/{station}/slot-rules", body)).status == status
    assert await town.count("slot_rules") == 0


async def test_a_door_is_ready_exactly_when_its_pack_is_fit(town: Plaza) -> None:
    async def agree() -> list[bool]:
        slots = (await town.rest.get("/stations/X1/slots"))["items"]
        doors = (await town.rest.get("/stations/X1/doors"))["items"]
        assert [door["ready"] for door in doors] == [bool(slot["pack"] and slot["pack"]["fit"]) for slot in slots]
        return [door["ready"] for door in doors]

    assert await agree() == [True, True, True, False]
    changes = (
        "soc = 8999", "soc = null", "soh = 6999", "temp = -1", "temp = 46", "faults = '{hot}'", "mode = 'faulted'",
        "source = 'terminal'", "quarantine = 'x'",
    )  # fmt: skip
    for change in changes:
        async with town.rest.pool.acquire() as conn:
            before = await conn.fetchrow("select * from pack where code = 'b1'")
            await conn.execute(f"update pack set {change} where code = 'b1'")
            assert await agree() == [False, True, True, False], change
            names = ("soc", "soh", "temp", "faults", "mode", "source", "quarantine")
            await conn.execute(
                "update pack set soc = $1, soh = $2, temp = $3, faults = $4, mode = $5, source = $6, quarantine = $7"
                " where code = 'b1'",
                *(before[name] for name in names),
            )
    await town.ask("staff", "PUT", "/stations/X1/slot-rules", {"target_soc": 9_501})
    assert await agree() == [False] * 4


async def test_a_providers_staff_set_up_the_own_packs_and_stations(town: Plaza) -> None:
    added = await town.ask("staff", "POST", "/items", NEW, provider="P")
    assert (added.status, added.json["battery"]["serial"]) == (201, "SN-9"), added.body
    await town.rest.post("/providers", {"id": "Q", "name": "Q"})
    theirs = {**NEW, "code": "q1", "provider": "Q"}
    clash = await town.ask("staff", "POST", "/items", theirs, provider="Q")
    assert clash.status == 409 and await town.count("item where code = 'q1'") == 0
    assert (await town.ask("staff", "POST", "/items", {**theirs, "serial": "SN-Q"}, provider="Q")).status == 201
    for path in ("/items/b9", "/items/b9/states", "/items/b9/history", "/stations/X1/slots"):
        assert (await town.ask("staff", "GET", path, provider="Q")).status == 404, path
        assert (await town.ask("staff", "GET", path, provider="P")).status == 200, path
    renamed = await town.ask("staff", "PATCH", "/items/q1", {"serial": "SN-9"}, provider="Q")
    assert renamed.status == 409, renamed.body
    for provider, status in (("P", 200), ("Q", 404)):
        rules = await town.ask("staff", "PUT", "/stations/X1/slot-rules", {"soh_min": 1}, provider=provider)
        assert rules.status == status, rules.body
    judged = await town.ask("staff", "POST", "/items/b1/quarantine", {"reason": "a test"}, provider="P")
    assert judged.status == 200, judged.body
