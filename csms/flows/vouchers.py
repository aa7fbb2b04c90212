"""Vouchers: products and their versions, bought from a balance, given back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from csms.base.errors import Conflict, CsmsError, NotFound, Refused
from csms.base.money import Money, decimal_text
from csms.db import SQL, Connection, Record
from csms.domain import voucher as rules
from csms.domain.ledger import Posting
from csms.domain.pack_rows import Unit, Voucher
from csms.flows import voucher_windows
from csms.flows.books import PostingRefused, new_id
from csms.flows.parties import check_id

FOR_VEHICLE = (
    "ask which vouchers there are for the vehicle, as EVCCID, eMAID or MAC, and buy it there"
    " (POST /api/v1/vehicles/{vehicle}/vouchers)"
)

RETRIES_MAX = 5
"""Uses may take from a voucher while what is left of it is counted."""


class NotEnough(CsmsError):
    """A balance is less than what a voucher costs."""


@dataclass(frozen=True, slots=True)
class ProductSpec:
    """
    What is sold: `amount` of a unit for `price`, valid for so many days.

    `provider` None: the operator's, for every provider's stations. `overuse_price` per kWh, hour or delivery.
    """

    id: str
    provider: str | None
    name: str
    unit: Unit
    amount: int
    price: Money
    vat_percent: Decimal
    valid_days: int
    carry_over: bool
    overuse_price: Decimal | None
    refund: rules.Refund
    effect: Mapping[str, object] | None = None
    conditions: Mapping[str, object] | None = None
    uses_max: int | None = None
    quota: int | None = None
    on_sale: bool = True
    country: str | None = None

    def terms(self) -> tuple[object, ...]:
        """All that a version says, in the order of the table."""
        return (
            self.name, self.unit, self.amount, self.price.minor, self.price.currency, self.vat_percent,
            self.valid_days, self.carry_over, self.overuse_price, self.refund, _text(self.effect),
            _text(self.conditions), self.uses_max, self.quota, self.on_sale, self.country,
        )  # fmt: skip


_TERMS = (
    *("name", "unit", "amount", "price_minor", "currency", "vat_percent", "valid_days", "carry_over"),
    *("overuse_price", "refund", "effect", "conditions", "uses_max", "quota", "on_sale", "country"),
)
_JSON = ("effect", "conditions")


async def add_product(conn: Connection, spec: ProductSpec, now: datetime) -> tuple[Record, bool]:
    """
    Add a version of a product; answers the version that stands, and whether it is new: the same terms are the same one.

    Vouchers that were bought keep the version they were bought with. Refused when the product is another's.
    """
    check_id(spec.id)
    if spec.provider is not None and await SQL.show_provider.one(conn, spec.provider) is None:
        raise Refused(f"there is no provider {spec.provider}; add it first (POST /api/v1/providers)", "/provider")
    await SQL.lock_voucher_product.run(conn, spec.id)
    newest = await SQL.show_voucher_product.one(conn, spec.id)
    if newest is not None and newest["provider_id"] != spec.provider:
        raise Refused(f"the product {spec.id} belongs to {newest['provider_id'] or 'no provider'}", "/provider")
    if newest is not None and tuple(_known(newest, name) for name in _TERMS) == spec.terms():
        return newest, False
    version = 1 if newest is None else newest["version"] + 1
    await SQL.add_voucher_product.run(conn, spec.id, version, spec.provider, *spec.terms(), now)
    return await product(conn, spec.id), True


def _text(document: Mapping[str, object] | None) -> str | None:
    """JSON as it is compared and kept; numbers are written as they were told."""
    return None if document is None else json.dumps(document, sort_keys=True, default=_number)


def _number(value: object) -> float | int:
    assert isinstance(value, Decimal)
    return int(value) if value == int(value) else float(value)


def _known(row: Record, name: str) -> object:
    """What a row says, JSON as `_text` writes it: the database keeps it in a form of its own."""
    if name in _JSON and row[name] is not None:
        return _text(json.loads(row[name]))
    return row[name]


async def product(conn: Connection, product_id: str, version: int | None = None) -> Record:
    """The newest version of a product, or the one that is named."""
    if version is None:
        row = await SQL.show_voucher_product.one(conn, product_id)
    else:
        row = await SQL.show_voucher_product_version.one(conn, product_id, version)
    if row is None:
        raise NotFound(f"there is no such product {product_id}")
    return row


async def buy(
    conn: Connection,
    voucher_id: UUID,
    driver_id: str,
    product_id: str,
    now: datetime,
    version: int | None = None,
    *,
    vehicle_key: bytes | None = None,
) -> Record:
    """
    Sell a driver a voucher of a product, paid from the balance; in the caller's transaction.

    Of its newest version, or of the `version` that was offered: whether it is sold still is the newest one's word.
    `vehicle_key`: of the token that the vehicle shows for which it is bought. Refused without the product, Conflict
    where it cannot be sold now (`sold`), NotEnough when the balance does not reach.
    """
    found = await sold(conn, driver_id, product_id, now, version, vehicle_key=vehicle_key)
    price_minor, currency, unit = found["price_minor"], found["currency"], found["unit"]
    until, carry_until = rules.ends(now, found["valid_days"], carry_over=found["carry_over"])
    await SQL.add_voucher.run(
        conn, voucher_id, driver_id, found["provider_id"], product_id, found["version"], unit, found["amount"],
        price_minor, currency, found["vat_percent"], found["overuse_price"], now, until, carry_until, found["refund"],
        found["uses_max"], terms_text(found), vehicle_key if is_for_vehicle(found) else None,
    )  # fmt: skip
    await SQL.settle_debt.value(conn, new_id(), driver_id, currency, now)  # the balance pays what is owed first
    posting = rules.bought(voucher_id, driver_id, price_minor, currency, unit, found["amount"], now)
    answer = await post(conn, posting)
    if answer == "insufficient":
        raise NotEnough(
            f"the balance is less than the {decimal_text(price_minor, currency)} {currency} it costs; top it up first"
        )
    if answer != "posted":
        raise PostingRefused(f"posting {posting.key}: {answer}")
    return await show(conn, driver_id, voucher_id, now)


async def sold(
    conn: Connection,
    driver_id: str,
    product_id: str,
    now: datetime,
    version: int | None = None,
    *,
    vehicle_key: bytes | None = None,
) -> Record:
    """
    A product's newest version, or the one offered, if a driver may buy it now; in the caller's transaction.

    Conflict while the driver is blocked, for what is not on sale or sold out, and for what counts for one vehicle only
    where it is bought for none that shows a token.
    """
    driver = await SQL.show_driver.one(conn, driver_id)
    if driver is None:
        raise NotFound(f"there is no driver {driver_id}")
    if driver["status"] == "blocked":
        raise Conflict(f"the driver {driver_id} is blocked")
    newest = await SQL.show_voucher_product.one(conn, product_id)
    if newest is None:
        raise Refused(f"there is no product {product_id}", "/product")
    await _on_sale(conn, newest, now)
    found = newest if version in (None, newest["version"]) else await product(conn, product_id, version)
    if vehicle_key is None and is_for_vehicle(found):
        raise Conflict(f"{found['id']} counts for one vehicle only: {FOR_VEHICLE}")
    if (site := await voucher_windows.full_site(conn, found, now, sells=True)) is not None:
        raise Conflict(f"the hours of {found['id']} are sold out at {site}: its power is limited")
    return found


async def _on_sale(conn: Connection, found: Record, now: datetime) -> None:
    """Conflict when a product is sold no more, or all that may be valid at one time are sold."""
    if not found["on_sale"]:
        raise Conflict(f"the product {found['id']} is not on sale any more")
    told = voucher_windows.terms_of(found).conditions.restrictions
    if told is not None and told.end_date is not None and told.end_date < now.date():
        raise Conflict(f"the product {found['id']} could be used until {told.end_date} only")
    if found["quota"] is not None:
        await SQL.lock_voucher_product.run(conn, found["id"])
        if await SQL.count_valid_vouchers.value(conn, found["id"], now) >= found["quota"]:
            raise Conflict(f"all {found['quota']} vouchers of {found['id']} are sold; try again when one has ended")


def is_for_vehicle(product: Record) -> bool:
    """Whether vouchers of a product count for the vehicle alone for which they are bought."""
    return voucher_windows.terms_of(product).conditions.vehicle


def terms_text(product: Record) -> str | None:
    """A product's effect and conditions, as a voucher keeps them (`voucher_terms.stored`)."""
    told = {name: json.loads(product[name]) for name in _JSON if product[name] is not None}
    return json.dumps(told, sort_keys=True) if told else None


async def show(conn: Connection, driver_id: str, voucher_id: UUID, now: datetime) -> Record:
    """A driver's voucher that the client may know of."""
    row = await SQL.show_voucher.one(conn, driver_id, voucher_id, now)
    if row is None:
        raise NotFound("there is no such voucher")
    return row


async def give_back(conn: Connection, driver_id: str, voucher_id: UUID, now: datetime) -> Record:
    """
    Give what is left of a voucher back to its driver's balance, once; in the caller's transaction.

    Conflict when its terms do not allow it, or it was given back before. A use that is first is counted first.
    """
    for _ in range(RETRIES_MAX):
        row = await show(conn, driver_id, voucher_id, now)
        if row["state"] == "refunded":
            raise Conflict("what was left of this voucher has been given back already")
        if row["state"] != "active":
            raise Conflict(f"this voucher is {row['state']}")
        if (why := rules.refusal(row["refund"], row["used"], row["total"])) is not None:
            raise Conflict(why)
        if await SQL.give_voucher_back.value(conn, voucher_id, row["version"]) is None:
            continue
        if await SQL.awaits_late_end.value(conn, driver_id):
            raise Conflict("a session that vouchers may pay for has no end yet; try again in three days at most")
        posting = rules.given_back(Voucher(**{name: row[name] for name in Voucher._fields}), now)
        if (answer := await post(conn, posting)) != "posted":
            raise PostingRefused(f"posting {posting.key}: {answer}")
        await SQL.settle_debt.value(conn, new_id(), driver_id, row["currency"], now)
        return await show(conn, driver_id, voucher_id, now)
    raise Conflict("this voucher is in use all the time; try again")


async def post(conn: Connection, posting: Posting) -> str:
    """Post one posting; answers what the ledger says of it."""
    head = (posting.id, posting.key, posting.kind, posting.ref, posting.event_at)
    moves = [(1, seq, t.debit, t.credit, t.asset, t.minor) for seq, t in enumerate(posting.transfers, 1)]
    [answer] = await SQL.post.value(conn, [head], moves)
    return str(answer)
