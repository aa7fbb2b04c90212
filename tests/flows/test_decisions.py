"""What people and the watchdog decide about bills, on a real database: each case counts its ledger entries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.base.errors import Conflict, NotYet
from csms.base.money import Money
from csms.domain.events import (
    BillCorrected,
    BillRefunded,
    ProvisionalFinished,
    ProvisionallyEnded,
    RestChosen,
    ReviewDecided,
)
from csms.flows import budgets, correct
from csms.flows.budgets import Budget
from csms.flows.correct import By
from csms.flows.erase import erase
from csms.flows.settle import given_up
from csms.flows.through import through
from csms.store import outbox
from csms.store.outbox import Result
from tests import make
from tests.make import BOB, SUE, Told, after, ended, metered, started, verdict


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


@pytest.fixture(autouse=True)
async def _books_hold(conn: Any) -> AsyncIterator[None]:
    """Whatever happened, every invariant of `db/checks` holds afterwards."""
    yield
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def balance(conn: Any, address: str) -> int:
    found = await conn.fetchval("select balance from account_balance where address = $1", address)
    return int(found or 0)


async def entries(conn: Any) -> int:
    return int(await conn.fetchval("select count(*) from transfer"))


async def bills(conn: Any) -> list[tuple[Any, ...]]:
    rows = await conn.fetch(
        "select revision, kind, energy_wh, total_minor, operator_minor, shares_by from bill order by 1"
    )
    return [tuple(row) for row in rows]


def corrected(revision: int = 1, **fields: Any) -> BillCorrected:
    values: dict[str, Any] = {"energy_wh": 5_000, "seconds": None, "reason": "meter exchanged", "by": "staff"}
    return BillCorrected("S1", "r1", after(90), revision, **(values | fields))


def refunded(minor: int, number: int = 1) -> BillRefunded:
    return BillRefunded("S1", "r1", after(90), UUID(int=number << 8), minor, "broken plug", "staff")


def reviewed(action: Any, energy_wh: int | None = None) -> ReviewDecided:
    return ReviewDecided("S1", "r1", after(90), action, energy_wh, "looked at it", "staff")


async def test_a_correction_is_a_reversal_and_a_new_bill_and_the_difference_goes_back(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ended()])
        before = await entries(conn)
        (outcome,) = await told.tell(corrected())

    assert (outcome.status, outcome.fee_minor) == ("accepted", 1_500)
    assert await bills(conn) == [
        (1, "charge", 10_000, 3_000, 300, "run"),
        (2, "credit", -10_000, -3_000, -300, "run"),
        (3, "charge", 5_000, 1_500, 150, "run"),
    ]
    assert await balance(conn, "driver:ann:balance") == 48_500
    assert await balance(conn, "provider:P:payable") == 1_350
    assert await balance(conn, "vat:output") + await balance(conn, "operator:fee") == 150
    assert await entries(conn) - before == 3 + 4


async def test_a_correction_told_twice_is_done_once(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ended(), corrected()])
        before = await entries(conn)
        (outcome,) = await told.tell(corrected())
        both = await told.tell(corrected(3, energy_wh=4_000), corrected(3, energy_wh=3_000))

    assert outcome.status == "refused"
    assert [o.status for o in both] == ["accepted", "refused"]
    assert (await bills(conn))[-1][2] == 4_000
    assert await entries(conn) - before == 3 + 4


@pytest.mark.parametrize(
    ("wh", "decision", "fee"),
    [(11_000, corrected(), 1_500), (11_000, refunded(1_000), 2_000), (901_000, reviewed("correct", 8_000), 2_400)],
)
async def test_what_a_new_process_decides_on_an_old_bill_is_priced_and_divided_as_when_it_was_made(
    dsn: str, conn: Any, wh: int, decision: Any, fee: int
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(wh=wh)])
    await conn.execute(
        "insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)"
        " select id, 2, provider_id, currency, replace(document::text, '300', '900')::json, 1, now() from tariff;"
        " insert into provider_terms (provider_id, version, operator_bp, created_at) values ('P', 2, 5000, now());"
        " update provider set terms_version = 2"
    )
    async with Told(dsn) as told:
        (outcome,) = await told.tell(decision)

    assert (outcome.status, outcome.fee_minor) == ("accepted", fee)
    assert await conn.fetchval("select sum(operator_minor) from bill") == fee // 10


async def test_staff_are_told_when_what_they_decided_broke_and_was_parked(dsn: str, conn: Any) -> None:
    broken = [RuntimeError("a rule broke")]

    def break_once(point: str) -> None:
        if deciding and broken:
            raise broken.pop()

    deciding = False
    async with Told(dsn, at_point=break_once) as told:
        await told.tell_apart([started(), ended()])
        deciding = True
        by = By("staff", after(90), "broken plug")
        bill_id = await conn.fetchval("select id from bill")
        with pytest.raises(Conflict, match="parked"):
            await correct.refund(conn, told.road.submit, bill_id, Money(5, "KRW"), "k", by)

    assert len(await bills(conn)) == 1
    assert await conn.fetchval("select action from parked_report") == "BillRefunded"


async def test_who_decides_while_nothing_can_be_written_is_sent_away_and_it_is_done_once(
    dsn: str, pool: db.Pool, conn: Any
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended()])
        async with pool.acquire() as other, other.transaction():
            await other.execute("select from session for update")
            with pytest.raises(NotYet, match="ask again"):
                await through(told.road.submit, refunded(1_000), answer_s_max=0.1)
            asked_again = asyncio.create_task(through(told.road.submit, refunded(1_000)))
            await asyncio.sleep(0)
        outcome = await asked_again

    assert (outcome.status, outcome.fee_minor) == ("accepted", 2_000)
    assert [bill[3] for bill in await bills(conn)] == [3_000, -1_000]


async def test_a_bill_of_an_erased_driver_is_corrected(dsn: str, conn: Any) -> None:
    await make.fund(conn, "bob", 3_000)
    await budgets.put_budgets(conn, "bob", BOB, [Budget("month", Money(40_000, "KRW"))])
    async with Told(dsn) as told:
        await told.tell_apart([started(token=BOB), ended()])
        await erase(conn, "bob", after(80))
        (outcome,) = await told.tell(corrected())

    assert (outcome.status, outcome.fee_minor) == ("accepted", 1_500)


async def test_a_correction_never_charges_more_than_was_set_aside(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ended(), corrected(energy_wh=200_000)])

    assert await balance(conn, "driver:ann:balance") == 20_000
    assert await conn.fetchval("select not_charged_minor from bill where revision = 3") == 30_000


async def test_refunds_of_a_bill_move_both_shares_and_end_at_nothing(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ended()])
        outcomes = await told.tell_apart([refunded(1_001), refunded(1_001), refunded(1_999, 2), refunded(1, 3)])

    assert [o.status for o in outcomes] == ["accepted", "accepted", "accepted", "refused"]
    assert len(await bills(conn)) == 3
    assert await balance(conn, "driver:ann:balance") == 50_000
    for address in ("provider:P:payable", "operator:fee", "vat:output"):
        assert await balance(conn, address) == 0


async def test_a_refund_to_a_psp_takes_no_more_than_its_payment_has_left(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        (ask_at,) = [told.send(started(token=SUE))]
        await told.tell(metered())
        await told.tell(verdict(told.asks[0]))
        await ask_at
        await told.tell(ended())
        waiting = (await told.tell(refunded(1_000)))[0]
        await _collected(conn)
        await told.tell(refunded(1_000, 2))
        await told.tell(refunded(2_000, 3))

    assert waiting.status == "refused"
    assert "being collected" in (waiting.reason or "")
    assert await conn.fetchval("select refunded_minor from payment") == 3_000
    assert await balance(conn, "psp:social:refunds") == 3_000
    assert await conn.fetchval("select count(*) from outbox where kind = 'psp.refund' and state = 'waiting'") == 2


@pytest.mark.parametrize("decision", [corrected(energy_wh=0), refunded(3_000)])
async def test_a_fee_that_is_not_known_to_be_taken_is_given_to_nobody(dsn: str, conn: Any, decision: Any) -> None:
    async with Told(dsn) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(verdict(told.asks[0]))
        await waits
        await told.tell(ended())
        (job,) = await outbox.claim(conn, 9, 15)
        listed = given_up(job, "collect_failed", "unknown: no answer", after(61))
        await outbox.save(conn, [Result(job, "given_up", concerns=(listed,))])
        (outcome,) = await told.tell(decision)

    assert (outcome.status, outcome.fee_minor) == ("accepted", 0)
    driver_id = await conn.fetchval("select driver_id from session")
    assert await balance(conn, f"driver:{driver_id}:balance") == 0
    assert await balance(conn, "psp:social:receivable") == 0
    assert [bill[3:] for bill in (await bills(conn))[:2]] == [(3_000, 300, "psp"), (-3_000, -300, "psp")]


async def _collected(conn: Any) -> None:
    """As the worker leaves it: the fee is taken, and the payment known."""
    await conn.execute("update outbox set state = 'done', done_at = now() where kind = 'psp.collect'")
    row = await conn.fetchrow("select session_id, driver_id, total_minor from bill")
    await conn.execute(
        "insert into payment (id, psp, psp_ref, driver_id, kind, session_id, amount_minor, currency, at)"
        " values (gen_random_uuid(), 'social', 'pay-1', $1, 'session', $2, $3, 'KRW', now())",
        row["driver_id"], row["session_id"], row["total_minor"],
    )  # fmt: skip
    await conn.fetchval(
        "select post(array[(gen_random_uuid(), 'session/x/collected', 'collected', $1, now())]::posting_in[],"
        " array[(1, 1, 'psp:social:clearing', 'psp:social:receivable', 'KRW', $2)]::transfer_in[])",
        str(row["session_id"]), row["total_minor"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "energy_wh", "fee", "billed_wh"),
    [("release", None, 30_000, 900_000), ("correct", 8_000, 2_400, 8_000), ("waive", None, 0, 900_000)],
)
async def test_a_held_bill_is_released_corrected_or_waived_once(
    dsn: str, conn: Any, action: Any, energy_wh: int | None, fee: int, billed_wh: int
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(wh=901_000)])
        assert await conn.fetchval("select state from session") == "review"
        assert await balance(conn, "driver:ann:balance") == 20_000
        first = (await told.tell(reviewed(action, energy_wh)))[0]
        again = (await told.tell(reviewed(action, energy_wh)))[0]

    assert (first.status, first.fee_minor, again.status) == ("accepted", fee, "refused")
    assert await conn.fetchval("select energy_wh from session where state = 'completed'") == billed_wh
    assert await balance(conn, "driver:ann:balance") == 50_000 - fee
    assert await conn.fetchval("select resolution from exception where kind = 'session_review'")


async def test_a_session_without_news_is_billed_by_its_last_reading_and_keeps_the_rest_aside(
    dsn: str, conn: Any
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ProvisionallyEnded("S1", "r1", after(120), "PowerLoss")])

    row = await conn.fetchrow("select * from session")
    assert (row["state"], row["energy_wh"], row["fee_minor"], row["ended_at"]) == ("provisional", 3_000, 900, after(30))
    assert await balance(conn, f"session:{row['id']}:held") == 29_100
    assert await balance(conn, "driver:ann:balance") == 20_000


async def test_the_true_end_of_a_session_without_news_supersedes_its_bill(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ProvisionallyEnded("S1", "r1", after(120), "PowerLoss")])
        before = await entries(conn)
        late = ended(received_at=after(3_000))
        outcomes = await told.tell_apart([late, late])

    assert [o.fee_minor for o in outcomes] == [3_000, 3_000]
    assert [bill[3] for bill in await bills(conn)] == [900, -900, 3_000]
    assert await balance(conn, "driver:ann:balance") == 47_000
    assert await balance(conn, "provider:P:payable") == 2_700
    assert await entries(conn) - before == 3 + 4


async def test_a_session_without_news_and_its_end_in_one_batch_leave_one_fee(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell(started(), metered(), ProvisionallyEnded("S1", "r1", after(120), "PowerLoss"), ended())

    assert await conn.fetchval("select sum(total_minor) from bill") == 3_000
    assert await balance(conn, "driver:ann:balance") == 47_000


async def test_where_no_end_comes_the_provisional_bill_stands_and_the_rest_goes_back(dsn: str, conn: Any) -> None:
    finish = ProvisionalFinished("S1", "r1", after(5_000))
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ProvisionallyEnded("S1", "r1", after(120), "PowerLoss")])
        await told.tell_apart([finish, finish, ended(received_at=after(6_000))])

    assert await conn.fetchval("select state from session") == "completed"
    assert len(await bills(conn)) == 1
    assert await balance(conn, "driver:ann:balance") == 49_100
    assert await conn.fetchval("select count(*) from exception where kind = 'session_dispute'") == 1


async def test_a_psp_is_told_of_a_provisional_fee_only_when_it_is_final(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(verdict(told.asks[0]))
        await waits
        await told.tell(ProvisionallyEnded("S1", "r1", after(120), "PowerLoss"))
        assert await conn.fetchval("select count(*) from outbox") == 0
        await told.tell(ended(received_at=after(500)))

    assert [bill[3] for bill in await bills(conn)] == [900, -900, 3_000]
    assert await balance(conn, "psp:social:receivable") == -3_000
    payload = await conn.fetchval("select payload ->> 'bill' from outbox where kind = 'psp.collect'")
    assert await conn.fetchval("select revision from bill where id = $1::uuid", UUID(payload)) == 3


async def test_the_drivers_choice_counts_until_the_session_is_settled(dsn: str, conn: Any) -> None:
    choice = RestChosen("S1", "r1", after(10), "refund")
    async with Told(dsn) as told:
        first, _, late = await told.tell_apart([started(), metered(), choice]), None, None
        end = await told.tell(ended())
        late = (await told.tell(RestChosen("S1", "r1", after(90), "keep")))[0]

    assert [o.status for o in (*first, *end)] == ["accepted"] * 4
    assert late is not None
    assert late.status == "refused"
    jobs = await conn.fetch("select key, payload ->> 'minor' as minor from outbox where kind = 'balance.refund_rest'")
    assert [row["minor"] for row in jobs] == ["27000"]


async def test_decisions_on_what_is_not_there_are_refused_in_words(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcomes = await told.tell(
            corrected(), refunded(5), reviewed("waive"), RestChosen("S1", "r1", after(1), "keep")
        )
        await told.tell(started())
        running = await told.tell(corrected(0), refunded(5), reviewed("waive"))

    assert {o.status for o in (*outcomes, *running)} == {"refused"}
    assert all(o.reason for o in (*outcomes, *running))
    assert await conn.fetchval("select count(*) from bill") == 0
    async with Told(dsn) as told:
        await told.tell(ended(received_at=after(60) + timedelta(seconds=1)))
