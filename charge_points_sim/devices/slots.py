"""The slots of a battery station: each is a door that may have a pack behind it, and charges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.pack import Mode, Pack

Way = Literal["in", "out"]


@dataclass(slots=True)
class Slot(Door):
    """
    Slot `number` and the `pack` in it.

    A swap unlocks it for one pack to be pushed in or pulled out (`offered`), which locks it again. A silent jam leaves
    it `stuck`: the controller believes that it is unlocked. By Door.Open it opens as any door does.
    """

    pack: Pack | None = None
    offered: Way | None = None
    stuck: bool = False
    power_w: int = 0
    """What its pack is charged with now."""
    rest_ws: int = 0
    """Energy drawn that makes no whole Wh yet."""
    halted: bool = False
    """The system stopped the charging of this pack."""

    def __post_init__(self) -> None:
        self.item = None if self.pack is None else self.pack.serial
        self.seen = self.item

    @property
    def loose(self) -> bool:
        """Whether it is unlocked already."""
        return self.open or self.offered is not None

    @property
    def mode(self) -> Mode:
        """What its pack does, as far as it has no fault."""
        return "charging" if self.power_w else "idle"

    def hold(self, pack: Pack | None) -> bool:
        """Another pack is in it now, or none; whether the sensor saw it."""
        self.pack = pack
        self.offered, self.stuck, self.halted = None, False, False
        self.power_w = self.rest_ws = 0
        return self.change(None if pack is None else pack.serial)

    def lock(self) -> None:
        """Nobody took what was offered."""
        self.offered, self.stuck = None, False

    def battery(self) -> dict[str, Any]:
        """What its pack says."""
        assert self.pack is not None, f"there is no pack in slot {self.number}"
        return self.pack.state(self.mode, self.power_w)

    def unit(self) -> dict[str, Any]:
        """Its line in Unit.Snapshot."""
        unit = Door.unit(self)
        unit.pop("item", None)
        return unit | {"battery": self.battery()} if self.pack is not None else unit
