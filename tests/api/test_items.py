"""Items: added, found by everybody who may, moved by staff; and portable chargers that are stations, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from tests.api.lockers import HERE, Street, street
from tests.flows import lending
from tests.make import after

NEW = {"code": "i9", "kind": "portable", "type": "p1", "provider": "P", "label": "Number 9"}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Street]:
    async with street(dsn, pool) as found:
        yield found


async def test_an_item_is_added_once_and_found_where_its_cabinet_reports_it(town: Street) -> None:
    added = await town.ask("staff", "POST", "/items", NEW)
    again = await town.ask("staff", "POST", "/items", NEW)
    assert (added.status, again.status, added.json["place"]) == (201, 409, "unknown"), added.body
    assert added.json["since"] is None and added.json["created_at"] == "2026-11-20T12:00:00.000Z"
    await town.rest.tell(lending.snapshot("C2", {1: None, 2: "i9"}, after(1)))
    found = await town.rest.get("/items/i9")
    assert (found["station"], found["connector"], found["label"]) == ("C2", 2, "Number 9")
    listed = {item["code"] for item in (await town.rest.get("/items?station=C2"))["items"]}
    assert listed == {"i9"} and len((await town.rest.get("/items?place=connector&type=p1"))["items"]) == 3


@pytest.mark.parametrize(
    "change",
    [{"code": "a b"}, {"kind": "car"}, {"type": ""}, {"provider": "nobody"}, {"label": ""}, {"state": "ok"}],
)
async def test_an_item_that_cannot_be_is_refused(town: Street, change: dict[str, Any]) -> None:
    assert (await town.ask("staff", "POST", "/items", {**NEW, **change})).status == 422
    assert await town.count("item") == 2


async def test_a_cabinet_whose_clock_is_behind_places_a_new_item_all_the_same(town: Street) -> None:
    town.later(5)
    await town.ask("staff", "POST", "/items", NEW)
    await town.rest.tell(lending.snapshot("C2", {1: None, 2: "i9"}, after(4)))
    found = await town.rest.get("/items/i9")
    assert (found["station"], found["connector"], found["since"]) == ("C2", 2, "2026-11-20T12:04:00.000Z")


async def test_any_of_place_door_and_item_finds_the_other_two(town: Street) -> None:
    for who in ("ann", "staff"):
        cabinets = (await town.ask(who, "GET", f"/cabinets?latitude={HERE[0]}&longitude={HERE[1]}")).json["items"]
        doors = (await town.ask(who, "GET", f"/stations/{cabinets[0]['station']}/doors")).json
        door = next(door for door in doors["items"] if door["connector"] == 1)
        item = (await town.ask(who, "GET", f"/items/{door['item']}")).json
        assert (item["station"], item["connector"], item["code"]) == ("C1", 1, "i1")
        assert (item["latitude"], item["longitude"]) == (doors["latitude"], doors["longitude"]) == HERE


async def test_a_driver_finds_items_in_cabinets_and_the_own_one_but_nobody_elses(town: Street) -> None:
    rental = await town.held()
    own = (await town.ask("ann", "GET", f"/items/{rental['item']}")).json
    assert (own["place"], own["rental"], own["driver"]) == ("driver", rental["id"], "ann")
    assert (await town.ask("bob", "GET", f"/items/{rental['item']}")).status == 404
    assert (await town.ask("bob", "GET", "/items/i2")).json["rental"] is None
    assert (await town.ask("bob", "GET", "/items/i7")).status == 404
    assert (await town.rest.get(f"/items/{rental['item']}"))["driver"] == "ann"
    async with town.rest.pool.acquire() as conn:
        await conn.execute("update cabinet_presence set latitude = null, longitude = null, methods = '{totp}'")
    assert (await town.ask("bob", "GET", "/items/i2")).status == 404


@pytest.mark.parametrize("place", ["workshop", "staff", "lost", "unknown"])
async def test_staff_say_where_an_item_is_and_what_it_is_fit_for(town: Street, place: str) -> None:
    body = {"place": place, "state": "broken", "reason": "its plug is bent"}
    moved = await town.ask("staff", "POST", "/items/i1/moves", body)
    assert moved.status == 200, moved.body
    assert (moved.json["place"], moved.json["station"], moved.json["state"]) == (place, None, "broken")
    back = {"place": "connector", "station": "C2", "connector": 2, "state": "ok", "reason": "mended"}
    assert (await town.ask("staff", "POST", "/items/i1/moves", back)).json["connector"] == 2


async def test_a_word_on_where_a_rented_item_is_ends_its_rental(town: Street) -> None:
    rental = await town.held()
    town.later(30)
    body = {"place": "connector", "station": "C2", "connector": 1, "reason": "found on the cabinet"}
    assert (await town.ask("staff", "POST", f"/items/{rental['item']}/moves", body)).status == 200
    assert (await town.rest.get(f"/rentals/{rental['id']}"))["state"] == "closed"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"place": "connector"}, 422),
        ({"place": "lost", "station": "C1"}, 422),
        ({"place": "driver"}, 422),
        ({"place": "connector", "station": "C7", "connector": 1}, 404),
        ({"place": "connector", "station": "C1", "connector": 9}, 409),
        ({"place": "lost", "reason": ""}, 422),
    ],
)
async def test_a_place_that_is_none_is_refused(town: Street, body: Any, status: int) -> None:
    before = await town.rest.get("/items/i1")
    reply = await town.ask("staff", "POST", "/items/i1/moves", {"reason": "a test", **body})
    assert reply.status == status and reply.headers["Content-Type"].startswith("application/problem+json"), reply.body
    assert await town.rest.get("/items/i1") == before


async def test_an_items_label_and_state_are_changed_where_it_is(town: Street) -> None:
    body = {"label": "One", "state": "broken", "reason": "it smells"}
    changed = (await town.ask("staff", "PATCH", "/items/i1", body)).json
    assert (changed["label"], changed["state"], changed["station"], changed["connector"]) == ("One", "broken", "C1", 1)
    assert (await town.rent(connector=1)).json["error"] == "UnitEmpty"
    assert (await town.ask("staff", "PATCH", "/items/i1", {"state": "ok"})).status == 422
    assert (await town.ask("staff", "PATCH", "/items/i7", {"label": "x"})).status == 404
    rental = await town.held()
    with_driver = await town.ask("staff", "PATCH", f"/items/{rental['item']}", {"state": "broken", "reason": "a test"})
    assert with_driver.status == 409


async def test_a_station_with_a_portable_connector_is_a_portable_charger(town: Street) -> None:
    async def portable(station: str) -> Any:
        async with town.rest.pool.acquire() as conn:
            return await conn.fetchval("select portable from station where id = $1", station)

    charger = {"id": "i9", "provider": "P", "connectors": [{"number": 1, "kind": "portable", "max_power_w": 7400}]}
    await town.rest.post("/stations", charger)
    await town.rest.post("/stations", {"id": "S9", "provider": "P", "connectors": [{"number": 1}]})
    assert (await portable("i9"), await portable("S9")) == (True, False)
    await town.ask("staff", "PATCH", "/stations/S9", {"connectors": [{"number": 2, "kind": "portable"}]})
    await town.ask("staff", "PATCH", "/stations/i9", {"strict": True})
    assert (await portable("i9"), await portable("S9")) == (True, True)
    await town.ask("staff", "PATCH", "/stations/i9", {"connectors": [{"number": 1, "kind": "outlet"}]})
    assert await portable("i9") is False
