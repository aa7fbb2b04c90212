"""
What people and the watchdog decide about sessions: provisional ends, held bills, corrections, refunds, the rest.

They travel the same road as reports, so that nothing else writes a session. A person's request may be
refused: then the outcome is `refused` with the reason in words.
"""

from __future__ import annotations

from functools import partial

from csms.base.ids import derived
from csms.domain import budget, corrections, provisional, voucher_session, voucher_uses
from csms.domain.attribution import last_known
from csms.domain.billing import DISPUTE_PLACE, as_it_is
from csms.domain.corrections import Correction
from csms.domain.errand import Concern
from csms.domain.events import (
    RECORDED,
    BillCorrected,
    BillRefunded,
    Outcome,
    ProvisionalFinished,
    ProvisionallyEnded,
    RestChosen,
    ReviewDecided,
    SessionEnded,
)
from csms.domain.folding import closed, judged, lacks, note, put, settled
from csms.domain.metering import plausible_time
from csms.domain.session import CLOSED, Session, ended, flagged
from csms.domain.world import Changes, World

PROVISIONAL_PLACE = 10
"""The derived id of the exception that tells of a provisional end."""

GONE = "a voucher that paid for it was given back, or has ended for good: refund a part of its bill"
UNKNOWN = Outcome("refused", reason="there is no such session")


def ended_provisionally(world: World, changes: Changes, event: ProvisionallyEnded) -> Outcome:
    """No end came (quirk Q-T13): the session ends with its last reading, and with its start if it has none."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None or session.state != "active" or session.ended_at is not None or session.started_at is None:
        return RECORDED
    if lacks(world, changes, session):
        return RECORDED
    last = last_known(world, session)
    at, _ = plausible_time(last.at if last else session.started_at, event.received_at, session.started_at)
    meter_wh = last.register_wh if last else session.meter_start_wh
    over = ended(session, at, meter_wh, event.why, "provisional")
    after = settled(world, changes, put(world, changes, over, session), event.received_at, final=False)
    details: dict[str, object] = {"session": str(session.id), "why": event.why, "last_wh": meter_wh}
    id_ = derived(session.id, PROVISIONAL_PLACE)
    if after.state == "provisional":
        changes.concerns.append(
            Concern(id_, "session_provisional", str(session.id), session.station_id, details, event.received_at)
        )
    return RECORDED


def finished(world: World, changes: Changes, event: ProvisionalFinished) -> Outcome:
    """The provisional bill stands."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None or session.state != "provisional":
        return RECORDED
    closed(world, changes, session, provisional.release(session, event.received_at))
    changes.resolved.append(("session_provisional", str(session.id), "no end came: it stands", event.received_at))
    return RECORDED


def superseded(world: World, changes: Changes, session: Session, event: SessionEnded) -> Session:
    """
    The true end of a provisional session: the first bill is taken back, a new one made.

    Vouchers that paid for it are there still: until now none of its driver's could be given back, or lapse.
    """
    if lacks(world, changes, session) or voucher_session.lacks(world, changes, session):
        return session
    at, flag = plausible_time(event.at, event.received_at, session.started_at)
    over = session._replace(
        ended_at=at,
        meter_end_wh=event.meter_wh,
        end_reason=event.reason[:40],
        flags=flagged(session.flags, flag, "late_end"),
    )
    energy = judged(world, changes, over, event.received_at)
    assert energy is not None
    books, priced = world.books[session.id], world.priced_of(session)
    returned = voucher_uses.take_back(world, changes, session, session.revision + 1, event.received_at)
    before = voucher_uses.of(books)
    cover = as_it_is if priced is None else partial(voucher_session.covered, world, over, priced, before=before)
    credit, posting, closing = provisional.supersede(
        over,
        energy,
        priced,
        books,
        world.series[session.id],
        event.received_at,
        returned,
        cover,
    )
    changes.bills.append(credit)
    note(world, credit)
    if posting is not None:
        changes.postings.append(posting)
    changes.resolved.append(("session_provisional", str(session.id), "its end arrived", event.received_at))
    return closed(world, changes, session, closing)


def disputed(changes: Changes, session: Session, event: SessionEnded) -> Session:
    """Another end of a session that has one: the first counts, and people are told once if the registers differ."""
    if event.meter_wh is None or event.meter_wh == session.meter_end_wh or "dispute" in session.flags:
        return session
    details: dict[str, object] = {"first_wh": session.meter_end_wh, "later_wh": event.meter_wh, "raw": event.raw}
    id_ = derived(session.id, DISPUTE_PLACE)
    changes.concerns.append(
        Concern(id_, "session_dispute", str(session.id), session.station_id, details, event.received_at)
    )
    return session._replace(flags=flagged(session.flags, "dispute"))


def rest_chosen(world: World, changes: Changes, event: RestChosen) -> Outcome:
    """Keep or refund: counts until the session is settled."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None:
        return UNKNOWN
    if session.rest == event.rest:
        return RECORDED
    if session.state in CLOSED or session.state == "provisional":
        return Outcome("refused", reason="the session is settled: what was not spent has gone its way")
    put(world, changes, session._replace(rest=event.rest), session)
    return RECORDED


def reviewed(world: World, changes: Changes, event: ReviewDecided) -> Outcome:
    """A held bill is released, corrected or waived."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None:
        return UNKNOWN
    if lacks(world, changes, session):
        return RECORDED
    terms = world.stations[session.station_id].terms
    if session.tariff_id is None and session.state == "review" and terms is not None:
        session = session._replace(
            tariff_id=terms.tariff_id,
            tariff_version=terms.tariff_version,
            currency=session.currency or terms.currency,
            terms_version=terms.terms_version,
        )
    if voucher_session.lacks(world, changes, session):
        return RECORDED
    claimed = judged(world, changes, session, session.closed_at or event.received_at)
    assert claimed is not None
    priced = world.priced_of(session)
    cover = as_it_is if priced is None else partial(voucher_session.covered, world, session, priced)
    correction = corrections.review(session, claimed, priced, world.series[session.id], event, cover)
    voucher_uses.take(world, changes, correction.session, correction.drawn, session.ended_at or event.received_at)
    return _written(world, changes, session, correction, event, event.action)


def corrected(world: World, changes: Changes, event: BillCorrected) -> Outcome:
    """A settled session is billed anew."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None:
        return UNKNOWN
    if lacks(world, changes, session):
        return RECORDED
    priced = world.priced_of(session)
    if priced is None:
        return Outcome("refused", reason="it has no settled bill")
    if session.use == "rental":
        return Outcome("refused", reason="a rental has no meter to put right: refund a part of its bill")
    if voucher_session.lacks(world, changes, session):
        return RECORDED
    books = world.books[session.id]
    if (why := corrections.refusal(session, books, event.revision)) is not None:
        return Outcome("refused", ref=session.ref, reason=why)
    if voucher_uses.is_gone(world, session):
        return Outcome("refused", reason=GONE)
    returned = voucher_uses.take_back(world, changes, session, session.revision + 1, event.received_at)
    cover = partial(voucher_session.covered, world, session, priced, before=voucher_uses.of(books))
    correction = corrections.correct(session, books, priced, world.series[session.id], event, returned, cover)
    voucher_uses.take(world, changes, correction.session, correction.drawn, event.received_at)
    return _written(world, changes, session, correction, event, "corrected")


def refunded(world: World, changes: Changes, event: BillRefunded) -> Outcome:
    """Part of a settled bill goes back to its driver."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None:
        return UNKNOWN
    if lacks(world, changes, session):
        return RECORDED
    correction = corrections.refund(session, world.books[session.id], event)
    return _written(world, changes, session, correction, event, "refunded")


def _written(
    world: World,
    changes: Changes,
    before: Session,
    correction: Correction,
    event: ReviewDecided | BillCorrected | BillRefunded,
    what: str,
) -> Outcome:
    if correction.refused is not None:
        return Outcome("refused", ref=before.ref, reason=correction.refused)
    session = correction.session
    changes.correct(correction, str(session.id), event.received_at, f"{what} by {event.by}: {event.reason}")
    budget.corrected(world, changes, before, session)
    put(world, changes, session, world.sessions[event.station_id, event.ref])
    for bill in correction.bills:
        note(world, bill)
    return Outcome("accepted", session.ref, session.fee_minor, session.currency)
