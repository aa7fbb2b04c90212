"""
What the worker tells battery stations of how their packs are charged, so that a site never draws more than it may.

A plan is made for all sites again and again, and compared with what stations were told. What must change is one job
per site, because order matters: slots that are to take less are told first, and those that may take more only if all
of them have accepted. The job's key is made of what its stations had been told before, so two processes that find the
same changes write one job; and it is over when what came of it is recorded, so that the next one has another key.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any

import structlog

from csms.base.clock import Clock
from csms.base.errors import CsmsError, NotFound
from csms.base.ids import uuid7
from csms.db import Pool
from csms.domain.commands import FEATURE_ABSENT, Answer, LimitSlot
from csms.domain.errand import Errand
from csms.domain.slot_plans import Change, End, told_now
from csms.flows import slots
from csms.flows.command import Commands
from csms.flows.slots import Site
from csms.store import outbox
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, Task

CHARGING_SWEEP_S = 1.0
PLAN_EVERY = timedelta(seconds=60)
"""By the system's clock, which may be faster than the wall's."""

SITES_MAX = 100
"""Sites that are read at a time."""

FREED_MAX = 100
"""Stations whose limits are lifted in one sweep."""

ABSENT_WORDS = ("NotSupported", "NotImplemented")
"""With these a station says that it has no such call (quirk Q-D02), as the code of an error or as its status."""

BY = "csms"

log = structlog.get_logger("charging")


class ChargingTimer:
    """`sweep` has stations told what has changed. `wake` tells the worker of new jobs; `clock` is the system's."""

    def __init__(self, pool: Pool, wake: Callable[[], None], clock: Clock) -> None:
        self._pool = pool
        self._wake = wake
        self._clock = clock
        self._planned_at: datetime | None = None

    async def sweep(self) -> None:
        """Once, if it is time for it."""
        now = self._clock()
        if self._planned_at is not None and now - self._planned_at < PLAN_EVERY:
            return
        self._planned_at = now
        now = now.replace(second=0, microsecond=0)
        async with self._pool.acquire() as conn:
            freed = await slots.stations_to_free(conn, FREED_MAX, now)
        await self._have_told(freed, now)
        after: str | None = ""
        while after is not None:
            async with self._pool.acquire() as conn:
                sites = await slots.sites_under_cap(conn, after, SITES_MAX, now)
            await self._have_told(sites, now)
            after = sites[-1].id if len(sites) == SITES_MAX else None

    async def _have_told(self, sites: Sequence[Site], now: datetime) -> None:
        errands = []
        for site in sites:
            if changes := site.changes(now):
                errands.append(_errand(site, changes, now))
            await asyncio.sleep(0)  # planning many sites is work: others get their turn
        if errands:
            async with self._pool.acquire() as conn:
                await outbox.insert_errands(conn, errands)
            self._wake()


def _errand(site: Site, changes: Sequence[Change], now: datetime) -> Errand:
    """The job to tell these changes, which follow what the stations of the site had been told before."""
    numbers = {station.id: station.told.number for station in site.stations.values()}
    before = hashlib.sha256(repr(sorted(numbers.items())).encode()).hexdigest()[:16]
    payload: dict[str, object] = {
        "site": site.id,
        "begins": now.isoformat(),
        "numbers": {new.station_id: numbers[new.station_id] for new in changes},
        "changes": changes,
    }
    id_ = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    return Errand(id_, "slot.limit", f"slots/{site.id}/{before}", f"slots/{site.id}", payload)


def tasks(commands: Commands) -> Mapping[str, Task]:
    """Kind of job -> what does it."""
    return {"slot.limit": partial(limit_slots, commands)}


async def limit_slots(commands: Commands, job: Job, outside: Outside) -> Result:
    """
    Tell the slots of a site how they are charged, and record what was accepted.

    A repeat tells the same again, which replaces itself; once it is recorded there is nothing left to tell. Who did
    not accept is not asked again by this job: the next plan knows what it takes meanwhile.
    """
    numbers: dict[str, int] = job.payload["numbers"]
    begins = datetime.fromisoformat(job.payload["begins"])
    async with outside.pool.acquire() as conn:
        stations = await slots.told(conn, numbers)
    if any(stations[id_].told.number != number for id_, number in numbers.items()):
        return Result(job, "done", facts={"overtaken": True})
    changes = [_change(written) for written in job.payload["changes"]]
    ends = await _tell_all(commands, [new for new in changes if new.falls], begins)
    if all(end == "accepted" for _, end in ends):
        ends += await _tell_all(commands, [new for new in changes if not new.falls], begins)
    plans = {}
    for id_, station in stations.items():
        if of_station := [(new, end) for new, end in ends if new.station_id == id_]:
            plans[id_] = told_now(station.told, of_station, begins, outside.clock(), station.at)
    async with outside.pool.acquire() as conn:
        await slots.record(conn, plans, outside.clock())
    count: dict[str, object] = {word: sum(end == word for _, end in ends) for word in {end for _, end in ends}}
    return Result(job, "done", facts={**count, "left": len(changes) - len(ends)})


def _change(written: list[Any]) -> Change:
    station_id, unit, limits, falls, lifts = written
    return Change(station_id, unit, tuple((watts, minutes) for watts, minutes in limits), falls, lifts)


async def _tell_all(commands: Commands, changes: Sequence[Change], begins: datetime) -> list[tuple[Change, End]]:
    """The stations side by side, the slots of each one after the other."""
    by_station = groupby(sorted(changes, key=lambda new: (new.station_id, new.unit)), key=lambda new: new.station_id)
    told = await asyncio.gather(*[_tell(commands, list(mine), begins) for _, mine in by_station])
    return [end for of_station in told for end in of_station]


async def _tell(commands: Commands, changes: Sequence[Change], begins: datetime) -> list[tuple[Change, End]]:
    """One station; where it does not answer, or has no such thing, its other slots are not tried."""
    ends: list[tuple[Change, End]] = []
    for new in changes:
        end = _end(await _ask(commands, new, begins))
        ends.append((new, end))
        if end not in ("accepted", "refused"):
            log.warning("slot not limited", station=new.station_id, slot=new.unit, end=end)
            break
    return ends


async def _ask(commands: Commands, new: Change, begins: datetime) -> Answer:
    command_id = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    command = LimitSlot(new.unit, begins, new.limits)
    try:
        issued = await commands.issue(command_id, new.station_id, command, BY)
        return await issued.answer
    except NotFound as gone:
        return Answer("offline", error=str(gone))
    except CsmsError as error:
        return Answer("failed", error=str(error))


def _end(answer: Answer) -> End:
    error, status = answer.error or "", (answer.payload or {}).get("status")
    if error == FEATURE_ABSENT or error.startswith(ABSENT_WORDS) or status in ABSENT_WORDS:
        return "absent"
    match answer.end:
        case "accepted":
            return "accepted"
        case "rejected" | "failed":
            return "refused"
        case "offline":
            return "away"
        case "unknown":
            return "unknown"
