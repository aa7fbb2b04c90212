"""The cabinets, the portable chargers and the outlets of a street, and what drivers do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from uuid import UUID

from charge_points_sim.connection import Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.locker import Locker
from charge_points_sim.devices.memory import Memory
from charge_points_sim.devices.portable import Outlet, Portable
from charge_points_sim.fleet import Fleet
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.app import App
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.opening import PATIENCE_S, REFUSED, WALL_S_MAX, Doors, WentWrong
from charge_points_sim.scenarios.visits import BEGAN, POWER_W, Plan, Tally, Visit
from charge_points_sim.session import Token

READING_S = 600
STEP_S = 3
"""What people do at a door takes them so long."""
STARTS_MAX = 4
OVER = ("cancelled", "refused", "provisional")
"""States of a rental that came to nothing: the driver rents anew."""


@dataclass(slots=True)
class Borrowing:
    """What a driver's app knows while a door is to open."""

    visit: Visit
    station: str
    rental: str | None = None


class Street:
    """One run of a plan. Drivers come one after the other; those with an app use `app`, if there is one."""

    def __init__(self, plan: Plan, hours: Hours, fleet: Fleet, app: App | None) -> None:
        self.hours = hours
        self.fleet = fleet
        self.app = app
        self.tally = Tally()
        self.doors = Doors(hours, fleet, self.tally)
        self._random = Random(f"street {plan.seed}")
        ids = Random(f"street ids {plan.seed}")  # apart: not every version draws as many
        self._outlets: dict[str, Outlet] = {}
        age = max(0, plan.start - BEGAN)
        self.lockers: dict[str, Locker] = {}
        for number, (name, items) in enumerate(plan.items().items()):
            doors = [Door(u, items.get(u)) for u in range(1, plan.doors + 1)]
            device, memory = DEVICES[plan.version(number)], Memory(plan.start, age)
            self.lockers[name] = Locker(name, device, doors, hours, memory, faults=plan.faults)
        self.chargers: dict[str, Portable] = {}
        for number, code in enumerate(code for items in plan.items().values() for code in items.values()):
            self.chargers[code] = Portable(
                code,
                DEVICES[plan.version(number)],
                lambda: str(UUID(int=ids.getrandbits(128), version=4)),
                hours,
                memory=Memory(plan.start, age),
                faults=plan.faults,
                register_wh=age,
            )

    async def open(self, *, follow: bool) -> None:
        """All cabinets connect and say what they hold; with `follow` the first sets the clock by the system."""
        for locker in self.lockers.values():
            await self.fleet.join(locker.station)
            if follow and abs(locker.station.drift_s) > 1:  # whole seconds: less is no difference
                self.hours.set(self.hours() - locker.station.drift_s)
            follow = False
            await self.doors.attend(locker)

    def told(self) -> bool:
        """Whether every cabinet has told everything."""
        return all(locker.outbox.idle and locker.station.line.idle for locker in self.lockers.values())

    def refused(self) -> list[str]:
        """The events whose bodies the system refused."""
        told = [one.outbox for one in self.lockers.values()] + [one.outbox for one in self.chargers.values()]
        return [f"{event.message} was refused: {event.body}" for outbox in told for event in outbox.memory.aside]

    async def visit(self, visit: Visit) -> None:
        """A driver takes a charger, charges with it, and returns it to another cabinet."""
        await self.hours.wait(visit.pause_s)
        try:
            origin, u, rental = await self._take(visit)
            code = await self.act(origin, partial(origin.take, u))
            await self.act(origin, partial(origin.close, u))
            await self._charge(visit, self.chargers[code], rental)
            target, u = await self._return(visit, origin, rental)
            await self.act(target, partial(target.place, u, code))
            await self.act(target, partial(target.close, u))
            await self.doors.attend(target)
            if self.app is not None and rental is not None:
                app = self.app
                await self._comes("the rental to be closed", lambda: app.state(rental), "closed")
        except (WentWrong, RestError) as error:
            self.tally.unexpected.append(f"{visit.driver}: {error}")
            return
        finally:
            await self._tidy_up()
        self.tally.rentals += 1
        self.tally.returned_elsewhere += target is not origin

    async def _take(self, visit: Visit) -> tuple[Locker, int, str | None]:
        """From a cabinet that has something, or else from another."""
        full = [one for one in self.lockers.values() if any(door.item for door in one.doors.values())]
        self._random.shuffle(full)
        for locker in full:
            borrowing = Borrowing(visit, locker.station.id)
            try:
                if self.app is not None and visit.by_app:
                    u = await self.doors.by_app(locker, "take", partial(self._rent, self.app, borrowing))
                else:
                    u = await self.doors.by_token(locker, visit.token, "take")
            except WentWrong as error:
                reason = error
            else:
                return locker, u, borrowing.rental
        raise reason

    async def _rent(self, app: App, borrowing: Borrowing) -> None:
        """Rents once, and anew only if that came to nothing."""
        if borrowing.rental is None or await app.state(borrowing.rental) in OVER:
            borrowing.rental = await app.rent(borrowing.visit, borrowing.station, self.hours())

    async def _return(self, visit: Visit, origin: Locker, rental: str | None) -> tuple[Locker, int]:
        """To another cabinet if one has room."""
        room = [one for one in self.lockers.values() if any(door.item is None for door in one.doors.values())]
        self._random.shuffle(room)
        for target in sorted(room, key=lambda one: one is origin):
            try:
                if self.app is not None and rental is not None:
                    ask = partial(self._give_back, self.app, rental, target.station.id)
                    return target, await self.doors.by_app(target, "return", ask)
                return target, await self.doors.by_token(target, visit.token, "return")
            except WentWrong as error:
                reason = error
        raise reason

    async def _give_back(self, app: App, rental: str, station: str) -> None:
        await app.give_back(rental, station, self.hours())

    async def _tidy_up(self) -> None:
        """Nobody leaves a door open."""
        for locker in self.lockers.values():
            for door in locker.doors.values():
                if door.open:
                    await self.act(locker, partial(locker.close, door.number))

    async def _charge(self, visit: Visit, charger: Portable, rental: str | None) -> None:
        """Plugs in, charges, and pulls out again."""
        connection = await self.plug_in(charger, visit.outlet)
        if self.app is not None and rental is not None:
            await self._start(self.app, rental, charger)
        else:
            await connection.do(partial(charger.start, Token(visit.token)))
        if not charger.energised:
            raise WentWrong(f"{charger.code} was not allowed to charge")
        self.tally.energy_wh += await self._draw(visit, charger, connection)
        await self.pull_out(charger)

    async def plug_in(self, charger: Portable, tag: str) -> Connection:
        """A charger gets power at an outlet: it connects, and says where it is."""
        charger.plug(self._outlets.setdefault(tag, Outlet(tag)))
        connection = await self.fleet.join(charger.station)
        if not await until(lambda: charger.outbox.idle, WALL_S_MAX):
            raise WentWrong(f"{charger.code} could not say where it is")
        return connection

    async def pull_out(self, charger: Portable) -> None:
        """A charger loses power: what runs ends, and is told before it goes dark."""
        connection = self.fleet.connections[charger.station.id]
        if charger.session is not None:
            await connection.do(partial(charger.stop, "local"))
        charger.unplug()
        await connection.do(charger.station.beat)
        await until(lambda: charger.outbox.idle and charger.station.line.idle, WALL_S_MAX)
        charger.lose_power()
        await self.fleet.leave(charger.station)

    async def _start(self, app: App, rental: str, charger: Portable) -> None:
        """Asks for energy until it flows."""
        for _ in range(STARTS_MAX):
            try:
                await app.charge(rental)
            except RestError as error:
                if error.status not in REFUSED:
                    raise
            if await until(lambda: charger.energised, PATIENCE_S):
                return

    async def _draw(self, visit: Visit, charger: Portable, connection: Connection) -> int:
        """The car takes its energy, evenly, as long as it is given; the Wh that flowed."""
        seconds, before, taken = 60 * visit.minutes, 0, 0
        for at in (*range(READING_S, seconds, READING_S), seconds):
            await self.hours.wait(at - before)
            taken += charger.deliver(visit.wh * at // seconds - taken, power_w=POWER_W)
            await connection.do(charger.station.beat)
            before = at
        return taken

    async def act(self, locker: Locker, act: Callable[[], str | None]) -> str:
        """Something people do at a cabinet, a few seconds later; what was said is sent."""
        await self.hours.wait(STEP_S)
        done = act()
        self._connection(locker).flush()
        return done or ""

    async def _comes(self, what: str, ask: Callable[[], Awaitable[str]], wanted: str) -> None:
        deadline = WALL_S_MAX
        while (state := await ask()) != wanted:
            deadline -= 0.1
            if deadline < 0:
                raise WentWrong(f"waited in vain for {what}: {state}")
            await asyncio.sleep(0.1)

    def _connection(self, locker: Locker) -> Connection:
        return self.fleet.connections[locker.station.id]
