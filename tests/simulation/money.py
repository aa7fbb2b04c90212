"""
Money as arithmetic: what each step of the system must do to the accounts, in plain integers.

Arrows read debit -> credit. The model knows no session machine, no SQL and no rounding but one line of its own.
`TheirBook` is the psp's side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from csms.psp.base import Answer, Found, Refund

PRICE_PER_KWH = 300
OPERATOR_PERCENT = 10
HOLD_MAX = 30_000
BALANCE, DEBT, PROVIDER, OPERATOR = "balance", "debt", "provider", "operator"
CLEARING, ON_ITS_WAY, CHARGEBACK = "clearing", "refunds", "chargeback"


def half_up(numerator: int, denominator: int) -> int:
    """The nearest integer; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(slots=True)
class Payment:
    """A top-up: `back` of `minor` went back, or is on its way."""

    ref: str
    minor: int
    back: int = 0


@dataclass(slots=True)
class Use:
    """A session: what was set aside, the newest charge with the operator's part of it, and what is left of both."""

    ref: str
    held: int
    charge: int = 0
    charge_operator: int = 0
    left: int = 0
    left_operator: int = 0
    revision: int = 0


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
        self.move(CLEARING, DEBT, for_debt)
        self.move(CLEARING, BALANCE, minor - for_debt)

    def start(self, ref: str) -> Use | None:
        """Something is set aside; who has nothing, or owes something, starts nothing."""
        held = min(self.balance, HOLD_MAX)
        if held <= 0 or self.owed > 0:
            return None
        self.move(BALANCE, ref, held)
        return Use(ref, held)

    def _charge(self, use: Use, energy_wh: int) -> None:
        fee = min(half_up(energy_wh * PRICE_PER_KWH, 1_000), use.held)
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

    def give(self, use: Use, minor: int) -> None:
        """Money for the driver out of a use: what is owed first."""
        for_debt = min(max(self.owed, 0), minor)
        self.move(use.ref, DEBT, for_debt)
        self.move(use.ref, BALANCE, minor - for_debt)

    def refund(self, use: Use, minor: int) -> None:
        """Part of a bill: the operator keeps its part of what is left, rounded once."""
        left = use.left - minor
        operator = half_up(use.charge_operator * left, use.charge)
        self.move(OPERATOR, use.ref, use.left_operator - operator)
        self.move(PROVIDER, use.ref, minor - (use.left_operator - operator))
        self.give(use, minor)
        use.left, use.left_operator, use.revision = left, operator, use.revision + 1

    def correct(self, use: Use, energy_wh: int) -> None:
        """All of it back, and a new bill."""
        before = use.left
        self.move(OPERATOR, use.ref, use.left_operator)
        self.move(PROVIDER, use.ref, use.left - use.left_operator)
        self._charge(use, energy_wh)
        more = use.left - before
        if more > 0:
            from_balance = min(self.balance, more)
            self.move(BALANCE, use.ref, from_balance)
            self.move(DEBT, use.ref, more - from_balance)
        self._pay(use)
        self.give(use, max(0, -more))
        use.revision += 2

    def refundable(self) -> int:
        """What of the balance can go back to the means it came from."""
        return min(self.balance, sum(payment.minor - payment.back for payment in self.payments))

    def send_back(self, minor: int) -> list[tuple[Payment, int]]:
        """The newest payment first."""
        parts = []
        for payment in reversed(self.payments):
            part = min(payment.minor - payment.back, minor)
            if part:
                payment.back += part
                parts.append((payment, part))
                minor -= part
                self.move(BALANCE, ON_ITS_WAY, part)
        return parts

    def arrived(self, minor: int) -> None:
        """The psp has paid a refund."""
        self.move(ON_ITS_WAY, CLEARING, minor)

    def came_back(self, payment: Payment, minor: int, disputes: Sequence[Dispute]) -> None:
        """A refund failed: the driver has it here, but for what the bank took meanwhile and found too little left."""
        payment.back -= minor
        self.move(ON_ITS_WAY, BALANCE, minor)
        for dispute in disputes:
            if dispute.payment is not payment or dispute.end == "won":
                continue
            lost = dispute.minor - dispute.from_balance - dispute.to_debt
            part = min(minor, payment.minor - payment.back, lost)
            from_balance = min(part, self.balance)
            payment.back += part
            self.move(BALANCE, CHARGEBACK, from_balance)
            self.move(DEBT, CHARGEBACK, part - from_balance)
            dispute.from_balance += from_balance
            dispute.to_debt += part - from_balance

    def dispute(self, ref: str, payment: Payment, minor: int) -> Dispute:
        """The psp took it; from the driver no more is recovered than the payment had left."""
        left = min(minor, payment.minor - payment.back)
        from_balance = min(left, self.balance)
        payment.back += left
        self.move(CHARGEBACK, CLEARING, minor)
        self.move(BALANCE, CHARGEBACK, from_balance)
        self.move(DEBT, CHARGEBACK, left - from_balance)
        return Dispute(ref, payment, minor, from_balance, left - from_balance)

    def won(self, dispute: Dispute) -> None:
        """We have it again, and so has the driver: what is still owed of it is forgiven first."""
        recovered = dispute.from_balance + dispute.to_debt
        for_debt = min(dispute.to_debt, max(0, self.owed))
        dispute.payment.back -= recovered
        self.move(CLEARING, CHARGEBACK, dispute.minor)
        self.move(CHARGEBACK, DEBT, for_debt)
        self.move(CHARGEBACK, BALANCE, recovered - for_debt)

    def pay_debt(self) -> None:
        """A debt is paid from the balance, as far as that goes."""
        self.move(BALANCE, DEBT, min(max(0, self.owed), self.balance))


class TheirBook:
    """The psp's side of refunds: what it answers next, and what it has done."""

    def __init__(self) -> None:
        self.verdict = "paid"
        self.done: dict[str, str] = {}

    async def refund(self, key: str, refund: Refund) -> Answer:
        """By `verdict`; what is done stays as it is, whatever is asked again."""
        if self.done.get(refund.order, "pending") == "pending" and self.verdict != "away":
            self.done[refund.order] = "paid" if self.verdict == "lost_answer" else self.verdict
        if self.verdict in ("away", "lost_answer"):
            return Answer("unknown", reason="no answer")
        standing = self.done[refund.order]
        if standing == "failed":
            return Answer("declined", refund.order, "account closed", "failed")
        return Answer("done", refund.order, standing="paid" if standing == "paid" else "pending")

    async def get(self, kind: str, ref: str) -> Found:
        """How a refund stands."""
        match self.done.get(ref):
            case "paid":
                return Found("paid", ref)
            case "pending":
                return Found("pending", ref)
            case "failed":
                return Found("failed", ref)
            case _:
                return Found("missing")
