"""News for others: kept if an endpoint of webhooks wants it, with a job for each that does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from csms.db import SQL, Connection

Type = Literal[
    "bill.issued", "bill.corrected", "refund.paid", "refund.failed", "session.review", "statement.ready",
    "remittance.paid", "remittance.failed", "remittance.returned", "driver.debt_notice", "driver.receipt",
    "rental.reminder", "voucher.ends", "voucher.lapses", "ping",
]  # fmt: skip
TYPES: tuple[str, ...] = get_args(Type)


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One piece of news. `key` tells what it is about (`refund/<id>/paid`): the same is told once.

    `provider_id` is whose news it is (None: no provider's), `driver_id` whom it is about. `at` is when
    it happened, on the system's clock. Money in `body` is `{"minor", "currency"}`.
    """

    key: str
    type: Type
    provider_id: str | None
    driver_id: str | None
    body: Mapping[str, object]
    at: datetime


async def tell(conn: Connection, news: Sequence[Notice]) -> int:
    """
    Have endpoints told, after the caller's transaction; answers how many messages that makes.

    0 means that nobody wants to know, or that it was told before.
    """
    if not news:
        return 0
    rows = [(n.key, n.type, n.provider_id, n.driver_id, json.dumps(n.body), n.at) for n in news]
    told: int = await SQL.tell.value(conn, rows)
    return told
