"""The street of lockers over real sockets: every charger comes back, whatever happens on the way."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from functools import partial
from random import Random
from typing import Any

import pytest

from charge_points_sim.connection import CannotConnect, Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.locker import Locker
from charge_points_sim.devices.presence import code, secret_of, signature
from charge_points_sim.faults import Faults
from charge_points_sim.scenarios.hands import wait
from charge_points_sim.scenarios.hours import until
from charge_points_sim.scenarios.lending import fees_minor
from charge_points_sim.scenarios.locker import describe, lend
from charge_points_sim.scenarios.visits import Plan, visits
from tests.sim.lender import Lender, LenderApp

AT = 1_770_000_000
PLAN = Plan(visits(4, seed=1), AT)
WH = sum(visit.wh for visit in PLAN.visits)


async def run(plan: Plan, lender: Lender) -> dict[str, Any]:
    lender.now = AT
    async with lender.run() as url:
        return await lend(plan, url, "secret")


@pytest.mark.parametrize("version", DEVICES)
async def test_every_charger_is_taken_charges_and_comes_back_elsewhere(version: str) -> None:
    lender = Lender()
    facts = await run(dataclasses.replace(PLAN, versions=[version]), lender)
    assert (facts["unexpected"], facts["rentals"], facts["energy_wh"]) == ([], 4, WH)
    assert facts["returned_elsewhere"] == 4
    told = Counter(message for message, _ in lender.events.values())
    assert told == {
        "Door.Status": 16,
        "Item.Taken": 4,
        "Item.Placed": 4,
        "Socket.Connected": 4,
        "Socket.Disconnected": 4,
    }
    items = [item for doors in lender.doors.values() for item in doors.values() if item is not None]
    assert sorted(items) == sorted(code for doors in PLAN.items().values() for code in doors.values())
    assert "4 returned to another cabinet" in describe(facts)


async def test_lost_doubled_late_and_cut_frames_and_jams_change_nothing_in_the_end() -> None:
    faults = Faults(repeat=2, lose=0.1, reorder=0.2, cut=0.02, jam=0.2, random=Random(7))
    lender = Lender()
    facts = await run(dataclasses.replace(PLAN, faults=faults), lender)
    assert (facts["unexpected"], facts["rentals"], facts["energy_wh"]) == ([], 4, WH)
    for station_id in lender.sockets:
        numbers = sorted(body["seq"] for (name, _), (_, body) in lender.events.items() if name == station_id)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert sum(message == "Item.Placed" for message, _ in lender.events.values()) == 4


@pytest.mark.parametrize("version", DEVICES)
async def test_by_app_the_system_opens_the_doors_and_starts_the_charger(version: str) -> None:
    visits = tuple(dataclasses.replace(visit, by_app=True) for visit in PLAN.visits)
    plan = dataclasses.replace(PLAN, versions=[version], visits=visits)
    lender = Lender()
    lender.now = AT
    async with lender.run() as url:
        facts = await lend(plan, url, "secret", LenderApp(lender))
    assert (facts["unexpected"], facts["rentals"], facts["energy_wh"]) == ([], 4, WH)
    assert not lender.granted


async def test_by_app_a_door_that_jams_on_return_is_asked_for_again() -> None:
    visits = tuple(dataclasses.replace(visit, by_app=visit is PLAN.visits[0]) for visit in PLAN.visits[:1])
    lender = Lender()
    lender.now = AT
    jams = Faults(random=Random(1))
    app = LenderApp(lender)
    give_back = app.give_back

    async def jam_once(rental: str, station: str, now: int) -> None:
        jams.jam = 0.0 if jams.jam else 1.0
        await give_back(rental, station, now)

    app.give_back = jam_once  # type: ignore[method-assign]
    async with lender.run() as url:
        facts = await lend(dataclasses.replace(PLAN, visits=visits, faults=jams), url, "secret", app)
    assert (facts["unexpected"], facts["rentals"], facts["jams"]) == ([], 1, 1)


async def test_hands_take_what_is_rented_plug_it_in_and_bring_it_back() -> None:
    lender, said = Lender(), list[str]()
    lender.now, app = AT, LenderApp(lender)
    plan = dataclasses.replace(PLAN, visits=(), versions=["2.0.1"])
    async with lender.run() as url:
        waiting = asyncio.create_task(wait(plan, url, "secret", "OUTLET-7", said.append))
        assert await until(lambda: len(lender.doors) == plan.cabinets and bool(lender.doors["SIM-L001"]), 5)
        rental = await app.rent(PLAN.visits[0], "SIM-L001", AT)
        assert await until(lambda: "SIM-P001: plugged in at OUTLET-7" in said, 5)
        await app.charge(rental)
        assert await until(lambda: "SIM-P001: energy flows" in said, 5)
        await app.give_back(rental, "SIM-L002", lender.now)
        assert await until(lambda: "SIM-L002: SIM-P001 is put behind door 4" in said, 5)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    told = [message for message, _ in lender.events.values()]
    assert told.count("Socket.Connected") == told.count("Socket.Disconnected") == told.count("Item.Placed") == 1
    assert lender.doors["SIM-L002"][4] == "SIM-P001"


def test_a_cabinets_code_is_that_of_rfc_6238() -> None:
    secret = b"12345678901234567890123456789012"
    assert [code(secret, at) for at in (59, 1_111_111_109, 20_000_000_000)] == ["46119246", "68084774", "77737706"]
    assert secret_of("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA") == secret
    assert len(signature(secret, "L-1", "b7f1b7f1", 59)) == 64


async def test_a_seed_repeats_the_street() -> None:
    one, again = Lender(), Lender()
    await run(PLAN, one)
    await run(PLAN, again)
    assert one.events == again.events


async def test_who_may_not_rent_opens_no_door_and_is_said() -> None:
    lender = Lender()
    lender.refused = {PLAN.visits[0].token}
    facts = await run(dataclasses.replace(PLAN, visits=PLAN.visits[:1]), lender)
    assert facts["rentals"] == 0 and not lender.events
    assert "NotAuthorized" in facts["unexpected"][0]


async def test_the_first_cabinet_takes_the_time_of_the_system() -> None:
    lender = Lender()
    lender.now = AT + 9_000_000
    async with lender.run() as url:
        await lend(dataclasses.replace(PLAN, follow=True, visits=PLAN.visits[:1]), url, None)
    assert AT + 9_000_000 <= lender.now < AT + 9_100_000


async def test_nobody_listening_is_said_in_a_sentence() -> None:
    with pytest.raises(CannotConnect, match="cannot reach"):
        await lend(PLAN, "ws://127.0.0.1:9/ocpp", None)


@pytest.mark.parametrize("version", DEVICES)
@pytest.mark.parametrize("dark", [False, True], ids=["offline", "without power"])
async def test_a_cabinet_that_was_away_tells_what_happened_meanwhile(version: str, dark: bool) -> None:
    lender = Lender()
    lender.now = AT
    locker = Locker("L-1", DEVICES[version], [Door(1, "PC-1"), Door(2)], lambda: lender.now)
    async with lender.run() as url:
        connection = Connection(locker.station, url, None, Random(1))
        await connection.connect()
        await connection.do(locker.station.boot)
        assert await until(lambda: locker.outbox.idle, 5)
        await connection.close()
        assert await until(lambda: not locker.station.line.online, 5)
        if dark:
            locker.lose_power()
        locker.force(1)
        locker.take(1)
        locker.close(1)
        again = Connection(locker.station, url, None, Random(1))
        await again.connect()
        assert await until(lambda: lender.doors["L-1"] == {1: None, 2: None} and locker.outbox.idle, 5)
        await again.close()
    assert [(message, body["off"]) for message, body in lender.events.values()] == [
        ("Door.Status", True),
        ("Item.Taken", True),
        ("Door.Status", True),
    ]
    assert lender.seen["BootNotification"] == 1 + dark


async def test_a_cut_in_the_middle_of_everything_loses_no_event() -> None:
    lender = Lender()
    lender.now = AT
    locker = Locker("L-1", DEVICES["1.6"], [Door(u, f"PC-{u}") for u in range(1, 41)], lambda: lender.now)
    async with lender.run() as url:
        connection = Connection(locker.station, url, None, Random(1))
        await connection.connect()
        await connection.do(locker.station.boot)
        for u in range(1, 41):
            locker.force(u)
            locker.take(u)
            connection.tell(partial(locker.close, u))
            if u % 8 == 0:
                if u == 16:
                    locker.lose_power()
                connection.cut()
                assert await until(lambda: locker.station.line.online and bool(locker.station.booted), 5)
        assert await until(lambda: locker.outbox.idle, 5)
        await connection.close()
    assert sorted(body["seq"] for _, body in lender.events.values()) == list(range(1, 121))


def test_what_a_visit_costs_is_exact_and_rounded_once() -> None:
    visit = PLAN.visits[0]
    assert fees_minor(dataclasses.replace(visit, minutes=29, wh=635)) == (50, 19)
    assert fees_minor(dataclasses.replace(visit, minutes=30, wh=1_650)) == (150, 50)
