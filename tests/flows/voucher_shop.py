"""Vouchers that are sold to drivers of the small world, and what became of them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from csms import db
from csms.base.money import Money
from csms.domain import token as tokens
from csms.flows import vouchers
from csms.flows.vouchers import ProductSpec
from tests import make
from tests.make import NOON, new_id


async def sell(
    conn: Any, driver: str = "ann", wh: int = 100_000, price: int = 25_000, fund: bool = True, **terms: Any
) -> Any:
    """
    A voucher of some Wh, valid since an hour before noon, paid with money of its own; its id.

    `vehicle`: the token of the one for which it is bought.
    """
    vehicle = terms.pop("vehicle", None)
    spec = ProductSpec(
        f"p{new_id().hex[-8:]}", None, "Wh", terms.pop("unit", "wh"), wh, Money(price, "KRW"), Decimal(10), 28,
        terms.pop("carry_over", False), None, terms.pop("refund", "none"), **terms,
    )  # fmt: skip
    await vouchers.add_product(conn, spec, NOON)
    if fund and price:
        await make.fund(conn, driver, price)
    voucher_id = new_id()
    async with conn.transaction():
        key = None if vehicle is None else tokens.key(vehicle)
        await vouchers.buy(conn, voucher_id, driver, spec.id, NOON - timedelta(hours=1), vehicle_key=key)
    return voucher_id


async def used(conn: Any, voucher_id: Any) -> tuple[int, int, int]:
    """(units used, money released, uses) of a voucher."""
    row = await conn.fetchrow("select used, released_minor, uses from voucher where id = $1", voucher_id)
    return row["used"], row["released_minor"], row["uses"]


async def balance(conn: Any, address: str) -> int:
    return int(await conn.fetchval("select balance from account_balance where address = $1", address) or 0)


async def bill(conn: Any, ref: str = "r1") -> Any:
    return await conn.fetchrow(
        "select b.* from bill b join session s on s.id = b.session_id where s.ref = $1 order by revision desc", ref
    )


async def in_order(conn: Any) -> None:
    assert await db.check(conn) == {}
