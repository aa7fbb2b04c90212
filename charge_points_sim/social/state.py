"""
What a social-payment server knows: drivers, payments, billing keys, sellers, settlements, and (`returns`) what
went back or out. No rules, no I/O.

It changes by entries alone, so the list of entries is the journal, and reading a journal again gives
the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Entry = dict[str, Any]
Json = dict[str, Any]


@dataclass(slots=True)
class Driver:
    """What is known of a subject; `held` and `spent` count against `limit` (None: no limit)."""

    denied: bool = False
    limit: int | None = None
    held: int = 0
    spent: int = 0


@dataclass(slots=True)
class Payment:
    """One payment: AUTHORIZED (held), DONE (taken), CANCELED, PARTIAL_CANCELED or ABORTED (declined)."""

    payment_key: str
    order_id: str
    subject: str
    currency: str
    amount: int
    status: str
    captured: int = 0
    refunded: int = 0
    reason: str | None = None
    whole: bool = False
    """Taken as a whole before it was used: a part of it may be the fee."""

    @property
    def left(self) -> int:
        """What was taken and has not gone back."""
        return self.captured - self.refunded

    def as_json(self) -> Json:
        """The payment as callers see it."""
        return {
            "paymentKey": self.payment_key,
            "orderId": self.order_id,
            "customerKey": self.subject,
            "status": self.status,
            "currency": self.currency,
            "totalAmount": self.amount,
            "capturedAmount": self.captured,
            "balanceAmount": self.left,
            "failure": None if self.reason is None else {"code": self.reason, "message": "the payment was declined"},
        }


@dataclass(slots=True)
class State:
    """Everything, in memory. `denied_prefixes`: subjects that are refused from the beginning."""

    denied_prefixes: tuple[str, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    drivers: dict[str, Driver] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    payment_of_order: dict[str, Payment] = field(default_factory=dict)
    billing_keys: dict[str, Json] = field(default_factory=dict)
    billing_key_of_order: dict[str, Json] = field(default_factory=dict)
    sellers: dict[str, Json] = field(default_factory=dict)
    settlement_of_order: dict[str, Json] = field(default_factory=dict)
    settled_payments: set[str] = field(default_factory=set)
    refunds: dict[str, Json] = field(default_factory=dict)
    payouts: dict[str, Json] = field(default_factory=dict)
    chargebacks: dict[str, Json] = field(default_factory=dict)

    def driver(self, subject: str) -> Driver:
        """The driver of a subject, made at its first use."""
        driver = self.drivers.get(subject)
        if driver is None:
            driver = self.drivers[subject] = Driver(denied=subject.startswith(self.denied_prefixes))
        return driver

    def apply(self, entry: Entry) -> None:
        """Change the state by one entry, made by a rule now or by an earlier run."""
        APPLY[entry["operation"]](self, entry)
        self.entries.append(entry)


def _apply_payment(state: State, entry: Entry) -> None:
    payment = Payment(
        entry["payment_key"],
        entry["order_id"],
        entry["subject"],
        entry["currency"],
        entry["amount"],
        entry["status"],
        captured=entry["amount"] if entry["status"] == "DONE" else 0,
        reason=entry["reason"],
        whole=entry["operation"] == "confirm",
    )
    state.payments[payment.payment_key] = payment
    state.payment_of_order[payment.order_id] = payment
    driver = state.driver(payment.subject)
    if payment.status == "AUTHORIZED":
        driver.held += payment.amount
    driver.spent += payment.captured


def _apply_capture(state: State, entry: Entry) -> None:
    payment = state.payments[entry["payment_key"]]
    payment.status, payment.captured = "DONE", entry["amount"]
    driver = state.driver(payment.subject)
    driver.held -= payment.amount
    driver.spent += payment.captured


def _apply_cancel(state: State, entry: Entry) -> None:
    payment = state.payments[entry["payment_key"]]
    driver = state.driver(payment.subject)
    if payment.status == "AUTHORIZED":
        driver.held -= payment.amount
        payment.status = "CANCELED"
        return
    _give_back(state, payment, entry["amount"])


def _give_back(state: State, payment: Payment, amount: int) -> None:
    """What is left of a payment is less by `amount`; below 0: a refund that failed is there again."""
    payment.refunded += amount
    state.driver(payment.subject).spent -= amount
    payment.status = "CANCELED" if payment.left == 0 else "PARTIAL_CANCELED" if payment.refunded else "DONE"


def _apply_refund(state: State, entry: Entry) -> None:
    _give_back(state, state.payments[entry["payment_key"]], entry["amount"])
    state.refunds[entry["order_id"]] = {
        "refundId": entry["refund_id"],
        "orderId": entry["order_id"],
        "paymentKey": entry["payment_key"],
        "amount": entry["amount"],
        "currency": entry["currency"],
        "status": entry["status"],
    }


def _apply_refund_end(state: State, entry: Entry) -> None:
    refund = state.refunds[entry["order_id"]]
    refund["status"] = entry["status"]
    if entry["status"] == "FAILED":
        _give_back(state, state.payments[refund["paymentKey"]], -refund["amount"])


def _apply_payout(state: State, entry: Entry) -> None:
    state.payouts[entry["order_id"]] = {
        "payoutId": entry["payout_id"],
        "orderId": entry["order_id"],
        "seller": entry["seller"],
        "amount": entry["amount"],
        "currency": entry["currency"],
        "status": entry["status"],
    }


def _apply_payout_end(state: State, entry: Entry) -> None:
    state.payouts[entry["order_id"]]["status"] = entry["status"]


def _apply_chargeback(state: State, entry: Entry) -> None:
    state.chargebacks[entry["dispute_id"]] = {
        "disputeId": entry["dispute_id"],
        "paymentKey": entry["payment_key"],
        "amount": entry["amount"],
        "currency": entry["currency"],
        "status": "OPENED",
    }


def _apply_chargeback_end(state: State, entry: Entry) -> None:
    state.chargebacks[entry["dispute_id"]]["status"] = entry["status"]


def _apply_billing_key(state: State, entry: Entry) -> None:
    state.driver(entry["subject"])
    reason = entry["reason"]
    issued = {
        "billingKey": entry["billing_key"],
        "orderId": entry["order_id"],
        "customerKey": entry["subject"],
        "status": entry["status"],
        "failure": None if reason is None else {"code": reason, "message": "the driver was declined"},
    }
    state.billing_keys[entry["billing_key"]] = issued
    state.billing_key_of_order[entry["order_id"]] = issued


def _apply_settle(state: State, entry: Entry) -> None:
    state.settled_payments.add(entry["payment_key"])
    state.settlement_of_order[entry["order_id"]] = {
        "settlementId": entry["settlement_id"],
        "orderId": entry["order_id"],
        "paymentKey": entry["payment_key"],
        "fee": entry["fee"],
        "currency": entry["currency"],
        "remittances": entry["remittances"],
        "receiptId": entry["receipt"]["receiptId"],
    }


def _apply_seller(state: State, entry: Entry) -> None:
    state.sellers[entry["seller"]] = {name: entry[name] for name in ("seller", "name", "account")}


def _apply_subject(state: State, entry: Entry) -> None:
    driver = state.driver(entry["subject"])
    driver.denied, driver.limit = entry["denied"], entry["limit"]


APPLY: dict[str, Callable[[State, Entry], None]] = {
    "authorize": _apply_payment,
    "charge": _apply_payment,
    "confirm": _apply_payment,
    "capture": _apply_capture,
    "cancel": _apply_cancel,
    "billing_key": _apply_billing_key,
    "settle": _apply_settle,
    "seller": _apply_seller,
    "subject": _apply_subject,
    "refund": _apply_refund,
    "refund_end": _apply_refund_end,
    "payout": _apply_payout,
    "payout_end": _apply_payout_end,
    "chargeback": _apply_chargeback,
    "chargeback_end": _apply_chargeback_end,
}
