"""
Asking for what drivers owe: a notice first, then other attempts to collect each unchangeable bill, then people.

A debt is first paid from the driver's own balance, where there is any. Every step is a row's change
in one transaction, so a sweep may fail or run twice, in any number of processes.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from csms.base.ids import uuid7
from csms.db import SQL, Connection, Record
from csms.domain.errand import Errand
from csms.store import outbox
from csms.store.notices import Notice, tell

RETRIES_MAX = 3
"""Attempts to collect after the notice; then a person decides."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a driver has after the notice, and between attempts, on the system's clock."""

    notice: timedelta = timedelta(days=1)
    retry: timedelta = timedelta(days=3)


PACE = Pace()


async def sweep(conn: Connection, now: datetime, pace: Pace = PACE) -> int:
    """One step for every debt that is due for one; answers how many jobs were made."""
    made = 0
    for row in await SQL.unsettled_debts.many(conn):
        async with conn.transaction():
            made += await _step(conn, row, now, pace)
    return made


async def _step(conn: Connection, row: Record, now: datetime, pace: Pace) -> int:
    driver_id, currency, owed = row["driver_id"], row["currency"], row["owed_minor"]
    if owed:
        moved = await SQL.settle_debt.value(conn, _id(), driver_id, currency, now)
        owed = owed - moved if owed > 0 else 0
    if owed <= 0:
        if row["state"] is not None:
            await SQL.resolve_dunning.run(conn, driver_id, currency, now)
        return 0
    if row["state"] is None:
        await _notify(conn, driver_id, currency, owed, now, pace)
    elif row["next_at"] is not None and row["next_at"] <= now:
        return await _retry(conn, row, owed, now, pace)
    return 0


async def _notify(conn: Connection, driver_id: str, currency: str, owed: int, now: datetime, pace: Pace) -> None:
    """The driver is told, once, before anything else is done."""
    due_at = now + pace.notice
    if await SQL.open_dunning.value(conn, driver_id, currency, owed, now, due_at) is None:
        return
    bills = await SQL.unpaid_bills.many(conn, driver_id, currency)
    body = {
        "driver": driver_id,
        "owed": {"minor": owed, "currency": currency},
        "bills": [str(bill["bill_id"]) for bill in bills],
        "retried_from": due_at.isoformat(),
    }
    key = f"debt/{driver_id}/{currency}/{now.isoformat()}"
    await tell(conn, [Notice(key, "driver.debt_notice", None, driver_id, body, now)])


async def _retry(conn: Connection, row: Record, owed: int, now: datetime, pace: Pace) -> int:
    """Another attempt for each bill that the debt still covers; after the last one people are told."""
    driver_id, currency, attempts = row["driver_id"], row["currency"], row["attempts"] + 1
    last = attempts > RETRIES_MAX
    state, next_at = ("listed", None) if last else ("retrying", now + pace.retry)
    step = (driver_id, currency, row["since"], state, attempts, next_at, owed)
    if await SQL.step_dunning.value(conn, *step) is None:
        return 0
    if last:
        details = f'{{"driver": "{driver_id}", "owed_minor": {owed}, "currency": "{currency}"}}'
        await SQL.relist_debt.run(conn, _id(), f"{driver_id}/{currency}", details, now)
        return 0
    errands = []
    for bill in await SQL.unpaid_bills.many(conn, driver_id, currency):
        if bill["asked_minor"] <= owed:
            owed -= bill["asked_minor"]
            errands.append(_collect(bill, attempts, now))
    await outbox.insert_errands(conn, errands)
    return len(errands)


def _collect(bill: Record, attempt: int, now: datetime) -> Errand:
    """The next attempt group of a bill's keys: the first was its own collection."""
    key = f"session/{bill['session_id']}/collect/{attempt + 1}"
    digest = sha256(key.encode()).digest()
    payload: dict[str, object] = {"bill": str(bill["bill_id"]), "session": str(bill["session_id"])}
    payload["station"] = bill["station_id"]
    id_ = uuid7(int(now.timestamp() * 1000), int.from_bytes(digest[:10]))
    return Errand(id_, "debt.collect", key, f"session/{bill['session_id']}", payload)


def _id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
