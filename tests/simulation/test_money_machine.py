"""Every way in which money moves, in any order, on a real database by the real flows, against plain arithmetic."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from csms import db
from csms.base.errors import Conflict, Refused
from csms.base.money import Money
from csms.domain import corrections, ledger
from csms.domain.events import BillCorrected, BillRefunded
from csms.flows import chargebacks, debts, give_back, top_up
from csms.flows.refund_rest import Wish, send_back
from csms.store import outbox
from csms.worker import tasks
from csms.worker.tasks import Outside
from tests import make
from tests.make import BOB, NOON, Told, ended, started
from tests.simulation.money import (
    BALANCE,
    CHARGEBACK,
    CLEARING,
    DEBT,
    ON_ITS_WAY,
    OPERATOR,
    PROVIDER,
    Books,
    Dispute,
    Payment,
    TheirBook,
    Use,
)

T = TypeVar("T")
Administer = Callable[[str], str]
Plant = Callable[[Any], Awaitable[None]]

ADDRESSES = {
    "driver:bob:balance": BALANCE,
    "driver:bob:debt": DEBT,
    "provider:P:payable": PROVIDER,
    ledger.OPERATOR_FEE: OPERATOR,
    ledger.VAT_OUTPUT: OPERATOR,
    "psp:social:clearing": CLEARING,
    "psp:social:refunds": ON_ITS_WAY,
    ledger.CHARGEBACK: CHARGEBACK,
}
PLACES = (("S1", 1), ("S1", 2), ("S2", 1))
AMOUNTS = st.one_of(st.integers(1, 40_000), st.sampled_from([1, 7, 999, 30_000, 30_001]))
ENERGY = st.one_of(st.integers(0, 120_000), st.sampled_from([0, 1, 5, 15, 100_000]))
_numbers = itertools.count(1)


class MoneyMachine(RuleBasedStateMachine):
    """One driver's money. Made with `dsn_of` and `template` set on the class."""

    dsn_of: Administer
    template: str
    plant: Plant | None = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.books = Books()
        self.open: dict[tuple[str, int], Use] = {}
        self.closed: list[tuple[str, Use]] = []
        self.refunds: dict[UUID, tuple[Payment, int]] = {}
        self.disputes: list[Dispute] = []
        self.their = TheirBook()
        self.names = itertools.count(1)
        self.now = NOON
        self.told_refunds: list[BillRefunded] = []
        self.sent: list[Wish] = []
        self.run(self._set_up())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def _set_up(self) -> None:
        self.name = f"csms_money_{os.getpid()}_{next(_numbers)}"
        await _administer(self.dsn_of, f"create database {self.name} template {self.template}")
        self.pool = await db.pool(self.dsn_of(self.name), size=2, name="money")
        self.conn = await asyncpg.connect(self.dsn_of(self.name), server_settings={"timezone": "UTC"})
        await make.seed(self.conn)
        if self.plant is not None:
            await type(self).plant(self.conn)  # type: ignore[misc]
        self.road = Told(self.dsn_of(self.name))
        await self.road.__aenter__()
        psps: Any = {"social": self.their}
        self.outside = Outside(self.pool, psps, {}, lambda: self.now, random.Random(1), back_off_s=0.0)

    def teardown(self) -> None:
        try:
            wrong = self.run(db.check(self.conn))
            assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}
        finally:
            self.run(self._tear_down())
            self.loop.close()

    async def _tear_down(self) -> None:
        await self.road.__aexit__()
        await self.pool.close()
        await self.conn.close()
        await _administer(self.dsn_of, f"drop database {self.name} with (force)")

    def later(self) -> datetime:
        self.now += timedelta(hours=12)
        return self.now

    @initialize(minor=st.integers(20_000, 200_000), energy_wh=st.integers(10_000, 60_000))
    def a_first_use(self, minor: int, energy_wh: int) -> None:
        """So that every run has money to move and a bill to take back."""
        self.top_up(minor)
        self.start()
        self._end(PLACES[0], energy_wh, told_twice=False)

    @rule(minor=AMOUNTS)
    def top_up(self, minor: int) -> None:
        ref = f"pay-{next(self.names)}"
        assert self.run(top_up.fund(self.conn, "bob", Money(minor, "KRW"), "social", ref, self.later()))
        self.books.top_up(ref, minor)

    @precondition(lambda self: self.books.payments)
    @rule(data=st.data())
    def the_same_payment_again(self, data: st.DataObject) -> None:
        payment = data.draw(st.sampled_from(self.books.payments))
        assert not self.run(top_up.fund(self.conn, "bob", Money(payment.minor, "KRW"), "social", payment.ref, self.now))
        with pytest.raises(Conflict):
            self.run(top_up.fund(self.conn, "bob", Money(payment.minor + 1, "KRW"), "social", payment.ref, self.now))

    @precondition(lambda self: len(self.open) < len(PLACES))
    @rule()
    def start(self) -> None:
        station, connector = next(place for place in PLACES if place not in self.open)
        ref, at = f"r{next(self.names)}", self.later()
        event = started(ref, station_id=station, connector=connector, token=BOB, at=at, received_at=at)
        [outcome] = self.run(self.road.tell(event))
        use = self.books.start(ref)
        assert (outcome.status == "accepted") == (use is not None)
        if use is not None:
            self.open[station, connector] = use

    @precondition(lambda self: self.open)
    @rule(data=st.data(), energy_wh=ENERGY, told_twice=st.booleans())
    def end(self, data: st.DataObject, energy_wh: int, told_twice: bool) -> None:
        self._end(data.draw(st.sampled_from(sorted(self.open))), energy_wh, told_twice)

    def _end(self, place: tuple[str, int], energy_wh: int, told_twice: bool) -> None:
        station, use, at = place[0], self.open.pop(place), self.later()
        event = ended(use.ref, station_id=station, wh=1_000 + energy_wh, at=at, received_at=at)
        for _ in range(1 + told_twice):
            [outcome] = self.run(self.road.tell(event))
        self.books.end(use, energy_wh)
        assert outcome.fee_minor == use.left
        self.closed.append((station, use))

    @precondition(lambda self: any(use.left and use.revision < 20 for _, use in self.closed))
    @rule(data=st.data(), told_twice=st.booleans())
    def refund_a_bill(self, data: st.DataObject, told_twice: bool) -> None:
        station, use = data.draw(st.sampled_from([it for it in self.closed if it[1].left and it[1].revision < 20]))
        minor = data.draw(st.integers(1, use.left))
        event = BillRefunded(station, use.ref, self.later(), make.new_id(), minor, "broken plug", "staff")
        outcomes = [self.run(self.road.tell(event))[0].status for _ in range(1 + told_twice)]
        assert set(outcomes) == {"accepted"}
        self.books.refund(use, minor)
        [above] = self.run(self.road.tell(replace(event, refund_id=make.new_id(), amount_minor=use.left + 1)))
        assert above.status == "refused"

    @precondition(lambda self: any(use.revision < 20 for _, use in self.closed))
    @rule(data=st.data(), energy_wh=ENERGY, told_twice=st.booleans())
    def correct_a_bill(self, data: st.DataObject, energy_wh: int, told_twice: bool) -> None:
        station, use = data.draw(st.sampled_from([it for it in self.closed if it[1].revision < 20]))
        event = BillCorrected(station, use.ref, self.later(), use.revision, energy_wh, None, "meter", "staff")
        outcomes = [self.run(self.road.tell(event))[0].status for _ in range(1 + told_twice)]
        assert outcomes == ["accepted", "refused"][: 1 + told_twice]
        self.books.correct(use, energy_wh)

    @rule(minor=AMOUNTS, told_twice=st.booleans())
    def send_the_balance_back(self, minor: int, told_twice: bool) -> None:
        wish = Wish(f"wish/{next(self.names)}", "bob", Money(minor, "KRW"), ("social",), "asked", "staff", whole=True)
        if minor > self.books.refundable():
            with pytest.raises(Refused):
                self.run(send_back(self.conn, wish, self.later()))
            return
        parts = self.run(send_back(self.conn, wish, self.later()))
        if told_twice:
            assert self.run(send_back(self.conn, wish, self.now)) == []
        expected = self.books.send_back(minor)
        assert [part.minor for part in parts] == [part for _, part in expected]
        self.refunds |= {part.id: named for part, named in zip(parts, expected, strict=True)}

    @rule(verdict=st.sampled_from(["paid", "failed", "pending", "lost_answer", "away"]))
    def the_psp_hears_of_refunds(self, verdict: str) -> None:
        self.their.verdict = verdict
        self.run(self._work())
        for id_, (payment, minor) in list(self.refunds.items()):
            match self.their.done.get(str(id_)):
                case "paid":
                    self.books.arrived(minor)
                case "failed":
                    self.books.came_back(payment, minor, self.disputes)
                case _:
                    continue
            del self.refunds[id_]

    async def _work(self) -> None:
        """Each waiting refund is tried once, and its result written twice: the second comes too late."""
        for job in await outbox.claim(self.conn, 1_000, 3_600.0):
            if job.kind == "psp.refund":
                result = await tasks.refund(job, self.outside)
                await outbox.save(self.conn, [result])
                if result.ended:
                    await outbox.save(self.conn, [result])

    @precondition(lambda self: self.books.payments)
    @rule(data=st.data(), end=st.sampled_from(["opened", "won", "lost"]))
    def charge_back(self, data: st.DataObject, end: Any) -> None:
        payment = data.draw(st.sampled_from(self.books.payments))
        minor = data.draw(st.integers(1, payment.minor))
        dispute = self.books.dispute(f"dispute-{next(self.names)}", payment, minor)
        self.disputes.append(dispute)
        self._tell(dispute, end)

    @precondition(lambda self: self.disputes)
    @rule(data=st.data(), end=st.sampled_from(["opened", "won", "lost"]))
    def more_of_a_chargeback(self, data: st.DataObject, end: Any) -> None:
        self._tell(data.draw(st.sampled_from(self.disputes)), end)

    def _tell(self, dispute: Dispute, end: Any) -> None:
        told = chargebacks.told(
            self.conn, "social", dispute.ref, end, dispute.payment.ref, dispute.minor, "KRW", self.later()
        )
        if end != "opened" and dispute.end not in ("opened", end):
            with pytest.raises(Conflict):
                self.run(told)
            return
        self.run(told)
        if dispute.end == "opened":
            if end == "won":
                self.books.won(dispute)
            dispute.end = end

    @rule()
    def ask_for_debts(self) -> None:
        self.run(debts.sweep(self.conn, self.later()))
        self.books.pay_debt()

    @invariant()
    def the_accounts_are_what_arithmetic_says(self) -> None:
        rows = self.run(self.conn.fetch("select address, balance from account_balance where balance <> 0"))
        found: dict[str, int] = {}
        for row in rows:
            if row["address"] not in ADDRESSES:
                assert row["address"].startswith("session:") or row["address"] == "driver:ann:balance", row
                continue
            name = ADDRESSES[row["address"]]
            found[name] = found.get(name, 0) + row["balance"]
        found[CLEARING] = found.get(CLEARING, 0) + 50_000  # Ann's, of the seed
        expected = {name: self.books.accounts[name] for name in ADDRESSES.values()}
        assert {name: found.get(name, 0) for name in expected} == expected
        held = sum(row["balance"] for row in rows if row["address"].startswith("session:"))
        assert held == sum(use.held for use in self.open.values())
        assert sum(row["balance"] for row in rows) == 0


async def _administer(dsn_of: Administer, statement: str) -> None:
    conn = await asyncpg.connect(dsn_of("postgres"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()


def play(
    dsn_of: Administer, template: str, plant: Plant | None = None, examples: int = 12, shrink: bool = False
) -> None:
    """Run the machine; a planted defect is only to be found, not made small."""

    class Machine(MoneyMachine):
        pass

    Machine.dsn_of, Machine.template = staticmethod(dsn_of), template
    Machine.plant = None if plant is None else staticmethod(plant)
    phases = tuple(Phase) if shrink else (Phase.generate,)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            phases=phases,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


def test_money_moves_as_arithmetic_says_whatever_happens_in_whatever_order(dsn_of: Administer, template: str) -> None:
    play(dsn_of, template, shrink=True)


async def debts_are_forgotten(conn: Any) -> None:
    """A top-up pays no debt."""
    await rewrite(conn, "fund", "least(greatest(owed(of_driver, in_currency), 0), amount)", "0")


async def rewrite(conn: Any, function: str, good: str, bad: str) -> None:
    """Spoil a function of this test's database."""
    text = await conn.fetchval("select pg_get_functiondef($1::regproc)", function)
    assert good in text
    await conn.execute(text.replace(good, bad))


def test_a_defect_in_the_database_is_found(dsn_of: Administer, template: str) -> None:
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        play(dsn_of, template, debts_are_forgotten, examples=60)


def refunds_round_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(corrections, "half_up", lambda numerator, denominator: numerator // denominator)


def what_failed_to_arrive_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(give_back, "failed", lambda refund, reason, at: give_back.paid(refund, None, at))


def a_correction_forgets_the_refunds_before_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(corrections.Books, "net", corrections.Books.charge)


def a_chargeback_takes_debts_for_money(patch: pytest.MonkeyPatch) -> None:
    async def balance(conn: Any, driver_id: str, currency: str) -> int:
        return 0

    patch.setattr(chargebacks, "_balance", balance)


PLANTS = (
    refunds_round_down,
    what_failed_to_arrive_is_lost,
    a_correction_forgets_the_refunds_before_it,
    a_chargeback_takes_debts_for_money,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_the_rules_is_found(
    dsn_of: Administer, template: str, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(dsn_of, template, examples=60)
