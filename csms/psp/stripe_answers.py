"""What Stripe's answers, errors, balance and webhooks mean in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError
from stripe import (
    APIConnectionError,
    BalanceTransaction,
    Charge,
    Dispute,
    InvalidRequestError,
    PaymentIntent,
    RateLimitError,
    Refund,
    SetupIntent,
    SignatureVerificationError,
    StripeError,
    Transfer,
    WebhookSignature,
)
from stripe import CardError as Declined

from csms.psp.base import Answer, Event, Found, Kind, LineKind, Standing, StatementLine, Unverified


class Resting(Exception):
    """Nothing was sent: the breaker leaves Stripe alone."""


FAILURES = (StripeError, ClientError, TimeoutError, Resting, AttributeError, KeyError, TypeError, ValueError)
"""All that a call can raise for what the outside does; the last four when an answer lacks what Stripe documents."""

REFUSED = frozenset({"amount_too_small", "balance_insufficient", "charge_disputed", "charge_expired_for_capture"})
"""Codes of status 400 that are no mistake of ours, and stay as they are when asked again."""

STANDS_OTHERWISE = frozenset({"payment_intent_unexpected_state", "charge_already_captured", "idempotency_key_in_use"})
"""Codes that say no more than that it stands otherwise than the request thought: look."""

INTENTS: dict[str, Standing] = {
    "requires_capture": "held",
    "succeeded": "taken",
    "canceled": "released",
    "requires_payment_method": "declined",
    "requires_action": "declined",
    "processing": "pending",
}
"""How a PaymentIntent stands. Nobody is there to act when a driver must confirm off session: declined."""

ENDS: dict[str, Standing] = {
    "succeeded": "paid",
    "pending": "pending",
    "requires_action": "pending",
    "failed": "failed",
    "canceled": "failed",
}
"""How a Refund stands."""

DISPUTES: dict[str, Standing] = {
    "needs_response": "opened",
    "under_review": "opened",
    "won": "won",
    "lost": "lost",
}
"""How a Dispute stands; an inquiry (`warning_...`) has moved no money."""

LINES: dict[str, LineKind] = {
    "charge": "payment",
    "charge_failure": "payment",
    "partial_capture_reversal": "payment",
    "refund": "refund",
    "refund_failure": "refund",
    "transfer": "settlement",
    "transfer_reversal": "settlement",
    "payout": "payout",
    "payout_reversal": "payout",
    "dispute": "chargeback",
    "dispute_reversal": "chargeback",
}
"""Stripe's reporting category -> kind of line; what is none of these is Stripe's own fee or correction."""


def ended(error: Exception) -> Answer:
    """How a call ended that raised: by the taxonomy of `csms.psp.base`; in doubt `unknown`."""
    reason = getattr(error, "code", None) or type(error).__name__
    match error:
        case Resting() | RateLimitError():
            return Answer("retryable", reason=reason)
        case APIConnectionError():
            not_sent = isinstance(error.__cause__, (ClientConnectorError, ConnectionTimeoutError))
            return Answer("retryable" if not_sent else "unknown", reason="not sent" if not_sent else "no answer")
        case Declined():
            declined = error.error.decline_code if error.error is not None and "decline_code" in error.error else None
            return Answer("declined", reason=declined or reason)
        case InvalidRequestError() if error.code in REFUSED:
            return Answer("declined", reason=reason)
        case StripeError() if error.code in STANDS_OTHERWISE or error.http_status == 409:
            return Answer("unknown", reason=reason)
        case StripeError() if error.http_status in (400, 401, 403, 404) and error.error is not None:
            return Answer("our_fault", reason=reason)
        case _:
            return Answer("unknown", reason=reason)


def asked(intent: PaymentIntent) -> Answer:
    """A PaymentIntent that was to hold or take money."""
    standing = INTENTS.get(intent.status)
    if standing in ("held", "taken", "released"):
        return Answer("done", intent.id)
    if standing == "declined":
        return Answer("declined", intent.id, _failure(intent.last_payment_error) or intent.status)
    return Answer("unknown", intent.id, intent.status)


def stored(setup: SetupIntent) -> Answer:
    """A SetupIntent that was to check a means; `psp_ref` is the PaymentMethod."""
    found = found_setup(setup)
    ends: dict[Standing, Answer] = {
        "stored": Answer("done", found.psp_ref),
        "declined": Answer("declined", found.psp_ref, found.reason),
    }
    return ends.get(found.standing, Answer("unknown", reason=setup.status))


def found_setup(setup: SetupIntent) -> Found:
    """How a check of a means stands."""
    method = None if setup.payment_method is None else _id(setup.payment_method)
    if setup.status == "succeeded":
        return Found("stored", method)
    if setup.status == "processing":
        return Found("pending", method)
    return Found("declined", method, reason=_failure(setup.last_setup_error) or setup.status)


def found_intent(intent: PaymentIntent) -> Found:
    """How a payment stands; `latest_charge` is expanded."""
    standing = INTENTS.get(intent.status, "unknown")
    charge = intent.latest_charge
    return Found(
        standing,
        intent.id,
        intent.amount_received if standing == "taken" else intent.amount,
        _failure(intent.last_payment_error) if standing == "declined" else None,
        currency=intent.currency.upper(),
        order=order_of(intent),
        refunded_minor=charge.amount_refunded if isinstance(charge, Charge) else None,
    )


def found_refund(refund: Refund) -> Found:
    """How a refund stands."""
    payment = refund.payment_intent
    return Found(
        ENDS.get(refund.status or "", "unknown"),
        refund.id,
        refund.amount,
        currency=refund.currency.upper(),
        order=order_of(refund),
        payment_ref=None if payment is None else _id(payment),
    )


def refunded(refund: Refund) -> Answer:
    """A refund that was made."""
    standing = ENDS.get(refund.status or "")
    match standing:
        case "paid" | "pending":
            return Answer("done", refund.id, standing=standing)
        case "failed":
            return Answer("declined", refund.id, "failed", "failed")
        case _:
            return Answer("unknown", refund.id, f"a refund that is {refund.status}")


def found_payout(transfer: Transfer) -> Found:
    """How a transfer to a payee stands: it is paid at once, or was taken back."""
    standing: Standing = "failed" if transfer.reversed else "paid"
    return Found(
        standing, transfer.id, transfer.amount, currency=transfer.currency.upper(), order=transfer.transfer_group
    )


def found_dispute(dispute: Dispute) -> Found:
    """How a chargeback stands."""
    payment = dispute.payment_intent
    return Found(
        DISPUTES.get(dispute.status, "unknown"),
        dispute.id,
        dispute.amount,
        reason=dispute.reason,
        currency=dispute.currency.upper(),
        payment_ref=None if payment is None else _id(payment),
    )


def line(moved: BalanceTransaction) -> StatementLine:
    """One movement of the balance; `source` is expanded."""
    kind = LINES.get(moved.reporting_category, "fee")
    source: Any = moved.source
    order = None if source is None or isinstance(source, str) else order_of(source)
    if kind == "settlement" and noted(source, "kind") is not None:
        kind = "payout"
    ref = moved.id if source is None else _id(source)
    if kind == "payment" and isinstance(source, Charge) and source.payment_intent is not None:
        ref = _id(source.payment_intent)
    return StatementLine(
        ref, kind, order, moved.amount, moved.fee, moved.currency.upper(), datetime.fromtimestamp(moved.created, UTC)
    )


def read_webhook(psp: str, secrets: tuple[str, ...], headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
    """An event if one of our secrets signed it within five minutes, else what it would say."""
    event = _event(psp, raw)
    reason = "no secret of webhooks is set"
    for secret in secrets:
        try:
            WebhookSignature.verify_header(raw, headers.get("stripe-signature"), secret, FRESH_S)
        except (SignatureVerificationError, ValueError) as error:
            reason = getattr(error, "user_message", None) or "a body that is no text"
            continue
        return event or Unverified("signed, and not an event that can be read")
    return Unverified(reason, event)


FRESH_S = 300
"""How old a signed webhook may be: one kept from years ago is not believed."""


def order_of(thing: Any) -> str | None:
    """What we asked for it under: `metadata.order`, or the transfer's group."""
    if (order := noted(thing, "order")) is not None:
        return order
    group = getattr(thing, "transfer_group", None)
    return None if group is None else str(group)


def noted(thing: Any, name: str) -> str | None:
    """What we noted with a thing in its metadata."""
    metadata = getattr(thing, "metadata", None)
    return str(metadata[name]) if metadata is not None and name in metadata else None


def _event(psp: str, raw: bytes) -> Event | None:
    try:
        body = json.loads(raw)
        kind, ref, standing = _told(body["type"], body["data"]["object"])
        return Event(
            psp, str(body["id"]), kind, ref, standing, datetime.fromtimestamp(int(body["created"]), UTC), body
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _told(type_: str, thing: dict[str, Any]) -> tuple[Kind | None, str, Standing | None]:
    """What an event of this type is about; kind None when we have no use for it."""
    metadata = thing.get("metadata") or {}
    match thing["object"]:
        case "payment_intent":
            return "payment", str(thing["id"]), INTENTS.get(thing["status"])
        case "refund" if "order" in metadata:
            return "refund", str(metadata["order"]), ENDS.get(thing["status"])
        case "dispute" if thing["status"] in DISPUTES:
            return "chargeback", str(thing["id"]), DISPUTES[thing["status"]]
        case "transfer" if "kind" in metadata:
            return "payout", str(metadata["order"]), "failed" if thing.get("reversed") else "paid"
        case _:
            return None, str(thing.get("id", type_)), None


def _failure(error: Any) -> str | None:
    """The code of what went wrong last."""
    if error is None:
        return None
    code = error.get("decline_code") or error.get("code") if isinstance(error, dict) else _code(error)
    return str(code) if code else None


def _code(error: Any) -> str | None:
    return getattr(error, "decline_code", None) or getattr(error, "code", None)


def _id(thing: Any) -> str:
    """A thing's id, whether it came expanded or not."""
    return str(thing if isinstance(thing, str) else thing.id)
