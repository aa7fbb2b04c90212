"""
T13: how soon an insertion is decided while 1,000 battery stations of 8 slots tell of every pack once a minute.

Three points, each on a database of its own: the pace of riders beside the reports, then reports and swaps each as fast
as they are answered, which says how much is held in reserve.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.benchmarks import books, report
from tests.benchmarks.load import Plan, Result, drive
from tests.benchmarks.partners import Bench, Broken, Server
from tests.benchmarks.swap_frames import CAPACITY_WH, SLOTS
from tests.benchmarks.swap_stations import REPORT_S

STATIONS, STATIONS_QUICK = 1_000, 100
REPORTING, SWAPPING = 100, 400
"""
How many go on without a pause: each has a call in flight, so a thousand would measure their own queue. A rider is
away for a second at least, since what was held for less costs nothing.
"""
SWAPS_PER_S = 20.0
VERSIONS = "1.6,2.0.1,2.1"
WARM_UP_S, WARM_UP_QUICK_S = 10.0, 2.0
WANTED_MS = 50.0
"""What 99 of 100 insertions are to be decided in."""


@dataclass
class Point:
    """One way to load the system, and what came of it. `ride_s` is how long a rider is away, on average."""

    title: str
    scenario: str
    stations: int
    ride_s: float
    warm_up_s: float
    result: Result | None = None
    kept: dict[str, int] = field(default_factory=dict)
    """What the database has in the end: rows and bytes of `pack_state`, rows of `swap` and `bill`, open errands."""


def points_of(quick: bool) -> list[Point]:
    """What T13 measures."""
    stations, warm_up_s = (STATIONS_QUICK, WARM_UP_QUICK_S) if quick else (STATIONS, WARM_UP_S)
    return [
        Point("a report a minute of each slot, riders", "swaps", stations, stations / SWAPS_PER_S, warm_up_s),
        Point("reports as fast as they are answered", "states", REPORTING, 0.0, WARM_UP_QUICK_S),
        Point("swaps as fast as they are answered", "swaps", SWAPPING, 0.0, WARM_UP_QUICK_S),
    ]


def measure(points: list[Point], seconds: float) -> list[Point]:
    """Takes every point. Raises Broken when a pack was not accepted or the books are wrong."""
    with Bench(stations=max(point.stations for point in points)) as bench:
        for number, point in enumerate(points):
            server = bench.start("ours", f"bench_swaps_{number}")
            dsn = bench.postgres.dsn_of(f"bench_swaps_{number}")
            asyncio.run(fill(dsn, point.stations))
            assert bench.postgres.pid
            point.result = _drive(point, server, bench.postgres.pid, seconds)
            point.kept = asyncio.run(_kept(dsn))
            books.check(dsn, point.result.sessions_total, still_open=point.stations)
            bench.stop(server)
    return points


async def fill(dsn: str, stations: int) -> None:
    """Adds battery stations, their slots and packs to a database that `seed.fill` has filled."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute((Path(__file__).parent / "swaps.sql").read_text("utf-8"))
        await connection.execute("select pg_temp.seed_swaps($1, $2, $3)", stations, SLOTS, CAPACITY_WH)
    finally:
        await connection.close()


async def _kept(dsn: str) -> dict[str, int]:
    connection = await asyncpg.connect(dsn)
    try:
        row = await connection.fetchrow("""
            select (select count(*) from pack_state) as pack_state,
                   (select coalesce(sum(pg_total_relation_size(relid)), 0)::bigint
                    from pg_partition_tree('pack_state') where isleaf) as pack_state_bytes,
                   (select count(*) from swap) as swap,
                   (select count(*) from bill) as bill,
                   (select count(*) from outbox where state = 'waiting') as waiting""")
        assert row is not None
        return dict(row)
    finally:
        await connection.close()


def _drive(point: Point, server: Server, postgres_pid: int, seconds: float) -> Result:
    plan = Plan(
        server.url,
        VERSIONS,
        point.scenario,
        point.stations,
        seconds,
        point.warm_up_s,
        point.ride_s,
        prefix="SWAP-",
        server_pids=(server.process.pid, postgres_pid),
    )
    try:
        result = drive(plan)
    except RuntimeError as error:
        raise Broken(f"T13 {point.title}: {error}\n{server.log_end()}") from error
    if result.errors or result.closed:
        what = f"{result.errors} errors, {result.closed} connections lost; first: {result.first_error}"
        raise Broken(f"T13 {point.title}: {what}\n{server.log_end()}")
    return result


def lines(points: list[Point]) -> str:
    """The block of the table."""
    every = REPORT_S / SLOTS
    text = [f"\nT13  battery stations of {SLOTS} slots ({VERSIONS}); each tells of a slot every {every:g} s"]
    for point in points:
        result = point.result
        assert result is not None
        text.append(f"  {point.stations:,} stations, {point.title}")
        for kind, name in (("state", "state of a pack"), ("inserted", "insertion"), ("release", "until released")):
            if kind in result.by_kind:
                wanted = kind == "inserted" and point.ride_s > 0  # without a pause they wait for each other
                text.append(f"    {name:<16}  ms  {_spread(result.by_kind[kind], wanted=wanted)}")
        states = sum(result.by_kind.get(kind, {}).get("answers", 0) for kind in ("state", "status"))
        window_s = result.answers / result.answers_per_s if result.answers else 1.0
        text.append(
            f"    {result.answers_per_s:,.0f} answers/s: {states / window_s:,.0f} reports/s of slots,"
            f" {result.sessions_per_s:,.1f} swaps/s; {result.waiting} calls waited in the end"
        )
        gateway, postgres = result.server_us
        cores = [part * result.answers_per_s / 1e6 for part in result.server_us]
        text.append(
            f"    CPU per answer    us  gateway {gateway:.0f} + PostgreSQL {postgres:.0f}"
            f" ({cores[0]:.2f} + {cores[1]:.2f} cores)"
        )
        kept = point.kept
        per_row = kept["pack_state_bytes"] / max(1, kept["pack_state"])
        text.append(
            f"    kept: {kept['pack_state']:,} states of packs ({per_row:.0f} bytes each with index),"
            f" {kept['swap']:,} swaps, {kept['bill']:,} bills, {kept['waiting']} errands not done yet"
        )
        full = "  (it was the limit)" if result.load_busy > report.LOAD_FULL else ""
        text.append(f"    load: {result.load_us:.0f} us, {result.load_busy:.2f} cores{full}")
        if result.others_busy > report.OTHERS_BUSY_MAX:
            text.append(f"    others took {result.others_busy:.2f} cores: rates and times say little")
    return "\n".join(text)


def _spread(kind: dict[str, float], *, wanted: bool) -> str:
    spread = ", ".join(f"{name} {kind[f'{name}_ms']:.1f}" for name in ("p50", "p95", "p99", "max"))
    if not wanted:
        return spread
    return f"{spread}  ({'reached' if kind['p99_ms'] < WANTED_MS else 'wanted'} p99 {WANTED_MS:g})"


def as_json(points: list[Point]) -> list[dict[str, Any]]:
    """Every figure, for machines."""
    return [asdict(point) for point in points]
