"""
Vouchers that are given away: batches of codes, and drivers who redeem them.

What is allowed is looked at as the client; then the system makes and ends the drivers and tokens that codes are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints

from csms.api.call import Call, Route, connection, idempotency_key, system
from csms.api.paging import after_id, page
from csms.api.payers import known
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, ChosenId, Moment, Money, Page, Paging, Parameter, Query, money
from csms.api.vouchers import Voucher, asked, voucher
from csms.base.errors import Conflict, Refused
from csms.db import SQL, Record
from csms.domain import gift_code
from csms.domain.gift import Funder
from csms.flows import gifts
from csms.flows.books import new_id
from csms.flows.idempotency import once


class NewVoucherBatch(Body):
    """
    So many codes, each for one voucher of a product's newest version, until `redeem_until`.

    What is used of them is paid by `funded_by`: the `operator`, or the `provider` whose product it is (for a provider's
    staff the only one, and what is meant when nothing is said).
    """

    id: ChosenId | None = None
    product: ChosenId
    count: Annotated[int, Field(ge=1, le=gifts.COUNT_MAX)]
    funded_by: Funder | None = None
    note: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None
    redeem_until: Moment


class VoucherBatchListed(Answer):
    """A batch of codes."""

    id: str
    product: str
    product_version: int
    provider: str | None
    count: int
    funded_by: str
    note: str | None
    redeem_until: Moment
    created_by: str
    created_at: Moment
    revoked_at: Moment | None


class VoucherBatch(VoucherBatchListed):
    """
    A batch, and what became of its codes; one that was used at a station counts as `redeemed`.

    `funded` is what its funder has paid so far for what was used.
    """

    redeemed: int
    expired: int
    revoked: int
    funded: Money


class IssuedVoucherBatch(VoucherBatch):
    """A batch with its codes, told to the request that made them alone: to a repeat they are null."""

    codes: list[str] | None


class IssueQuery(Query):
    """How codes are told."""

    format: Literal["json", "csv"] = Field(
        "json", description="the batch with its codes, or the codes as lines of text"
    )


class BatchQuery(Paging):
    """Which batches."""

    product: Parameter | None = Field(None, description="of this product")


class Redemption(Body):
    """A code as it was typed: hyphens, blanks and capitals do not matter."""

    code: Annotated[str, StringConstraints(min_length=1, max_length=64)]


async def add_batch(call: Call) -> tuple[int, IssuedVoucherBatch] | web.StreamResponse:
    """
    Make codes that give a voucher away. They are told in this answer and never again: only their hashes are kept.

    The same key again makes no others and tells none; if the answer was lost, revoke the batch and make another.
    """
    new, q = call.body, call.query
    key, now = idempotency_key(call.request), call.parts.clock()
    spec = gifts.BatchSpec(
        new.id or str(new_id()), new.product, new.count, await _funder(call, new), new.note, new.redeem_until
    )
    codes: list[str] = []
    async with system(call.parts) as conn:

        async def work() -> tuple[int, object]:
            codes.extend(await gifts.add_batch(conn, spec, call.client.id, now))
            return 201, _batch(await gifts.show(conn, spec.id, now)).model_dump(mode="json")

        status, told = await once(conn, call.client.id, key, asked(call), work)
    printed = [gift_code.grouped(code) for code in codes]
    if q.format == "csv":
        if not printed:
            raise Conflict("this batch is there, and its codes were told before; they cannot be told again")
        return web.Response(text="\n".join(["code", *printed, ""]), status=status, content_type="text/csv")
    assert isinstance(told, dict)
    return status, IssuedVoucherBatch.model_validate({**told, "codes": printed or None})


async def _funder(call: Call, new: NewVoucherBatch) -> Funder:
    """Who pays; Refused when a provider's staff would give away what is another's."""
    provider_id = call.client.provider
    if provider_id is None:
        return new.funded_by or "operator"
    async with connection(call.parts) as conn:
        product = await SQL.show_voucher_product.one(conn, new.product)
    if product is None or product["provider_id"] != provider_id:
        raise Refused(f"you have no product {new.product}", "/product")
    if new.funded_by not in (None, "provider"):
        raise Refused("a provider gives away at its own cost", "/funded_by")
    return "provider"


async def list_batches(call: Call) -> Page[VoucherBatchListed]:
    """Batches, by id."""
    q: BatchQuery = call.query
    rows = await SQL.list_voucher_batches.many(call.conn, after_id(q.cursor), q.limit + 1, q.product)
    return page(rows, q.limit, _listed, lambda row: str(row["id"]))


async def show_batch(call: Call) -> VoucherBatch:
    """A batch and how many of its codes were redeemed, are too late, or were taken back; no codes."""
    return _batch(await gifts.show(call.conn, call.path["batch"], call.parts.clock()))


async def revoke_batch(call: Call) -> VoucherBatch:
    """
    Take back the codes that nobody has redeemed or used at a station; what is used already stays.

    A code on which a session begins at this very moment is passed over; asking again finds it, if it is unused then.
    """
    batch_id, now = call.path["batch"], call.parts.clock()
    async with connection(call.parts) as conn:
        found = await gifts.show(conn, batch_id, now)
    if call.client.provider is not None and found["funded_by"] != "provider":
        raise Problem(403, "the operator pays for this batch; only the operator takes it back")
    async with system(call.parts) as conn:
        await gifts.revoke(conn, batch_id, now)
        return _batch(await gifts.show(conn, batch_id, now))


async def redeem(call: Call) -> Voucher:
    """
    Redeem a code: its voucher is the driver's, valid from now, and is never given back for money.

    422 says that the code has a typing error (nothing was looked up), 404 that there is no such code, 410 that it was
    taken back or is too late, 409 that somebody has it. Who tries too many that are none has to wait (429).
    """
    key, now = idempotency_key(call.request), call.parts.clock()
    if (code := gift_code.read(call.body.code)) is None:
        raise Refused("this code has a typing error: look again", "/code")
    client, parts = call.client, call.parts
    wait_s = max(parts.codes.wait_s(call.path["driver"]), parts.client_codes.wait_s(client.id))
    if wait_s > 0:
        raise Problem(429, "too many codes that were none; wait", headers={"Retry-After": str(int(wait_s) + 1)})
    async with connection(parts) as conn:
        driver_id = await known(conn, call.path["driver"])
    async with system(parts) as conn:

        async def work() -> tuple[int, object]:
            return 201, voucher(await gifts.redeem(conn, driver_id, code, now)).model_dump(mode="json")

        try:
            _, told = await once(conn, client.id, key, asked(call), work)
        except gifts.UnknownCode:
            parts.codes.note(driver_id)
            parts.client_codes.note(client.id)
            raise
        except gifts.Gone as error:
            raise Problem(410, str(error)) from None
    return Voucher.model_validate(told)


def _listed(row: Record) -> VoucherBatchListed:
    return VoucherBatchListed(**_told(row))


def _batch(row: Record) -> VoucherBatch:
    return VoucherBatch(
        **_told(row), funded=money(row["released_minor"], row["currency"]),
        **{name: row[name] for name in ("redeemed", "expired", "revoked")},
    )  # fmt: skip


def _told(row: Record) -> dict[str, Any]:
    names = (
        *("id", "product_version", "count", "funded_by", "note", "redeem_until", "created_by", "created_at"),
        "revoked_at",
    )
    return {"product": row["product_id"], "provider": row["provider_id"], **{name: row[name] for name in names}}


GIVE = ("tariff:write",)
REDEEM = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/voucher-batches", add_batch, GIVE, "Make codes that give vouchers away", IssuedVoucherBatch,
        NewVoucherBatch, IssueQuery, status=201, moves_money=True, connects=False,
    ),
    Route(
        "GET", "/voucher-batches", list_batches, GIVE, "List batches of codes", Page[VoucherBatchListed],
        query=BatchQuery,
    ),
    Route(
        "GET", "/voucher-batches/{batch}", show_batch, GIVE, "Show a batch and what became of its codes", VoucherBatch,
    ),
    Route(
        "POST", "/voucher-batches/{batch}/revoke", revoke_batch, GIVE, "Take back the codes that nobody has used",
        VoucherBatch, connects=False,
    ),
    Route(
        "POST", "/drivers/{driver}/vouchers/redeem", redeem, REDEEM, "Redeem a code that gives a voucher", Voucher,
        Redemption, status=201, moves_money=True, connects=False, refuses=(410, 429),
    ),
)  # fmt: skip
