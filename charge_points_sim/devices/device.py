"""What a version's module provides, as a table of functions, and what a system may ask of a station."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from charge_points_sim.session import Limit, Session, Token

Payload = Mapping[str, Any]
Status = Literal[
    "available", "preparing", "charging", "full", "finishing", "occupied", "open", "reserved", "jammed", "unavailable"
]
"""
What a connector shows. A door: `available` is empty, `occupied` holds an item, `jammed` has a lock that failed. A
slot whose pack takes no more energy is `full`.
"""
StopReason = Literal["local", "remote", "deauthorized", "departed", "power_loss"]
Change = Literal["energy_limit", "time_limit", "resumed", "asked"]


class Message(NamedTuple):
    """An OCPP action and its payload as JSON text, written when it is sent."""

    action: str
    write: Callable[[], str]


class Verdict(NamedTuple):
    """The system's answer to a token: whether it may charge, and the wire's transaction id if it names one."""

    accepted: bool
    ref: int | None = None


@dataclass(frozen=True, slots=True)
class StartAsked:
    """A remote start. `connector` is None where the system leaves the choice to the station."""

    connector: int | None
    token: Token
    start_id: int | None


@dataclass(frozen=True, slots=True)
class StopAsked:
    """A remote stop of the session whose wire id is `ref`."""

    ref: str | int


@dataclass(frozen=True, slots=True)
class TriggerAsked:
    """The system wants `message` (wire name) to be sent now."""

    message: str
    connector: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A call that needs no action of the simulation: `answer` is its result as JSON text."""

    answer: str


class Shown(NamedTuple):
    """What a station shows its driver: `prices`, the cost so far (`running`), the `fee`; or a `tariff` it takes."""

    kind: str
    content: Payload
    answer: str = ""
    """The result of the call that told it, as JSON text."""


Asked = StartAsked | StopAsked | TriggerAsked | Heard | Shown | None
"""None: this station does not support the call."""


def no_limit(answer: Payload) -> Limit | None:
    """Of stations that keep no limit themselves."""
    return None


def no_fee(answer: Payload) -> Payload | None:
    """Of versions whose answers tell no fee, and of stations that show none."""
    return None


@dataclass(frozen=True, slots=True)
class Device:
    """One OCPP version. Times are epoch seconds, registers Wh, power W; `offline` marks what is sent later."""

    version: str
    subprotocol: str
    boot: Callable[[str, str], Message]
    status: Callable[[int, Status, int], Message]
    authorize: Callable[[Token], Message]
    transfer: Callable[[str, str, Payload], Message]
    started: Callable[[Session, bool], Message]
    metered: Callable[[Session, int, int | None, bool], Message]
    ended: Callable[[Session, int, StopReason, bool], Message]
    read_authorize: Callable[[Payload], Verdict]
    read_started: Callable[[Payload], Verdict]
    read_transfer: Callable[[Payload], tuple[bool, Payload]]
    read_call: Callable[[str, Payload], Asked]
    names_own_sessions: bool
    """2.x: the station chooses the transaction id, and numbers the events, so they may come in any order."""
    changed: Callable[[Session, int, Change, bool], Message] | None = None
    """2.x: tells of a session that was suspended or goes on, or that the system asked about."""
    read_fee: Callable[[Payload], Payload | None] = no_fee
    """The fee in the answer to the end of a session, where the version tells it there."""
    read_limit: Callable[[Payload], Limit | None] = no_limit
    """What the answer to an event allows the session; None: it says nothing of it."""


def quoted(text: str) -> str:
    """The text as a JSON string."""
    return json.dumps(text)


def heartbeat() -> Message:
    """The same on every version."""
    return Message("Heartbeat", lambda: "{}")
