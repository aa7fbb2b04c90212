"""Swaps as drivers and staff ask for them, and as they are shown; packs that are reserved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain.pack_events import RID_MIN
from tests.api.lockers import place
from tests.api.plaza import Plaza, plaza
from tests.flows import swaps
from tests.make import after

WANTED = {"station": "X1", "days": ["MON", "SUN"], "begins": "07:30", "minutes": 45, "from": "2026-11-20"}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    async with plaza(dsn, pool) as found:
        yield found


async def test_a_swap_is_begun_once_and_told_whole(town: Plaza) -> None:
    mine = await town.pack()
    town.later(60)
    begun = await town.swap(key="k")
    assert begun.status == 201, begun.body
    swap = begun.json
    assert (swap["state"], swap["driver"], swap["proof"], swap["count"]) == ("authorised", "ann", "totp", 1)
    assert RID_MIN <= swap["number"] < 2 * RID_MIN and [part["connector"] for part in swap["packs_in"]] == [1]
    again = await town.swap(key="k")
    assert (again.status, again.json) == (201, swap) and await town.count("swap where wanted = 1") == 1
    answer = await town.told("in", swap["number"], {1: swaps.state(mine, 2_000, 1_070)})
    [unit] = answer.units_out
    async with town.rest.pool.acquire() as conn:
        out = await conn.fetchval("select packs_out[1] from swap where wanted = 1")
    await town.told("out", swap["number"], {unit: swaps.state(out)})
    shown = (await town.ask("ann", "GET", f"/swaps/{swap['id']}")).json
    [brought], [taken] = shown["packs_in"], shown["packs_out"]
    assert (shown["state"], brought["item"], taken["item"]) == ("completed", mine, out)
    assert (brought["soc_out"], brought["soc_in"], brought["battery_wh"]) == (9_500, 2_000, 1_068)
    assert brought["fee"] == {"amount": "634", "currency": "KRW", "minor": 634} and brought["bill"] is not None
    assert (taken["fee"], taken["soc_out"]) == (None, 9_500)
    assert (await town.ask("bob", "GET", f"/swaps/{swap['id']}")).status == 404


async def test_the_station_is_told_a_token_of_which_only_the_hash_is_kept(town: Plaza) -> None:
    await town.pack()
    await town.swap()
    async with town.rest.pool.acquire() as conn:
        token = await conn.fetchval("select payload ->> 'token' from outbox where kind = 'swap.start'")
        row = await conn.fetchrow(
            "select t.type, t.driver_id, t.station_id, t.single_use, t.value from token t"
            " where t.key = sha256(convert_to($1, 'UTF8'))",
            token,
        )
    assert len(token) == 16 and token == token.upper()
    assert tuple(row) == ("remote", "ann", "X1", True, None)


@pytest.mark.parametrize(
    ("who", "body", "status", "error"),
    [
        ("bob", {}, 409, "NoCustody"),
        ("eve", {}, 403, "NotAuthorized"),
        ("ann", {"proof": None}, 403, "not_present"),
        ("ann", {"proof": place(latitude=1.0)}, 403, "not_present"),
        ("ann", {"count": 2}, 409, "NoCustody"),
        ("ann", {"count": 0}, 422, None),
        ("ann", {"station": "S1"}, 404, None),
        ("ann", {"driver": "bob"}, 404, None),
        ("staff", {}, 422, None),
        ("staff", {"driver": "nobody"}, 404, None),
        ("staff", {"token": "FFFFFFFF"}, 402, "NoCredit"),
    ],
)
async def test_a_swap_that_may_not_be_is_refused_and_no_slot_opens(
    town: Plaza, who: str, body: Any, status: int, error: str | None
) -> None:
    await town.pack()
    before = await town.count("swap")
    reply = await town.swap(who, **body)
    assert (reply.status, reply.json.get("error")) == (status, error), reply.body
    assert await town.count("swap") == before and await town.count("outbox where kind = 'swap.start'") == 0


async def test_too_few_packs_or_slots_refuse_a_swap_and_leave_its_proof_free(town: Plaza) -> None:
    mine = await town.pack()
    for other in ("b1", "b2", "b3", "b4"):
        if other != mine:
            await town.ask("staff", "POST", f"/items/{other}/quarantine", {"reason": "a test"})
    refused = await town.swap(key="k")
    assert (refused.status, refused.json["error"]) == (409, "NoBatteryAvailable")
    for other in ("b2", "b3"):
        await town.ask("staff", "DELETE", f"/items/{other}/quarantine", {"reason": "a test"})
    assert (await town.swap(key="k")).status == 201


async def test_a_station_without_an_empty_slot_exchanges_nothing(town: Plaza) -> None:
    await town.pack()
    await town.rest.tell(swaps.units("X1", {1: "b5", 2: "b2", 3: "b3", 4: "b4"}, after(1)))
    town.later(1)
    full = await town.swap()
    assert (full.status, full.json["error"]) == (409, "NoEmptySlot"), full.body


async def test_a_station_that_is_away_is_409(town: Plaza) -> None:
    await town.pack()
    town.rest.bus.drop("station/X1/0")
    refused = await town.swap()
    assert (refused.status, refused.json["error"]) == (409, "offline"), refused.body


async def test_staff_begin_a_swap_for_a_driver_and_find_it(town: Plaza) -> None:
    await town.pack()
    begun = await town.swap("staff", driver="ann", proof=None)
    assert (begun.status, begun.json["proof"], begun.json["driver"]) == (201, "staff", "ann")
    for query in ("station=X1", "driver=ann", "state=authorised"):
        found = (await town.rest.get(f"/swaps?{query}"))["items"]
        assert begun.json["id"] in [swap["id"] for swap in found], query
    first = await town.rest.get("/swaps?limit=1")
    assert first["next_cursor"] and (await town.rest.get(f"/swaps?cursor={first['next_cursor']}"))["items"]
    assert (await town.ask("bob", "GET", "/swaps")).json["items"] == []


async def test_who_asks_for_what_is_not_there_is_told_what_is_wrong(town: Plaza) -> None:
    for item_type, words in (("nope", "nothing of type nope at X1"), ("k1", "too few packs")):
        for code in ("b1", "b2", "b3"):
            await town.ask("staff", "POST", f"/items/{code}/quarantine", {"reason": "a test"})
        reply = await town.rent("ann", "X1", item_type=item_type)
        assert (reply.status, reply.json["error"]) == (409, "NoBatteryAvailable") and words in reply.json["detail"]
    slot = await town.rent("ann", "X1", connector=9)
    assert (slot.status, slot.json["detail"]) == (404, "station X1 has no slot 9")


async def test_a_pack_is_reserved_in_the_time_of_the_stations_site(town: Plaza) -> None:
    made = await town.ask("ann", "POST", "/reservations", WANTED)
    assert made.status == 201, made.body
    kept = made.json
    assert (kept["driver"], kept["days"], kept["begins"], kept["from"]) == (
        "ann",
        ["MON", "SUN"],
        "07:30",
        "2026-11-20",
    )
    assert (kept["time_zone"], kept["count"], kept["until"]) == ("Asia/Seoul", 1, None)
    assert (await town.ask("ann", "GET", f"/reservations/{kept['id']}")).json == kept
    assert [r["id"] for r in (await town.rest.get("/reservations?station=X1&driver=ann"))["items"]] == [kept["id"]]
    assert (await town.ask("bob", "GET", "/reservations")).json["items"] == []
    assert (await town.ask("bob", "DELETE", f"/reservations/{kept['id']}")).status == 404
    assert (await town.ask("ann", "DELETE", f"/reservations/{kept['id']}")).status == 204
    assert (await town.ask("ann", "DELETE", f"/reservations/{kept['id']}")).status == 204
    assert (await town.rest.get(f"/reservations/{kept['id']}"))["state"] == "cancelled"


async def test_packs_that_are_reserved_are_left_for_whom_they_are_kept(town: Plaza) -> None:
    days = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    wanted = {**WANTED, "driver": "ann", "days": days, "begins": "20:30", "minutes": 60, "count": 3}
    assert (await town.ask("staff", "POST", "/reservations", wanted)).status == 201
    refused = await town.rent("staff", "X1", driver="bob", proof=None)
    assert (refused.status, refused.json["error"]) == (409, "NoBatteryAvailable"), refused.body
    assert (await town.rent("staff", "X1", driver="ann", proof=None)).status == 201


@pytest.mark.parametrize(
    ("who", "change", "status"),
    [
        ("ann", {"driver": "bob"}, 404),
        ("staff", {}, 422),
        ("staff", {"driver": "nobody"}, 404),
        ("ann", {"station": "S1"}, 404),
        ("ann", {"days": []}, 422),
        ("ann", {"days": ["FUN"]}, 422),
        ("ann", {"begins": "24:00"}, 422),
        ("ann", {"minutes": 0}, 422),
        ("ann", {"from": "2026-11-31"}, 422),
    ],
)
async def test_a_reservation_that_cannot_be_is_refused(town: Plaza, who: str, change: Any, status: int) -> None:
    reply = await town.ask(who, "POST", "/reservations", {**WANTED, **change})
    assert reply.status == status, reply.body
    assert await town.count("pack_reservation") == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"until": "2026-11-19"}, "/until"),
        ({"from": "2026-10-01", "until": "2026-11-19"}, "/until"),
        ({"days": ["TUE"], "until": "2026-11-23"}, "/days"),
        ({"item_type": "nope"}, "/item_type"),
        ({"count": 5}, "/count"),
    ],
)
async def test_a_reservation_that_could_never_keep_a_pack_is_refused(town: Plaza, change: Any, pointer: str) -> None:
    reply = await town.ask("ann", "POST", "/reservations", {**WANTED, **change})
    assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), reply.body
    assert await town.count("pack_reservation") == 0


async def test_a_reservation_whose_last_hour_is_to_come_is_taken(town: Plaza) -> None:
    today = {"days": ["FRI"], "until": "2026-11-20", "item_type": "k1", "count": 4}
    over = await town.ask("ann", "POST", "/reservations", {**WANTED, **today, "begins": "20:00", "minutes": 60})
    runs = await town.ask("ann", "POST", "/reservations", {**WANTED, **today, "begins": "20:00", "minutes": 61})
    assert (over.status, runs.status) == (422, 201), runs.body


async def test_a_driver_has_so_many_reservations_and_no_more(town: Plaza) -> None:
    for _ in range(20):
        assert (await town.ask("ann", "POST", "/reservations", WANTED)).status == 201
    assert (await town.ask("ann", "POST", "/reservations", WANTED)).status == 409
    assert (await town.ask("bob", "POST", "/reservations", WANTED)).status == 201


async def test_nothing_is_kept_for_a_driver_who_was_forgotten(town: Plaza) -> None:
    kept = (await town.ask("bob", "POST", "/reservations", WANTED)).json
    erased = await town.ask("bob", "POST", "/drivers/me/erasure")
    assert erased.status == 200, erased.body
    assert (await town.rest.get(f"/reservations/{kept['id']}"))["state"] == "cancelled"
    refused = await town.ask("staff", "POST", "/reservations", {**WANTED, "driver": "bob"})
    assert refused.status == 409, refused.body
