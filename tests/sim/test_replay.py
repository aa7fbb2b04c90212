"""The replay of a real day: every charge once, to the Wh, whatever happens on the way."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Coroutine, Mapping
from random import Random

import pytest

from charge_points_sim.connection import CannotConnect
from charge_points_sim.faults import Faults
from charge_points_sim.run import ONE_DAY
from charge_points_sim.scenarios import day
from charge_points_sim.scenarios.charge import Charge, read
from charge_points_sim.scenarios.drivers import Driver, populate
from charge_points_sim.scenarios.replay import Plan, Tally, replay
from tests.sim.system import System

PLAN = Plan(charges=read(ONE_DAY), population=populate(150, 5, 0.4, 1), turned_away=0.2)


async def terminal(driver: Driver) -> str:
    """What stands for a driver's long token here: its last 16 characters become the alias."""
    return f"{'0' * 400}{driver.name:>16}"


async def run(plan: Plan, system: System) -> dict[str, object]:
    system.refused = {f"{driver.name:>16}" for driver in plan.population.refused}
    async with system.run() as url:
        return await replay(plan, url, "secret", terminal, Tally())


async def test_every_charge_of_the_day_is_lived_once_to_the_wh() -> None:
    system = System()
    facts = await run(PLAN, system)
    assert (facts["sessions"], facts["energy_wh"], facts["unexpected"]) == (123, 1_535_847, [])
    assert len(system.ends) == 123
    assert facts["errors"] == 0


async def test_who_cannot_pay_leaves_no_session() -> None:
    system = System()
    facts = await run(PLAN, system)
    assert facts["turned_away"] != 0
    assert system.seen["StartTransaction"] + sum(1 for n in system.numbers.values() if 0 in n) == 123


async def test_frames_repeated_lost_and_out_of_order_leave_the_same_ends() -> None:
    faults = Faults(repeat=3, lose=0.1, reorder=0.5, cut=0.005, random=Random(5))
    calm, rough = System(), System()
    await run(PLAN, calm)
    facts = await run(dataclasses.replace(PLAN, faults=faults), rough)
    assert facts["unexpected"] == []
    assert facts["disagreed"] == 0
    assert _registers(rough) == _registers(calm)


def _registers(system: System) -> Counter[tuple[str, str]]:
    """What the ends of 1.6 and 2.x said, without the ids that the system gave in its own order."""
    told = Counter[tuple[str, str]]()
    for (station_id, _), end in system.ends.items():
        register = end.get("meterStop") or end["meterValue"][0]["sampledValue"][0]["value"]
        told[station_id, f"{end['timestamp']} {register}"] += 1
    return told


async def test_a_seed_repeats_the_run() -> None:
    one, again = System(), System()
    await run(PLAN, one)
    await run(PLAN, again)
    assert _registers(one) == _registers(again)


async def test_nobody_listening_is_said_in_a_sentence() -> None:
    with pytest.raises(CannotConnect, match="cannot reach"):
        await replay(PLAN, "ws://127.0.0.1:9/ocpp", None, terminal, Tally())


async def test_an_ordinary_day_is_charged_within_the_day() -> None:
    charges = day.charges(5, 1_563_969_600, seed=4)
    system = System()
    facts = await run(dataclasses.replace(PLAN, charges=charges, turned_away=0), system)
    assert facts["sessions"] == len(charges) > 4
    assert all(c.departure < 1_563_969_600 + 86_400 for c in charges)


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_a_charge_that_the_system_stops_ends_once_and_gives_no_more_energy(version: str) -> None:
    system = System()
    charge = Charge("one", "CA-303", "kim", 1_563_969_600, 1_563_969_600 + 20 * 3600, 20_000)

    def stop_at_the_second_reading(action: str, answer: Mapping[str, object]) -> Mapping[str, object]:
        if action == "MeterValues" and system.seen[action] == 2:
            number = next(iter(system.by_start.values()))
            spawn(system.ask(charge.station_id, "RemoteStopTransaction", {"transactionId": number}))
        if action == "TransactionEvent" and system.seen[action] == 3:
            ref = next(iter(system.numbers))
            spawn(system.ask(charge.station_id, "RequestStopTransaction", {"transactionId": ref}))
        return answer

    stops: list[asyncio.Task[None]] = []

    def spawn(ask: Coroutine[object, object, None]) -> None:
        stops.append(asyncio.create_task(ask))

    system.tamper = stop_at_the_second_reading
    plan = dataclasses.replace(PLAN, charges=[charge], versions=[version], turned_away=0, speed=36_000)
    facts = await run(plan, system)
    assert (facts["sessions"], facts["stopped"], facts["unexpected"]) == (1, 1, [])
    assert len(stops) == len(system.ends) == 1
    assert isinstance(facts["energy_wh"], int) and 0 < facts["energy_wh"] < 20_000
