"""How a pack is charged, as the default profile of its slot's transactions (SetChargingProfile of every version)."""

from __future__ import annotations

from typing import Any

from csms.base.clock import rfc3339
from csms.domain.commands import LimitSlot

SECONDS_PER_MINUTE = 60
Payload = dict[str, Any]


def profile_16(command: LimitSlot) -> Payload:
    """1.6. A slot has one profile, whose id is the slot's number: a later one replaces it."""
    profile = {"chargingProfileId": command.unit, **_KIND, "chargingSchedule": _schedule(command)}
    return {"connectorId": command.unit, "csChargingProfiles": profile}


def profile_2x(command: LimitSlot) -> Payload:
    """2.0.1 and 2.1, likewise."""
    schedule = {"id": command.unit, **_schedule(command)}
    profile = {"id": command.unit, **_KIND, "chargingSchedule": [schedule]}
    return {"evseId": command.unit, "chargingProfile": profile}


_KIND = {"stackLevel": 0, "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Absolute"}


def _schedule(command: LimitSlot) -> Payload:
    """The last limit has no end, so its minutes do not count."""
    assert command.limits
    periods, begins_s = [], 0
    for watts, minutes in command.limits:
        periods.append({"startPeriod": begins_s, "limit": watts})
        begins_s += minutes * SECONDS_PER_MINUTE
    return {
        "startSchedule": rfc3339(command.begins),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": periods,
    }
