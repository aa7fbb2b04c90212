"""What a meter and a clock can plausibly say: the limits that evidence is judged by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from csms.base.units import SECONDS_PER_HOUR

WH_MAX = 2**62
"""Registers beyond this are no registers: PostgreSQL's bigint holds the difference of any two."""

MAX_POWER_W = 400_000
"""Assumed of a connector whose power nobody told us: the fastest chargers in common use."""

CEILING_PERCENT = 125
"""Energy may exceed full power for the whole time by a quarter (Q-R3): clocks and ratings are inexact."""

TOLERANCE_WH = 10
"""Registers round: an end this little below its start, or above the ceiling, is no fault (Q-M04)."""

ELAPSED_UNKNOWN_S = 86_400
"""Assumed for the ceiling when no clock can be believed: one day."""

AHEAD_S = 300
"""A station's clock may be this far ahead of ours (Q-R4)."""

PLAUSIBLE_FROM = datetime(2015, 1, 1, tzinfo=UTC)
"""No session was reported over OCPP 1.6 or later before this; 1970 is a clock that was never set (Q-K01)."""

TIME_FLAGS = frozenset({"time_missing", "time_too_early", "time_ahead"})
"""Times that were not the station's own tell nothing of how long energy flowed."""


def ceiling_wh(elapsed_s: int | None, max_power_w: int | None) -> int:
    """The most energy a connector can have given in `elapsed_s` (Q-R3); None stands for what nobody knows."""
    seconds = ELAPSED_UNKNOWN_S if elapsed_s is None else max(0, elapsed_s)
    power = MAX_POWER_W if max_power_w is None else max_power_w
    return power * seconds * CEILING_PERCENT // (100 * SECONDS_PER_HOUR) + TOLERANCE_WH


def plausible_time(
    reported: datetime | None, received: datetime, not_before: datetime | None, *, ahead_s: int = AHEAD_S
) -> tuple[datetime, str | None]:
    """
    The time to price by, and the flag when it is not the station's own (Q-R4, Q-K01, Q-K05, Q-K06).

    A `reported` time stands when it lies in [`not_before`, `received` + `ahead_s`]; otherwise
    `received` is taken, with `time_missing`, `time_too_early` or `time_ahead`. `not_before` is the
    station's boot or its last plausible time less its drift; None where neither is known. All are
    aware.
    """
    assert received.tzinfo is not None
    if reported is None:
        return received, "time_missing"
    if reported < (PLAUSIBLE_FROM if not_before is None else max(not_before, PLAUSIBLE_FROM)):
        return received, "time_too_early"
    if reported > received + timedelta(seconds=ahead_s):
        return received, "time_ahead"
    return reported, None
