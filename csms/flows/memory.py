"""
What a gateway process remembers between batches: its running sessions, and prices.

A shortcut, never the truth: it is filled after commits only, may be dropped at any time, and what
is decided from it is verified by the save (row versions, unique keys, guarded balances).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from csms.domain.asset_events import AssetEvent
from csms.domain.attribution import NO_REF
from csms.domain.events import (
    AuthorizationDecided,
    BillCorrected,
    BillRefunded,
    ConnectorMetered,
    Event,
    ProvisionalFinished,
    ProvisionallyEnded,
    RestChosen,
    ReviewDecided,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    SpendingChecked,
    TokenPresented,
)
from csms.domain.pack_events import PackEvent
from csms.domain.session import CLOSED, NOTHING, VOUCHERS, Priced, Progress, Session
from csms.domain.watch import Watch
from csms.domain.world import LATE_S_MAX, World
from csms.flows import asset_wants
from csms.store.road import PricedKey, Wanted

STATIONS_MAX = 50_000
"""Stations whose sessions are remembered; beyond it all are dropped and found again by loading."""


class Memory:
    """Running sessions by station and ref, their progress, and every tariff and split used so far."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Session]] = {}
        self.progress: dict[UUID, Progress] = {}
        self.watches: dict[UUID, Watch] = {}
        self.priced: dict[PricedKey, Priced] = {}

    def recall(self, world: World, events: Iterable[Event], lacking: Wanted | None = None) -> Wanted | None:
        """
        Puts what is remembered into the world and answers what must be loaded; None if nothing must.

        Only active sessions are remembered: they need neither token nor psp any more. `lacking` is wanted
        beside what the events themselves ask for.
        """
        wanted = lacking
        for event in events:
            if type(event) is SessionMetered or type(event) is SessionEnded:
                remembered = self.sessions.get(event.station_id)
                session = remembered.get(event.ref) if remembered is not None else None
                if session is not None and not _needs_more(session, event):
                    world.sessions[event.station_id, event.ref] = session
                    world.progress[session.id] = self.progress.get(session.id, NOTHING)
                    if (watch := self.watches.get(session.id)) is not None:
                        world.watches[session.id] = watch
                    if event.signed:
                        wanted = wanted or Wanted()
                        wanted.signed.update(value.digest for value in event.signed)
                    continue
            wanted = wanted or Wanted()
            _want(wanted, event)
            if type(event) is SpendingChecked:
                self._recall_watch(world, event)
            if type(event) is SessionEnded and _leans(self.sessions.get(event.station_id, {}).get(event.ref)):
                wanted.books.add((event.station_id, event.ref))
            wanted.starts_at[event.station_id] = _starts_at(event)
        return wanted if wanted is not None and not wanted.is_empty() else None

    def _recall_watch(self, world: World, event: SpendingChecked) -> None:
        """What its station was told is not stored: a look at its spending asks for it (`voucher_limit.binds`)."""
        session = self.sessions.get(event.station_id, {}).get(event.ref)
        watch = None if session is None else self.watches.get(session.id)
        if session is not None and watch is not None:
            world.watches[session.id] = watch

    def unpriced(self, world: World) -> set[PricedKey]:
        """Prices that this world may need and that were never read; of a closed session where its books are open."""
        keys = {
            (s.tariff_id, s.tariff_version, s.provider_id, s.terms_version)
            for s in world.sessions.values()
            if (s.state not in CLOSED or s.id in world.books or s.use == "rental")
            and s.tariff_id is not None
            and s.tariff_version is not None
        }
        for station in world.stations.values():
            terms = station.terms
            if terms is not None:
                keys.add((terms.tariff_id, terms.tariff_version, station.provider_id, terms.terms_version))
        return keys - self.priced.keys()

    def remember(self, world: World) -> None:
        """After the commit: the running sessions of the batch as they are now; what is closed is let go."""
        if len(self.sessions) > STATIONS_MAX:
            self.sessions.clear()
            self.progress.clear()
            self.watches.clear()
        for (station_id, ref), session in world.sessions.items():
            if session.use == "rental":
                continue
            if session.state == "active" and session.ended_at is None:
                self.sessions.setdefault(station_id, {})[ref] = session
                self.progress[session.id] = world.progress.get(session.id, NOTHING)
                if (watch := world.watches.get(session.id)) is not None:
                    self.watches[session.id] = watch
            else:
                self._drop(station_id, ref)

    def due(self, now: datetime) -> list[tuple[str, str]]:
        """Running sessions (station, ref) whose spending is to be looked at because of the time."""
        return [
            (station_id, ref)
            for station_id, sessions in self.sessions.items()
            for ref, session in sessions.items()
            if (watch := self.watches.get(session.id)) is not None and watch.at <= now
        ]

    def _drop(self, station_id: str, ref: str) -> None:
        mine = self.sessions.get(station_id)
        session = mine.pop(ref, None) if mine is not None else None
        if session is not None:
            self.progress.pop(session.id, None)
            self.watches.pop(session.id, None)
            if not mine:
                del self.sessions[station_id]

    def forget(self, station_id: str) -> None:
        """Drops the sessions of one station."""
        for session in self.sessions.pop(station_id, {}).values():
            self.progress.pop(session.id, None)
            self.watches.pop(session.id, None)


def _needs_more(session: Session, event: SessionMetered | SessionEnded) -> bool:
    """
    Whether an end needs what is not remembered.

    Without registers of its own it is judged by the stored readings, whichever process took them;
    where no report named a connector yet, its station says what the connector of the end can give.
    """
    return type(event) is SessionEnded and (
        event.meter_wh is None or session.meter_start_wh is None or session.connector is None or _leans(session)
    )


def _leans(session: Session | None) -> bool:
    """Whether vouchers may pay for it: they, and its readings, are loaded for its end."""
    return session is not None and VOUCHERS in session.flags


def _starts_at(event: Event) -> datetime:
    """
    When a use that this event may begin starts: the tariff of that time prices it (quirk Q-T11).

    What began while its station was offline, at a time that can be believed, began then.
    """
    if isinstance(event, SessionStarted) and event.offline:
        latest, earliest = event.received_at, event.received_at - timedelta(seconds=LATE_S_MAX)
        return event.at if earliest <= event.at <= latest else latest
    return event.received_at


def _want(wanted: Wanted, event: Event) -> None:
    station_id = event.station_id
    if isinstance(event, SessionMetered | SessionStarted | SessionEnded | ConnectorMetered):
        wanted.signed.update(value.digest for value in event.signed)
    match event:
        case SessionMetered() | SessionEnded():
            wanted.sessions.add((station_id, event.ref))
            wanted.stations.add(station_id)
            if isinstance(event, SessionMetered):
                if event.connector:  # of which it may be, should its session be unknown or over
                    wanted.connectors.add((station_id, event.connector))
            elif event.ref in NO_REF:
                wanted.connectors.add((station_id, -1))
            if isinstance(event, SessionEnded) and event.token is not None and event.may_open:
                wanted.token(station_id, event.token)
        case SessionStarted():
            if event.start_key != event.ref:
                wanted.starts.add((station_id, event.start_key))
            wanted.sessions.add((station_id, event.ref))
            wanted.stations.add(station_id)
            if event.token is not None:
                wanted.token(station_id, event.token)
        case SessionAuthorized():
            wanted.sessions.add((station_id, event.ref))
            wanted.stations.add(station_id)
            wanted.token(station_id, event.token)
        case TokenPresented():
            wanted.stations.add(station_id)
            wanted.token(station_id, event.token)
            if event.at_slots:
                asset_wants.at_slots(wanted, event)
        case AuthorizationDecided():
            wanted.authorizations.add(event.authorization_id)
        case ConnectorMetered():
            wanted.connectors.add((station_id, event.connector))
            wanted.stations.add(station_id)
        case RestChosen():
            wanted.sessions.add((station_id, event.ref))
        case ProvisionallyEnded():
            wanted.sessions.add((station_id, event.ref))
            wanted.stations.add(station_id)
            wanted.books.add((station_id, event.ref))
            wanted.connectors.add((station_id, -1))
        case SpendingChecked() | ProvisionalFinished() | ReviewDecided() | BillCorrected() | BillRefunded():
            wanted.sessions.add((station_id, event.ref))
            wanted.stations.add(station_id)
            wanted.books.add((station_id, event.ref))
        case _ if isinstance(event, AssetEvent | PackEvent):
            asset_wants.want(wanted, event)
        case _:
            pass
