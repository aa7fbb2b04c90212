"""How often products were offered, and taken: the report says the same for ever, also when the offers are gone."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import openpyxl
import pytest

from csms import db
from csms.db import WRITER
from csms.flows import offering, tendency
from csms.flows.offering import Question
from tests.api.offered import NIGHT, Bazaar, bazaar
from tests.make import NOON

WEEKDAYS = {0, 1, 2, 3, 4}
LATER = NOON + timedelta(days=31)


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Bazaar]:
    async with bazaar(dsn, pool) as running:
        await running.charged("ann", NIGHT, 8_000, WEEKDAYS)
        yield running


async def told(town: Bazaar, more: str = "") -> dict[str, tuple[int, int, int]]:
    """Product -> how often it was offered, how often that was taken, how many were sold."""
    items = (await town.rest.get(f"/reports/vouchers?{more}"))["items"]
    return {row["product"]: (row["offered"], row["taken"], row["sold"]) for row in items}


async def nights(town: Bazaar) -> None:
    """All that a night does, a month later, by two workers at once."""

    async def night() -> None:
        async with town.rest.pool.acquire() as conn:
            while await tendency.night_turn(conn, LATER):
                pass

    await asyncio.gather(night(), night())


ALL_OFFERED = {"P1": (2, 1, 1), "P3": (2, 0, 0), "P4": (2, 0, 0)}


async def test_the_report_says_the_same_before_and_after_offers_are_deleted(town: Bazaar) -> None:
    await town.offer()
    [first, *_] = (await town.inquire()).json["offers"]
    assert (await town.buy(first["offer"])).status == 201
    before = await town.rest.get("/reports/vouchers")

    await nights(town)
    await nights(town)

    assert await town.count("voucher_offer") == 1
    assert await town.rest.get("/reports/vouchers") == before
    assert await told(town) == ALL_OFFERED


async def test_a_product_that_nobody_bought_is_in_the_report_in_every_form(town: Bazaar) -> None:
    await town.offer()
    items = (await town.rest.get("/reports/vouchers?limit=2"))["items"]
    text = (await town.rest.ask("GET", "/reports/vouchers?format=csv")).body.decode()
    sheet = openpyxl.load_workbook(
        io.BytesIO((await town.rest.ask("GET", "/reports/vouchers?format=xlsx")).body)
    ).active

    columns, *rows = list(csv.reader(io.StringIO(text, newline="")))
    assert columns[:7] == ["product", "provider", "unit", "currency", "offered", "taken", "sold"]
    assert [row[:7] for row in rows] == [[name, "", "wh", "KRW", "1", "0", "0"] for name in ("P1", "P3", "P4")]
    assert [[cell.value for cell in row[4:7]] for row in list(sheet.iter_rows())[1:]] == [[1, 0, 0]] * 3
    assert [(row["product"], row["price"], row["saved_minor"]) for row in items] == [("P1", "0", 0), ("P3", "0", 0)]


async def test_an_offer_counts_in_the_quarter_of_an_hour_in_which_it_was_asked_for(town: Bazaar) -> None:
    town.later(7)
    await town.offer()
    town.later(8)
    offer = await town.offer()
    town.later(14)
    assert (await town.buy(offer["offer"])).status == 201

    async def of(since: str, until: str) -> tuple[int, int, int] | None:
        return (await told(town, f"from=2026-11-20T{since}:00Z&to=2026-11-20T{until}:00Z")).get("P1")

    for _ in range(2):
        assert await of("12:00", "12:15") == (1, 0, 0) and await of("12:15", "12:30") == (1, 1, 1)
        assert await of("12:00", "12:01") == (1, 0, 0) and await of("12:01", "12:15") is None
        await nights(town)


async def test_an_inquiry_that_is_not_committed_counts_nothing(town: Bazaar) -> None:
    vehicle = UUID(await town.app("ann"))
    async with town.rest.pool.acquire() as conn:
        await db.SQL.act_as.run(conn, WRITER, "", "", "")

        class Opened:
            async def __aenter__(self) -> Any:
                return conn

            async def __aexit__(self, *_: object) -> None:
                pass

        judged = await offering.judge(Opened, Question(vehicle, "ann", "KRW", None), NOON)
        dying = conn.transaction()
        await dying.start()
        await offering.keep(conn, judged, NOON)
        assert await conn.fetchval("select sum(offered) from voucher_offered") == 3
        await dying.rollback()

    assert (await told(town), await town.count("voucher_offered")) == ({}, 0)


async def test_many_who_ask_and_buy_at_once_are_all_counted(town: Bazaar) -> None:
    await town.charged("bob", NIGHT, 8_000, WEEKDAYS)
    await asyncio.gather(town.app("ann"), town.app("bob"))

    async def buy(who: str) -> None:
        [first, *_] = (await town.inquire(who)).json["offers"]
        assert (await town.buy(first["offer"], who)).status in (201, 402)

    await asyncio.gather(*(buy(who) for who in ("ann", "bob") * 4))

    counted = await told(town)
    assert sum(offered for offered, _, _ in counted.values()) == await town.count("voucher_offer")
    assert sum(taken for _, taken, _ in counted.values()) == await town.count("voucher")


async def test_staff_of_a_provider_see_how_often_their_own_products_were_offered(town: Bazaar) -> None:
    for product in ("P1", "P3"):
        body = {"id": f"{product}-of-P", "name": "P's", "unit": "wh", "amount": 500_000, "provider": "P",
                "price": {"minor": 10, "currency": "KRW"}, "valid_days": 28}  # fmt: skip
        assert (await town.ask("staff", "POST", "/voucher-products", body)).status == 201
    terms = {"operator_bp": 1_000, "operator_fixed_minor": 0}
    await town.rest.post("/providers", {"id": "Q", "name": "Q", "terms": terms})
    await town.offer()

    async def seen(provider: str) -> dict[str, int]:
        scopes = {"scopes": ("reports:read",), "provider": provider}
        rows = (await town.ask("staff", "GET", "/reports/vouchers", **scopes)).json["items"]
        return {row["product"]: row["offered"] for row in rows}

    for _ in range(2):
        assert await seen("P") == {"P1-of-P": 1, "P3-of-P": 1} == await of_provider(town, "P")
        assert await seen("Q") == {} == await of_provider(town, "Q")
        await nights(town)
    assert set(await told(town)) > {"P1-of-P", "P3-of-P"}


async def of_provider(town: Bazaar, provider: str) -> dict[str, int]:
    """What the operator's staff are told of a provider's products."""
    return {product: offered for product, (offered, _, _) in (await told(town, f"provider={provider}")).items()}
