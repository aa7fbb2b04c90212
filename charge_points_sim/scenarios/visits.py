"""Who rents a portable charger, when and for how long; and what there is to rent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults

POWER_W = 3_500
OUTLETS = 5
BEGAN = 1_420_070_400
"""Cabinets are not new: they count their events since 2015, about one a second, so that a later run goes on above."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One rental: a driver's card, minutes and Wh of the charge, and the tag of the outlet in which it happens."""

    driver: str
    token: str
    pause_s: int
    """How long after the driver before."""
    minutes: int
    wh: int
    outlet: str
    by_app: bool = False
    """Rents and returns by an app, if there is one; otherwise by the card at the lock."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What happens: `cabinets` (`SIM-L001` ...) with `doors` doors each, half of them full (`SIM-P001` ...).

    `follow`: the first cabinet sets the clock to what the system tells it; otherwise it is `start`.
    """

    visits: Sequence[Visit]
    start: int
    follow: bool = False
    cabinets: int = 2
    doors: int = 6
    versions: Sequence[str] = tuple(DEVICES)
    speed: float | None = None
    seed: int = 1
    faults: Faults = field(default_factory=Faults)

    def items(self) -> dict[str, dict[int, str]]:
        """Station id of each cabinet -> door -> code of the charger in it."""
        full = self.doors // 2
        return {
            f"SIM-L{n + 1:03d}": {u: f"SIM-P{n * full + u:03d}" for u in range(1, full + 1)}
            for n in range(self.cabinets)
        }

    def version(self, number: int) -> str:
        """Versions go round."""
        return self.versions[number % len(self.versions)]


@dataclass(slots=True)
class Tally:
    """How far it is. `unexpected` lists, in words, what should not have happened."""

    rentals: int = 0
    energy_wh: int = 0
    jams: int = 0
    returned_elsewhere: int = 0
    unexpected: list[str] = field(default_factory=list)


def visits(count: int, seed: int) -> list[Visit]:
    """`count` drivers who come one after the other, each with a card of their own."""
    made = []
    for number in range(1, count + 1):
        random = Random(f"borrower {seed} {number}")
        minutes = random.randrange(20, 240)
        wh = POWER_W * minutes // 60 * random.randrange(30, 95) // 100
        token, outlet = f"04{random.getrandbits(48):012X}", f"OUTLET-{random.randint(1, OUTLETS)}"
        made.append(
            Visit(f"borrower-{number:03d}", token, random.randrange(60, 1800), minutes, wh, outlet, number % 2 == 0)
        )
    return made
