"""What is measured: one row per figure, with what is wanted of it (a ratio; timing never fails a run)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmarks.load import Result


@dataclass(frozen=True)
class Cell:
    """One thing that is driven, against each of `partners` in turn."""

    target: str
    scenario: str
    version: str
    stations: int
    partners: tuple[str, ...]
    quick: bool = False
    """Whether it belongs to `--quick` too."""

    def scenario_of(self, partner: str) -> str:
        """What is driven against `partner`: the raw limit has no sessions, its durable answer is a reading's."""
        return "readings" if partner == "raw" and self.scenario == "sessions" else self.scenario

    @property
    def title(self) -> str:
        noun = "station" if self.stations == 1 else "stations"
        return f"{self.scenario} {self.version}, {self.stations:,} {noun}"


BOTH = ("stock", "ours")
ALL = ("stock", "raw", "ours")

CELLS = (
    Cell("T1", "sessions", "2.0.1", 8, BOTH),
    Cell("T1", "sessions", "2.0.1", 64, BOTH, quick=True),
    Cell("T1", "sessions", "2.0.1", 512, BOTH),
    Cell("T1", "sessions", "1.6", 8, BOTH),
    Cell("T1", "sessions", "1.6", 64, BOTH, quick=True),
    Cell("T1", "sessions", "1.6", 512, BOTH),
    Cell("T2", "readings", "2.0.1", 64, ALL, quick=True),
    Cell("T2", "readings", "2.0.1", 512, ALL),
    Cell("T2", "readings", "1.6", 64, ALL, quick=True),
    Cell("T2", "readings", "1.6", 512, ALL),
    Cell("T4", "readings", "2.0.1", 1, ("raw", "ours"), quick=True),
    Cell("T4", "sessions", "2.0.1", 1, ("raw", "ours"), quick=True),
    Cell("T5", "heartbeats", "2.0.1", 64, ALL, quick=True),
)

IDLE_STATIONS, IDLE_STATIONS_QUICK = 10_000, 1_000


@dataclass(frozen=True)
class Figure:
    """One number of a cell: how a result gives it, and whether a larger one is better."""

    name: str
    unit: str
    of: Callable[[Result], float]
    larger: bool


SESSIONS = Figure("sessions", "/s", lambda result: result.sessions_per_s, True)
ANSWERS = Figure("answers", "/s", lambda result: result.answers_per_s, True)
CPU = Figure("CPU per answer", "us", lambda result: sum(result.server_us), False)
P50 = Figure("p50", "ms", lambda result: result.p50_ms, False)
P99 = Figure("p99", "ms", lambda result: result.p99_ms, False)
METER_P50 = Figure("reading p50", "ms", lambda result: result.by_kind["meter"]["p50_ms"], False)
END_P50 = Figure("end with bill p50", "ms", lambda result: result.by_kind[_end(result)]["p50_ms"], False)


def _end(result: Result) -> str:
    """What ends a use: for the raw limit, which knows no sessions, another reading."""
    return "stop" if "stop" in result.by_kind else "meter"


FIGURES: dict[tuple[str, str], tuple[Figure, ...]] = {
    ("T1", "sessions"): (SESSIONS, CPU, P50, P99),
    ("T2", "readings"): (ANSWERS, CPU, P50, P99),
    ("T4", "readings"): (METER_P50, P99),
    ("T4", "sessions"): (METER_P50, END_P50),
    ("T5", "heartbeats"): (ANSWERS, CPU, P99),
}

WANTED: dict[tuple[str, str, int, str], float] = {
    ("T1", "2.0.1", 64, "sessions"): 12,
    ("T1", "2.0.1", 512, "sessions"): 25,
    ("T1", "1.6", 64, "sessions"): 9,
    ("T1", "1.6", 512, "sessions"): 15,
    ("T1", "2.0.1", 64, "CPU per answer"): 18,
    ("T1", "2.0.1", 512, "CPU per answer"): 18,
    ("T1", "1.6", 64, "CPU per answer"): 12,
    ("T1", "1.6", 512, "CPU per answer"): 12,
    ("T2", "2.0.1", 64, "answers"): 28,
    ("T2", "2.0.1", 512, "answers"): 38,
    ("T2", "1.6", 64, "answers"): 16,
    ("T2", "1.6", 512, "answers"): 23,
    ("T2", "2.0.1", 64, "p99"): 50,
    ("T2", "2.0.1", 512, "p99"): 50,
    ("T2", "1.6", 64, "p99"): 50,
    ("T2", "1.6", 512, "p99"): 50,
    ("T5", "2.0.1", 64, "answers"): 10,
}
"""How many times better than stock (docs/reference/benchmarks.md), by target, version, stations and figure."""

BEHIND_RAW_MS_WANTED = {"reading p50": 0.2, "end with bill p50": 1.0}
"""T4: how much slower than the raw durable answer one station may be answered."""
OF_RAW_WANTED = 0.7
"""T3: readings as a share of the raw limit."""
IDLE_KIB_WANTED = 10.0
READY_S_WANTED = {"cold": 2.0, "warm": 1.0, "demo": 60.0}
