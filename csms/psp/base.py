"""
The psp port: what we ask of a payment service, and what can come back.

How a call can end (`Answer.end`):

done        it had its effect
declined    the psp, the bank or the driver's limit said no; asking again gives the same answer
retryable   it was certainly not carried out (not sent, or refused for load): again, under the same key
our_fault   the request breaks a rule or our secret is wrong; a person must look
unknown     sent, and no clear answer came: look with `get`, or ask again under the same key, never under a new one
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol
from uuid import UUID, uuid5

from csms.domain.authorization import Ask, Policy

End = Literal["done", "declined", "retryable", "our_fault", "unknown"]

Standing = Literal[
    "missing", "held", "stored", "taken", "released", "declined", "settled",
    "pending", "paid", "failed", "opened", "won", "lost", "unknown",
]  # fmt: skip
"""
How a thing stands at the psp: no such thing, money held, means stored, money taken, hold released, ...

Refunds and payouts are `pending` until they are `paid` or `failed`. A chargeback is `opened` (the psp took
the money back from us), then `won` (we have it again) or `lost`.
"""

Kind = Literal["hold", "stored", "charge", "settlement", "payment", "refund", "payout", "chargeback"]

LineKind = Literal["payment", "refund", "payout", "settlement", "fee", "chargeback"]

PSP_KEYS = UUID("6f1c2f4e-6d52-5c0b-9a1d-3d0f6f0f4f11")
"""Namespace of the idempotency keys that are made from an authorization's id."""


def ask_key(authorization_id: UUID) -> str:
    """The idempotency key of asking for one authorization: the same for every repeat, also after a restart."""
    return str(uuid5(PSP_KEYS, f"authorization/{authorization_id}/ask"))


def asked_kind(policy: Policy) -> Kind:
    """What `authorize` made under this policy, for `get`: means that are stored, or a hold (or a whole payment)."""
    return "stored" if policy == "charge_after" else "hold"


TOP_UP = "top-up"


def top_up_order(driver_id: str, number: str) -> str:
    """The order under which a driver pays at a psp into their balance; `number` tells it from the driver's others."""
    return f"{TOP_UP}:{driver_id}:{number}"


def driver_of_top_up(order: str | None) -> str | None:
    """The driver whose balance a payment with this order fills; None when it is for something else."""
    kind, _, rest = (order or "").partition(":")
    driver_id, _, number = rest.partition(":")
    return driver_id if kind == TOP_UP and driver_id and number else None


@dataclass(frozen=True, slots=True)
class Caps:
    """
    What a psp can do. `hold_s_max`: how long it keeps a hold; `amount_minor_min`: the least it takes.

    `split_remit`: it pays the shares of a fee to payees. `payout`: it pays a payee when asked.
    `policies`: how sessions can be paid with it.
    """

    hold: bool
    partial_capture: bool
    stored_token: bool
    split_remit: bool
    currencies: frozenset[str]
    amount_minor_min: int
    hold_s_max: int
    payout: bool
    policies: frozenset[Policy]


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A good token: `subject` is how `issuer` names the person, and `psp` will be asked for the money."""

    psp: str
    issuer: str
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Denied:
    """A token that is not good, or cannot be judged now; `reason` is for logs and holds nothing of the token."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """
    How a call ended. `psp_ref` names the payment, stored means, settlement, refund or payout there.

    `standing` is told of a refund or payout that is `done`: `paid`, or `pending` when the psp has taken
    it and will say later (by webhook, or `get`) whether it was paid.
    """

    end: End
    psp_ref: str | None = None
    reason: str | None = None
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """
    How a thing stands at the psp now; `amount_minor` is what is held or was taken, paid or disputed.

    A payment also tells its currency, the order it was made for and what of it went back; a
    chargeback names the disputed payment as `payment_ref`.
    """

    standing: Standing
    psp_ref: str | None = None
    amount_minor: int | None = None
    reason: str | None = None
    currency: str | None = None
    order: str | None = None
    refunded_minor: int | None = None
    payment_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Taking a fee afterwards, by the means that `psp_ref` stands for. `order` names the use, once for ever."""

    order: str
    psp_ref: str
    subject: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class PayeeShare:
    """One payee's account at the psp and its part of the fee, in minor units, above 0."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class SettlementMessage:
    """The one message per session: the fee taken as `psp_ref`, who gets which part, what the driver is told."""

    order: str
    psp_ref: str
    fee_minor: int
    currency: str
    shares: tuple[PayeeShare, ...]
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Refund:
    """Sending back a part (or all) of the payment `psp_ref`. `order` names the refund, once for ever."""

    order: str
    psp_ref: str
    amount_minor: int
    currency: str
    reason: str


@dataclass(frozen=True, slots=True)
class Payout:
    """Paying a payee's `account` at the psp out of what it holds for us. `order` names it, once for ever."""

    order: str
    account: str
    amount_minor: int
    currency: str
    text: str


@dataclass(frozen=True, slots=True)
class StatementLine:
    """
    One movement of our money at a psp. `amount_minor` is signed: above 0 came to us, below 0 went out.

    `psp_ref` names what moved (a payment, refund, payout, settlement, chargeback), `order` is what we
    had asked for it under. `fee_minor` (0 or more) is what the psp kept of it.
    """

    psp_ref: str
    kind: LineKind
    order: str | None
    amount_minor: int
    fee_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """All movements of one day (UTC), as the psp has them."""

    day: date
    lines: tuple[StatementLine, ...]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The psp has no statement of that day, not yet, or cannot be asked now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Event:
    """
    What a webhook tells: something happened to the thing of `kind` that `get(kind, ref)` finds.

    `standing` is its word for it, a hint: nothing moves before `get` said the same. `kind` None: news
    that we have no use for.
    """

    psp: str
    event_id: str
    kind: Kind | None
    ref: str
    standing: Standing | None
    occurred_at: datetime
    payload: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unverified:
    """A webhook without a good and fresh signature. `hint` is what it says, if it can be read at all."""

    reason: str
    hint: Event | None = None


class Psp(Protocol):
    """A payment service. No method raises for what the outside does; every key makes one effect at most."""

    name: str
    caps: Caps

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """Whose token is this? Judged on the wall clock."""
        ...

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """
        `hold_capture`: set the amount aside. `charge_after`: check and store the means.
        `pay_before_refund_rest`: take the whole amount. `psp_ref` names it.
        """
        ...

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """Take a part (or all) of a hold, once; the rest is released."""
        ...

    async def void(self, key: str, psp_ref: str) -> Answer:
        """Release a hold."""
        ...

    async def charge(self, key: str, charge: Charge) -> Answer:
        """Take a fee by stored means; `psp_ref` names the payment."""
        ...

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """Have the shares paid and the driver told."""
        ...

    async def refund(self, key: str, refund: Refund) -> Answer:
        """Send money back, never more than the payment has left."""
        ...

    async def payout(self, key: str, payout: Payout) -> Answer:
        """Pay a payee; `our_fault` where `caps.payout` is false."""
        ...

    async def statement(self, day: date) -> Statement | Unavailable:
        """Every movement of our money on `day` (UTC)."""
        ...

    async def get(self, kind: Kind, ref: str) -> Found:
        """
        How it stands now.

        `hold` and `stored` (what `authorize` made, by policy: `asked_kind`): `ref` is the authorization's
        id. `charge`, `settlement`, `refund`, `payout`: `ref` is the order. `payment`, `chargeback`: `ref`
        is the psp's own name.
        """
        ...

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
        """Read what the psp sent; its signature and freshness are judged here. Header names are lower case."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
