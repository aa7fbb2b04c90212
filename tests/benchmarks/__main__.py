"""
`make bench`: our speed beside a stock server and the raw limit, all in one run on one machine.

    python -m tests.benchmarks [--quick] [--only T1,T2] [--seconds N] [--rounds N] [--json FILE]

Prints a table and writes JSON. Status 1 when a partner broke or our books are wrong, never for slowness.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import books, cells, inquiries, lockers, report, reports, swaps, tendency
from tests.benchmarks.load import Plan, Result, drive
from tests.benchmarks.partners import NAMES, Bench, Broken, Server, csms

FIRST_CHARGE = re.compile(r"the first was charged ([0-9.]+) s after")
"""What the demo tells of itself."""


@dataclass
class Run:
    """What one run of the benchmarks is asked for, and what it has found so far."""

    partners: tuple[str, ...]
    targets: frozenset[str]
    quick: bool
    seconds: float
    rounds: int
    results: list[tuple[cells.Cell, str, list[Result]]] = field(default_factory=list)
    idle: dict[str, float] = field(default_factory=dict)
    """KiB of memory per idle connection, by partner."""
    reports: reports.Found | None = None
    """T10: what reports over many bills took."""
    lockers: list[lockers.Point] = field(default_factory=list)
    """T12: cabinets that lend."""
    swaps: list[swaps.Point] = field(default_factory=list)
    """T13: battery stations."""
    inquiries: inquiries.Found | None = None
    """T15: what one inquiry for vouchers took."""
    tendency: tendency.Found | None = None
    """T14: what it took to compute how drivers use stations."""
    ready_s: dict[str, float] = field(default_factory=dict)
    """Seconds until `csms serve` takes stations, `cold` and `warm`, and to the first charge of the `demo`."""


def measure(run: Run) -> None:
    """Everything that was asked for, in turn. Raises Broken."""
    wanted = [
        cell
        for cell in cells.CELLS
        if cell.target in run.targets and (cell.quick or not run.quick) and {*cell.partners} & {*run.partners}
    ]
    if wanted:
        with Bench(stations=max(cell.stations for cell in wanted)) as bench:
            _drive_cells(run, bench, wanted)
    if "T6" in run.targets:
        _measure_idle(run)
    if "T10" in run.targets and "ours" in run.partners:
        run.reports = reports.measure(run.quick)
        print(reports.lines(run.reports), flush=True)
    if "T12" in run.targets and "ours" in run.partners:
        run.lockers = lockers.measure(lockers.points_of(run.quick), run.seconds)
        print(lockers.lines(run.lockers), flush=True)
    if "T13" in run.targets and "ours" in run.partners:
        run.swaps = swaps.measure(swaps.points_of(run.quick), run.seconds)
        print(swaps.lines(run.swaps), flush=True)
    if "T14" in run.targets and "ours" in run.partners:
        run.tendency = tendency.measure(run.quick)
        print(tendency.lines(run.tendency), flush=True)
    if "T15" in run.targets and "ours" in run.partners:
        run.inquiries = inquiries.measure(run.quick)
        print(inquiries.lines(run.inquiries), flush=True)
    if "T11" in run.targets and "ours" in run.partners:
        _measure_ready(run)


def _drive_cells(run: Run, bench: Bench, wanted: list[cells.Cell]) -> None:
    needed = {partner for cell in wanted for partner in cell.partners if partner in run.partners}
    servers = {name: bench.start(name) for name in NAMES if name in needed}
    sessions_driven = 0
    for cell in wanted:
        found: dict[str, list[Result]] = {name: [] for name in cell.partners if name in servers}
        for _ in range(run.rounds):
            for name, results in found.items():
                result = _drive(run, bench, servers[name], cell)
                results.append(result)
                if name == "ours":
                    sessions_driven += result.sessions_total
                    books.check(bench.postgres.dsn_of("bench_ours"), sessions_driven)
        run.results += [(cell, name, results) for name, results in found.items()]
        print(report.cell_lines(cell, found), flush=True)


def _drive(run: Run, bench: Bench, server: Server, cell: cells.Cell) -> Result:
    assert bench.postgres.pid
    pids = (server.process.pid, bench.postgres.pid)
    plan = Plan(server.url, cell.version, cell.scenario_of(server.name), cell.stations, run.seconds, server_pids=pids)
    try:
        result = drive(plan)
    except RuntimeError as error:
        raise Broken(f"{cell.title} against {server.name}: {error}\n{server.log_end()}") from error
    if result.errors or result.closed:
        what = f"{result.errors} errors, {result.closed} connections lost; first: {result.first_error}"
        raise Broken(f"{cell.title} against {server.name}: {what}\n{server.log_end()}")
    return result


def _measure_idle(run: Run) -> None:
    """T6, on servers that have done nothing before: memory that was freed would be used again unseen."""
    count = cells.IDLE_STATIONS_QUICK if run.quick else cells.IDLE_STATIONS
    cell = cells.Cell("T6", "idle", "2.0.1", count, ("stock", "ours"))
    with Bench(stations=count) as bench:
        for name in cell.partners:
            if name in run.partners:
                server = bench.start(name)
                result = _drive(run, bench, server, cell)
                bench.stop(server)
                run.idle[name] = result.pss_per_connection / 1024
                run.results.append((cell, name, [result]))
    print(report.idle_lines(cell, run.idle), flush=True)


def _measure_ready(run: Run) -> None:
    """T11: `csms serve` with an embedded database, on a new data folder and again on the same one."""
    with tempfile.TemporaryDirectory(prefix="csms-bench-", ignore_cleanup_errors=True) as folder:
        path = Path(folder)
        path.chmod(0o755)
        command = csms("serve", "--ocpp-port", "0", "--http-port", "0", "--data-dir", str(path / "data"))
        for state in ("cold", "warm"):
            server = Server("ours", command, {}, path / "log")
            run.ready_s[state] = server.ready_s
            server.stop()
    if not run.quick:
        run.ready_s["demo"] = _demo_first_charge_s()
    print(report.ready_lines(run.ready_s), flush=True)


def _demo_first_charge_s() -> float:
    """Seconds from starting the demo, dependencies in place, to its first charge."""
    command = [sys.executable, "-m", "charge_points_sim.demo"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    found = FIRST_CHARGE.search(told.stdout)
    if told.returncode or found is None:
        raise Broken(f"the demo ended with status {told.returncode}: {told.stdout[-2000:]}{told.stderr[-2000:]}")
    return float(found[1])


def as_json(run: Run, seconds: float) -> dict[str, Any]:
    """The whole run for machines: every single result, not only the medians."""
    return {
        "taken_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "quick": run.quick,
        "seconds": round(seconds, 1),
        "cells": [
            {"target": cell.target, "title": cell.title, "partner": name, "results": [asdict(each) for each in results]}
            for cell, name, results in run.results
        ],
        "idle_kib_per_connection": run.idle,
        "reports": None if run.reports is None else asdict(run.reports),
        "lockers": lockers.as_json(run.lockers),
        "swaps": swaps.as_json(run.swaps),
        "tendency": None if run.tendency is None else asdict(run.tendency),
        "inquiries": None if run.inquiries is None else asdict(run.inquiries),
        "ready_s": run.ready_s,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer figures, less than three minutes")
    parser.add_argument("--only", default="T1,T2,T3,T4,T5,T6,T11,T13,T14,T15", help="targets, separated by commas")
    parser.add_argument("--partners", default=",".join(NAMES), help="which servers to drive")
    parser.add_argument("--seconds", type=float, help="length of each measured window (5; quick 2)")
    parser.add_argument("--rounds", type=int, help="how often each figure is taken; medians are shown (3; quick 2)")
    parser.add_argument("--json", type=Path, default=Path("var/bench.json"), help="where the figures go")
    given = parser.parse_args()
    targets = frozenset(given.only.upper().replace("T3", "T2").split(","))
    seconds = given.seconds or (2.0 if given.quick else 5.0)
    run = Run(
        tuple(given.partners.split(",")), targets, given.quick, seconds, given.rounds or (2 if given.quick else 3)
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    try:
        measure(run)
    except Broken as broken:
        print(f"broken: {broken}", file=sys.stderr)
        return 1
    finally:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(as_json(run, time.monotonic() - began), indent=1) + "\n")
    print(f"\n{time.monotonic() - began:.0f} s; every figure is in {given.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
