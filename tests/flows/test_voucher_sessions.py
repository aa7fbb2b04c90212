"""Vouchers pay for charging on a real database: drawn once, to the Wh, whoever else draws on them (V05, V06)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.domain.events import ReviewDecided, SpendingChecked
from csms.psp.base import Answer, Charge
from tests import make
from tests.flows.voucher_shop import balance, bill, in_order, sell, used
from tests.make import ANN, BOB, NOON, SUE, Told, after, ended, metered, presented, started, verdict
from tests.worker import scene as stage

FORTY = {"kind": "percent_off", "percent": 40}
NIGHT = {"start_time": "21:30", "end_time": "07:00"}


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def test_energy_that_a_voucher_covers_costs_what_was_paid_for_it(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await told.tell(started())
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 0
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    assert (await bill(conn))["total_minor"] == 2_500
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_only_what_flows_within_its_hours_goes_cheaper(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=200_000, price=10_000, effect=FORTY, conditions=NIGHT)  # noon is 21:00 there

    async with Told(dsn) as told:
        await told.tell(started())
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 3_000 - 5 * 300 * 40 // 100
    assert await used(conn, voucher_id) == (5_000, 250, 1)
    assert await balance(conn, "driver:ann:balance") == 50_000 - 2_400
    await in_order(conn)


async def test_what_goes_beyond_a_voucher_is_the_normal_price_from_that_very_wh(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=6_001, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started())
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 1_200  # 3,999 Wh, rounded once
    assert await used(conn, voucher_id) == (6_001, 1_000, 1)
    await in_order(conn)


async def test_a_voucher_alone_lets_a_driver_begin_and_what_goes_beyond_it_is_owed(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        assert (await told.tell(presented(BOB)))[0].status == "accepted"
        await told.tell(started(token=BOB))
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 1_800
    assert await balance(conn, "driver:bob:debt") == -1_800
    await in_order(conn)


async def test_a_session_on_a_voucher_alone_is_stopped_before_it_is_used_up(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
        await told.tell(metered(minutes=10, wh=2_500))
        await told.tell(SpendingChecked("S1", "r1", after(10)))
        assert "spent" not in await conn.fetchval("select flags from session")
        await told.tell(metered(minutes=20, wh=4_000))
        await told.tell(SpendingChecked("S1", "r1", after(20)))

    assert "spent" in await conn.fetchval("select flags from session")
    assert await conn.fetchval("select count(*) from outbox where kind = 'station.stop'") == 1


async def test_one_that_is_no_longer_valid_or_for_elsewhere_lets_nobody_begin(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", conditions={"stations": ["S2"]})
    await sell(conn, "bob", conditions={"uses": ["rental"]})

    async with Told(dsn) as told:
        assert (await told.tell(presented(BOB)))[0].reason == "no_credit"
        assert (await told.tell(presented(BOB, station_id="S2")))[0].status == "accepted"
        late = presented(BOB, station_id="S2", received_at=NOON + timedelta(days=29))
        assert (await told.tell(late))[0].reason == "no_credit"


class Psp:
    """A psp that takes all that it is asked for, or refuses to."""

    def __init__(self, refuses: bool) -> None:
        self.refuses = refuses

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        return Answer("declined", reason="no") if self.refuses else Answer("done", psp_ref)

    async def charge(self, key: str, charge: Charge) -> Answer:
        return Answer("declined", reason="no") if self.refuses else Answer("done", f"of {charge.order}")

    async def remit(self, key: str, message: object) -> Answer:
        return Answer("done", "remitted")


async def second_of_sue(dsn: str, conn: Any) -> tuple[Any, str, int | None]:
    """Sue, whom a psp pays for, charges twice, the second time on a voucher: its id, hers, and what she pays."""
    async with Told(dsn) as told:
        told.send(started(token=SUE))
        await told.tell(presented(ANN))
        sue = verdict(told.asks[0])
        await told.tell(sue)
        await told.tell(ended())
    voucher_id = await sell(conn, sue.driver_id, wh=6_000, price=1_200)
    await conn.execute(
        "insert into token (key, type, psp, issuer, subject, station_id, single_use, created_at)"
        " select sha256('second'), 'social', 'social', issuer, subject, 'S1', true, now() from token"
        " where subject = 'sue'"
    )

    async with Told(dsn) as told:
        first = told.send(started("r2", token="second"))
        await told.tell(presented(ANN))
        await told.tell(verdict(told.asks[0], psp_ref="pay-2"))
        await first
        [answer] = await told.tell(ended("r2"))
    assert sue.driver_id is not None
    return voucher_id, sue.driver_id, answer.fee_minor


@pytest.mark.parametrize("refuses", [False, True])
async def test_what_a_psp_collects_is_what_no_voucher_paid(dsn: str, conn: Any, pool: db.Pool, refuses: bool) -> None:
    voucher_id, sue, fee_minor = await second_of_sue(dsn, conn)

    assert fee_minor == 1_200
    assert await used(conn, voucher_id) == (6_000, 1_200, 1)
    job = await conn.fetchrow("select * from outbox where kind = 'psp.collect' order by id desc limit 1")
    found = await db.SQL.find_collections.one(conn, [(await bill(conn, "r2"))["id"]])
    assert (found["total_minor"], found["shares_by"]) == (1_200, "run")
    assert str((await bill(conn, "r2"))["id"]) in job["payload"]
    async with stage.working(pool, Psp(refuses)):  # type: ignore[arg-type]
        await stage.drained(conn)
    owing = await db.SQL.unpaid_bills.many(conn, sue, "KRW")
    assert [row["asked_minor"] for row in owing] == ([3_000, 1_200] if refuses else [])
    assert await balance(conn, f"driver:{sue}:debt") == (-4_200 if refuses else 0)
    await in_order(conn)


async def test_told_twice_is_drawn_once(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        for _ in range(2):
            await told.tell(started())
            await told.tell(ended(), ended())

    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_a_gateway_that_remembers_nothing_finds_the_voucher_at_the_end(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await told.tell(started())
    async with Told(dsn) as told:
        await told.tell(ended())

    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_sixteen_sessions_on_one_voucher_never_take_more_than_there_is(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=95_000, price=9_500)
    await make.fund(conn, "ann", 500_000)
    stations = [f"V{number}" for number in range(16)]
    for station in stations:
        await conn.execute(
            "insert into station (id, kind, provider_id, site_id, tariff_id, created_at)"
            " values ($1, 'charger', 'P', 'site', 'T', now())",
            station,
        )

    async with Told(dsn) as one, Told(dsn) as two:
        roads = [one, two] * 8
        for road, station in zip(roads, stations, strict=True):
            await road.tell(started(station, station_id=station))
        ends = [road.send(ended(station, station_id=station)) for road, station in zip(roads, stations, strict=True)]
        await asyncio.wait_for(asyncio.gather(*ends), 60)

    assert await used(conn, voucher_id) == (95_000, 9_500, 10)
    assert await conn.fetchval("select sum(total_minor) from bill") == 9_500 + 65 * 300
    await in_order(conn)


async def test_one_for_two_sessions_is_not_used_a_third_time(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, uses_max=2)

    async with Told(dsn) as told:
        for number in range(3):
            at = after(120 * number)
            await told.tell(started(f"r{number}", at=at, meter_wh=1_000))
            await told.tell(ended(f"r{number}", minutes=120 * number + 60, wh=11_000))

    assert await used(conn, voucher_id) == (20_000, 5_000, 2)
    assert (await bill(conn, "r2"))["total_minor"] == 3_000
    await in_order(conn)


async def test_a_held_bill_that_is_released_is_paid_by_the_voucher_that_was_valid_then(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=1_000_000)

    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended(wh=901_000))
        assert await conn.fetchval("select state from session") == "review"
        assert await used(conn, voucher_id) == (0, 0, 0)
        decided = ReviewDecided("S1", "r1", NOON + timedelta(days=200), "correct", 20_000, "seen", "staff")
        await told.tell(decided, decided)

    assert await used(conn, voucher_id) == (20_000, 500, 1)
    await in_order(conn)


async def test_no_energy_draws_nothing(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended(wh=1_000))

    assert await used(conn, voucher_id) == (0, 0, 0)
    await in_order(conn)
