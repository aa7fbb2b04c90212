"""The cabinets, the portable chargers and the outlets of a street, and what drivers do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Literal
from uuid import UUID

from charge_points_sim.connection import TRIES_MAX, Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.locker import Locker, Outcome
from charge_points_sim.devices.memory import Memory
from charge_points_sim.devices.portable import Outlet, Portable
from charge_points_sim.fleet import Fleet
from charge_points_sim.line import CallFailed
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.app import App
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.visits import BEGAN, POWER_W, Plan, Tally, Visit
from charge_points_sim.session import Token

Way = Literal["take", "return"]
READING_S = 600
WALL_S_MAX = 15.0
"""So long, on the wall, people wait for what the system still has to do."""
OPENING_S = 11
"""A door that is not open after so long will not open: the driver tries again."""
OPENINGS_MAX = 6
AGAIN = (None, "DoorJammed", "GrantUsed", "GrantExpired", "Busy", "PaymentPending")
"""After these the driver tries again; of a grant: the system has not noticed yet that it opened nothing."""
SWEEP_S = 0.5
"""On the wall: until then the system has noticed what did not happen."""
STEP_S = 3
"""What people do at a door takes them so long."""


class WentWrong(Exception):
    """A visit could not go on; says why."""


class Street:
    """One run of a plan. Drivers come one after the other; those with an app use `app`, if there is one."""

    def __init__(self, plan: Plan, hours: Hours, fleet: Fleet, app: App | None) -> None:
        self.hours = hours
        self.fleet = fleet
        self.app = app
        self.tally = Tally()
        self._random = random = Random(f"street {plan.seed}")
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
                lambda: str(UUID(int=random.getrandbits(128), version=4)),
                hours,
                memory=Memory(plan.start, age),
                faults=plan.faults,
                register_wh=age,
            )

    async def open(self, *, follow: bool) -> None:
        """All cabinets connect and say what they hold; with `follow` the first sets the clock by the system."""
        for locker in self.lockers.values():
            await self.fleet.join(locker.station)
            if follow:
                self.hours.set(self.hours() - locker.station.drift_s)
                follow = False
            await self._attend(locker)

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
            code = await self._act(origin, partial(origin.take, u))
            await self._act(origin, partial(origin.close, u))
            await self._charge(visit, self.chargers[code], rental)
            target, u = await self._return(visit, origin, rental)
            await self._act(target, partial(target.place, u, code))
            await self._act(target, partial(target.close, u))
            await self._told(target)
            if self.app is not None and rental is not None:
                app = self.app
                await self._comes("the rental to be closed", lambda: app.state(rental), "closed")
        except (WentWrong, RestError) as error:
            self.tally.unexpected.append(f"{visit.driver}: {error}")
            await self._tidy_up()
            return
        self.tally.rentals += 1
        self.tally.returned_elsewhere += target is not origin

    async def _take(self, visit: Visit) -> tuple[Locker, int, str | None]:
        full = [one for one in self.lockers.values() if any(door.item for door in one.doors.values())]
        locker = self._random.choice(full)
        if self.app is None or not visit.by_app:
            return locker, await self._by_token(locker, visit, "take"), None
        await self._attend(locker)
        rental = await self.app.rent(visit, locker.station.id, self.hours())
        return locker, await self._opened(locker, rental), rental

    async def _return(self, visit: Visit, origin: Locker, rental: str | None) -> tuple[Locker, int]:
        """To another cabinet if there is room."""
        room = [one for one in self.lockers.values() if any(door.item is None for door in one.doors.values())]
        target = self._random.choice([one for one in room if one is not origin] or room)
        if self.app is None or rental is None:
            return target, await self._by_token(target, visit, "return")
        await self._attend(target)
        ask = partial(self.app.give_back, rental, target.station.id)
        await ask(self.hours())
        return target, await self._opened(target, rental, ask)

    async def _by_token(self, locker: Locker, visit: Visit, why: Way) -> int:
        """The token at the lock until a door stands open; the door. The system may open one unasked, after a jam."""
        await self._attend(locker)
        connection = self._connection(locker)
        error: str | None = None
        for _ in range(OPENINGS_MAX):
            if (u := self._standing(locker)) is None:
                outcome = await self._ask(connection, locker, visit.token, why)
                error = outcome.err
                if error == "PaymentPending":
                    await until(lambda: self._standing(locker) is not None, WALL_S_MAX)
                u = self._standing(locker)
            if u is not None:
                return u
            if error not in AGAIN:
                break
            self.tally.jams += error in (None, "DoorJammed")
            await self._wait_for_opening(locker)
        raise WentWrong(f"no door of {locker.station.id} opened to {why}: {error or 'all jam'}")

    async def _ask(self, connection: Connection, locker: Locker, token: str, why: Way) -> Outcome:
        """One decision, asked for with the same id until it comes."""
        outcome: Outcome | CallFailed = await connection.do(partial(locker.present, token, why))
        for _ in range(TRIES_MAX):
            if not isinstance(outcome, CallFailed):
                return outcome
            await until(lambda: locker.station.line.online, WALL_S_MAX)
            outcome = await connection.do(locker.insist)
        raise WentWrong(f"{locker.station.id} got no decision: {outcome}")

    async def _opened(self, locker: Locker, rental: str, ask: Callable[[int], Awaitable[None]] | None = None) -> int:
        """The door that the system opens for a rental: of itself after others jammed, or asked again by `ask`."""
        for _ in range(OPENINGS_MAX):
            if await until(lambda: self._standing(locker) is not None, WALL_S_MAX / OPENINGS_MAX):
                u = self._standing(locker)
                assert u is not None
                return u
            self.tally.jams += 1
            await self._wait_for_opening(locker)
            if ask is not None and self._standing(locker) is None:
                await ask(self.hours())
        raise WentWrong(f"no door of {locker.station.id} opened for rental {rental}")

    async def _wait_for_opening(self, locker: Locker) -> None:
        """As long as a door may take."""
        await self.hours.wait(OPENING_S)
        await self._attend(locker)
        await asyncio.sleep(SWEEP_S)

    async def _attend(self, locker: Locker) -> None:
        """
        The cabinet says what it has to say, and is told the time.

        Its statuses are dated: a system whose clock follows reports is at this moment, too, when it answers.
        """
        locker.tick()
        locker.show()
        await self._connection(locker).do(locker.station.beat)
        await self._told(locker)

    async def _tidy_up(self) -> None:
        """Nobody leaves a door open."""
        for locker in self.lockers.values():
            if (u := self._standing(locker)) is not None:
                await self._act(locker, partial(locker.close, u))

    def _standing(self, locker: Locker) -> int | None:
        """The open door of a cabinet; drivers close theirs, so there is one at most."""
        return next((door.number for door in locker.doors.values() if door.open), None)

    async def _charge(self, visit: Visit, charger: Portable, rental: str | None) -> None:
        """Plugs in, charges, and pulls out again."""
        outlet = self._outlets.setdefault(visit.outlet, Outlet(visit.outlet))
        charger.plug(outlet)
        connection = await self.fleet.join(charger.station)
        if not await until(lambda: charger.outbox.idle, WALL_S_MAX):
            raise WentWrong(f"{charger.code} could not say where it is")
        if self.app is not None and rental is not None:
            await self.app.charge(rental)
            await until(lambda: charger.energised, WALL_S_MAX)
        else:
            await connection.do(partial(charger.start, Token(visit.token)))
        if not charger.energised:
            raise WentWrong(f"{charger.code} was not allowed to charge")
        self.tally.energy_wh += await self._draw(visit, charger, connection)
        if charger.session is not None:
            await connection.do(partial(charger.stop, "local"))
        charger.unplug()
        await connection.do(charger.station.beat)
        await until(lambda: charger.outbox.idle and charger.station.line.idle, WALL_S_MAX)
        charger.lose_power()
        await self.fleet.leave(charger.station)

    async def _draw(self, visit: Visit, charger: Portable, connection: Connection) -> int:
        """The car takes its energy, evenly, as long as it is given; the Wh that flowed."""
        seconds, before, taken = 60 * visit.minutes, 0, 0
        for at in (*range(READING_S, seconds, READING_S), seconds):
            await self.hours.wait(at - before)
            taken += charger.deliver(visit.wh * at // seconds - taken, power_w=POWER_W)
            await connection.do(charger.station.beat)
            before = at
        return taken

    async def _act(self, locker: Locker, act: Callable[[], str | None]) -> str:
        """Something people do at a cabinet, a few seconds later; what was said is sent."""
        await self.hours.wait(STEP_S)
        done = act()
        self._connection(locker).flush()
        return done or ""

    async def _told(self, locker: Locker) -> None:
        if not await until(lambda: locker.outbox.idle, WALL_S_MAX):
            raise WentWrong(f"{locker.station.id} has events that were never accepted")

    async def _comes(self, what: str, ask: Callable[[], Awaitable[str]], wanted: str) -> None:
        deadline = WALL_S_MAX
        while (state := await ask()) != wanted:
            deadline -= 0.1
            if deadline < 0:
                raise WentWrong(f"waited in vain for {what}: {state}")
            await asyncio.sleep(0.1)

    def _connection(self, locker: Locker) -> Connection:
        return self.fleet.connections[locker.station.id]
