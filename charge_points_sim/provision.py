"""Tells a system, through REST, about the stations, providers, prices and drivers that will be simulated."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable

from charge_points_sim.prices import CURRENCY, HOLD_MINOR, PRICES, Price, of_site
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.charge import MAX_POWER_W
from charge_points_sim.scenarios.drivers import Driver, assign
from charge_points_sim.scenarios.replay import Plan

AT_ONCE_MAX = 8
TIME_ZONE = "America/Los_Angeles"


def provider_of(site: str) -> str:
    """Each site has a provider of its own."""
    return f"{site}-charging"


async def provision(rest: Rest, plan: Plan, password: str) -> None:
    """Adds what the plan needs; what is there already stays as it is (409). Raises `RestError`."""
    sites = sorted({charge.site for charge in plan.charges})
    for site in sites:
        price = of_site(sites, site)
        await rest.add("/providers", _provider(provider_of(site), price))
        await rest.add("/sites", {"id": site, "provider": provider_of(site), "name": site, "time_zone": TIME_ZONE})
    for price in PRICES[: len(sites)]:
        await rest.add("/tariffs", {**price.document(), "hold": {"currency": CURRENCY, "minor": HOLD_MINOR}})
    stations = {charge.station_id: charge.site for charge in plan.charges}
    await _all(
        _add_station(rest, name, site, of_site(sites, site), password) for name, site in sorted(stations.items())
    )
    budgets = budget(plan)
    await _all(_add_driver(rest, driver, budgets[driver.name]) for driver in plan.population.paying if driver.token)


def budget(plan: Plan) -> dict[str, int]:
    """Driver -> cents that all of the driver's charges cost together, and one hold more."""
    sites = sorted({charge.site for charge in plan.charges})
    sums: dict[str, int] = defaultdict(lambda: HOLD_MINOR)
    drivers = assign(plan.charges, plan.population, plan.seed)
    for charge in plan.charges:
        sums[drivers[charge.session_id].name] += of_site(sites, charge.site).fee_minor(charge)
    return sums


def _provider(name: str, price: Price) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "psp_accounts": {"social": name},
        "terms": {"operator_bp": price.operator_bp, "operator_fixed_minor": price.operator_fixed_minor},
    }


async def _add_station(rest: Rest, name: str, site: str, price: Price, password: str) -> None:
    connector = {"number": 1, "kind": "outlet", "max_power_w": MAX_POWER_W}
    place = {"provider": provider_of(site), "site": site, "tariff": price.id}
    await rest.add("/stations", {"id": name, **place, "password": password, "connectors": [connector]})


async def _add_driver(rest: Rest, driver: Driver, minor: int) -> None:
    await rest.add("/drivers", {"id": driver.name, "name": driver.name})
    await rest.add(f"/drivers/{driver.name}/tokens", {"value": driver.token, "type": "rfid", "status": "accepted"})
    top_up = {"amount": {"currency": CURRENCY, "minor": minor}, "psp": "card", "payment_ref": f"first-{driver.name}"}
    await rest.post(f"/drivers/{driver.name}/top-ups", top_up, key=f"first-{driver.name}")


async def _all(acts: Iterable[Awaitable[None]]) -> None:
    """So many at once as do not crowd the system."""
    gate = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(act: Awaitable[None]) -> None:
        async with gate:
            await act

    try:
        async with asyncio.TaskGroup() as group:
            for act in acts:
                group.create_task(one(act))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
