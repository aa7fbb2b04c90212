"""
What nobody raises because nothing happens: money set aside for too long, payments without an outcome, debts of
providers, money in suspense. Looked for as sets, listed once, and taken off the list when it has ended by itself.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import structlog

from csms.db import SQL, Connection

HOLD_AGE_MAX = timedelta(days=3)
"""Longer than any use should hold money: what is older waits for a person, or was forgotten."""

UNKNOWN_S_MAX = 900.0
"""How long a psp may leave us without an outcome before people are told (wall clock)."""

KINDS = ("old_hold", "payment_unknown", "negative_provider", "suspense")
"""The exceptions that this sweep raises and ends."""

log = structlog.get_logger("timers")


async def list_concerns(
    conn: Connection,
    now: datetime,
    *,
    hold_age_max: timedelta = HOLD_AGE_MAX,
    unknown_s_max: float = UNKNOWN_S_MAX,
) -> Counter[str]:
    """
    Brings the exceptions of `KINDS` up to date, at `now` of the system's clock; answers how many are new, by kind.

    What a person resolved stays resolved, also while it lasts; what ended by itself and came back is open again.
    """
    async with conn.transaction():
        found = await SQL.concerns_now.many(conn, now - hold_age_max, unknown_s_max)
        kinds, refs = [row["kind"] for row in found], [row["ref"] for row in found]
        stations, details = [row["station_id"] for row in found], [row["details"] for row in found]
        opened = await SQL.open_concerns.many(conn, kinds, refs, stations, details, now)
        await SQL.end_concerns.run(conn, list(KINDS), kinds, refs, now)
    new = Counter(row["kind"] for row in opened)
    if new:
        log.warning("people must look at something", **new)
    return new
