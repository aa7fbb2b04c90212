"""How drivers get a door of a cabinet open, by their token at the lock or by an app. Doors jam; people try again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, Protocol

from charge_points_sim.connection import TRIES_MAX, Connection
from charge_points_sim.devices.cabinet import Cabinet, Outcome
from charge_points_sim.fleet import Fleet
from charge_points_sim.line import CallFailed
from charge_points_sim.rest import RestError
from charge_points_sim.scenarios.hours import Hours, until

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


class Jams(Protocol):
    """A tally that counts doors that jammed."""

    jams: int


class Doors:
    """The doors of cabinets as drivers meet them."""

    def __init__(self, hours: Hours, fleet: Fleet, tally: Jams, opening_s: int = OPENING_S) -> None:
        self._hours = hours
        self._fleet = fleet
        self._tally = tally
        self._opening_s = opening_s

    async def by_token(self, cabinet: Cabinet[Any], token: str, why: Way) -> int:
        """Holds the token to the lock until a door stands open; the door. After a jam one may open unasked."""
        await self.attend(cabinet)
        error: str | None = None
        for _ in range(OPENINGS_MAX):
            if standing(cabinet, why) is None:
                outcome = await self._ask(self._fleet.connections[cabinet.station.id], cabinet, token, why)
                error = outcome.err
                if error == "PaymentPending":
                    await until(lambda: standing(cabinet, why) is not None, WALL_S_MAX)
            if (u := standing(cabinet, why)) is not None:
                return u
            if error not in AGAIN:
                break
            self._tally.jams += error in (None, "DoorJammed")
            await self._wait(cabinet)
        raise WentWrong(f"no door of {cabinet.station.id} opened to {why}: {error or 'all jam'}")

    async def by_app(self, cabinet: Cabinet[Any], why: Way, ask: Callable[[], Awaitable[None]]) -> int:
        """Asks the system by `ask`, again after a while, until a door stands open; the door."""
        await self.attend(cabinet)
        said = "all jam"
        for _ in range(OPENINGS_MAX):
            if standing(cabinet, why) is None:
                try:
                    await ask()
                except RestError as error:
                    if error.status not in REFUSED:
                        raise
                    said = str(error)
                else:
                    await until(lambda: standing(cabinet, why) is not None, PATIENCE_S)
                    self._tally.jams += standing(cabinet, why) is None
            if (u := standing(cabinet, why)) is not None:
                return u
            await self._wait(cabinet)
        raise WentWrong(f"no door of {cabinet.station.id} opened to {why}: {said}")

    async def _ask(self, connection: Connection, cabinet: Cabinet[Any], token: str, why: Way) -> Outcome:
        """One decision, asked for with the same id until it comes."""
        outcome: Outcome | CallFailed = await connection.do(partial(cabinet.present, token, why))
        for _ in range(TRIES_MAX):
            if not isinstance(outcome, CallFailed):
                return outcome
            await until(lambda: cabinet.station.line.online, WALL_S_MAX)
            outcome = await connection.do(cabinet.insist)
        raise WentWrong(f"{cabinet.station.id} got no decision: {outcome}")

    async def _wait(self, cabinet: Cabinet[Any]) -> None:
        """As long as a door may take."""
        await self._hours.wait(self._opening_s)
        await self.attend(cabinet)
        await asyncio.sleep(SWEEP_S)

    async def attend(self, cabinet: Cabinet[Any]) -> None:
        """
        The cabinet says what it has to say, and is told the time.

        Its statuses are dated and come first: a system whose clock follows reports is at this moment, too, when it
        hears what has no time of its own, and when it answers.
        """
        cabinet.show()
        cabinet.tick()
        await self._fleet.connections[cabinet.station.id].do(cabinet.station.beat)
        if not await until(lambda: cabinet.outbox.idle, WALL_S_MAX):
            raise WentWrong(f"{cabinet.station.id} has events that were never accepted")


def standing(cabinet: Cabinet[Any], why: Way) -> int | None:
    """A door that stands open with an item to take, or with room for one to return."""
    return min(cabinet.standing(why), default=None)
