"""
Battery packs swapped at stations: riders rent packs, ride, swap them for full ones, and give them back in the end.

Some charge at home, some come too late for what they are offered, some bring a pack that nobody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from charge_points_sim.fleet import Fleet
from charge_points_sim.scenarios.exchange import Town
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.opening import WALL_S_MAX
from charge_points_sim.scenarios.riders import SwapApp, SwapPlan
from charge_points_sim.scenarios.telling import counted, frames


async def ride(plan: SwapPlan, url: str, password: str | None, app: SwapApp | None = None) -> dict[str, Any]:
    """Lives through all trips against the system at `url`; answers the facts. Raises `CannotConnect`."""
    async with opened(plan, url, password, app) as town:
        for trip in plan.trips:
            await town.trip(trip)
        for rider in town.riders:
            await town.give_back(rider)
        await town.pass_time(2 * plan.traits.state_every_s)  # a pack that came back says how it is
    return facts(town)


@asynccontextmanager
async def opened(plan: SwapPlan, url: str, password: str | None, app: SwapApp | None = None) -> AsyncIterator[Town]:
    """The plan's town, its stations connected; in the end it hears out what they have to say."""
    async with Fleet([], url, password, plan.seed) as fleet:
        town = Town(plan, Hours(plan.start, plan.speed), fleet, app)
        await town.open(follow=plan.follow)
        care = asyncio.create_task(fleet.look_after())
        try:
            yield town
            if not await until(town.told, WALL_S_MAX):
                town.tally.unexpected.append("some events were never accepted")
            town.tally.unexpected += town.refused()
        finally:
            care.cancel()
            await asyncio.gather(care, return_exceptions=True)


def facts(town: Town) -> dict[str, Any]:
    """The summary of a finished run."""
    tally = town.tally
    return {
        "rented": tally.rented,
        "swaps": tally.swaps,
        "packs": tally.packs,
        "ridden_wh": tally.ridden_wh,
        "charged_at_home_wh": tally.charged_at_home_wh,
        "not_taken": tally.not_taken,
        "given_back": tally.given_back,
        "returned": tally.returned,
        "jams": tally.jams,
        **counted(town.fleet.counters),
        "unexpected": tally.unexpected,
    }


def describe(facts: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"swaps: {facts['swaps']} with {facts['packs']} packs, {facts['ridden_wh'] / 1000:.3f} kWh ridden, "
        f"{facts['charged_at_home_wh'] / 1000:.3f} kWh charged at home",
        f"packs: {facts['rented']} rented, {facts['returned']} returned, {facts['given_back']} that nobody knew given "
        f"back; {facts['not_taken']} times nobody took what was offered, {facts['jams']} slots jammed",
        frames(facts),
    ]
    return "\n".join(lines + [f"unexpected: {text}" for text in facts["unexpected"]])
