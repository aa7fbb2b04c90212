"""The life of one process on the road: what it works on, where it is killed, and how its answers leave it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from csms import db
from csms.domain.authorization import Ask
from csms.domain.events import AuthorizationDecided, Event, Outcome, SessionEnded, SessionMetered, SessionStarted
from csms.domain.world import Rules
from csms.flows.authorize import Asker
from csms.flows.report import Reply, Road
from csms.psp.base import Answer
from csms.psp.social import Social, SocialSettings
from csms.worker.loop import Worker
from csms.worker.tasks import Outside
from tests import make
from tests.psp.social_process import OPERATOR_ACCOUNT, SECRET
from tests.worker import scene as stage

POINTS = (
    "road before_commit", "road after_commit", "road answered", "ask before_call", "ask after_call",
    "worker before_call", "worker after_call", "worker before_commit", "worker after_commit",
)  # fmt: skip
"""`road answered`: stations have their answers, and the worker does not know of its jobs yet."""

UNNAMED = "?"
"""Stands for the transaction id that a 1.6 station is told with the answer to its start."""

LIFE_S_MAX = 20.0
"""A process that lives longer hangs: its traceback is shown, and the test fails."""

Frame = tuple[int, Event]
"""A report, and the number of the charge it belongs to."""


class AskedSocial(Social):
    """The real adapter; the process may end on either side of asking it."""

    reach: Callable[[str], None]

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """Ask between two named points."""
        self.reach("ask before_call")
        answer = await super().authorize(key, ask)
        self.reach("ask after_call")
        return answer


class HastyRoad(Road):
    """A planted defect: every report is accepted when it comes, and stored later."""

    def submit(self, event: Event, reply: Reply) -> None:
        """Answers before the commit."""
        reply(Outcome("accepted", ref=getattr(event, "ref", None)))
        super().submit(event, lambda _: None)


@dataclass(slots=True)
class Life:
    """
    What one process is to do: the work of all stations, with a worker or without, and where it is killed.

    `hasty` plants a defect: reports are answered as they come.
    """

    work: list[list[Frame]]
    works: bool
    hasty: bool
    point: str
    occurrence: int

    def reach(self, name: str) -> None:
        """The end of the process, if this is its point for the so manieth time."""
        if name == self.point:
            self.occurrence -= 1
            if self.occurrence == 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def live(dsn: str, url: str, life: Life, out: int) -> None:
    """One process: takes the work of all stations at once, tells every answer, and dies at its point."""
    reach = life.reach
    pool = await db.pool(dsn, size=3)
    psp = AskedSocial(SocialSettings(url, SECRET, url))
    psp.reach = reach
    clock = partial(make.after, 120)

    def at_point(name: str) -> None:
        reach(f"worker {name}")

    accounts = {"social": OPERATOR_ACCOUNT}
    outside = Outside(pool, {"social": psp}, accounts, clock, random.Random(), at_point, back_off_s=0.01)
    worker = Worker(outside, lease_s=0.3, poll_s=0.02)

    def woken() -> None:
        reach("road answered")
        worker.wake()

    def report(verdict: AuthorizationDecided) -> None:
        road.submit(verdict, lambda _: None)

    asker = Asker({"social": psp}, report, clock, lambda: f"d-{random.getrandbits(60):x}")
    rules = Rules({"social": "hold_capture"})
    road = (HastyRoad if life.hasty else Road)(
        partial(db.writer, dsn), rules, asker, woken, lambda name: reach(f"road {name}")
    )
    await road.start()
    if life.works:
        worker.start()
    await asyncio.gather(*[station(road, frames, out) for frames in life.work])
    if not life.works:
        await road.close()
        return
    async with pool.acquire() as conn:
        await stage.drained(conn, LIFE_S_MAX)


async def station(road: Road, frames: list[Frame], out: int) -> None:
    """One station: its reports one after the other, each after the answer to the one before."""
    refs: dict[int, str] = {}
    for number, event in frames:
        if isinstance(event, SessionMetered) and event.ref == UNNAMED:
            event = event._replace(ref=refs[number])
        elif isinstance(event, SessionEnded) and event.ref == UNNAMED:
            event = replace(event, ref=refs[number])
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        road.submit(event, partial(tell, out, event.station_id, answer))
        outcome = await answer
        if isinstance(event, SessionStarted):
            assert outcome.ref is not None
            refs[number] = outcome.ref


def tell(out: int, station_id: str, answer: asyncio.Future[Outcome], outcome: Outcome) -> None:
    """The answer leaves the process."""
    told = {"station": station_id, "status": outcome.status, "ref": outcome.ref, "fee": outcome.fee_minor}
    os.write(out, json.dumps(told).encode() + b"\n")
    answer.set_result(outcome)
