"""
Sessions that a psp pays for, as arithmetic: what is added to `money`.

Arrows read debit -> credit. Three ways to be paid, each with a psp of its own:

holds     says yes before, takes the fee of what it holds afterwards
charges   says yes before, and is asked for the fee afterwards
prepays   takes the whole amount before; the rest goes back
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.simulation.money import (
    BALANCE,
    CLEARING,
    DEBT,
    ON_ITS_WAY,
    PROVIDER,
    SOCIAL,
    Books,
    Parts,
    Payment,
    Use,
)

HOLDS, CHARGES, PREPAYS = "card", "billing", SOCIAL
PSPS = (HOLDS, CHARGES, PREPAYS)
APPROVED = 30_000
RECEIVABLE, BANK = ":receivable", "bank"


@dataclass(slots=True)
class PspUse(Use):
    """
    A session that `psp` approved as `approval`; `fee` and `operator` are those of its first bill.

    `untaken`: of the fee, what the psp is still to take; it may have `refused` for good. `payment`: what it took, and
    whether the shares of it are `remitted`. `rest`: what is to go back of it.
    """

    psp: str = ""
    approval: str = ""
    fee: int = 0
    operator: int = 0
    untaken: int = 0
    rest: int = 0
    refused: bool = False
    remitted: bool = False
    payment: Payment | None = None

    @property
    def limit(self) -> int:
        """No more than was approved, where something was."""
        return 10**9 if self.psp == CHARGES else APPROVED


@dataclass
class PspBooks(Books):
    """The same driver, who also pays by psp. `unused`: what was paid before, for a session that came to nothing."""

    taken: list[Payment] = field(default_factory=list)
    unused: dict[str, int] = field(default_factory=dict)

    def approved(self, ref: str, psp: str, approval: str) -> PspUse:
        """A start that its psp said yes to."""
        use = PspUse(ref, APPROVED if psp == PREPAYS else 0, psp=psp, approval=approval)
        self.move(psp + CLEARING, ref, use.held)
        return use

    def approved_too_late(self, psp: str, approval: str) -> None:
        """Nobody starts any more, but what was paid is there."""
        if psp == PREPAYS:
            self.move(psp + CLEARING, approval, APPROVED)

    def sent_back_unused(self, psp: str, approval: str) -> Parts:
        """All of what was paid before, for nothing."""
        payment = self._took(psp, approval, APPROVED)
        return self._send(approval, payment, APPROVED)

    def end(self, use: Use, energy_wh: int) -> None:
        """The payees get the fee now, whoever is still to take it."""
        if not isinstance(use, PspUse):
            super().end(use, energy_wh)
            return
        self._charge(use, energy_wh)
        use.fee, use.operator = use.left, use.left_operator
        if use.psp == PREPAYS:
            use.rest = use.held - use.fee
            self.move(use.ref, use.psp + ON_ITS_WAY, use.rest)
        else:
            use.untaken = use.fee
            self.move(use.psp + RECEIVABLE, use.ref, use.fee)
        self._pay(use)
        use.revision, use.collecting = 1, use.fee > 0

    def collected(self, use: PspUse, ref: str) -> Parts:
        """The psp has the fee, or had all of it before, and then the rest is on its way."""
        self._ended(use)
        if use.psp == PREPAYS:
            return self.rest_sent(use)
        self.move(use.psp + CLEARING, use.psp + RECEIVABLE, use.fee)
        self._paid_with(use, ref)
        return []

    def not_collected(self, use: PspUse) -> None:
        """The psp said no for good."""
        self.move(DEBT, use.psp + RECEIVABLE, use.fee)
        use.refused = True
        self._ended(use)

    def collected_late(self, use: PspUse, ref: str) -> None:
        """The psp was asked again, for what is owed by now."""
        self.move(use.psp + CLEARING, DEBT, use.fee)
        self._paid_with(use, ref)

    def _ended(self, use: PspUse) -> None:
        use.untaken, use.collecting = 0, False

    def _paid_with(self, use: PspUse, ref: str) -> None:
        if use.payment is None:
            use.payment = self._took(use.psp, ref, APPROVED if use.psp == PREPAYS else use.fee)

    def _took(self, psp: str, ref: str, minor: int) -> Payment:
        self.taken.append(Payment(ref, minor, psp=psp))
        return self.taken[-1]

    def remitted(self, use: PspUse) -> None:
        """The psp paid the payees what the first bill says."""
        self.move(PROVIDER, use.psp + CLEARING, use.fee - use.operator)
        self.move(BANK, use.psp + CLEARING, use.operator)
        use.remitted = True

    def rest_sent(self, use: PspUse) -> Parts:
        """What was not spent of a payment is on its way, and was since the end."""
        self._paid_with(use, use.approval)
        assert use.payment is not None
        rest, use.rest = use.rest, 0
        use.payment.back += rest
        return [(use.payment, rest)] if rest else []

    def _send(self, source: str, payment: Payment, minor: int) -> Parts:
        payment.back += minor
        self.move(source, payment.psp + ON_ITS_WAY, minor)
        return [(payment, minor)] if minor else []

    def give(self, use: Use, minor: int) -> Parts:
        """What is owed first; what nobody took is not given; then the way it came; what is left to the balance."""
        if not isinstance(use, PspUse):
            return super().give(use, minor)
        for_debt = min(max(self.owed, 0), minor)
        untaken = min(use.untaken, minor - for_debt)
        back = min(use.payment.left if use.payment else 0, minor - for_debt - untaken)
        use.untaken -= untaken
        self.move(use.ref, DEBT, for_debt)
        self.move(use.ref, use.psp + RECEIVABLE, untaken)
        self.move(use.ref, BALANCE, minor - for_debt - untaken - back)
        return self._send(use.ref, use.payment, back) if use.payment else []

    def demand(self, use: Use, minor: int) -> None:
        """No psp takes more than it was asked for: the rest is owed."""
        if isinstance(use, PspUse):
            self.move(DEBT, use.ref, minor)
        else:
            super().demand(use, minor)

    def disputable(self) -> list[Payment]:
        """Fees too."""
        return self.payments + self.taken
