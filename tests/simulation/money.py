"""
Money as arithmetic: what each step of the system must do to the accounts, in plain integers.

Arrows read debit -> credit. The model knows no session machine, no SQL and no rounding but one line of its own.
`money_psp` adds sessions that a psp pays for; `their_book` is the psp's side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

PRICE_PER_KWH = 300
OPERATOR_PERCENT = 10
HOLD_MAX = 30_000
BALANCE, DEBT, PROVIDER, OPERATOR = "balance", "debt", "provider", "operator"
CHARGEBACK = "chargeback"
CLEARING, ON_ITS_WAY = ":clearing", ":refunds"
"""Accounts that every psp has: its name comes before."""

SOCIAL = "social"
"""The psp of top-ups."""


def half_up(numerator: int, denominator: int) -> int:
    """The nearest integer; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(slots=True)
class Payment:
    """What a psp took: `back` of `minor` went back, or is on its way."""

    ref: str
    minor: int
    back: int = 0
    psp: str = SOCIAL

    @property
    def left(self) -> int:
        """What can still go back."""
        return self.minor - self.back


Parts = list[tuple[Payment, int]]
"""What goes back of which payments."""


@dataclass(slots=True)
class Use:
    """
    A session: what was set aside, the newest charge with the operator's part of it, and what is left of both.

    `collecting`: a psp is still to say whether it took the fee, so the bill cannot be touched.
    """

    ref: str
    held: int
    charge: int = 0
    charge_operator: int = 0
    left: int = 0
    left_operator: int = 0
    revision: int = 0
    collecting: bool = False

    @property
    def limit(self) -> int:
        """The fee is never higher."""
        return self.held


@dataclass(slots=True)
class Dispute:
    """A chargeback, and where it was recovered from."""

    ref: str
    payment: Payment
    minor: int
    from_balance: int
    to_debt: int
    end: str = "opened"


@dataclass(slots=True)
class Books:
    """One driver's money and everybody else's, credits less debits."""

    accounts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    payments: list[Payment] = field(default_factory=list)

    def move(self, debit: str, credit: str, minor: int) -> None:
        """One transfer."""
        assert minor >= 0, (debit, credit, minor)
        self.accounts[debit] -= minor
        self.accounts[credit] += minor

    @property
    def balance(self) -> int:
        """What the driver has here."""
        return self.accounts[BALANCE]

    @property
    def owed(self) -> int:
        """What the driver owes."""
        return -self.accounts[DEBT]

    def top_up(self, ref: str, minor: int) -> None:
        """What is owed is paid first."""
        self.payments.append(Payment(ref, minor))
        for_debt = min(max(self.owed, 0), minor)
        self.move(SOCIAL + CLEARING, DEBT, for_debt)
        self.move(SOCIAL + CLEARING, BALANCE, minor - for_debt)

    def start(self, ref: str) -> Use | None:
        """Something is set aside; who has nothing, or owes something, starts nothing."""
        held = min(self.balance, HOLD_MAX)
        if held <= 0 or self.owed > 0:
            return None
        self.move(BALANCE, ref, held)
        return Use(ref, held)

    def _charge(self, use: Use, energy_wh: int) -> None:
        fee = min(half_up(energy_wh * PRICE_PER_KWH, 1_000), use.limit)
        use.charge = use.left = fee
        use.charge_operator = use.left_operator = half_up(fee * OPERATOR_PERCENT, 100)

    def _pay(self, use: Use) -> None:
        self.move(use.ref, OPERATOR, use.left_operator)
        self.move(use.ref, PROVIDER, use.left - use.left_operator)

    def end(self, use: Use, energy_wh: int) -> None:
        """Capture and split; the rest is the driver's again."""
        self._charge(use, energy_wh)
        self._pay(use)
        self.move(use.ref, BALANCE, use.held - use.left)
        use.revision = 1

    def give(self, use: Use, minor: int) -> Parts:
        """Money for the driver out of a use: what is owed first. Answers what leaves through a psp."""
        for_debt = min(max(self.owed, 0), minor)
        self.move(use.ref, DEBT, for_debt)
        self.move(use.ref, BALANCE, minor - for_debt)
        return []

    def demand(self, use: Use, minor: int) -> None:
        """More for a use that has ended: what the balance lacks is owed."""
        from_balance = min(self.balance, minor)
        self.move(BALANCE, use.ref, from_balance)
        self.move(DEBT, use.ref, minor - from_balance)

    def refund(self, use: Use, minor: int) -> Parts:
        """Part of a bill: the operator keeps its part of what is left, rounded once."""
        left = use.left - minor
        operator = half_up(use.charge_operator * left, use.charge)
        self.move(OPERATOR, use.ref, use.left_operator - operator)
        self.move(PROVIDER, use.ref, minor - (use.left_operator - operator))
        use.left, use.left_operator, use.revision = left, operator, use.revision + 1
        return self.give(use, minor)

    def correct(self, use: Use, energy_wh: int) -> Parts:
        """All of it back, and a new bill."""
        before = use.left
        self.move(OPERATOR, use.ref, use.left_operator)
        self.move(PROVIDER, use.ref, use.left - use.left_operator)
        self._charge(use, energy_wh)
        more = use.left - before
        self.demand(use, max(0, more))
        self._pay(use)
        use.revision += 2
        return self.give(use, max(0, -more))

    def refundable(self) -> int:
        """What of the balance can go back to the means it came from."""
        return min(self.balance, sum(payment.left for payment in self.payments))

    def disputable(self) -> list[Payment]:
        """What a bank may take back: every payment that stands here."""
        return self.payments

    def send_back(self, minor: int) -> Parts:
        """The newest payment first."""
        parts: Parts = []
        for payment in reversed(self.payments):
            part = min(payment.left, minor)
            if part:
                payment.back += part
                parts.append((payment, part))
                minor -= part
                self.move(BALANCE, payment.psp + ON_ITS_WAY, part)
        return parts

    def arrived(self, payment: Payment, minor: int) -> None:
        """The psp has paid a refund."""
        self.move(payment.psp + ON_ITS_WAY, payment.psp + CLEARING, minor)

    def came_back(self, payment: Payment, minor: int, disputes: Sequence[Dispute]) -> None:
        """A refund failed: the driver has it here, but for what the bank took meanwhile and found too little left."""
        payment.back -= minor
        self.move(payment.psp + ON_ITS_WAY, BALANCE, minor)
        for dispute in disputes:
            if dispute.payment is not payment or dispute.end == "won":
                continue
            lost = dispute.minor - dispute.from_balance - dispute.to_debt
            part = min(minor, payment.left, lost)
            from_balance = min(part, self.balance)
            payment.back += part
            self.move(BALANCE, CHARGEBACK, from_balance)
            self.move(DEBT, CHARGEBACK, part - from_balance)
            dispute.from_balance += from_balance
            dispute.to_debt += part - from_balance

    def dispute(self, ref: str, payment: Payment, minor: int) -> Dispute:
        """The psp took it; from the driver no more is recovered than the payment had left."""
        left = min(minor, payment.left)
        from_balance = min(left, self.balance)
        payment.back += left
        self.move(CHARGEBACK, payment.psp + CLEARING, minor)
        self.move(BALANCE, CHARGEBACK, from_balance)
        self.move(DEBT, CHARGEBACK, left - from_balance)
        return Dispute(ref, payment, minor, from_balance, left - from_balance)

    def won(self, dispute: Dispute) -> None:
        """We have it again, and so has the driver: what is still owed of it is forgiven first."""
        recovered = dispute.from_balance + dispute.to_debt
        for_debt = min(dispute.to_debt, max(0, self.owed))
        dispute.payment.back -= recovered
        self.move(dispute.payment.psp + CLEARING, CHARGEBACK, dispute.minor)
        self.move(CHARGEBACK, DEBT, for_debt)
        self.move(CHARGEBACK, BALANCE, recovered - for_debt)

    def pay_debt(self) -> None:
        """A debt is paid from the balance, as far as that goes; what was paid too much is the driver's again."""
        if self.owed > 0:
            self.move(BALANCE, DEBT, min(self.owed, self.balance))
        else:
            self.move(DEBT, BALANCE, -self.owed)
