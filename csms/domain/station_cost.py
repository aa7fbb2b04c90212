"""A fee that a station computed itself, compared with ours."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from csms.base.ids import derived
from csms.base.money import decimal_text, from_minor
from csms.domain.errand import Concern
from csms.domain.events import SessionEnded
from csms.domain.session import COVERED, Session, flagged
from csms.domain.world import Changes

FLAG = "cost_mismatch"
COST_PLACE = 50
"""The derived id, of a session, of the exception."""

_EXPONENT_MAX = 30


def mismatch(fee_text: str, currency: str, total_minor: int) -> dict[str, object] | None:
    """
    Both figures, where a station's fee and ours are more than one minor unit apart (promise P05).

    None where they agree, and where what the station says is no amount: then it says nothing.
    """
    try:
        told = Decimal(fee_text)
    except InvalidOperation:
        return None
    if not told.is_finite() or abs(told.adjusted()) > _EXPONENT_MAX:
        return None
    apart = abs(Fraction(told) - from_minor(total_minor, currency))
    if apart <= from_minor(1, currency):
        return None
    return {"station_says": fee_text[:40], "we_say": decimal_text(total_minor, currency), "currency": currency}


def compared(changes: Changes, session: Session, event: SessionEnded) -> Session:
    """
    Flags the bill that this end made, and lists it, when its station came to another fee.

    Compared is what the use costs, also where not all of it is charged: no station knows what was held.
    """
    places = [place for place, bill in enumerate(changes.bills) if bill.session.id == session.id]
    if event.fee_text is None or not places or session.currency is None:
        return session
    bill = changes.bills[places[-1]]
    if COVERED in bill.session.flags:  # no station knows what vouchers paid
        return session
    details = mismatch(event.fee_text, session.currency, bill.price.total_minor + bill.not_charged_minor)
    if details is None:
        return session
    session = session._replace(flags=flagged(session.flags, FLAG))
    changes.bills[places[-1]] = replace(bill, session=bill.session._replace(flags=session.flags))
    details |= {"session": str(session.id), "bill": str(bill.id)}
    at = event.received_at
    listed = Concern(derived(session.id, COST_PLACE), FLAG, str(session.id), session.station_id, details, at)
    changes.concerns.append(listed)
    return session
