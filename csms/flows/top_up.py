"""Money into a driver's balance: once per payment, and only for one that its psp confirms or staff vouch for."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import uuid7
from csms.base.money import Money
from csms.db import SQL, Connection
from csms.psp.base import Found, Psp, driver_of_top_up


async def look_up(psps: Mapping[str, Psp], psp: str, payment_ref: str) -> Found | None:
    """
    How a payment stands at its psp; no database transaction may be open meanwhile.

    None for what is no payment service here (cash, a bank transfer, a till): staff vouch for it.
    """
    return await psps[psp].get("payment", payment_ref) if psp in psps else None


def check(found: Found | None, driver_id: str, money: Money, payment_ref: str) -> None:
    """
    Refused when the psp does not confirm this payment of this driver; Conflict when it cannot say so now.

    A payment that was made for another driver's balance, or for anything else, is nobody's top-up.
    """
    if found is None:
        return
    if found.standing == "unknown":
        raise Conflict(f"the payment service cannot say now whether {payment_ref} was paid; try again later")
    if found.standing != "taken":
        raise Refused(f"the payment service has no such payment ({found.standing})", "/payment_ref")
    if driver_of_top_up(found.order) != driver_id:
        raise Refused("this payment was not made for this driver's balance", "/payment_ref")
    if found.amount_minor != money.minor or found.currency != money.currency:
        raise Refused(f"the payment service took {found.amount_minor} {found.currency}", "/amount")
    if found.refunded_minor:
        raise Refused("some of this payment went back already", "/payment_ref")


async def fund(conn: Connection, driver_id: str, money: Money, psp: str, payment_ref: str, now: datetime) -> bool:
    """
    Move a payment that arrived at `psp` into a driver's balance, once per payment; what is owed is paid first.

    Whoever calls has it confirmed (`check`, or `get` after a webhook). Answers whether this was news.
    Conflict when the payment was taken before with another amount or for another driver. A job then
    sets more aside for sessions of this driver that are nearly spent.
    """
    if money.minor <= 0:
        raise Refused("a top-up is above 0", "/amount")
    if await SQL.show_driver.one(conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    payment_id = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    answer = await SQL.fund.value(conn, payment_id, psp, payment_ref, driver_id, money.currency, money.minor, now)
    if answer == "conflict":
        raise Conflict(f"payment {payment_ref} of {psp} was taken before, for another driver or amount")
    assert answer in ("posted", "replayed"), answer
    return bool(answer == "posted")
