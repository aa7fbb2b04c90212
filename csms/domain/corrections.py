"""
What people do with bills: release or waive held ones, correct settled ones, give money back.

A bill never changes. A correction is a credit that takes back everything of the session so far and a
new charge; a refund is a credit of its own. Every credit moves all shares, so that they stay
non-negative, sum to what is left, and reach 0 when everything is given back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from csms.base.ids import derived
from csms.base.money import from_minor
from csms.domain import ledger, voucher
from csms.domain.billing import (
    REVISIONS_MAX,
    Bill,
    Closing,
    Cover,
    as_it_is,
    bill_id,
    charged,
    close,
    elapsed_s,
    of_host,
    paid_out,
    settlement,
    usage,
)
from csms.domain.books import Books, Issued, RefundRow
from csms.domain.errand import Errand, refund_rest
from csms.domain.events import BillCorrected, BillRefunded, Reading, ReviewDecided
from csms.domain.ledger import Move, Posting, transfers
from csms.domain.metering import Energy
from csms.domain.session import COVERED, Priced, Session, SharesBy, flagged, without
from csms.domain.settlement import Shares, divide, keep
from csms.domain.tariff import Line, Price
from csms.domain.tariff_own import Drawn
from csms.domain.voucher import NOTHING, TakenBack

REVERSE_PLACES = 100
"""The posting of credit number n takes the place of n, counted from here; settlements of charges have others."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a decision comes to; `refused` says why nothing does."""

    session: Session
    bills: tuple[Bill, ...] = ()
    postings: tuple[Posting, ...] = ()
    refunds: tuple[RefundRow, ...] = ()
    errands: tuple[Errand, ...] = ()
    resolved: tuple[str, ...] = ()
    """Kinds of this session's exceptions that are settled by it."""
    refused: str | None = None
    drawn: tuple[Drawn, ...] = ()
    """What it takes of vouchers."""


@dataclass(slots=True)
class _Given:
    """Money that leaves the held account for its driver."""

    moves: list[Move] = field(default_factory=list)
    refunds: list[RefundRow] = field(default_factory=list)
    to_balance_minor: int = 0


def review(
    session: Session,
    claimed: Energy,
    priced: Priced | None,
    series: Sequence[Reading],
    event: ReviewDecided,
    cover: Cover = as_it_is,
) -> Correction:
    """
    Bill a session whose evidence was held: as its registers say, as staff say, or with nothing charged.

    `cover` says what vouchers pay of it.
    """
    if session.state != "review":
        return Correction(session, refused="it is not held for review")
    if priced is None:
        return Correction(session, refused="its station had no tariff and has none now: give it one, then decide")
    energy_wh = event.energy_wh if event.action == "correct" else claimed.claimed_wh
    if event.action == "waive":
        energy_wh = max(0, claimed.claimed_wh) if event.energy_wh is None else event.energy_wh
    if energy_wh is None or energy_wh < 0 or (event.action == "release" and "no_interval" in claimed.flags):
        return Correction(session, refused="its registers tell no energy: correct it, or waive it")
    closing = close(
        session._replace(state="active", reason=None),
        cover(usage(session, energy_wh, elapsed_s(session), priced, series)),
        priced,
        event.received_at,
        waived=event.action == "waive",
        reason=event.reason,
        by=event.by,
    )
    return _of(closing, ("session_review",))


def _of(closing: Closing, resolved: tuple[str, ...]) -> Correction:
    assert closing.bill is not None
    return Correction(
        closing.session,
        (closing.bill,),
        closing.postings,
        errands=closing.errands,
        resolved=resolved,
        drawn=closing.drawn,
    )


def correct(
    session: Session,
    books: Books,
    priced: Priced,
    series: Sequence[Reading],
    event: BillCorrected,
    returned: TakenBack = NOTHING,
    cover: Cover = as_it_is,
) -> Correction:
    """
    Take all bills of a session back and bill it anew, which `refusal` has nothing against.

    The payees return what they got for it, in the books; a fee that is lower goes back to the driver, a
    higher one is taken from the balance, or owed. It never exceeds what was set aside for the session. Vouchers get
    `returned` what they gave, and `cover` says what they pay of the new bill.
    """
    assert refusal(session, books, event.revision) is None
    charge, net = books.charge(), books.net()
    energy_wh = charge.energy_wh if event.energy_wh is None else event.energy_wh
    seconds = charge.seconds if event.seconds is None else event.seconds
    used = cover(usage(session, energy_wh, seconds, priced, series))
    due, not_charged = charged(session, used, priced)
    shares = divide(due.total_minor, priced.split, due.vat_minor, session.host_bp)
    taken, given = session.revision + 1, session.revision + 2
    credit = credit_of(session, charge, net, taken, event.received_at, event.reason, event.by, _returned_by(books))
    session = session._replace(
        energy_wh=energy_wh,
        fee_minor=due.total_minor,
        drawn_minor=used.drawn_minor,
        flags=flagged(without(session.flags, COVERED), COVERED if used.drawn else None),
        revision=given,
    )
    bill = Bill(
        bill_id(session.id, given),
        session,
        energy_wh,
        seconds,
        due,
        not_charged,
        shares,
        event.received_at,
        given,
        reason=event.reason,
        made_by=event.by,
        periods=used.periods,
    )
    more = due.total_minor - used.drawn_minor - (net.total_minor - returned.minor)
    drawn = (*returned.transfers, *voucher.draw_down(session.id, used.drawn))
    back = _give_back(session, books, max(0, -more), credit)
    moves = [*_demanded(session, books, max(0, more)), *paid_out(session, shares), *back.moves]
    sent_on = session.rest == "refund" and back.to_balance_minor > 0
    return Correction(
        session,
        (credit, bill),
        (*_reversal(session, credit), *settlement(session, given, event.received_at, moves, drawn)),
        tuple(back.refunds),
        (refund_rest(session, back.to_balance_minor),) if sent_on else (),
        ("session_dispute", "cost_mismatch"),
        drawn=used.drawn,
    )


def refund(session: Session, books: Books, event: BillRefunded) -> Correction:
    """
    Give part of a settled bill back to its driver.

    The operator keeps `HALF_UP(fee * net / gross)` of its share (shared/money.md section 1), a host and the VAT
    the same part (`settlement.keep`); each refund moves the difference.
    """
    if any(bill.id == event.refund_id for bill in books.issued):
        return Correction(session)  # this very refund, heard again
    if refused := refusal(session, books, session.revision):
        return Correction(session, refused=refused)
    charge, net = books.charge(), _since(books)
    if event.amount_minor > net.total_minor:
        return Correction(session, refused="it is more than what is left of this bill")
    if event.amount_minor > net.total_minor - books.gifted_minor:
        return Correction(session, refused="it is more than its driver has paid: a gift paid for the rest")
    kept = keep(charge.shares(), net.shares(), net.total_minor - event.amount_minor)
    part = net._replace(
        energy_wh=0,
        seconds=0,
        not_charged_minor=0,
        total_minor=event.amount_minor,
        vat_minor=net.vat_minor - kept.operator_vat_minor - kept.provider_vat_minor,
        operator_minor=net.operator_minor - kept.operator_minor,
        operator_vat_minor=net.operator_vat_minor - kept.operator_vat_minor,
        provider_minor=net.provider_minor - kept.provider_minor,
        host_minor=net.host_minor - kept.host_minor,
    )
    revision = session.revision + 1
    credit = credit_of(session, charge, part, revision, event.received_at, event.reason, event.by, _returned_by(books))
    session = session._replace(fee_minor=(session.fee_minor or 0) - event.amount_minor, revision=revision)
    credit = replace(credit, id=event.refund_id, session=session)
    back = _give_back(session, books, event.amount_minor, credit)
    reversal = _reversal(session, credit, back.moves)
    sent_on = session.rest == "refund" and back.to_balance_minor > 0
    errands = (refund_rest(session, back.to_balance_minor),) if sent_on else ()
    return Correction(session, (credit,), reversal, tuple(back.refunds), errands)


def _since(books: Books) -> Issued:
    """The charge that counts less the refunds of it: what can still be given back."""
    charge = books.charge()
    return Books(tuple(bill for bill in books.issued if bill.revision >= charge.revision)).net()


def _returned_by(books: Books) -> SharesBy:
    """Who nets what payees return: the run, but for shares of a fee that no psp is known to have taken."""
    return books.charge().shares_by if books.receivable_minor else "run"


def refusal(session: Session, books: Books, revision: int) -> str | None:
    """Why the bills of a session cannot be touched now, None if they can."""
    if session.state == "provisional":
        return "it ended for want of news, and its end may still come: try again when it has, in three days at most"
    if session.state != "completed" or not books.issued:
        return "it has no settled bill"
    if revision != session.revision:
        return f"its bill was changed since: the newest is number {session.revision}"
    if books.collection == "waiting":
        return "its fee is being collected: try again when that has ended"
    if session.revision + 2 > REVISIONS_MAX:
        return f"it has been corrected {REVISIONS_MAX} times"
    return None


def credit_of(
    session: Session,
    charge: Issued,
    amounts: Issued,
    revision: int,
    at: datetime,
    reason: str,
    by: str,
    shares_by: SharesBy = "run",
) -> Bill:
    """The bill that takes `amounts` back; the run nets what payees return, unless no psp has paid them yet."""
    assert session.currency
    exact_incl = -from_minor(amounts.total_minor, session.currency)
    exact_excl = exact_incl + from_minor(amounts.vat_minor, session.currency)
    line = Line("CREDIT", 1, "session", exact_incl, None, exact_excl, exact_incl)
    total = Price(-amounts.total_minor, -amounts.vat_minor, (line,), exact_excl, exact_incl, session.currency)
    shares = Shares(
        -amounts.operator_minor,
        -amounts.provider_minor,
        -amounts.operator_vat_minor,
        amounts.operator_vat_minor - amounts.vat_minor,
        -amounts.host_minor,
    )
    return Bill(
        bill_id(session.id, revision),
        session,
        -amounts.energy_wh,
        -amounts.seconds,
        total,
        -amounts.not_charged_minor,
        shares,
        at,
        revision,
        charge.id,
        reason,
        by,
        shares_by,
    )


def _reversal(session: Session, credit: Bill, more: Sequence[Move] = ()) -> tuple[Posting, ...]:
    """The payees' money back into the held account, and on from there."""
    assert session.currency
    moved = transfers(session.currency, *of_payees(session, credit), *more)
    if not moved:
        return ()
    place = REVERSE_PLACES + credit.revision
    key = f"session/{session.id}/reverse/{credit.revision}"
    return (Posting(derived(session.id, place), key, "reverse", str(session.id), credit.issued_at, moved),)


def of_payees(session: Session, credit: Bill) -> list[Move]:
    """What the payees got back into the held account; it may leave them below zero until their next bills."""
    held, shares = ledger.session_held(session.id), credit.shares
    return [
        (ledger.VAT_OUTPUT, ledger.OPERATOR_FEE, -shares.operator_vat_minor),
        (ledger.OPERATOR_FEE, held, -shares.operator_minor),
        (ledger.provider_payable(session.provider_id), held, -shares.provider_minor),
        *((host, held, minor) for host, minor in of_host(session, -shares.host_minor)),
    ]


def _demanded(session: Session, books: Books, minor: int) -> list[Move]:
    """A fee that became higher: from the balance as far as it reaches, the rest is owed."""
    assert session.driver_id
    held = ledger.session_held(session.id)
    there = min(minor, books.balance_minor) if session.means == "balance" else 0
    return [
        (ledger.driver_balance(session.driver_id), held, there),
        (ledger.driver_debt(session.driver_id), held, minor - there),
    ]


def _give_back(session: Session, books: Books, minor: int, credit: Bill) -> _Given:
    """
    Money for the driver: first against what is owed, then the way it was paid, what is left to the balance.

    What a psp is not known to have taken nobody gets: it is to take that much less.
    """
    assert session.driver_id
    held, given = ledger.session_held(session.id), _Given()
    owed = min(books.debt_minor, minor)
    given.moves.append((held, ledger.driver_debt(session.driver_id), owed))
    minor -= owed
    if session.psp is not None and books.receivable_minor:
        untaken = min(books.receivable_minor, minor)
        given.moves.append((held, ledger.psp_receivable(session.psp), untaken))
        minor -= untaken
    for number, payment in enumerate(books.payments if session.means == "psp" else ()):
        part = min(payment.left_minor, minor)
        if part:
            id_, reason, by = derived(credit.id, number + 1), credit.reason or "", credit.made_by or ""
            row = RefundRow(id_, payment.id, part, session.id, credit.id, reason, by, credit.issued_at)
            given.refunds.append(row)
            given.moves.append((held, ledger.psp_refunds(payment.psp), part))
            minor -= part
    given.moves.append((held, ledger.driver_balance(session.driver_id), minor))
    given.to_balance_minor = minor
    return given
