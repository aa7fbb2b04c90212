"""
A thousand short lives of a real process: it is killed at a named point, and the next one goes on.

    python -m tests.simulation.lives DSN SOCIAL_URL SEED KILLS [hasty]

The parent plays the stations: it knows what was answered, and tells every next process again what
was not. A process is a fork with a road and a worker of its own on the real database and the real
social-payment server; its answers come back through a pipe, and it ends by SIGKILL. What was
answered is printed as JSON; `test_killed.py` compares it with what is stored.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import itertools
import json
import logging
import os
import random
import signal
import sys
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import structlog

from csms import db
from csms.domain.events import Event, TokenIssued
from tests import make
from tests.simulation.life import LIFE_S_MAX, POINTS, UNNAMED, Frame, Life, live

STATIONS = tuple(f"K{number}" for number in range(4))
KINDS = {"local": 8, "social": 9, "refused": 1, "unknown": 1, "poor": 1, "free": 1}
REPORTS_PER_LIFE = 5
MISSED_MAX = 300


@dataclass(slots=True)
class Charge:
    """One charge of a station: its reports, how many were answered and how. On 1.6 (`ref` None) we name it."""

    number: int
    station_id: str
    kind: str
    ref: str | None
    reports: list[str]
    answered: list[dict[str, Any]] = field(default_factory=list)

    @property
    def wh(self) -> int:
        """What it delivers; every charge another amount."""
        return 0 if self.kind == "free" else 2_000 + self.number


def charge(source: random.Random, number: int, station_id: str) -> Charge:
    """A charge of some kind."""
    kind = source.choices(list(KINDS), list(KINDS.values()))[0]
    own_ref = int(station_id[1:]) % 2 == 0
    is_social = kind in ("social", "refused", "free")
    presented = ["presented"] if source.random() < 0.5 else []
    reports = [*(["issued"] if is_social else []), *presented, "started", "metered", "ended"]
    return Charge(number, station_id, kind, f"tx-{number}" if own_ref else None, reports)


def frame(charge: Charge, kind: str) -> Event:
    """One report as an edge reads it from a frame, with ids of this frame's own."""
    place, offset = {"station_id": charge.station_id}, charge.number * 60
    at = make.after(-offset)
    token = {"local": make.ANN, "poor": make.BOB, "unknown": "DEADBEEF"}.get(charge.kind, f"50C1{charge.number:08X}")
    ref = charge.ref or UNNAMED
    match kind:
        case "issued":
            subject = f"{charge.kind}-{os.getpid()}-{charge.number}"
            return TokenIssued(charge.station_id, make.NOON, token, "social", "issuer", subject, make.after(600))
        case "presented":
            return make.presented(token, **place)
        case "started":
            number = str(random.getrandbits(31))
            start_key = charge.ref or f"1|{token}|{charge.number}|1000"
            return make.started(charge.ref or number, at=at, token=token, start_key=start_key, **place)
        case "metered":
            session_id = make.new_id() if charge.ref else None
            return make.metered(ref, 30 - offset, 1_000 + charge.wh // 2, session_id=session_id, **place)
        case _:
            return make.ended(ref, 60 - offset, 1_000 + charge.wh, may_open=charge.ref is not None, **place)


class Keeper:
    """Begins processes until enough of them were killed and everything is answered."""

    def __init__(self, dsn: str, url: str, seed: int, hasty: bool) -> None:
        self.dsn, self.url, self.hasty = dsn, url, hasty
        self.source = random.Random(seed)
        self.numbers = itertools.count(1)
        self.charges: dict[str, list[Charge]] = {station_id: [] for station_id in STATIONS}
        self.killed: Counter[str] = Counter()
        self.missed = 0

    def run(self, kills: int) -> None:
        """All lives, and a last one that ends by itself with nothing left to do."""
        db.queries()  # read once, by all
        gc.collect()
        gc.freeze()
        points = itertools.cycle(POINTS[:1] if self.hasty else POINTS)
        while self.killed.total() < kills:
            self.life(next(points), 1 if self.hasty else self.source.randint(1, 3), REPORTS_PER_LIFE)
        while any(len(mine[-1].answered) < len(mine[-1].reports) for mine in self.charges.values()):
            self.life("", 0, 0)
        self.life("", 0, 0)

    def life(self, point: str, occurrence: int, fresh: int) -> None:
        """One process from its fork to its end, and what its stations heard from it."""
        works = not point.startswith(("road", "ask")) or self.source.random() < 0.25
        life = Life([self.work(station_id, fresh) for station_id in STATIONS], works, self.hasty, point, occurrence)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            code = 1
            try:
                random.seed()
                faulthandler.dump_traceback_later(LIFE_S_MAX, exit=True)
                asyncio.new_event_loop().run_until_complete(live(self.dsn, self.url, life, writer))
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)  # nothing is closed or cancelled: it ends as if killed
        os.close(writer)
        with os.fdopen(reader, "rb") as answers:
            for line in answers:
                self.hear(json.loads(line))
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            self.killed[point] += 1
        else:
            assert os.WEXITSTATUS(status) == 0, f"a process failed that was to die at {point!r}"
            self.missed += 1
            assert self.missed < MISSED_MAX, "processes end without reaching their points"

    def work(self, station_id: str, fresh: int) -> list[Frame]:
        """What a station has to tell: the rest of its charge, and new ones up to `fresh` reports."""
        mine = self.charges[station_id]
        work: list[Frame] = []
        for charge_ in mine[-REPORTS_PER_LIFE:]:
            work += [(charge_.number, frame(charge_, kind)) for kind in charge_.reports[len(charge_.answered) :]]
        while len(work) < fresh:
            mine.append(charge(self.source, next(self.numbers), station_id))
            work += [(mine[-1].number, frame(mine[-1], kind)) for kind in mine[-1].reports]
        return work

    def hear(self, told: dict[str, Any]) -> None:
        """A station got an answer: it will not tell that again."""
        charge_ = next(c for c in self.charges[told.pop("station")] if len(c.answered) < len(c.reports))
        if charge_.reports[len(charge_.answered)] == "started" and charge_.ref is None:
            charge_.ref = told["ref"]
        charge_.answered.append(told)


def main() -> None:
    """Run as the module's docstring says; prints one JSON document."""
    dsn, url, seed, kills, *hasty = sys.argv[1:]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    keeper = Keeper(dsn, url, int(seed), bool(hasty))
    keeper.run(int(kills))
    told = [asdict(charge_) | {"wh": charge_.wh} for mine in keeper.charges.values() for charge_ in mine]
    print(json.dumps({"killed": keeper.killed, "missed": keeper.missed, "charges": told}))


if __name__ == "__main__":
    main()
