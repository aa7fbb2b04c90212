"""
Battery stations without riders, for whoever rents and swaps by REST: somebody stands there and does what that needs.

A pack behind a slot that opens, or that is handed out, is taken and ridden on. The one that was taken first goes into
a slot that opens, or that waits for a swap. What is offered back for want of money is left: there may be money soon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

from charge_points_sim.devices.assets import body_of
from charge_points_sim.devices.battery_station import BatteryStation, Traits
from charge_points_sim.devices.device import Payload
from charge_points_sim.devices.pack import FULL, Pack
from charge_points_sim.scenarios.exchange import Town
from charge_points_sim.scenarios.riders import SLOTS, SwapPlan
from charge_points_sim.scenarios.swap import opened

LOOK_EVERY_S = 0.2
POWER_W = 5_000
"""What a scooter takes at full speed, of every pack that is out."""
TELL_EVERY_S = 60
TRAITS = Traits(take_s=30)


class Rider:
    """Somebody at the stations of a town, who tells by `say` what happens."""

    def __init__(self, town: Town, say: Callable[[str], None]) -> None:
        self.packs: list[Pack] = []
        self._town = town
        self._say = say
        self._rode_at = self._told_at = town.hours()
        self._rest_ws = 0
        self._left: set[tuple[str, int]] = set()
        for station in town.stations.values():
            self._listen(station)

    async def look(self) -> None:
        """Does what there is to do now."""
        self._ride()
        for name, station in self._town.stations.items():
            station.tick()
            self._town.fleet.connections[name].flush()
            for u in station.standing("take"):
                if (name, u) not in self._left:
                    await self._take(station, u)
            for u in station.standing("return"):
                if self.packs:
                    await self._put(station, u, self.packs[0])

    def _listen(self, station: BatteryStation) -> None:
        """Hears why a pack is offered back; the station acts on it as ever."""
        hears, name = station.station.hears, station.station.id

        def listening(action: str, payload: Payload) -> str | None:
            message, body = payload.get("messageId"), body_of(payload) or {}
            if message == "Door.Open":
                self._left.discard((name, int(body["u"])))
            for u in body["u"] if message in ("Battery.Return", "Battery.Release") else []:
                short = message == "Battery.Return" and body["err"] == "NoCredit"
                (self._left.add if short else self._left.discard)((name, u))
                if message == "Battery.Return":
                    self._say(f"{name}: slot {u} offers its pack back: {body['err']}")
            return hears(action, payload)

        station.station.hears = listening

    async def _take(self, station: BatteryStation, u: int) -> None:
        self._ride()
        pack = await self._town.take(station, u)
        self.packs.append(pack)
        self._told_at = self._town.hours()
        self._say(f"{station.station.id}: {pack.code} is taken out of slot {u}, {level(pack)}")

    async def _put(self, station: BatteryStation, u: int, pack: Pack) -> None:
        self._ride()
        if not await self._town.put(station, u, pack):
            return
        self.packs.remove(pack)
        self._say(f"{station.station.id}: {pack.code} is pushed into slot {u}, {level(pack)}")
        if station.slots[u].open:
            await self._town.act(station, partial(station.close, u))

    def _ride(self) -> None:
        """Every pack that is out gives what the ride takes, told once in a while."""
        now = self._town.hours()
        wh, self._rest_ws = divmod(self._rest_ws + POWER_W * (now - self._rode_at), 3_600)
        self._rode_at = now
        for pack in self.packs:
            pack.ride(wh)
        if self.packs and now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            self._say(f"riding: {', '.join(f'{pack.code} {level(pack)}' for pack in self.packs)}")


def level(pack: Pack) -> str:
    """How full a pack is, in words."""
    return f"{pack.said_soc * 100 / FULL:.2f} %"


async def wait(plan: SwapPlan, url: str, password: str | None, say: Callable[[str], None]) -> NoReturn:
    """Connects the plan's stations and waits for what slots do, until it is cancelled. Raises `CannotConnect`."""
    async with opened(replace(plan, traits=TRAITS), url, password) as town:
        for name, packs in plan.packs().items():
            say(f"{name}: {SLOTS} slots, {', '.join(pack.code for pack in packs.values())} in the first")
        rider = Rider(town, say)
        while True:
            await rider.look()
            await asyncio.sleep(LOOK_EVERY_S)
