"""Remittances by hand and over random histories: nothing is remitted twice, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.base.errors import Conflict, NotFound
from csms.flows import books, remittances, settlements
from tests.flows.settling import (
    CHECKER,
    IN_NOVEMBER,
    LATER,
    MAKER,
    bill,
    payable,
    provider,
    psp_said,
    settle,
    total,
)  # fmt: skip

HISTORIES = 12
STEPS = 40


async def by_hand(conn: Any) -> UUID:
    """A remittance of 900 KRW that waits for staff."""
    await provider(conn)
    await bill(conn, 900)
    await settle(conn)
    id_: UUID = await conn.fetchval("select id from remittance")
    return id_


async def test_staff_pay_by_hand_once(conn: Any) -> None:
    id_ = await by_hand(conn)
    await remittances.mark_paid(conn, id_, "bank-1", CHECKER, LATER)
    with pytest.raises(Conflict, match="is paid"):
        await remittances.mark_paid(conn, id_, "bank-2", CHECKER, LATER)
    with pytest.raises(Conflict, match="is paid"):
        await remittances.retry(conn, id_, LATER)
    assert await payable(conn) == 0
    row = await conn.fetchrow("select state, bank_ref, paid_by from remittance")
    assert tuple(row) == ("paid", "bank-1", CHECKER)
    assert await conn.fetchval("select balance from account_balance where address = 'bank'") == 900


async def test_two_members_of_staff_at_once_pay_once(pool: Any, conn: Any) -> None:
    id_ = await by_hand(conn)

    async def one(ref: str) -> bool:
        async with pool.acquire() as own:
            try:
                await remittances.mark_paid(own, id_, ref, CHECKER, LATER)
            except Conflict:
                return False
            return True

    assert sorted(await asyncio.gather(*[one(f"bank-{n}") for n in range(5)])) == [False] * 4 + [True]
    assert await payable(conn) == 0


async def test_what_the_bank_sent_back_is_payable_again(conn: Any) -> None:
    id_ = await by_hand(conn)
    with pytest.raises(Conflict, match="only what was paid by hand"):
        await remittances.mark_returned(conn, id_, "nothing yet", LATER)
    await remittances.mark_paid(conn, id_, "bank-1", CHECKER, LATER)
    await remittances.mark_returned(conn, id_, "account closed", LATER)
    assert await payable(conn) == 900
    assert await conn.fetchval("select kind from exception where resolved_at is null") == "remittance_returned"
    await remittances.mark_paid(conn, id_, "bank-2", CHECKER, LATER)
    assert await payable(conn) == 0
    assert await conn.fetchval("select count(*) from exception where resolved_at is null") == 0


async def test_an_open_remittance_is_submitted_once_its_provider_has_an_account(conn: Any) -> None:
    id_ = await by_hand(conn)
    with pytest.raises(Conflict, match="pay by hand"):
        await remittances.retry(conn, id_, LATER)
    await conn.execute("""update provider set psp_accounts = '{"social": "a"}', payout_psp = 'social'""")
    await remittances.retry(conn, id_, LATER)
    assert await conn.fetchrow("select state, account from remittance") == ("submitted", "a")
    with pytest.raises(Conflict, match="wait for its word"):
        await remittances.mark_paid(conn, id_, "bank-1", CHECKER, LATER)
    with pytest.raises(Conflict, match="being asked"):
        await remittances.retry(conn, id_, LATER)


async def test_the_database_refuses_a_second_live_attempt(conn: Any) -> None:
    await provider(conn, accounts={"social": "a"}, payout_psp="social")
    await bill(conn, 900)
    await settle(conn)
    with pytest.raises(db.asyncpg.UniqueViolationError):
        await conn.execute(
            "insert into remittance_attempt (remittance_id, attempt, provider_id, psp, account, state, submitted_at)"
            " select id, 2, 'P', 'social', 'a', 'submitted', now() from remittance"
        )


async def test_an_older_attempt_is_not_believed_while_a_newer_one_may_be_paid(conn: Any) -> None:
    await provider(conn, accounts={"social": "a"}, payout_psp="social")
    await bill(conn, 900)
    await settle(conn)
    id_ = await conn.fetchval("select id from remittance")
    await remittances.ended(conn, id_, 1, "failed", None, "no", LATER)
    await remittances.retry(conn, id_, LATER)
    with pytest.raises(Conflict, match="attempt 1 of remittance"):
        await remittances.ended(conn, id_, 1, "paid", "out-1", None, LATER)
    assert await payable(conn) == 900


async def test_what_is_not_there_is_not_found(conn: Any) -> None:
    with pytest.raises(NotFound):
        await remittances.retry(conn, books.new_id(), LATER)
    assert remittances.attempt_of(remittances.order_of(UUID(int=7), 3)) == (UUID(int=7), 3)
    assert remittances.attempt_of("remittance-x-1") is remittances.attempt_of("top-up:D:1") is None


class History:
    """
    A provider's life, one random step after the other, and a plain model of what it was paid.

    `outside` is what really reached the provider: by psps per bill, by remittances, less what came back.
    """

    def __init__(self, conn: Any, seed: int) -> None:
        self.conn, self.random = conn, random.Random(seed)
        self.earned = 0
        self.outside = 0
        self.month = date(2026, 11, 1)
        self.sessions: list[tuple[UUID, int]] = []
        self.asked: dict[UUID, int] = {}
        self.failed: dict[UUID, int] = {}

    async def step(self) -> None:
        names = ("charge", "charge", "psp_charge", "credit", "psp_word", "late_word", "draft", "end", "end", "payout")
        await getattr(self, self.random.choice(names))()

    async def charge(self) -> None:
        minor = self.random.randint(1, 2_000)
        _, session = await bill(self.conn, minor)
        self.sessions.append((session, minor))
        self.earned += minor

    async def psp_charge(self) -> None:
        minor = self.random.randint(1, 2_000)
        _, session = await bill(self.conn, minor, shares_by="psp")
        self.sessions.append((session, minor))
        self.asked[session] = minor
        self.earned += minor

    async def credit(self) -> None:
        if self.sessions:
            session, minor = self.sessions.pop(self.random.randrange(len(self.sessions)))
            taken = self.random.randint(1, minor)
            await bill(self.conn, -taken, of=session)
            self.earned -= taken

    async def psp_word(self) -> None:
        if self.asked:
            session = self.random.choice(list(self.asked))
            minor, word = self.asked.pop(session), self.random.choice(("paid", "failed"))
            await psp_said(self.conn, session, word)
            if word == "paid":
                self.outside += minor
            else:
                self.failed[session] = minor

    async def late_word(self) -> None:
        if self.failed and self.random.random() < 0.5:
            session = self.random.choice(list(self.failed))
            self.outside += self.failed.pop(session)
            await psp_said(self.conn, session, "paid")

    async def draft(self) -> None:
        following = (self.month.replace(day=28) + (date(2026, 1, 5) - date(2026, 1, 1))).replace(day=1)
        try:
            await settlements.draft(self.conn, "P", self.month, following, MAKER, LATER.replace(year=2100))
        except Conflict:
            return
        self.month = following

    async def end(self) -> None:
        id_ = await self.conn.fetchval("select id from statement where state = 'draft'")
        if id_ is None:
            return
        if self.random.random() < 0.3:
            await settlements.cancel(self.conn, id_, MAKER, LATER)
            return
        try:
            await settlements.approve(self.conn, id_, CHECKER, LATER, accept_differences=True)
        except Conflict:
            await settlements.cancel(self.conn, id_, MAKER, LATER)

    async def payout(self) -> None:
        row = await self.conn.fetchrow("select * from remittance order by random() limit 1")
        if row is None:
            return
        id_, attempt, minor = row["id"], row["attempt"], row["amount_minor"]
        match row["state"], self.random.choice(("paid", "failed")):
            case "submitted", word:
                await remittances.ended(self.conn, id_, attempt, word, "out", None, LATER)
                self.outside += minor if word == "paid" else 0
            case "paid", "failed":
                await remittances.ended(self.conn, id_, attempt, "returned", "out", "account closed", LATER)
                self.outside -= minor
            case "failed" | "returned", _:
                await remittances.retry(self.conn, id_, LATER)

    async def finish(self) -> None:
        """Everything that is still open comes to its end, and two more months pass."""
        while self.asked:
            await self.psp_word()
        for _ in range(3):
            while await self.conn.fetchval("select id from statement where state = 'draft'"):
                await self.end()
            await self.draft()
            while await self.conn.fetchval("select id from statement where state = 'draft'"):
                await self.end()
        while await self.conn.fetchval("select count(*) from remittance where state <> 'paid'"):
            await self.payout()


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_over_any_history_a_provider_gets_what_it_earned_and_nothing_twice(conn: Any, seed: int) -> None:
    await provider(conn, accounts={"social": "a"}, payout_psp="social", minimums={"KRW": 500})
    history = History(conn, seed)
    for _ in range(STEPS):
        await history.step()
        assert await payable(conn) == history.earned - history.outside
    await bill(conn, 1, IN_NOVEMBER)  # so that the last statement has something to say
    history.earned += 1
    await history.finish()
    last = await conn.fetchval("select id from statement where state = 'approved' order by to_day desc limit 1")
    closing = await total(conn, last)
    carried = 0 if closing is None else closing["carried_minor"]
    assert carried < 500
    assert history.outside + carried == history.earned
    assert await payable(conn) == carried
