"""
Portable chargers lent by lockers: drivers take one, plug it in elsewhere, charge, and return it to another cabinet.

By token at the lock, which needs nothing but the stations' connections, or by an app (`lending.App`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from charge_points_sim.fleet import Fleet
from charge_points_sim.scenarios.app import App
from charge_points_sim.scenarios.hours import Hours, until
from charge_points_sim.scenarios.opening import WALL_S_MAX
from charge_points_sim.scenarios.street import Street
from charge_points_sim.scenarios.telling import counted, frames
from charge_points_sim.scenarios.visits import Plan, Tally


async def lend(plan: Plan, url: str, password: str | None, app: App | None = None) -> dict[str, Any]:
    """Lives through all visits against the system at `url`; answers the facts. Raises `CannotConnect`."""
    async with opened(plan, url, password, app) as street:
        for visit in plan.visits:
            await street.visit(visit)
    return facts(street.tally, street.fleet)


@asynccontextmanager
async def opened(plan: Plan, url: str, password: str | None, app: App | None = None) -> AsyncIterator[Street]:
    """The plan's street, its cabinets connected; in the end it hears out what they have to say."""
    hours = Hours(plan.start, plan.speed)
    async with Fleet([], url, password, plan.seed) as fleet:
        street = Street(plan, hours, fleet, app)
        await street.open(follow=plan.follow)
        care = asyncio.create_task(fleet.look_after())
        try:
            yield street
            if not await until(street.told, WALL_S_MAX):
                street.tally.unexpected.append("some events were never accepted")
            street.tally.unexpected += street.refused()
        finally:
            care.cancel()
            await asyncio.gather(care, return_exceptions=True)


def facts(tally: Tally, fleet: Fleet) -> dict[str, Any]:
    """The summary of a finished run."""
    return {
        "rentals": tally.rentals,
        "energy_wh": tally.energy_wh,
        "jams": tally.jams,
        "returned_elsewhere": tally.returned_elsewhere,
        **counted(fleet.counters),
        "unexpected": tally.unexpected,
    }


def describe(facts: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"rentals: {facts['rentals']}, {facts['energy_wh'] / 1000:.3f} kWh, "
        f"{facts['returned_elsewhere']} returned to another cabinet, {facts['jams']} doors that jammed",
        frames(facts),
    ]
    return "\n".join(lines + [f"unexpected: {text}" for text in facts["unexpected"]])
