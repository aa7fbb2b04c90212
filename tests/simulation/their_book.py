"""A psp's own book: what it answers next, what it has done whatever it answered, and what it told us of it."""

from __future__ import annotations

from typing import Literal

from csms.domain.authorization import Ask
from csms.psp.base import Answer, Charge, Found, Kind, Refund, SettlementMessage, Standing

Verdict = Literal["done", "declined", "pending", "cut", "lost_answer", "silent", "away"]
"""
`cut`: not done, no answer; `lost_answer`: done, no answer; a look tells. `away` and `silent` are the same two, and a
look tells nothing. `pending` goes for refunds alone.
"""

DOES, IS_MUTE, IS_BLIND = (
    ("done", "lost_answer", "silent"),
    ("cut", "lost_answer", "silent", "away"),
    ("silent", "away"),
)


class TheirBook:
    """
    One psp, or several that answer alike. A key or an order has one effect for ever.

    `told` is what it said of an order since it was last cleared, whether in an answer or when it was looked at.
    """

    def __init__(self) -> None:
        self.verdict: Verdict = "done"
        self.refunds: dict[str, Standing] = {}
        self.taken: dict[str, tuple[str, int]] = {}
        self.refused: set[str] = set()
        self.voided: set[str] = set()
        self.messages: dict[str, SettlementMessage] = {}
        self.told: dict[str, str] = {}

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """Means are there whenever it can be asked."""
        return Answer("unknown") if self.verdict == "away" else Answer("done", f"means-{ask.subject}")

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """The order of a hold is its authorization."""
        return self._take(key, psp_ref.removeprefix("hold-"), psp_ref, amount_minor)

    async def charge(self, key: str, charge: Charge) -> Answer:
        """The order of a charge is its session."""
        return self._take(key, charge.order, f"charge-{charge.order}", charge.amount_minor)

    def _take(self, key: str, order: str, ref: str, minor: int) -> Answer:
        if order not in self.taken and key not in self.refused:
            if self.verdict in DOES:
                self.taken[order] = (ref, minor)
            elif self.verdict == "declined":
                self.refused.add(key)
        if order in self.taken:
            return self._answer(order, Answer("done", self.taken[order][0]))
        if key in self.refused:
            return self._answer(order, Answer("declined", reason="limit"))
        return Answer("unknown", reason="no answer")

    async def void(self, key: str, psp_ref: str) -> Answer:
        """A hold is let go."""
        order = psp_ref.removeprefix("hold-")
        if self.verdict in DOES:
            self.voided.add(order)
        return self._answer(order, Answer("done", psp_ref) if order in self.voided else Answer("unknown"))

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """The shares are paid."""
        order = message.order
        if self.verdict in DOES and key not in self.refused:
            self.messages.setdefault(order, message)
        elif self.verdict == "declined" and order not in self.messages:
            self.refused.add(key)
        if order in self.messages:
            return self._answer(order, Answer("done", f"settled-{order}"))
        if key in self.refused:
            return self._answer(order, Answer("declined", reason="no such account"))
        return Answer("unknown", reason="no answer")

    async def refund(self, key: str, refund: Refund) -> Answer:
        """What is paid or failed stays so; what is pending ends by a later verdict."""
        order = refund.order
        if self.refunds.get(order, "pending") == "pending" and self.verdict not in ("cut", "away"):
            ends: dict[Verdict, Standing] = {"declined": "failed", "pending": "pending"}
            self.refunds[order] = ends.get(self.verdict, "paid")
        match self.refunds.get(order):
            case "failed":
                return self._answer(order, Answer("declined", order, "account closed", "failed"))
            case None:
                return Answer("unknown", reason="no answer")
            case standing:
                return self._answer(order, Answer("done", order, standing=standing))

    def _answer(self, order: str, answer: Answer) -> Answer:
        if self.verdict in IS_MUTE:
            return Answer("unknown", reason="no answer")
        self.told[order] = answer.standing or answer.end
        return answer

    async def get(self, kind: Kind, ref: str) -> Found:
        """How it stands, unless a look tells nothing now."""
        if self.verdict in IS_BLIND:
            return Found("unknown", reason="no answer")
        match kind:
            case "refund":
                found = Found(self.refunds.get(ref, "missing"), ref)
            case "settlement" if ref in self.messages:
                found = Found("settled", f"settled-{ref}", self.messages[ref].fee_minor)
            case "charge" | "hold" if ref in self.taken:
                found = Found("taken", *self.taken[ref])
            case "hold":
                found = Found("released" if ref in self.voided else "held")
            case _:
                found = Found("missing")
        if found.standing in ("paid", "failed", "pending", "settled", "taken", "released"):
            self.told[ref] = "done" if found.standing in ("settled", "taken", "released") else found.standing
        return found
