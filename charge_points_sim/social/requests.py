"""What callers of the social-payment server may ask, as types: what does not fit is refused before a rule runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Amount = Annotated[int, msgspec.Meta(gt=0, le=2**53)]
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]

FaultOperation = Literal[
    "authorize", "capture", "cancel", "billing_key", "charge", "settle", "get", "verify", "token",
    "confirm", "refund", "payout", "statement", "webhook",
]  # fmt: skip
FaultKind = Literal[
    "delay", "timeout_before", "timeout_after", "error_5xx", "error_after", "duplicate", "decline",
    "pending", "lost", "reorder", "unsigned", "forged", "stale",
]  # fmt: skip
"""`pending` is for refunds and payouts; those of the last line's rest are for webhooks."""


class Request(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The common shape: camelCase on the wire, unknown fields refused."""


class Authorize(Request):
    """Set `amount` aside on the driver `customerKey`, for one order."""

    order_id: Name
    customer_key: Name
    amount: Amount
    currency: Currency


class Capture(Request):
    """Take `amount`, at most what is held; the rest of the hold is released."""

    amount: Amount


class Cancel(Request):
    """Release a hold, or give back `cancelAmount` (without it: all that is left) of what was taken."""

    cancel_reason: Name
    cancel_amount: Amount | None = None


class IssueBillingKey(Request):
    """Probe a driver and issue the key by which it can be charged afterwards; `amount` is what may come."""

    order_id: Name
    customer_key: Name
    amount: Amount
    currency: Currency


class Charge(Request):
    """Take `amount` from the driver of a billing key."""

    order_id: Name
    customer_key: Name
    amount: Amount
    currency: Currency


class Share(Request):
    """One payee's part of a fee."""

    seller: Name
    amount: Amount


class Settle(Request):
    """The one settlement message of a session (`orderId`): the fee of a payment, and who gets which part."""

    order_id: Name
    payment_key: Name
    fee: Amount
    currency: Currency
    shares: Annotated[list[Share], msgspec.Meta(min_length=1, max_length=20)]
    details: dict[str, Any] = {}


class Refund(Request):
    """Give back `amount` of a taken payment, for one order of the caller's."""

    order_id: Name
    amount: Amount
    reason: Name


class Payout(Request):
    """Pay a seller's bank account, for one order of the caller's."""

    order_id: Name
    seller: Name
    amount: Amount
    currency: Currency
    text: str = ""


class Ended(Request):
    """How a pending refund or payout, or a chargeback, ends: by the server's own hand."""

    status: Literal["DONE", "COMPLETED", "FAILED", "WON", "LOST"]


class Clock(Request):
    """The time of a simulation, RFC 3339: what happens from now on happens then, until another is set."""

    now: Name


class Chargeback(Request):
    """A driver's bank takes a payment (or `amount` of it) back."""

    payment_key: Name
    amount: Amount | None = None


class Webhook(Request, rename=None):
    """Where events are sent, and the `whsec_` secret that signs them; an empty address: nowhere."""

    url: str
    secret: str


class Seller(Request):
    """A payee: a provider's or the operator's account."""

    seller: Name
    name: str = ""
    account: str = ""


class Subject(Request, rename=None):
    """How a driver stands: refused altogether, or limited to `limit_minor` of holds and payments together."""

    subject: Name
    denied: bool = False
    limit_minor: Annotated[int, msgspec.Meta(ge=0)] | None = None


class DriverToken(Request, rename=None):
    """A simulated driver signs in. `expires_in` may be negative: a token that is already too old."""

    subject: Name
    audience: Name | None = None
    expires_in: int = 3600


class Fault(Request, rename=None):
    """`kind` happens to `operation` for the next `count` calls, or at `rate` of all calls until it is taken away."""

    operation: FaultOperation
    kind: FaultKind
    rate: Rate | None = None
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    delay_s: Seconds = 0.0
