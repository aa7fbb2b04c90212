"""What vouchers are sold: products of providers, or of the operator, in versions that never change."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from csms.api.call import Call, Route
from csms.api.paging import after_id, page
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, MoneyBody, Name, Page, Paging, Parameter, money
from csms.api.tariffs import VersionQuery
from csms.base.errors import Refused
from csms.db import SQL, Record
from csms.domain import voucher_terms
from csms.domain.pack_rows import Unit
from csms.domain.voucher import Refund
from csms.flows import vouchers

AMOUNT_MAX = 10**12


def _decimal(value: object) -> object:
    """Decimal text; whole numbers and JSON numbers are read as well."""
    return format(value, "f") if isinstance(value, Decimal) else str(value) if type(value) is int else value


DecimalText = Annotated[
    str,
    BeforeValidator(_decimal),
    StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$"),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?$"}),
]


class NewVoucherProduct(Body):
    """
    So much of a unit for a price: `wh` from batteries, `sec` of having them, `cnt` deliveries, `val` minor units.

    With `carry_over` what is left at the end of one period of `valid_days` may be used in the next, while the driver
    has bought one for that. `overuse_price`, tax included, is the most that goes for what is used beyond it: per kWh,
    hour or delivery.

    `effect`: `{kind: included}` (the default: nothing is asked for what is covered), `{kind: percent_off, percent}`,
    `{kind: flat_rate, price}` (per kWh, tax included) or `{kind: fee_waived, fees: [FLAT, TIME, PARKING_TIME]}`.
    `conditions`: OCPI restrictions (`start_time`, `end_time`, `start_date`, `end_date`, `day_of_week`, `min_power`,
    `max_power`); places, any of which will do (`stations`, `sites`, `tags` of sites); `uses` (`charge`, `rental`);
    `vehicle: true`: only what the vehicle charges for which it is bought. It may be used for `uses_max` sessions;
    `quota` are sold that are valid at one time. What is not `on_sale` is sold no more. `country`: by whose policy what
    is never used is lost (`/breakage-policies`); without one it never is.
    """

    id: ChosenId
    provider: ChosenId | None = None
    name: Name
    unit: Unit
    amount: Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
    price: MoneyBody
    vat_percent: DecimalText = "0"
    valid_days: Annotated[int, Field(ge=1, le=3_660)]
    carry_over: bool = False
    overuse_price: DecimalText | None = None
    refund: Refund = "none"
    effect: dict[str, Any] | None = None
    conditions: dict[str, Any] | None = None
    uses_max: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    quota: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    on_sale: bool = True
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None


class VoucherProduct(Answer):
    """What is sold; vouchers keep the version they were bought with."""

    id: str
    version: int
    provider: str | None
    name: str
    unit: str
    amount: int
    price: Money
    vat_percent: str
    valid_days: int
    carry_over: bool
    overuse_price: str | None
    refund: str
    effect: dict[str, Any] | None
    conditions: dict[str, Any] | None
    uses_max: int | None
    quota: int | None
    on_sale: bool
    country: str | None
    created_at: Moment


class ProductQuery(Paging):
    """Which products."""

    provider: Parameter | None = Field(None, description="of this provider")


async def add_product(call: Call) -> tuple[int, VoucherProduct]:
    """Offer a product, or new terms of it: 201, or 200 when its newest version has these terms."""
    new: NewVoucherProduct = call.body
    spec = spec_of(new, call.client.provider)
    row, is_new = await vouchers.add_product(call.conn, spec, call.parts.clock())
    return 201 if is_new else 200, _product(row)


def spec_of(new: NewVoucherProduct, provider_id: str | None) -> vouchers.ProductSpec:
    """What a body says; Refused, with the place, where that can be none. Without a provider it is `provider_id`'s."""
    price = new.price.read("/price")
    vat_percent = Decimal(new.vat_percent)
    if price.minor < 0:
        raise Refused("a price is 0 or more", "/price")
    if vat_percent > 100:
        raise Refused("a tax is at most 100 percent", "/vat_percent")
    voucher_terms.read(new.effect, new.conditions, new.unit)
    overuse = None if new.overuse_price is None else Decimal(new.overuse_price)
    return vouchers.ProductSpec(
        new.id, new.provider or provider_id, new.name, new.unit, new.amount, price, vat_percent, new.valid_days,
        new.carry_over, overuse, new.refund, new.effect, new.conditions, new.uses_max, new.quota, new.on_sale,
        new.country,
    )  # fmt: skip


async def list_products(call: Call) -> Page[VoucherProduct]:
    """The newest version of each product, by id."""
    q: ProductQuery = call.query
    rows = await SQL.list_voucher_products.many(call.conn, after_id(q.cursor), q.limit + 1, q.provider)
    return page(rows, q.limit, _product, lambda row: str(row["id"]))


async def show_product(call: Call) -> VoucherProduct:
    """One product."""
    q: VersionQuery = call.query
    return _product(await vouchers.product(call.conn, call.path["product"], q.version))


def _product(row: Record) -> VoucherProduct:
    names = (
        *("id", "version", "name", "unit", "amount", "valid_days", "carry_over", "refund", "uses_max", "quota"),
        *("on_sale", "country", "created_at"),
    )
    terms: dict[str, Any] = {
        name: None if row[name] is None else json.loads(row[name]) for name in ("effect", "conditions")
    }
    return VoucherProduct(
        provider=row["provider_id"], price=money(row["price_minor"], row["currency"]), **decimals(row), **terms,
        **{name: row[name] for name in names},
    )  # fmt: skip


def decimals(row: Record) -> dict[str, Any]:
    """The columns of a row that are decimal text."""
    overuse = row["overuse_price"]
    return {
        "vat_percent": f"{row['vat_percent']:f}",
        "overuse_price": None if overuse is None else f"{overuse:f}",
    }


SELL = ("tariff:write",)
SEE_PRODUCTS = ("tariff:write", "stations:read", "drivers:read", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/voucher-products", add_product, SELL, "Offer vouchers, or new terms of them", VoucherProduct,
        NewVoucherProduct, status=201, or_else=200,
    ),
    Route(
        "GET", "/voucher-products", list_products, SEE_PRODUCTS, "List what vouchers are sold", Page[VoucherProduct],
        query=ProductQuery,
    ),
    Route(
        "GET", "/voucher-products/{product}", show_product, SEE_PRODUCTS, "Show a kind of vouchers", VoucherProduct,
        query=VersionQuery,
    ),
)  # fmt: skip
