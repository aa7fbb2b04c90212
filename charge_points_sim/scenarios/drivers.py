"""Who charges: a seeded population of drivers, and which of them comes to which charge."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from charge_points_sim.scenarios.charge import Charge

REST_S = 1800
"""A driver who left comes again after so long at the earliest: no driver charges twice at once."""


@dataclass(frozen=True, slots=True)
class Driver:
    """`means` social: known to the social-payment server by `name`. balance: a local token `token`, prepaid."""

    name: str
    means: Literal["social", "balance"]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Population:
    """Drivers who pay, and drivers whom the social-payment server refuses."""

    paying: tuple[Driver, ...]
    refused: tuple[Driver, ...]


def populate(size: int, refused: int, balance_share: float, seed: int) -> Population:
    """`size` paying drivers, of whom `balance_share` (0 to 1) pay from a prepaid balance; `refused` more do not pay."""
    random = Random(f"drivers {seed}")
    paying = []
    for number in range(1, size + 1):
        if random.random() < balance_share:
            paying.append(Driver(f"driver-{number:04d}", "balance", f"{random.getrandbits(56):014X}"))
        else:
            paying.append(Driver(f"driver-{number:04d}", "social"))
    turned_away = tuple(Driver(f"stranger-{number:03d}", "social") for number in range(1, refused + 1))
    return Population(tuple(paying), turned_away)


def assign(charges: Sequence[Charge], population: Population, seed: int) -> dict[str, Driver]:
    """Session id of the CSV -> driver: whoever has rested longest, with some chance."""
    random = Random(f"charges {seed}")
    resting = deque((0, driver) for driver in random.sample(population.paying, len(population.paying)))
    chosen: dict[str, Driver] = {}
    for charge in charges:
        for _ in range(random.randrange(4)):
            resting.rotate(-1)
        for _ in range(len(resting)):
            free_at, driver = resting.popleft()
            if free_at <= charge.arrival:
                break
            resting.append((free_at, driver))
        else:
            raise ValueError(f"{len(population.paying)} drivers are too few: all charge at once; take more drivers")
        chosen[charge.session_id] = driver
        resting.append((charge.departure + REST_S, driver))
    return chosen
