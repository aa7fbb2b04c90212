"""
What a report comes to: one function per kind of event, each folding it into the world.

Pure: the shell loads the world, calls `decide` and saves the changes (`flows/report.py`). A report
heard again changes nothing and gets the same answer, whatever came between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from csms.base.ids import wire_number
from csms.domain import (
    asset_events,
    attribution,
    cabinets,
    lending,
    openings,
    overdue,
    pack_events,
    payer,
    presenting,
    sightings,
    spending,
    staff,
    swap_asks,
    swap_clock,
    swaps,
)
from csms.domain.decisions import (
    corrected,
    disputed,
    ended_provisionally,
    finished,
    refunded,
    rest_chosen,
    reviewed,
    superseded,
)
from csms.domain.events import (
    RECORDED,
    AuthorizationDecided,
    BillCorrected,
    BillRefunded,
    ConnectorMetered,
    ConnectorReported,
    Event,
    Outcome,
    ProvisionalFinished,
    ProvisionallyEnded,
    RestChosen,
    ReviewDecided,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    SpendingChecked,
    StationBooted,
    TokenIssued,
    TokenPresented,
    Unreadable,
)
from csms.domain.folding import keep, open_session, park, put, set_aside, settled
from csms.domain.plausible import plausible_time
from csms.domain.running import running
from csms.domain.session import CLOSED, VOUCHERS, Session, ended, located, started
from csms.domain.signatures import standing
from csms.domain.station_cost import compared
from csms.domain.watch import passed
from csms.domain.world import Changes, World

REDRAW = 48_271
"""Leads from a number that is taken to another, as in the generator of Park and Miller."""


def decide(world: World, events: Iterable[Event]) -> tuple[list[Outcome], Changes]:
    """The outcome of every event, in order, and what all of them together change."""
    changes = Changes()
    outcomes = []
    for event in events:
        if type(event) is SessionMetered:  # the hot one, before the table
            outcomes.append(_metered(world, changes, event))
        else:
            outcomes.append(DECIDERS[type(event)](world, changes, event))
    return outcomes, changes


def _metered(world: World, changes: Changes, event: SessionMetered) -> Outcome:
    """Readings: their rows are the progress. A closed session keeps them as evidence only (quirk Q-M18)."""
    key = (event.station_id, event.ref)
    session = world.sessions.get(key)
    if session is None:
        if event.session_id is None:
            if attribution.of_no_session(world, changes, event):
                return RECORDED
            return park(changes, event, "MeterValues", "unknown_session")
        session = open_session(world, changes, event, event.ref, event.session_id)
    watched = world.watches.get(session.id)
    if watched is None and (session.hold_minor or VOUCHERS in session.flags):
        watched = spending.begin(world, session)
    if watched is not None:
        before = world.progress.get(session.id)
        highest = None if before is None else before.highest_wh
        if passed(watched, session.meter_start_wh if highest is None else highest, event.readings):
            changes.checks[key] = event.received_at
    readings = event.readings
    if session.ended_at is not None:
        readings = attribution.after_end(world, changes, session, readings, event.received_at)
    keep(world, changes, session, readings)
    if event.signed:
        session = _signed(world, changes, session, event)
    if session.state == "invalid":
        return payer.answer(world, changes, session)
    outcome = RECORDED if watched is None else watched.outcome
    if event.wants_cost:
        return replace(outcome, ref=session.ref, running=running(world, changes, session, event))
    return outcome


def _signed(
    world: World, changes: Changes, session: Session, event: SessionMetered | SessionStarted | SessionEnded
) -> Session:
    """What the meter signed is kept, and is evidence."""
    return put(
        world, changes, attribution.take_signed(world, changes, session, event.signed, event.received_at), session
    )


def _started(world: World, changes: Changes, event: SessionStarted) -> Outcome:
    """A start; a retry, whichever message id or order it came in, finds the session it made."""
    ref = world.starts.get((event.station_id, event.start_key), event.ref)
    session = world.sessions.get((event.station_id, ref))
    while session is not None and event.start_key not in (event.ref, session.start_key):
        # 1.6 alone: the drawn number is that of an older session of this station
        ref = str(wire_number(int(ref) * REDRAW))
        session = world.sessions.get((event.station_id, ref))
    if session is None:
        session = open_session(world, changes, event, ref, event.session_id, event.start_key)
    keep(world, changes, session, event.readings)
    if session.started_at is None:
        at, flag = _time(world, event, None)
        before = session
        session = located(session, world.stations[event.station_id], event.connector)
        session = standing(started(session, at, event.meter_wh, flag, event.offline), before)
        session = put(world, changes, session, before)
    if event.signed:
        session = _signed(world, changes, session, event)
    if event.token is not None and session.token_key is None and session.state not in CLOSED:
        session = put(world, changes, payer.judge(world, changes, session, event.token, event), session)
    session = settled(world, changes, session, event.received_at)
    spending.begin(world, session)
    return payer.answer(world, changes, session)


def _authorized(world: World, changes: Changes, event: SessionAuthorized) -> Outcome:
    """The token of a session that had begun without one."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None:
        session = open_session(world, changes, event, event.ref, event.session_id)
    keep(world, changes, session, event.readings)
    if session.token_key is None and session.state not in CLOSED:
        session = put(world, changes, payer.judge(world, changes, session, event.token, event), session)
    session = settled(world, changes, session, event.received_at)
    spending.begin(world, session)
    return payer.answer(world, changes, session)


def _ended(world: World, changes: Changes, event: SessionEnded) -> Outcome:
    """An end; the first one counts, a later one that says otherwise raises a dispute (quirk Q-T10)."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None and event.ref in attribution.NO_REF:
        session = attribution.ended_session(world, event)
    if session is None:
        if not event.may_open:
            return park(changes, event, "StopTransaction", "unknown_session")
        session = open_session(world, changes, event, event.ref, event.session_id)
    if session.state == "provisional":
        keep(world, changes, session, event.readings)
        if event.signed:
            session = _signed(world, changes, session, event)
        session = superseded(world, changes, session, event)
        session = put(world, changes, compared(changes, session, event), session)
        return payer.answer(world, changes, session, may_wait=False)
    if session.ended_at is not None:
        keep(world, changes, session, event.readings)
        if event.signed:
            session = _signed(world, changes, session, event)
        session = put(world, changes, disputed(changes, session, event), session)
        return payer.answer(world, changes, session, may_wait=False)
    keep(world, changes, session, event.readings)
    at, flag = _time(world, event, session.started_at)
    before = session
    if session.connector is None:
        session = located(session, world.stations[event.station_id], event.connector)
    session = standing(ended(session, at, event.meter_wh, event.reason, flag), before)
    session = put(world, changes, session, before)
    if event.signed:
        session = _signed(world, changes, session, event)
    if event.token is not None and session.token_key is None and session.state not in CLOSED and event.may_open:
        session = put(world, changes, payer.judge(world, changes, session, event.token, event), session)
    session = settled(world, changes, session, event.received_at)
    session = put(world, changes, compared(changes, session, event), session)
    return payer.answer(world, changes, session, may_wait=False)


def _verdict(world: World, changes: Changes, event: AuthorizationDecided) -> Outcome:
    """A psp's word: every session that waits for it goes on, or not."""
    outcome = payer.decided(world, changes, event)
    answers: dict[str | None, Outcome] = {None: outcome}
    for key in sorted(world.waiting.pop(event.authorization_id, ())):
        before = world.sessions[key]
        session = put(world, changes, payer.resolved(world, changes, before, event), before)
        if session.use == "rental":
            answers[session.ref] = lending.funded(world, changes, session, event)
            continue
        session = settled(world, changes, session, event.received_at)
        spending.begin(world, session)
        answers[session.ref] = payer.answer(world, changes, session)
    changes.asks.pop(event.authorization_id, None)
    changes.verdicts.setdefault(event.authorization_id, {}).update(answers)
    return outcome


def _presented(world: World, changes: Changes, event: TokenPresented) -> Outcome:
    """Authorize: a local token is judged at once, a social one by its psp. Nothing is spent by it."""
    if event.at_slots:
        return swap_asks.presented(world, changes, event)
    return presenting.presented(world, changes, event)


def _issued(world: World, changes: Changes, event: TokenIssued) -> Outcome:
    changes.issued.append(event)
    return RECORDED


def _booted(world: World, changes: Changes, event: StationBooted) -> Outcome:
    changes.boots[event.station_id] = event
    return RECORDED


def _reported(world: World, changes: Changes, event: ConnectorReported) -> Outcome:
    """
    Status is for people to see and never ends a session (quirk Q-S03). Of several the newest is shown.

    One dated years ahead would hide all that follow: it counts as of its arrival.
    """
    at, flag = plausible_time(event.at, event.received_at, None)
    if flag is not None:
        event = replace(event, at=at)
    key = (event.station_id, event.connector)
    earlier = changes.statuses.get(key)
    if earlier is None or earlier.at <= event.at:
        changes.statuses[key] = event
    return RECORDED


def _unreadable(world: World, changes: Changes, event: Unreadable) -> Outcome:
    set_aside(changes, event)
    return Outcome("invalid", ref=event.answer, reason=event.reason)


def _time(
    world: World, event: SessionStarted | SessionEnded, started_at: datetime | None
) -> tuple[datetime, str | None]:
    """The time to price by (quirk Q-R4): the station's own, if it lies in what is possible."""
    not_before = started_at or event.received_at - timedelta(seconds=world.rules.late_s_max)
    return plausible_time(event.at, event.received_at, not_before)


DECIDERS: dict[type, Callable[[World, Changes, Any], Outcome]] = {
    SessionMetered: _metered,
    SessionStarted: _started,
    SessionAuthorized: _authorized,
    SessionEnded: _ended,
    AuthorizationDecided: _verdict,
    TokenPresented: _presented,
    TokenIssued: _issued,
    StationBooted: _booted,
    ConnectorReported: _reported,
    Unreadable: _unreadable,
    ProvisionallyEnded: ended_provisionally,
    ProvisionalFinished: finished,
    SpendingChecked: spending.checked,
    RestChosen: rest_chosen,
    ReviewDecided: reviewed,
    BillCorrected: corrected,
    BillRefunded: refunded,
    ConnectorMetered: attribution.connector_metered,
    pack_events.PacksMoved: swaps.moved,
    pack_events.PackStated: swaps.stated,
    pack_events.SlotShown: swaps.slot_shown,
    pack_events.PackJudged: swaps.judged,
    pack_events.SwapAsked: swap_asks.asked,
    pack_events.SwapAnswered: swap_asks.answered,
    pack_events.SwapChecked: swap_clock.checked,
    asset_events.UnitsSeen: sightings.units_seen,
    asset_events.DoorRequested: lending.requested,
    asset_events.DoorMoved: cabinets.door_moved,
    asset_events.ItemPlaced: cabinets.item_placed,
    asset_events.ItemTaken: cabinets.item_taken,
    asset_events.SocketChanged: sightings.socket_changed,
    asset_events.RentAsked: lending.rent_asked,
    asset_events.ReturnAsked: lending.return_asked,
    asset_events.RentalCancelled: lending.cancelled,
    asset_events.GrantAnswered: openings.answered,
    asset_events.GrantChecked: openings.looked_at,
    asset_events.DoorChecked: openings.door_checked,
    asset_events.RentalChecked: overdue.checked,
    asset_events.ServiceOpened: openings.service,
    asset_events.ItemMoved: staff.moved,
    asset_events.RentalInspected: staff.inspected,
}
