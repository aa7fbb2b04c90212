"""
A battery station without I/O: a cabinet whose slots charge packs, and exchange them.

People push packs in and pull packs out (`ask`, `put`, `take`); what the system asks and hears of it differs by version,
what people see does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from charge_points_sim.devices.assets import Error
from charge_points_sim.devices.cabinet import Cabinet
from charge_points_sim.devices.device import Device, Payload, Status
from charge_points_sim.devices.doors import refusal
from charge_points_sim.devices.judging import RULES, Rules
from charge_points_sim.devices.memory import Event, Memory
from charge_points_sim.devices.pack import Pack
from charge_points_sim.devices.slot_calls import SlotCalls
from charge_points_sim.devices.slot_charging import SlotCharging
from charge_points_sim.devices.slots import Slot, Way
from charge_points_sim.devices.swap_orders import orders
from charge_points_sim.devices.swap_words import What, tell
from charge_points_sim.devices.swaps import Handout, Swap, Swaps
from charge_points_sim.faults import CALM, Faults


@dataclass(frozen=True, slots=True)
class Traits:
    """
    How a station is made: it waits `take_s` for hands, tells of its packs every `state_every_s`, charges with up to
    `max_power_w` a slot, and swaps `packs_per_swap` where nobody says how many.

    `native_only` (2.1): it knows no vendor's words, and hands out the fullest packs as soon as BatteryIn is answered.
    """

    take_s: int = 60
    state_every_s: int = 60
    max_power_w: int = 1_000
    packs_per_swap: int = 1
    native_only: bool = False


class Asked(NamedTuple):
    """What became of a wish for a swap: its number and the slots that are unlocked for packs, or why there are none."""

    rid: int
    units: list[int]
    err: Error | None


class BatteryStation(Cabinet[Slot]):
    """A cabinet of slots; as `Cabinet`. `swaps` is what it kept of a life before."""

    kind = "battery_station"
    capabilities = ("battery_data", "slot_charging")

    def __init__(
        self,
        id: str,
        device: Device,
        slots: Iterable[Slot],
        clock: Callable[[], int],
        memory: Memory | None = None,
        rules: Rules = RULES,
        faults: Faults = CALM,
        new_ref: Callable[[], str] = str,
        traits: Traits = Traits(),
        swaps: Swaps | None = None,
    ) -> None:
        super().__init__(id, device, slots, clock, memory, rules, faults, new_ref)
        assert device.version == "2.1" or not traits.native_only, "only 2.1 has words of its own for swaps"
        self.traits = traits
        self.swaps = swaps or Swaps()
        self.native = device.version == "2.1"
        self.charging = SlotCharging(self.station, self.doors, self.native, self._say, self.now)
        self.charging.max_power_w, self.charging.every_s = traits.max_power_w, traits.state_every_s
        self.charging.tells_states = not traits.native_only
        self.orders |= orders(self)
        self.outbox.accepted = self._stored
        self._calls = SlotCalls(self)
        self._dark = False

    @property
    def slots(self) -> dict[int, Slot]:
        """Its slots by number."""
        return self.doors

    @property
    def empty(self) -> list[int]:
        """The slots that would take a pack."""
        return [u for u, slot in self.slots.items() if refusal(slot, "return") is None]

    @property
    def full(self) -> list[int]:
        """The slots with a pack to give, the fullest first."""
        fit = [s for s in self.slots.values() if s.pack and not s.pack.faults and refusal(s, "take") is None]
        return [s.number for s in sorted(fit, key=lambda s: -s.pack.said_soc if s.pack else 0)]

    def ask(self, count: int | None = None, token: str | None = None) -> Asked:
        """Somebody wants to swap so many packs, and may hold a card to the station: slots are unlocked for them."""
        wanted = count or self.traits.packs_per_swap
        for u, slot in self.slots.items():
            if slot.jam == "noticed" and slot.pack is None:
                self.notice_jam(self.slots[u], None)
        error = self.no_room(wanted)
        if error is not None:
            return Asked(-1, [], error)
        swap = self.swaps.begin(token)
        units = self.empty[:wanted]
        self.await_packs(swap, units)
        return Asked(swap.rid, units, None)

    def put(self, u: int, pack: Pack) -> bool:
        """Somebody pushes a pack into a slot; whether it went in: it does not where a jam was not noticed."""
        slot = self.slots[u]
        assert slot.pack is None, f"there is no room in slot {u}"
        swap = self.swaps.filling(u)
        if not slot.open and (slot.offered != "in" or slot.stuck or swap is None or self.now() >= swap.until):
            return False
        self.charging.run()
        by_door = slot.open
        seen = slot.hold(pack)
        if by_door:
            if seen:
                self._tell("Item.Placed", slot, item=pack.serial)
                self.charging.state(slot)
        else:
            assert swap is not None
            swap.into.remove(u)
            swap.put.append(u)
            self._show(slot)
            if not swap.into:
                self._tell_in(swap)
            self.charging.begin(slot)
        return True

    def insert(self, *packs: Pack, token: str | None = None) -> int:
        """Somebody asks for a swap and pushes these packs in; the swap's number. For stories where nothing jams."""
        asked = self.ask(len(packs), token)
        assert asked.err is None, asked.err
        for u, pack in zip(asked.units, packs, strict=True):
            assert self.put(u, pack), f"slot {u} did not open"
        return asked.rid

    def offered(self, rid: int | None = None) -> list[int]:
        """The slots, of one swap or of any, whose packs can be pulled out now."""
        now = self.now()
        handouts = [one for one in self.swaps.handouts if rid in (None, one.rid) and now < one.until]
        return [u for one in handouts for u in one.units if self.slots[u].offered == "out" and not self.slots[u].stuck]

    def take(self, u: int) -> Pack:
        """Somebody pulls the pack out of a slot that is offered, or that stands open."""
        slot, pack = self.slots[u], self.slots[u].pack
        assert pack is not None, f"there is nothing to take from slot {u}"
        assert slot.open or u in self.offered(), f"slot {u} is locked"
        self.charging.run()
        battery, by_door = slot.battery(), slot.open
        self.charging.end(slot)
        seen = slot.hold(None)
        if by_door:
            if seen:
                self._tell("Item.Taken", slot, item=pack.serial)
            return pack
        handout = self.swaps.handout(u)
        assert handout is not None
        handout.units.remove(u)
        handout.taken.append({"u": u, "battery": battery})
        self._show(slot)
        if not handout.units:
            self._finish(handout)
        return pack

    def standing(self, why: str) -> list[int]:
        """The slots that a pack can be taken from, or put into, by Door.Open or as part of a swap."""
        waiting = [u for u, slot in self.slots.items() if slot.offered == "in" and not slot.stuck]
        return super().standing(why) + (self.offered() if why == "take" else waiting)

    def tick(self) -> None:
        """Time passes: packs are charged; what nobody put in or took is locked again, and told."""
        if self._dark:
            return
        now = self.now()
        for swap in list(self.swaps.known.values()):
            if swap.into and now >= swap.until:
                self._lock(swap.into)
                swap.into = []
                if swap.put:
                    self._tell_in(swap)
        for handout in list(self.swaps.handouts):
            if now >= handout.until:
                self._finish(handout)
        self.charging.tick()
        super().tick()
        if self.station.booted and self.outbox.idle:  # a pack that came by a door is charged once it was told of
            for slot in self.slots.values():
                if not slot.loose and not slot.halted:
                    self.charging.begin(slot)

    def lose_power(self) -> None:
        """As every cabinet; all slots lock, and nothing is charged. It goes on once it is connected again."""
        super().lose_power()
        self.swaps = Swaps.load(self.swaps.dump())
        self.charging.stop_time()
        for slot in self.slots.values():
            slot.lock()
            self.charging.end(slot, "power_loss")
        self._dark = True

    def release(self, rid: int, units: list[int], command: str) -> None:
        """Unlocks slots for their packs to be taken, as part of a swap."""
        self.swaps.handouts.append(Handout(rid, list(units), self.now() + self.traits.take_s))
        self._offer(units, "out", command)

    def no_room(self, wanted: int) -> Error | None:
        """Why no swap can begin now: one person at a time, and a slot for each pack."""
        if any(slot.offered for slot in self.slots.values()):
            return "Busy"
        return "NoEmptySlot" if len(self.empty) < wanted else None

    def await_packs(self, swap: Swap, units: list[int], command: str = "") -> None:
        """Unlocks slots for the packs of a swap; `command`: the system asked for it."""
        swap.into, swap.until = list(units), self.now() + self.traits.take_s
        self._offer(units, "in", command)

    def _offer(self, units: Iterable[int], way: Way, command: str = "") -> None:
        """Unlocks slots for hands. A jam that nobody notices is seen by nothing but that nobody comes."""
        self.charging.run()
        for u in units:
            slot = self.slots[u]
            slot.offered = way
            slot.stuck = slot.jam is not None or self.station.line.faults.jams()
            slot.power_w = 0
            if command:
                self.unlocked.append((u, command, self._clock()))

    def _lock(self, units: Iterable[int]) -> None:
        for u in units:
            self.slots[u].lock()

    def _tell_in(self, swap: Swap) -> None:
        swap.told = True
        self._swapped("in", swap, [{"u": u, "battery": self.slots[u].battery()} for u in swap.put])

    def _finish(self, handout: Handout) -> None:
        """All is taken, or it took too long: what was taken is told, and what was not."""
        self.swaps.handouts.remove(handout)
        self._lock(handout.units)
        swap = self.swaps.of(handout.rid)
        if handout.taken:
            self._swapped("out", swap, handout.taken)
        if handout.units:
            self._swapped("timeout", swap, [{"u": u, "battery": self.slots[u].battery()} for u in handout.units])

    def _swapped(self, what: What, swap: Swap, slots: list[dict[str, Any]]) -> None:
        tell(self.outbox, self.native, what, swap, slots)

    def _stored(self, event: Event) -> None:
        """A station without other words takes the answer to BatteryIn for leave to hand out as many."""
        if not self.traits.native_only or event.body.get("eventType") != "BatteryIn":
            return
        swap = self.swaps.of(event.body["requestId"])
        ready = [u for u in self.full if u not in swap.put][: len(swap.put)]
        self.release(swap.rid, ready if len(ready) == len(swap.put) else swap.put, f"rid-{swap.rid}")

    def _status(self, door: Slot) -> Status:
        return self.charging.status(door)

    def _say(self, message: str, body: dict[str, Any]) -> None:
        if not self.traits.native_only:
            super()._say(message, body)

    def _introduce(self) -> None:
        """As every cabinet. After a power cut it goes on where it was; packs in slots are charged anew."""
        self.charging.start_time()
        if self._dark:
            self._dark = False
            now = self.now()
            for swap in self.swaps.known.values():
                self._offer([u for u in swap.into if now < swap.until], "in")
            for handout in self.swaps.handouts:
                self._offer([u for u in handout.units if now < handout.until], "out")
        if self.traits.native_only:
            self.show()
            self.station.beat()
            self.outbox.introduce()
        else:
            super()._introduce()
        for slot in self.slots.values():
            self.charging.begin(slot)

    def _hears(self, action: str, payload: Payload) -> str | None:
        return self._calls.hear(action, payload) or super()._hears(action, payload)
