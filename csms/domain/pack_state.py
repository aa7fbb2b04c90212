"""
How a pack is, as its battery says (levels in 1/100 %).

Apart from the events that carry it, because snapshots do, too.
"""

from __future__ import annotations

from datetime import date
from typing import Literal, NamedTuple

Mode = Literal["idle", "charging", "discharging", "faulted"]
Source = Literal["station", "terminal"]
"""Who measured a pack: the station it stands in, or a driver's terminal, which is believed less."""


class NoLevel(NamedTuple):
    """A pack that does not say how full it is, or says the impossible: what else it says of itself."""

    serial: str
    soh: int | None = None
    made: date | None = None


class PackState(NamedTuple):
    """
    What a pack says of itself; None where it does not say.

    `soc` and `soh` in 1/100 %, `mv` mV, `ma` mA (positive while it is charged), `temp` °C, counters and capacity Wh.
    The counters begin anew whenever `epoch` changes. `faults` None: it does not say whether it has any.
    """

    serial: str
    soc: int
    soh: int | None = None
    mv: int | None = None
    ma: int | None = None
    temp: int | None = None
    cycles: int | None = None
    discharge_wh: int | None = None
    charge_wh: int | None = None
    epoch: int | None = None
    capacity_wh: int | None = None
    made: date | None = None
    faults: tuple[str, ...] | None = None
    mode: Mode | None = None
