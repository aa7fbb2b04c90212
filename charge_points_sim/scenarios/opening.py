"""How drivers get a door of a cabinet open, by their token at the lock or by an app. Doors jam; people try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from charge_points_sim.connection import TRIES_MAX, Connection
from charge_points_sim.devices.cabinet import Outcome
from charge_points_sim.devices.locker import Locker
from charge_points_sim.fleet import Fleet
from charge_points_sim.line import CallFailed
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.visits import Tally

Way = Literal["take", "return"]
WALL_S_MAX = 15.0
"""So long, on the wall, people wait for what the system still has to do."""
PATIENCE_S = 2.5
"""So long, on the wall, somebody stands before a door that an app has asked for."""
OPENING_S = 11
"""A door that is not open after so long will not open: the driver tries again."""
OPENINGS_MAX = 6
AGAIN = (None, "DoorJammed", "GrantUsed", "GrantExpired", "Busy", "PaymentPending")
"""After these the driver tries again; of a grant: the system has not noticed yet that it opened nothing."""
REFUSED = (403, 409, 503)
"""Answers of the REST interface after which the driver tries again: a cabinet away, a code used up, a door kept."""
SWEEP_S = 0.5
"""On the wall: until then the system has noticed what did not happen."""


class WentWrong(Exception):
    """A visit could not go on; says why."""


class Doors:
    """The doors of cabinets as drivers meet them."""

    def __init__(self, hours: Hours, fleet: Fleet, tally: Tally) -> None:
        self._hours = hours
        self._fleet = fleet
        self._tally = tally

    async def by_token(self, locker: Locker, token: str, why: Way) -> int:
        """Holds the token to the lock until a door stands open; the door. After a jam one may open unasked."""
        await self.attend(locker)
        error: str | None = None
        for _ in range(OPENINGS_MAX):
            if standing(locker, why) is None:
                outcome = await self._ask(self._fleet.connections[locker.station.id], locker, token, why)
                error = outcome.err
                if error == "PaymentPending":
                    await until(lambda: standing(locker, why) is not None, WALL_S_MAX)
            if (u := standing(locker, why)) is not None:
                return u
            if error not in AGAIN:
                break
            self._tally.jams += error in (None, "DoorJammed")
            await self._wait(locker)
        raise WentWrong(f"no door of {locker.station.id} opened to {why}: {error or 'all jam'}")

    async def by_app(self, locker: Locker, why: Way, ask: Callable[[], Awaitable[None]]) -> int:
        """Asks the system by `ask`, again after a while, until a door stands open; the door."""
        await self.attend(locker)
        said = "all jam"
        for _ in range(OPENINGS_MAX):
            if standing(locker, why) is None:
                try:
                    await ask()
                except RestError as error:
                    if error.status not in REFUSED:
                        raise
                    said = str(error)
                else:
                    await until(lambda: standing(locker, why) is not None, PATIENCE_S)
                    self._tally.jams += standing(locker, why) is None
            if (u := standing(locker, why)) is not None:
                return u
            await self._wait(locker)
        raise WentWrong(f"no door of {locker.station.id} opened to {why}: {said}")

    async def _ask(self, connection: Connection, locker: Locker, token: str, why: Way) -> Outcome:
        """One decision, asked for with the same id until it comes."""
        outcome: Outcome | CallFailed = await connection.do(partial(locker.present, token, why))
        for _ in range(TRIES_MAX):
            if not isinstance(outcome, CallFailed):
                return outcome
            await until(lambda: locker.station.line.online, WALL_S_MAX)
            outcome = await connection.do(locker.insist)
        raise WentWrong(f"{locker.station.id} got no decision: {outcome}")

    async def _wait(self, locker: Locker) -> None:
        """As long as a door may take."""
        await self._hours.wait(OPENING_S)
        await self.attend(locker)
        await asyncio.sleep(SWEEP_S)

    async def attend(self, locker: Locker) -> None:
        """
        The cabinet says what it has to say, and is told the time.

        Its statuses are dated: a system whose clock follows reports is at this moment, too, when it answers.
        """
        locker.tick()
        locker.show()
        await self._fleet.connections[locker.station.id].do(locker.station.beat)
        if not await until(lambda: locker.outbox.idle, WALL_S_MAX):
            raise WentWrong(f"{locker.station.id} has events that were never accepted")


def standing(locker: Locker, why: Way) -> int | None:
    """A door that stands open with an item to take, or with room for one to return."""
    fit = [door.number for door in locker.doors.values() if door.open and (door.item is not None) == (why == "take")]
    return min(fit, default=None)
