"""The parts that reading and answering a station's call are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from csms.base.clock import Clock
from csms.domain.events import Event, Outcome
from csms.domain.voucher_asks import VoucherAnswer, VoucherAsk
from csms.ocpp.draw import Draw
from csms.ocpp.schemas import Version
from csms.ocpp.slot_uses import SlotUses
from csms.ocpp.tx_limits import TxLimits
from csms.psp.base import Denied, VerifiedToken

BATTERY_STATION = "battery_station"
"""The kind of station whose connectors are slots."""

CONNECTOR_MAX = 9_999
"""The highest connector number the tables take."""


ALIAS_AGE = timedelta(seconds=120)
"""How long an alias stands for a long token."""

OFFLINE_AGE = timedelta(seconds=300)
"""A 1.6 report older than this was made offline: that version does not say so itself."""

RAW_LENGTH_MAX = 65_536
"""The longest text kept of a report that nobody could read."""

STATION_BACKLOG_MAX = 64
"""Calls of a station that may wait; beyond them its socket is not read."""


class Unclear(Exception):
    """A payload that is well-formed, or was mended, but says nothing that can be recorded. The text says why."""


class OtherVersion(Exception):
    """The station speaks another OCPP version than the one agreed on (quirk Q-H02)."""


NO_KEYS: Mapping[int, tuple[str, ...]] = {}


@dataclass(slots=True)
class Call:
    """
    One call of a station, with what its reader may need.

    `id_json` is the message id as JSON text, ready to be sent back; `payload` is the struct of the
    action (`wire.exact`, or `wire.loose` after a repair: then any field may be None).
    """

    station_id: str
    id_json: bytes
    action: str
    raw: str
    received_at: datetime
    payload: Any
    version: Version
    desk: Desk
    began_s: float
    keys: Mapping[int, tuple[str, ...]]
    """Registered public keys of the station's meters, base64 DER by connector number."""
    answer: Callable[[Outcome], bytes] | None = None
    """Made while reading, where the answer holds what the outcome does not: an alias, the id of a body."""
    mark: str = "answered"
    """What became of it, for the metrics: `answered`, `mended`, `unreadable` or `pending`."""
    tx_limits: TxLimits | None = None
    """Of a 2.1 station: the limits of sessions that it keeps itself."""
    kind: str = "charger"
    """What the station is: `charger`, `locker` or `battery_station`."""
    slots: SlotUses | None = None
    """Of a battery station: which slots its transactions are in."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that needs no commit, because nothing is recorded: the payload as JSON."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class VerifyToken:
    """
    A long token that its issuer must be asked about before anything can be recorded.

    `issued` makes the event to record when the issuer stands for it; `denied` the answer when not. With
    `then` another event is recorded behind it, and the outcome of that one is answered.
    """

    token: str
    issued: Callable[[VerifiedToken], Event]
    denied: Callable[[str], bytes]
    then: Callable[[], Event] | None = None


@dataclass(frozen=True, slots=True)
class Hurried:
    """
    What a call means that must be answered within `within_s` seconds.

    If nothing is decided by then it is answered `pending`, and later outcomes are told by other means.
    """

    meant: Event | VerifyToken
    within_s: float
    pending: bytes


@dataclass(frozen=True, slots=True)
class Consult:
    """A question that the road has nothing to do with: somebody is asked, and `answered` writes what they said."""

    question: VoucherAsk
    answered: Callable[[VoucherAnswer], bytes]


@dataclass(frozen=True, slots=True)
class Together:
    """Several events in one call, at least one: recorded in their order, answered when the last is."""

    events: tuple[Event, ...]


Read = Event | Reply | VerifyToken | Hurried | Consult | Together
Reader = Callable[[Call], Read]
Writer = Callable[[Outcome, Call], bytes]


@dataclass(frozen=True, slots=True)
class Route:
    """
    How one action is read into an event and how the outcome is written back, as JSON.

    `money` marks reports that move money: what cannot be read is kept and answered, never refused.
    With `hides_tokens` its text is kept without the tokens in it.
    """

    read: Reader
    write: Writer
    money: bool = False
    hides_tokens: bool = False


Submit = Callable[[Event, Callable[[Outcome], None]], None]


@dataclass(frozen=True, slots=True)
class Desk:
    """
    What all conversations of one gateway share.

    `verify` asks an issuer about (token, station id) and calls back once, never before it returns;
    `later` calls back after so many seconds, by the network's clock;
    `heartbeat_s` is told to stations at boot; a 1.6 report older than `offline_age` was made
    offline; an alias lives for `alias_age`; both are judged on the system's clock.
    """

    submit: Submit
    clock: Clock
    verify: Callable[[str, str, Callable[[VerifiedToken | Denied], None]], None]
    draw: Draw
    later: Callable[[float, Callable[[], None]], object]
    heartbeat_s: int = 300
    alias_age: timedelta = ALIAS_AGE
    offline_age: timedelta = OFFLINE_AGE
    backlog_max: int = STATION_BACKLOG_MAX
    log_calls: bool = False
    consult: Callable[[VoucherAsk, Callable[[VoucherAnswer], None]], None] | None = None
    """Asks for vouchers and calls back once, never before it returns; None where there are none."""
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Calls by (version, action, what became of them) since the gateway last added them to the metrics."""


def kept(text: str) -> str:
    """What is kept of a report's text that nobody could read: PostgreSQL takes no NUL."""
    return text.replace("\0", "")[:RAW_LENGTH_MAX]


def nothing(outcome: Outcome, call: Call) -> bytes:
    """The answer that has no fields."""
    return b"{}"
