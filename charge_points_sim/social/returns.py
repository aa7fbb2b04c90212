"""The rules for money that goes back or out: refunds, payouts, chargebacks. No I/O; over the same `Book`."""

from __future__ import annotations

from charge_points_sim.social import requests as ask
from charge_points_sim.social.book import Book, Rejected
from charge_points_sim.social.state import Json

ENDS = {
    "PENDING": ("DONE", "FAILED"),
    "REQUESTED": ("COMPLETED", "FAILED"),
    "COMPLETED": ("FAILED",),
    "OPENED": ("WON", "LOST"),
}
"""What may become of what: also a payout that arrived can come back (a wrong account)."""


def refund(book: Book, key: str, payment_key: str, request: ask.Refund, how: str = "") -> Json:
    """Give back at most what is left of a taken payment. `how` "pending": it ends later."""
    if request.order_id in book.state.refunds:
        raise Rejected(409, "DUPLICATED_ORDER_ID", "this refund was asked for already")
    payment = book.payment(payment_key)
    if how == "decline":
        raise Rejected(403, "REJECT_CANCEL", "the refund was declined")
    if payment.status not in ("DONE", "PARTIAL_CANCELED"):
        raise Rejected(409, "ALREADY_CANCELED_PAYMENT", f"the payment is {payment.status}")
    if request.amount > payment.left:
        raise Rejected(400, "NOT_CANCELABLE_AMOUNT", f"only {payment.left} is left of this payment")
    book.record(
        "refund",
        key,
        refund_id=book.new_id("ref"),
        order_id=request.order_id,
        payment_key=payment_key,
        amount=request.amount,
        currency=payment.currency,
        reason=request.reason,
        status="PENDING" if how == "pending" else "DONE",
    )
    return book.state.refunds[request.order_id]


def payout(book: Book, key: str, request: ask.Payout, how: str = "") -> Json:
    """Pay a registered seller. `how` "pending": the bank says later whether it arrived."""
    if request.order_id in book.state.payouts:
        raise Rejected(409, "DUPLICATED_ORDER_ID", "this payout was asked for already")
    if request.seller not in book.state.sellers:
        raise Rejected(404, "NOT_FOUND_SELLER", f"no seller {request.seller!r} is registered")
    if how == "decline":
        raise Rejected(403, "REJECT_PAYOUT", "the payout was declined")
    book.record(
        "payout",
        key,
        payout_id=book.new_id("out"),
        order_id=request.order_id,
        seller=request.seller,
        amount=request.amount,
        currency=request.currency,
        text=request.text,
        status="REQUESTED" if how == "pending" else "COMPLETED",
    )
    return book.state.payouts[request.order_id]


def charge_back(book: Book, request: ask.Chargeback) -> Json:
    """The driver's bank disputes a payment: the amount is taken back from the merchant."""
    payment = book.payment(request.payment_key)
    amount = payment.left if request.amount is None else request.amount
    disputed = sum(
        other["amount"]
        for other in book.state.chargebacks.values()
        if other["paymentKey"] == payment.payment_key and other["status"] != "WON"
    )
    if not 0 < amount <= payment.left - disputed:
        raise Rejected(400, "NOT_CANCELABLE_AMOUNT", f"only {payment.left - disputed} can be disputed")
    entry = book.record(
        "chargeback",
        "",
        dispute_id=book.new_id("dis"),
        payment_key=payment.payment_key,
        amount=amount,
        currency=payment.currency,
    )
    return book.state.chargebacks[entry["dispute_id"]]


def end_refund(book: Book, order_id: str, request: ask.Ended) -> Json:
    """A pending refund arrives or fails."""
    return _end(book, "refund_end", "order_id", book.state.refunds, order_id, request)


def end_payout(book: Book, order_id: str, request: ask.Ended) -> Json:
    """A pending payout arrives or fails; one that arrived may come back."""
    return _end(book, "payout_end", "order_id", book.state.payouts, order_id, request)


def end_chargeback(book: Book, dispute_id: str, request: ask.Ended) -> Json:
    """A dispute is won by the merchant (the money is given again) or lost."""
    return _end(book, "chargeback_end", "dispute_id", book.state.chargebacks, dispute_id, request)


def _end(book: Book, operation: str, name: str, things: dict[str, Json], ref: str, request: ask.Ended) -> Json:
    thing = things.get(ref)
    if thing is None:
        raise Rejected(404, "NOT_FOUND", "nothing by this id")
    if request.status not in ENDS.get(thing["status"], ()):
        raise Rejected(409, "ALREADY_ENDED", f"it is {thing['status']}")
    facts = {name: ref, "status": request.status, "amount": thing["amount"], "currency": thing["currency"]}
    book.record(operation, "", **facts)
    return thing
