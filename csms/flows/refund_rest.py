"""
A balance on its way back to the means it came from: newest top-up first, never more than a payment has left.

`driver:D:balance -> psp:X:refunds`, with a `refund` for each payment and the job that tells its psp
(`begin_refund`). What no payment service can send back (cash, a bank transfer) stays in the balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from csms.base.errors import Refused
from csms.base.ids import uuid7
from csms.base.money import Money, decimal_text
from csms.db import SQL, Connection, Record
from csms.domain import ledger

PARTS_MAX = 100
"""Payments that one refund is spread over."""

RETRIES_MAX = 5
"""A session may take from the balance while its rest is counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """What goes back of one payment; `id` is the refund's."""

    id: UUID
    payment_id: UUID
    psp: str
    minor: int


@dataclass(frozen=True, slots=True)
class Wish:
    """
    Who gets what back, and why. `key` names it for ever: a repeat changes nothing.

    `psps` are those that can send money back here. `whole`: all of it or nothing.
    """

    key: str
    driver_id: str
    money: Money
    psps: Sequence[str]
    reason: str
    by: str
    session_id: UUID | None = None
    whole: bool = False


async def send_back(conn: Connection, wish: Wish, now: datetime) -> list[Part]:
    """
    Put money of a balance on its way back; answers the parts, none when it was done before or nothing can go back.

    Runs in the caller's transaction, or its own. Refused, where the wish is whole, when less can go back.
    """
    async with conn.transaction():
        # payments are locked before balances, as everywhere; a repeat waits here for the first
        rows = await SQL.refundable.many(conn, wish.driver_id, wish.money.currency, list(wish.psps))
        if await SQL.posting_stands.value(conn, wish.key):
            return []
        for _ in range(RETRIES_MAX):
            there = await SQL.balance_of.value(conn, wish.driver_id, wish.money.currency)
            parts = _parts(wish, rows, min(wish.money.minor, there), now)
            total = sum(part.minor for part in parts)
            if wish.whole and total < wish.money.minor:
                _refuse(wish, there, sum(row["left_minor"] for row in rows))
            if not parts or await _post(conn, wish, parts, now):
                break
        else:
            raise Refused("the balance is changing all the time; try again")
        for part in parts:
            await SQL.begin_refund.value(
                conn, part.id, part.payment_id, part.minor, wish.session_id, None, wish.reason, wish.by, now
            )
    return parts


def _parts(wish: Wish, rows: Sequence[Record], minor: int, now: datetime) -> list[Part]:
    """`minor` over the payments, newest first."""
    parts: list[Part] = []
    for row in rows[:PARTS_MAX]:
        part = min(row["left_minor"], minor)
        if part > 0:
            digest = sha256(f"{wish.key}|{row['id']}".encode()).digest()
            id_ = uuid7(int(now.timestamp() * 1000), int.from_bytes(digest[:10]))
            parts.append(Part(id_, row["id"], row["psp"], part))
            minor -= part
    return parts


async def _post(conn: Connection, wish: Wish, parts: Sequence[Part], now: datetime) -> bool:
    """The transfers, under the wish's key; False when the balance has become smaller meanwhile."""
    moves = [
        (1, seq, ledger.driver_balance(wish.driver_id), ledger.psp_refunds(part.psp), wish.money.currency, part.minor)
        for seq, part in enumerate(parts, 1)
    ]
    posting = (_posting_id(wish, now), wish.key, "refund", str(wish.session_id or wish.driver_id), now)
    (answer,) = await SQL.post.value(conn, [posting], moves)
    assert answer in ("posted", "insufficient"), answer
    return bool(answer == "posted")


def _posting_id(wish: Wish, now: datetime) -> UUID:
    digest = sha256(wish.key.encode()).digest()
    return uuid7(int(now.timestamp() * 1000), int.from_bytes(digest[:10]))


def _refuse(wish: Wish, there: int, left: int) -> None:
    currency = wish.money.currency
    can = decimal_text(min(there, left), currency)
    raise Refused(
        f"at most {can} {currency} can go back: the balance is {decimal_text(there, currency)}, and payments that can"
        f" be sent back have {decimal_text(left, currency)} left",
        "/amount",
    )
