"""The money machine with sessions that psps pay for, in three ways, beside those paid from the balance."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from csms.domain.authorization import Policy
from csms.domain.events import Outcome, SessionStarted
from csms.store.outbox import Job
from tests import make
from tests.simulation.money import CLEARING, ON_ITS_WAY, Books
from tests.simulation.money_machine import ADDRESSES, PLACES, MoneyMachine
from tests.simulation.money_psp import BANK, CHARGES, HOLDS, PREPAYS, PSPS, RECEIVABLE, PspBooks, PspUse
from tests.simulation.their_book import Verdict

TOKENS = {psp: f"B0B0{psp}".upper() for psp in PSPS}
ANSWERS = st.sampled_from(("done", "done", "declined", "declined", "lost_answer", "silent", "cut", "away"))
KINDS = ("psp.collect", "psp.settle", "psp.refund_rest", "psp.void", "psp.refund")
Word = Literal["authorized", "declined", "late"]
WORDS: tuple[Word, ...] = ("authorized", "authorized", "authorized", "declined", "late")

BOB_PAYS_BY_PSP = """
with paying as (
    insert into token (key, type, driver_id, psp, issuer, subject, created_at)
    select sha256(convert_to(t.text, 'UTF8')), 'social', 'bob', t.psp, 'https://social.example', 'bob', now()
    from unnest($1::text[], $2::text[]) t (psp, text))
update provider
set psp_accounts = (select jsonb_object_agg(psp, 'seller-p') from unnest($1::text[]) t (psp))
"""


class PspMachine(MoneyMachine):
    """One driver's money, who pays from a balance or by one of three psps."""

    books: PspBooks
    policies: Mapping[str, Policy] = {HOLDS: "hold_capture", CHARGES: "charge_after", PREPAYS: "pay_before_refund_rest"}
    addresses = ADDRESSES | {
        "bank": BANK,
        **{f"psp:{psp}{account}": psp + account for psp in PSPS for account in (CLEARING, ON_ITS_WAY, RECEIVABLE)},
    }

    def __init__(self) -> None:
        self.uses: dict[str, PspUse] = {}
        self.unused: dict[str, tuple[str, str]] = {}
        super().__init__()

    def empty_books(self) -> Books:
        return PspBooks()

    async def _set_up(self) -> None:
        await super()._set_up()
        await self.conn.execute(BOB_PAYS_BY_PSP, list(TOKENS), list(TOKENS.values()))

    @initialize(
        minor=st.integers(1, 3_000),
        psps=st.lists(st.sampled_from(PSPS), min_size=1, max_size=3),
        energy_wh=st.integers(10_000, 60_000),
        verdict=st.sampled_from(("declined", "done", "lost_answer", "declined", "away")),
        later=ANSWERS,
    )
    def first_uses(self, minor: int, psps: list[str], energy_wh: int, verdict: Verdict, later: Verdict) -> None:
        """So that every run has bills of both kinds and fees that were asked for, and no balance to pay debts from."""
        self.a_first_use(minor, energy_wh)
        for psp in psps:
            self.start_by_psp(psp, "authorized", told_twice=False)
        for place in list(self.open):
            self._end(place, energy_wh, told_twice=False)
        self.work("psp.collect", verdict)
        if verdict == "declined":
            self.debts_are_asked_for_again(later, dies=False, waits=False)

    @precondition(lambda self: self.may_start(self.books.owed <= 0))
    @rule(psp=st.sampled_from(PSPS), word=st.sampled_from(WORDS), told_twice=st.booleans())
    def start_by_psp(self, psp: str, word: Word, told_twice: bool) -> None:
        place = next(place for place in PLACES if place not in self.open)
        event = self.started(place, TOKENS[psp])
        approval = f"hold-{event.authorization_id}"
        outcome = self.run(self._asked(event, word, approval, told_twice))
        if self.books.owed > 0:
            assert outcome.status == "no_credit"
            self.refused += 1
            return
        assert (outcome.status == "accepted") == (word == "authorized")
        if word == "authorized":
            use = self.books.approved(event.ref, psp, approval)
            self.open[place] = self.uses[str(event.session_id)] = use
        elif word == "late":
            self.books.approved_too_late(psp, approval)
            self.unused[str(event.authorization_id)] = (psp, approval)

    async def _asked(self, event: SessionStarted, word: Word, approval: str, told_twice: bool) -> Outcome:
        """The start's answer, when its psp's word has come."""
        asked = len(self.road.asks)
        answer = self.road.send(event)
        while len(self.road.asks) == asked and not answer.done():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for ask in self.road.asks[asked:]:
            at: dict[str, Any] = {"received_at": self.now, "psp_ref": approval, "driver_id": "bob"}
            if word == "late":
                await self.road.tell(make.verdict(ask, "unknown", **at))
            heard = make.verdict(ask, "declined" if word == "declined" else "authorized", **at)
            for _ in range(1 + told_twice):
                await self.road.tell(heard)
        return await answer

    @precondition(lambda self: self.uses or self.unused)
    @rule(kinds=st.lists(st.sampled_from(KINDS), min_size=1, unique=True), verdict=ANSWERS, dies=st.booleans())
    def the_worker_tries(self, kinds: list[str], verdict: Verdict, dies: bool) -> None:
        """Fees are taken, shares paid, rests and holds that nobody used given back."""
        for kind in kinds:
            self.work(kind, verdict, dies)

    @precondition(lambda self: self.uses)
    @rule()
    def all_goes_well(self) -> None:
        """What a psp was asked in vain is asked again, and done."""
        for kind in KINDS:
            self.work(kind, "done")

    @precondition(lambda self: self.books.owed > 0 and any(use.refused for use in self.uses.values()))
    @rule(verdict=ANSWERS, dies=st.booleans(), waits=st.booleans())
    def debts_are_asked_for_again(self, verdict: Verdict, dies: bool, waits: bool) -> None:
        """A notice, and another attempt when it had its time; `waits`: what happens before that attempt?"""
        for _ in range(2):
            self.ask_for_debts(days=3)
        if not waits:
            self.work("debt.collect", verdict, dies)

    def worked(self, job: Job) -> None:
        super().worked(job)
        if job.kind in WORKED:
            WORKED[job.kind](self, job)

    def _collected(self, job: Job) -> None:
        use, order = self.uses[job.payload["session"]], job.payload["session"]
        if use.psp == HOLDS:
            order = use.approval.removeprefix("hold-")
        told = "done" if use.psp == PREPAYS else self.their.told.get(order)
        if told == "done":
            ref, minor = (use.approval, use.fee) if use.psp == PREPAYS else self.their.taken[order]
            assert minor == use.fee
            self.are_begun(self.books.collected(use, ref))
        elif told == "declined":
            self.books.not_collected(use)

    def _collected_late(self, job: Job) -> None:
        use, order = self.uses[job.payload["session"]], job.payload["session"]
        if self.their.told.get(order) == "done":
            ref, minor = self.their.taken[order]
            assert minor == use.fee
            self.books.collected_late(use, ref)

    def _remitted(self, job: Job) -> None:
        use, order = self.uses[job.payload["session"]], job.payload["session"]
        if self.their.told.get(order) == "done":
            parts = [share.amount_minor for share in self.their.messages[order].shares]
            assert parts == [part for part in (use.fee - use.operator, use.operator) if part]
            self.books.remitted(use)

    def _rest_sent(self, job: Job) -> None:
        self.are_begun(self.books.rest_sent(self.uses[job.payload["session"]]))

    def _voided(self, job: Job) -> None:
        psp, approval = self.unused.get(job.payload["authorization"], (HOLDS, ""))
        if psp == PREPAYS:
            self.are_begun(self.books.sent_back_unused(psp, approval))


WORKED = {
    "psp.collect": PspMachine._collected,
    "debt.collect": PspMachine._collected_late,
    "psp.settle": PspMachine._remitted,
    "psp.refund_rest": PspMachine._rest_sent,
    "psp.void": PspMachine._voided,
}
"""Kind of job -> what its being done comes to in the books."""
