"""
How deciders change the world: sessions opened and put, readings kept, reports set aside, sessions settled.

Shared by `decide.py` and the modules of deciders beside it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from csms.domain import budget, payer, voucher_session, voucher_uses
from csms.domain.billing import Bill, Closing, as_it_is, asks_when, settle
from csms.domain.books import Books, issued
from csms.domain.errand import Concern
from csms.domain.events import Outcome, Reading, SessionEnded, SessionMetered, Unreadable
from csms.domain.metering import Energy, NeedsSeries, judge
from csms.domain.session import CLOSED, NOTHING, Session, metered, opened
from csms.domain.watch import overspent
from csms.domain.world import Changes, ReadingRow, World


def keep(world: World, changes: Changes, session: Session, readings: tuple[Reading, ...]) -> None:
    for reading in readings:
        changes.readings.append(ReadingRow(session.day, session.id, reading))
    if session.state not in CLOSED:
        world.progress[session.id] = metered(world.progress.get(session.id, NOTHING), readings)
    if session.id in world.series:
        world.series[session.id] = tuple(sorted({*world.series[session.id], *readings}))


def lacks(world: World, changes: Changes, session: Session) -> bool:
    """
    Whether the series and the books of a session are not loaded; then they are asked for.

    The shell loads them and decides the batch anew, so whoever is told so may answer anything.
    """
    if session.id in world.books:
        return False
    if session.id in changes.opened:  # nothing of it is stored yet
        world.series[session.id] = tuple(
            sorted({row.reading for row in changes.readings if row.session_id == session.id})
        )
        world.books[session.id] = Books()
        return False
    changes.lacking.add((session.station_id, session.ref))
    return True


def judged(world: World, changes: Changes, session: Session, at: datetime) -> Energy | None:
    """
    The energy of a session that has ended, judged at `at` by our clock.

    None where its readings decide and are not loaded: then they are asked for, as by `lacks`.
    """
    series = world.series.get(session.id)
    progress = world.progress_of(session.id) if series is None else metered(NOTHING, series)
    energy = judge(session, progress, series, at, world.boots.get(session.id, ()))
    if isinstance(energy, NeedsSeries):
        return None if lacks(world, changes, session) else judged(world, changes, session, at)
    return energy


def settled(world: World, changes: Changes, session: Session, received_at: datetime, *, final: bool = True) -> Session:
    """Closes a session that has its start, its end and its payer."""
    if session.state != "active" or session.started_at is None or session.ended_at is None:
        return session
    if budget.BUDGET in session.flags and session.token_key not in world.tokens and lacks(world, changes, session):
        return session
    if voucher_session.lacks(world, changes, session):
        return session
    energy, priced = judged(world, changes, session, received_at), world.priced_of(session)
    if energy is None:
        return session
    if priced is not None and asks_when(session, priced) and lacks(world, changes, session):
        return session
    cover = as_it_is if priced is None else partial(voucher_session.covered, world, session, priced)
    closing = settle(session, energy, priced, received_at, world.series.get(session.id), final=final, cover=cover)
    return closed(world, changes, session, closing)


def closed(world: World, changes: Changes, before: Session, closing: Closing) -> Session:
    """Writes what closing a session comes to, and threads its money to the reports behind it."""
    changes.add(closing)
    if closing.bill is not None:
        note(world, closing.bill)
        if (lost := overspent(closing.bill)) is not None:
            changes.concerns.append(lost)
    for posting in closing.postings:
        payer.carry(world, posting)
    budget.settled(world, changes, closing.session)
    if closing.drawn:
        assert closing.session.ended_at is not None and closing.session.closed_at is not None
        is_first = closing.session.revision == 1
        at = closing.session.ended_at if is_first else closing.session.closed_at  # after what was taken back
        voucher_uses.take(world, changes, closing.session, closing.drawn, at)
    return put(world, changes, closing.session, before)


def note(world: World, bill: Bill) -> None:
    """Lets the reports behind it see a bill of this batch."""
    books = world.books.get(bill.session.id)
    if books is not None:
        world.books[bill.session.id] = replace(books, issued=(*books.issued, issued(bill)))


def set_aside(changes: Changes, event: Unreadable) -> None:
    """Keeps a report with its text, and puts its station on people's list: once a day for each kind of report."""
    changes.parked.append(event)
    ref = f"{event.station_id}/{event.action}/{event.received_at.date()}"
    details: dict[str, object] = {"first": str(event.parked_id), "reason": event.reason}
    listed = Concern(event.parked_id, "report_parked", ref, event.station_id, details, event.received_at)
    changes.concerns.append(listed)


def park(changes: Changes, event: SessionMetered | SessionEnded, action: str, why: str) -> Outcome:
    """
    What belongs to no session is kept with its text and answered (quirks Q-T05, Q-T09).

    Readings of one unknown session are kept once, ends as often as they differ.
    """
    distinct = event.raw if isinstance(event, SessionEnded) else ""
    digest = sha256("|".join((event.station_id, action, event.ref, distinct)).encode()).digest()
    parked = Unreadable(event.station_id, event.received_at, action, why, event.raw, UUID(bytes=digest[:16]))
    set_aside(changes, parked)
    return Outcome("accepted", ref=event.ref, reason=why)


def open_session(
    world: World, changes: Changes, event: Any, ref: str, session_id: UUID, start_key: str | None = None
) -> Session:
    """A session that is heard of for the first time."""
    session = opened(
        world.stations[event.station_id], session_id, ref, start_key or ref, event.offline, event.received_at
    )
    world.sessions[event.station_id, ref] = session
    world.starts[event.station_id, session.start_key] = ref
    changes.opened[session.id] = session
    return session


def put(world: World, changes: Changes, session: Session, before: Session) -> Session:
    """Records the new image of a session; its version grows by one per batch, whatever the number of reports."""
    if session is before or session == before:
        return before
    if session.id in changes.opened:
        changes.opened[session.id] = session
    else:
        if session.id not in changes.moved:
            session = session._replace(version=session.version + 1)
        changes.moved[session.id] = session
    world.sessions[session.station_id, session.ref] = session
    return session
