"""The town of battery stations over real sockets: every pack is where the system believes it, whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from random import Random
from typing import Any

import pytest

from charge_points_sim.connection import CannotConnect
from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.run import main, parser, riding
from charge_points_sim.scenarios.hours import until
from charge_points_sim.scenarios.riders import SwapPlan, riders
from charge_points_sim.scenarios.stand_in import wait
from charge_points_sim.scenarios.swap import describe, facts, opened, ride
from tests.sim.swapper import Swapper, SwapperApp

AT = 1_770_000_000
PLAN = SwapPlan(*riders(3, seed=1), AT)
WANTED = sum(rider.wanted for rider in PLAN.riders)


async def run(plan: SwapPlan, swapper: Swapper, *, with_app: bool = False) -> dict[str, Any]:
    """Lives through the plan; checks that every pack is where the system believes it to be."""
    swapper.now = plan.start
    async with swapper.run() as url:
        async with opened(plan, url, "secret", SwapperApp(swapper) if with_app else None) as town:
            for trip in plan.trips:
                await town.trip(trip)
            for rider in town.riders:
                await town.give_back(rider)
        really = {
            name: {u: None if slot.pack is None else slot.pack.serial for u, slot in station.slots.items()}
            for name, station in town.stations.items()
        }
        assert swapper.doors == really
        return facts(town)


def promised(plan: SwapPlan) -> dict[str, int]:
    """What must come of a plan in which nothing jams."""
    wanted = [plan.riders[trip.rider].wanted for trip in plan.trips]
    kinds = [trip.kind for trip in plan.trips]
    swapped = [count for count, kind in zip(wanted, kinds, strict=True) if kind in ("plain", "charged_at_home")]
    late = [count for count, kind in zip(wanted, kinds, strict=True) if kind == "hesitates"]
    return {
        "swaps": len(swapped),
        "packs": sum(swapped),
        "not_taken": len(late),
        "rented": sum(rider.wanted for rider in plan.riders) + sum(late),
        "given_back": kinds.count("foreign"),
        "returned": sum(rider.wanted for rider in plan.riders),
    }


@pytest.mark.parametrize("with_app", [False, True], ids=["by card", "by app"])
@pytest.mark.parametrize("version", DEVICES)
async def test_packs_are_rented_swapped_and_returned(version: str, with_app: bool) -> None:
    swapper = Swapper()
    plan = dataclasses.replace(PLAN, versions=[version])
    told = await run(plan, swapper, with_app=with_app)
    assert (told["unexpected"], told["given_up"], told["errors"]) == ([], 0, 0)
    assert {name: told[name] for name in promised(plan)} == promised(plan)
    assert told["ridden_wh"] > 0 < told["charged_at_home_wh"]
    assert {trip.kind for trip in plan.trips} == {"plain", "charged_at_home", "hesitates", "foreign"}
    assert "swaps" in describe(told)


@pytest.mark.parametrize("version", DEVICES)
async def test_a_swap_tells_the_same_steps_on_every_version(version: str) -> None:
    first, other = Swapper(), Swapper()
    await run(dataclasses.replace(PLAN, versions=["1.6"]), first)
    await run(dataclasses.replace(PLAN, versions=[version]), other)
    assert [(m.what, m.station, m.packs) for m in other.moved] == [(m.what, m.station, m.packs) for m in first.moved]


async def test_lost_doubled_late_and_cut_frames_and_jams_lose_no_pack() -> None:
    faults = Faults(repeat=2, lose=0.1, reorder=0.3, cut=0.01, jam=0.15, random=Random(7))
    swapper = Swapper()
    plan = SwapPlan(*riders(4, seed=7), AT, faults=faults)  # a station of each version
    told = await run(plan, swapper, with_app=True)
    assert told["unexpected"] == []
    assert told["jams"] > 0 < told["answers_lost"]
    serials = [serial for doors in swapper.doors.values() for serial in doors.values() if serial]
    assert len(set(serials)) == len(serials) >= 18 - WANTED


async def test_a_seed_repeats_the_town() -> None:
    one, again = Swapper(), Swapper()
    await run(PLAN, one)
    await run(PLAN, again)
    assert one.moved == again.moved and one.events.keys() == again.events.keys()


async def test_two_packs_of_a_set_go_in_with_one_event() -> None:
    swapper = Swapper()
    await run(dataclasses.replace(PLAN, versions=["2.1"]), swapper)
    sizes = Counter(len(moved.packs) for moved in swapper.moved if moved.what == "in")
    assert sizes[2] == sum(PLAN.riders[trip.rider].wanted == 2 for trip in PLAN.trips)


async def test_nobody_listening_is_said_in_a_sentence() -> None:
    with pytest.raises(CannotConnect, match="cannot reach"):
        await ride(PLAN, "ws://127.0.0.1:9/ocpp", None)


def test_riders_come_in_the_order_of_the_seed() -> None:
    asked = ["--scenario", "swap", "--count", "4", "--version", "2.1", "--seed", "9"]
    plan, again = (riding(parser().parse_args([*asked, "--start", "2026-01-05T09:00:00Z"])) for _ in range(2))
    assert (plan.trips, plan.riders) == (again.trips, again.riders)
    assert (plan.versions, plan.follow, len(plan.riders), plan.stations) == (
        ("2.1",),
        False,
        4,
        ["SIM-B001", "SIM-B002", "SIM-B003"],
    )


def test_the_command_needs_no_rider_and_no_fewer(capsys: pytest.CaptureFixture[str]) -> None:
    assert not riding(parser().parse_args(["--scenario", "swap", "--count", "0"])).riders
    assert main(["--scenario", "swap", "--count", "-1"]) == 2
    assert "at least 0" in capsys.readouterr().err


async def test_somebody_stands_in_for_riders_who_rent_and_swap_by_rest() -> None:
    swapper, said = Swapper(), list[str]()
    swapper.now, app = AT, SwapperApp(swapper)
    plan = dataclasses.replace(PLAN, riders=(), trips=(), versions=["2.0.1"])
    rider = PLAN.riders[0]

    async def heard(*words: str) -> str:
        assert await until(lambda: any(all(word in text for word in words) for text in said), 10), said
        return next(text for text in said if all(word in text for word in words))

    async with swapper.run() as url:
        waiting = asyncio.create_task(wait(plan, url, "secret", said.append))
        assert await until(lambda: len(swapper.doors) == len(plan.stations) == 2, 5)
        await heard("SIM-B002: 8 slots")
        await app.rent(rider, "SIM-B001", AT)
        pack = (await heard("SIM-B001:", "is taken out of slot")).split()[1]
        await app.swap(rider, "SIM-B002", 1, swapper.now)
        await heard(f"SIM-B002: {pack} is pushed into slot 7")
        got = (await heard("SIM-B002:", "is taken out of slot")).split()[1]
        await app.give_back(rider, got, "SIM-B001", swapper.now)
        await heard(f"SIM-B001: {got} is pushed into slot")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert swapper.doors["SIM-B002"][7] == pack and got in swapper.doors["SIM-B001"].values()


@pytest.mark.parametrize(("error", "taken_back"), [("NoCredit", False), ("BatteryUnknown", True)])
async def test_who_stands_in_leaves_a_pack_that_is_only_not_paid_for(error: str, taken_back: bool) -> None:
    swapper, said = Swapper(), list[str]()
    swapper.now = AT
    plan = dataclasses.replace(PLAN, riders=(), trips=(), versions=["2.1"])
    async with swapper.run() as url:
        waiting = asyncio.create_task(wait(plan, url, "secret", said.append))
        assert await until(lambda: any(text.startswith("SIM-B002: 8 slots") for text in said), 5)
        await swapper.order("SIM-B001", "Battery.Return", {"rid": 5, "u": [3], "err": error})
        assert f"SIM-B001: slot 3 offers its pack back: {error}" in said
        assert taken_back == await until(lambda: any("is taken out of slot 3" in text for text in said), 5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
