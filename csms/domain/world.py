"""
What a batch of reports is decided on, and what deciding it changes.

`World` is the batch's own copy: it was loaded for these reports and is threaded from one to the
next, so that two reports of one session see each other. `Changes` collects what must be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from csms.domain.assets import AssetChanges, Assets
from csms.domain.authorization import Ask, Authorization, Policy
from csms.domain.billing import Bill, Closing
from csms.domain.books import Books, RefundRow
from csms.domain.corrections import Correction
from csms.domain.errand import Concern, Errand
from csms.domain.events import ConnectorReported, Outcome, Reading, StationBooted, TokenIssued, Unreadable
from csms.domain.ledger import Posting
from csms.domain.session import NOTHING, Priced, Progress, Rest, Session, Station
from csms.domain.signatures import SignedRow
from csms.domain.watch import Watch

AUTHORIZATION_S_MAX = 900
"""How long an accepted authorization waits for its start; then it is voided."""

LATE_S_MAX = 45 * 86_400
"""How old a reported time may be: stations replay what happened while they were offline (quirk Q-T11)."""


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Settings that rules depend on: the policy of every psp, and two limits in seconds.

    `debt_minor_max`: a driver who owes more, in minor units of any currency, starts nothing.
    """

    policies: Mapping[str, Policy]
    authorization_s_max: int = AUTHORIZATION_S_MAX
    late_s_max: int = LATE_S_MAX
    debt_minor_max: int = 0


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a presented token. `psp` is None where the driver's balance pays."""

    key: bytes
    status: str
    driver_id: str | None
    driver_status: str | None
    psp: str | None
    issuer: str | None
    subject: str | None
    station_id: str | None
    single_use: bool
    session_id: UUID | None
    session_open: bool
    expires_at: datetime | None
    rest: Rest = "keep"
    owner: bytes = b""
    """The key of the token that its budgets belong to: its own, or that of the token it stands for."""
    budgets: tuple[tuple[str, str, int, str], ...] = ()
    """(period, currency, limit in minor units, time zone) of what this token may spend."""
    spendings: tuple[tuple[str, str, date, int], ...] = ()
    """(period, currency, first day of the period, minor units) of what it has spent or set aside."""

    @property
    def stands_for(self) -> bytes | None:
        """The key of the token that this one stands for, None where it is itself."""
        return self.owner if self.owner and self.owner != self.key else None


class ReadingRow(NamedTuple):
    """A reading and where it belongs; `day` is its partition."""

    day: date
    session_id: UUID
    reading: Reading


class Gap(NamedTuple):
    """Energy that no session paid for: a row of `unattributed_energy`, column by column. Wh, UTC."""

    station_id: str
    connector: int
    from_wh: int
    to_wh: int
    after_session: UUID | None
    before_session: UUID | None
    at: datetime


@dataclass(slots=True)
class World:
    """
    Rows by their keys; a key that is not here does not exist.

    `sessions` is keyed (station, ref), `starts` (station, start_key) -> ref, `balances`
    (driver, currency) in minor units, `live` (station, token key) -> authorization, `identities`
    (issuer, subject) -> driver, `waiting` authorization -> (station, ref) of the sessions that wait.
    `series` has all readings of a session by time, `boots` those of its station meanwhile, `books` what is
    written of its money; they are loaded where a rule lacks them (`Changes.lacking`). `debts` is keyed as
    `balances`. `watches` says when the spending of a running session is to be looked at. `signed` says which
    session a signed value (by its digest) is the begin or end of.
    """

    rules: Rules
    stations: dict[str, Station] = field(default_factory=dict)
    sessions: dict[tuple[str, str], Session] = field(default_factory=dict)
    starts: dict[tuple[str, str], str] = field(default_factory=dict)
    progress: dict[UUID, Progress] = field(default_factory=dict)
    priced: dict[tuple[str, int, str, int], Priced] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    authorizations: dict[UUID, Authorization] = field(default_factory=dict)
    live: dict[tuple[str, bytes], UUID] = field(default_factory=dict)
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    waiting: dict[UUID, set[tuple[str, str]]] = field(default_factory=dict)
    debts: dict[tuple[str, str], int] = field(default_factory=dict)
    series: dict[UUID, tuple[Reading, ...]] = field(default_factory=dict)
    books: dict[UUID, Books] = field(default_factory=dict)
    boots: dict[UUID, tuple[datetime, ...]] = field(default_factory=dict)
    watches: dict[UUID, Watch] = field(default_factory=dict)
    signed: dict[bytes, UUID] = field(default_factory=dict)
    assets: Assets = field(default_factory=Assets)
    vouchers_of: set[str] = field(default_factory=set)
    """Drivers whose vouchers are among `assets`, if they have any."""

    def at_connector(self, station_id: str, connector: int) -> list[Session]:
        """The sessions at a connector, newest first; loaded for those of `Wanted.connectors` alone."""
        found = [s for s in self.sessions.values() if s.station_id == station_id and s.connector == connector]
        found = [s for s in found if s.use == "charge"]
        return sorted(found, key=lambda session: session.opened_at, reverse=True)

    def at_station(self, station_id: str) -> list[Session]:
        """The sessions of a station, newest first; loaded where `Wanted.connectors` names its connector -1."""
        found = [s for s in self.sessions.values() if s.station_id == station_id and s.use == "charge"]
        return sorted(found, key=lambda session: session.opened_at, reverse=True)

    def progress_of(self, session_id: UUID) -> Progress:
        """What its readings amount to so far."""
        return self.progress.get(session_id, NOTHING)

    def priced_of(self, session: Session) -> Priced | None:
        """The tariff and split a session is closed with, None where its station had no tariff."""
        if session.tariff_id is None or session.tariff_version is None:
            return None
        return self.priced[session.tariff_id, session.tariff_version, session.provider_id, session.terms_version]


@dataclass(slots=True)
class Changes:
    """What a batch writes. Dicts are keyed by id, so that of several images of one row the last is written."""

    opened: dict[UUID, Session] = field(default_factory=dict)
    moved: dict[UUID, Session] = field(default_factory=dict)
    readings: list[ReadingRow] = field(default_factory=list)
    asked: dict[UUID, Authorization] = field(default_factory=dict)
    decided: dict[UUID, Authorization] = field(default_factory=dict)
    issued: list[TokenIssued] = field(default_factory=list)
    spent: dict[bytes, UUID] = field(default_factory=dict)
    drivers: dict[tuple[str, str], tuple[str, datetime]] = field(default_factory=dict)
    bills: list[Bill] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    concerns: list[Concern] = field(default_factory=list)
    parked: list[Unreadable] = field(default_factory=list)
    boots: dict[str, StationBooted] = field(default_factory=dict)
    statuses: dict[tuple[str, int], ConnectorReported] = field(default_factory=dict)
    signed: list[SignedRow] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    refunds: list[RefundRow] = field(default_factory=list)
    resolved: list[tuple[str, str, str, datetime]] = field(default_factory=list)
    """(kind, ref, resolution, time) of exceptions that are settled."""
    budgets: list[tuple[bytes, str, str, date, int]] = field(default_factory=list)
    """(token key, period, currency, first day of the period, minor units more or less)."""
    lacking: set[tuple[str, str]] = field(default_factory=set)
    """Sessions (station, ref) whose series and books a rule needs: load them and decide again; not written."""
    checks: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """Sessions (station, ref) whose spending is to be looked at after the commit; not written."""
    asks: dict[UUID, Ask] = field(default_factory=dict)
    """Questions to be asked after the commit; not written."""
    assets: AssetChanges = field(default_factory=AssetChanges)
    verdicts: dict[UUID, dict[str | None, Outcome]] = field(default_factory=dict)
    """For whoever waits for an authorization: the answer by session ref, None for an Authorize; not written."""

    def is_only_readings(self) -> bool:
        """Whether readings are all there is to write, as in most batches."""
        return not (
            self.opened
            or self.moved
            or self.asked
            or self.decided
            or self.issued
            or self.spent
            or self.postings
            or self.concerns
            or self.parked
            or self.boots
            or self.statuses
            or self.signed
            or self.gaps
            or self.errands
            or self.resolved
            or self.budgets
        )

    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self.readings and self.is_only_readings() and self.assets.is_empty()

    def add(self, closing: Closing) -> None:
        """Everything that closing a session writes, but for the session itself."""
        if closing.bill is not None:
            self.bills.append(closing.bill)
        self.postings += closing.postings
        self.errands += closing.errands
        self.concerns += closing.exceptions

    def correct(self, correction: Correction, ref: str, at: datetime, resolution: str) -> None:
        """Everything that a decision of staff writes, but for the session itself; `ref` names its exceptions."""
        self.bills += correction.bills
        self.postings += correction.postings
        self.refunds += correction.refunds
        self.errands += correction.errands
        self.resolved += [(kind, ref, resolution, at) for kind in correction.resolved]
