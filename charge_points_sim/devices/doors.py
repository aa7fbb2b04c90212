"""The doors of a cabinet: lock, door sensor, presence sensor, and what is really inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from charge_points_sim.devices.assets import DoorState, Error
from charge_points_sim.devices.device import Status

Jam = Literal["noticed", "silent"]
"""A jammed door stays shut. `noticed`: the lock says so, and the opening is refused; `silent`: nobody knows."""
AJAR_AFTER_S = 60
HOLD_S = 10
"""How long a lock stays released for somebody to pull the door, unless the system says."""


@dataclass(slots=True)
class Door:
    """
    Door `number` and the code of the item inside. `seen` is what the controller's sensor last made of it.

    A `blind` presence sensor sees nothing change. A door that `springs` opens by itself when it is unlocked;
    another must be pulled while the lock is released.
    """

    number: int
    item: str | None = None
    open: bool = False
    forced: bool = False
    jam: Jam | None = None
    blind: bool = False
    out_of_service: bool = False
    reserved: bool = False
    springs: bool = True
    seen: str | None = None
    gid: str | None = None
    """The grant by which it was opened, until it is closed."""
    opened_at: int = 0
    released_until: int = 0
    """Until when it may be pulled open."""
    ajar: bool = False
    jam_known: bool = False

    def __post_init__(self) -> None:
        self.seen = self.item if self.seen is None else self.seen

    @property
    def state(self) -> DoorState:
        """What its sensors say."""
        if self.jam_known:
            return "jammed"
        if not self.open:
            return "closed"
        return "forced" if self.forced else "ajar" if self.ajar else "open"

    @property
    def loose(self) -> bool:
        """Whether it is unlocked already."""
        return self.open

    def unlock(self, gid: str | None, at: int) -> None:
        """The door springs open, by a grant or (None) by force."""
        self.open, self.forced, self.ajar = True, gid is None, False
        self.gid, self.opened_at = gid, at
        self.jam_known = False

    def shut(self) -> None:
        """Closed, and locked."""
        self.open = self.forced = self.ajar = False

    def change(self, item: str | None) -> bool:
        """The item inside is another now; whether the sensor saw it."""
        self.item = item
        if not self.blind:
            self.seen = item
        return not self.blind

    def unit(self) -> dict[str, Any]:
        """Its line in Unit.Snapshot."""
        unit: dict[str, Any] = {"u": self.number, "door": self.state, "has": self.seen is not None}
        if self.seen is not None:
            unit["item"] = self.seen
        if self.out_of_service:
            unit["oos"] = True
        return unit


def refusal(door: Door | None, why: str, item: str | None = None) -> Error | None:
    """Why this door is not opened, as far as its controller knows."""
    if door is None:
        return "UnknownUnit"
    if door.out_of_service:
        return "UnitFaulted"
    if door.loose:
        return "DoorAlreadyOpen"
    if door.jam == "noticed":
        return "DoorJammed"
    if why == "take":
        if door.seen is None:
            return "UnitEmpty"
        if item not in (None, door.seen):
            return "ItemMismatch"
    if why == "return" and door.seen is not None:
        return "UnitOccupied"
    return None


def shown(door: Door, version: str) -> Status:
    """The connector status of a door. Only 1.6 has a word to spare for an open one."""
    if door.out_of_service:
        return "unavailable"
    if door.jam_known:
        return "jammed"
    if door.open and version == "1.6":
        return "open"
    if door.reserved:
        return "reserved"
    return "available" if door.seen is None else "occupied"
