"""The battery stations of a town and what riders do at them: rent a pack, ride, swap it, give it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import deepcopy
from functools import partial
from random import Random
from uuid import UUID

from charge_points_sim.connection import Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.battery_station import BatteryStation
from charge_points_sim.devices.memory import Memory
from charge_points_sim.devices.pack import Pack
from charge_points_sim.devices.slots import Slot
from charge_points_sim.devices.swaps import RID_END, Swaps
from charge_points_sim.fleet import Fleet
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.opening import OPENINGS_MAX, REFUSED, WALL_S_MAX, Doors, Way, WentWrong
from charge_points_sim.scenarios.riders import SLOTS, Rider, SwapApp, SwapPlan, SwapTally, Trip
from charge_points_sim.scenarios.street import OVER, STEP_S
from charge_points_sim.scenarios.visits import BEGAN

READY_SOC = 9_000
WAIT_S, WAITS_MAX = 1_800, 12
"""So long, and so often, riders wait for packs to be charged."""


class Town:
    """One run of a plan. Riders come one after the other; those with an app use `app`, if there is one."""

    def __init__(self, plan: SwapPlan, hours: Hours, fleet: Fleet, app: SwapApp | None) -> None:
        self.plan = plan
        self.hours = hours
        self.fleet = fleet
        self.app = app
        self.tally = SwapTally()
        self.doors = Doors(hours, fleet, self.tally, plan.traits.take_s + 1)
        self.riders = deepcopy(list(plan.riders))
        self._random = Random(f"town {plan.seed}")
        ids = Random(f"town ids {plan.seed}")
        age = max(0, plan.start - BEGAN)
        self.stations: dict[str, BatteryStation] = {}
        for number, (name, packs) in enumerate(plan.packs().items()):
            slots = [Slot(u, pack=packs.get(u)) for u in range(1, SLOTS + 1)]
            self.stations[name] = BatteryStation(
                name, DEVICES[plan.version(number)], slots, hours, Memory(plan.start, age), faults=plan.faults,
                new_ref=lambda: str(UUID(int=ids.getrandbits(128), version=4)), traits=plan.traits,
                swaps=Swaps(age % RID_END),
            )  # fmt: skip

    async def open(self, *, follow: bool) -> None:
        """All stations connect and say what they hold; with `follow` the first sets the clock by the system."""
        for station in self.stations.values():
            await self.fleet.join(station.station)
            if follow and abs(station.station.drift_s) > 1:  # whole seconds: less is no difference
                self.hours.set(self.hours() - station.station.drift_s)
            follow = False
            await self.doors.attend(station)

    def told(self) -> bool:
        """Whether every station has told everything."""
        return all(one.outbox.idle and one.station.line.idle for one in self.stations.values())

    def refused(self) -> list[str]:
        """The events whose bodies the system refused."""
        return [f"{e.message} was refused: {e.body}" for one in self.stations.values() for e in one.memory.aside]

    async def rent(self, rider: Rider) -> None:
        """A rider gets the packs that are missing, at a station that has most to give."""
        while len(rider.packs) < rider.wanted:
            station = max(self.stations.values(), key=lambda one: len(ready(one)))
            ask = partial(self._rent, rider, station, list[str]())
            u = await self._opened(rider, station, "take", ask)
            rider.packs.append(await self.take(station, u))
            self.tally.rented += 1

    async def trip(self, trip: Trip) -> None:
        """A rider rides, and swaps; what went wrong is in the tally."""
        rider = self.riders[trip.rider]
        try:
            await self.rent(rider)
            await self.pass_time(trip.pause_s)
            self.ride(rider, trip)
            await self._swap(rider, trip)
        except (WentWrong, RestError) as error:
            self.tally.unexpected.append(f"{rider.driver}: {error}")

    async def give_back(self, rider: Rider) -> None:
        """A rider needs no packs any more, and puts them into free slots."""
        try:
            while rider.packs:
                pack = rider.packs[0]
                station = max(self.stations.values(), key=lambda one: sum(s.pack is None for s in one.slots.values()))
                u = await self._opened(rider, station, "return", partial(self._return, rider, pack, station))
                await self.put(station, u, pack)
                if station.slots[u].open:
                    await self.act(station, partial(station.close, u))
                rider.packs.remove(pack)
                self.tally.returned += 1
                await self.doors.attend(station)
        except (WentWrong, RestError) as error:
            self.tally.unexpected.append(f"{rider.driver}: {error}")

    def ride(self, rider: Rider, trip: Trip) -> None:
        """What happens to the packs of a rider between two swaps."""
        for pack in rider.packs:
            self.tally.ridden_wh += pack.ride(trip.wh)
            self.tally.charged_at_home_wh += pack.charge(trip.home_wh)

    async def pass_time(self, seconds: int) -> None:
        """Time passes at every station: packs charge, and are told of."""
        while seconds > 0:
            step = min(seconds, self.plan.traits.state_every_s)
            await self.hours.wait(step)
            seconds -= step
            for station in self.stations.values():
                await self.doors.attend(station)

    async def take(self, station: BatteryStation, u: int) -> Pack:
        """Somebody pulls a pack out; a slot that opened as a door is closed again."""
        await self.hours.wait(STEP_S)
        pack = station.take(u)
        if station.slots[u].open:
            station.close(u)
        await self.doors.attend(station)
        return pack

    async def put(self, station: BatteryStation, u: int, pack: Pack) -> bool:
        """Somebody pushes a pack in; whether it went."""
        await self.hours.wait(STEP_S)
        went = station.put(u, pack)
        self._connection(station).flush()
        return went

    async def act(self, station: BatteryStation, act: Callable[[], None]) -> None:
        """Something people do at a station, a few seconds later; what was said is sent."""
        await self.hours.wait(STEP_S)
        act()
        self._connection(station).flush()

    async def insert(
        self, rider: Rider, station: BatteryStation, packs: list[Pack], *, by_app: bool = False
    ) -> tuple[int, list[Pack]]:
        """A rider puts packs in, again where all slots jam; the swap's number, and the packs that went in."""
        await self.doors.attend(station)
        for _ in range(OPENINGS_MAX):
            units = await self._units_for(rider, station, len(packs), by_app)
            went = [pack for u, pack in zip(units, packs, strict=False) if await self.put(station, u, pack)]
            if len(went) < len(packs):
                self.tally.jams += 1
                await self._wait(station)
            if went:
                swaps = reversed(station.swaps.known.values())
                return next(swap.rid for swap in swaps if set(units) & set(swap.put)), went
        raise WentWrong(f"no slot of {station.station.id} took a pack")

    async def _units_for(self, rider: Rider, station: BatteryStation, count: int, by_app: bool) -> list[int]:
        if self.app is None or not by_app:
            return station.ask(count).units
        try:
            await self.app.swap(rider, station.station.id, count, self.hours())
        except RestError as error:
            if error.status not in REFUSED:
                raise
        await until(lambda: bool(station.standing("return")), WALL_S_MAX)
        return station.standing("return")

    async def _swap(self, rider: Rider, trip: Trip) -> None:
        station = await self._choose(rider.wanted)
        brought = list(rider.packs)
        if trip.kind == "foreign":
            brought = [Pack(serial=f"FOREIGN-{self._random.randrange(10**6):06d}", soc=4_000)]
        rid, went = await self.insert(rider, station, brought, by_app=trip.by_app)
        await self._handed_out(station, rid, len(went))
        if trip.kind == "foreign":
            self._took_back(went, await self._take_all(station, rid, len(went)))
            return
        rider.packs = [pack for pack in brought if pack not in went]
        if trip.kind == "hesitates":
            await self._wait(station)
            self.tally.not_taken += 1
        else:
            got = await self._take_all(station, rid, len(went))
            if any(pack in went for pack in got):
                raise WentWrong(f"got the own pack back from {station.station.id}")
            rider.packs += got
            self.tally.swaps += 1
            self.tally.packs += len(got)
        await self.rent(rider)

    async def _choose(self, wanted: int) -> BatteryStation:
        """A station with room and ready packs; where there is none, packs charge first."""
        for _ in range(WAITS_MAX):
            fit = [one for one in self.stations.values() if len(one.empty) >= wanted < len(ready(one))]
            if fit:
                return self._random.choice(fit)
            await self.pass_time(WAIT_S)
        raise WentWrong("no station has room and packs")

    async def _handed_out(self, station: BatteryStation, rid: int, count: int) -> None:
        def handed() -> bool:
            return sum(len(one.units) for one in station.swaps.handouts if one.rid == rid) >= count

        if not await until(handed, WALL_S_MAX):
            raise WentWrong(f"{station.station.id} handed nothing out for swap {rid}")

    async def _take_all(self, station: BatteryStation, rid: int, count: int) -> list[Pack]:
        """What can be taken is; what a jam keeps is locked again after a while."""
        got = [await self.take(station, u) for u in sorted(station.offered(rid))]
        if len(got) < count:
            self.tally.jams += 1
            await self._wait(station)
        return got

    def _took_back(self, brought: list[Pack], got: list[Pack]) -> None:
        """Of a rider who brought what nobody knows: it alone comes out again."""
        if not all(pack in brought for pack in got):
            raise WentWrong("a pack that nobody knows was taken for another")
        self.tally.given_back += len(got)

    async def _opened(self, rider: Rider, station: BatteryStation, why: Way, ask: Callable[[], Awaitable[None]]) -> int:
        """A slot opens for a rider with an app, or a card."""
        if self.app is not None and rider.by_app:
            return await self.doors.by_app(station, why, ask)
        return await self.doors.by_token(station, rider.token, why)

    async def _rent(self, rider: Rider, station: BatteryStation, asked: list[str]) -> None:
        """Rents once, and anew only if that came to nothing; `asked` are the rentals of this wish."""
        assert self.app is not None
        if not asked or await self.app.state(asked[-1]) in OVER:
            asked.append(await self.app.rent(rider, station.station.id, self.hours()))

    async def _return(self, rider: Rider, pack: Pack, station: BatteryStation) -> None:
        assert self.app is not None
        await self.app.give_back(rider, pack.code, station.station.id, self.hours())

    async def _wait(self, station: BatteryStation) -> None:
        """Until what nobody used is locked again."""
        await self.hours.wait(self.plan.traits.take_s + 1)
        await self.doors.attend(station)

    def _connection(self, station: BatteryStation) -> Connection:
        return self.fleet.connections[station.station.id]


def ready(station: BatteryStation) -> list[int]:
    """The slots whose packs the system would hand out."""
    return [u for u in station.full if (pack := station.slots[u].pack) is not None and pack.said_soc >= READY_SOC]
