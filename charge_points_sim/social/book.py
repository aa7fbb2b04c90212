"""
The strict rules of a social-payment server. No I/O.

A rule checks, then records one entry; only the entry changes the state. So a refused request has no effect,
and everything that had an effect stands in the journal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from charge_points_sim.social import requests as ask
from charge_points_sim.social.state import Entry, Json, Payment, State


class Rejected(Exception):
    """A request that breaks a rule: HTTP status, Toss-like code, sentence. It had no effect."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(slots=True)
class Book:
    """The rules over one `state`. `now` is the time as text, `random_32` makes ids hard to guess."""

    state: State
    now: Callable[[], str]
    random_32: Callable[[], int]

    def authorize(self, key: str, request: ask.Authorize, decline: bool = False) -> Json:
        """Hold an amount. A declined hold is a payment too (ABORTED), so that asking by order finds the verdict."""
        self._check_order_is_new(request.order_id)
        reason = self._why_declined(request.customer_key, request.amount, decline)
        entry = self.record(
            "authorize",
            key,
            payment_key=self.new_id("pay"),
            order_id=request.order_id,
            subject=request.customer_key,
            currency=request.currency,
            amount=request.amount,
            status="ABORTED" if reason else "AUTHORIZED",
            reason=reason,
        )
        return self.state.payments[entry["payment_key"]].as_json()

    def confirm(self, key: str, request: ask.Authorize, decline: bool = False) -> Json:
        """Take the whole amount at once: a payment before its use, or a top-up."""
        self._check_order_is_new(request.order_id)
        reason = self._why_declined(request.customer_key, request.amount, decline)
        entry = self.record(
            "confirm",
            key,
            payment_key=self.new_id("pay"),
            order_id=request.order_id,
            subject=request.customer_key,
            currency=request.currency,
            amount=request.amount,
            status="ABORTED" if reason else "DONE",
            reason=reason,
        )
        return self.state.payments[entry["payment_key"]].as_json()

    def capture(self, key: str, payment_key: str, request: ask.Capture, decline: bool = False) -> Json:
        """Take part or all of a hold, once."""
        payment = self.payment(payment_key)
        if payment.status != "AUTHORIZED":
            raise Rejected(409, "ALREADY_PROCESSED_PAYMENT", f"the payment is {payment.status}, nothing is held")
        if request.amount > payment.amount:
            raise Rejected(400, "EXCEED_AUTHORIZED_AMOUNT", f"only {payment.amount} is held")
        if decline:
            raise Rejected(403, "REJECT_PAYMENT", "the driver's bank declined")
        self.record("capture", key, payment_key=payment_key, amount=request.amount)
        return payment.as_json()

    def cancel(self, key: str, payment_key: str, request: ask.Cancel, decline: bool = False) -> Json:
        """Release a hold as a whole, or refund at most what is left of a taken payment."""
        payment = self.payment(payment_key)
        if decline:
            raise Rejected(403, "REJECT_CANCEL", "the cancel was declined")
        if payment.status == "AUTHORIZED":
            if request.cancel_amount not in (None, payment.amount):
                raise Rejected(400, "NOT_CANCELABLE_AMOUNT", "a hold is released as a whole")
            amount = payment.amount
        elif payment.status in ("DONE", "PARTIAL_CANCELED"):
            amount = payment.left if request.cancel_amount is None else request.cancel_amount
            if amount > payment.left:
                raise Rejected(400, "NOT_CANCELABLE_AMOUNT", f"only {payment.left} is left of this payment")
        else:
            raise Rejected(409, "ALREADY_CANCELED_PAYMENT", f"the payment is {payment.status}")
        self.record("cancel", key, payment_key=payment_key, amount=amount, reason=request.cancel_reason)
        return payment.as_json()

    def issue_billing_key(self, key: str, request: ask.IssueBillingKey, decline: bool = False) -> Json:
        """The probe before energy flows: no money is held, a refused driver is found out."""
        if request.order_id in self.state.billing_key_of_order:
            raise Rejected(409, "DUPLICATED_ORDER_ID", "a billing key was asked for this order already")
        reason = self._why_declined(request.customer_key, request.amount, decline)
        entry = self.record(
            "billing_key",
            key,
            billing_key=self.new_id("bill"),
            order_id=request.order_id,
            subject=request.customer_key,
            status="ABORTED" if reason else "ISSUED",
            reason=reason,
        )
        return self.state.billing_keys[entry["billing_key"]]

    def charge(self, key: str, billing_key: str, request: ask.Charge, decline: bool = False) -> Json:
        """Take an amount afterwards, by a billing key."""
        issued = self.state.billing_keys.get(billing_key)
        if issued is None or issued["status"] != "ISSUED" or issued["customerKey"] != request.customer_key:
            raise Rejected(404, "INVALID_BILL_KEY", "no such billing key of this driver")
        self._check_order_is_new(request.order_id)
        reason = self._why_declined(request.customer_key, request.amount, decline)
        entry = self.record(
            "charge",
            key,
            payment_key=self.new_id("pay"),
            billing_key=billing_key,
            order_id=request.order_id,
            subject=request.customer_key,
            currency=request.currency,
            amount=request.amount,
            status="ABORTED" if reason else "DONE",
            reason=reason,
        )
        return self.state.payments[entry["payment_key"]].as_json()

    def settle(self, key: str, request: ask.Settle, decline: bool = False) -> Json:
        """Pay the shares of one session's fee to the sellers and send the driver the receipt. Once per session."""
        if request.order_id in self.state.settlement_of_order:
            raise Rejected(409, "ALREADY_SETTLED", "this session was settled already")
        payment = self.payment(request.payment_key)
        if payment.payment_key in self.state.settled_payments:
            raise Rejected(409, "ALREADY_SETTLED", "this payment was settled already, for another session")
        fits = payment.left >= request.fee if payment.whole else payment.captured == request.fee == payment.left
        if not fits or payment.currency != request.currency:
            raise Rejected(400, "FEE_MISMATCH", f"taken: {payment.captured} {payment.currency}, {payment.status}")
        if sum(share.amount for share in request.shares) != request.fee:
            raise Rejected(400, "SHARES_MISMATCH", "the shares do not sum to the fee")
        for share in request.shares:
            if share.seller not in self.state.sellers:
                raise Rejected(404, "NOT_FOUND_SELLER", f"no seller {share.seller!r} is registered")
        if decline:
            raise Rejected(403, "REJECT_SETTLEMENT", "the settlement was declined")
        number = self.new_id("set")
        remittances = [
            {"remittanceId": f"{number}_{i}", "seller": share.seller, "amount": share.amount}
            for i, share in enumerate(request.shares)
        ]
        receipt = {"receiptId": f"{number}_r", "customerKey": payment.subject, "details": request.details}
        self.record(
            "settle",
            key,
            settlement_id=number,
            order_id=request.order_id,
            payment_key=payment.payment_key,
            fee=request.fee,
            currency=request.currency,
            remittances=remittances,
            receipt=receipt,
        )
        return self.state.settlement_of_order[request.order_id]

    def register_seller(self, request: ask.Seller) -> Json:
        """A payee by its id; said again, its name and account are replaced."""
        self.record("seller", "", seller=request.seller, name=request.name, account=request.account)
        return self.state.sellers[request.seller]

    def set_clock(self, request: ask.Clock) -> Json:
        """Live in the time of a simulation: a statement's days are those of the stations that were simulated."""
        try:
            at = datetime.fromisoformat(request.now)
        except ValueError:
            raise Rejected(400, "INVALID_REQUEST", "now is a time such as 2019-07-24T12:00:00Z") from None
        if at.tzinfo is None:
            raise Rejected(400, "INVALID_REQUEST", "now needs its offset, such as Z")
        told = at.astimezone(UTC).isoformat(timespec="milliseconds")
        self.now = lambda: told
        return {"now": told}

    def set_subject(self, request: ask.Subject) -> Json:
        """Refuse, allow or limit a driver from now on."""
        self.record("subject", "", subject=request.subject, denied=request.denied, limit=request.limit_minor)
        return {"subject": request.subject, "denied": request.denied, "limit_minor": request.limit_minor}

    def payment(self, payment_key: str) -> Payment:
        """The payment, or `Rejected` 404."""
        payment = self.state.payments.get(payment_key)
        if payment is None:
            raise Rejected(404, "NOT_FOUND_PAYMENT", "no such payment")
        return payment

    def record(self, operation: str, key: str, **facts: Any) -> Entry:
        """Make one entry: the effect."""
        entry: Entry = {
            "seq": len(self.state.entries) + 1,
            "at": self.now(),
            "operation": operation,
            "key": key,
            **facts,
        }
        self.state.apply(entry)
        return entry

    def new_id(self, prefix: str) -> str:
        """A name of ours for something new."""
        return f"{prefix}_{len(self.state.entries) + 1:08d}{self.random_32():08x}"

    def _check_order_is_new(self, order_id: str) -> None:
        known = self.state.payment_of_order.get(order_id)
        if known is not None and known.status != "ABORTED":
            raise Rejected(409, "DUPLICATED_ORDER_ID", "this order has a payment already")

    def _why_declined(self, subject: str, amount: int, decline: bool) -> str | None:
        driver = self.state.driver(subject)
        if driver.denied:
            return "NOT_ALLOWED_CUSTOMER"
        if driver.limit is not None and driver.held + driver.spent + amount > driver.limit:
            return "EXCEED_MAX_AMOUNT"
        return "REJECT_PAYMENT" if decline else None
