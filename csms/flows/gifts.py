"""
Gifts: batches of codes for a product, redeemed by drivers or shown at stations, taken back.

A code is the token of a driver without a name who has its voucher, so that the road knows nothing of gifts. Redeeming
it moves the voucher to a driver with an account and ends the other as an erased one ends: a session that begins on the
code at that moment is either seen here, or decided again there (`lose_to_erasure`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from csms.base.errors import Conflict, CsmsError, NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain import gift, gift_code
from csms.domain import voucher as rules
from csms.domain.gift import Funder, Gift
from csms.flows import vouchers
from csms.flows.books import PostingRefused, new_id
from csms.flows.parties import check_id

COUNT_MAX = 10_000
"""Codes of a batch: what one posting carries well."""


class UnknownCode(NotFound):
    """A code that is well formed and nobody's: a guess."""


class Gone(CsmsError):
    """A code that was good once: taken back, or too late."""


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """`count` codes for the newest version of a product, which `funded_by` pays for once they are used."""

    id: str
    product: str
    count: int
    funded_by: Funder
    note: str | None
    redeem_until: datetime


async def add_batch(conn: Connection, spec: BatchSpec, by: str, now: datetime) -> list[str]:
    """
    Make a batch and answer its codes: nobody can tell them again.

    The product need not be on sale. Refused without it, for one that is bought for a vehicle, or with an end that is
    past; Conflict when the id is taken.
    """
    check_id(spec.id)
    product = await SQL.show_voucher_product.one(conn, spec.product)
    if product is None:
        raise Refused(f"there is no product {spec.product}", "/product")
    if vouchers.is_for_vehicle(product):
        raise Refused(f"{spec.product} counts for one vehicle only, and a code is for anybody", "/product")
    if spec.redeem_until <= now:
        raise Refused("this is past", "/redeem_until")
    provider_id = product["provider_id"]
    if spec.funded_by == "provider" and provider_id is None:
        raise Refused(f"the product {spec.product} is no provider's: only the operator can pay for it", "/funded_by")
    added = await SQL.add_voucher_batch.value(
        conn, spec.id, spec.product, product["version"], provider_id, spec.count, spec.funded_by, spec.note,
        spec.redeem_until, by, now,
    )  # fmt: skip
    if added is None:
        raise Conflict(f"there is a batch {spec.id} already")
    made = [gift.made(new_id(), secrets.randbits(gift_code.RANDOM_BITS)) for _ in range(spec.count)]
    await _store(conn, spec, product, made, now)
    return [one.code for one in made]


async def _store(conn: Connection, spec: BatchSpec, product: Record, made: list[Gift], now: datetime) -> None:
    ids, bearers = [one.voucher_id for one in made], [one.bearer for one in made]
    keys, payer = [one.key for one in made], gift.account(spec.funded_by, product["provider_id"])
    await SQL.add_bearers.run(conn, bearers, now)
    await SQL.add_gift_tokens.run(conn, keys, bearers, now)
    await SQL.add_gift_vouchers.run(conn, ids, bearers, spec.id, payer, vouchers.terms_text(product))
    await SQL.add_gifts.run(conn, ids, spec.id, keys, bearers)
    posting = gift.given(new_id(), spec.id, ids, product["unit"], product["amount"], now)
    if (answer := await vouchers.post(conn, posting)) != "posted":
        raise PostingRefused(f"posting {posting.key}: {answer}")


async def redeem(conn: Connection, driver_id: str, code: str, now: datetime) -> Record:
    """
    Make a gift a driver's voucher, valid from now as if it was bought; in the caller's transaction.

    `code` as `gift_code.read` tells it. UnknownCode when it is nobody's, Gone when it was taken back or is too late,
    Conflict when somebody has it already, at a station or here, or the driver is blocked.
    """
    driver = await SQL.show_driver.one(conn, driver_id)
    if driver is None:
        raise NotFound(f"there is no driver {driver_id}")
    if driver["status"] == "blocked":
        raise Conflict(f"the driver {driver_id} is blocked")
    found = await SQL.lock_gift.one(conn, gift.key(code))
    if found is None:
        raise UnknownCode("there is no such code")
    if found["redeemed_at"] is not None:
        raise Conflict("this code has been used already")
    if found["revoked_at"] is not None:
        raise Gone("this code was taken back")
    if found["redeem_until"] <= now:
        raise Gone("it is too late for this code")
    if await SQL.lock_bearer.value(conn, found["bearer"]) is None:
        raise Gone("this code is no longer good")
    if await SQL.gift_is_in_use.value(conn, found["bearer"]):
        raise Conflict("this code is being used at a station")
    until, carry_until = rules.ends(now, found["valid_days"], carry_over=found["carry_over"])
    if await SQL.move_voucher.value(conn, found["voucher_id"], driver_id, now, until, carry_until) is None:
        raise Conflict("this code has been used at a station")
    await SQL.end_bearers.run(conn, [found["bearer"]], now)
    await SQL.note_redeemed.run(conn, found["voucher_id"], now)
    return await vouchers.show(conn, driver_id, found["voucher_id"], now)


async def revoke(conn: Connection, batch_id: str, now: datetime) -> None:
    """
    Take back the codes of a batch that nobody has redeemed or used; what is used already stays with who uses it.

    A code on which a session begins at this moment is passed over: revoke again.
    """
    if await SQL.lock_voucher_batch.one(conn, batch_id) is None:
        raise NotFound(f"there is no batch {batch_id}")
    await SQL.note_batch_revoked.run(conn, batch_id, now)
    idle = [row["voucher_id"] for row in await SQL.lock_idle_bearers.many(conn, batch_id)]
    rows = await SQL.revoke_gifts.many(conn, idle, now)
    if not rows:
        return
    await SQL.end_bearers.run(conn, [row["bearer"] for row in rows], now)
    ids = sorted(row["id"] for row in rows)
    posting = gift.revoked(new_id(), batch_id, ids, rows[0]["unit"], rows[0]["total"], now)
    if (answer := await vouchers.post(conn, posting)) != "posted":
        raise PostingRefused(f"posting {posting.key}: {answer}")


async def show(conn: Connection, batch_id: str, now: datetime) -> Record:
    """A batch that the client may know of, and what became of its codes."""
    row = await SQL.show_voucher_batch.one(conn, batch_id, now)
    if row is None:
        raise NotFound(f"there is no batch {batch_id}")
    return row
