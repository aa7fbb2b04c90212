"""Vouchers for sites with a tag and for one vehicle, over HTTP: shown, offered, bought (V03, V04)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain import token as tokens
from tests.api.conftest import Rest
from tests.api.offered import NIGHT, Bazaar, bazaar
from tests.api.test_voucher_preview import A, ask, product
from tests.api.test_voucher_purchases import SOCIAL, work
from tests.make import NOON

CAR, VAN = "0123456789AB", "BA9876543210"
WEEKDAYS = {0, 1, 2, 3, 4}
OWN = product("own", 1_000, 300, conditions={"vehicle": True}, refund="unused")
DEPOT = product("depot", 1_000, 300, conditions={"tags": ["depot"]})


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Bazaar]:
    async with bazaar(dsn, pool) as found:
        yield found


async def vehicle(town: Bazaar, value: str = CAR, kind: str = "EVCCID") -> str:
    """One of Ann's, proven: its id."""
    reply = await town.ask("staff", "POST", "/drivers/ann/vehicles", {"type": kind, "value": value})
    return str(reply.json["id"])


async def offered(town: Bazaar, vehicle_id: str, **body: Any) -> dict[str, Any]:
    """What Ann is offered for it, by product."""
    reply = await town.ask("ann", "POST", f"/vehicles/{vehicle_id}/voucher-inquiries", {"currency": "KRW", **body})
    assert reply.status == 201, reply.body
    return {one["product"]: one for one in reply.json["offers"]}


async def buy(town: Bazaar, vehicle_id: str, offer: str, **more: Any) -> Any:
    return await town.ask("ann", "POST", f"/vehicles/{vehicle_id}/vouchers", {"offer": offer, **more})


async def began(town: Bazaar, token: str, stands_for: str | None = None) -> None:
    """The sessions that are kept of Ann, and have none yet, began with this token."""
    keys = [None if text is None else tokens.key(text) for text in (token, stands_for)]
    async with town.rest.pool.acquire() as conn:
        await conn.execute(
            "insert into session (station_id, id, ref, start_key, version, state, day, provider_id, terms_version,"
            " token_key, stands_for, driver_id, offline, opened_at)"
            " select distinct station_id, session_id, session_id::text, session_id::text, 1, 'invalid', current_date,"
            " 'P', 1, $1::bytea, $2::bytea, 'ann', false, $3::timestamptz from usage_segment"
            " on conflict do nothing",
            *keys, NOON,
        )  # fmt: skip


async def test_a_site_has_tags_each_once_until_they_are_changed(town: Bazaar) -> None:
    yard = {"id": "yard", "provider": "P", "name": "Yard", "time_zone": "Asia/Seoul"}
    added = await town.rest.post("/sites", {**yard, "tags": ["fast", "depot", "fast"]})
    plain = await town.rest.post("/sites", {**yard, "id": "plain"})

    kept = (await town.rest.ask("PATCH", "/sites/yard", json={"region": "busan"})).json
    cleared = (await town.rest.ask("PATCH", "/sites/yard", json={"tags": []})).json

    assert (added["tags"], plain["tags"], kept["tags"]) == (["depot", "fast"], [], ["depot", "fast"])
    assert cleared["tags"] == (await town.rest.get("/sites/yard"))["tags"] == []
    for wrong in (["Depot"], ["two words"], [""], ["x" * 25], [7], [f"t{n}" for n in range(17)], "depot", None):
        assert (await town.rest.ask("PATCH", "/sites/yard", json={"tags": wrong})).status == 422, wrong
        reply = await town.ask("staff", "POST", "/sites", {**yard, "id": "new", "tags": wrong})
        assert reply.status == 422, wrong


@pytest.mark.parametrize(
    "conditions",
    [
        {"tags": []},
        {"tags": ["Depot"]},
        {"tags": [f"t{n}" for n in range(17)]},
        {"vehicle": False},
        {"vehicle": True, "uses": ["rental"]},
        {"vehicles": True},
    ],
)
async def test_conditions_that_cannot_be_are_refused(town: Bazaar, conditions: dict[str, Any]) -> None:
    reply = await town.ask("staff", "POST", "/voucher-products", {**OWN, "conditions": conditions})

    assert reply.status == 422
    assert reply.json["errors"][0]["pointer"].startswith("/conditions/")


async def test_at_a_station_what_counts_for_a_tag_of_its_site_is_offered(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    await town.rest.post("/voucher-products", DEPOT)
    car = await vehicle(town)

    before, at_s1 = await offered(town, car), await offered(town, car, station="S1")
    await town.rest.ask("PATCH", "/sites/site", json={"tags": ["fast", "depot"]})
    after = await offered(town, car, station="S1")

    assert "depot" not in before and "depot" not in at_s1
    assert next(iter(after)) == "depot" and after["depot"]["expected"]["minor"] == 47_000
    assert after["depot"]["conditions"] == {"tags": ["depot"]}
    assert {"code": "at_tags", "numbers": {"tags": "depot"}} in after["depot"]["reasons"]
    assert "only at sites with the tag depot." in after["depot"]["text"]


async def test_a_product_for_one_vehicle_is_judged_by_what_that_one_charged(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", OWN)
    await town.charged("ann", NIGHT, 8_000, {0})
    await began(town, "stand-in", CAR)
    await town.charged("ann", NIGHT, 8_000, {2})
    await began(town, VAN)
    await town.charged("ann", 12, 1_000, {4})  # nobody knows with which

    found = [(await offered(town, await vehicle(town, one)))["own"] for one in (CAR, VAN)]

    assert [one["expected"]["minor"] for one in found] == [4 * 8 * 300 - 1_000] * 2
    assert [one["covered_wh"] for one in found] == [32_000] * 2 and found[0]["used_wh"] == 68_000
    assert found[0]["conditions"] == {"vehicle": True}
    assert {"code": "one_vehicle", "numbers": {}} in found[0]["reasons"]


async def test_what_shows_no_token_is_offered_nothing_that_counts_for_one_vehicle(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    await town.rest.post("/voucher-products", {**OWN, "price": {"minor": 0, "currency": "KRW"}})

    app, vin = await town.app("ann"), await vehicle(town, "WVWZZZ1JZXW000001", "VIN")

    for one in (app, vin):
        assert "own" not in await offered(town, one)


async def test_what_is_bought_for_a_vehicle_names_it_and_is_offered_again_for_another_only(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", OWN)
    await town.charged("ann", NIGHT, 8_000, {0, 1})
    await began(town, CAR)
    await town.charged("ann", NIGHT, 8_000, {2, 3})
    await began(town, VAN)
    car, van = await vehicle(town), await vehicle(town, VAN)
    offer = (await offered(town, car))["own"]

    bought = await buy(town, car, offer["offer"])
    plain = await buy(town, van, (await offered(town, van))["P3"]["offer"])

    assert (bought.status, bought.json["vehicle"], bought.json["conditions"]) == (201, car, {"vehicle": True})
    assert (plain.status, plain.json["vehicle"]) == (201, None)
    assert "own" not in await offered(town, car) and "own" in await offered(town, van)
    shown = (await town.ask("ann", "GET", f"/drivers/me/vouchers/{bought.json['id']}")).json
    listed = (await town.ask("ann", "GET", "/drivers/me/vouchers")).json["items"]
    assert shown["vehicle"] == car and {one["vehicle"] for one in listed} == {car, None}
    await town.ask("ann", "DELETE", f"/drivers/me/vehicles/{car}")
    assert (await town.ask("ann", "GET", f"/drivers/me/vouchers/{bought.json['id']}")).json["vehicle"] is None
    refund = f"/drivers/me/vouchers/{bought.json['id']}/refund"
    assert (await town.ask("ann", "POST", refund)).json["state"] == "refunded"


async def test_without_a_vehicle_it_is_not_sold_and_the_answer_says_where(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", OWN)

    reply = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "own"})
    gift = await town.ask(
        "staff", "POST", "/voucher-batches",
        {"id": "spring", "product": "own", "count": 1, "redeem_until": "2026-12-31T00:00:00Z"},
        scopes=("tariff:write",),
    )  # fmt: skip

    assert reply.status == 409 and "/vehicles/{vehicle}/vouchers" in reply.json["detail"]
    assert gift.status == 422 and gift.json["errors"][0]["pointer"] == "/product"
    assert await town.count("voucher") == 0 and await town.balance() == 50_000


async def test_what_was_paid_for_a_vehicle_that_was_taken_away_meanwhile_stays_in_the_balance(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", OWN)
    await town.charged("ann", NIGHT, 8_000, {0})
    await began(town, CAR)
    car = await vehicle(town)
    offer = (await offered(town, car))["own"]
    town.till.says = ["away-taken"] * 99
    assert (await buy(town, car, offer["offer"], pay=SOCIAL)).status == 202
    await town.ask("ann", "DELETE", f"/drivers/me/vehicles/{car}")
    town.till.says, town.till.hidden = [], False

    result = await work(town)

    assert result.state == "done" and "one vehicle only" in result.facts["balance"]
    assert await town.count("voucher") == 0 and await town.balance() == 51_000


async def test_designers_say_at_which_tags_was_charged_and_take_all_of_it_for_one_vehicle(rest: Rest) -> None:
    there = [{**one, "tags": ["fast", "depot"]} for one in A]

    tagged, elsewhere = [(await ask(rest, history=one, products=[DEPOT, OWN]))["all"] for one in (there, A)]

    assert [one["expected"]["minor"] for one in tagged] == [47_000, 47_000]
    assert [one["expected"]["minor"] for one in elsewhere] == [-1_000, 47_000]
    reply = await ask(rest, history=[{**A[0], "tags": ["Depot"]}])
    assert reply.status == 422
