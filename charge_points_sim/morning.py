"""
Six riders on a morning at battery stations, told as it happens by what the system says of each.

One pays the energy by a voucher, one has too little money, one brings a pack that nobody knows. Two ride away in the
end, the others give their packs back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from charge_points_sim.agreement import Finding, money
from charge_points_sim.devices.battery_station import BatteryStation, Traits
from charge_points_sim.lending_act import Stage
from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.exchange import Town, ready
from charge_points_sim.scenarios.hours import until
from charge_points_sim.scenarios.opening import WALL_S_MAX, WentWrong
from charge_points_sim.scenarios.riders import Rider, SwapPlan, Trip, riders
from charge_points_sim.swapped import Ride

NAMES = ("gus", "hana", "ivy", "jon", "kim", "leo")
SEED = 7
SAVER, POOR, STRANGE = "jon", "kim", "leo"
"""Who has a voucher, who has too little money, and who brings a pack that nobody knows."""
KEEPING = ("hana", "leo")
"""They ride away with their packs."""
SPARE_MINOR, PAID_IN_MINOR = 50, 5_00
"""What the poor one has beside what is held for a pack, and what is paid in at the station."""
MORNING_S, DAY_S = 14 * 3_600, 86_400
"""Seven o'clock in California, in UTC."""
HOME_S, HOME_WH = 1_200, 350
"""The last ride of those who give their packs back."""


def make_plan(start: int) -> SwapPlan:
    """Six riders, one with a set of two packs, and three stations, one per version."""
    made, _ = riders(len(NAMES), SEED)
    named = [replace(rider, driver=name, wanted=1 + (name == "ivy")) for rider, name in zip(made, NAMES, strict=True)]
    app = [number for number, rider in enumerate(named) if rider.by_app]
    trips = [
        Trip(0, "plain", 1_500, 920),
        Trip(1, "plain", 1_200, 760, by_app=1 in app),
        Trip(3, "plain", 1_800, 1_130, by_app=3 in app),
        Trip(5, "foreign", 900, 410),
        Trip(2, "plain", 1_500, 840),
        Trip(4, "plain", 1_300, 980),
        Trip(3, "plain", 1_200, 690, by_app=3 in app),
    ]
    traits = Traits(state_every_s=1_800)
    return SwapPlan(named, trips, start, follow=True, seed=SEED, traits=traits)


class Morning:
    """What happened so far: what packs gave on whose rides, and what was seen and must be so."""

    def __init__(self, stage: Stage, town: Town) -> None:
        self.stage = stage
        self.town = town
        self.rides: list[Ride] = []
        self.seen: list[Finding] = []
        slots = [slot for station in town.stations.values() for slot in station.slots.values()]
        self.packs = [slot.pack for slot in slots if slot.pack is not None]
        self._given = {pack.code: pack.discharge_wh for pack in self.packs}

    def note(self, rider: Rider) -> int:
        """Writes down what this rider took out of which packs since the last note; the Wh."""
        rode = [Ride(rider.driver, pack.code, pack.discharge_wh - self._given[pack.code]) for pack in self.packs]
        rode = [ride for ride in rode if ride.wh]
        self._given = {pack.code: pack.discharge_wh for pack in self.packs}
        self.rides += rode
        return sum(ride.wh for ride in rode)


async def live(morning: Morning) -> None:
    """The morning itself."""
    town, terminal = morning.town, morning.stage.terminal
    await town.hours.wait((MORNING_S - town.hours()) % DAY_S)
    for trip in town.plan.trips:
        rider = town.riders[trip.rider]
        await morning.stage.social.set_clock(town.hours())
        act = {POOR: _come_short, STRANGE: _bring_a_strange_one}.get(rider.driver, _swap)
        await act(morning, rider, trip)
        if town.tally.unexpected:
            return
    await town.pass_time(HOME_S)
    for rider in town.riders:
        if rider.driver not in KEEPING:
            town.ride(rider, Trip(0, "plain", 0, HOME_WH))
            morning.note(rider)
            await town.give_back(rider)
    await town.pass_time(2 * town.plan.traits.state_every_s)  # a pack that came back says how it is
    away = " and ".join(name.title() for name in KEEPING)
    terminal.step(f"{away} keep their packs; the others ride {HOME_WH / 1000:.2f} kWh more, and give theirs back")


async def _swap(morning: Morning, rider: Rider, trip: Trip) -> None:
    """A rider swaps, and it is told as the system knows it."""
    had = bool(rider.packs)
    await morning.town.trip(trip)
    wh = morning.note(rider)
    if morning.town.tally.unexpected:
        return
    rest = morning.stage.rest
    swap = await _swap_of(rest, rider.driver)
    brought, got = _named(swap["packs_in"]), _named(swap["packs_out"])
    taken = [await rest.get(f"/rentals/{pack['rental']}") for pack in swap["packs_in"]]
    origin = " and ".join(sorted({str(rental["station"]) for rental in taken}))
    first = "rides on with" if had else "takes"
    by_app = "" if swap["asked_by"] == "at the station" else " by app"
    morning.stage.terminal.step(
        f"{rider.driver.title():4}  {first} {brought} from {origin}, {wh / 1000:.2f} kWh, swaps{by_app} at "
        f"{swap['station']} for {got}"
    )


async def _come_short(morning: Morning, rider: Rider, trip: Trip) -> None:
    """A rider whose money is too little: the own pack is offered back, until there is more money."""
    rest, town, terminal, name = morning.stage.rest, morning.town, morning.stage.terminal, rider.driver.title()
    await town.rent(rider)
    await town.pass_time(trip.pause_s)
    town.ride(rider, trip)
    wh, own = morning.note(rider), rider.packs[0]
    origin = (await rest.all(f"/rentals?driver={rider.driver}"))[0]["station"]
    others = [one for name, one in town.stations.items() if name != origin and one.empty]
    station = max(others, key=lambda one: len(ready(one)))
    rid, _ = await town.insert(rider, station, [own])
    offered = await _offered(station, rid)
    swap, bills = await _swap_of(rest, rider.driver), await rest.all(f"/bills?driver={rider.driver}")
    short = swap["state"] == "awaiting_payment" and offered == [own.code] and not bills
    terminal.step(
        f"{name:4}  takes {own.code} from {origin}, {wh / 1000:.2f} kWh, pushes it into {station.station.id}: "
        f"{swap['reason']}, no bill, it is offered back"
    )
    await _pay_in(rest, rider)
    await town.hours.wait(town.plan.traits.take_s + 1)
    await town.doors.attend(station)  # what is offered back, and was not taken, is locked again
    offered = await _offered(station, rid)
    bills = await rest.all(f"/bills?driver={rider.driver}")
    rider.packs = [await town.take(station, u) for u in station.offered(rid)]
    terminal.step(
        f"{name:4}  pays in {money(PAID_IN_MINOR)} standing there: {_cost(bills)} are billed, {offered[0]} comes out"
    )
    morning.seen.append(
        Finding(
            short and len(bills) == 1 and own.code not in offered and len(offered) == 1,
            f"{name} was billed nothing and handed nothing before there was money for it; then both, once",
        )
    )


async def _bring_a_strange_one(morning: Morning, rider: Rider, trip: Trip) -> None:
    """A rider who rides on an own pack, and pushes in one that nobody knows."""
    rest, before = morning.stage.rest, morning.town.tally.given_back
    await morning.town.trip(trip)
    morning.note(rider)
    if morning.town.tally.unexpected:
        return
    swap = (await rest.all("/swaps?state=returned"))[0]
    serial = next(one["details"]["item"] for one in await rest.all("/exceptions") if one["kind"] == "item_unknown")
    morning.stage.terminal.step(
        f"{rider.driver.title():4}  pushes {serial} into {swap['station']}, a pack that nobody knows: BatteryUnknown, "
        "it comes out again"
    )
    given = morning.town.tally.given_back - before
    morning.seen.append(
        Finding(
            given == 1 and not swap["packs_out"], f"for {serial} nothing came out but itself, and nobody was billed"
        )
    )


async def _offered(station: BatteryStation, rid: int) -> list[str]:
    """What comes out for a swap, waited for."""
    if not await until(lambda: bool(station.offered(rid)), WALL_S_MAX):
        raise WentWrong(f"{station.station.id} offered nothing for swap {rid}")
    packs = [station.slots[u].pack for u in station.offered(rid)]
    return [pack.code for pack in packs if pack is not None]


async def _swap_of(rest: Rest, driver: str) -> dict[str, Any]:
    """A rider's newest swap."""
    return (await rest.all(f"/swaps?driver={driver}"))[0]


async def _pay_in(rest: Rest, rider: Rider) -> None:
    key = f"at-the-station-{rider.token}"
    body = {"amount": {"currency": CURRENCY, "minor": PAID_IN_MINOR}, "psp": "card", "payment_ref": key}
    await rest.post(f"/drivers/{rider.driver}/top-ups", body, key=key)


def _named(packs: Sequence[dict[str, Any]]) -> str:
    return " and ".join(str(pack["item"]) for pack in packs)


def _cost(bills: Sequence[dict[str, Any]]) -> str:
    return money(sum(int(bill["total"]["minor"]) for bill in bills))
