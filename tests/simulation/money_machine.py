"""
Money in any order, on a real database by the real flows, against plain arithmetic.

Here what every driver does, with a balance at least; `psp_machine` adds sessions that a psp pays for.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from csms.base.errors import Conflict, Refused
from csms.base.money import Money
from csms.domain import ledger
from csms.domain.events import BillCorrected, BillRefunded
from csms.flows import chargebacks, debts, top_up
from csms.flows.refund_rest import Wish, send_back
from csms.store import outbox
from csms.store.outbox import Job
from tests.make import BOB, ended
from tests.simulation.money import (
    BALANCE,
    CHARGEBACK,
    CLEARING,
    DEBT,
    ON_ITS_WAY,
    OPERATOR,
    PROVIDER,
    SOCIAL,
    Books,
    Dispute,
    Parts,
    Payment,
    Use,
)
from tests.simulation.money_stage import MoneyStage
from tests.simulation.their_book import Verdict

ADDRESSES = {
    "driver:bob:balance": BALANCE,
    "driver:bob:debt": DEBT,
    "provider:P:payable": PROVIDER,
    ledger.OPERATOR_FEE: OPERATOR,
    ledger.VAT_OUTPUT: OPERATOR,
    "psp:social:clearing": SOCIAL + CLEARING,
    "psp:social:refunds": SOCIAL + ON_ITS_WAY,
    ledger.CHARGEBACK: CHARGEBACK,
}
KEPT = (":held", ":deferred")
"""What is set aside for a session, and what a voucher that is not used up was bought for."""

PLACES = (("S1", 1), ("S1", 2), ("S2", 1))
AMOUNTS = st.one_of(st.integers(1, 40_000), st.sampled_from([1, 7, 999, 30_000, 30_001]))
ENERGY = st.one_of(st.integers(0, 120_000), st.sampled_from([0, 1, 5, 15, 100_000]))
DISPUTES_MAX = 3
"""Many chargebacks leave a driver who only owes."""

REFUSED_MAX = 3
REFUND_ENDS: tuple[Verdict, ...] = ("done", "declined", "declined", "pending", "lost_answer", "away")


class MoneyMachine(MoneyStage):
    """One driver's money, whoever pays."""

    addresses = ADDRESSES

    def __init__(self) -> None:
        super().__init__()
        self.books = self.empty_books()
        self.open: dict[tuple[str, int], Use] = {}
        self.closed: list[tuple[str, Use]] = []
        self.refunds: dict[UUID, tuple[Payment, int]] = {}
        self.disputes: list[Dispute] = []
        self.begun: set[UUID] = set()
        self.refused = 0

    def empty_books(self) -> Books:
        """The model of this machine."""
        return Books()

    def may_start(self, will: bool) -> bool:
        """Whether a place is free; starts that are refused are told a few times, not all the time."""
        return len(self.open) < len(PLACES) and (will or self.refused < REFUSED_MAX)

    def a_first_use(self, minor: int, energy_wh: int) -> None:
        """Money to move and a bill to take back."""
        self.top_up(minor)
        self.start()
        self._end(PLACES[0], energy_wh, told_twice=False)

    @rule(minor=AMOUNTS)
    def top_up(self, minor: int) -> None:
        ref = f"pay-{next(self.names)}"
        assert self.run(top_up.fund(self.conn, "bob", Money(minor, "KRW"), "social", ref, self.later()))
        self.books.top_up(ref, minor)

    @precondition(lambda self: self.may_start(self.books.balance > 0 >= self.books.owed))
    @rule()
    def start(self) -> None:
        place = next(place for place in PLACES if place not in self.open)
        event = self.started(place, BOB)
        [outcome] = self.run(self.road.tell(event))
        use = self.books.start(event.ref)
        assert (outcome.status == "accepted") == (use is not None)
        if use is None:
            self.refused += 1
        else:
            self.open[place] = use

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
        event = BillRefunded(station, use.ref, self.later(), self.new_id(), minor, "broken plug", "staff")
        outcomes = [self.run(self.road.tell(event))[0].status for _ in range(1 + told_twice)]
        if use.collecting:
            assert set(outcomes) == {"refused"}
            return
        assert set(outcomes) == {"accepted"}
        self.are_begun(self.books.refund(use, minor))
        [above] = self.run(self.road.tell(replace(event, refund_id=self.new_id(), amount_minor=use.left + 1)))
        assert above.status == "refused"

    @precondition(lambda self: any(use.revision < 20 for _, use in self.closed))
    @rule(data=st.data(), energy_wh=ENERGY, told_twice=st.booleans())
    def correct_a_bill(self, data: st.DataObject, energy_wh: int, told_twice: bool) -> None:
        station, use = data.draw(st.sampled_from([it for it in self.closed if it[1].revision < 20]))
        event = BillCorrected(station, use.ref, self.later(), use.revision, energy_wh, None, "meter", "staff")
        outcomes = [self.run(self.road.tell(event))[0].status for _ in range(1 + told_twice)]
        if use.collecting:
            assert set(outcomes) == {"refused"}
            return
        assert outcomes == ["accepted", "refused"][: 1 + told_twice]
        self.are_begun(self.books.correct(use, energy_wh))

    @precondition(lambda self: self.books.refundable())
    @rule(data=st.data(), told_twice=st.booleans(), verdict=st.sampled_from((None, *REFUND_ENDS)))
    def send_the_balance_back(self, data: st.DataObject, told_twice: bool, verdict: Verdict | None) -> None:
        """`verdict`: how the psp hears of it, where it does at once."""
        there = self.books.refundable()
        minor = data.draw(st.one_of(st.integers(1, there), st.just(there), AMOUNTS))
        wish = Wish(f"wish/{next(self.names)}", "bob", Money(minor, "KRW"), ("social",), "asked", "staff", whole=True)
        if minor > self.books.refundable():
            with pytest.raises(Refused):
                self.run(send_back(self.conn, wish, self.later()))
            return
        self.run(send_back(self.conn, wish, self.later()))
        if told_twice:
            assert self.run(send_back(self.conn, wish, self.now)) == []
        self.are_begun(self.books.send_back(minor))
        if verdict is not None:
            self.work("psp.refund", verdict)

    def are_begun(self, expected: Parts) -> None:
        """These refunds, and no others, are new."""
        rows = self.run(
            self.conn.fetch(
                "select r.id, p.psp_ref, r.amount_minor from refund r join payment p on p.id = r.payment_id"
                " where r.id <> all($1::uuid[]) order by p.psp_ref, r.amount_minor",
                list(self.begun),
            )
        )
        expected = sorted(expected, key=lambda part: (part[0].ref, part[1]))
        assert [tuple(row)[1:] for row in rows] == [(payment.ref, minor) for payment, minor in expected]
        self.refunds |= {row["id"]: part for row, part in zip(rows, expected, strict=True)}
        self.begun |= self.refunds.keys()

    @precondition(lambda self: self.refunds)
    @rule(verdict=st.sampled_from(REFUND_ENDS))
    def the_psp_hears_of_refunds(self, verdict: Verdict) -> None:
        self.work("psp.refund", verdict)

    def work(self, kind: str, verdict: Verdict, dies: bool = False) -> None:
        """
        Each waiting job of a kind is tried once, and its result written twice: the second comes too late.

        `dies`: the worker, before it writes anything. What the psp said was heard by nobody then.
        """
        self.their.verdict = verdict
        for job in sorted(self.run(outbox.claim(self.conn, 1_000, 0.0)), key=self._begun_first):
            if job.kind == kind:
                self.their.told.clear()
                result = self.run(self.tried(job))
                for _ in range(0 if dies else 1 if result.state == "waiting" else 2):
                    self.run(outbox.save(self.conn, [result]))
                if not dies:
                    self.worked(job)

    def _begun_first(self, job: Job) -> tuple[int, str]:
        """The order of jobs, the same in every run: ids of sessions tell which came first, those of refunds do not."""
        return (list(self.refunds).index(UUID(job.payload["refund"])) if "refund" in job.payload else 0), job.subject

    def worked(self, job: Job) -> None:
        """What the psp said of it is in the books."""
        if job.kind != "psp.refund":
            return
        id_ = UUID(job.payload["refund"])
        match self.their.told.get(str(id_)):
            case "paid":
                self.books.arrived(*self.refunds.pop(id_))
            case "failed":
                self.books.came_back(*self.refunds.pop(id_), self.disputes)

    @precondition(lambda self: self.books.disputable() and len(self.disputes) < DISPUTES_MAX)
    @rule(data=st.data(), end=st.sampled_from(["opened", "won", "lost"]))
    def charge_back(self, data: st.DataObject, end: Any) -> None:
        payment = data.draw(st.sampled_from(self.books.disputable()))
        minor = data.draw(st.one_of(st.just(payment.minor), st.integers(1, payment.minor)))
        dispute = self.books.dispute(f"dispute-{next(self.names)}", payment, minor)
        self.disputes.append(dispute)
        self._tell(dispute, end)

    @precondition(lambda self: self.disputes)
    @rule(data=st.data(), end=st.sampled_from(["opened", "won", "lost"]))
    def more_of_a_chargeback(self, data: st.DataObject, end: Any) -> None:
        self._tell(data.draw(st.sampled_from(self.disputes)), end)

    def _tell(self, dispute: Dispute, end: Any) -> None:
        payment = dispute.payment
        told = chargebacks.told(
            self.conn, payment.psp, dispute.ref, end, payment.ref, dispute.minor, "KRW", self.later()
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

    @rule(days=st.integers(0, 4))
    def ask_for_debts(self, days: int) -> None:
        """After so many days: first a notice goes out, then psps are asked again."""
        self.now += timedelta(days=days)
        self.run(debts.sweep(self.conn, self.later()))
        self.books.pay_debt()

    @invariant()
    def the_accounts_are_what_arithmetic_says(self) -> None:
        rows = self.run(
            self.conn.fetch("select address, balance from account_balance where balance <> 0 and asset = 'KRW'")
        )
        found: dict[str, int] = {SOCIAL + CLEARING: 50_000}  # Ann's, of the seed
        for row in rows:
            if row["address"] not in self.addresses:
                assert row["address"].endswith(KEPT) or row["address"] == "driver:ann:balance", row
                continue
            name = self.addresses[row["address"]]
            found[name] = found.get(name, 0) + row["balance"]
        expected = {name: self.books.accounts[name] for name in self.addresses.values()}
        assert {name: found.get(name, 0) for name in expected} == expected
        held = sum(row["balance"] for row in rows if row["address"].endswith(KEPT))
        assert held == sum(minor for name, minor in self.books.accounts.items() if name not in expected)
        assert sum(row["balance"] for row in rows) == 0


class BalanceMachine(MoneyMachine):
    """A driver who pays from a balance alone."""

    @initialize(minor=st.integers(1_000, 40_000), energy_wh=st.integers(10_000, 60_000))
    def first_use(self, minor: int, energy_wh: int) -> None:
        """So that every run has something to take back."""
        self.a_first_use(minor, energy_wh)

    @precondition(lambda self: self.books.payments)
    @rule(data=st.data())
    def the_same_payment_again(self, data: st.DataObject) -> None:
        payment = data.draw(st.sampled_from(self.books.payments))
        assert not self.run(top_up.fund(self.conn, "bob", Money(payment.minor, "KRW"), "social", payment.ref, self.now))
        with pytest.raises(Conflict):
            self.run(top_up.fund(self.conn, "bob", Money(payment.minor + 1, "KRW"), "social", payment.ref, self.now))
