"""What we ask of stations, in our words. Each OCPP version has one writer per command (`csms/ocpp/v*/commands.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from csms.domain.asset_events import Why

FEATURE_ABSENT = "feature absent"
"""The `error` of a command that a station has no such thing for: to ask again is of no use (quirk Q-D02)."""


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
class OpenDoor:
    """
    Open the door of `unit` once, by grant `grant_id`; never after `expires_at`.

    Sent again it is the same command: a cabinet acts once on a grant. `hold_s` is how long the lock stays
    released; None leaves that to the cabinet.
    """

    unit: int
    grant_id: UUID
    why: Why
    item: str | None
    hold_s: int | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ReportUnits:
    """Tell what is where in all units (`UnitsSeen`); the report comes apart from the answer."""

    request_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StartSwap:
    """
    Begin swap `rid` for `token`: slots `units_in` are to take `count` packs, those in `units_out` will be handed out.

    2.1 has a call of its own for it (RequestBatterySwap), which names no slots.
    """

    swap_id: UUID
    rid: int
    token: str
    count: int
    units_in: tuple[int, ...]
    units_out: tuple[int, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ReleasePack:
    """
    Hand the pack in `unit` out, once, by grant `grant_id`, as part of swap `rid`; never after `expires_at`.

    `error` says why the pack that was put in there is given back: it is not accepted (`Battery.Return`).
    """

    unit: int
    grant_id: UUID
    rid: int
    error: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DeliverVoucher:
    """
    Hand a voucher to the vehicle that bought it: a signed `document`. Sent again it is the same command.

    The vehicle is named as far as people are shown it (`vehicle` is masked): a station knows by `voucher_id` what it
    bought.
    """

    voucher_id: UUID
    vehicle_kind: str
    vehicle: str
    document: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class LimitSlot:
    """
    How the pack in `unit` is charged: (watts, minutes) one after the other from `begins` on, the last for good.

    A default profile of its transactions; a later one replaces it.
    """

    unit: int
    begins: datetime
    limits: tuple[tuple[int, int], ...]


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


Command = (
    StartSession | StopSession | OpenDoor | ReportUnits | StartSwap | ReleasePack | DeliverVoucher | LimitSlot | AnyCall
)
News = UseMeterKeys | EndConnection
"""What the process of a connection must know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The end of a command.

    `accepted` and `rejected` are the station's word; `failed` is a CALLERROR, or a version or a station
    that has no such command; `offline` means nothing was sent; `unknown` means sent, and no answer came.
    `error` of a rejected command about doors, slots and packs is a code of the protocol (docs/reference/assets).
    """

    end: Literal["accepted", "rejected", "failed", "offline", "unknown"]
    payload: dict[str, Any] | None = None
    error: str | None = None
