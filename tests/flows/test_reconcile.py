"""Reconciliation: a psp's statement line by line against our books, and what only the statement knows."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from csms.db import checks
from csms.flows import books, chargebacks, remittances, settlements
from csms.flows.reconcile import reconcile
from csms.psp.base import LineKind, Statement, StatementLine, Unavailable
from tests.flows.settling import (
    DECEMBER,
    IN_NOVEMBER,
    JANUARY,
    LATER,
    bill,
    payable,
    provider,
    psp_said,
    settle,
    total,
)  # fmt: skip

DAY = IN_NOVEMBER.date()


@pytest.fixture
async def ours(conn: Any) -> Any:
    """A provider that the psp `social` pays."""
    await provider(conn, accounts={"social": "seller-p"}, payout_psp="social")
    return conn


def line(
    kind: LineKind, ref: str, minor: int, *, order: str | None = None, fee: int = 0, currency: str = "KRW"
) -> StatementLine:
    return StatementLine(ref, kind, order, minor, fee, currency, IN_NOVEMBER)


async def read(conn: Any, *lines: StatementLine, on: date = DAY) -> None:
    await reconcile(conn, "social", on, Statement(on, lines), LATER)


async def verdicts(conn: Any) -> dict[str, str]:
    rows = await conn.fetch("select kind, psp_ref, verdict from psp_statement_line")
    return {f"{row['kind']} {row['psp_ref']}": row["verdict"] for row in rows}


async def open_exceptions(conn: Any) -> list[str]:
    rows = await conn.fetch("select ref from exception where resolved_at is null order by ref")
    return [row["ref"] for row in rows]


async def payment(conn: Any, ref: str, minor: int = 1_000) -> UUID:
    id_: UUID = await conn.fetchval(
        "insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)"
        " values ($1, 'social', $2, 'D', 'top_up', $3, 'KRW', $4) returning id",
        books.new_id(), ref, minor, IN_NOVEMBER,
    )  # fmt: skip
    return id_


async def refund(conn: Any, payment_id: UUID, minor: int, state: str) -> UUID:
    id_: UUID = await conn.fetchval(
        "insert into refund (id, payment_id, driver_id, amount_minor, currency, psp, reason, state, psp_ref, asked_at,"
        " ended_at) values ($1, $2, 'D', $3, 'KRW', 'social', 'test', $4, 'ref-1', $5, $5) returning id",
        books.new_id(), payment_id, minor, state, IN_NOVEMBER,
    )  # fmt: skip
    return id_


async def test_every_line_and_everything_of_ours_gets_its_verdict(ours: Any) -> None:
    for ref in ("agrees", "differs", "only-ours"):
        await payment(ours, ref)
    await read(ours, line("payment", "agrees", 1_000), line("payment", "differs", 999), line("payment", "theirs", 5))
    assert await verdicts(ours) == {
        "payment agrees": "matched",
        "payment differs": "amount_differs",
        "payment theirs": "missing_here",
        "payment only-ours": "missing_there",
    }
    assert await open_exceptions(ours) == [
        "social/payment/differs/in", "social/payment/only-ours/in", "social/payment/theirs/in",
    ]  # fmt: skip


async def test_the_same_amount_in_another_currency_differs(ours: Any) -> None:
    await payment(ours, "p-1")
    await read(ours, line("payment", "p-1", 1_000, currency="JPY"))
    assert await verdicts(ours) == {"payment p-1": "amount_differs"}


async def test_what_matches_later_needs_nobody_any_more(ours: Any) -> None:
    await payment(ours, "late-there")
    await read(ours, line("payment", "late-here", 70))
    assert len(await open_exceptions(ours)) == 2
    await payment(ours, "late-here", 70)
    await read(ours, line("payment", "late-there", 1_000), on=DAY + timedelta(days=1))
    await read(ours, line("payment", "late-here", 70))
    assert set((await verdicts(ours)).values()) == {"matched"}
    assert await open_exceptions(ours) == []


async def test_reading_a_day_again_changes_nothing(ours: Any) -> None:
    await payment(ours, "p-1")
    lines = (line("payment", "p-1", 1_000, fee=30), line("fee", "monthly", -100), line("payment", "x", 1))
    await read(ours, *lines)
    before = await ours.fetch("select * from psp_statement_line order by psp_ref")
    await read(ours, *lines)
    assert await ours.fetch("select * from psp_statement_line order by psp_ref") == before
    assert await ours.fetchval("select count(*) from posting where kind = 'psp_fee'") == 1


async def test_the_psps_fees_are_posted_and_a_corrected_day_posts_the_difference(ours: Any) -> None:
    await read(ours, line("payment", "p-1", 1_000, fee=30), line("fee", "monthly", -100))
    await read(ours, line("payment", "p-1", 1_000, fee=25), line("fee", "monthly", -100))
    fee = await ours.fetchval("select balance from account_balance where address = 'psp:social:fee'")
    assert fee == -125


async def test_refunds_match_by_their_order_and_a_failed_one_comes_back(ours: Any) -> None:
    first = await payment(ours, "p-1")
    paid, failed = await refund(ours, first, 100, "paid"), await refund(ours, first, 50, "failed")
    await read(
        ours,
        line("payment", "p-1", 1_000),
        line("refund", "ref-1", -100, order=str(paid)),
        line("refund", "ref-2", -50, order=str(failed)),
        line("refund", "ref-2", 50, order=str(failed)),
    )
    assert await ours.fetchval("select array_agg(distinct verdict) from psp_statement_line") == ["matched"]
    assert await ours.fetchval("select count(*) from psp_statement_line") == 4


async def test_chargebacks_match_and_come_back_when_won(ours: Any) -> None:
    await payment(ours, "p-1")
    await chargebacks.opened(ours, "social", "dis-1", "p-1", 400, "KRW", IN_NOVEMBER)
    await read(ours, line("payment", "p-1", 1_000), line("chargeback", "dis-1", -400), line("chargeback", "dis-1", 400))
    rows = await ours.fetch("select inward, verdict from psp_statement_line where kind = 'chargeback' order by 1")
    assert [tuple(row) for row in rows] == [(False, "matched"), (True, "missing_here")]
    await chargebacks.won(ours, "social", "dis-1", LATER)
    await read(ours, line("payment", "p-1", 1_000), line("chargeback", "dis-1", -400), line("chargeback", "dis-1", 400))
    assert await ours.fetchval("select array_agg(distinct verdict) from psp_statement_line") == ["matched"]


async def test_the_bill_that_superseded_a_provisional_one_is_what_its_psp_paid_after_all(ours: Any) -> None:
    _, session = await bill(ours, 900, shares_by="psp")
    for minor in (-900, 1_800):  # no psp was told of the bills before
        await ours.execute("delete from remittance_item; delete from outbox")
        last, _ = await bill(ours, minor, shares_by="psp", of=session)
    await ours.execute("update outbox set state = 'given_up'; update remittance_item set state = 'failed'")
    assert (await total(ours, await settle(ours)))["due_minor"] == 1_800
    await read(ours, line("settlement", "set-1", -1_980, order=str(session)))
    assert await verdicts(ours) == {"settlement set-1": "matched"}
    assert await ours.fetchval("select ours from psp_statement_line") == f"bill/{last}"
    assert (await total(ours, await settle(ours, DECEMBER)))["adjustments_minor"] == -1_800


async def test_a_day_that_cannot_be_read_is_kept_as_such_and_read_later(ours: Any) -> None:
    await reconcile(ours, "social", DAY, Unavailable("not yet"), LATER)
    assert await ours.fetchrow("select state, reason from psp_statement") == ("unavailable", "not yet")
    await read(ours)
    assert await ours.fetchval("select state from psp_statement") == "read"
    await reconcile(ours, "social", DAY, Unavailable("away"), LATER)
    assert await ours.fetchval("select state from psp_statement") == "read"


async def test_shares_that_were_paid_after_we_gave_up_are_ours_to_know(ours: Any) -> None:
    _, session = await bill(ours, 900, shares_by="psp")
    await psp_said(ours, session, "failed")
    assert (await total(ours, await settle(ours)))["due_minor"] == 900  # the run has taken it over
    await read(ours, line("settlement", "set-1", -990, order=str(session)))
    assert await verdicts(ours) == {"settlement set-1": "matched"}
    assert await ours.fetchval("select state from outbox where kind = 'psp.settle'") == "done"
    assert (await total(ours, await settle(ours, DECEMBER)))["due_minor"] == -900, "paid twice: taken back"
    assert await total(ours, await settle(ours, JANUARY)) is not None, "it is carried until it is paid for"


async def test_a_hosts_share_that_was_paid_after_we_gave_up_is_in_the_operators_bank(ours: Any) -> None:
    _, session = await bill(ours, 900, shares_by="psp", host=200)
    await psp_said(ours, session, "failed")
    await read(ours, line("settlement", "set-1", -1_190, order=str(session)))
    assert await verdicts(ours) == {"settlement set-1": "matched"}
    assert await ours.fetchval("select balance from account_balance where address = 'bank'") == -90 - 200


async def test_a_remittance_that_came_back_is_payable_again_and_paid_only_on_demand(ours: Any) -> None:
    await bill(ours, 900)
    await settle(ours)
    id_ = await ours.fetchval("select id from remittance")
    await remittances.ended(ours, id_, 1, "paid", "out-1", None, LATER)
    assert await payable(ours) == 0
    order = remittances.order_of(id_, 1)
    await read(ours, line("payout", "out-1", -900, order=order), line("payout", "out-1", 900, order=order))
    assert await payable(ours) == 900
    assert await ours.fetchval("select state from remittance") == "returned"
    assert await ours.fetchval("select count(*) from outbox where kind = 'psp.payout'") == 1
    assert await open_exceptions(ours) == [f"remittance/{id_}/1"]
    assert await ours.fetchval("select array_agg(distinct verdict) from psp_statement_line") == ["matched"]


async def test_a_remittance_without_a_clear_answer_is_paid_when_the_statement_says_so(ours: Any) -> None:
    await bill(ours, 900)
    await settle(ours)
    id_ = await ours.fetchval("select id from remittance")
    await ours.execute("update outbox set state = 'given_up' where kind = 'psp.payout'")
    await remittances.not_known(ours, id_, 1, "no answer", LATER)
    await read(ours, line("payout", "out-1", -900, order=remittances.order_of(id_, 1)))
    assert await payable(ours) == 0
    assert await open_exceptions(ours) == []


async def test_reconciling_keeps_the_ledger_at_zero(ours: Any) -> None:
    await read(ours, line("payment", "p-1", 1_000, fee=30), line("payout", "nobody", -5, order="remittance-x-1"))
    assert await checks()["trial_balance"].many(ours) == []


async def test_days_on_which_money_moved_are_read_without_anybodys_doing(ours: Any) -> None:
    await payment(ours, "p-1")
    tomorrow = DAY + timedelta(days=1)
    assert await settlements.ask_recent(ours, ["social", "other"], DAY) == 0, "a day is read when it is over"
    assert await settlements.ask_recent(ours, ["social", "other"], tomorrow) == 1
    assert await ours.fetchval("select payload ->> 'day' from outbox") == str(DAY)
    await reconcile(ours, "social", DAY, Unavailable("not yet"), LATER)
    await ours.execute("update outbox set state = 'done'")
    assert await settlements.ask_recent(ours, ["social"], tomorrow) == 1
    assert await ours.fetchval("select state from outbox") == "waiting", "it is asked for again"
    await read(ours, line("payment", "p-1", 1_000))
    assert await settlements.ask_recent(ours, ["social"], tomorrow) == 0
