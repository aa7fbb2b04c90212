"""
What stations report, in our words.

An edge turns a wire message into one of these; `flows/report.py` decides and stores it. Ids and
random numbers a rule may need are drawn at the edge and stand in the event, so the rules stay pure.

Times: `at` is what the station says, `received_at` is the system's clock at arrival; both aware, UTC.
Energy is integer Wh. `raw` is the frame's text as it came, kept where the report moves money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple
from uuid import UUID

from csms.domain.asset_events import AssetAnswer, AssetEvent
from csms.domain.pack_events import PackEvent
from csms.domain.pack_rows import Voucher
from csms.domain.tariff_document import Tariff

if TYPE_CHECKING:
    from csms.domain.quote import Quote, Running


class Reading(NamedTuple):
    """One measured instant. `digest` (32 bits, signed) tells apart readings of the same millisecond."""

    at: datetime
    digest: int
    register_wh: int | None
    power_w: int | None = None


class Signed(NamedTuple):
    """
    A register that a meter signed, and what its signature is worth: judged by the edge, which knows the meter's keys.

    `raw` is the signed text as it came, `encoding` what it claims to be. `register_wh` is None where the
    text has no such register, or the meter itself doubts it. `digest` is the SHA-256 of what is signed,
    the same however it is written down.
    """

    context: Literal["begin", "end", "other"]
    at: datetime
    encoding: str
    raw: str
    verdict: Literal["valid", "invalid", "no_key", "unreadable"]
    reason: str | None
    register_wh: int | None
    digest: bytes


class SessionMetered(NamedTuple):
    """Readings of a running session. A NamedTuple, not a dataclass: this is the one hot event."""

    station_id: str
    ref: str
    received_at: datetime
    readings: tuple[Reading, ...]
    connector: int | None
    offline: bool
    session_id: UUID | None
    """Drawn when this event may be the first that is heard of its session (2.x); None on 1.6."""
    raw: str
    signed: tuple[Signed, ...] = ()
    wants_cost: bool = False
    """Whether the station shows what a session has cost so far, and is to be told now."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """
    A session began.

    `ref` is the wire's transaction id: the station's own on 2.x; on 1.6 a random one drawn by the
    edge, used if this is news. `start_key` is what a retry repeats (2.x: `ref` again; 1.6:
    connector, token, time and meter). `token` is canonical (`domain.token.canonical`), None if
    the station named none.
    """

    station_id: str
    received_at: datetime
    at: datetime
    connector: int | None
    ref: str
    start_key: str
    token: str | None
    meter_wh: int | None
    offline: bool
    session_id: UUID
    authorization_id: UUID
    raw: str
    readings: tuple[Reading, ...] = ()
    command_ref: str | None = None
    """2.x `remoteStartId`, when one was given."""
    signed: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionAuthorized:
    """The token of a session that had begun without one (2.x: `Updated` that carries an idToken)."""

    station_id: str
    received_at: datetime
    at: datetime
    connector: int | None
    ref: str
    token: str
    offline: bool
    session_id: UUID
    authorization_id: UUID
    raw: str
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session ended. `fee_text` is the fee a station computed itself, as it wrote it."""

    station_id: str
    received_at: datetime
    at: datetime
    ref: str
    meter_wh: int | None
    reason: str
    offline: bool
    session_id: UUID
    """Drawn for the case that nothing was heard of this session before."""
    authorization_id: UUID
    raw: str
    connector: int | None = None
    token: str | None = None
    readings: tuple[Reading, ...] = ()
    fee_text: str | None = None
    may_open: bool = False
    """2.x: an end may arrive before its start and opens the row. 1.6: an unknown id is parked."""
    signed: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenPresented:
    """A driver holds a token to a station that asks before starting (Authorize)."""

    station_id: str
    received_at: datetime
    token: str
    authorization_id: UUID
    driver_id: str
    """Drawn: the id of the driver this token's subject becomes, if it is new to us."""
    at_slots: bool = False
    """At a battery station: what follows is a swap, and the token may be a pack's serial or its alias."""


@dataclass(frozen=True, slots=True)
class TokenIssued:
    """
    A long token was verified with its issuer; `alias` (hex, single use) stands for it at this station.

    `issuer` and `subject` name the person to psp `psp`; the token itself is kept nowhere.
    """

    station_id: str
    received_at: datetime
    alias: str
    psp: str
    issuer: str
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuthorizationDecided:
    """A psp's verdict on an ask, or that its time ran out (`timed_out`; a later approval is voided)."""

    authorization_id: UUID
    station_id: str
    received_at: datetime
    verdict: str
    """`authorized`, `declined`, `unknown` or `timed_out`."""
    reason: str | None
    psp_ref: str | None
    driver_id: str
    """Drawn: the id of the driver an unseen (issuer, subject) becomes at its first acceptance."""


@dataclass(frozen=True, slots=True)
class StationBooted:
    """A station introduced itself."""

    station_id: str
    received_at: datetime
    vendor: str
    model: str
    serial: str | None
    firmware: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConnectorReported:
    """A connector's status, for people to see; it never ends a session. Connector 0 is the station itself."""

    station_id: str
    received_at: datetime
    at: datetime
    connector: int
    status: str
    """
    `available`, `occupied`, `preparing`, `charging`, `suspended`, `finishing`, `reserved`, `unavailable`
    or `faulted`.
    """
    error_code: str | None
    info: str | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A report whose meaning could not be recovered: it is kept with its text, and answered."""

    station_id: str
    received_at: datetime
    action: str
    reason: str
    raw: str
    parked_id: UUID
    answer: str | None = None
    """The transaction id it is answered with, where an answer needs one (1.6 StartTransaction)."""


@dataclass(frozen=True, slots=True)
class ConnectorMetered:
    """Readings of a connector that name no session (quirks Q-M09, Q-M19). Connector 0 is the station's own meter."""

    station_id: str
    connector: int
    received_at: datetime
    readings: tuple[Reading, ...]
    offline: bool
    raw: str
    signed: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class SpendingChecked:
    """A session may be near the end of what is set aside for it: look with everything that is stored."""

    station_id: str
    ref: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class ProvisionallyEnded:
    """Nothing is heard of a session any more (quirk Q-T13): it ends with its last reading, until its end arrives."""

    station_id: str
    ref: str
    received_at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class ProvisionalFinished:
    """No end came in time for a provisional session: what it was billed is final."""

    station_id: str
    ref: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class RestChosen:
    """A driver's word on what happens to money that is set aside and not spent: `keep` or `refund`."""

    station_id: str
    ref: str
    received_at: datetime
    rest: Literal["keep", "refund"]


@dataclass(frozen=True, slots=True)
class ReviewDecided:
    """
    Staff decided on a held bill: `release` bills what the registers say, `correct` bills `energy_wh`, `waive` nothing.
    """

    station_id: str
    ref: str
    received_at: datetime
    action: Literal["release", "correct", "waive"]
    energy_wh: int | None
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class BillCorrected:
    """Staff take a session's bills back and bill it anew: this energy, these seconds; None keeps what was billed."""

    station_id: str
    ref: str
    received_at: datetime
    revision: int
    """The newest bill that staff saw: another one since then refuses the correction."""
    energy_wh: int | None
    seconds: int | None
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class BillRefunded:
    """Staff give a driver part of a settled bill back: `amount_minor` > 0. A repeat of `refund_id` is the same."""

    station_id: str
    ref: str
    received_at: datetime
    refund_id: UUID
    amount_minor: int
    reason: str
    by: str


Event = (
    SessionMetered
    | SessionStarted
    | SessionAuthorized
    | SessionEnded
    | TokenPresented
    | TokenIssued
    | AuthorizationDecided
    | StationBooted
    | ConnectorReported
    | Unreadable
    | ConnectorMetered
    | SpendingChecked
    | ProvisionallyEnded
    | ProvisionalFinished
    | RestChosen
    | ReviewDecided
    | BillCorrected
    | BillRefunded
    | AssetEvent
    | PackEvent
)

Status = str
"""`accepted`, `invalid`, `blocked`, `expired`, `no_credit`, `unknown`, `concurrent`; `refused` to people only."""


class Limit(NamedTuple):
    """
    What a running session may cost, in minor units of `currency`, and the tariff it is priced by.

    `vouchers` pay beside it, None where none do (`voucher_limit.py`).
    """

    minor: int
    currency: str
    tariff: Tariff
    vouchers: tuple[Voucher, ...] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a report came to; the routes write it back in the station's version.

    `status` judges the token (`accepted` where no token is judged). `ref` is the session's wire id.
    `fee_minor` in `currency` is the final cost, at an end; `running` the cost so far, where it was
    wanted; `quote` what a use is priced by, when one may begin.
    `waits_for` names an authorization that a psp has yet to decide: the reply is kept back. `limit` is
    for stations that keep one themselves. `asset` answers what is about items and doors. `own` is the quote of a driver
    with a voucher, for stations that show a driver's own prices.
    """

    status: Status
    ref: str | None = None
    fee_minor: int | None = None
    currency: str | None = None
    waits_for: UUID | None = None
    reason: str | None = None
    limit: Limit | None = None
    running: Running | None = None
    quote: Quote | None = None
    asset: AssetAnswer | None = None
    own: Quote | None = None


RECORDED = Outcome("accepted")
