"""Charging profiles as a station keeps to them: how many watts are allowed at an instant. All versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charge_points_sim.devices.assets import instant
from charge_points_sim.devices.device import Payload

MAINS_V = 230
"""What an ampere is taken for."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Limits in W, each from so many seconds after `begins` on; none before it, nor after `ends`."""

    id: int
    begins: int
    ends: int | None
    periods: tuple[tuple[int, int], ...]

    def limit_w(self, at: int) -> int | None:
        """What is allowed at an instant; None: it says nothing of it."""
        passed = [limit for start, limit in self.periods if self.begins + start <= at]
        return passed[-1] if passed and (self.ends is None or at < self.ends) else None


def read(payload: Payload, now: int) -> tuple[int, Profile] | None:
    """The connector (0: all) and the profile of SetChargingProfile; None if it cannot be read."""
    profile = payload.get("csChargingProfiles") or payload.get("chargingProfile") or {}
    schedule = profile.get("chargingSchedule")
    schedule = schedule[0] if isinstance(schedule, list) and schedule else schedule
    if not isinstance(schedule, dict) or not schedule.get("chargingSchedulePeriod"):
        return None
    factor = MAINS_V if schedule.get("chargingRateUnit") == "A" else 1
    periods = tuple(
        (int(period["startPeriod"]), int(period["limit"] * factor)) for period in schedule["chargingSchedulePeriod"]
    )
    begins = instant(schedule.get("startSchedule"))
    begins = now if begins is None else begins
    ends = begins + int(schedule["duration"]) if "duration" in schedule else None
    number = profile.get("chargingProfileId", profile.get("id", 0))
    return int(payload.get("connectorId", payload.get("evseId", 0))), Profile(int(number), begins, ends, periods)


def cleared(payload: Payload, profiles: dict[int, Profile]) -> list[int]:
    """The connectors whose profiles ClearChargingProfile means."""
    number = payload.get("chargingProfileId", payload.get("id"))
    criteria: Any = payload.get("chargingProfileCriteria") or payload
    connector = criteria.get("connectorId", criteria.get("evseId"))
    return [u for u, one in profiles.items() if number in (None, one.id) and connector in (None, u)]
