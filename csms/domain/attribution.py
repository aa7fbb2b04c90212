"""
Whose readings these are: those that name no session, an unknown one, or one that is over (Q-M09, Q-M19, Q-T05, Q-T14).

A reading belongs to the session that ran at its connector at its time. Energy that a meter counted
while none ran is nobody's: it is listed, never billed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from csms.base.ids import derived
from csms.domain import spending
from csms.domain.errand import Concern
from csms.domain.events import RECORDED, ConnectorMetered, Outcome, Reading, SessionEnded, SessionMetered, Signed
from csms.domain.folding import keep, put
from csms.domain.plausible import TOLERANCE_WH, plausible_time
from csms.domain.session import CLOSED, Session
from csms.domain.signatures import forged_late, noted, own, row
from csms.domain.watch import passed
from csms.domain.world import Changes, Gap, World

AFTER_END_PLACE = 41
"""The derived id of the exception that tells of energy after an end."""

AFTER_END = timedelta(seconds=60)
"""Readings this soon after an end are its own last ones, late by a clock."""

NO_REF = ("-1", "0")
"""What 1.6 stations write when they were never told a transaction id (quirks Q-T05, Q-T06)."""


class _Found(NamedTuple):
    """A reading and the session that ran then, None while none did."""

    reading: Reading
    session: Session | None


def connector_metered(world: World, changes: Changes, event: ConnectorMetered) -> Outcome:
    """Readings that name a connector only. Those of connector 0, the station's own meter, are no session's."""
    if event.connector == 0:
        return RECORDED
    sessions = world.at_connector(event.station_id, event.connector)
    _attribute(world, changes, event.readings, sessions, event.received_at)
    if event.signed:
        owner = _running(sessions, event.signed[-1].at, event.received_at)
        if owner is None and sessions:
            owner = sessions[0]
        if owner is not None:
            put(world, changes, take_signed(world, changes, owner, event.signed, event.received_at), owner)
    return RECORDED


def of_no_session(world: World, changes: Changes, event: SessionMetered) -> bool:
    """Readings that name a session nobody knows: whether they belong to those that ran at their connector."""
    if not event.connector:
        return False
    sessions = world.at_connector(event.station_id, event.connector)
    found = [_running(sessions, reading.at, event.received_at) for reading in event.readings]
    if not found or any(session is None for session in found):
        return False
    _attribute(world, changes, event.readings, sessions, event.received_at)
    return True


def after_end(
    world: World, changes: Changes, session: Session, readings: tuple[Reading, ...], at: datetime
) -> tuple[Reading, ...]:
    """
    Those of the readings that are of `session`, which has ended; the others go where they belong.

    Readings after the end are of the session that runs now (an old id sent on, quirk Q-M09), else a
    register that goes on rising is energy that nobody pays: people must look (quirk Q-T14).
    """
    assert session.ended_at is not None
    late = tuple(reading for reading in readings if reading.at > session.ended_at + AFTER_END)
    if not late or session.state == "provisional" or session.connector is None:
        return readings
    others = [s for s in world.at_connector(session.station_id, session.connector) if s.id != session.id]
    moved = tuple(reading for reading in late if _running(others, reading.at, at) is not None)
    if moved:
        _attribute(world, changes, moved, others, at)
    mine = tuple(reading for reading in readings if reading not in moved)
    rising = [r for r in mine if r in late and r.register_wh is not None]
    if rising and session.meter_end_wh is not None:
        highest = max(rising, key=lambda reading: reading.register_wh or 0)
        assert highest.register_wh is not None
        if highest.register_wh > session.meter_end_wh + TOLERANCE_WH:
            changes.concerns.append(_flows_on(session, highest.register_wh, at))
            _list_gap(changes, session, highest, at)
    return mine


def ended_session(world: World, event: SessionEnded) -> Session | None:
    """
    The session that an end without an id means: the one that can have ended so, None if that is not clear.

    An end that fits a session that is over already is its repeat.
    """
    sessions = world.at_station(event.station_id)
    if event.connector is not None:
        sessions = [s for s in sessions if s.connector == event.connector]
    over = [s for s in sessions if s.ended_at is not None and _is_same_end(s, event)]
    if over:
        return over[0]
    running = [s for s in sessions if s.ended_at is None or s.state == "provisional"]
    able = [s for s in running if _can_have_ended(s, event)]
    return able[0] if len(able) == 1 else None


def _is_same_end(session: Session, event: SessionEnded) -> bool:
    return (
        session.meter_end_wh == event.meter_wh
        and session.state != "provisional"
        and (session.ended_at == event.at or event.at == event.received_at)
    )


def _can_have_ended(session: Session, event: SessionEnded) -> bool:
    if session.started_at is None or session.started_at > event.at:
        return False
    if event.meter_wh is None or session.meter_start_wh is None:
        return True
    return event.meter_wh >= session.meter_start_wh - TOLERANCE_WH


def last_known(world: World, session: Session) -> Reading | None:
    """
    The last register of a session that nothing is heard of; None where it has no reading.

    Readings since a newer session began at its connector are not its own, nor is energy above the
    register that one began with: a station without power may go on under the old id (quirk Q-T02).
    """
    readings = [reading for reading in world.series[session.id] if reading.register_wh is not None]
    next_ = _next_at(world, session)
    if next_ is not None:
        readings = [reading for reading in readings if _is_before(reading, session, next_)]
    readings = [reading for reading in readings if reading.register_wh] or readings  # a zero may be a dropout (Q-M07)
    return max(readings, key=lambda reading: reading.at, default=None)


def _next_at(world: World, session: Session) -> Session | None:
    """The session that began next at the same connector."""
    if session.connector is None or session.started_at is None:
        return None
    began = {
        other.started_at: other
        for other in world.at_connector(session.station_id, session.connector)
        if other.started_at is not None and other.started_at > session.started_at and other.state != "invalid"
    }
    return began[min(began)] if began else None


def _is_before(reading: Reading, session: Session, next_: Session) -> bool:
    assert reading.register_wh is not None
    assert next_.started_at is not None
    if reading.at > next_.started_at:
        return False
    start, bound = session.meter_start_wh, next_.meter_start_wh
    if start is None or bound is None or bound < start:  # another register, or one that began anew
        return True
    return reading.register_wh <= bound + TOLERANCE_WH


def take_signed(
    world: World, changes: Changes, session: Session, values: Iterable[Signed], received_at: datetime
) -> Session:
    """Keeps what the meter of a session signed, and lets it stand as evidence of this session and no other."""
    values = tuple(own(session, value, world.signed) for value in values)
    if session.state not in CLOSED:
        world.signed |= {v.digest: session.id for v in values if v.verdict == "valid" and v.context != "other"}
    changes.signed += [row(session, value, received_at) for value in values]
    late = forged_late(session, values, received_at)
    if late is not None:
        changes.concerns.append(late)
    return noted(session, values)


def _attribute(
    world: World, changes: Changes, readings: Iterable[Reading], sessions: list[Session], at: datetime
) -> None:
    for reading, session in [_Found(r, _running(sessions, r.at, at)) for r in readings]:
        if session is not None:
            _watch(world, changes, session, reading, at)
            keep(world, changes, session, (reading,))
            continue
        before = [s for s in sessions if s.ended_at is not None and s.ended_at <= reading.at]
        if before and before[0].meter_end_wh is not None and reading.register_wh is not None:
            _list_gap(changes, before[0], reading, at)


def _watch(world: World, changes: Changes, session: Session, reading: Reading, at: datetime) -> None:
    """A limited session is looked at when a reading passes what its money is enough for, whoever the reading named."""
    watched = world.watches.get(session.id)
    if watched is None and session.hold_minor:
        watched = spending.begin(world, session)
    highest = world.progress_of(session.id).highest_wh
    if watched is not None and passed(watched, session.meter_start_wh if highest is None else highest, (reading,)):
        changes.checks[session.station_id, session.ref] = at


def _running(sessions: Iterable[Session], reported: datetime, received_at: datetime) -> Session | None:
    """The newest of `sessions` (newest first) that ran at a time; a provisional end may be too early."""
    at, _ = plausible_time(reported, received_at, None)
    for session in sessions:
        began = session.started_at or session.opened_at
        if began <= at and (session.ended_at is None or session.state == "provisional" or at <= session.ended_at):
            return session
    return None


def _list_gap(changes: Changes, session: Session, reading: Reading, at: datetime) -> None:
    """What the meter counted since `session` ended (quirk Q-M08)."""
    assert session.connector is not None
    from_wh, to_wh = session.meter_end_wh, reading.register_wh
    if from_wh is None or to_wh is None or to_wh <= from_wh:
        return
    read_at, _ = plausible_time(reading.at, at, None)
    changes.gaps.append(Gap(session.station_id, session.connector, from_wh, to_wh, session.id, None, read_at))


def _flows_on(session: Session, register_wh: int, at: datetime) -> Concern:
    details: dict[str, object] = {
        "session": str(session.id),
        "end_wh": session.meter_end_wh,
        "register_wh": register_wh,
    }
    id_: UUID = derived(session.id, AFTER_END_PLACE)
    return Concern(id_, "energy_after_end", str(session.id), session.station_id, details, at)
