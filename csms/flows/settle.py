"""
After the bill: what a psp's answers come to in our ledger, and what is done next.

Collect the fee, then send the one settlement message, then it is paid; or release what was not used.
Arrows read debit -> credit.

collected           psp:X:clearing -> psp:X:receivable (what was paid before is at the psp already: nothing moves)
could not collect   driver:D:debt -> psp:X:receivable
settled             provider:P:payable -> psp:X:clearing, bank -> psp:X:clearing (the operator's share and the host's)
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from csms.base.clock import rfc3339
from csms.base.ids import derived
from csms.domain import ledger
from csms.domain.errand import Concern, Errand
from csms.domain.ledger import Posting, transfers
from csms.psp.base import PayeeShare, SettlementMessage
from csms.store.outbox import Collection, Job, Payment, Remittance, Result

COLLECTED_PLACE, DEBT_PLACE, SETTLED_PLACE, SETTLE_ERRAND_PLACE = range(40, 44)
PAYMENT_PLACE = 45
"""Which derived id a session's later postings, errand and payment take (`base.ids.derived`)."""

CONCERN_PLACE = 200
"""The same of a job's exception: a job's id may be derived too, and 128 and more lead to no place of a session's."""

OPERATOR = "operator"


def collected(job: Job, of: Collection, payment: str, operator_account: str, at: datetime) -> Result:
    """
    The psp took the fee as `payment`: it is ours to clear, and can go back.

    The payees are paid now where the psp pays them; else the statement run will.
    """
    paid_before = of.policy == "pay_before_refund_rest"
    taken_minor = of.authorized_minor if paid_before else of.total_minor
    assert taken_minor is not None
    moves = transfers(of.currency, (ledger.psp_clearing(of.psp), ledger.psp_receivable(of.psp), of.total_minor))
    by_psp = of.shares_by == "psp"
    return Result(
        job,
        "done",
        facts={"payment": payment},
        postings=() if paid_before else (_posting(of, COLLECTED_PLACE, "collected", moves, at),),
        errands=(_settle_errand(job, of, payment, operator_account),) if by_psp else (),
        submitted=shares(of, operator_account, at) if by_psp else (),
        payments=(
            Payment(
                derived(of.session_id, PAYMENT_PLACE),
                of.psp,
                payment,
                of.driver_id,
                of.session_id,
                taken_minor,
                of.currency,
                at,
            ),
        ),
    )


def _settle_errand(job: Job, of: Collection, payment: str, operator_account: str) -> Errand:
    """The settlement message, with what it is to say whatever changes until then."""
    subject = f"session/{of.session_id}"
    payload = {
        **job.payload,
        "payment": payment,
        "provider_account": of.provider_account,
        "operator_account": operator_account,
    }
    return Errand(derived(of.session_id, SETTLE_ERRAND_PLACE), "psp.settle", f"{subject}/remit", subject, payload)


def not_collected(job: Job, of: Collection, reason: str, at: datetime) -> Result:
    """The fee was refused for good: the driver owes it, and people are told."""
    moves = transfers(of.currency, (ledger.driver_debt(of.driver_id), ledger.psp_receivable(of.psp), of.total_minor))
    return Result(
        job,
        "given_up",
        error=reason,
        postings=(_posting(of, DEBT_PLACE, "debt", moves, at),),
        concerns=(given_up(job, "collect_failed", reason, at, of.station_id),),
    )


def settlement(of: Collection, payment: str, operator_account: str) -> SettlementMessage:
    """The one settlement message: the fee, each payee's account and part, and what the driver is told."""
    shares = tuple(PayeeShare(account, minor) for _, account, minor in _payees(of, operator_account))
    details = {
        "session": str(of.session_id),
        "bill": str(of.bill_id),
        "station": of.station_id,
        "connector": of.connector,
        "site": of.site_id,
        "provider": of.provider_id,
        "started_at": rfc3339(of.started_at),
        "ended_at": rfc3339(of.ended_at),
        "energy_wh": of.energy_wh,
        "seconds": of.seconds,
        "vat_minor": of.vat_minor,
    }
    return SettlementMessage(str(of.session_id), payment, of.total_minor, of.currency, shares, details)


def settled(job: Job, of: Collection, settlement_ref: str, operator_account: str, at: datetime) -> Result:
    """
    The psp paid the payees: we owe the provider that much less, and the operator's share is in its bank.

    So is the host's, who has no account at a psp: it stays owed (`site:S:payable`), see docs/decisions/0015.
    """
    clearing = ledger.psp_clearing(of.psp)
    moves = transfers(
        of.currency,
        (ledger.provider_payable(of.provider_id), clearing, of.provider_minor),
        (ledger.BANK, clearing, of.to_operator_minor),
    )
    return Result(
        job,
        "done",
        facts={"settlement": settlement_ref},
        postings=(_posting(of, SETTLED_PLACE, "remitted", moves, at),),
        submitted=shares(of, operator_account, at),
        remitted=((of.bill_id, "paid", settlement_ref),),
    )


def not_settled(job: Job, of: Collection, reason: str, at: datetime) -> Result:
    """The shares were not paid: they stay payable, for a person or the statement run."""
    return Result(
        job,
        "given_up",
        error=reason,
        remitted=((of.bill_id, "failed", None),),
        concerns=(given_up(job, "settle_failed", reason, at, of.station_id),),
    )


def released(job: Job, authorization_id: UUID) -> Result:
    """The psp holds nothing any more for this authorization."""
    return Result(job, "done", voided=(authorization_id,))


def given_up(job: Job, kind: str, reason: str, at: datetime, station_id: str | None = None) -> Concern:
    """What people must look at when a job has no further attempt."""
    details: dict[str, object] = {"job": str(job.id), "key": job.key, "attempts": job.attempts, "reason": reason}
    return Concern(derived(job.id, CONCERN_PLACE), kind, job.subject, station_id, details, at)


def lacks_account(of: Collection) -> bool:
    """Whether the provider is to be paid and has no account at the psp."""
    return of.provider_minor > 0 and of.provider_account is None


def shares(of: Collection, operator_account: str, at: datetime) -> tuple[Remittance, ...]:
    """The shares as they are recorded; none while the provider lacks an account, so nothing can be paid."""
    if lacks_account(of):
        return ()
    return tuple(
        Remittance(of.bill_id, payee, of.psp, account, minor, of.currency, at)
        for payee, account, minor in _payees(of, operator_account)
    )


def _payees(of: Collection, operator_account: str) -> list[tuple[str, str, int]]:
    """(payee, account, minor units) of everybody who gets something."""
    assert not lacks_account(of)
    parts = [
        (f"provider:{of.provider_id}", of.provider_account or "", of.provider_minor),
        (OPERATOR, operator_account, of.to_operator_minor),
    ]
    return [part for part in parts if part[2]]


def _posting(of: Collection, place: int, kind: str, moves: tuple[ledger.Transfer, ...], at: datetime) -> Posting:
    session_id = of.session_id
    return Posting(derived(session_id, place), f"session/{session_id}/{kind}", kind, str(session_id), at, moves)
