"""Vehicles that ask for vouchers: each has a station, a driver with a card, and a habit of charging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.scenarios.drivers import Driver

SITE = "vouchers"
DAY_S, HOUR_S = 86_400, 3_600
MONDAY_S = 4 * DAY_S
"""The first Monday of 1970."""
BEFORE_WEEKS, AFTER_WEEKS = 4, 2
"""Weeks of charging before a vehicle asks, and with what it bought."""
ASKS_BEFORE_S = HOUR_S


class Habit(NamedTuple):
    """On these weekdays (0 is Monday), from about this hour (UTC), for so long, about so much energy."""

    name: str
    weekdays: Sequence[int]
    hour: int
    hours: int
    wh: int


HABITS = (
    Habit("by night", range(5), 22, 3, 8_000),
    Habit("at weekends", range(5, 7), 14, 5, 20_000),
    Habit("at work", range(5), 8, 6, 6_000),
)
"""Vehicles take them in turn."""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """`evccid` is what the vehicle shows of itself to its station."""

    station: str
    driver: Driver
    evccid: str
    habit: Habit


@dataclass(frozen=True, slots=True)
class VoucherPlan:
    """
    Who asks, and how it is lived. `follow`: it begins when the system says that it is, not at `start`.

    A vehicle waits `delivery_s_max` seconds of the wall for what it bought; once one waited in vain, no other does.
    """

    vehicles: Sequence[Vehicle]
    start: int
    follow: bool = False
    versions: Sequence[str] = tuple(DEVICES)
    speed: float | None = None
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    delivery_s_max: float = 10.0


def vehicles(count: int, seed: int) -> list[Vehicle]:
    """So many vehicles, at stations `SIM-V001`, `SIM-V002`, ..."""
    random = Random(f"vehicles {seed}")
    return [
        Vehicle(
            f"SIM-V{number:03}",
            Driver(f"vehicle-{number:03}", "balance", f"{random.getrandbits(56):014X}"),
            f"{random.getrandbits(48):012X}",
            HABITS[(number - 1) % len(HABITS)],
        )
        for number in range(1, count + 1)
    ]


def charges(vehicle: Vehicle, start: int, seed: int) -> tuple[list[Charge], list[Charge]]:
    """A vehicle's charges from the first Monday after `start` on: before it asks, and after."""
    random, habit = Random(f"{seed} {vehicle.station}"), vehicle.habit
    monday = start + (MONDAY_S - start) % (7 * DAY_S)
    found: tuple[list[Charge], list[Charge]] = ([], [])
    for day in range(7 * (BEFORE_WEEKS + AFTER_WEEKS)):
        if day % 7 in habit.weekdays:
            at = monday + day * DAY_S + habit.hour * HOUR_S + random.randrange(HOUR_S)
            wh = habit.wh * random.randrange(90, 111) // 100
            name = f"{vehicle.station}-{day:02}"
            found[day >= 7 * BEFORE_WEEKS].append(
                Charge(SITE, vehicle.station, name, at, at + habit.hours * HOUR_S, wh)
            )
    return found
