"""What we ask of stations, in our words. Each OCPP version has one writer per command (`csms/ocpp/v*/commands.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class StartSession:
    """Start at `connector` for `token`, a single-use token of 16 hex characters. `start_id` is 2.x `remoteStartId`."""

    connector: int
    token: str
    start_id: int


@dataclass(frozen=True, slots=True)
class StopSession:
    """Stop the session whose wire id is `ref`."""

    ref: str


@dataclass(frozen=True, slots=True)
class AnyCall:
    """An OCPP call by its name, as staff wrote it; checked against the schema of the station's version."""

    action: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UseMeterKeys:
    """
    Not for the station: its connection verifies signed values with these public keys from now on.

    Base64 DER by connector number; 0 is for every connector without keys of its own.
    """

    keys: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class EndConnection:
    """Not for the station: its connection ends, for this reason. It may come again, as it is known now."""

    reason: str


Command = StartSession | StopSession | AnyCall
News = UseMeterKeys | EndConnection
"""What the process of a connection must know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The end of a command.

    `accepted` and `rejected` are the station's word; `failed` is a CALLERROR or a version that has
    no such command; `offline` means nothing was sent; `unknown` means sent, and no answer came.
    """

    end: Literal["accepted", "rejected", "failed", "offline", "unknown"]
    payload: dict[str, Any] | None = None
    error: str | None = None
