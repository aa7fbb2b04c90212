"""Cabinets: found by drivers, their doors, who had them opened, and what staff do with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain.commands import ReportUnits
from tests.api.lockers import HERE, Street, street
from tests.flows import lending
from tests.make import after

FROM_HERE = f"latitude={HERE[0]}&longitude={HERE[1]}"


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Street]:
    async with street(dsn, pool) as found:
        yield found


async def names(town: Street, query: str, who: str = "ann") -> list[str]:
    reply = await town.ask(who, "GET", f"/cabinets?{query}")
    assert reply.status == 200, reply.body
    return [cabinet["station"] for cabinet in reply.json["items"]]


async def test_the_nearest_cabinet_comes_first_with_what_it_has(town: Street) -> None:
    first, second = (await town.ask("ann", "GET", f"/cabinets?{FROM_HERE}")).json["items"]
    assert (first["station"], first["distance_m"], first["doors"]) == ("C1", 0, 3)
    assert (first["free_doors"], first["items_ready"]) == (1, {"p1": 2})
    assert (second["station"], second["distance_m"], second["free_doors"], second["items_ready"]) == ("C2", 44, 2, {})
    assert await names(town, "latitude=38&longitude=126.978") == ["C2", "C1"]
    assert await names(town, f"{FROM_HERE}&item_type=p1") == ["C1"]
    assert await names(town, "item_type=other") == []
    assert await names(town, "") == ["C1", "C2"]


async def test_pages_of_cabinets_go_on_where_they_ended(town: Street) -> None:
    for query in (f"{FROM_HERE}&", ""):
        one = (await town.ask("ann", "GET", f"/cabinets?{query}limit=1")).json
        two = (await town.ask("ann", "GET", f"/cabinets?{query}limit=1&cursor={one['next_cursor']}")).json
        assert [page["items"][0]["station"] for page in (one, two)] == ["C1", "C2"] and two["next_cursor"] is None


@pytest.mark.parametrize(
    "query", ["latitude=1", "latitude=91&longitude=0", "latitude=nan&longitude=0", "cursor=x", "x=1"]
)
async def test_a_place_that_is_none_is_refused(town: Street, query: str) -> None:
    assert (await town.ask("ann", "GET", f"/cabinets?{query}")).status == 400


async def test_full_and_absent_cabinets_have_no_free_door(town: Street) -> None:
    async with town.rest.pool.acquire() as conn:
        for code in ("i3", "i4"):
            await lending.add_item(conn, code)
    await town.rest.tell(lending.snapshot("C2", {1: "i3", 2: "i4"}, after(1)))
    assert await names(town, f"{FROM_HERE}&free_door=true") == ["C1"]
    async with town.rest.pool.acquire() as conn:
        await conn.execute("insert into station_outage values ('C1', now(), null)")
    assert await names(town, f"{FROM_HERE}&free_door=true") == []
    assert (await town.ask("ann", "GET", f"/cabinets?{FROM_HERE}")).json["items"][0]["connected"] is False


async def test_drivers_see_only_cabinets_that_are_on_the_map(town: Street) -> None:
    body = {"methods": ["totp"]}
    await town.ask("staff", "PUT", "/stations/C2/presence", body)
    assert await names(town, "") == ["C1"] and await names(town, "", "staff") == ["C1", "C2"]
    assert (await town.ask("ann", "GET", "/stations/C2/doors")).status == 404
    assert (await town.ask("staff", "GET", "/stations/C2/doors")).status == 200
    for hidden in ("/stations/C1/openings", "/items", "/stations/C1/presence"):
        assert (await town.ask("ann", "GET", hidden)).status == 404


async def test_doors_tell_what_stands_behind_them_and_whether_they_can_be_used(town: Street) -> None:
    await town.rent(connector=1)
    await town.rest.tell(lending.door("C1", 2, "jammed", None, after(1)))
    one, two, three = (await town.ask("ann", "GET", "/stations/C1/doors")).json["items"]
    assert (one["item"], one["reserved"], one["ready"], one["free"]) == ("i1", True, False, False)
    assert (two["item"], two["fault"], two["ready"]) == ("i2", "jammed", False)
    assert (three["item"], three["free"], three["reserved"], three["item_type"]) == (None, True, False, None)


async def test_what_the_locator_calls_free_and_ready_is_what_can_be_had(town: Street) -> None:
    """The map's words are SQL, the rules' are Python: they agree door by door."""
    doors = (await town.ask("ann", "GET", "/stations/C1/doors")).json["items"]
    for door in doors:
        reply = await town.rent(connector=door["connector"])
        assert (reply.status == 201) == door["ready"], (door, reply.body)
        assert reply.status != 201 or (await town.rent(connector=door["connector"])).status in (403, 409)
        async with town.rest.pool.acquire() as conn:
            await conn.execute("delete from presence_use")


async def test_staff_open_a_door_for_service_and_it_is_in_the_trail(town: Street) -> None:
    opened = await town.ask("staff", "POST", "/stations/C1/doors/2/open", {"why": "inspect", "reason": "smoke seen"})
    assert opened.status == 202, opened.body
    assert (opened.json["why"], opened.json["proof"], opened.json["item"]) == ("inspect", "staff", "i2")
    assert await town.door_opens() == 1
    busy = await town.ask("staff", "POST", "/stations/C1/doors/2/open", {"reason": "once more"})
    assert busy.status == 409
    for path, status in (("C1/doors/9", 404), ("S1/doors/1", 404), ("C1/doors/0", 404), ("C9/doors/1", 404)):
        assert (await town.ask("staff", "POST", f"/stations/{path}/open", {"reason": "a test"})).status == status
    assert (await town.ask("staff", "POST", "/stations/C1/doors/1/open", {"reason": ""})).status == 422
    assert (await town.ask("ann", "POST", "/stations/C1/doors/1/open", {"reason": "a test"})).status == 404
    town.rest.bus.drop("station/C2/0")
    away = await town.ask("staff", "POST", "/stations/C2/doors/1/open", {"reason": "a test"})
    assert (away.status, away.json["error"]) == (409, "offline")
    audit = (await town.rest.get("/audit?limit=1"))["items"]
    assert await town.door_opens() == 1 and audit[0]["route"] == "/stations/{station}/doors/{connector}/open"
    await town.rent(connector=1)
    rows = (await town.rest.get("/stations/C1/openings"))["items"]
    assert {(row["connector"], row["why"], row["proof"], row["by"]) for row in rows} >= {
        (1, "take", "totp", "driver:ann")
    }
    assert [row["reason"] for row in (await town.rest.get("/stations/C1/openings?connector=2"))["items"]] == [
        "smoke seen"
    ]
    report = (await town.rest.get("/reports/openings?station=C1"))["items"]
    assert {(row["connector"], row["reason"]) for row in report} == {(1, None), (2, "smoke seen")}


async def test_an_inventory_lists_what_differs_from_what_was_believed(town: Street) -> None:
    asked = asyncio.create_task(town.ask("staff", "POST", "/stations/C1/inventory?wait=10"))

    async def was_asked() -> bool:
        return bool(town.frames["C1"])

    await town.until(was_asked)
    (command,) = town.frames["C1"]
    assert isinstance(command, ReportUnits)
    await town.rest.tell(lending.snapshot("C1", {1: None, 2: "i2", 3: "i1"}, after(1)))
    reply = await asked
    assert reply.status == 200, reply.body
    told = {(d["connector"], d["expected"], d["found"]) for d in reply.json["differences"]}
    assert told == {(1, "i1", None), (3, None, "i1")}
    assert [door["item"] for door in reply.json["doors"]] == [None, "i2", "i1"]
    assert reply.json["command"]["action"] == "ReportUnits"


@pytest.mark.parametrize(("station", "status"), [("C1", 202), ("C3", 409), ("S1", 404), ("C9", 404)])
async def test_an_inventory_needs_a_cabinet_that_is_there(town: Street, station: str, status: int) -> None:
    await town.rest.post("/stations", {"id": "C3", "kind": "locker", "provider": "P"})
    reply = await town.ask("staff", "POST", f"/stations/{station}/inventory?wait=0")
    assert reply.status == status, reply.body
    assert status != 202 or (reply.json["seen_at"], reply.json["differences"]) == (None, [])


async def test_a_provider_sees_its_own_cabinets(town: Street) -> None:
    await town.rest.post("/providers", {"id": "Q", "name": "Q"})
    scopes: dict[str, Any] = {"scopes": ("admin",), "provider": "Q"}
    assert (await town.ask("staff", "GET", "/cabinets", **scopes)).json["items"] == []
    for method, path, body in (
        ("GET", "/stations/C1/doors", None), ("GET", "/stations/C1/openings", None), ("GET", "/items/i1", None),
        ("POST", "/stations/C1/inventory", None), ("PUT", "/stations/C1/presence", {"methods": []}),
        ("POST", "/stations/C1/doors/1/open", {"reason": "a test"}),
        ("POST", "/items/i1/moves", {"place": "lost", "reason": "a test"}),
        ("POST", "/rentals", {"station": "C1", "driver": "ann"}),
    ):  # fmt: skip
        assert (await town.ask("staff", method, path, body, **scopes)).status == 404, path
    assert await town.door_opens() == 0
