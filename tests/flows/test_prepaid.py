"""Prepaid balances on a real database: holds raised, sessions stopped, rests sent back, debts asked for, once each."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from csms import db, observe
from csms.base.errors import Conflict, Refused
from csms.base.money import Money
from csms.domain.events import BillCorrected, ProvisionallyEnded, RestChosen, ReviewDecided, SpendingChecked
from csms.flows import budgets, debts, settle, top_up
from csms.flows.budgets import Budget
from csms.flows.refund_rest import Wish, send_back
from csms.psp.base import Found, top_up_order
from csms.store import outbox
from tests import make
from tests.make import ANN, BOB, NOON, SUE, Told, after, ended, metered, presented, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def balance(conn: Any, address: str) -> int:
    found = await conn.fetchval("select balance from account_balance where address = $1", address)
    return int(found or 0)


async def held(conn: Any, ref: str = "r1") -> int:
    session_id = await conn.fetchval("select id from session where ref = $1", ref)
    return await balance(conn, f"session:{session_id}:held")


async def jobs(conn: Any, kind: str) -> list[str]:
    rows = await conn.fetch("select key from outbox where kind = $1 order by created_at, id", kind)
    return [row["key"].split("/", 2)[2] for row in rows]


async def pay(conn: Any, driver: str, minor: int, ref: str, psp: str = "social", at: Any = NOON) -> bool:
    return await top_up.fund(conn, driver, Money(minor, "KRW"), psp, ref, at)


async def checked(told: Told, ref: str = "r1", station: str = "S1", at: Any = NOON) -> None:
    await told.tell(SpendingChecked(station, ref, at))


async def in_order(conn: Any) -> None:
    """The books hold."""
    assert await db.check(conn) == {}


async def spent_session(told: Told, conn: Any) -> None:
    """Bob has 1,000 KRW and has used 900 of it: 3 kWh in ten minutes."""
    await pay(conn, "bob", 1_000, "pay-1")
    await told.tell(started(token=BOB))
    await told.tell(metered(minutes=5, wh=2_500))
    await told.tell(metered(minutes=10, wh=4_000))
    await told.tell(presented())  # the look at its spending was put on the road before this


async def test_a_session_that_is_nearly_spent_raises_its_hold_and_then_is_stopped_once(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell(started())
        for step in range(1, 12):
            await told.tell(metered(minutes=step * 60, wh=1_000 + step * 20_000))
            await told.tell(presented())
        assert await conn.fetchval("select hold_minor from session") == 50_000
        assert await balance(conn, "driver:ann:balance") == 0
        assert "spent" in await conn.fetchval("select flags from session")
        assert (await told.tell(ended(minutes=500, wh=161_000)))[0].fee_minor == 48_000

    assert await jobs(conn, "station.stop") == ["stop/50000", "stop-over/50000"]
    assert await jobs(conn, "station.limit") == ["limit/50000"]
    assert await balance(conn, "driver:ann:balance") == 2_000
    await in_order(conn)


async def test_a_top_up_while_charging_raises_the_hold_and_withdraws_the_stop(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await spent_session(told, conn)
        assert await jobs(conn, "station.stop") == ["stop/1000"]
        await pay(conn, "bob", 5_000, "pay-2")
        await checked(told)
        assert (await held(conn), await balance(conn, "driver:bob:balance")) == (6_000, 0)
        assert "spent" not in await conn.fetchval("select flags from session")
        await checked(told)
        assert await held(conn) == 6_000
        await told.tell(ended(minutes=20, wh=5_000))

    assert (await held(conn), await balance(conn, "driver:bob:balance")) == (0, 4_800)
    await in_order(conn)


async def test_a_look_that_comes_after_the_end_or_for_nobody_changes_nothing(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended()])
        await checked(told)
        await checked(told, "never-heard-of")
        await checked(told, "r1", "S2")
    assert await jobs(conn, "station.stop") == []
    assert await balance(conn, "driver:ann:balance") == 47_000


async def test_looks_that_have_not_begun_do_not_pile_up(dsn: str, pool: db.Pool, conn: Any) -> None:
    async with Told(dsn) as told:
        await spent_session(told, conn)
        async with pool.acquire() as other, other.transaction():
            await other.execute("select from session for update")
            stuck = told.send(metered(minutes=11, wh=4_100))  # passes the watch; its own look comes after it
            waits = told.send(ended(minutes=12, wh=4_100))
            await asyncio.sleep(0.1)
            before = reports_taken()
            for second in range(1_000):
                told.road.check(SpendingChecked("S1", "r1", after(12 + second)))
        await asyncio.gather(stuck, waits)
        await told.tell(presented())
    assert reports_taken() - before < 10


def reports_taken() -> float:
    """Reports that were written in batches, by our metrics."""
    (metric,) = observe.BATCH_REPORTS.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_sum"))


async def test_two_processes_raise_a_hold_once(dsn: str, conn: Any) -> None:
    async with Told(dsn) as one, Told(dsn) as other:
        await spent_session(one, conn)
        await pay(conn, "bob", 5_000, "pay-2")
        await asyncio.gather(*[checked(told) for told in (one, other) for _ in range(5)])
    assert (await held(conn), await balance(conn, "driver:bob:balance")) == (6_000, 0)
    await in_order(conn)


async def test_what_is_delivered_far_above_the_hold_is_listed_for_people(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(minutes=600, wh=1000 + 150_000)])
    listed = await conn.fetchrow("select kind, details->>'not_charged_minor' as lost from exception")
    assert (listed["kind"], listed["lost"]) == ("overspent", "15000")


async def test_starts_at_two_stations_share_a_balance_and_never_overdraw_it(dsn: str, conn: Any) -> None:
    async with Told(dsn) as one, Told(dsn) as other:
        outcomes = await asyncio.gather(
            *[
                told.send(started(f"{station}-{number}", station_id=station, connector=1))
                for told, station in ((one, "S1"), (other, "S2"))
                for number in range(4)
            ]
        )
    accepted = [outcome for outcome in outcomes if outcome.status == "accepted"]
    assert len(accepted) == 2  # 30,000 and the 20,000 that were left
    assert {outcome.reason for outcome in outcomes if outcome.status != "accepted"} == {"no_credit"}
    assert await balance(conn, "driver:ann:balance") == 0
    await in_order(conn)


async def test_a_tokens_budget_holds_against_starts_at_two_stations_at_once(dsn: str, conn: Any) -> None:
    await pay(conn, "ann", 500_000, "pay-1")
    await budgets.put_budgets(conn, "ann", ANN, [Budget("day", Money(40_000, "KRW"), "Asia/Seoul")])
    async with Told(dsn) as one, Told(dsn) as other:
        outcomes = await asyncio.gather(
            *[
                told.send(started(f"{station}-{number}", station_id=station))
                for told, station in ((one, "S1"), (other, "S2"))
                for number in range(3)
            ]
        )
        assert sorted(outcome.reason or "" for outcome in outcomes) == ["", "", *["budget_spent"] * 4]
        assert await conn.fetchval("select sum(hold_minor)::bigint from session where state = 'active'") == 40_000
        running = await conn.fetch("select station_id, ref, hold_minor from session where state = 'active'")
        for row in running:
            told = one if row["station_id"] == "S1" else other
            await told.tell(ended(row["ref"], station_id=row["station_id"], wh=6_000))  # 1,500 each
        (after_all,) = await budgets.list_budgets(conn, "ann", ANN, NOON)
        assert (after_all["limit_minor"], after_all["used_minor"]) == (40_000, 3_000)
        assert (await one.tell(started("r-next")))[0].status == "accepted"
        assert await conn.fetchval("select hold_minor from session where ref = 'r-next'") == 30_000
    await in_order(conn)


async def test_a_budget_ends_with_its_period_and_counts_in_its_own_zone(dsn: str, conn: Any) -> None:
    await budgets.put_budgets(conn, "ann", ANN, [Budget("day", Money(3_000, "KRW"), "Asia/Seoul")])
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended()])  # 3,000 at 21:00 in Seoul
        refused = (await told.tell(started("late", at=after(150))))[0]
        assert (refused.reason, (await told.tell(presented(received_at=after(150))))[0].reason) == ("budget_spent",) * 2
        tomorrow = (await told.tell(started("next", at=after(185))))[0]  # five past midnight there
    assert tomorrow.status == "accepted"
    assert await held(conn, "next") == 3_000


async def test_a_months_limit_holds_at_its_end_beside_that_of_a_day(dsn: str, conn: Any) -> None:
    limits = [Budget("day", Money(30_000, "KRW")), Budget("month", Money(45_000, "KRW"))]
    await budgets.put_budgets(conn, "ann", ANN, limits)  # each day 1,500: the month's is spent on its last
    async with Told(dsn) as told:
        for day in range(30):
            at = NOON + timedelta(days=11 + day)
            ref = f"r{day}"
            told_end = ended(ref, wh=6_000, at=at + timedelta(hours=1), received_at=at + timedelta(hours=1))
            await told.tell_apart([started(ref, at=at), told_end])
        at = NOON + timedelta(days=41)
        (outcome,) = await told.tell(started("last", at=at))
    assert (outcome.status, outcome.reason) == ("no_credit", "budget_spent")


async def test_a_limit_per_session_caps_its_hold_and_an_alias_shares_it(dsn: str, conn: Any) -> None:
    await conn.execute(
        "insert into token (key, value, type, driver_id, alias_of, created_at) select sha256('0A11A50A'), '0A11A50A',"
        " 'rfid', 'ann', key, now() from token where value = $1",
        ANN,
    )
    await budgets.put_budgets(conn, "ann", "0A11A50A", [Budget("session", Money(2_000, "KRW"))])
    async with Told(dsn) as told:
        await told.tell(started(token="0A11A50A"))
        assert await held(conn) == 2_000
        await told.tell(metered(minutes=30, wh=7_500))
        await checked(told, at=after(30))
        assert (await held(conn), await jobs(conn, "station.stop")) == (2_000, ["stop/2000"])


async def test_what_staff_decide_on_a_bill_counts_in_its_tokens_budget(dsn: str, conn: Any) -> None:
    await budgets.put_budgets(conn, "ann", ANN, [Budget("month", Money(40_000, "KRW"))])

    async def used() -> int:
        (row,) = await budgets.list_budgets(conn, "ann", ANN, NOON)
        return int(row["used_minor"])

    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(wh=1000 + 600_000)])  # implausible: held, with what is set aside
        assert await used() == 30_000
        await told.tell(ReviewDecided("S1", "r1", after(90), "correct", 10_000, "read at the meter", "staff"))
        assert await used() == 3_000
        await told.tell(BillCorrected("S1", "r1", after(91), 1, 4_000, None, "read again", "staff"))
        assert await used() == 1_200
        await told.tell(BillCorrected("S1", "r1", after(92), 3, 9_000, None, "and again", "staff"))
        assert await conn.fetchval("select fee_minor from session") == 2_700
    await in_order(conn)


async def test_a_driver_who_owes_starts_nothing_until_a_top_up_paid_it(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB, offline=True), ended()])
        assert await balance(conn, "driver:bob:debt") == -3_000
        refused = (await told.tell(started("r2", token=BOB)))[0]
        assert (refused.status, refused.reason) == ("no_credit", "debt")
        assert (await told.tell(presented(BOB)))[0].reason == "debt"
        assert await pay(conn, "bob", 2_000, "pay-1")
        assert (await told.tell(presented(BOB)))[0].reason == "debt"
        assert await pay(conn, "bob", 5_000, "pay-2")
        assert (await told.tell(started("r3", token=BOB)))[0].status == "accepted"
    assert await balance(conn, "driver:bob:debt") == 0
    assert await held(conn, "r3") == 4_000
    await in_order(conn)


async def test_a_payment_tops_up_once_however_often_it_is_told_at_once(pool: db.Pool, conn: Any) -> None:
    await conn.execute(
        "select post(array[(gen_random_uuid(), 'debt', 'debt', 'x', now())]::posting_in[],"
        " array[(1, 1, 'driver:bob:debt', 'psp:social:receivable', 'KRW', 300)]::transfer_in[])"
    )

    async def tell(ref: str) -> bool:
        async with pool.acquire() as mine:
            return await pay(mine, "bob", 200, ref)

    told = await asyncio.gather(*[tell(ref) for ref in ("a", "b", "a", "b", "c", "a", "c")])
    assert sorted(told) == [False] * 4 + [True] * 3
    assert (await balance(conn, "driver:bob:debt"), await balance(conn, "driver:bob:balance")) == (0, 300)
    assert await conn.fetchval("select count(*) from payment") == 3
    with pytest.raises(Conflict):
        await pay(conn, "bob", 201, "a")
    with pytest.raises(Conflict):
        await pay(conn, "ann", 200, "a")


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (Found("taken", "p", 5_000, currency="KRW", order=top_up_order("bob", "1")), None),
        (Found("missing"), Refused),
        (Found("declined"), Refused),
        (Found("unknown"), Conflict),
        (Found("taken", "p", 4_999, currency="KRW", order=top_up_order("bob", "1")), Refused),
        (Found("taken", "p", 5_000, currency="JPY", order=top_up_order("bob", "1")), Refused),
        (Found("taken", "p", 5_000, currency="KRW", order=top_up_order("ann", "1")), Refused),
        (Found("taken", "p", 5_000, currency="KRW", order="session"), Refused),
        (Found("taken", "p", 5_000, currency="KRW", order=top_up_order("bob", "1"), refunded_minor=1), Refused),
        (None, None),
    ],
)
def test_only_a_payment_of_this_driver_that_its_psp_confirms_is_a_top_up(found: Any, error: Any) -> None:
    if error is None:
        top_up.check(found, "bob", Money(5_000, "KRW"), "p")
    else:
        with pytest.raises(error):
            top_up.check(found, "bob", Money(5_000, "KRW"), "p")


def wish(key: str, minor: int, **more: Any) -> Wish:
    return Wish(key, "bob", Money(minor, "KRW"), ["social", "stripe"], "rest", "test", **more)


async def test_a_rest_goes_back_newest_first_and_never_more_than_a_payment_has_left(conn: Any) -> None:
    await pay(conn, "bob", 1_000, "old", at=NOON)
    await pay(conn, "bob", 500, "till", psp="cash", at=after(1))
    await pay(conn, "bob", 700, "new", psp="stripe", at=after(2))
    parts = await send_back(conn, wish("k1", 900), NOON)
    assert [(part.psp, part.minor) for part in parts] == [("stripe", 700), ("social", 200)]
    assert await send_back(conn, wish("k1", 900), NOON) == []
    parts = await send_back(conn, wish("k2", 5_000), NOON)
    assert [(part.psp, part.minor) for part in parts] == [("social", 800)]
    assert await balance(conn, "driver:bob:balance") == 500
    assert await balance(conn, "psp:social:refunds") == 1_000
    assert await conn.fetchval("select sum(amount_minor)::bigint from refund where state = 'pending'") == 1_700
    assert await conn.fetchval("select count(*) from outbox where kind = 'psp.refund'") == 3


async def test_a_refund_that_cannot_be_whole_is_refused_and_nothing_moves(conn: Any) -> None:
    await pay(conn, "bob", 1_000, "old")
    with pytest.raises(Refused, match="at most 1000 KRW"):
        await send_back(conn, wish("k1", 1_001, whole=True), NOON)
    assert await balance(conn, "driver:bob:balance") == 1_000
    assert await conn.fetchval("select count(*) from refund") == 0


async def test_refunds_at_once_never_send_back_more_than_there_is(pool: db.Pool, conn: Any) -> None:
    await pay(conn, "bob", 1_000, "old")

    async def ask(key: str) -> int:
        async with pool.acquire() as mine:
            return sum(part.minor for part in await send_back(mine, wish(key, 300), NOON))

    sent = await asyncio.gather(*[ask(f"k{number % 6}") for number in range(12)])
    assert sum(sent) == 1_000
    assert await balance(conn, "driver:bob:balance") == 0


async def test_a_choice_for_one_session_beats_the_drivers_until_it_is_settled(dsn: str, conn: Any) -> None:
    await conn.execute("update driver set rest = 'refund' where id = 'ann'")
    async with Told(dsn) as told:
        await told.tell(started("a"), started("b", connector=2))
        assert (await told.tell(RestChosen("S1", "a", NOON, "keep")))[0].status == "accepted"
        await told.tell(ended("a"), ended("b"))
        too_late = (await told.tell(RestChosen("S1", "a", NOON, "refund")))[0]
    assert too_late.status == "refused"
    assert await conn.fetchval("select count(*) from outbox where kind = 'balance.refund_rest'") == 1


async def owe(dsn: str) -> None:
    """Bob owes 3,000 KRW for a session that began offline."""
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB, offline=True), ended()])


async def test_a_debt_is_noticed_first_then_retried_then_listed_and_resolved_when_paid(dsn: str, conn: Any) -> None:
    await owe(dsn)

    async def state_at(days: float) -> str | None:
        await debts.sweep(conn, NOON + timedelta(days=days))
        found = await conn.fetchval("select state from dunning order by since desc limit 1")
        return None if found is None else str(found)

    states = [await state_at(day) for day in (0, 0.5, 1.1, 2, 4.2, 7.3, 10.4, 11)]
    assert states == ["noticed", "noticed", "retrying", "retrying", "retrying", "retrying", "listed", "listed"]
    assert await conn.fetchval("select count(*) from exception where kind = 'debt' and resolved_at is null") == 1
    await pay(conn, "bob", 3_000, "pay-1")
    assert await state_at(12) == "resolved"
    assert await conn.fetchval("select resolution from exception where kind = 'debt'") == "paid"


async def test_a_debt_is_paid_from_what_comes_back_to_the_balance(dsn: str, conn: Any) -> None:
    await owe(dsn)
    await make.fund(conn, "bob", 1_200)
    await debts.sweep(conn, NOON)
    assert (await balance(conn, "driver:bob:debt"), await balance(conn, "driver:bob:balance")) == (-1_800, 0)
    await make.fund(conn, "bob", 5_000)
    await debts.sweep(conn, NOON)
    await debts.sweep(conn, NOON)
    assert (await balance(conn, "driver:bob:debt"), await balance(conn, "driver:bob:balance")) == (0, 3_200)


async def test_what_a_late_end_billed_is_asked_for_again_when_its_psp_refused_it(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(make.verdict(told.asks[0]))
        await waits
        await told.tell_apart([ProvisionallyEnded("S1", "r1", after(120), "PowerLoss"), ended(received_at=after(500))])
    (job,) = await outbox.claim(conn, 9, 15)
    assert job.of is not None
    await outbox.save(conn, [settle.not_collected(job, job.of, "declined", after(501))])
    assert [await debts.sweep(conn, NOON + timedelta(days=day)) for day in (1, 3)] == [0, 1]
    (again,) = await outbox.claim(conn, 9, 15)
    assert (again.kind, again.of) == ("debt.collect", job.of)
