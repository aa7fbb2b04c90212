"""A battery pack: what is in it, what its BMS says of it, and what it has been through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

FULL = 10_000
"""100 %, in 1/100 %."""
WH = FULL * FULL
"""What is in a pack is counted in parts of a Wh: capacity in Wh x health in 1/100 % x charge in 1/100 %."""
EMPTY_MV, SPAN_MV = 44_000, 10_000
"""Its voltage when it is empty, and by how much it rises until it is full."""

Mode = Literal["idle", "charging", "discharging", "faulted"]


@dataclass(slots=True, kw_only=True)
class Pack:
    """
    One pack, whose BMS tells `serial`; `code` is printed on it (the serial, where nothing else is said).

    Levels are in 1/100 %. Made with `soc` and `soh`; what it holds is then kept without rounding. `soc_error` is by
    how much its BMS is wrong about the charge. `epoch` changes whenever the counters begin anew.
    """

    serial: str
    code: str = ""
    capacity_wh: int = 1_500
    soc: int = 9_500
    soh: int = 9_500
    soc_error: int = 0
    temp: int = 25
    cycles: int = 100
    discharge_wh: int = 0
    charge_wh: int = 0
    epoch: int = 1
    made: str | None = "2025-03-01"
    faults: list[str] = field(default_factory=list)
    _level: int = field(init=False)
    _cycle_wh: int = field(init=False, default=0)
    """What was charged of the next full equivalent."""

    def __post_init__(self) -> None:
        self.code = self.code or self.serial
        self._level = self.capacity_wh * self.soh * self.soc

    @property
    def wh(self) -> int:
        """The whole Wh that it can give."""
        return self._level // WH

    @property
    def said_soc(self) -> int:
        """What its BMS says of the charge."""
        return max(0, min(FULL, self.soc + self.soc_error))

    def room_wh(self, soc: int = FULL) -> int:
        """The whole Wh that it takes until its charge is `soc`."""
        return max(0, self.capacity_wh * self.soh * soc - self._level) // WH

    def ride(self, wh: int) -> int:
        """Gives so much energy, or what it has; the Wh that it gave."""
        given = min(wh, self.wh)
        self.discharge_wh += given
        self._move(-given)
        return given

    def charge(self, wh: int, target_soc: int = FULL) -> int:
        """Takes so much energy, or what there is room for; the Wh that it took. A cycle is its capacity once."""
        taken = min(wh, self.room_wh(target_soc))
        self.charge_wh += taken
        more, self._cycle_wh = divmod(self._cycle_wh + taken, self.capacity_wh)
        self.cycles += more
        self._move(taken)
        return taken

    def reset_counters(self) -> None:
        """Its BMS was replaced or reset: counters begin anew."""
        self.discharge_wh = self.charge_wh = 0
        self.epoch += 1

    def age(self, soh: int) -> None:
        """Its health is `soh` now; what it holds beyond that is lost."""
        self.soh = soh
        self._level = min(self._level, self.capacity_wh * soh * FULL)
        self._move(0)

    def state(self, mode: Mode = "idle", power_w: int = 0) -> dict[str, Any]:
        """What its BMS says, as the object `battery` of `org.csms.assets`; a pack with a fault is in no other mode."""
        mv = EMPTY_MV + SPAN_MV * self.soc // FULL
        told: dict[str, Any] = {
            "serial": self.serial,
            "soc": self.said_soc,
            "soh": self.soh,
            "mv": mv,
            "ma": power_w * 1_000_000 // mv,
            "temp": self.temp,
            "cycles": self.cycles,
            "dischargeWh": self.discharge_wh,
            "chargeWh": self.charge_wh,
            "epoch": self.epoch,
            "capacity": self.capacity_wh,
            "faults": list(self.faults),
            "mode": "faulted" if self.faults else mode,
        }
        return told if self.made is None else told | {"made": self.made}

    def _move(self, wh: int) -> None:
        self._level += wh * WH
        self.soc = self._level // (self.capacity_wh * self.soh) if self.soh else 0
