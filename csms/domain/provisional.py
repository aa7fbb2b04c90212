"""
Sessions that ended for want of news (quirk Q-T13): billed by their last reading, until the true end arrives.

What is not spent stays set aside, and no psp is told, so a late end is billed as if nothing had been:
the first bill is taken back to the last unit, and a new one is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from csms.base.ids import derived
from csms.domain import ledger
from csms.domain.billing import Bill, Closing, Cover, as_it_is, bill_id, rest, settle, unspent_minor
from csms.domain.books import Books
from csms.domain.corrections import REVERSE_PLACES, credit_of, of_payees
from csms.domain.errand import after_bill
from csms.domain.events import Reading
from csms.domain.ledger import Posting, transfers
from csms.domain.metering import Energy
from csms.domain.session import COVERED, Priced, Session, without
from csms.domain.voucher import NOTHING, TakenBack

RELEASE_PLACE = 9
"""The derived id of the posting that lets go of what a provisional session had kept."""


def release(session: Session, at: datetime) -> Closing:
    """No end came in time: the provisional bill stands, the rest goes back, the psp is told."""
    assert session.state == "provisional"
    session = session._replace(state="completed")
    charge_id = bill_id(session.id, session.revision)
    postings: tuple[Posting, ...] = ()
    if unspent_minor(session):
        assert session.currency
        moves = transfers(session.currency, *rest(session))
        id_, key = derived(session.id, RELEASE_PLACE), f"session/{session.id}/release"
        postings = (Posting(id_, key, "release", str(session.id), at, moves),)
    return Closing(session, None, postings, after_bill(session, charge_id, unspent_minor(session)))


def supersede(
    session: Session,
    energy: Energy,
    priced: Priced | None,
    books: Books,
    series: Sequence[Reading],
    received_at: datetime,
    returned: TakenBack = NOTHING,
    cover: Cover = as_it_is,
) -> tuple[Bill, Posting | None, Closing]:
    """
    The true end of a provisional session: the credit for its first bill, the posting of it, and its closing.

    `session` has the end as the station tells it. The payees return what they got, and the held account
    what it was given for the fee, so that it stands as before the provisional end: vouchers get `returned`, and
    `cover` says what they pay of the new bill.
    """
    charge = books.net()
    number, why = session.revision + 1, "the end arrived late"
    credit = credit_of(session, charge, charge, number, received_at, why, "csms", charge.shares_by)
    assert session.currency
    held, fee = ledger.session_held(session.id), charge.total_minor - returned.minor
    back: list[ledger.Move] = []
    if session.means == "psp" and session.policy != "pay_before_refund_rest":
        assert session.psp
        back = [(held, ledger.psp_receivable(session.psp), fee)]
    elif session.means == "balance":
        assert session.driver_id
        back = [(held, ledger.driver_debt(session.driver_id), max(0, fee - session.hold_minor))]
    moves = (*transfers(session.currency, *of_payees(session, credit), *back), *returned.transfers)
    key = f"session/{session.id}/reverse/{credit.revision}"
    place = REVERSE_PLACES + credit.revision
    posting = Posting(derived(session.id, place), key, "reverse", str(session.id), received_at, moves)
    anew = session._replace(
        state="active",
        energy_wh=None,
        fee_minor=None,
        drawn_minor=0,
        revision=credit.revision,
        flags=without(session.flags, "provisional", COVERED),
    )
    closing = settle(anew, energy, priced, received_at, series, cover=cover)
    if closing.bill is not None:
        closing = replace(closing, bill=replace(closing.bill, reason=why, made_by="csms"))
    return credit, posting if moves else None, closing
