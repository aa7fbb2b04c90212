"""
T14: how long it takes to compute how 100,000 drivers use stations, from the quarters of an hour of 56 days.

The segments are made inside PostgreSQL, in the order of time, as they come in use; the work is the worker's own of a
night, with its rights, transaction by transaction.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import asyncpg

from csms import db
from csms.db import SQL
from csms.flows import tendency
from tests.benchmarks.partners import Bench

DRIVERS, DRIVERS_QUICK = 100_000, 10_000
SESSIONS, QUARTERS = 14, 2
"""Two sessions a week, in two quarters of an hour each."""
TAKES = 50


@dataclass
class Found:
    """What was measured: rows and bytes, seconds of preparation and of nights, milliseconds of one driver."""

    drivers: int
    segments: int = 0
    segment_bytes: int = 0
    tendency_bytes: int = 0
    cohorts: int = 0
    made_s: float = 0.0
    nights_s: dict[str, float] = field(default_factory=dict)
    one_ms: dict[str, float] = field(default_factory=dict)


def measure(quick: bool) -> Found:
    """The whole of T14, on a PostgreSQL of its own."""
    with Bench(stations=0) as bench:
        return asyncio.run(_on_its_own(bench, DRIVERS_QUICK if quick else DRIVERS))


async def _on_its_own(bench: Bench, drivers: int) -> Found:
    conn = await asyncpg.connect(bench.postgres.dsn)
    await conn.execute("create database bench_tendency")
    await conn.close()
    dsn = bench.postgres.dsn_of("bench_tendency")
    conn = await asyncpg.connect(dsn)
    await db.migrate(conn)
    await conn.close()
    return await compute(dsn, drivers)


async def compute(dsn: str, drivers: int) -> Found:
    """Fill a migrated database with so many drivers and compute how they use stations, night after night."""
    found = Found(drivers)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    conn = await asyncpg.connect(dsn)
    try:
        await _fill(conn, found, until)
    finally:
        await conn.close()
    pool = await db.pool(dsn, size=1, name="csms worker", role=db.WRITER)
    try:
        async with pool.acquire() as conn:
            for name, now in (("all new", until), ("a day later", until + timedelta(days=1))):
                began = time.monotonic()
                while await tendency.night_turn(conn, now):
                    pass
                found.nights_s[name] = time.monotonic() - began
            found.one_ms = await _one_by_one(conn, drivers, until + timedelta(days=1))
            found.cohorts = await conn.fetchval("select count(*) from cohort")
            assert await conn.fetchval("select count(*) from tendency") == drivers
            found.tendency_bytes = await conn.fetchval("select pg_total_relation_size('tendency')")
    finally:
        await pool.close()
    return found


async def _fill(conn: db.Connection, found: Found, until: datetime) -> None:
    """Places, drivers and segments; keys are built afterwards, and foreign ones are not looked at while filling."""
    began = time.monotonic()
    await conn.execute((Path(__file__).parent / "tendency.sql").read_text("utf-8"))
    await conn.execute("select pg_temp.seed_places()")
    await conn.execute("select pg_temp.seed_drivers($1)", found.drivers)
    await conn.execute("alter table usage_segment drop constraint usage_segment_pkey")
    await conn.execute("set session_replication_role = replica")
    for number in range(SESSIONS):
        await conn.execute(
            "select pg_temp.seed_segments($1, $2, $2, $3, $4, $5)", found.drivers, number, SESSIONS, QUARTERS, until
        )
    await conn.execute("set session_replication_role = origin; set maintenance_work_mem = '256MB'")
    await conn.execute("alter table usage_segment add primary key (driver_id, at, session_id)")
    await conn.execute("vacuum analyze usage_segment, driver, station, site")
    found.made_s = time.monotonic() - began
    found.segments = await conn.fetchval("select count(*) from usage_segment")
    found.segment_bytes = await conn.fetchval("select pg_total_relation_size('usage_segment')")


async def _one_by_one(conn: db.Connection, drivers: int, now: datetime) -> dict[str, float]:
    """Milliseconds of one driver: what each session costs, and what is read to choose vouchers."""
    taken: dict[str, list[float]] = {"compute": [], "read the segments": []}
    for number in range(min(TAKES, drivers)):
        driver = f"driver-{number * 7919 % drivers:06}"
        began = time.perf_counter()
        await SQL.compute_tendency.run(conn, [driver], now + timedelta(hours=1))
        computed = time.perf_counter()
        await tendency.history(conn, driver, now)
        taken["compute"].append((computed - began) * 1000)
        taken["read the segments"].append((time.perf_counter() - computed) * 1000)
    return {name: median(values) for name, values in taken.items()}


def lines(found: Found) -> str:
    """The block of the table."""
    per_row = found.segment_bytes / max(1, found.segments)
    text = [
        f"\nT14  how {found.drivers:,} drivers use stations, from {found.segments:,} segments of 56 days"
        f" (made in {found.made_s:.0f} s; {per_row:.0f} bytes each with indexes)"
    ]
    for name, seconds in found.nights_s.items():
        text.append(
            f"  {seconds:8.1f} s   a night, {name}: {found.drivers / seconds:,.0f} drivers/s,"
            f" {found.segments / seconds:,.0f} segments/s"
        )
    text += [f"  {ms:8.2f} ms  one driver: {name}" for name, ms in found.one_ms.items()]
    text.append(f"  {found.cohorts} cohorts; {found.tendency_bytes / found.drivers:.0f} bytes of tendency a driver")
    return "\n".join(text)
