"""Who rides on battery packs, where they come to swap them, and what there is to swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, Protocol

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.battery_station import Traits
from charge_points_sim.devices.pack import Pack
from charge_points_sim.faults import Faults

CAPACITY_WH = 1_500
RIDERS_PER_STATION = 3
SLOTS, FULL_SLOTS = 8, 6
STATE_EVERY_S = 600
PACKS_OF_A_SET = 2

Kind = Literal["plain", "charged_at_home", "foreign", "hesitates"]
KINDS: Sequence[Kind] = ("plain", "charged_at_home", "plain", "hesitates", "foreign", "plain")
"""What happens at the first, second ... swap of all; then it begins anew."""


@dataclass(frozen=True, slots=True)
class Trip:
    """
    A ride that takes `wh` of each pack, and the swap at its end; so many seconds after the one before.

    `home_wh` is what each pack was charged with at home before. `by_app`: asked for by an app, where there is one.
    """

    rider: int
    kind: Kind
    pause_s: int
    wh: int
    home_wh: int = 0
    by_app: bool = False


@dataclass(slots=True)
class Rider:
    """A driver with a card, and the packs in the driver's vehicle: `wanted` of them once they are rented."""

    driver: str
    token: str
    wanted: int = 1
    by_app: bool = False
    packs: list[Pack] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SwapPlan:
    """
    What happens: `riders` who each rent their packs, make `trips`, and give the packs back in the end.

    `stations` (`SIM-B001` ...) have `SLOTS` slots, `FULL_SLOTS` of them full. `follow`: the first sets the clock to
    what the system tells it; otherwise it is `start`.
    """

    riders: Sequence[Rider]
    trips: Sequence[Trip]
    start: int
    follow: bool = False
    versions: Sequence[str] = tuple(DEVICES)
    speed: float | None = None
    seed: int = 1
    faults: Faults = field(default_factory=Faults)
    traits: Traits = field(default_factory=lambda: Traits(state_every_s=STATE_EVERY_S))

    @property
    def stations(self) -> list[str]:
        """One more than the riders fill, so that packs come back elsewhere; two for riders of yours."""
        return [f"SIM-B{n:03d}" for n in range(1, 2 + max(1, -(-len(self.riders) // RIDERS_PER_STATION)))]

    def packs(self) -> dict[str, dict[int, Pack]]:
        """Station -> slot -> the pack in it. Drawn anew each time: packs are used up."""
        made: dict[str, dict[int, Pack]] = {}
        random = Random(f"packs {self.seed}")
        for n, station in enumerate(self.stations):
            made[station] = {}
            for u in range(1, FULL_SLOTS + 1):
                serial = f"SIM-K{n * FULL_SLOTS + u:03d}"
                soc, soh = random.randrange(9_200, 10_000), random.randrange(8_500, 10_001)
                used = random.randrange(200_000)
                made[station][u] = Pack(
                    serial=serial, capacity_wh=CAPACITY_WH, soc=soc, soh=soh, cycles=used // CAPACITY_WH,
                    discharge_wh=used, charge_wh=used + soc * soh * CAPACITY_WH // 10**8,
                )  # fmt: skip
        return made

    def version(self, number: int) -> str:
        """Versions go round."""
        return self.versions[number % len(self.versions)]


@dataclass(slots=True)
class SwapTally:
    """How far it is. `unexpected` lists, in words, what should not have happened."""

    rented: int = 0
    """Packs that were taken without one that was brought."""
    swaps: int = 0
    packs: int = 0
    """Packs that were taken for one that was brought."""
    ridden_wh: int = 0
    charged_at_home_wh: int = 0
    given_back: int = 0
    """Packs that nobody knew, and that were taken out again."""
    not_taken: int = 0
    """Swaps whose packs nobody took in time."""
    returned: int = 0
    jams: int = 0
    unexpected: list[str] = field(default_factory=list)


class SwapApp(Protocol):
    """What an app of riders asks of the system. `now` is when, in epoch seconds. Raises `RestError`."""

    async def rent(self, rider: Rider, station: str, now: int) -> str:
        """Rents any pack of a station; the rental's id."""

    async def swap(self, rider: Rider, station: str, count: int, now: int) -> None:
        """Wants so many packs for as many that are brought: slots are unlocked for them."""

    async def give_back(self, rider: Rider, pack: str, station: str, now: int) -> None:
        """Wants a slot opened to put a pack into for good; it is named by its code."""

    async def state(self, rental: str) -> str:
        """How a rental stands."""


def riders(count: int, seed: int, trips_each: int = 2) -> tuple[list[Rider], list[Trip]]:
    """`count` riders, every third with a set of two packs, every other with an app; and their trips, in order."""
    made: list[Rider] = []
    trips: list[Trip] = []
    for number in range(count):
        random = Random(f"rider {seed} {number}")
        wanted = PACKS_OF_A_SET if number % 3 == 2 else 1
        token = f"04{random.getrandbits(48):012X}"
        made.append(Rider(f"rider-{number + 1:03d}", token, wanted, by_app=number % 2 == 1))
    for number in range(count * trips_each):
        random, rider = Random(f"trip {seed} {number}"), number % count
        kind = KINDS[number % len(KINDS)]
        if made[rider].wanted > 1 and kind == "foreign":
            kind = "plain"  # of two packs one would be exchanged
        trip = Trip(rider, kind, random.randrange(600, 3_600), random.randrange(200, 1_200))
        if kind == "charged_at_home":
            trip = replace(trip, home_wh=random.randrange(100, 600))
        alone = made[rider].wanted == 1 and kind == "plain"
        trips.append(replace(trip, by_app=made[rider].by_app and alone))
    return made, trips
