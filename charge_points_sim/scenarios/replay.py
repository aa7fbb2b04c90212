"""
Real charges lived again by simulated stations, each once, to the Wh.

Every station of the CSV is a station; versions go round. Its sessions run one after the other:
driver, token, start, readings along a charging curve, end, at the instants of the CSV.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from charge_points_sim.connection import Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.fleet import Fleet
from charge_points_sim.scenarios.charge import Charge, by_station, readings
from charge_points_sim.scenarios.drivers import Driver, Population, assign
from charge_points_sim.scenarios.pace import Pace
from charge_points_sim.scenarios.telling import counted
from charge_points_sim.session import Session, Token
from charge_points_sim.station import Connector, Station
from charge_points_sim.times import wire

REGISTER_WH_MAX = 10_000_000
REGISTER_BEGAN = 1_420_070_400
"""Stations are not new: their lifetime registers grew by about 1 Wh a second since 2015, so a later run shows more."""

LongToken = Callable[[Driver], Awaitable[str]]
"""Fetches the token that a driver's terminal holds, from the social-payment server."""


class Errand(NamedTuple):
    """What somebody does at a station before a charge there, at an instant (epoch seconds)."""

    at: int
    act: Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is replayed, and how. `turned_away`: share of charges before which somebody without means tries.

    `drivers`: session id of a charge -> who comes (none: drawn from the population); `errands` by session id, too.
    """

    charges: Sequence[Charge]
    population: Population
    versions: Sequence[str] = tuple(DEVICES)
    speed: float | None = None
    seed: int = 1
    reading_every_s: int = 3600
    turned_away: float = 0.0
    faults: Faults = field(default_factory=Faults)
    drivers: Mapping[str, Driver] = field(default_factory=dict)
    errands: Mapping[str, Errand] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """
    How far the replay is.

    `stopped` counts charges that the system ended; `unexpected` lists, in words, what should not have happened.
    """

    charges: int = 0
    running: int = 0
    started: int = 0
    done: int = 0
    energy_wh: int = 0
    turned_away: int = 0
    stopped: int = 0
    now: int = 0
    began_s: float = field(default_factory=time.monotonic)
    first_charge_s: float | None = None
    per_version: dict[str, int] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)


def versions(charges: Sequence[Charge], versions: Sequence[str]) -> dict[str, str]:
    """Station id -> OCPP version, in turn."""
    names = sorted({charge.station_id for charge in charges})
    return {name: versions[number % len(versions)] for number, name in enumerate(names)}


async def replay(plan: Plan, url: str, password: str | None, long_token: LongToken, tally: Tally) -> dict[str, Any]:
    """Runs the whole plan against the system at `url`; keeps `tally` up to date and answers the summary."""
    drivers = plan.drivers or assign(plan.charges, plan.population, plan.seed)
    stations = by_station(plan.charges)
    device_of = versions(plan.charges, plan.versions)
    tally.charges = len(plan.charges)
    pace_start = min(charge.arrival for charge in plan.charges)
    tally.now = pace_start
    lives = [
        Life(station_id, device_of[station_id], stations[station_id], drivers, plan, long_token, tally)
        for station_id in sorted(stations)
    ]
    async with Fleet([life.station for life in lives], url, password, plan.seed) as fleet:
        pace = Pace(len(lives), pace_start, plan.speed)
        began_s = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                care = group.create_task(fleet.look_after())
                acts = [
                    group.create_task(life.live(fleet.connections[life.station.id], pace, actor))
                    for actor, life in enumerate(lives)
                ]
                await asyncio.wait(acts)
                await fleet.settle()
                care.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return summary(tally, fleet, time.monotonic() - began_s)


def summary(tally: Tally, fleet: Fleet, seconds: float) -> dict[str, Any]:
    """The facts of a finished run."""
    return {
        "sessions": tally.done,
        "energy_wh": tally.energy_wh,
        "turned_away": tally.turned_away,
        "stopped": tally.stopped,
        "per_version": tally.per_version,
        "seconds": round(seconds, 3),
        "sessions_per_s": round(tally.done / seconds, 1),
        "frames_per_s": round(fleet.counters.sent / seconds, 1),
        **counted(fleet.counters),
        "unexpected": tally.unexpected,
    }


class Life:
    """One station and the charges that happen at it."""

    def __init__(
        self,
        station_id: str,
        version: str,
        charges: Sequence[Charge],
        drivers: Mapping[str, Driver],
        plan: Plan,
        long_token: LongToken,
        tally: Tally,
    ) -> None:
        began = charges[0].arrival
        self._random = random = Random(f"{plan.seed} {station_id} {began}")
        register_wh = Random(station_id).randrange(REGISTER_WH_MAX) + max(0, began - REGISTER_BEGAN)
        self._charges = charges
        self._drivers = drivers
        self._plan = plan
        self._long_token = long_token
        self._tally = tally
        self._now = began
        self.station = Station(
            station_id,
            DEVICES[version],
            new_ref=lambda: str(UUID(int=random.getrandbits(128), version=4)),
            clock=lambda: self._now,
            connectors={1: Connector(1, register_wh)},
            faults=plan.faults,
        )

    async def live(self, connection: Connection, pace: Pace, actor: int) -> None:
        """All charges of this station, in order."""
        try:
            for charge in self._charges:
                if (errand := self._plan.errands.get(charge.session_id)) is not None:
                    await self._reach(pace, actor, errand.at, errand.at)
                    connection.tell(partial(self.station.show, 1, "preparing"))
                    await errand.act(connection)
                await self._reach(pace, actor, charge.arrival, charge.arrival)
                connection.tell(partial(self.station.show, 1, "preparing"))
                if self._plan.population.refused and self._random.random() < self._plan.turned_away:
                    await self._turn_away(connection)
                await self._charge(connection, pace, actor, charge)
        finally:
            pace.leave(actor)

    async def _reach(self, pace: Pace, actor: int, at: int, floor: int) -> None:
        await pace.reach(actor, at, floor)
        self._now = at
        self._tally.now = pace.now

    async def _turn_away(self, connection: Connection) -> None:
        """Somebody without means tries first: no token, no session (P04)."""
        stranger = self._random.choice(self._plan.population.refused)
        token = await self._token(connection, stranger)
        if token is not None and await self._accepted(connection, token):
            self._tally.unexpected.append(f"{stranger.name} was accepted at {self.station.id}")
        self._tally.turned_away += 1

    async def _token(self, connection: Connection, driver: Driver) -> Token | None:
        """What the driver can hold to the reader; None if the system refuses the long token."""
        if driver.means == "balance":
            return Token(driver.token)
        envelope = {"v": 1, "id": f"{self._random.getrandbits(96):024x}", "ts": wire(self._now), "type": "social"}
        long_token = await self._long_token(driver)
        alias: str | None = await connection.insist(partial(self.station.exchange, {**envelope, "token": long_token}))
        return None if alias is None else Token(alias, "alias")

    async def _accepted(self, connection: Connection, token: Token) -> bool:
        accepted: bool = await connection.insist(partial(self.station.present, token))
        return accepted

    async def _charge(self, connection: Connection, pace: Pace, actor: int, charge: Charge) -> None:
        """One row of the CSV from the driver's token to the last register."""
        station, tally = self.station, self._tally
        driver = self._drivers[charge.session_id]
        token = await self._token(connection, driver)
        if token is None:
            tally.unexpected.append(f"{driver.name} got no alias at {station.id} (session {charge.session_id})")
            return
        if not await self._accepted(connection, token):
            tally.unexpected.append(f"{driver.name} was refused at {station.id} (session {charge.session_id})")
            return
        session: Session = await connection.do(partial(station.start, 1, token))
        if not session.accepted:
            tally.unexpected.append(f"{driver.name} could not start at {station.id} for {charge.session_id}")
            await connection.do(partial(station.end, session, session.start_wh, reason="deauthorized"))
            return
        if not station.device.names_own_sessions:  # on 2.x it is Occupied since the car was plugged in
            connection.tell(partial(station.show, 1, "charging"))
        tally.started += 1
        tally.running += 1
        for at, wh, power_w in readings(charge, self._plan.reading_every_s):
            await self._reach(pace, actor, at, charge.departure)
            if session.ended_at is not None:
                break
            register = session.start_wh + wh
            await connection.do(partial(station.meter, session, register, power_w=power_w))
        else:
            await self._reach(pace, actor, charge.departure, charge.departure)
        if session.ended_at is None:
            await connection.do(partial(station.end, session, session.start_wh + charge.delivered_wh))
        else:  # the system stopped it
            tally.stopped += 1
        connection.tell(partial(station.show, 1, "available"))
        self._count(session)

    def _count(self, session: Session) -> None:
        tally, version = self._tally, self.station.device.version
        if tally.first_charge_s is None:
            tally.first_charge_s = time.monotonic() - tally.began_s
        tally.running -= 1
        tally.done += 1
        tally.energy_wh += session.register_wh - session.start_wh
        tally.per_version[version] = tally.per_version.get(version, 0) + 1
