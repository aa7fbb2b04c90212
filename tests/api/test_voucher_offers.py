"""What vehicles are offered: by how their drivers charged, at everybody's prices (V02, V03, V04)."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.db import SQL
from csms.domain.offers import judge_all
from csms.flows import offering, tendency
from tests.api.offered import NIGHT, Bazaar, bazaar
from tests.api.test_voucher_preview import P1, product
from tests.make import NOON

WEEKDAYS, WEEKEND = {0, 1, 2, 3, 4}, {5, 6}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Bazaar]:
    async with bazaar(dsn, pool) as found:
        yield found


def claims(offer: str) -> Any:
    """What a signed offer says."""
    part = offer.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_who_charges_on_weekday_nights_is_offered_p1_p4_and_p3(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)

    found = (await town.inquire()).json

    assert [(one["product"], one["expected"]["minor"]) for one in found["offers"]] == [
        ("P1", 9_300), ("P4", 9_000), ("P3", 5_000),
    ]  # fmt: skip
    assert (found["confidence"], found["sessions"], found["currency"]) == ("high", 40, "KRW")
    best = found["offers"][0]
    assert best["recommended"] and best["text"].startswith("On your last 8 weeks it would have saved 9,300 KRW")
    assert (best["covered_wh"], best["used_wh"], best["conditions"]) == (160_000, 160_000, P1["conditions"])
    assert best["valid_until"] == found["valid_until"] == "2026-11-20T12:15:00.000Z"


async def test_who_charges_at_weekends_is_offered_p2_first(town: Bazaar) -> None:
    await town.charged("bob", 14, 20_000, WEEKEND)

    assert [one["product"] for one in (await town.inquire("bob")).json["offers"]] == ["P2", "P4", "P3"]
    assert "절약" in (await town.inquire("bob", language="ko")).json["offers"][0]["text"]


async def test_prices_are_the_same_whoever_asks(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    await town.charged("bob", 14, 20_000, WEEKEND)

    anns, bobs = [(await town.inquire(who)).json["offers"] for who in ("ann", "bob")]

    prices = [{one["product"]: one["price"] for one in offers} for offers in (anns, bobs)]
    common = prices[0].keys() & prices[1].keys()
    assert len(common) >= 2 and all(prices[0][name] == prices[1][name] for name in common)


async def test_who_never_charged_is_offered_the_cheapest_and_not_urged(town: Bazaar) -> None:
    found = (await town.inquire()).json

    [only] = found["offers"]
    assert (only["product"], only["recommended"], found["confidence"]) == ("P2", False, "low")
    assert only["reasons"][0]["code"] == "no_history"


async def test_the_same_question_gets_the_same_offers(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)

    first, second = [(await town.inquire()).json["offers"] for _ in range(2)]

    apart = {"id", "offer"}
    assert [{k: v for k, v in one.items() if k not in apart} for one in first] == [
        {k: v for k, v in one.items() if k not in apart} for one in second
    ]


async def test_energy_counts_on_through_a_session_that_is_kept_in_quarters(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", product("tiny", 100, 10))
    for week in range(8):
        await town.quarters("ann", NOON - timedelta(days=7 * week + 1), [2_500] * 4)

    found = {one["product"]: one for one in (await town.inquire()).json["offers"]}

    assert found["tiny"]["expected"]["minor"] == 10 * 300 - 100  # the first 10 kWh of 40, whole


async def test_a_session_at_a_station_without_a_tariff_is_left_out(town: Bazaar) -> None:
    await town.quarters("ann", NOON - timedelta(days=3), [2_500] * 4, station="BARE")

    assert (await town.inquire()).json["sessions"] == 0


async def test_a_session_that_began_before_the_56_days_is_left_out_whole(town: Bazaar) -> None:
    await town.quarters("ann", NOON - timedelta(days=56, minutes=30), [2_500] * 4)
    await town.quarters("ann", NOON - timedelta(days=56), [2_500] * 4)

    found = (await town.inquire()).json

    assert (found["sessions"], found["days"]) == (1, 56)


async def test_what_is_not_sold_now_is_not_offered(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    await town.rest.post("/voucher-products", {**P1, "on_sale": False})
    await town.rest.post("/voucher-products", {**product("P4", 39_000, 300), "quota": 1})
    [offer] = [one for one in (await town.inquire()).json["offers"] if one["product"] == "P4"]
    assert (await town.buy(offer["id"])).status == 201

    assert [one["product"] for one in (await town.inquire()).json["offers"]] == ["P3"]


async def test_what_is_sold_out_for_the_power_of_a_site_is_not_offered(town: Bazaar) -> None:
    body = {
        "id": "site-night", "name": "Night", "unit": "wh", "amount": 28_000, "valid_days": 28,
        "price": {"minor": 0, "currency": "KRW"},
        "conditions": {"start_time": "22:00", "end_time": "02:00", "sites": ["site"]},
    }  # fmt: skip
    await town.charged("ann", 22, 4_000, {0, 1, 2, 3, 4, 5, 6})
    assert (await town.ask("staff", "POST", "/voucher-products", body)).status == 201
    await town.ask("staff", "PATCH", "/sites/site", {"power_cap_w": 250})

    before = (await town.inquire("ann")).json["offers"]
    assert "site-night" in [offer["product"] for offer in before]
    assert (await town.ask("bob", "POST", "/drivers/me/vouchers", {"product": "site-night"})).status == 201
    after = (await town.inquire("ann")).json["offers"]

    assert "site-night" not in [offer["product"] for offer in after]
    windows = await town.rest.get("/sites/site/voucher-windows")
    assert (windows["limit_w"], {half["expected_w"] for half in windows["items"]}, len(windows["items"])) == (
        250,
        {250},
        56,
    )


async def test_at_a_station_what_counts_there_is_offered(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", product("elsewhere", 1, 1, conditions={"stations": ["S2"]}))

    assert [one["product"] for one in (await town.inquire()).json["offers"]] == ["elsewhere"]
    at_s1 = (await town.inquire(currency=None, station="S1")).json
    assert ([one["product"] for one in at_s1["offers"]], at_s1["currency"], at_s1["station"]) == (["P2"], "KRW", "S1")
    assert (await town.inquire(station="nowhere")).status == 422


async def test_the_currency_is_that_of_the_last_session_or_has_to_be_said(town: Bazaar) -> None:
    assert (await town.inquire(currency=None)).json["currency"] == "KRW"
    await town.rest.post("/voucher-products", product("usd", 100, 1, currency="USD"))

    assert (await town.inquire(currency=None)).status == 422
    assert [one["product"] for one in (await town.inquire(currency="USD")).json["offers"]] == ["usd"]
    assert (await town.inquire(currency="EUR")).json["offers"] == []
    assert (await town.inquire(currency="XXX")).status == 422
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    assert (await town.inquire(currency=None)).json["currency"] == "KRW"


async def test_what_is_not_for_charging_is_not_offered_to_vehicles(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", product("packs", 1, 1, conditions={"uses": ["rental"]}))
    await town.rest.post("/voucher-products", {**product("swaps", 1, 1), "unit": "cnt", "amount": 3})

    assert (await town.inquire()).json["offers"][0]["product"] == "P2"


async def test_an_offer_is_signed_and_names_the_driver_to_nobody(town: Bazaar) -> None:
    first, second = await town.offer(), await town.offer()

    told = claims(first["offer"])
    assert (told["jti"], told["product"], told["version"]) == (first["id"], "P2", 1)
    assert (told["aud"], told["price"]) == ("csms/voucher-offers", {"minor": 7_900, "currency": "KRW"})
    assert "ann" not in json.dumps(told) and told["driver"] != claims(second["offer"])["driver"]
    assert told["exp"] - told["iat"] == 900


async def test_an_offer_is_no_access_token(town: Bazaar) -> None:
    offer = await town.offer()

    reply = await town.rest.raw("GET", "/api/v1/drivers", headers={"Authorization": f"Bearer {offer['offer']}"})

    assert reply.status == 401


async def test_a_vehicle_that_is_not_proven_asks_for_nothing(town: Bazaar) -> None:
    vin = {"type": "VIN", "value": "WVWZZZ1JZXW000001"}
    vehicle = (await town.ask("ann", "POST", "/drivers/me/vehicles", vin)).json["id"]

    for path, body in (("voucher-inquiries", {}), ("vouchers", {"offer": "x"})):
        reply = await town.ask("ann", "POST", f"/vehicles/{vehicle}/{path}", body)
        assert reply.status == 409 and "staff have to confirm it" in reply.json["detail"]


async def test_anothers_vehicle_is_not_there(town: Bazaar) -> None:
    assert (await town.inquire("bob", of="ann")).status == 404
    assert (await town.buy("x", "bob", of="ann")).status == 404
    assert (await town.ask("bob", "POST", "/vehicles/nonsense/voucher-inquiries", {})).status == 404


async def test_a_question_and_its_offers_are_kept(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    found = (await town.inquire()).json

    async with town.rest.pool.acquire() as conn:
        rows = await conn.fetch("select * from voucher_offer order by place")
        asked = await conn.fetchrow("select * from voucher_inquiry")
    assert [str(row["id"]) for row in rows] == [one["id"] for one in found["offers"]]
    assert [row["expected_minor"] for row in rows] == [9_300, 9_000, 5_000]
    assert (asked["driver_id"], asked["asked_at"], asked["tendency_version"]) == ("ann", NOON, None)


async def test_who_asks_all_the_time_has_to_wait(town: Bazaar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "INQUIRIES_MAX", 2)

    replies = [await town.inquire() for _ in range(3)]

    assert [reply.status for reply in replies] == [201, 201, 429] and replies[2].headers["Retry-After"] == "60"
    assert (await town.inquire("bob")).status == 201
    town.later(15)
    assert (await town.inquire()).status == 201


async def test_hours_that_are_sold_out_at_a_site_are_not_offered(town: Bazaar) -> None:
    there = {"sites": ["site"], "start_time": "22:00", "end_time": "23:00"}
    await town.rest.post("/voucher-products", product("hour", 100, 28, conditions=there))
    assert [one["product"] for one in (await town.inquire()).json["offers"]] == ["hour"]

    assert (await town.ask("staff", "PATCH", "/sites/site", {"power_cap_w": 500})).status == 200

    assert [one["product"] for one in (await town.inquire()).json["offers"]] == ["P2"]


async def test_the_tendency_that_was_there_before_the_question_is_named(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    async with town.rest.pool.acquire() as conn:
        await SQL.compute_tendency.run(conn, ["ann"], NOON)

    told = (await town.inquire()).json

    assert told["tendency_version"] == (await town.rest.get("/drivers/ann/tendency"))["version"] == 1


async def test_who_opted_out_is_shown_all_by_price_and_nothing_is_recommended(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    opted = await town.ask("ann", "PUT", "/drivers/me/tendency/opt-out", {"opt_out": True})
    assert opted.status in (200, 204), opted.body

    told = (await town.inquire()).json

    assert [offer["product"] for offer in told["offers"]] == ["P2", "P1", "P3", "P4"]
    assert (told["tendency_version"], told["sessions"]) == (None, 0)
    assert not any(offer["recommended"] for offer in told["offers"])


async def test_who_is_hardly_known_is_compared_with_the_middle_driver_of_a_cohort(town: Bazaar) -> None:
    await town.charged("bob", NIGHT, 8_000, WEEKDAYS)
    async with town.rest.pool.acquire() as conn:
        await conn.execute("insert into cohort values ('any', 'any', 20, 'bob', $1)", NOON)
    alone = (await town.inquire("ann")).json
    await town.quarters("ann", NOON - timedelta(days=1), [1_000])
    once = (await town.inquire("ann")).json

    assert [offer["product"] for offer in alone["offers"]] == ["P1", "P4", "P3"]
    assert [offer["expected"]["minor"] for offer in alone["offers"]] == [9_300, 9_000, 5_000]
    assert {offer["confidence"] for offer in alone["offers"]} == {"low"}
    assert "drivers like you" in alone["offers"][0]["text"]
    mixed = {offer["product"]: offer["expected"]["minor"] for offer in once["offers"]}
    assert 0 < mixed["P1"] < 9_300


async def test_no_connection_is_held_while_products_are_tried_out(
    town: Bazaar, monkeypatch: pytest.MonkeyPatch
) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    pool, busy = town.rest.pool, []

    def judging(*asked: Any) -> Any:
        busy.append(pool.get_size() - pool.get_idle_size())
        return judge_all(*asked)

    monkeypatch.setattr(offering, "judge_all", judging)

    assert (await town.inquire()).status == 201
    assert busy == [0]


async def test_what_nobody_took_is_forgotten_after_thirty_days(town: Bazaar) -> None:
    taken, declined = await town.offer(), await town.offer()
    await town.inquire("bob")
    assert (await town.buy(taken["offer"])).status == 201
    town.till.says = ["declined"]
    social = {"psp": "social", "token": "token-of-ann"}
    assert (await town.buy(declined["offer"], pay=social)).status == 402
    before = await town.count("voucher_offer")

    async with town.rest.pool.acquire() as conn:
        await tendency.night_turn(conn, NOON + timedelta(days=29))
        assert await town.count("voucher_offer") == before
        while await tendency.night_turn(conn, NOON + timedelta(days=31)):
            pass
        kept = {str(row["id"]) for row in await conn.fetch("select id from voucher_offer")}

    assert kept == {taken["id"], declined["id"]} and await town.count("voucher_inquiry") == 2


async def test_what_a_driver_has_already_is_not_recommended_again(town: Bazaar) -> None:
    await town.charged("ann", NIGHT, 8_000, WEEKDAYS)
    [first, *_] = (await town.inquire()).json["offers"]
    assert first["product"] == "P1"
    assert (await town.buy(first["id"])).status == 201

    assert [offer["product"] for offer in (await town.inquire()).json["offers"]] == ["P4", "P3"]
