"""
Money that goes back to drivers through a psp: what is begun, and what its end comes to in our ledger.

A refund is begun together with the posting that pays for it (`begin_refund` in SQL). Arrows read debit -> credit.

paid                psp:X:refunds -> psp:X:clearing
failed for good     psp:X:refunds -> driver:D:balance, and what the payment has left is more again
bounced, once paid  psp:X:clearing -> driver:D:balance, the same
paid before, unused authorization:A:held -> psp:X:refunds
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid5

from csms.base.ids import derived
from csms.db import Record
from csms.domain import ledger
from csms.domain.errand import Concern
from csms.domain.ledger import Posting, transfers
from csms.flows.settle import PAYMENT_PLACE
from csms.store.notices import Notice, Type
from csms.store.outbox import BegunRefund, Collection, Job, Payment, RefundEnd, Result

REST_PLACE, UNUSED_PLACE, UNUSED_POSTING_PLACE = range(46, 49)
"""Which derived id the refund of a session's rest takes; of an authorization: of all of it, and its posting."""


def rest(job: Job, authorization: Record, session_id: UUID, minor: int, at: datetime) -> Result:
    """What a session left of a payment made before it goes back; its posting was made with the bill."""
    begun = BegunRefund(
        derived(session_id, REST_PLACE), authorization["psp"], authorization["psp_ref"], minor, session_id, "rest", at
    )
    return Result(job, "done", payments=(payment(authorization, session_id, at),), begun=(begun,))


def rest_of(of: Collection, payment_ref: str, at: datetime) -> tuple[BegunRefund, ...]:
    """
    The rest of a payment made before, begun where the payment is first known.

    So nothing else, a chargeback or a refund of the bill, can take what is the driver's already.
    """
    assert of.authorized_minor is not None
    minor = of.authorized_minor - of.total_minor
    id_ = derived(of.session_id, REST_PLACE)
    return (BegunRefund(id_, of.psp, payment_ref, minor, of.session_id, "rest", at),) if minor > 0 else ()


def unused(job: Job, authorization: Record, at: datetime) -> Result:
    """A payment made before, that no session used, goes back whole."""
    id_, psp, minor = authorization["id"], authorization["psp"], authorization["amount_minor"]
    begun = BegunRefund(derived(id_, UNUSED_PLACE), psp, authorization["psp_ref"], minor, None, "not used", at)
    moves = transfers(authorization["currency"], (ledger.authorization_held(id_), ledger.psp_refunds(psp), minor))
    posting = Posting(
        derived(id_, UNUSED_POSTING_PLACE), f"authorization/{id_}/unused", "refund", f"refund/{begun.id}", at, moves
    )
    return Result(
        job,
        "done",
        payments=(payment(authorization, None, at),),
        begun=(begun,),
        postings=(posting,),
        voided=(id_,),
    )


def payment(authorization: Record, session_id: UUID | None, at: datetime) -> Payment:
    """The payment that an authorization was, under `pay_before_refund_rest`."""
    return Payment(
        derived(session_id or authorization["id"], PAYMENT_PLACE),
        authorization["psp"],
        authorization["psp_ref"],
        authorization["driver_id"],
        session_id,
        authorization["amount_minor"],
        authorization["currency"],
        at,
    )


def paid(refund: Record, psp_ref: str | None, at: datetime) -> RefundEnd:
    """The psp has sent it."""
    psp = refund["psp"]
    moves = (ledger.psp_refunds(psp), ledger.psp_clearing(psp), refund["amount_minor"])
    posting = _posting(refund, "paid", moves, at)
    return RefundEnd(refund["id"], "pending", "paid", psp_ref, at, posting, _news(refund, "paid", None, at))


def failed(refund: Record, reason: str, at: datetime) -> RefundEnd:
    """
    It will not arrive: the driver has it in the balance instead, and people are told.

    That goes for a refund which the psp had called paid and then got back, too.
    """
    psp, balance, minor = refund["psp"], ledger.driver_balance(refund["driver_id"]), refund["amount_minor"]
    if refund["state"] == "paid":
        posting = _posting(refund, "bounced", (ledger.psp_clearing(psp), balance, minor), at)
    else:
        posting = _posting(refund, "failed", (ledger.psp_refunds(psp), balance, minor), at)
    details: dict[str, object] = {
        "refund": str(refund["id"]),
        "driver": refund["driver_id"],
        "psp": psp,
        "payment": refund["payment_ref"],
        "amount_minor": minor,
        "currency": refund["currency"],
        "reason": reason,
        "was": refund["state"],
    }
    ref = f"refund/{refund['id']}"
    concern = Concern(uuid5(refund["id"], "failure"), "refund_failed", ref, refund["station_id"], details, at)
    news = _news(refund, "failed", reason, at)
    return RefundEnd(refund["id"], refund["state"], "failed", None, at, posting, news, concern)


def _posting(refund: Record, end: str, move: ledger.Move, at: datetime) -> Posting:
    """The posting of an end. Its id is of a kind of its own: a refund's id may itself be derived of a session's."""
    id_ = refund["id"]
    moves = transfers(refund["currency"], move)
    return Posting(uuid5(id_, end), f"refund/{id_}/{end}", f"refund_{end}", str(id_), at, moves)


def _news(refund: Record, end: str, reason: str | None, at: datetime) -> Notice:
    body = {
        "refund": str(refund["id"]),
        "driver": refund["driver_id"],
        "session": None if refund["session_id"] is None else str(refund["session_id"]),
        "bill": None if refund["bill_id"] is None else str(refund["bill_id"]),
        "psp": refund["psp"],
        "amount": {"minor": refund["amount_minor"], "currency": refund["currency"]},
        "reason": reason or refund["reason"],
    }
    type_: Type = "refund.paid" if end == "paid" else "refund.failed"
    return Notice(f"refund/{refund['id']}/{end}", type_, refund["provider_id"], refund["driver_id"], body, at)
