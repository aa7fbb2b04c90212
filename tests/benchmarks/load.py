"""
The load: stations in processes of their own that keep one call each in flight and count the answers.

By itself: `python -m tests.benchmarks.load --url ws://127.0.0.1:9000/ocpp --version 2.0.1 --scenario sessions
--stations 64 --seconds 5 --server-pid PID`. Stations are called BENCH-00000 and up, present the token
04C0DE followed by their number in eight hex digits, and all have the same password.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks import client, cpu, frames

PASSWORD = "bench-password-0001"


@dataclass(frozen=True)
class Plan:
    """
    What to drive. `url` without the station's id; seconds are wall seconds.

    `version` may name several, separated by commas: stations take them in turn. `pause_s` is for people.
    """

    url: str
    version: str = "2.0.1"
    scenario: str = "sessions"
    stations: int = 64
    seconds: float = 5.0
    warm_up_s: float = 1.0
    pause_s: float = 0.0
    processes: int = 1
    password: str = PASSWORD
    prefix: str = "BENCH-"
    server_pids: tuple[int, ...] = ()
    """Roots of the process trees whose CPU and memory are measured: gateway first, PostgreSQL after it."""


@dataclass
class Result:
    """What came of a plan. Rates are per second of the window; latencies are milliseconds by kind of call."""

    plan: Plan
    answers: int = 0
    sessions: int = 0
    sessions_total: int = 0
    """Sessions driven to their end in the whole run, warm-up and drain included: as many bills must exist."""
    answers_per_s: float = 0.0
    sessions_per_s: float = 0.0
    """Answers by those of a session: where a session outlasts the window, whole ones would be counted by chance."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    by_kind: dict[str, dict[str, float]] = field(default_factory=dict)
    server_us: list[float] = field(default_factory=list)
    """CPU microseconds per answer of each tree of `plan.server_pids`."""
    load_us: float = 0.0
    """The load's own CPU microseconds per answer."""
    load_busy: float = 0.0
    """Cores that the load used: near `plan.processes` it was the limit itself."""
    others_busy: float = 0.0
    """Cores that neither the servers nor the load used: rates and times say less, the more there are."""
    pss_per_connection: float = 0.0
    """Bytes of memory that the first tree grew by per connection."""
    waiting: int = 0
    """Calls that were due and not answered at the end of the window, where stations keep a pace of their own."""
    errors: int = 0
    closed: int = 0
    first_error: str = ""


def drive(plan: Plan) -> Result:
    """Runs `plan` in `plan.processes` new processes and waits for the end. Raises RuntimeError if one breaks."""
    return drive_together([plan])[0]


def drive_together(plans: Sequence[Plan]) -> list[Result]:
    """Runs several plans at once, with the window and servers of the first; CPU is that per answer of all of them."""
    first = plans[0]
    idle_bytes = cpu.pss_bytes(first.server_pids[:1])
    workers = [[_Worker(plan, number) for number in range(plan.processes)] for plan in plans]
    everyone = [worker for some in workers for worker in some]
    try:
        for worker in everyone:
            worker.expect("ready")
        for worker in everyone:
            worker.tell("go")
        time.sleep(first.warm_up_s)
        before, began = [cpu.seconds([pid]) for pid in first.server_pids], time.monotonic()
        machine = cpu.machine_seconds()
        for worker in everyone:
            worker.tell("count")
        time.sleep(first.seconds)
        grown = cpu.pss_bytes(first.server_pids[:1]) - idle_bytes
        for worker in everyone:
            worker.tell("stop")
        after, window_s = [cpu.seconds([pid]) for pid in first.server_pids], time.monotonic() - began
        machine = cpu.machine_seconds() - machine
        parts = [[worker.expect("result") for worker in some] for some in workers]
    finally:
        for worker in everyone:
            worker.end()
    results = [_merge(plan, part, window_s) for plan, part in zip(plans, parts, strict=True)]
    answers = max(1, sum(result.answers for result in results))
    busy = sum(result.load_busy for result in results)
    for result in results:
        if first.server_pids:
            result.others_busy = max(0.0, (machine - sum(after) + sum(before)) / window_s - busy)
        result.server_us = [(late - early) / answers * 1e6 for early, late in zip(before, after, strict=True)]
        result.pss_per_connection = grown / sum(plan.stations for plan in plans)
    return results


class _Worker:
    """One process of the load, spoken to by lines."""

    def __init__(self, plan: Plan, number: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.worker", json.dumps(asdict(plan)), str(number)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def expect(self, event: str) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        message: dict[str, Any] = json.loads(line) if line else {"event": "nothing", "status": self.process.wait()}
        if message["event"] != event:
            raise RuntimeError(f"the load wanted {event!r} of its process and got {message}")
        return message

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def _merge(plan: Plan, parts: list[dict[str, Any]], window_s: float) -> Result:
    result = Result(plan)
    latencies = [array("d") for _ in client.KINDS]
    for part in parts:
        for kind, hex_text in enumerate(part["latencies"]):
            latencies[kind].frombytes(bytes.fromhex(hex_text))
        result.sessions += part["sessions"]
        result.sessions_total += part["sessions_total"]
        result.waiting += part["waiting"]
        result.errors += part["errors"]
        result.closed += part["closed"]
        result.first_error = result.first_error or part["first_error"]
        result.load_busy += part["cpu_s"] / window_s
    everything = sorted(value for kind in latencies for value in kind)
    result.answers = len(everything)
    result.answers_per_s = result.answers / window_s
    if plan.scenario == "sessions":
        result.sessions_per_s = result.answers_per_s / client.ANSWERS_PER_SESSION
    elif plan.scenario == "lockers":
        result.sessions_per_s = len(latencies[client.TAKEN]) / window_s
    elif plan.scenario == "swaps":
        result.sessions_per_s = len(latencies[client.INSERTED]) / window_s
    result.p50_ms, result.p99_ms = _percentiles(everything)
    for name, kind_latencies in zip(client.KINDS, latencies, strict=True):
        if kind_latencies:
            ordered = sorted(kind_latencies)
            p50, p99 = _percentiles(ordered)
            p95, most = ordered[len(ordered) * 95 // 100] * 1000, ordered[-1] * 1000
            spread = {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most}
            result.by_kind[name] = {"answers": len(ordered), **spread}
    result.load_us = result.load_busy * window_s / max(1, result.answers) * 1e6
    return result


def _percentiles(ordered: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile of `ordered` seconds, in milliseconds."""
    if not ordered:
        return 0.0, 0.0
    return ordered[len(ordered) // 2] * 1000, ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000


def describe(result: Result) -> str:
    """The result in a few lines for people."""
    plan = result.plan
    lines = [
        f"{plan.scenario} {plan.version}, {plan.stations} stations: {result.answers_per_s:,.0f} answers/s, "
        f"{result.sessions_per_s:,.1f} sessions/s, p50 {result.p50_ms:.2f} ms, p99 {result.p99_ms:.2f} ms",
        f"CPU us per answer: server {' + '.join(f'{part:.1f}' for part in result.server_us) or 'not measured'}, "
        f"load {result.load_us:.1f} ({result.load_busy:.2f} cores), other programs {result.others_busy:.2f} cores",
        f"sessions driven {result.sessions_total}, errors {result.errors}, closed {result.closed}",
    ]
    if plan.scenario == "idle":
        lines.append(f"memory per connection {result.pss_per_connection / 1024:.1f} KiB")
    lines += [
        f"  {name:<10} {kind['answers']:>9,.0f}  p50 {kind['p50_ms']:8.2f} ms  p99 {kind['p99_ms']:8.2f} ms"
        for name, kind in result.by_kind.items()
    ]
    return "\n".join([*lines, *([f"first error: {result.first_error[:400]}"] if result.first_error else [])])


def main() -> int:
    """Status 1 when an answer was an error or a connection was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.load", description="Drive stations against a server."
    )
    parser.add_argument("--url", default="ws://127.0.0.1:9000/ocpp", help="without the station's id")
    parser.add_argument("--version", choices=sorted(frames.SPEECHES), default="2.0.1")
    parser.add_argument("--scenario", choices=sorted(client.SCENARIOS), default="sessions")
    parser.add_argument("--stations", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the measured window")
    parser.add_argument("--warm-up", type=float, default=1.0, dest="warm_up_s", help="seconds before the window")
    parser.add_argument("--processes", type=int, default=1, help="processes of the load itself")
    parser.add_argument("--password", default=PASSWORD)
    parser.add_argument("--prefix", default="BENCH-", help="what station ids begin with")
    parser.add_argument("--server-pid", type=int, action="append", default=[], help="measure this process tree")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    given = vars(parser.parse_args())
    as_json, pids = given.pop("json"), given.pop("server_pid")
    result = drive(Plan(**given, server_pids=tuple(pids)))
    print(json.dumps(asdict(result)) if as_json else describe(result))
    return 1 if result.errors or result.closed else 0


if __name__ == "__main__":
    sys.exit(main())
