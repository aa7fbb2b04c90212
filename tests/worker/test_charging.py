"""Battery stations are told how their packs are charged: what has changed, once, and less before more."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from csms import db
from csms.bus import LocalBus
from csms.db import Connection
from csms.domain.commands import Answer, Command, LimitSlot
from csms.domain.slot_limits import Limits
from csms.flows import slots
from csms.flows.command import Commands
from csms.store import outbox
from csms.worker import charging
from csms.worker.charging import ChargingTimer
from csms.worker.tasks import Outside
from tests import make
from tests.make import NOON

FULL_AT_90 = 9_000
ACCEPTED = Answer("accepted")


class Floor:
    """A site that may draw 1 kW, with battery stations B1 and B2 of two slots each; its clock and its worker."""

    def __init__(self, pool: db.Pool, conn: Connection) -> None:
        self.conn, self.pool = conn, pool
        self.now = NOON
        self.bus = LocalBus()
        self.commands = Commands(pool, self.bus, self.clock)
        self.outside = Outside(pool, {}, {}, self.clock, random.Random(1))
        self.timer = self.new_timer()
        self.heard: list[tuple[str, int, Limits]] = []

    def clock(self) -> datetime:
        return self.now

    def new_timer(self) -> ChargingTimer:
        """Another process's."""
        return ChargingTimer(self.pool, lambda: None, self.clock)

    def connect(self, station: str, answer: Answer | None = ACCEPTED, epoch: int = 0) -> None:
        """It answers so from now on; None: only its second slot accepts."""

        async def handle(command: Command | Any) -> Answer:
            assert isinstance(command, LimitSlot)
            self.heard.append((station, command.unit, command.limits))
            return answer or Answer("accepted" if command.unit == 2 else "rejected")

        self.bus.serve(f"station/{station}/{epoch}", handle)

    async def pack(self, station: str, unit: int, soc: int, **more: Any) -> None:
        """A pack of 1 kWh in a slot: 1 % is 10 Wh."""
        code = f"{station}-{unit}"
        values = {"quarantine": None, "faults": [], "item_state": "ok"} | more
        await self.conn.execute(
            "insert into item (code, kind, type, provider_id, state, place, station_id, unit, at, key, version,"
            " created_at) values ($1, 'battery', 'b1', 'P', $4, 'connector', $2, $3, $5, 'k', 1, $5)",
            code, station, unit, values["item_state"], NOON,
        )  # fmt: skip
        await self.conn.execute(
            "insert into pack (code, serial, capacity_wh, soc, soh, faults, source, at, key, quarantine, version)"
            " values ($1, $1, 1000, $2, 10000, $3, 'station', $4, 'k', $5, 1)",
            code, soc, values["faults"], NOON, values["quarantine"],
        )  # fmt: skip

    async def soc(self, station: str, unit: int, soc: int) -> None:
        await self.conn.execute("update pack set soc = $2 where code = $1", f"{station}-{unit}", soc)

    async def pass_by(self, minutes: float = 1, timers: int = 1) -> list[tuple[str, int, Limits]]:
        """Time passes, it is looked at, and the worker works; answers what stations heard."""
        self.now += timedelta(minutes=minutes)
        self.heard.clear()
        for timer in [self.timer, *(self.new_timer() for _ in range(timers - 1))]:
            await timer.sweep()
        await self.work()
        return sorted(self.heard)

    async def work(self) -> None:
        async with self.pool.acquire() as conn:
            jobs = await outbox.claim(conn, 10, 15)
            await outbox.save(conn, [await charging.limit_slots(self.commands, job, self.outside) for job in jobs])


@pytest.fixture
async def floor(dsn: str, conn: Connection) -> Any:
    await make.seed(conn)
    await conn.execute("update site set power_cap_w = 1000 where id = 'site'")
    await conn.execute(
        "insert into station (id, kind, provider_id, site_id, tariff_id, created_at)"
        " values ('B1', 'battery_station', 'P', 'site', 'T', now()), ('B2', 'battery_station', 'P', 'site', 'T', now())"
    )
    await conn.execute(
        "insert into connector (station_id, number, kind, max_power_w)"
        " select station, number, 'slot', 1000 from unnest(array['B1', 'B2']) station, generate_series(1, 2) number"
    )
    pool = await db.pool(dsn, name="test", role=db.WRITER)
    floor = Floor(pool, conn)
    floor.connect("B1")
    floor.connect("B2")
    await floor.pack("B1", 1, FULL_AT_90 - 5_000)
    await floor.pack("B2", 1, FULL_AT_90 - 2_500)
    yield floor
    await pool.close()


NOTHING: Limits = ((0, 0),)
FIRST: Limits = ((1_000, 15), (0, 0))
SECOND: Limits = ((0, 15), (1_000, 30), (0, 0))


async def test_each_slot_is_told_when_its_turn_is_and_an_empty_one_to_take_nothing(floor: Floor) -> None:
    assert await floor.pass_by() == [
        ("B1", 1, SECOND), ("B1", 2, NOTHING), ("B2", 1, FIRST), ("B2", 2, NOTHING)
    ]  # fmt: skip


async def test_what_was_told_is_not_told_again_while_only_time_passes(floor: Floor) -> None:
    await floor.pass_by()
    await floor.soc("B2", 1, FULL_AT_90 - 2_000)
    assert await floor.pass_by(3) == []
    assert await floor.conn.fetchval("select count(*) from command where requested_by = 'csms'") == 4


async def test_it_is_looked_at_once_a_minute(floor: Floor) -> None:
    await floor.pass_by()
    await floor.pack("B2", 2, FULL_AT_90 - 100)
    assert await floor.pass_by(0.9) == []
    assert await floor.pass_by(0.1) != []


async def test_a_new_pack_that_lacks_less_goes_first_after_the_other_was_told_to_wait(floor: Floor) -> None:
    await floor.pass_by()
    await floor.pack("B1", 2, FULL_AT_90 - 100)
    floor.now += timedelta(minutes=1)
    floor.heard.clear()
    await floor.timer.sweep()
    await floor.work()
    assert floor.heard[2:] == [("B1", 2, FIRST)]
    assert sorted(floor.heard[:2]) == [
        ("B1", 1, ((0, 30), (1_000, 30), (0, 0))), ("B2", 1, ((0, 15), (1_000, 15), (0, 0)))
    ]  # fmt: skip


async def test_a_station_that_could_not_be_told_to_take_less_keeps_its_power_from_others(floor: Floor) -> None:
    await floor.pass_by()
    floor.bus.drop("station/B2/0")
    await floor.pack("B1", 2, FULL_AT_90 - 100)
    last: tuple[str, int, Limits] = ("B1", 1, ((0, 30), (1_000, 30), (0, 0)))
    assert await floor.pass_by() == [last]
    assert await floor.pass_by() == [last, ("B1", 2, ((0, 15), *FIRST))]


async def test_a_station_that_was_away_is_told_when_it_connects_anew(floor: Floor) -> None:
    floor.bus.drop("station/B2/0")
    assert [heard[0] for heard in await floor.pass_by()] == ["B1", "B1"]
    floor.connect("B2", epoch=1)
    await floor.conn.execute("update station set epoch = 1 where id = 'B2'")
    assert ("B2", 1, FIRST) in await floor.pass_by()


async def test_a_slot_that_refuses_is_asked_again_later_and_the_others_meanwhile(floor: Floor) -> None:
    floor.connect("B2", None)
    assert [heard[:2] for heard in await floor.pass_by() if heard[0] == "B2"] == [("B2", 1), ("B2", 2)]
    assert [heard[:2] for heard in await floor.pass_by(0.5) if heard[0] == "B2"] == []
    await floor.pack("B2", 2, FULL_AT_90 - 100)
    again = [heard[:2] for heard in await floor.pass_by(5) if heard[0] == "B2"]
    assert ("B2", 1) in again


@pytest.mark.parametrize(
    "answer",
    [
        Answer("failed", error="feature absent"),
        Answer("failed", error="NotImplemented: SetChargingProfile"),
        Answer("rejected", {"status": "NotSupported"}),
    ],
)
async def test_a_station_that_has_no_such_call_is_left_alone_for_a_day(floor: Floor, answer: Answer) -> None:
    floor.connect("B2", answer)
    assert [heard[0] for heard in await floor.pass_by()] == ["B1", "B1", "B2"]
    after = [await floor.pass_by(60 * 6) for _ in range(3)]
    assert not [heard for minutes in after for heard in minutes if heard[0] == "B2"]
    assert "B2" in [heard[0] for heard in await floor.pass_by(60 * 6)]


async def test_two_processes_tell_a_station_once(floor: Floor) -> None:
    assert len(await floor.pass_by(timers=3)) == 4
    assert await floor.conn.fetchval("select count(*) from outbox where kind = 'slot.limit'") == 1


async def test_a_job_that_was_overtaken_tells_nothing(floor: Floor) -> None:
    await floor.timer.sweep()
    [job] = await outbox.claim(floor.conn, 1, 15)
    first = await charging.limit_slots(floor.commands, job, floor.outside)
    again = await charging.limit_slots(floor.commands, job, floor.outside)
    assert (first.facts, again.facts) == ({"accepted": 4, "left": 0}, {"overtaken": True})
    assert len(floor.heard) == 4


async def test_after_a_boot_a_station_is_told_again(floor: Floor) -> None:
    await floor.pass_by()
    await floor.conn.execute("update station set booted_at = $1 where id = 'B1'", floor.now + timedelta(seconds=30))
    assert [heard[:2] for heard in await floor.pass_by()] == [("B1", 1), ("B1", 2)]


async def test_a_fault_a_quarantine_or_a_broken_item_takes_its_turn_away(floor: Floor) -> None:
    await floor.pass_by()
    await floor.conn.execute("update pack set quarantine = 'its health fell' where code = 'B2-1'")
    assert await floor.pass_by() == [("B1", 1, ((1_000, 30), (0, 0))), ("B2", 1, NOTHING)]


async def test_without_a_limit_nothing_is_told_and_what_was_told_is_lifted(floor: Floor) -> None:
    await floor.pass_by()
    await floor.conn.execute("update site set power_cap_w = null")
    full: Limits = ((1_000, 0),)
    assert await floor.pass_by() == [("B1", 1, full), ("B1", 2, full), ("B2", 1, full), ("B2", 2, full)]
    assert await floor.pass_by() == []
    await floor.conn.execute("delete from slot_plan")
    assert await floor.pass_by() == []


async def test_the_forecast_is_by_slot_and_none_where_nobody_knows(floor: Floor) -> None:
    await floor.pack("B1", 2, FULL_AT_90)
    assert await forecast(floor, "B1") == {1: (NOON + timedelta(minutes=45), None), 2: (NOON, None)}
    assert await forecast(floor, "B2") == {1: (NOON + timedelta(minutes=15), None), 2: (None, "not_charged")}
    await floor.conn.execute("update site set power_cap_w = null")
    assert await forecast(floor, "B1") == {1: (NOON + timedelta(minutes=30), None), 2: (NOON, None)}
    assert await forecast(floor, "S1") == {}
    await floor.conn.execute("update connector set max_power_w = null")
    assert await forecast(floor, "B1") == {1: (None, "no_power"), 2: (NOON, None)}


async def forecast(floor: Floor, station_id: str) -> dict[int, tuple[datetime | None, str | None]]:
    """What is forecast of a station's slots."""
    return {unit: tuple(told) for unit, told in (await slots.forecast(floor.conn, station_id, NOON)).items()}
