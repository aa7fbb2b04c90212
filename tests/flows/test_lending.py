"""Lending on a real database: what the rules decide is stored whole, once, and the books agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain import asset_events as said
from tests.flows import lending
from tests.flows.voucher_shop import sell, used
from tests.make import ANN, BOB, Told, after, ended, started


@pytest.fixture
async def road(dsn: str, conn: Any) -> AsyncIterator[Told]:
    await lending.build(conn)
    async with Told(dsn) as road:
        await lending.begin(road)
        yield road


@pytest.fixture(autouse=True)
async def books(conn: Any, road: Told) -> AsyncIterator[None]:
    """Whatever happens, every invariant of the database holds at the end."""
    yield
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def balance(conn: Any, address: str = "driver:ann:balance") -> int:
    return int(await conn.fetchval("select coalesce(sum(balance), 0) from account_balance where address = $1", address))


async def test_a_rental_is_held_billed_divided_and_closed(road: Told, conn: Any) -> None:
    wish = await lending.take(road, after(1))
    assert await balance(conn) == 70_000
    row = await conn.fetchrow("select state, item, driver_id, taken_at from rental where id = $1", wish.rental_id)
    assert tuple(row) == ("active", "i1", "ann", after(1))
    await road.tell(lending.placed("C2", 1, "i1", None, after(40)))
    assert await conn.fetchval("select state from rental where id = $1", wish.rental_id) == "closed"
    assert await balance(conn) == 100_000 - 360
    bill = await conn.fetchrow(
        "select total_minor, operator_minor, seconds from bill where session_id = $1", wish.rental_id
    )
    assert tuple(bill) == (360, 36, 39 * 60)
    place = await conn.fetchrow("select place, station_id, unit from item where code = 'i1'")
    assert tuple(place) == ("connector", "C2", 1)


async def test_everything_told_twice_changes_nothing(road: Told, conn: Any) -> None:
    wish = lending.rent(after(1))
    events = [
        wish,
        said.GrantAnswered("C1", after(1), wish.grant_id, "accepted", None),
        lending.door("C1", 1, "open", wish.grant_id, after(1)),
        lending.taken("C1", 1, "i1", wish.grant_id, after(1)),
        lending.door("C1", 1, "closed", wish.grant_id, after(1), False),
        lending.placed("C2", 2, "i1", None, after(60)),
    ]
    for event in events:
        first, second = await road.tell(event, event)
        assert second.status == first.status
        await road.tell(event)
    assert await conn.fetchval("select count(*) from bill") == 1
    assert await conn.fetchval("select count(*) from asset_report where station_id = 'C1'") == 4
    assert await balance(conn) == 100_000 - 360


async def test_two_roads_at_one_door_give_it_once(road: Told, dsn: str, conn: Any) -> None:
    async with Told(dsn) as other:
        wishes = [(road, lending.rent(after(1), unit=1)), (other, lending.rent(after(1), unit=1))]
        outcomes = await asyncio.gather(*(told.tell(wish) for told, wish in wishes))
    errors = sorted(str(outcome.asset.error) for [outcome] in outcomes if outcome.asset is not None)
    assert errors == ["None", "UnitReserved"]
    assert await conn.fetchval("select count(*) from door_grant") == 1


async def test_a_poor_driver_gets_no_door(road: Told, conn: Any) -> None:
    [outcome] = await road.tell(lending.rent(after(1), token=BOB))
    assert outcome.asset is not None and outcome.asset.error == "NoCredit"
    assert await conn.fetchval("select count(*) from outbox where kind = 'door.open'") == 0
    assert await conn.fetchval("select count(*) from door where reserved_for is not null") == 0


async def test_a_portable_charger_gives_energy_only_if_plugged_rented_and_paid(road: Told, conn: Any) -> None:
    def start(ref: str, minute: int, token: str = ANN) -> Any:
        return started(ref, station_id="i1", token=token, at=after(minute), received_at=after(minute))

    assert (await road.tell(start("t1", 1)))[0].reason == "not_rented"
    wish = await lending.take(road, after(2))
    assert (await road.tell(start("t2", 3)))[0].reason == "not_plugged"
    plugged = {"item": "i1", "connected": True, "meter_wh": 0}
    await road.tell(said.SocketChanged(**lending.report("i1", after(4)), **plugged, tag="T9"))
    assert (await road.tell(start("t3", 5)))[0].reason == "unknown_outlet"
    await conn.execute("insert into outlet_tag (tag, site_id, created_at) values ('T9', 'site', now())")
    await conn.execute("update site set host_bp = 2000, tags = '{yard}' where id = 'site'")
    assert (await road.tell(start("t4", 6, BOB)))[0].reason == "not_rented"
    assert (await road.tell(start("t5", 7)))[0].status == "accepted"
    [outcome] = await road.tell(ended("t5", station_id="i1", at=after(67), received_at=after(67), wh=11_000))
    assert outcome.fee_minor == 3_000
    shares = await conn.fetchrow("select operator_minor, provider_minor, host_minor from bill where total_minor = 3000")
    assert tuple(shares) == (300, 2_100, 600)
    assert await conn.fetchval("select site_tags from session where ref = 't5'") == ["yard"]
    await road.tell(lending.placed("C2", 1, "i1", None, after(70)))
    assert (await road.tell(start("t6", 71)))[0].reason == "not_rented"
    assert await conn.fetchval("select state from rental where id = $1", wish.rental_id) == "closed"


async def test_a_taking_told_after_its_cancellation_is_billed(road: Told, conn: Any) -> None:
    wish = lending.rent(after(1))
    await road.tell(wish)
    await road.tell(said.GrantAnswered("C1", after(1), wish.grant_id, "offline", None))
    assert await balance(conn) == 100_000
    late = lending.taken("C1", 1, "i1", wish.grant_id, after(1))
    await road.tell(late)
    await road.tell(lending.placed("C2", 1, "i1", None, after(50)))
    assert await balance(conn) == 100_000 - 360


async def test_late_fees_stop_while_the_cabinet_is_away(road: Told, conn: Any) -> None:
    wish = await lending.take(road, after(0))
    due = after(24 * 60)
    await conn.execute(
        "insert into station_outage (station_id, from_at, until_at) values ('C1', $1, $2)", due, after(25 * 60)
    )
    await road.tell(lending.placed("C2", 1, "i1", None, after(25 * 60)))
    assert await balance(conn) == 100_000 - 900
    assert await conn.fetchval("select outage_s from rental where id = $1", wish.rental_id) == 30 * 60


async def test_each_report_may_find_another_process_and_be_told_again_by_it(dsn: str, conn: Any, road: Told) -> None:
    """The state after a restart is the state before it: nothing of a rental lives in a process."""
    wish = lending.rent(after(1))
    events = [
        wish,
        said.GrantAnswered("C1", after(1), wish.grant_id, "accepted", None),
        lending.door("C1", 1, "open", wish.grant_id, after(1)),
        lending.taken("C1", 1, "i1", wish.grant_id, after(1)),
        lending.door("C1", 1, "closed", wish.grant_id, after(1), False),
        said.SocketChanged(**lending.report("i1", after(2)), item="i1", connected=True, tag="T9", meter_wh=0),
        lending.placed("C2", 2, "i1", None, after(60)),
    ]
    for event in events:
        answers = []
        for _ in range(2):
            async with Told(dsn) as fresh:
                [outcome] = await fresh.tell(event)
                answers.append((outcome.status, outcome.asset and outcome.asset.error))
        assert answers[0] == answers[1]
    assert await conn.fetchval("select state from rental where id = $1", wish.rental_id) == "closed"
    assert await conn.fetchval("select count(*) from bill") == 1 and await balance(conn) == 100_000 - 360


async def test_a_voucher_pays_for_the_time_of_a_rental_and_for_the_energy_of_its_charger(road: Told, conn: Any) -> None:
    seconds = await sell(conn, unit="sec", wh=36_000, price=3_600, conditions={"uses": ["rental"]})
    energy = await sell(conn, wh=100_000, price=25_000, conditions={"uses": ["charge"]})
    before = await balance(conn)
    wish = await lending.take(road, after(1))
    await conn.execute("insert into outlet_tag (tag, site_id, created_at) values ('T9', 'site', now())")
    plugged = {"item": "i1", "connected": True, "meter_wh": 0, "tag": "T9"}
    await road.tell(said.SocketChanged(**lending.report("i1", after(4)), **plugged))
    [begun] = await road.tell(started("r1", station_id="i1", token=ANN, at=after(5), received_at=after(5)))
    [over] = await road.tell(ended("r1", station_id="i1", minutes=30, wh=3_000))
    await road.tell(lending.placed("C2", 1, "i1", None, after(40)))
    assert (begun.status, over.fee_minor) == ("accepted", 0)
    bill = await conn.fetchrow("select total_minor from bill where session_id = $1", wish.rental_id)
    assert bill["total_minor"] == 234  # 39 minutes of ten hours that were bought for 3,600
    assert await used(conn, seconds) == (39 * 60, 234, 1)
    assert await used(conn, energy) == (2_000, 500, 1)
    assert await balance(conn) == before
