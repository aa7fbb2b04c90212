"""Vehicles that ask for vouchers through their stations: each asks and buys once, and says what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults
from charge_points_sim.run import buying, parser
from charge_points_sim.scenarios.vehicles import (
    AFTER_WEEKS,
    BEFORE_WEEKS,
    DAY_S,
    Vehicle,
    VoucherPlan,
    charges,
    vehicles,
)
from charge_points_sim.scenarios.voucher import Used, describe, trade
from charge_points_sim.station import ASSETS
from charge_points_sim.times import epoch, wire
from tests.sim.system import System

START = epoch("2026-01-05T06:00:00Z")
PLAN = VoucherPlan(vehicles(3, 1), START)
OFFERS = [{"offer": "best", "name": "nights", "fee": 395, "currency": "USD"},
          {"offer": "other", "name": "50 kWh", "fee": 1_250, "currency": "USD"}]  # fmt: skip


class Shop(System):
    """Offers two vouchers, asks `fee` for what is bought, and `delivers` it, if it does; `err` refuses it."""

    def __init__(self, fee: int = 395, err: str | None = None, delivers: bool = True) -> None:
        super().__init__()
        self.said: list[tuple[str, str, Mapping[str, Any]]] = []
        self.fee, self.err, self.delivers = fee, err, delivers
        self.work: set[asyncio.Task[None]] = set()

    def answer(self, station_id: str, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """As a system does that sells vouchers."""
        if action != "DataTransfer":
            return super().answer(station_id, action, payload)
        as_text = isinstance(payload["data"], str)
        body = json.loads(payload["data"]) if as_text else payload["data"]
        self.said.append((station_id, payload["messageId"], body))
        told: dict[str, Any] = {"v": 1, "id": body["id"]}
        status = "Accepted"
        if payload["messageId"] == "Voucher.Inquire":
            told["offers"] = OFFERS
        elif self.err is None:
            told["bill"] = {"ref": f"bought-at-{station_id}", "fee": self.fee, "currency": "USD"}
            if self.delivers:
                self.work.add(asyncio.create_task(self.deliver(station_id, body, as_text)))
        else:
            told["err"], status = self.err, "Rejected"
        return {"status": status, "data": json.dumps(told) if as_text else told}

    async def deliver(self, station_id: str, bought: Mapping[str, Any], as_text: bool) -> None:
        """What was bought, twice."""
        told = {
            "v": 1, "id": f"bought-at-{station_id}", "ts": bought["ts"], "exp": wire(epoch(bought["ts"]) + 60),
            "vehicle": {"type": "EVCCID", "value": f"{bought['vehicle']['value'][:2]}..."}, "voucher": "a.b.c",
        }  # fmt: skip
        data = json.dumps(told) if as_text else told
        for _ in range(2):
            await self.ask(
                station_id, "DataTransfer", {"vendorId": ASSETS, "messageId": "Voucher.Deliver", "data": data}
            )


class Told:
    """A desk that knows everything at once."""

    def __init__(self, known: bool = True) -> None:
        self.asked: list[tuple[str, int]] = []
        self._known = known

    async def known(self, vehicle: Vehicle, sessions: int) -> bool:
        """Whether so many sessions are known."""
        self.asked.append((vehicle.station, sessions))
        return self._known

    async def used(self, vehicle: Vehicle) -> Used:
        """The same of each."""
        return Used(10_000, 40, 80)


async def lived(shop: Shop, plan: VoucherPlan = PLAN, desk: Told | None = None) -> dict[str, Any]:
    async with shop.run() as url:
        return await trade(plan, url, "secret", desk)


@pytest.mark.parametrize("version", DEVICES)
async def test_each_vehicle_asks_after_four_weeks_and_buys_the_first_offer(version: str) -> None:
    shop = Shop()
    facts = await lived(shop, replace(PLAN, versions=(version,)))
    assert facts["unexpected"] == []
    assert (facts["inquiries"], facts["bought"], facts["paid_minor"]) == (3, {"nights": 3}, 3 * 395)
    assert facts["delivered"] == {"nights": 3} and "delivered to the vehicles: 3 x nights" in describe(facts)
    assert "used_wh" not in facts and "used:" not in describe(facts)
    assert facts["sessions"] == len(shop.ends) == sum(len(part) for v in PLAN.vehicles for part in charges(v, START, 1))
    for vehicle in PLAN.vehicles:
        (_, first, asked), (_, then, bought) = [one for one in shop.said if one[0] == vehicle.station]
        assert (first, then) == ("Voucher.Inquire", "Voucher.Purchase")
        assert (bought["inquiry"], bought["offer"]) == (asked["id"], "best")
        assert asked["vehicle"] == {"type": "EVCCID", "value": vehicle.evccid}
        assert asked["ts"] == wire(charges(vehicle, START, 1)[1][0].arrival - 3_600)


async def test_what_is_not_delivered_is_told_and_not_waited_for_by_everybody() -> None:
    facts = await lived(Shop(delivers=False), replace(PLAN, delivery_s_max=0.2))
    assert (facts["delivered"], facts["bought"], facts["unexpected"]) == ({}, {"nights": 3}, [])
    assert "delivered to the vehicles: nothing" in describe(facts)


async def test_copies_say_the_same_message() -> None:
    shop = Shop()
    facts = await lived(shop, replace(PLAN, faults=Faults(repeat=3)))
    assert facts["unexpected"] == [] and len(shop.said) == 3 * 2 * 3
    assert len({(station, body["id"]) for station, _, body in shop.said}) == 3 * 2


async def test_with_rest_a_vehicle_waits_until_its_charges_are_known_and_tells_what_was_saved() -> None:
    desk = Told()
    facts = await lived(Shop(), desk=desk)
    assert sorted(desk.asked) == [(v.station, len(charges(v, START, 1)[0])) for v in PLAN.vehicles]
    assert (facts["used_wh"], facts["released_minor"], facts["saved_minor"]) == (30_000, 120, 240)
    assert "saved beside that: 2.40" in describe(facts)


async def test_what_goes_wrong_is_said() -> None:
    # who charges at work is the first one to ask, on Monday morning
    refused = await lived(Shop(err="NoCredit"))
    dear = await lived(Shop(fee=396))
    unknown = await lived(Shop(), desk=Told(known=False))
    assert refused["unexpected"][0] == "Voucher.Purchase of vehicle-003 was refused: NoCredit"
    assert dear["unexpected"][0] == "vehicle-003 paid 396, not 395"
    assert unknown["unexpected"][0] == "nothing was known in time of how vehicle-003 charges"
    assert "unexpected: vehicle-003 paid 396, not 395" in describe(dear)


async def test_without_a_start_it_begins_when_the_system_says_that_it_is() -> None:
    shop = Shop()
    await lived(shop, replace(PLAN, follow=True))
    asked = {epoch(body["ts"]) for _, _, body in shop.said}
    began = epoch("2019-07-24T00:00:00Z")
    assert began < min(asked) and max(asked) < began + 7 * DAY_S * (BEFORE_WEEKS + AFTER_WEEKS)


def test_the_same_seed_makes_the_same_vehicles_and_charges() -> None:
    asked = ["--scenario", "voucher", "--count", "4", "--version", "1.6", "--seed", "9", "--speed", "max"]
    plan, again = (buying(parser().parse_args(asked)) for _ in range(2))
    assert plan.vehicles == again.vehicles and len({one.evccid for one in plan.vehicles}) == 4
    assert (plan.versions, plan.follow, plan.speed) == (("1.6",), True, None)
    assert charges(plan.vehicles[0], START, 9) == charges(plan.vehicles[0], START, 9)
    assert charges(plan.vehicles[0], START, 9) != charges(plan.vehicles[0], START, 8)
