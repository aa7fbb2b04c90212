"""
How vouchers end. Drivers are told a week before (half its time, if shorter); what was not used stays owed to them.

It counts as earned (breakage) only when people run that job, for vouchers of a country that has a policy, so many days
after their end, and not before the day of which their driver was told (shared/money.md section 5).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from csms.base.clock import rfc3339
from csms.base.errors import Conflict
from csms.db import SQL, Connection, Record
from csms.domain import voucher as rules
from csms.domain.pack_rows import Voucher
from csms.domain.world import LATE_S_MAX
from csms.flows.books import PostingRefused
from csms.flows.vouchers import post
from csms.store.notices import Notice, Type, tell

TOLD_BEFORE = timedelta(days=7)
AFTER_DAYS_MIN = LATE_S_MAX // 86_400
"""A policy takes nothing sooner: so late a use may still be told that the voucher is to pay for."""

ROWS_MAX = 500
"""Vouchers that are looked at together."""

TURNS_MAX = 10
"""So often in one run; the rest is for the next one."""


@dataclass(slots=True)
class Lapse:
    """What a run of breakage told and posted, or would: vouchers, and minor units by currency."""

    country: str
    told: int = 0
    lapsed: int = 0
    minor: Counter[str] = field(default_factory=Counter)
    more: bool = False
    """There are others: it is to be run again."""


async def tell_of_ends(conn: Connection, now: datetime) -> int:
    """Has drivers told of vouchers that end within a week, once each; answers how many vouchers."""
    count = 0
    while True:
        async with conn.transaction():
            rows = await SQL.ending_vouchers.many(conn, now, now + TOLD_BEFORE, ROWS_MAX)
            await tell(conn, [_notice(row, "voucher.ends", row["valid_until"], now) for row in rows if row["left"]])
        count += len(rows)
        if len(rows) < ROWS_MAX:
            return count


def _notice(row: Record, kind: Type, until: datetime, now: datetime) -> Notice:
    left = row["left"] if "left" in row else row["total"] - row["used"]
    body = {
        "voucher": str(row["id"]), "driver": row["driver_id"], "product": row["product_id"], "unit": row["unit"],
        "left": left, "until": rfc3339(until),
        "carry_until": None if row["carry_until"] is None else rfc3339(row["carry_until"]),
    }  # fmt: skip
    key = f"voucher/{row['id']}/{kind}"
    return Notice(key, kind, row["provider_id"], row["driver_id"], body, now)


async def lapse(conn: Connection, country: str, now: datetime, *, only_look: bool) -> Lapse:
    """
    Tell drivers of what will be lost by the policy of a country, and post what they were told of long enough ago.

    Conflict where the country has no policy. `only_look` changes nothing, and counts what a run now would do.
    Every voucher is a posting of its own, with a key: a run that is cut or run twice loses and doubles nothing.
    """
    policy = await SQL.show_breakage_policy.one(conn, country)
    if policy is None:
        raise Conflict(f"{country} has no policy of breakage; set it first (PUT /api/v1/breakage-policies/{country})")
    ended = now - timedelta(days=policy["after_days"])
    done = Lapse(country)
    await _post_lapsed(conn, done, ended, now, only_look)
    await _tell_of_lapse(conn, done, ended, now + timedelta(days=policy["notice_days"]), now, only_look)
    return done


async def _post_lapsed(conn: Connection, done: Lapse, ended: datetime, now: datetime, only_look: bool) -> None:
    for _ in range(TURNS_MAX):
        rows = await SQL.lapsing_vouchers.many(conn, done.country, ended, now, ROWS_MAX)
        for row in rows:
            mine = Voucher(**{name: row[name] for name in Voucher._fields})
            async with conn.transaction():
                if not only_look:
                    if await SQL.lapse_voucher.value(conn, mine.id, mine.version) is None:
                        continue  # a use was first: the next run looks again
                    posting = rules.lapsed(mine, now)
                    if (answer := await post(conn, posting)) != "posted":
                        raise PostingRefused(f"posting {posting.key}: {answer}")
            done.lapsed += 1
            done.minor[mine.currency] += mine.price_minor - mine.released_minor
        if only_look or len(rows) < ROWS_MAX:
            done.more |= len(rows) == ROWS_MAX
            return
    done.more = True


async def _tell_of_lapse(
    conn: Connection, done: Lapse, ended: datetime, until: datetime, now: datetime, only_look: bool
) -> None:
    for _ in range(TURNS_MAX):
        rows = await SQL.lapsing_vouchers.many(conn, done.country, ended, None, ROWS_MAX)
        if only_look:
            done.told += len(rows)
            done.more |= len(rows) == ROWS_MAX
            return
        async with conn.transaction():
            marked = await SQL.tell_of_lapse.many(conn, [row["id"] for row in rows], until)
            fresh = {row["id"] for row in marked}
            await tell(conn, [_notice(row, "voucher.lapses", until, now) for row in rows if row["id"] in fresh])
        done.told += len(fresh)
        if len(rows) < ROWS_MAX:
            done.more |= len(fresh) < len(rows)
            return
    done.more = True
