"""What PortOne's answers, errors and webhooks mean in the words of the port."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from httpx import ConnectError, ConnectTimeout, HTTPError
from portone_server_sdk import errors, webhook
from portone_server_sdk.errors import PortOneError
from portone_server_sdk.payment import (
    CancelledPayment,
    FailedPayment,
    FailedPaymentCancellation,
    PaidPayment,
    PartialCancelledPayment,
    RequestedPaymentCancellation,
    SucceededPaymentCancellation,
)

from csms.psp.base import Answer, Charge, Event, Found, Refund, Standing, Unverified


class Resting(Exception):
    """Nothing was sent: the breaker leaves PortOne alone."""


FAILURES = (PortOneError, HTTPError, Resting, AttributeError, KeyError, TypeError, ValueError)
"""All that a call can raise for what the outside does; the last four when an answer is none that the SDK knows."""

GONE = (errors.BillingKeyNotFoundError, errors.BillingKeyAlreadyDeletedError)
UNCLEAR = (errors.UnknownError, errors.PgProviderError, errors.CancellableAmountConsistencyBrokenError)
PAID = (PaidPayment, PartialCancelledPayment, CancelledPayment)

TRANSFERS: dict[str, Standing] = {
    "SCHEDULED": "pending",
    "IN_PROCESS": "pending",
    "SETTLED": "pending",
    "IN_PAYOUT": "pending",
    "PAID_OUT": "paid",
    "PAYOUT_CONFIRMED": "paid",
}

NEWS: dict[str, Standing | None] = {
    "Transaction.Paid": "taken",
    "Transaction.Failed": "declined",
    "Transaction.PayPending": "pending",
    "Transaction.PartialCancelled": "taken",
    "Transaction.Cancelled": "taken",
}
"""Webhooks that we have a use for; a payment that went back was taken."""


def ended(error: Exception) -> Answer:
    """How a call ended that raised: by the taxonomy of `csms.psp.base`; in doubt `unknown`."""
    reason = type(error).__name__
    match error:
        case Resting() | ConnectError() | ConnectTimeout():
            return Answer("retryable", reason="not sent")
        case HTTPError():
            return Answer("unknown", reason="no answer")
        case _ if isinstance(error, GONE):
            return Answer("declined", reason=reason)
        case PortOneError() if not isinstance(error, UNCLEAR):
            return Answer("our_fault", reason=reason)
        case _:
            return Answer("unknown", reason=reason)


def charged(charge: Charge, found: Found, why: str) -> Answer:
    """A charge that was refused because its id is paid, or by the payment service: what stands decides."""
    match found.standing:
        case "taken" if (found.amount_minor, found.currency) == (charge.amount_minor, charge.currency):
            return Answer("done", charge.order)
        case "taken":
            return Answer("our_fault", reason=f"the order is paid with {found.amount_minor} {found.currency}")
        case "declined":
            return Answer("declined", charge.order, found.reason or why)
        case _:
            return Answer("unknown", reason=why)


def found_payment(payment: Any) -> Found:
    """How a payment stands; its id is our order."""
    if isinstance(payment, PAID):
        amount = payment.amount
        return Found(
            "taken", payment.id, amount.paid, currency=payment.currency, order=payment.id,
            refunded_minor=amount.cancelled,
        )  # fmt: skip
    if isinstance(payment, FailedPayment):
        reason = payment.failure.reason or payment.failure.pg_code
        return Found("declined", payment.id, payment.amount.total, reason, payment.currency, payment.id)
    return Found("pending", getattr(payment, "id", None))


def left_minor(payment: Any) -> int | None:
    """What of a payment can still go back; None of one that was not paid."""
    return payment.amount.paid - payment.amount.cancelled if isinstance(payment, PAID) else None


def found_transfer(transfer: Any) -> Found:
    """How a transfer to a partner stands."""
    standing = TRANSFERS.get(transfer.status, "unknown")
    return Found(
        standing, transfer.id, transfer.settlement_amount, currency=transfer.settlement_currency, order=transfer.id
    )


def marked(refund: Refund) -> str:
    """The reason that PortOne keeps, beginning with our order."""
    return f"[{refund.order}] {refund.reason}"


def cancellation_of(payment: Any, order: str) -> Any:
    """The cancellation of a payment that was made for this order and did not fail; None when there is none."""
    for made in getattr(payment, "cancellations", None) or ():
        if not isinstance(made, FailedPaymentCancellation) and getattr(made, "reason", "").startswith(f"[{order}]"):
            return made
    return None


def refunded(made: Any) -> Answer:
    """A cancellation that was made."""
    match made:
        case SucceededPaymentCancellation():
            return Answer("done", made.id, standing="paid")
        case RequestedPaymentCancellation():
            return Answer("done", made.id, standing="pending")
        case FailedPaymentCancellation():
            return Answer("declined", made.id, "failed", "failed")
        case _:
            return Answer("unknown", reason="a cancellation of a kind that is not known")


def read_webhook(psp: str, secrets: tuple[str, ...], headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
    """An event if one of our secrets signed it within five minutes, else what it would say."""
    event = _event(psp, headers.get("webhook-id", ""), raw)
    reason = "no secret of webhooks is set"
    for secret in secrets:
        try:
            webhook.verify(secret, raw.decode(), headers)
        except webhook.WebhookVerificationError as error:
            reason = error.reason
            continue
        except (PortOneError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = type(error).__name__
            continue
        return event or Unverified("signed, and not an event that can be read")
    return Unverified(reason, event)


def _event(psp: str, event_id: str, raw: bytes) -> Event | None:
    try:
        body = json.loads(raw)
        type_, told = body["type"], body["data"]
        known = type_ in NEWS
        ref = str(told["paymentId"]) if known else type_
        at = datetime.fromisoformat(body["timestamp"]).astimezone(UTC)
        return Event(psp, event_id, "payment" if known else None, ref, NEWS.get(type_), at, body)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
