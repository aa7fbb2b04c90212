"""
How much energy a driver took from a pack: what its level says, held against what its battery counted.

shared/stations.md section 4. A level is a percentage and coarse; a counter can be reset, or lie. Where both are there
and disagree, the lower one is billed and people are told: nobody ever pays for a guess.
"""

from __future__ import annotations

from typing import NamedTuple

from csms.base.units import SECONDS_PER_HOUR
from csms.domain.pack_rows import Level
from csms.domain.tariff_own import Basis

WHOLE = 10_000
"""100 % in 1/100 %."""

TOLERANCE_PERCENT_OF_CAPACITY, TOLERANCE_PERCENT = 5, 15
"""Level and counter may be apart by the larger one: so much of the capacity, or of the larger of the two."""

POWER_C_MAX = 4
"""No pack gives or takes its capacity more often than so many times an hour: what counted more is no counter."""

ESTIMATED, MISMATCH = "usage_estimated", "usage_mismatch"
"""Flags: its counters were told both times, and say nothing; they say something else."""


class PackUsage(NamedTuple):
    """Whole Wh that are billed, and what is odd about them; `soc_wh` and `counted_wh` are the two witnesses."""

    wh: int
    flags: tuple[str, ...]
    soc_wh: int
    counted_wh: int | None


def usage(out: Level, back: Level, basis: Basis) -> PackUsage:
    """
    What was taken from a pack between the level at its issue and the one at its return.

    By its level: `floor(max(0, soc_out - soc_in) * capacity * soh_out / 1e8)`, with the health at issue. `net` counts
    what was charged elsewhere against it, `throughput` does not. Never negative, never more than the pack can hold;
    for `throughput` than it counted. Without counters, as in BatterySwap of 2.1, its level alone counts.
    """
    capacity_wh, soh = out.capacity_wh or back.capacity_wh or 0, WHOLE if out.soh is None else out.soh
    soc_wh = max(0, out.soc - back.soc) * capacity_wh * soh // WHOLE**2
    counted = _counted(out, back, capacity_wh)
    if counted is None:
        counts = out.discharge_wh is not None and back.discharge_wh is not None
        return PackUsage(soc_wh, (ESTIMATED,) if counts else (), soc_wh, None)
    given_wh, net_wh = counted
    holds_wh = capacity_wh * soh // WHOLE
    net_wh = min(net_wh, holds_wh)
    if abs(net_wh - soc_wh) * 100 > tolerance(capacity_wh, soc_wh, net_wh):
        return PackUsage(min(soc_wh, net_wh), (MISMATCH,), soc_wh, net_wh)
    match basis:
        case "soc":
            wh = soc_wh
        case "net":
            wh = net_wh
        case "throughput":
            wh = given_wh
    return PackUsage(wh, (), soc_wh, net_wh)


def tolerance(capacity_wh: int, soc_wh: int, net_wh: int) -> int:
    """How far the two witnesses may be apart, in 1/100 Wh."""
    return max(TOLERANCE_PERCENT_OF_CAPACITY * capacity_wh, TOLERANCE_PERCENT * max(soc_wh, net_wh))


def _counted(out: Level, back: Level, capacity_wh: int) -> tuple[int, int] | None:
    """(given, given less taken) by its counters; None where they began anew, went back, or say the impossible."""
    if out.discharge_wh is None or back.discharge_wh is None or out.epoch != back.epoch:
        return None
    given = back.discharge_wh - out.discharge_wh
    taken = 0
    if out.charge_wh is not None and back.charge_wh is not None:
        taken = back.charge_wh - out.charge_wh
    seconds = max(0, int((back.at - out.at).total_seconds()))
    # a counter that is told in whole Wh, at times told in whole seconds, may be one of each ahead
    most = POWER_C_MAX * capacity_wh * (seconds + SECONDS_PER_HOUR) // SECONDS_PER_HOUR
    if given < 0 or taken < 0 or max(given, taken) > most:
        return None
    return given, max(0, given - taken)
