"""The statement run: each bill on one statement, two people, what psps pay is not paid again."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Any

import pytest

from csms import db
from csms.base.errors import Conflict, NotFound, Refused
from csms.flows import settlements
from tests.flows.settling import (
    CHECKER,
    DECEMBER,
    JANUARY,
    LATER,
    MAKER,
    NOVEMBER,
    bill,
    day,
    draft,
    payable,
    provider,
    psp_said,
    settle,
    total,
)  # fmt: skip


@pytest.fixture
async def books(conn: Any) -> Any:
    """A provider P without bills."""
    await provider(conn)
    return conn


async def test_a_statement_adds_up_the_bills_of_its_period(books: Any) -> None:
    await bill(books, 900)
    await bill(books, 1_800, day(11, 30, 23))
    await bill(books, 5_000, day(12, 1, 0))
    row = await total(books, await draft(books))
    assert (row["charges"], row["fees_minor"], row["operator_minor"], row["provider_minor"]) == (2, 2_970, 270, 2_700)
    assert (row["opening_minor"], row["by_psp_minor"], row["due_minor"], row["remitted_minor"]) == (0, 0, 2_700, 2_700)


async def test_the_day_of_a_bill_is_that_of_the_providers_zone(conn: Any) -> None:
    await provider(conn, zone="Asia/Seoul")
    await bill(conn, 100, datetime(2026, 10, 31, 15, tzinfo=UTC))  # midnight of 1 November in Seoul
    await bill(conn, 10, datetime(2026, 11, 30, 15, tzinfo=UTC))  # midnight of 1 December
    assert (await total(conn, await settle(conn)))["due_minor"] == 100
    assert (await total(conn, await settle(conn, DECEMBER)))["due_minor"] == 10


async def test_who_drafted_a_statement_does_not_approve_it(books: Any) -> None:
    await bill(books, 900)
    id_ = await draft(books)
    with pytest.raises(settlements.NeedsAnother):
        await settlements.approve(books, id_, MAKER, LATER)
    await settlements.approve(books, id_, CHECKER, LATER)
    with pytest.raises(Conflict, match="approved"):
        await settlements.approve(books, id_, CHECKER, LATER)


async def test_the_database_refuses_one_person_too(books: Any) -> None:
    id_ = await draft(books)
    with pytest.raises(db.asyncpg.CheckViolationError, match="two_people"):
        await books.execute(
            "update statement set state = 'approved', approved_by = drafted_by, approved_at = now() where id = $1", id_
        )


async def test_the_same_period_again_is_the_same_statement(books: Any) -> None:
    await bill(books, 900)
    id_ = await draft(books)
    assert await settlements.draft(books, "P", *NOVEMBER, "somebody", LATER) == (id_, False)


async def test_two_processes_that_run_a_period_at_once_make_one_statement(pool: Any, books: Any) -> None:
    for _ in range(20):
        await bill(books, 900)

    async def one() -> Any:
        async with pool.acquire() as own:
            return await settlements.draft(own, "P", *NOVEMBER, MAKER, LATER)

    answers = await asyncio.gather(*[one() for _ in range(6)])
    assert len({id_ for id_, _ in answers}) == 1
    assert sorted(is_new for _, is_new in answers) == [False] * 5 + [True]
    assert (await total(books, answers[0][0]))["charges"] == 20


async def test_two_approvals_at_once_remit_once(pool: Any, books: Any) -> None:
    await bill(books, 900)
    id_ = await draft(books)

    async def one(by: str) -> bool:
        async with pool.acquire() as own:
            try:
                await settlements.approve(own, id_, by, LATER)
            except Conflict:
                return False
            return True

    assert sorted(await asyncio.gather(*[one(f"checker-{n}") for n in range(5)])) == [False] * 4 + [True]
    assert await books.fetchval("select count(*) from remittance") == 1


async def test_a_bill_that_comes_late_is_on_the_next_statement(books: Any) -> None:
    await bill(books, 900)
    await settle(books)
    late, _ = await bill(books, 50, day(11, 20))
    december = await settle(books, DECEMBER)
    assert (await total(books, december))["due_minor"] == 50
    assert await books.fetchrow("select statement_id, late from statement_bill where bill_id = $1", late) == (
        december,
        True,
    )


async def test_a_bill_that_is_being_written_while_its_period_is_closed_is_on_the_next_statement(
    pool: Any, books: Any
) -> None:
    await bill(books, 900)
    async with pool.acquire() as road, road.transaction():
        late, _ = await bill(road, 50, day(11, 30, 23))
        november = await settle(books)
    assert (await total(books, november))["due_minor"] == 900
    december = await settle(books, DECEMBER)
    assert (await total(books, december))["due_minor"] == 50
    assert await books.fetchval("select statement_id from statement_bill where bill_id = $1", late) == december


async def test_a_period_that_is_not_over_or_overlaps_is_refused(books: Any) -> None:
    with pytest.raises(Refused, match="not over before"):
        await settlements.draft(books, "P", *NOVEMBER, MAKER, day(11, 30))
    await settle(books)
    with pytest.raises(Conflict, match="the last statement ends"):
        await settlements.draft(books, "P", date(2026, 11, 15), date(2026, 12, 15), MAKER, LATER)
    with pytest.raises(NotFound):
        await settlements.draft(books, "Q", *NOVEMBER, MAKER, LATER)


async def test_one_draft_at_a_time(books: Any) -> None:
    await draft(books)
    with pytest.raises(Conflict, match="approve or cancel it first"):
        await draft(books, DECEMBER)


async def test_the_bills_of_a_cancelled_draft_are_free_again(books: Any) -> None:
    await bill(books, 900)
    first = await draft(books)
    await settlements.cancel(books, first, MAKER, LATER)
    second = await draft(books)
    assert second != first
    assert (await total(books, second))["due_minor"] == 900
    with pytest.raises(Conflict, match="cancelled"):
        await settlements.approve(books, first, CHECKER, LATER)


async def test_an_approved_statement_is_not_cancelled(books: Any) -> None:
    with pytest.raises(Conflict, match="only a draft"):
        await settlements.cancel(books, await settle(books), MAKER, LATER)


async def test_less_than_the_minimum_is_carried_over(conn: Any) -> None:
    await provider(conn, minimums={"KRW": 1_000})
    await bill(conn, 999)
    first = await total(conn, await settle(conn))
    assert (first["remitted_minor"], first["carried_minor"]) == (0, 999)
    await bill(conn, 1, day(12, 5))
    second = await total(conn, await settle(conn, DECEMBER))
    assert (second["opening_minor"], second["due_minor"], second["remitted_minor"]) == (999, 1_000, 1_000)


async def test_a_refund_after_settlement_makes_the_provider_negative_and_its_next_bills_pay(books: Any) -> None:
    _, session = await bill(books, 900)
    await settle(books)
    await bill(books, -900, day(12, 3), of=session)
    december = await total(books, await settle(books, DECEMBER))
    assert (december["credits"], december["due_minor"], december["carried_minor"]) == (1, -900, -900)
    listed = await books.fetchrow("select ref, details ->> 'due_minor' as due from exception where resolved_at is null")
    assert listed["ref"].startswith("statement/") and listed["due"] == "-900"
    await bill(books, 2_000, datetime(2027, 1, 5, tzinfo=UTC))
    january = await total(books, await settle(books, JANUARY))
    assert (january["opening_minor"], january["remitted_minor"]) == (-900, 1_100)
    assert await books.fetchval("select count(*) from exception where resolved_at is null") == 0


async def test_currencies_are_settled_apart(books: Any) -> None:
    await bill(books, 900)
    await bill(books, 250, currency="EUR")
    id_ = await settle(books)
    rows = await books.fetch("select currency, amount_minor from remittance where statement_id = $1 order by 1", id_)
    assert [tuple(row) for row in rows] == [("EUR", 250), ("KRW", 900)]


async def test_what_a_psp_pays_is_listed_and_not_due(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    await bill(books, 100)
    await psp_said(books, session, "paid")
    row = await total(books, await settle(books))
    assert (row["provider_minor"], row["by_psp_minor"], row["due_minor"]) == (1_000, 900, 100)


@pytest.mark.parametrize("word", ["unknown", None])
async def test_what_a_psp_may_still_pay_is_not_taken_over(books: Any, word: str | None) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    if word:
        await psp_said(books, session, word)
    assert (await total(books, await settle(books)))["due_minor"] == 0


async def test_a_share_that_its_psp_finally_failed_to_pay_is_paid_by_the_run_once(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    await settle(books)
    await psp_said(books, session, "failed")
    december = await total(books, await settle(books, DECEMBER))
    assert (december["adjustments_minor"], december["due_minor"]) == (900, 900)
    assert await total(books, await settle(books, JANUARY)) is None


async def test_a_fee_that_was_refused_for_good_leaves_the_share_to_the_run(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    await books.execute("delete from remittance_item")
    await books.execute(
        "update outbox set kind = 'psp.collect', key = $1, state = 'given_up'", f"session/{session}/collect"
    )
    assert (await total(books, await draft(books)))["due_minor"] == 0, "whether the fee was taken is not known"
    await settlements.cancel(books, await draft(books), MAKER, LATER)
    await books.execute(
        "insert into posting (id, key, kind, ref, event_at) values (gen_random_uuid(), $1, 'debt', 'x', now())",
        f"session/{session}/debt",
    )
    assert (await total(books, await settle(books)))["due_minor"] == 900


async def test_of_a_provisional_bill_and_the_one_that_superseded_it_the_run_takes_over_the_last(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    for minor in (-900, 1_800):  # no psp was told of the bills before
        await books.execute("delete from remittance_item; delete from outbox")
        await bill(books, minor, shares_by="psp", of=session)
    await books.execute("update outbox set state = 'given_up'; update remittance_item set state = 'failed'")
    assert (await total(books, await settle(books)))["due_minor"] == 1_800


async def test_a_late_success_of_the_psp_is_taken_back_from_the_next_statement(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    await psp_said(books, session, "failed")
    assert (await total(books, await settle(books)))["due_minor"] == 900
    await psp_said(books, session, "paid")
    december = await total(books, await settle(books, DECEMBER))
    assert (december["adjustments_minor"], december["carried_minor"]) == (-900, -900)
    assert await books.fetchval("select count(*) from exception where kind = 'negative_statement'") == 1
    assert (await total(books, await settle(books, JANUARY)))["adjustments_minor"] == 0


async def test_a_late_success_before_the_approval_stops_it(books: Any) -> None:
    _, session = await bill(books, 900, shares_by="psp")
    await psp_said(books, session, "failed")
    id_ = await draft(books)
    await psp_said(books, session, "paid")
    with pytest.raises(Conflict, match="meanwhile"):
        await settlements.approve(books, id_, CHECKER, LATER, accept_differences=True)
    await settlements.cancel(books, id_, MAKER, LATER)
    assert (await total(books, await settle(books)))["due_minor"] == 0


async def test_nothing_is_approved_while_the_psps_statements_are_read_or_differ(books: Any) -> None:
    await bill(books, 900, shares_by="psp")
    id_ = await draft(books)
    with pytest.raises(Conflict, match="30 days of the psps"):
        await settlements.approve(books, id_, CHECKER, LATER)
    await books.execute("update outbox set state = 'done' where kind = 'psp.reconcile'")
    await books.execute(
        "insert into psp_statement (psp, day, state, read_at) select 'social', d, 'read', now()"
        " from generate_series('2026-11-01'::date, '2026-11-30', '1 day') d"
    )
    await books.execute(
        "insert into psp_statement_line (psp, kind, psp_ref, inward, day, at, currency, theirs_minor, verdict)"
        " values ('social', 'payment', 'x', true, '2026-11-10', '2026-11-10', 'KRW', 5, 'missing_here')"
    )
    with pytest.raises(Conflict, match="1 lines"):
        await settlements.approve(books, id_, CHECKER, LATER)
    await settlements.approve(books, id_, CHECKER, LATER, accept_differences=True)


async def test_without_an_account_at_a_psp_staff_pay_by_hand(books: Any) -> None:
    await bill(books, 900)
    await settle(books)
    assert await books.fetchval("select state from remittance") == "open"
    assert await payable(books) == 900


async def test_terms_that_cannot_be_are_refused(books: Any) -> None:
    for zone, minimums in (("Asia/Nowhere", {}), ("UTC", {"XXX": 1}), ("UTC", {"KRW": -1})):
        with pytest.raises(Refused):
            await settlements.set_terms(books, "P", zone, minimums, None)
    with pytest.raises(NotFound):
        await settlements.set_terms(books, "Q", "UTC", {}, None)
