"""
Vehicles that charge for some weeks, ask for vouchers through their stations, buy the first one offered, and use it.

All by DataTransfer of stations (`Voucher.Inquire`, `Voucher.Purchase`), on every version; what was bought is handed
over to the vehicle by `Voucher.Deliver`. With REST (`Desk`) they wait until the system has looked at how they charged,
and what came of it is told.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from charge_points_sim.agreement import money
from charge_points_sim.connection import Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.device import Payload
from charge_points_sim.devices.handover import Handover
from charge_points_sim.fleet import Fleet
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.scenarios.drivers import Driver, Population
from charge_points_sim.scenarios.replay import Errand, Plan, Tally, replay
from charge_points_sim.scenarios.telling import frames
from charge_points_sim.scenarios.vehicles import ASKS_BEFORE_S, Vehicle, VoucherPlan, charges
from charge_points_sim.station import Station
from charge_points_sim.times import wire


class Used(NamedTuple):
    """What was taken of a driver's vouchers: units, what they earned, and what that saved, in minor units."""

    units: int
    released_minor: int
    saved_minor: int


class Desk(Protocol):
    """What a system's REST interface tells."""

    async def known(self, vehicle: Vehicle, sessions: int) -> bool:
        """Waits until so many sessions are known of how its driver charges; False if that takes too long."""

    async def used(self, vehicle: Vehicle) -> Used:
        """What became of its driver's vouchers."""


@dataclass(slots=True)
class Trade:
    """What was offered and bought so far, by name; `unexpected` says in words what should not have happened."""

    inquiries: int = 0
    offered: Counter[str] = field(default_factory=Counter)
    bought: Counter[str] = field(default_factory=Counter)
    paid_minor: int = 0
    unexpected: list[str] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """Of the vouchers that were bought, by id."""
    wait_s: float = 0.0
    """So long what is bought is waited for; nothing is any more, once one did not come in time."""

    @property
    def delivered(self) -> Counter[str]:
        """What was handed over of what was bought, by name, until now."""
        ids = {id for handover in self.handovers for id in handover.delivered}
        return Counter(name for id, name in self.names.items() if id in ids)


async def trade(plan: VoucherPlan, url: str, password: str | None, desk: Desk | None = None) -> dict[str, Any]:
    """Lives through it against the system at `url`; answers the facts. Raises `CannotConnect`."""
    start = await _now(plan, url, password) if plan.follow else plan.start
    done = Trade(wait_s=plan.delivery_s_max)
    facts = await replay(_lived(plan, start, done, desk), url, password, _no_token, Tally())
    facts |= {
        "inquiries": done.inquiries,
        "offered": dict(sorted(done.offered.items())),
        "bought": dict(sorted(done.bought.items())),
        "delivered": dict(sorted(done.delivered.items())),
        "paid_minor": done.paid_minor,
        "unexpected": [*facts["unexpected"], *done.unexpected],
    }
    if desk is not None:
        used = [await desk.used(vehicle) for vehicle in plan.vehicles]
        facts["used_wh"] = sum(one.units for one in used)
        facts["released_minor"] = sum(one.released_minor for one in used)
        facts["saved_minor"] = sum(one.saved_minor for one in used)
    return facts


def _lived(plan: VoucherPlan, start: int, done: Trade, desk: Desk | None) -> Plan:
    """All charges, each by the driver of its vehicle; each vehicle asks before its first charge after four weeks."""
    lived: list[Charge] = []
    drivers: dict[str, Driver] = {}
    errands: dict[str, Errand] = {}
    for vehicle in plan.vehicles:
        before, after = charges(vehicle, start, plan.seed)
        lived += [*before, *after]
        drivers |= {charge.session_id: vehicle.driver for charge in (*before, *after)}
        asks = after[0].arrival - ASKS_BEFORE_S
        errands[after[0].session_id] = Errand(asks, partial(_buy, done, vehicle, asks, len(before), desk))
    lived.sort(key=lambda charge: (charge.arrival, charge.station_id))
    population = Population(tuple(vehicle.driver for vehicle in plan.vehicles), ())
    return Plan(
        lived, population, plan.versions, plan.speed, plan.seed, faults=plan.faults, drivers=drivers, errands=errands
    )


async def _now(plan: VoucherPlan, url: str, password: str | None) -> int:
    """What the system says that the time is, to the first station."""
    first = plan.vehicles[0].station
    probe = Station(first, DEVICES[plan.versions[0]], new_ref=lambda: "", clock=lambda: plan.start)
    async with Fleet([probe], url, password, plan.seed):
        return plan.start - probe.drift_s


async def _buy(
    done: Trade, vehicle: Vehicle, now: int, sessions: int, desk: Desk | None, connection: Connection
) -> None:
    """A vehicle asks at its station, takes the first offer, and waits there for its voucher."""
    came = asyncio.Event()
    there = {"EVCCID": vehicle.evccid}
    done.handovers.append(Handover(connection.station, there, lambda id: came.set()))
    if desk is not None and not await desk.known(vehicle, sessions):
        done.unexpected.append(f"nothing was known in time of how {vehicle.driver.name} charges")
    done.inquiries += 1
    asked = f"ask-{now:010}"
    offers = await _say(done, connection, "Voucher.Inquire", vehicle, now, {"id": asked})
    if not offers or not offers.get("offers"):
        done.unexpected.append(f"{vehicle.driver.name} was offered nothing")
        return
    done.offered.update(offer["name"] for offer in offers["offers"])
    best = offers["offers"][0]
    wish = {"id": f"buy-{now:010}", "inquiry": asked, "offer": best["offer"]}
    bought = await _say(done, connection, "Voucher.Purchase", vehicle, now, wish)
    if bought is not None:
        done.bought[best["name"]] += 1
        done.paid_minor += bought["bill"]["fee"]
        if bought["bill"]["fee"] != best["fee"]:
            done.unexpected.append(f"{vehicle.driver.name} paid {bought['bill']['fee']}, not {best['fee']}")
        done.names[bought["bill"]["ref"]] = best["name"]
        try:
            await asyncio.wait_for(came.wait(), done.wait_s)
        except TimeoutError:
            done.wait_s = 0.0


async def _say(
    done: Trade, connection: Connection, message: str, vehicle: Vehicle, now: int, more: Mapping[str, Any]
) -> Payload | None:
    """The answer's data; None, and said so, if the station was refused. A message keeps its id until it is answered."""
    body = {"v": 1, "ts": wire(now), "vehicle": {"type": "EVCCID", "value": vehicle.evccid}, **more}
    answer: tuple[bool, Payload] = await connection.insist(partial(connection.station.transfer, message, body))
    accepted, data = answer
    if not accepted:
        done.unexpected.append(f"{message} of {vehicle.driver.name} was refused: {data.get('err')}")
    return data if accepted else None


async def _no_token(driver: Driver) -> str:
    raise AssertionError(f"{driver.name} has a card")


def describe(facts: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [
        f"sessions: {facts['sessions']}, {facts['energy_wh'] / 1000:.3f} kWh; {facts['inquiries']} vehicles asked",
        f"offered: {_counts(facts['offered'])}",
        f"bought: {_counts(facts['bought'])}, for {money(facts['paid_minor'])}",
        f"delivered to the vehicles: {_counts(facts['delivered'])}",
    ]
    if "used_wh" in facts:
        lines.append(
            f"used: {facts['used_wh'] / 1000:.3f} kWh, {money(facts['released_minor'])} of the price earned by it; "
            f"saved beside that: {money(facts['saved_minor'])}"
        )
    lines.append(frames(facts))
    return "\n".join(lines + [f"unexpected: {text}" for text in facts["unexpected"]])


def _counts(names: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in names.items()) or "nothing"
