"""Vouchers that drivers have bought, used and given back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from csms.api.call import Call, Route, connection, idempotency_key, system
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.payers import known
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, Page, Paging, money
from csms.api.voucher_products import decimals
from csms.db import SQL, Connection, Record
from csms.flows import vouchers
from csms.flows.books import new_id
from csms.flows.idempotency import once

USES_MAX = 1_000
"""Uses that are shown of one voucher."""


class NewVoucher(Body):
    """Which product's newest version is bought."""

    product: ChosenId


class Voucher(Answer):
    """
    A right to use that a driver has bought, or was given (`gift`: nothing was paid for it, so nothing is deferred).

    `used` of `total` have released `released` of its price; `deferred` is the rest, for what is `left`: `valid` says
    whether that may be used now. Of a voucher that was given back nothing is left. `vehicle` is the one for which alone
    it counts (null: any, or one that was taken away since: `conditions` say which).
    """

    id: str
    driver: str
    provider: str | None
    product: str
    product_version: int
    name: str
    unit: str
    total: int
    used: int
    left: int
    price: Money
    released: Money
    deferred: Money
    vat_percent: str
    overuse_price: str | None
    valid_from: Moment
    valid_until: Moment
    carry_until: Moment | None
    valid: bool
    refund: str
    effect: dict[str, Any] | None
    conditions: dict[str, Any] | None
    used_times: int
    uses_max: int | None
    state: str
    bought_at: Moment
    gift: bool
    vehicle: str | None = None


class VoucherUse(Answer):
    """
    What one use took: so many units, which released so much of what was paid for them. Below zero: a bill was taken
    back, and what it took came back.

    `saved` is the part of the price that was not asked for them, less that; null where quantities were covered.
    `revision` is the number of the bill, in its session, that took them or took them back.
    """

    session: str
    revision: int
    station: str | None
    item: str | None
    units: int
    released: Money
    saved: Money | None
    at: Moment


class VoucherWithUses(Voucher):
    """A voucher and what was taken of it, at most the first thousand uses."""

    uses: list[VoucherUse]


class VoucherQuery(Paging):
    """Which vouchers."""

    state: Literal["active", "refunded", "expired"] | None = Field(None, description="in this state")
    valid: bool | None = Field(None, description="that may be used now, or may not")


async def buy_voucher(call: Call) -> Voucher:
    """Buy a voucher from a driver's balance: 402 when that is less than its price; then nothing is bought."""
    new: NewVoucher = call.body
    key, now = idempotency_key(call.request), call.parts.clock()
    async with _acting(call) as (conn, driver_id):

        async def work() -> tuple[int, object]:
            row = await vouchers.buy(conn, new_id(), driver_id, new.product, now)
            return 201, voucher(row).model_dump(mode="json")

        try:
            _, told = await once(conn, call.client.id, key, asked(call), work)
        except vouchers.NotEnough as error:
            raise Problem(402, str(error), members={"error": "NoCredit"}) from None
    return Voucher.model_validate(told)


async def list_vouchers(call: Call) -> Page[Voucher]:
    """A driver's vouchers, the newest first."""
    q: VoucherQuery = call.query
    driver_id = await known(call.conn, call.path["driver"])
    since, id_ = beside(q.cursor, (LAST_TIME, LAST_UUID))
    now = call.parts.clock()
    rows = await SQL.list_vouchers.many(call.conn, driver_id, since, now, id_, q.limit + 1, q.state, q.valid)
    return page(rows, q.limit, voucher, place_in_time("valid_from"))


async def show_voucher(call: Call) -> VoucherWithUses:
    """One voucher of a driver, and what was taken of it."""
    driver_id = await known(call.conn, call.path["driver"])
    row = await vouchers.show(call.conn, driver_id, UUID(call.path["voucher"]), call.parts.clock())
    uses = await SQL.list_voucher_uses.many(call.conn, row["id"], USES_MAX)
    return VoucherWithUses(
        **dict(voucher(row)),
        uses=[
            VoucherUse(
                session=str(use["session_id"]), revision=use["revision"],
                station=use["station_id"], item=use["item"], units=use["units"],
                released=money(use["minor"], row["currency"]), at=use["at"],
                saved=None if use["value_minor"] is None else money(
                    use["value_minor"] - use["minor"], row["currency"]),
            )
            for use in uses
        ],
    )  # fmt: skip


async def refund_voucher(call: Call) -> Voucher:
    """
    Give what is left of a voucher back to its driver's balance, once and as far as its terms allow (else 409).

    The same key again gets the first answer.
    """
    key, now = idempotency_key(call.request), call.parts.clock()
    voucher_id = UUID(call.path["voucher"])
    async with connection(call.parts) as conn:
        await vouchers.show(conn, await known(conn, call.path["driver"]), voucher_id, now)
    async with _acting(call) as (conn, driver_id):

        async def work() -> tuple[int, object]:
            row = await vouchers.give_back(conn, driver_id, voucher_id, now)
            return 200, voucher(row).model_dump(mode="json")

        _, told = await once(conn, call.client.id, key, asked(call), work)
    return Voucher.model_validate(told)


@asynccontextmanager
async def _acting(call: Call) -> AsyncIterator[tuple[Connection, str]]:
    """A transaction that may move the money of the driver in the address: for drivers themselves the system acts."""
    async with connection(call.parts) as conn:
        driver_id = await known(conn, call.path["driver"])
        if call.client.driver is None:
            yield conn, driver_id
            return
    async with system(call.parts) as conn:
        yield conn, driver_id


def asked(call: Call) -> str:
    """The request in words, to tell its repeat from another one under the same key."""
    return f"{call.request.method} {call.request.path}\n{'' if call.body is None else call.body.model_dump_json()}"


def voucher(row: Record) -> Voucher:
    """A row of `show_voucher` as it is told."""
    names = (
        *("product_version", "name", "unit", "total", "used", "valid_from", "valid_until", "carry_until", "refund"),
        *("state", "bought_at", "uses_max"),
    )
    terms = json.loads(row["terms"] or "{}")
    is_there, is_gift, currency = row["state"] == "active", row["funded_by"] is not None, row["currency"]
    deferred = row["price_minor"] - row["released_minor"] if is_there and not is_gift else 0
    return Voucher(
        id=str(row["id"]), driver=row["driver_id"], provider=row["provider_id"], product=row["product_id"],
        left=row["total"] - row["used"] if is_there else 0, price=money(row["price_minor"], currency),
        released=money(row["released_minor"], currency), deferred=money(deferred, currency), valid=row["is_valid"],
        effect=terms.get("effect"), conditions=terms.get("conditions"), used_times=row["uses"], gift=is_gift,
        vehicle=None if row["vehicle_id"] is None else str(row["vehicle_id"]),
        **decimals(row), **{name: row[name] for name in names},
    )  # fmt: skip


SEE = ("drivers:read", "driver:self")
BUY = ("drivers:write", "driver:self")
REFUND = ("refund:create", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/drivers/{driver}/vouchers", buy_voucher, BUY, "Buy a voucher from a driver's balance", Voucher,
        NewVoucher, status=201, moves_money=True, connects=False, refuses=(402,),
    ),
    Route(
        "GET", "/drivers/{driver}/vouchers", list_vouchers, SEE, "List a driver's vouchers", Page[Voucher],
        query=VoucherQuery,
    ),
    Route(
        "GET", "/drivers/{driver}/vouchers/{voucher}", show_voucher, SEE, "Show a voucher and its uses",
        VoucherWithUses,
    ),
    Route(
        "POST", "/drivers/{driver}/vouchers/{voucher}/refund", refund_voucher, REFUND,
        "Give what is left of a voucher back", Voucher, moves_money=True, connects=False,
    ),
)  # fmt: skip
