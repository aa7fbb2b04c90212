"""Money into a driver's balance."""

from __future__ import annotations

import secrets
import time
from datetime import datetime

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import uuid7
from csms.base.money import Money
from csms.db import SQL, Connection
from csms.domain import ledger


async def fund(conn: Connection, driver_id: str, money: Money, psp: str, payment_ref: str, now: datetime) -> bool:
    """
    Move a payment that arrived at `psp` into a driver's balance, once per payment.

    Answers whether this was news. Conflict when the payment was taken before with another amount or
    for another driver.
    """
    if money.minor <= 0:
        raise Refused("a top-up is above 0", "/amount")
    if await SQL.show_driver.one(conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    posting_id = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    answer = await SQL.post_top_up.value(
        conn, posting_id, f"top-up/{psp}/{payment_ref}", driver_id, now,
        ledger.psp_clearing(psp), ledger.driver_balance(driver_id), money.currency, money.minor,
    )  # fmt: skip
    if answer == "conflict":
        raise Conflict(f"payment {payment_ref} of {psp} was taken before, for another driver or amount")
    assert answer in ("posted", "replayed"), answer
    return bool(answer == "posted")
