"""
Cabinets without drivers, for whoever rents by REST: somebody stands there and does what that needs.

What is behind a door that opens is taken and plugged in, and draws what it may; what was taken first is put behind an
empty door that opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.locker import Locker
from charge_points_sim.scenarios.locker import opened
from charge_points_sim.scenarios.street import Street
from charge_points_sim.scenarios.visits import Plan

LOOK_EVERY_S = 0.2
FEED_EVERY_S = 10
POWER_W = 7_000


@dataclass(slots=True)
class Carried:
    """A charger that is plugged in somewhere: until when its car was given energy, and whether it is."""

    fed_at: int
    charging: bool = False


class Hands:
    """Somebody at the cabinets of a street, who plugs in at the outlet with `tag` and tells it by `say`."""

    def __init__(self, street: Street, tag: str, say: Callable[[str], None]) -> None:
        self.carried: dict[str, Carried] = {}
        self._street = street
        self._tag = tag
        self._say = say

    async def look(self) -> None:
        """Does what there is to do now."""
        for locker in self._street.lockers.values():
            locker.tick()
            for door in locker.doors.values():
                if door.open and door.item is not None:
                    await self._take(locker, door)
                elif door.open and self.carried:
                    await self._place(locker, door, next(iter(self.carried)))
        for code, carried in self.carried.items():
            await self._feed(code, carried)

    async def _take(self, locker: Locker, door: Door) -> None:
        code = await self._street.act(locker, partial(locker.take, door.number))
        await self._street.act(locker, partial(locker.close, door.number))
        self._say(f"{locker.station.id}: {code} is taken out of door {door.number}")
        await self._street.plug_in(self._street.chargers[code], self._tag)
        self.carried[code] = Carried(self._street.hours())
        self._say(f"{code}: plugged in at {self._tag}")

    async def _place(self, locker: Locker, door: Door, code: str) -> None:
        await self._street.pull_out(self._street.chargers[code])
        del self.carried[code]
        self._say(f"{code}: pulled out")
        await self._street.act(locker, partial(locker.place, door.number, code))
        await self._street.act(locker, partial(locker.close, door.number))
        self._say(f"{locker.station.id}: {code} is put behind door {door.number}")

    async def _feed(self, code: str, carried: Carried) -> None:
        """The car takes what it gets, told every few seconds."""
        charger, now = self._street.chargers[code], self._street.hours()
        if charger.energised != carried.charging:
            carried.charging, carried.fed_at = charger.energised, now
            self._say(f"{code}: {'energy flows' if charger.energised else 'no energy flows any more'}")
        if carried.charging and now - carried.fed_at >= FEED_EVERY_S:
            charger.deliver(POWER_W * (now - carried.fed_at) // 3_600, power_w=POWER_W)
            await self._street.fleet.connections[charger.station.id].do(charger.station.beat)
            carried.fed_at = now


async def wait(plan: Plan, url: str, password: str | None, tag: str, say: Callable[[str], None]) -> NoReturn:
    """Connects the plan's cabinets and waits for what doors do, until it is cancelled. Raises `CannotConnect`."""
    async with opened(plan, url, password) as street:
        for name, items in plan.items().items():
            say(f"{name}: {plan.doors} doors, {', '.join(items.values())} behind the first")
        hands = Hands(street, tag, say)
        while True:
            await hands.look()
            await asyncio.sleep(LOOK_EVERY_S)
