"""What of vouchers is sold: as many as there is power, and as a quota allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms import db
from csms.base.errors import Conflict
from csms.base.money import Money
from csms.flows import voucher_windows, vouchers
from csms.flows.vouchers import ProductSpec
from tests import make
from tests.flows.test_voucher_loads import more_of
from tests.flows.voucher_shop import sell
from tests.make import NOON, new_id


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def test_more_is_not_sold_for_hours_that_are_full_at_a_site(dsn: str, conn: Any) -> None:
    await conn.execute("update site set power_cap_w = 500")
    terms = {"conditions": {"start_time": "22:00", "end_time": "02:00", "sites": ["site"]}}
    free = Money(0, "KRW")
    spec = ProductSpec("night", None, "Night", "wh", 28_000, free, Decimal(0), 28, False, None, "none", **terms)
    await vouchers.add_product(conn, spec, NOON)

    async def buy() -> None:
        async with conn.transaction():
            await vouchers.buy(conn, new_id(), "ann", "night", NOON)

    await buy()
    await buy()
    with pytest.raises(Conflict, match="sold out at site"):
        await buy()

    load = (await voucher_windows.loads(conn, ["site"], NOON))["site"]
    assert {int(watts) for watts in load} == {0, 500}
    assert await voucher_windows.loads(conn, ["site"], NOON + timedelta(days=29)) == {}


async def test_the_hours_that_must_be_free_are_those_of_the_version_that_is_sold(conn: Any) -> None:
    await conn.execute("update site set power_cap_w = 500")
    terms = {"conditions": {"start_time": "22:00", "end_time": "02:00", "sites": ["site"]}}
    free = Money(0, "KRW")
    spec = ProductSpec("night", None, "Night", "wh", 28_000, free, Decimal(0), 28, False, None, "none", **terms)
    await vouchers.add_product(conn, spec, NOON)

    async def buy(version: int | None) -> None:
        async with conn.transaction():
            await vouchers.buy(conn, new_id(), "ann", "night", NOON, version)

    await buy(1)
    await buy(1)
    await vouchers.add_product(conn, replace(spec, conditions=None), NOON)
    await buy(2)
    with pytest.raises(Conflict, match="sold out at site"):
        await buy(1)
    await vouchers.add_product(conn, replace(spec, amount=500_000_000), NOON)
    await conn.execute("update site set power_cap_w = 750")
    with pytest.raises(Conflict, match="sold out at site"):
        await buy(None)
    await buy(1)


@pytest.mark.parametrize("name", ["count_valid_vouchers", "list_products_on_sale", "sold_windows"])
async def test_those_that_are_over_are_not_counted_through(conn: Any, name: str) -> None:
    terms = {"conditions": {"sites": ["site"]}, "quota": 10}
    voucher_id = await sell(conn, price=0, **terms)
    await more_of(conn, voucher_id, 3_000)
    await sell(conn, price=0, **terms)
    await conn.execute("analyze voucher")
    product_id = await conn.fetchval("select product_id from voucher where id = $1", voucher_id)
    later = NOON + timedelta(days=300)
    arguments = {
        "count_valid_vouchers": (product_id, later),
        "list_products_on_sale": (later,),
        "sold_windows": (["site"], later),
    }[name]

    plan = await conn.fetch(f"explain {db.queries()[name].text}", *arguments)

    assert "using voucher_valid on voucher" in "\n".join(row[0] for row in plan), plan


async def test_what_is_not_on_sale_or_sold_out_is_not_sold(dsn: str, conn: Any) -> None:
    spec = ProductSpec("few", None, "Few", "wh", 1_000, Money(0, "KRW"), Decimal(0), 28, False, None, "none", quota=1)
    await vouchers.add_product(conn, spec, NOON)
    async with conn.transaction():
        await vouchers.buy(conn, new_id(), "ann", "few", NOON)

    with pytest.raises(Conflict, match="all 1"):
        await vouchers.buy(conn, new_id(), "bob", "few", NOON)
    await vouchers.buy(conn, new_id(), "bob", "few", NOON + timedelta(days=28))
    await vouchers.add_product(conn, replace(spec, on_sale=False), NOON)
    with pytest.raises(Conflict, match="not on sale"):
        await vouchers.buy(conn, new_id(), "bob", "few", NOON + timedelta(days=80))
