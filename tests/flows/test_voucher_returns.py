"""A bill that vouchers paid for is taken back: they get back what they gave, once, and a new bill takes anew (V06)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.base.errors import Conflict
from csms.domain.events import (
    BillCorrected,
    BillRefunded,
    Outcome,
    ProvisionalFinished,
    ProvisionallyEnded,
)
from csms.flows import vouchers
from tests import make
from tests.flows.test_voucher_sessions import Psp, second_of_sue
from tests.flows.voucher_shop import balance, bill, in_order, sell, used
from tests.make import BOB, NOON, Told, after, ended, metered, new_id, started
from tests.worker import scene as stage

LATER = NOON + timedelta(days=3)


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


def corrected(energy_wh: int, revision: int = 1, ref: str = "r1") -> BillCorrected:
    return BillCorrected("S1", ref, LATER, revision, energy_wh, None, "the meter was wrong", "staff")


async def give_back(conn: Any, voucher_id: Any) -> None:
    async with conn.transaction():
        await vouchers.give_back(conn, "ann", voucher_id, LATER)


async def charged(told: Told, ref: str = "r1", hour: int = 0, wh: int = 10_000) -> Outcome:
    """A session of an hour."""
    await told.tell(started(ref, at=after(120 * hour), meter_wh=1_000))
    [answer] = await told.tell(ended(ref, minutes=120 * hour + 60, wh=1_000 + wh))
    return answer


async def test_a_bill_that_is_corrected_returns_what_was_taken_too_much(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await charged(told)
        [answer] = await told.tell(corrected(4_000))

    assert answer.status == "accepted"
    assert await used(conn, voucher_id) == (4_000, 1_000, 1)
    assert (await bill(conn))["total_minor"] == 1_000
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_one_that_becomes_nothing_leaves_the_voucher_as_if_it_had_never_been_used(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, uses_max=1)

    async with Told(dsn) as told:
        await charged(told)
        await told.tell(corrected(0))
        assert await used(conn, voucher_id) == (0, 0, 0)
        again = await charged(told, "r2", hour=1)

    assert again.fee_minor == 0
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_what_a_higher_bill_needs_beyond_the_voucher_is_asked_of_the_driver(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=12_000, price=3_000)

    async with Told(dsn) as told:
        await charged(told)
        await told.tell(corrected(20_000))

    assert await used(conn, voucher_id) == (12_000, 3_000, 1)
    assert (await bill(conn))["total_minor"] == 3_000 + 8 * 300
    assert await balance(conn, "driver:ann:balance") == 50_000 - 2_400
    await in_order(conn)


async def test_a_correction_that_is_told_twice_returns_once(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await charged(told)
        outcomes = await told.tell(corrected(4_000), corrected(4_000))
    async with Told(dsn) as told:
        outcomes += await told.tell(corrected(4_000))

    assert [outcome.status for outcome in outcomes] == ["accepted", "refused", "refused"]
    assert await used(conn, voucher_id) == (4_000, 1_000, 1)
    await in_order(conn)


async def test_end_and_corrections_in_one_batch_and_again_by_another_gateway_come_to_the_same(
    dsn: str, conn: Any
) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await told.tell(started(), ended(), corrected(4_000), corrected(7_000, revision=3))
    async with Told(dsn) as told:
        await told.tell(corrected(6_000, revision=5))

    assert await used(conn, voucher_id) == (6_000, 1_500, 1)
    await in_order(conn)


async def test_what_comes_back_is_there_for_the_next_session(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=10_000, price=3_333)

    async with Told(dsn) as told:
        await charged(told, "r1")
        assert (await charged(told, "r2", hour=1, wh=3_000)).fee_minor == 900
        await told.tell(corrected(3_000))
        assert (await charged(told, "r3", hour=2, wh=7_000)).fee_minor == 0

    assert await used(conn, voucher_id) == (10_000, 3_333, 2)
    await in_order(conn)


@pytest.mark.parametrize("prices", [(1, 7), (9_999, 7_001), (5, 10_000)])
async def test_rounding_never_makes_or_loses_a_unit_of_money_however_often_bills_change(
    dsn: str, conn: Any, prices: tuple[int, int]
) -> None:
    price, wh = prices
    voucher_id = await sell(conn, wh=wh, price=price)
    revisions = {"r0": 1, "r1": 1, "r2": 1}

    async with Told(dsn) as told:
        for hour, ref in enumerate(revisions):
            await charged(told, ref, hour=hour, wh=wh // 7)
        for step in range(12):
            ref = f"r{step % 3}"
            [answer] = await told.tell(corrected(wh * (step % 4) // 5, revisions[ref], ref))
            assert answer.status == "accepted"
            revisions[ref] += 2

    units, released, _ = await used(conn, voucher_id)
    assert abs(released - price * units / wh) <= 12
    await in_order(conn)


async def test_a_voucher_that_was_given_back_meanwhile_gets_nothing_and_the_bill_stands(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, refund="unused")

    async with Told(dsn) as told:
        await charged(told)
        await give_back(conn, voucher_id)
        [answer] = await told.tell(corrected(4_000))

    assert (answer.status, answer.reason) == (
        "refused",
        "a voucher that paid for it was given back, or has ended for good: refund a part of its bill",
    )
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_what_paid_before_pays_again_whatever_allowed_it(dsn: str, conn: Any) -> None:
    """A voucher that was carried over, and the one that carried it is used up since."""
    first = await sell(conn, carry_over=True, uses_max=1)
    product = await conn.fetchval("select product_id from voucher")
    await conn.execute(
        "update voucher set (valid_from, valid_until, carry_until) ="
        " (valid_from - $1::interval, valid_until - $1, carry_until - $1)",
        timedelta(days=28),
    )
    await make.fund(conn, "ann", 25_000)
    async with conn.transaction():
        second = await vouchers.buy(conn, new_id(), "ann", product, NOON - timedelta(hours=1))

    async with Told(dsn) as told:
        await charged(told)
        await charged(told, "r2", hour=1)
        await told.tell(corrected(9_000))

    assert await used(conn, first) == (9_000, 2_250, 1)
    assert await used(conn, second["id"]) == (10_000, 2_500, 1)
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_a_driver_of_many_vouchers_gets_back_what_one_gave_that_is_used_up(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, wh=10_000, price=1_000)

    async with Told(dsn) as told:
        await charged(told)
        await conn.execute(
            """
            insert into voucher (id, version, driver_id, product_id, product_version, unit, total, used, price_minor,
                released_minor, currency, vat_percent, valid_from, valid_until, refund, state, bought_at)
            select gen_random_uuid(), 1, driver_id, product_id, product_version, unit, 1, 0, 0, 0, currency,
                vat_percent, now(), now() + interval '900 days', refund, 'active', bought_at
            from voucher, generate_series(1, 250)"""
        )
        [answer] = await told.tell(corrected(4_000))

    assert answer.status == "accepted"
    assert await used(conn, voucher_id) == (4_000, 400, 1)


async def test_a_session_ends_though_it_takes_less_than_a_unit_of_a_voucher_that_was_put_back(
    dsn: str, conn: Any
) -> None:
    """Two Wh for 3 KRW, in one minute of the day; after one came back the other has released 1 of the 2 it should."""
    minute = {"start_time": "21:30", "end_time": "21:31"}
    voucher_id = await sell(conn, wh=2, price=3, conditions=minute)

    async with Told(dsn) as told:
        for days, ref, wh in ((0, "a", 60), (1, "b", 60), (2, "c", 10)):
            await told.tell(started(ref, at=NOON + timedelta(days=days)))
            await told.tell(ended(ref, minutes=1_440 * days + 60, wh=1_000 + wh))
            if ref == "b":
                assert await used(conn, voucher_id) == (2, 3, 2)
                await told.tell(corrected(0, ref="a"))
                assert await used(conn, voucher_id) == (1, 1, 1)

    assert await conn.fetchval("select state from session where ref = 'c'") == "completed"
    await in_order(conn)


async def test_money_that_was_refunded_for_what_a_voucher_paid_comes_back_with_the_units(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await charged(told)
        await told.tell(BillRefunded("S1", "r1", LATER, new_id(), 2_500, "broken plug", "staff"))
        assert await balance(conn, "driver:ann:balance") == 52_500
        await told.tell(corrected(0, revision=2))

    assert await used(conn, voucher_id) == (0, 0, 0)
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


@pytest.mark.parametrize("refuses", [False, True])
async def test_what_a_psp_took_goes_back_through_it_and_what_the_voucher_gave_into_the_voucher(
    dsn: str, conn: Any, pool: db.Pool, refuses: bool
) -> None:
    voucher_id, sue, _ = await second_of_sue(dsn, conn)
    async with stage.working(pool, Psp(refuses)):  # type: ignore[arg-type]
        await stage.drained(conn)

    async with Told(dsn) as told:
        [answer] = await told.tell(corrected(0, ref="r2"))

    assert answer.status == "accepted"
    assert await used(conn, voucher_id) == (0, 0, 0)
    assert await balance(conn, "psp:social:refunds") == (0 if refuses else 1_200)
    assert await balance(conn, f"driver:{sue}:debt") == (-3_000 if refuses else 0)
    await in_order(conn)


# -- ends that come late ----------------------------------------------------------------------------------------------


async def cut_off(told: Told, token: str = make.ANN) -> None:
    """A session that is heard of no more: 5 kWh were read."""
    await told.tell(started(token=token))
    await told.tell(metered(minutes=30, wh=6_000))
    await told.tell(ProvisionallyEnded("S1", "r1", after(300), "silent"))


async def test_an_end_that_comes_after_all_is_billed_as_if_nothing_had_been(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await cut_off(told)
        assert await used(conn, voucher_id) == (5_000, 1_250, 1)
        [answer] = await told.tell(ended())
        await told.tell(ended())

    assert answer.fee_minor == 0
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    uses = await db.SQL.list_voucher_uses.many(conn, voucher_id, 10)
    assert [(use["revision"], use["units"]) for use in uses] == [(1, 5_000), (2, -5_000), (3, 10_000)]
    assert "dispute" not in await conn.fetchval("select flags from session")
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_what_the_late_end_uses_beyond_the_voucher_is_owed_once(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await cut_off(told, BOB)
        assert await balance(conn, "driver:bob:debt") == -300
        await told.tell(ended())

    assert await used(conn, voucher_id) == (4_000, 1_000, 1)
    assert await balance(conn, "driver:bob:debt") == -1_800
    await in_order(conn)


async def test_no_end_at_all_leaves_it_as_it_was_read(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn)

    async with Told(dsn) as told:
        await cut_off(told)
        await told.tell(ProvisionalFinished("S1", "r1", LATER))

    assert await used(conn, voucher_id) == (5_000, 1_250, 1)
    assert await conn.fetchval("select state from session") == "completed"
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_no_voucher_is_given_back_while_a_late_end_may_take_of_it(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, refund="unused")

    async with Told(dsn) as told:
        await cut_off(told)
        with pytest.raises(Conflict, match="no end yet"):
            await give_back(conn, voucher_id)
        await told.tell(ended(wh=21_000))
        await give_back(conn, voucher_id)

    assert await used(conn, voucher_id) == (20_000, 5_000, 1)
    assert await balance(conn, "driver:ann:balance") == 70_000
    await in_order(conn)
