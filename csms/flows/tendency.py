"""
How drivers use stations: bills become segments, segments a tendency, many of those cohorts; and a driver forgotten.

Everything is one transaction of the worker, in which the row `tendency_mark` is kept from other workers: what it wrote
and how far it came are committed together, so a worker that dies loses nothing and repeats nothing.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

import structlog

from csms.base.errors import CsmsError
from csms.db import SQL, Connection, Record
from csms.domain import tariff, usage
from csms.domain.events import Reading
from csms.domain.segments import Segment, segments
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import Tariff
from csms.domain.tendency import HISTORY, Used

KEPT = timedelta(days=120)
"""How long segments are kept: twice the history and a week more, so that yesterday's choice can be understood."""

OFFERS_KEPT = timedelta(days=30)
"""How long offers are kept that nobody took; how many there were stays counted (`voucher_offered`)."""

NIGHT_DRIVERS = 2_000
"""Drivers in one transaction of the night."""

log = structlog.get_logger("tendency")


async def take_bills(conn: Connection, bills_max: int, now: datetime) -> bool:
    """
    Make segments of about so many bills that were issued since the last time, and the tendencies of their drivers.

    Answers whether there may be more. Nothing is done while another worker is at it.
    """
    async with conn.transaction():
        mark = await SQL.lock_tendency_mark.one(conn)
        if mark is None:
            return False
        bound = await SQL.next_tendency_bound.one(conn, mark["era"], mark["xid"], bills_max)
        assert bound is not None
        span = (mark["era"], mark["xid"], bound["era"], bound["xid"])
        rows = await SQL.sessions_to_segment.many(conn, *span, now - KEPT)
        if rows:
            await write(conn, rows, now)
        if rows or bound["is_more"]:
            await SQL.move_tendency_mark.run(conn, bound["era"], bound["xid"])
        is_more: bool = bound["is_more"]
        return is_more


async def write(conn: Connection, rows: list[Record], now: datetime) -> None:
    """Replace what is kept of these sessions (`sessions_to_segment`), and compute the tendencies of their drivers."""
    drivers = sorted({row["driver_id"] for row in rows})
    kept = {row["id"]: row["tendency_since"] for row in await SQL.lock_drivers_to_keep.many(conn, drivers)}
    added: list[tuple[object, ...]] = []
    for row in rows:
        if row["driver_id"] in kept and row["started_at"] >= (kept[row["driver_id"]] or row["started_at"]):
            added += [
                (row["driver_id"], one.at, row["session_id"], row["station_id"], one.wh, one.seconds, one.cheap)
                for one in _segments(row)
            ]
        await asyncio.sleep(0)  # the road of this process goes first
    await SQL.remove_segments.run(conn, [row["session_id"] for row in rows])
    if added:
        await SQL.add_segments.run(conn, *(list(column) for column in zip(*added, strict=True)))
    await SQL.compute_tendency.run(conn, list(kept), now)


def _segments(row: Record) -> list[Segment]:
    """The segments of one session; none of one in which nothing flowed, or that cannot be read."""
    if not row["energy_wh"]:
        return []
    series = [Reading(*reading) for reading in row["series"]]
    base = row["meter_start_wh"]
    if base is None:
        base = min((reading.register_wh for reading in series if reading.register_wh is not None), default=0)
    start, end = row["started_at"], row["started_at"] + timedelta(seconds=row["seconds"])
    try:
        priced = None if row["tariff"] is None else _tariff(row["tariff"])
        profile = usage.periods(series, start, end, base, base + row["energy_wh"])
        return segments(profile, priced, zone_of(row["time_zone"]))
    except Exception:  # one that a rule cannot digest must not keep all behind it from being read, for ever
        log.exception("session without segments", session=str(row["session_id"]))
        return []


@lru_cache(maxsize=256)
def _tariff(document: str) -> Tariff | None:
    """A stored version of a tariff; None for one that is not read any more: then nobody knows what was cheap."""
    try:
        return tariff.parse(json.loads(document, parse_float=Decimal))
    except CsmsError:
        return None


async def night_turn(conn: Connection, now: datetime) -> bool:
    """
    One step of the nightly work, if a night has begun whose work is not done; answers whether there may be more.

    Every driver is computed anew, because history grows old; then old segments go, and cohorts are found.
    """
    async with conn.transaction():
        mark = await SQL.lock_tendency_mark.one(conn)
        if mark is None:
            return False
        night = await SQL.tendency_night.value(conn, now)
        if mark["night"] is not None and mark["night"] >= night:
            return False
        rows = await SQL.drivers_after.many(conn, mark["reached"] or "", NIGHT_DRIVERS)
        drivers = [row["id"] for row in rows]
        await SQL.lock_drivers_to_keep.run(conn, drivers)
        await SQL.compute_tendency.run(conn, drivers, now)
        if len(rows) == NIGHT_DRIVERS:
            await SQL.reach_driver.run(conn, drivers[-1])
            return True
        await SQL.drop_old_segments.run(conn, now - KEPT)
        await SQL.drop_old_offers.run(conn, now - OFFERS_KEPT)
        await SQL.drop_old_inquiries.run(conn, now - OFFERS_KEPT)
        await SQL.compute_cohorts.run(conn, now)
        await SQL.drop_cohorts_of_forgotten.run(conn)
        await SQL.end_night.run(conn, night)
        return False


async def history(conn: Connection, driver_id: str, now: datetime) -> list[Used]:
    """A driver's segments of the last 56 days, by time."""
    rows = await SQL.list_segments.many(conn, driver_id, now - HISTORY, now)
    return [Used(**dict(row)) for row in rows]


async def forget(conn: Connection, driver_id: str, now: datetime) -> None:
    """Delete what is kept of a driver; it begins anew with the next session. In the caller's transaction."""
    keeps = await SQL.lock_tendency_of.value(conn, driver_id)
    await SQL.forget_tendency.run(conn, driver_id)
    await SQL.begin_tendency.run(conn, driver_id, keeps, now)


async def opt_out(conn: Connection, driver_id: str, opted_out: bool, now: datetime) -> None:
    """Keep nothing of a driver from now on, and delete what was kept; or begin again. In the caller's transaction."""
    if await SQL.lock_tendency_of.value(conn, driver_id) is not opted_out:
        return
    await SQL.forget_tendency.run(conn, driver_id)
    await SQL.begin_tendency.run(conn, driver_id, not opted_out, now)
