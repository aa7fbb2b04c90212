"""
The batch road without sockets: reports are handed to it in this process, and answered ones are followed by the next.

For those who tune the road: `python -m tests.benchmarks.road_alone --scenario sessions --stations 64 --profile`
shows what load, decide and save cost, apart from frames. The same stations, tokens and money as `load.py` has.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg
import uvloop

from csms import db
from csms.base.ids import uuid7
from csms.domain.events import Event, Outcome, Reading, SessionEnded, SessionMetered, SessionStarted, TokenPresented
from csms.domain.world import Rules
from csms.embedded import Embedded
from csms.flows.report import Road
from tests.benchmarks import cpu, frames, seed
from tests.benchmarks.client import ANSWERS_PER_SESSION, METERS_PER_SESSION, READINGS_PER_WH


def draw_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, random.getrandbits(80))


class Reporter:
    """One station that reports as soon as it is answered: whole sessions, or one with `meters_max` readings."""

    def __init__(self, road: Road, index: int, meters_max: int) -> None:
        self.road = road
        self.station_id = frames.station_id(index)
        self.token = frames.token_text(index)
        self.meters_max = meters_max
        self.meters = 0
        self.register_wh = frames.METER_START_WH
        self.sessions = 0
        self.answers = 0
        self.refused = 0

    def send(self, event: Event, then: str) -> None:
        self.road.submit(event, partial(self.answered, then))

    def answered(self, then: str, outcome: Outcome) -> None:
        self.answers += 1
        self.refused += outcome.status != "accepted"
        now = datetime.now(UTC)
        if then == "authorize":
            self.send(TokenPresented(self.station_id, now, self.token, draw_id(), "unseen"), "start")
        elif then == "start":
            self.ref, self.session_id, self.meters = str(draw_id()), draw_id(), 0
            self.send(
                SessionStarted(
                    self.station_id, now, now, 1, self.ref, self.ref, self.token, self.register_wh, False,
                    self.session_id, draw_id(), "",
                ),
                "meter",
            )  # fmt: skip
        elif self.meters < self.meters_max:
            self.meters += 1
            self.register_wh += self.meters % (2 if self.meters_max == METERS_PER_SESSION else READINGS_PER_WH) == 0
            reading = Reading(now, self.meters, self.register_wh, 7200)
            self.send(
                SessionMetered(self.station_id, self.ref, now, (reading,), None, False, self.session_id, ""), "meter"
            )
        else:
            self.sessions += 1
            self.send(
                SessionEnded(
                    self.station_id, now, now, self.ref, self.register_wh, "Local", False, self.session_id, draw_id(),
                    "", may_open=True,
                ),
                "authorize",
            )  # fmt: skip


async def run(scenario: str, stations: int, seconds: float, profile: bool) -> None:
    """Drives a road on a new embedded database and prints rates and CPU per answer."""
    with TemporaryDirectory(prefix="csms-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        async with await Embedded.start(Path(folder) / "postgres") as server:
            connection = await asyncpg.connect(server.dsn)
            await db.migrate(connection)
            await connection.close()
            await seed.fill(server.dsn, stations)
            connect = partial(asyncpg.connect, server.dsn, statement_cache_size=db.STATEMENTS_KEPT)
            road = Road(connect, Rules(policies={}), lambda ask: None, lambda: None)
            await road.start()
            meters_max = METERS_PER_SESSION if scenario == "sessions" else 1 << 60
            reporters = [Reporter(road, index, meters_max) for index in range(stations)]
            for reporter in reporters:
                reporter.answered("authorize", Outcome("accepted"))
            await asyncio.sleep(1)
            assert server.pid
            before, postgres, own = (
                sum(each.answers for each in reporters),
                cpu.seconds([server.pid]),
                time.process_time(),
            )
            began, profiler = time.monotonic(), cProfile.Profile()
            if profile:
                profiler.enable()
            await asyncio.sleep(seconds)
            profiler.disable()
            window_s = time.monotonic() - began
            answers = sum(each.answers for each in reporters) - before
            per_second = answers / window_s
            print(
                f"{scenario}, {stations} stations: {per_second:,.0f} answers/s"
                f" ({per_second / ANSWERS_PER_SESSION:,.0f} sessions/s if whole), CPU us per answer:"
                f" road and reporters {(time.process_time() - own) / answers * 1e6:.1f},"
                f" PostgreSQL {(cpu.seconds([server.pid]) - postgres) / answers * 1e6:.1f},"
                f" refused {sum(each.refused for each in reporters)}"
            )
            if profile:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
            for reporter in reporters:
                reporter.send = lambda event, then: None  # type: ignore[method-assign]
            await road.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.road_alone")
    parser.add_argument("--scenario", choices=("sessions", "readings"), default="sessions")
    parser.add_argument("--stations", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    uvloop.run(run(given.scenario, given.stations, given.seconds, given.profile))
