"""Who designs products sees what would be offered, and why, before anything is sold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.api.conftest import Rest

NOW = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
PRICE = {"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}
TARIFF = {
    "country_code": "KR", "party_id": "CSM", "id": "T", "currency": "KRW", "tax_included": "YES", "elements": [PRICE],
    "last_updated": "2026-01-01T00:00:00Z",
}  # fmt: skip


def product(name: str, price: int, kwh: int, currency: str = "KRW", **more: Any) -> dict[str, Any]:
    """A voucher of four weeks."""
    money = {"minor": price, "currency": currency}
    return {"id": name, "name": name, "unit": "wh", "amount": kwh * 1_000, "price": money, "valid_days": 28, **more}


P1 = product(
    "P1", 9_900, 200, effect={"kind": "percent_off", "percent": 40},
    conditions={"start_time": "21:00", "end_time": "07:00"},
)  # fmt: skip
P2 = product("P2", 7_900, 60, conditions={"day_of_week": ["SATURDAY", "SUNDAY"]})
P3 = product("P3", 25_000, 100)
P4 = product("P4", 39_000, 300)
ALL = [P1, P2, P3, P4]


def weeks(hour: int, wh: int, days: set[int], count: int = 8) -> list[dict[str, Any]]:
    """An hour of charging on these weekdays (Monday 0) of so many weeks."""
    starts = [NOW - timedelta(weeks=count) + timedelta(days=day, hours=hour) for day in range(7 * count)]
    return [{"start": at.isoformat(), "minutes": 60, "wh": wh} for at in starts if at.weekday() in days]


A = weeks(22, 8_000, {0, 1, 2, 3, 4})
B = weeks(14, 20_000, {5, 6})


async def ask(rest: Rest, path: str = "", **body: Any) -> Any:
    asked = {"tariff": TARIFF, "products": ALL, "history": A, "now": NOW.isoformat(), **body}
    scopes = ("tariff:write",)
    reply = await rest.ask("POST", f"/voucher-products/preview{path}", json=asked, scopes=scopes)
    return reply if reply.status != 200 else reply.json


@pytest.mark.parametrize(
    ("history", "expected", "offered"),
    [(A, [9_300, -7_900, 5_000, 9_000], ["P1", "P4", "P3"]), (B, [-9_900, 10_100, 5_000, 9_000], ["P2", "P4", "P3"])],
    ids=["weekday nights", "weekends"],
)
async def test_the_known_answers_come_out(rest: Rest, history: Any, expected: list[int], offered: list[str]) -> None:
    found = await ask(rest, history=history)

    assert [one["expected"]["minor"] for one in found["all"]] == expected
    assert [one["product"] for one in found["offers"]] == offered
    assert all(one["recommended"] for one in found["offers"])
    assert {one["gain"] for one in found["offers"]} == {"1"}
    assert {(one["confidence"], one["extrapolated"]) for one in found["all"]} == {("high", False)}


@pytest.mark.parametrize(("wh", "cents"), [(58_000, -4), (58_334, 0), (59_000, 8)])
async def test_a_flat_rate_breaks_even_where_arithmetic_says(rest: Rest, wh: int, cents: int) -> None:
    dollars = {"price_components": [{"type": "ENERGY", "price": 0.48, "vat": 10, "step_size": 1}]}
    flat = product("flat", 700, 10_000, "USD", effect={"kind": "flat_rate", "price": 0.36})
    history = [{"start": (NOW - timedelta(days=27)).isoformat(), "minutes": 60, "wh": wh}]

    found = await ask(
        rest, tariff={**TARIFF, "currency": "USD", "elements": [dollars]}, products=[flat], history=history
    )

    assert found["offers"][0]["worst"]["minor"] == cents


async def test_an_offer_says_why_in_codes_and_in_words(rest: Rest) -> None:
    best = (await ask(rest))["offers"][0]
    korean = (await ask(rest, "?language=ko"))["offers"][0]

    assert best["text"] == (
        "On your last 8 weeks it would have saved 9,300 KRW per 28 days, its price of 9,900 KRW taken off."
        " It covers 160 of your 160 kWh."
    )
    assert "9,300 KRW을 절약" in korean["text"] and korean["reasons"] == best["reasons"]
    assert {reason["code"]: reason["numbers"] for reason in best["reasons"]} == {
        "saves": {"minor": 9_300, "currency": "KRW", "days": 28},
        "gain": {"gain": "1", "windows": 29},
        "covers": {"covered": 160_000, "unit": "wh", "used": 160_000},
        "confidence_high": {"sessions": 40, "days": 56},
    }
    assert (best["covered_wh"], best["used_wh"], best["version"]) == (160_000, 160_000, None)


async def test_where_nothing_saves_money_the_best_is_shown_and_not_recommended(rest: Rest) -> None:
    found = await ask(rest, history=weeks(12, 1_000, {2}))

    [only] = found["offers"]
    assert (only["product"], only["recommended"], only["expected"]["minor"]) == ("P2", False, -7_900)
    assert only["text"].startswith("On your last 54 days it would have cost you 7,900 KRW more per 28 days")


async def test_without_a_history_the_cheapest_is_shown_and_not_recommended(rest: Rest) -> None:
    found = await ask(rest, history=[])

    [only] = found["offers"]
    assert (only["product"], only["recommended"], only["confidence"], only["windows"]) == ("P2", False, "low", 0)
    assert [reason["code"] for reason in only["reasons"]] == ["no_history"]


async def test_a_stored_product_is_named_by_its_id(rest: Rest) -> None:
    await rest.post("/voucher-products", P1)

    found = await ask(rest, products=["P1", P4])

    assert [(one["product"], one["version"]) for one in found["offers"]] == [("P1", 1), ("P4", None)]


async def test_sessions_count_by_the_clock_of_the_site(rest: Rest) -> None:
    found = await ask(rest, history=weeks(13, 8_000, {0, 1, 2, 3, 4}), time_zone="Asia/Seoul")

    assert found["offers"][0]["product"] == "P1"  # 22:00 in Seoul


async def test_stations_and_sites_of_conditions_count(rest: Rest) -> None:
    there = [{**one, "station": "S1", "site": "mall"} for one in A]
    products = [
        product("s", 100, 300, conditions={"stations": ["S1"]}),
        product("m", 200, 300, conditions={"sites": ["mall"]}),
    ]

    assert [one["expected"]["minor"] for one in (await ask(rest, history=there, products=products))["all"]] == [
        47_900,
        47_800,
    ]
    assert [one["expected"]["minor"] for one in (await ask(rest, products=products))["all"]] == [-100, -200]


async def test_the_same_question_in_another_order_gets_the_same_offers(rest: Rest) -> None:
    turned = await ask(rest, history=A[::-1], products=ALL[::-1])

    assert turned["offers"] == (await ask(rest))["offers"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"products": [P1, {**P2, "unit": "km"}]}, "/products/1/unit"),
        ({"products": [{**P1, "effect": {"kind": "half"}}]}, "/products/0/effect/kind"),
        ({"products": [P1, "nobody"]}, "/products/1"),
        ({"products": [7]}, "/products/0"),
        ({"products": []}, "/products"),
        ({"products": [P1] * 101}, "/products"),
        ({"products": [{**P1, "price": {"minor": 1, "currency": "USD"}}]}, "/products/0/price/currency"),
        ({"history": [{"start": "2026-02-01T00:00:00Z", "minutes": -1, "wh": 1}]}, "/history/0/minutes"),
        ({"history": [{"start": "yesterday", "minutes": 1, "wh": 1}]}, "/history/0/start"),
        ({"history": A * 501}, "/history"),
        ({"time_zone": "Mars"}, "/time_zone"),
        ({"tariff": {**TARIFF, "currency": "XXX"}}, "/tariff/currency"),
        ({"tariff": {**TARIFF, "elements": []}}, "/tariff/elements"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_its_place(rest: Rest, change: Any, pointer: str) -> None:
    reply = await ask(rest, **change)

    assert reply.status == 422, reply.body
    assert any(error["pointer"].startswith(pointer) for error in reply.json["errors"]), reply.body


async def test_nothing_is_stored(rest: Rest) -> None:
    await ask(rest)

    async with rest.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from voucher_product") == 0
        assert await conn.fetchval("select count(*) from audit_event") == 0


async def test_the_example_of_the_page_answers_what_the_page_says(rest: Rest) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "design-a-product.md").read_text("utf-8")
    night, tariff = (json.loads(found) for found in re.findall(r"<<'JSON'\n(.*?)\n *JSON\n", page, re.DOTALL))
    (program,) = re.findall(r"<<'PY'\n(.*?)\n *PY\n", page, re.DOTALL)
    history = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True).stdout

    found = await ask(rest, tariff=tariff, products=[night], history=json.loads(history))

    [offer] = found["offers"]
    assert (offer["expected"]["amount"], offer["recommended"]) == ("9300", True)
    assert offer["text"] in re.sub(r"\s+", " ", page)
