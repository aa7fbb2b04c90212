"""A bill that vouchers paid for is taken back: they get back what they gave, once, and a new bill takes anew (V06)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from csms import db
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
        async with conn.transaction():
            await vouchers.give_back(conn, "ann", voucher_id, LATER)
        [answer] = await told.tell(corrected(4_000))

    assert (answer.status, answer.reason) == (
        "refused",
        "a voucher that paid for it was given back, or has ended for good: refund a part of its bill",
    )
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
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


async def test_a_late_end_whose_voucher_was_given_back_is_a_dispute(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, refund="unused")

    async with Told(dsn) as told:
        await cut_off(told)
        async with conn.transaction():
            await vouchers.give_back(conn, "ann", voucher_id, after(400))
        await told.tell(ended())

    assert await used(conn, voucher_id) == (5_000, 1_250, 1)
    row = await conn.fetchrow("select state, flags from session")
    assert row["state"] == "completed"
    assert "dispute" in row["flags"]
    await in_order(conn)
