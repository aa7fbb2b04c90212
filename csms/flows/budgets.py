"""What a token may spend of its driver's balance: several tokens on one balance, each with its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from csms.base.errors import NotFound, Refused
from csms.base.money import Money
from csms.db import SQL, Connection, Record
from csms.domain import token as tokens

Period = Literal["session", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `money` in one session, or in each day, week (from Monday) or month of an IANA time zone."""

    period: Period
    money: Money
    time_zone: str = "UTC"


async def put_budgets(conn: Connection, driver_id: str, token: str, budgets: Sequence[Budget]) -> None:
    """
    Replace the limits of a driver's token; none takes them away. Its aliases share them.

    What was spent so far in a period counts, whenever the limit was set.
    """
    seen: set[tuple[str, str]] = set()
    for place, budget in enumerate(budgets):
        if budget.money.minor < 0:
            raise Refused("a limit is 0 or more", f"/limits/{place}/amount")
        if (budget.period, budget.money.currency) in seen:
            raise Refused("there is one limit for a period and a currency", f"/limits/{place}/period")
        seen.add((budget.period, budget.money.currency))
        try:
            ZoneInfo(budget.time_zone)
        except (ValueError, KeyError, OSError):
            raise Refused(f"there is no time zone {budget.time_zone}", f"/limits/{place}/time_zone") from None
    key = await key_of(conn, driver_id, token)
    await SQL.drop_budgets.run(conn, key)
    for budget in budgets:
        minor, currency = budget.money.minor, budget.money.currency
        await SQL.add_budget.run(conn, key, budget.period, currency, minor, budget.time_zone)


async def list_budgets(conn: Connection, driver_id: str, token: str, now: datetime) -> list[Record]:
    """A token's limits, and what of each is used in the period that `now` lies in."""
    key = await key_of(conn, driver_id, token)
    return await SQL.list_budgets.many(conn, key, now)


async def key_of(conn: Connection, driver_id: str, token: str) -> bytes:
    """The key that a token's limits stand under; NotFound when the driver has no such token."""
    key: bytes | None = await SQL.token_of_driver.value(conn, driver_id, tokens.key(tokens.canonical(token)))
    if key is None:
        raise NotFound(f"driver {driver_id} has no token {token} that the balance pays for")
    return bytes(key)
