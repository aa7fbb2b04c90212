"""
The words of the vendor protocol `org.csms.assets`, version 1, as a station reads and writes them.

Every body has `v`, `id` and `ts`; an event has `seq` and `off` too, a command `exp`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from charge_points_sim.devices.device import Payload
from charge_points_sim.times import epoch

VENDOR = "org.csms.assets"
VERSION = 1
CLOCK_DRIFT_S_MAX = 5
"""A station whose clock is further off cannot tell whether a grant has expired."""
ID = re.compile(r"[A-Za-z0-9._:-]{8,36}")
"""The form of the id of every message."""

Why = Literal["take", "return", "inspect", "service"]
DoorState = Literal["closed", "open", "ajar", "jammed", "forced", "unknown"]
Error = Literal[
    "UnknownUnit",
    "UnitEmpty",
    "UnitOccupied",
    "UnitReserved",
    "UnitFaulted",
    "NoEmptySlot",
    "NoBatteryAvailable",
    "DoorJammed",
    "DoorAlreadyOpen",
    "GrantUsed",
    "GrantExpired",
    "ItemMismatch",
    "UnknownVehicle",
    "Busy",
    "BadPayload",
    "BadVersion",
]
"""Why this side does not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The permission to open door `u` once, until `exp` (epoch seconds), issued at `at`."""

    u: int
    gid: str
    why: str
    at: int
    exp: int
    item: str | None = None
    hold_s: int | None = None


def envelope(id: str, ts: str) -> dict[str, Any]:
    """What every body begins with."""
    return {"v": VERSION, "id": id, "ts": ts}


def body_of(payload: Payload) -> dict[str, Any] | None:
    """The body of a DataTransfer, from JSON text or an object; None if it is neither."""
    data = payload.get("data")
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            return None
    return dict(data) if isinstance(data, Mapping) else None


def result(version: str, status: str, data: Payload | None = None) -> str:
    """The answer to a DataTransfer: `data` as text on 1.6; an error is a reason code too on 2.x."""
    answer: dict[str, Any] = {"status": status}
    if data is not None:
        answer["data"] = json.dumps(data) if version == "1.6" else data
        if "err" in data and version != "1.6":
            answer["statusInfo"] = {"reasonCode": data["err"]}
    return json.dumps(answer)


def fault_of(body: Payload) -> Error | None:
    """What is wrong with the envelope of a command, if anything."""
    if body.get("v") != VERSION:
        return "BadVersion"
    whole = id_of(body) and instant(body.get("ts")) is not None and instant(body.get("exp")) is not None
    return None if whole else "BadPayload"


def id_of(body: Payload) -> str:
    """The id of a message; empty if it cannot be read."""
    id = body.get("id")
    return id if isinstance(id, str) and ID.fullmatch(id) else ""


def opening_of(body: Payload) -> Opening | None:
    """Door.Open as it is understood; None if a member is missing or odd."""
    u, gid, why, at, exp = (body.get("u"), body.get("gid"), body.get("why"), instant(body["ts"]), instant(body["exp"]))
    item, hold_s = body.get("item"), body.get("hold")
    if at is None or exp is None or why not in ("take", "return", "inspect", "service"):
        return None
    if not isinstance(u, int) or not isinstance(gid, str) or not isinstance(item, str | None):
        return None
    return Opening(u, gid, str(why), at, exp, item, hold_s if isinstance(hold_s, int) else None)


def instant(text: object) -> int | None:
    """Epoch seconds of an instant on the wire; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        return epoch(text)
    except ValueError:
        return None


def too_late(at: int, exp: int, now: int, drift_s: int) -> bool:
    """
    Whether a command must not be acted on any more.

    A clock that is off cannot judge it: by what a heartbeat told (`drift_s`), or by the command's own instant.
    """
    return now >= exp or max(abs(drift_s), abs(at - now)) > CLOCK_DRIFT_S_MAX
