"""What stations are told of sessions that vouchers pay for comes with their answers, on a real database."""

from __future__ import annotations

import json
from typing import Any

import pytest

from csms.domain.events import Limit, Outcome, SpendingChecked
from csms.domain.voucher_limit import most_wh
from tests import make
from tests.flows.voucher_shop import in_order, sell
from tests.make import BOB, Told, after, authorized, ended, metered, presented, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


def most(answer: Outcome) -> int | None:
    """The Wh that a 2.1 station is told with this answer, None for nothing."""
    limit = answer.limit
    return None if limit is None or limit.vouchers is None else most_wh(limit.tariff, limit.minor, limit.vouchers)


async def kept_by(conn: Any, word: str = "stop") -> list[list[str]]:
    rows = await conn.fetch("select payload from outbox where key like '%/' || $1 || '/%'", word)
    return [json.loads(row["payload"])["kept_by"] for row in rows]


async def test_it_comes_with_the_first_answer_whoever_begins_and_with_readings(dsn: str, conn: Any) -> None:
    await sell(conn, wh=6_000)  # beside the 30,000 that are usual, at 300 a kWh
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        [with_a_hold] = await told.tell(started())
        [again] = await told.tell(started())
        [reading] = await told.tell(metered(minutes=1, wh=1_100))
        await told.tell(started("r2", token=None, connector=2))
        [on_a_voucher_alone] = await told.tell(authorized("r2", token=BOB))

    assert [most(answer) for answer in (with_a_hold, again, reading)] == [106_001] * 3
    assert most(on_a_voucher_alone) == 4_001


async def test_a_voucher_of_certain_hours_leaves_a_session_without(dsn: str, conn: Any) -> None:
    await sell(conn, effect={"kind": "percent_off", "percent": 40}, conditions={"start_time": "21:30"})

    async with Told(dsn) as told:
        [answer] = await told.tell(started())

    assert answer.limit is None


async def test_a_session_that_no_voucher_pays_for_is_told_as_before(dsn: str, conn: Any) -> None:
    await sell(conn, "bob")

    async with Told(dsn) as told:
        [answer] = await told.tell(started())

    assert answer.limit is not None
    assert answer.limit == Limit(30_000, "KRW", answer.limit.tariff, None)


async def test_after_a_top_up_the_station_is_asked_to_listen_and_told_more(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
        await make.fund(conn, "bob", 3_000)
        await told.tell(SpendingChecked("S1", "r1", after(1)))
        [reading] = await told.tell(metered(minutes=2, wh=1_400))

    assert await conn.fetchval("select count(*) from outbox where kind = 'station.limit'") == 1
    assert most(reading) == 14_001


async def test_a_stop_is_left_to_a_station_that_was_told_and_its_driver_gets_the_last_wh(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
        await told.tell(metered(minutes=10, wh=2_500))
        await told.tell(metered(minutes=20, wh=4_500))
        await told.tell(presented())  # the look at its spending was put on the road before this
        assert await kept_by(conn) == [["energy"]]
        await told.tell(metered(minutes=30, wh=5_001))
        [answer] = await told.tell(ended(wh=5_001))

    assert answer.fee_minor == 0
    await in_order(conn)


async def test_a_stop_is_not_left_to_a_station_when_another_session_has_taken_of_the_voucher(
    dsn: str, conn: Any
) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
        await told.tell(metered(minutes=10, wh=2_500))
        await told.tell(started("r2", token=BOB, station_id="S2"))
        await told.tell(ended("r2", station_id="S2", minutes=15, wh=3_000))
        [still] = await told.tell(metered(minutes=20, wh=2_800))
        await told.tell(SpendingChecked("S1", "r1", after(20)))
        [less] = await told.tell(metered(minutes=21, wh=2_850))

    assert "spent" in await conn.fetchval("select flags from session where ref = 'r1'")
    assert (most(still), most(less)) == (4_001, 2_001)
    assert await kept_by(conn) == [[]]


async def test_a_gateway_that_remembers_nothing_tells_it_with_its_first_answer(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
    async with Told(dsn) as told:
        [reading] = await told.tell(metered(minutes=10, wh=2_500))

    assert most(reading) == 4_001
