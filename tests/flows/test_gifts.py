"""Gift codes on a real database: shown at stations, redeemed by drivers, taken back; and who pays for them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from csms import db
from csms.base.errors import Conflict
from csms.base.money import Money
from csms.domain import gift_code
from csms.domain.events import BillCorrected, BillRefunded
from csms.flows import gifts, settlements, vouchers
from csms.flows.gifts import BatchSpec, Gone, UnknownCode
from csms.flows.vouchers import ProductSpec
from tests import make
from tests.flows.settling import CHECKER, DECEMBER, LATER, NOVEMBER
from tests.make import NOON, Told, after, ended, new_id, presented, started

UNTIL = NOON + timedelta(days=90)


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def give(conn: Any, count: int = 1, by: Any = "operator", wh: int = 100_000, **more: Any) -> list[str]:
    """Codes for some Wh that are worth 25,000 KRW."""
    provider, until = more.pop("provider", None), more.pop("until", UNTIL)
    spec = ProductSpec(
        f"p{new_id().hex[-8:]}", provider, "Gift", "wh", wh, Money(25_000, "KRW"), Decimal(10), 28, False, None,
        "unused", **more,
    )  # fmt: skip
    async with conn.transaction():
        await vouchers.add_product(conn, spec, NOON)
        batch = BatchSpec("spring", spec.id, count, by, None, until)
        return await gifts.add_batch(conn, batch, "client-test", NOON - timedelta(hours=1))


async def redeem(conn: Any, code: str, driver: str = "bob", at: Any = NOON) -> Any:
    async with conn.transaction():
        return await gifts.redeem(conn, driver, code, at)


async def revoke(conn: Any, at: Any = NOON) -> Any:
    async with conn.transaction():
        await gifts.revoke(conn, "spring", at)
    return await gifts.show(conn, "spring", at)


async def balance(conn: Any, address: str) -> int:
    return int(await conn.fetchval("select balance from account_balance where address = $1", address) or 0)


async def payees(conn: Any) -> int:
    """What operator and provider have got."""
    return sum([await balance(conn, name) for name in ("operator:fee", "vat:output", "provider:P:payable")])


async def in_order(conn: Any) -> None:
    assert await db.check(conn) == {}


async def test_a_code_shown_at_a_station_pays_for_the_session_at_its_funders_cost(dsn: str, conn: Any) -> None:
    [code] = await give(conn)

    async with Told(dsn) as told:
        assert (await told.tell(presented(code.lower())))[0].status == "accepted"
        assert (await told.tell(started(token=code.lower())))[0].status == "accepted"
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 0
    assert await balance(conn, "operator:campaigns") == -2_500
    assert await payees(conn) == 2_500
    assert not await conn.fetchval("select sum(balance) from guarded_account where address like 'voucher:%:deferred'")
    await in_order(conn)


async def test_a_provider_that_gives_away_pays_what_was_used_out_of_its_own_account(dsn: str, conn: Any) -> None:
    [code] = await give(conn, by="provider", provider="P")

    async with Told(dsn) as told:
        await told.tell(started(token=code.lower()))
        await told.tell(ended())

    assert await balance(conn, "operator:campaigns") == 0
    assert await payees(conn) == 0  # its own share came back to it, the operator's part it has paid
    assert await balance(conn, "provider:P:payable") == -250
    statement_id, _ = await settlements.draft(conn, "P", NOVEMBER[0], NOVEMBER[1], "client-test", LATER)
    total = await conn.fetchrow("select * from statement_sum where statement_id = $1", statement_id)
    assert (total["provider_minor"], total["adjustments_minor"], total["due_minor"]) == (2_250, -2_500, -250)
    await in_order(conn)


async def test_a_gift_that_was_used_too_much_goes_back_to_who_gives_it(dsn: str, conn: Any) -> None:
    [code] = await give(conn)

    async with Told(dsn) as told:
        await told.tell(started(token=code.lower()))
        await told.tell(ended())
        await told.tell(BillCorrected("S1", "r1", after(300), 1, 4_000, None, "the meter was wrong", "staff"))

    assert await balance(conn, "operator:campaigns") == -1_000
    assert await payees(conn) == 1_000
    assert await conn.fetchval("select used from voucher") == 4_000
    await in_order(conn)


async def test_a_statement_after_the_correction_puts_on_again_what_the_one_before_took_off(dsn: str, conn: Any) -> None:
    [code] = await give(conn, by="provider", provider="P")

    async with Told(dsn) as told:
        await told.tell(started(token=code.lower()))
        await told.tell(ended())
        december = NOON + timedelta(days=20)
        await told.tell(BillCorrected("S1", "r1", december, 1, 4_000, None, "the meter was wrong", "staff"))
    due = []
    for period in (NOVEMBER, DECEMBER):
        statement_id, _ = await settlements.draft(conn, "P", period[0], period[1], "client-test", LATER)
        total = await conn.fetchrow("select * from statement_sum where statement_id = $1", statement_id)
        due.append((total["provider_minor"], total["adjustments_minor"], total["due_minor"]))
        await settlements.approve(conn, statement_id, CHECKER, LATER, accept_differences=True)

    assert due == [(2_250, -2_500, -250), (900 - 2_250, 2_500 - 1_000, -250 + 150)]  # what November lacked comes first
    assert await balance(conn, "provider:P:payable") == -100
    await in_order(conn)


async def test_what_nobody_uses_costs_nothing(conn: Any) -> None:
    await give(conn, count=20)
    assert await conn.fetchval("select count(*) from transfer where debit = 'operator:campaigns'") == 0
    await in_order(conn)
    assert (await revoke(conn))["revoked"] == 20
    assert await conn.fetchval("select sum(balance) from guarded_account where asset = 'XWH'") == 0
    await in_order(conn)


async def test_a_code_goes_on_being_good_at_stations_until_its_voucher_is_used_up(dsn: str, conn: Any) -> None:
    [code] = await give(conn, wh=15_000)

    async with Told(dsn) as told:
        for number in range(2):
            minutes = number * 120
            await told.tell(started(f"r{number}", token=code.lower(), at=after(minutes)))
            await told.tell(ended(f"r{number}", minutes=minutes + 60, wh=6_000 if number == 0 else 11_000))
        again = (await told.tell(presented(code.lower(), received_at=after(300))))[0]

    assert await conn.fetchval("select used from voucher") == 15_000
    assert again.reason == "no_credit"
    await in_order(conn)


async def test_a_code_that_was_used_at_a_station_cannot_be_redeemed(dsn: str, conn: Any) -> None:
    [code] = await give(conn)
    async with Told(dsn) as told:
        await told.tell(started(token=code.lower()))
        with pytest.raises(Conflict, match="is being used at a station"):
            await redeem(conn, code)
        await told.tell(ended())
    with pytest.raises(Conflict, match="has been used at a station"):
        await redeem(conn, code)
    assert (await gifts.show(conn, "spring", NOON))["redeemed"] == 1
    await in_order(conn)


async def test_a_redeemed_code_is_its_drivers_voucher_and_no_token_any_more(dsn: str, conn: Any) -> None:
    [code] = await give(conn)
    row = await redeem(conn, code, at=after(-1))
    assert (row["driver_id"], row["refund"], row["valid_until"]) == ("bob", "none", after(-1) + timedelta(days=28))
    with pytest.raises(Conflict, match="used already"):
        await redeem(conn, code, "ann")

    async with Told(dsn) as told:
        assert (await told.tell(presented(code.lower())))[0].status == "blocked"
        await told.tell(started(token=make.BOB))
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 0
    assert await balance(conn, "operator:campaigns") == -2_500
    await in_order(conn)


async def test_of_two_drivers_who_redeem_a_code_at_once_one_has_it(pool: db.Pool, conn: Any) -> None:
    codes = await give(conn, count=5)

    async def attempt(code: str, driver: str) -> bool:
        async with pool.acquire() as own:
            try:
                await redeem(own, code, driver)
            except Conflict:
                return False
            return True

    for code in codes:
        assert sorted(await asyncio.gather(attempt(code, "ann"), attempt(code, "bob"))) == [False, True]
    assert await conn.fetchval("select count(*) from voucher where driver_id in ('ann', 'bob')") == 5
    await in_order(conn)


async def test_a_session_and_a_redemption_at_once_never_both_have_the_code(dsn: str, pool: db.Pool, conn: Any) -> None:
    codes = await give(conn, count=24)

    async def attempt(code: str, delay_s: float) -> bool:
        await asyncio.sleep(delay_s)
        async with pool.acquire() as own:
            try:
                await redeem(own, code)
            except Conflict:
                return False
            return True

    async with Told(dsn) as told:
        for number, code in enumerate(codes):
            ref, start = f"r{number}", after(number * 120)
            [outcome], redeemed = await asyncio.gather(
                told.tell(started(ref, token=code.lower(), at=start)), attempt(code, number % 12 / 1_000)
            )
            assert (outcome.status == "accepted") != redeemed, (number, outcome)
            await told.tell(ended(ref, minutes=number * 120 + 60))

    used = await conn.fetchval("select count(*) from voucher where used > 0")
    assert used + await conn.fetchval("select count(*) from voucher_gift where redeemed_at is not null") == 24
    assert await conn.fetchval("select count(*) from transfer where credit like 'driver:gift-%:debt'") == 0
    await in_order(conn)


async def test_codes_in_use_outlive_a_batch_that_is_taken_back(dsn: str, conn: Any) -> None:
    used, redeemed, idle = await give(conn, count=3)
    await redeem(conn, redeemed)

    async with Told(dsn) as told:
        await told.tell(started(token=used.lower()))
        row = await revoke(conn)
        assert (row["redeemed"], row["revoked"]) == (1, 1)
        assert (await told.tell(presented(idle.lower())))[0].status == "blocked"
        [answer] = await told.tell(ended())

    assert answer.fee_minor == 0
    with pytest.raises(Gone, match="taken back"):
        await redeem(conn, idle)
    row = await revoke(conn, after(90))
    assert (row["redeemed"], row["revoked"], row["revoked_at"]) == (2, 1, NOON)
    await in_order(conn)


async def test_a_code_is_good_until_its_batch_ends_and_what_was_redeemed_before_stays(dsn: str, conn: Any) -> None:
    early, late = await give(conn, count=2, until=after(30))
    await redeem(conn, early, at=after(29))
    with pytest.raises(Gone, match="too late"):
        await redeem(conn, late, at=after(30))
    async with Told(dsn) as told:
        assert (await told.tell(presented(late.lower(), received_at=after(30))))[0].reason == "no_credit"
        assert (await told.tell(presented(make.BOB, received_at=after(31))))[0].status == "accepted"
    row = await gifts.show(conn, "spring", after(30))
    assert (row["redeemed"], row["expired"], row["revoked"]) == (1, 1, 0)


async def test_a_code_that_is_nobodys_is_told_from_one_that_was_used(conn: Any) -> None:
    await give(conn)
    with pytest.raises(UnknownCode):
        await redeem(conn, gift_code.make(1))


async def test_a_gift_does_not_become_money_by_a_refund(dsn: str, conn: Any) -> None:
    [code] = await give(conn, wh=4_000)
    await redeem(conn, code, "ann", after(-1))

    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended())  # 4,000 Wh are given, for 25,000 KRW; 6,000 Wh cost 1,800 KRW

        def refund(minor: int) -> BillRefunded:
            return BillRefunded("S1", "r1", after(70), new_id(), minor, "sorry", "client-test")

        assert "a gift paid for the rest" in str((await told.tell(refund(1_801)))[0].reason)
        assert (await told.tell(refund(1_800)))[0].status == "accepted"

    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_ten_thousand_codes_are_made_in_seconds_and_taken_back_too(conn: Any) -> None:
    codes = await asyncio.wait_for(give(conn, count=10_000), 60)
    assert len(set(codes)) == 10_000
    assert (await asyncio.wait_for(revoke(conn), 60))["revoked"] == 10_000
    await in_order(conn)
