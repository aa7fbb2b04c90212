"""
T12: how soon a driver at a lock is answered while 1,000 cabinets of 12 doors lend and take back.

Three points, each on a database of its own: people who take their time, the same while 64 stations charge as fast as
they are answered, and 100 cabinets that report as fast as they are answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.benchmarks import books, report
from tests.benchmarks.load import Plan, Result, drive_together
from tests.benchmarks.locker_frames import DOORS, ITEMS
from tests.benchmarks.partners import Bench, Broken, Server

CABINETS, CABINETS_QUICK = 1_000, 100
CABINETS_HURRIED = 100
"""How many report without a pause: each has a call in flight, so a thousand would measure their own queue."""
STATIONS = 64
VERSIONS = "1.6,2.0.1,2.1"
PAUSE_S, PAUSE_QUICK_S = 2.0, 0.2
"""What a person takes for each step: to walk up, open the door, take the item, close the door."""
WARM_UP_S, WARM_UP_QUICK_S = 20.0, 2.0
"""Until drivers are at every step of a rental, and stations that are new have been set up."""
WANTED_MS = 1_000.0


@dataclass
class Point:
    """One way to load the system, and what came of it: the cabinets first, then the stations that charged."""

    title: str
    cabinets: int
    pause_s: float
    warm_up_s: float
    charging: bool = False
    results: list[Result] = field(default_factory=list)


def points_of(quick: bool) -> list[Point]:
    """What T12 measures."""
    cabinets = CABINETS_QUICK if quick else CABINETS
    pause_s, warm_up_s = (PAUSE_QUICK_S, WARM_UP_QUICK_S) if quick else (PAUSE_S, WARM_UP_S)
    return [
        Point("at the pace of people", cabinets, pause_s, warm_up_s),
        Point(f"the same, {STATIONS} stations charging", cabinets, pause_s, warm_up_s, charging=True),
        Point("as fast as they are answered", CABINETS_HURRIED, 0.0, WARM_UP_QUICK_S),
    ]


def measure(points: list[Point], seconds: float) -> list[Point]:
    """Takes every point. Raises Broken when somebody was refused or the books are wrong."""
    cabinets = max(point.cabinets for point in points)
    with Bench(stations=max(cabinets, STATIONS)) as bench:
        for number, point in enumerate(points):
            server = bench.start("ours", f"bench_lockers_{number}")
            dsn = bench.postgres.dsn_of(f"bench_lockers_{number}")
            asyncio.run(fill(dsn, cabinets))
            assert bench.postgres.pid
            point.results = _drive(point, server, bench.postgres.pid, seconds)
            books.check(dsn, sum(result.sessions_total for result in point.results))
            bench.stop(server)
    return points


async def fill(dsn: str, cabinets: int) -> None:
    """Adds cabinets, their doors and items to a database that `seed.fill` has filled."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute((Path(__file__).parent / "lockers.sql").read_text("utf-8"))
        await connection.execute("select pg_temp.seed_lockers($1, $2, $3)", cabinets, DOORS, ITEMS)
    finally:
        await connection.close()


def _drive(point: Point, server: Server, postgres_pid: int, seconds: float) -> list[Result]:
    pids = (server.process.pid, postgres_pid)
    common: dict[str, Any] = {"seconds": seconds, "warm_up_s": point.warm_up_s, "server_pids": pids}
    plans = [Plan(server.url, VERSIONS, "lockers", point.cabinets, prefix="LOCKER-", pause_s=point.pause_s, **common)]
    if point.charging:
        plans.append(Plan(server.url, "2.0.1", "sessions", STATIONS, **common))
    try:
        results = drive_together(plans)
    except RuntimeError as error:
        raise Broken(f"T12 {point.title}: {error}\n{server.log_end()}") from error
    for result in results:
        if result.errors or result.closed:
            what = f"{result.errors} errors, {result.closed} connections lost; first: {result.first_error}"
            raise Broken(f"T12 {point.title}: {what}\n{server.log_end()}")
    return results


def lines(points: list[Point]) -> str:
    """The block of the table."""
    text = [f"\nT12  cabinets of {DOORS} doors lend ({VERSIONS})"]
    for point in points:
        lending, *charging = point.results
        asked, late = lending.by_kind.get("request", {}), lending.by_kind.get("pending", {})
        most = max(asked.get("max_ms", 0.0), late.get("max_ms", 0.0))
        spread = ", ".join(f"{name} {asked.get(f'{name}_ms', 0.0):.0f}" for name in ("p50", "p95", "p99", "max"))
        reached = "reached" if most <= WANTED_MS and not late else "wanted"
        text.append(f"  {point.cabinets:,} cabinets, {point.title}")
        text.append(f"    Door.Request      ms  {spread}  ({reached} {WANTED_MS:g}, all decided)")
        if late:
            share = late["answers"] / (late["answers"] + asked.get("answers", 0))
            text.append(f"    answered PaymentPending for want of time: {share:.1%}, at most {late['max_ms']:.0f} ms")
        text.append(
            f"    {lending.sessions_per_s:,.0f} rentals/s, {lending.answers_per_s:,.0f} reports/s"
            f" (p50 {lending.p50_ms:.0f} ms, p99 {lending.p99_ms:.0f} ms)"
            + "".join(f", {result.sessions_per_s:,.0f} sessions/s beside them" for result in charging)
        )
        gateway, postgres = lending.server_us
        text.append(f"    CPU per answer    us  gateway {gateway:.0f} + PostgreSQL {postgres:.0f}")
        for result in point.results:
            full = "  (it was the limit)" if result.load_busy > report.LOAD_FULL * result.plan.processes else ""
            text.append(f"    load {result.plan.scenario}: {result.load_us:.0f} us, {result.load_busy:.2f} cores{full}")
        if lending.others_busy > report.OTHERS_BUSY_MAX:
            text.append(f"    others took {lending.others_busy:.2f} cores: rates and times say little")
    return "\n".join(text)


def as_json(points: list[Point]) -> list[dict[str, Any]]:
    """Every figure, for machines."""
    return [asdict(point) for point in points]
