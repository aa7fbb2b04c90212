"""
The charging of the packs in a station's slots, and how it is told.

2.1 has transactions without a driver for it (block S04), from a pack's coming to its going; Battery.State tells what
they have no place for. Both are told every so often, and not while the station is offline: the newest state is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from charge_points_sim.devices import profiles
from charge_points_sim.devices.device import Payload, Status, StopReason
from charge_points_sim.devices.doors import shown
from charge_points_sim.devices.pack import FULL
from charge_points_sim.devices.profiles import Profile
from charge_points_sim.devices.slots import Slot
from charge_points_sim.session import NOBODY
from charge_points_sim.station import Station

STEP_S = 60
"""Limits are looked at so often."""
SECONDS_PER_HOUR = 3_600


class SlotCharging:
    """`native`: told by transactions. `say` tells an event of `org.csms.assets`."""

    def __init__(
        self,
        station: Station,
        slots: Mapping[int, Slot],
        native: bool,
        say: Callable[[str, dict[str, Any]], None],
        clock: Callable[[], int],
    ) -> None:
        self.profiles: dict[int, Profile] = {}
        """By slot; 0: of all slots that have none of their own."""
        self.target_soc = FULL
        self.max_power_w = 1_000
        self.every_s = 60
        self.tells_states = True
        """Not a station that knows no vendor's words."""
        self._station = station
        self._slots = slots
        self._native = native
        self._say = say
        self._clock = clock
        self._at: int | None = None
        """Until when packs were charged; None without power."""
        self._told_at: int | None = None
        station.asked_to_stop = lambda session: self._halt(slots[session.connector])

    def begin(self, slot: Slot) -> None:
        """A pack is in the slot, after it was put there or after the station booted."""
        if self._native and slot.pack is not None and self._station.connectors[slot.number].session is None:
            self._station.start(slot.number, NOBODY, soc=slot.pack.said_soc)

    def end(self, slot: Slot, reason: StopReason = "departed") -> None:
        """The pack goes, or the power."""
        session = self._station.connectors[slot.number].session
        if session is not None:
            session.soc = None if slot.pack is None else slot.pack.said_soc
            self._station.end(session, self._register(slot), reason=reason)

    def stop_time(self) -> None:
        """The power is gone: nothing is charged until `start_time`."""
        self.run()
        self._at = None
        for slot in self._slots.values():
            slot.power_w = 0

    def start_time(self) -> None:
        """The power is there."""
        if self._at is None:
            self._at = self._clock()

    def tick(self) -> None:
        """Time has passed: packs are charged, and told of when it is time."""
        self.run()
        now = self._clock()
        if self._told_at is None or now - self._told_at >= self.every_s:
            self._told_at = now
            self.tell()

    def run(self) -> None:
        """Packs are charged until now. Before anything changes: what was so until now counts as it was."""
        if self._at is None:
            return
        at, now = self._at, self._clock()
        while at < now:
            step = min(STEP_S, now - at)
            for slot in self._slots.values():
                self._charge(slot, at, step)
            at += step
        self._at = now
        for slot in self._slots.values():
            self._set_power(slot, now)

    def tell(self) -> None:
        """How each pack is."""
        if not self._station.booted or not self._station.line.online:
            return
        for slot in self._slots.values():
            session = self._station.connectors[slot.number].session
            if slot.pack is None:
                continue
            if session is not None:
                session.soc = slot.pack.said_soc
                self._station.meter(session, self._register(slot), power_w=slot.power_w)
            self.state(slot)

    def state(self, slot: Slot) -> None:
        """How one pack is; a transaction tells no more of it than its level."""
        if self.tells_states:
            self._say("Battery.State", slot.battery() | {"source": "station", "u": slot.number})

    def status(self, slot: Slot) -> Status:
        """What the slot shows."""
        status = shown(slot, self._station.device.version)
        if status != "occupied" or slot.pack is None:
            return status
        if slot.power_w:
            return "charging"
        return "full" if slot.pack.room_wh(self.target_soc) == 0 else "occupied"

    def set_profile(self, payload: Payload) -> bool:
        """SetChargingProfile; a later one of the same slot replaces it."""
        self.run()
        found = profiles.read(payload, self._clock())
        if found is None or found[0] not in (0, *self._slots):
            return False
        self.profiles[found[0]] = found[1]
        return True

    def clear_profiles(self, payload: Payload) -> bool:
        """ClearChargingProfile; whether there was one."""
        self.run()
        gone = profiles.cleared(payload, self.profiles)
        for u in gone:
            del self.profiles[u]
        return bool(gone)

    def _charge(self, slot: Slot, at: int, seconds: int) -> None:
        self._set_power(slot, at)
        if slot.pack is None or not slot.power_w:
            return
        wh, slot.rest_ws = divmod(slot.rest_ws + slot.power_w * seconds, SECONDS_PER_HOUR)
        taken = slot.pack.charge(wh, self.target_soc)
        self._station.connectors[slot.number].register_wh += taken
        if taken < wh:
            slot.rest_ws = 0

    def _set_power(self, slot: Slot, at: int) -> None:
        """As much as is allowed; a change between some and none is told."""
        before, slot.power_w = slot.power_w, self._power_w(slot, at)
        session = self._station.connectors[slot.number].session
        if session is not None and session.suspended == bool(slot.power_w):
            session.suspended = not slot.power_w
            session.soc = None if slot.pack is None else slot.pack.said_soc
            session.register_wh = self._register(slot)
            self._station.tell(session, "resumed")
        if bool(before) != bool(slot.power_w) and self._station.booted and slot.pack is not None:
            self._station.show(slot.number, self.status(slot))

    def _power_w(self, slot: Slot, at: int) -> int:
        pack = slot.pack
        if pack is None or pack.faults or slot.halted or slot.out_of_service or slot.loose:
            return 0
        if pack.room_wh(self.target_soc) == 0:
            return 0
        profile = self.profiles.get(slot.number) or self.profiles.get(0)
        limit = None if profile is None else profile.limit_w(at)
        return self.max_power_w if limit is None else min(self.max_power_w, limit)

    def _halt(self, slot: Slot) -> None:
        """The system ends the transaction: the pack is charged no more."""
        slot.halted, slot.power_w = True, 0
        self.end(slot, "remote")

    def _register(self, slot: Slot) -> int:
        return self._station.connectors[slot.number].register_wh
