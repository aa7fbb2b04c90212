"""
Which pack is charged first, and how fast, where the stations of a site may take no more than so much power together.

Least energy to target first: that makes the most packs ready soonest. Planned in steps; at each one the pack that lacks
least is served first, with what its slot and itself can take, the next with what that leaves, and so on. A pack that is
served lacks ever less, so whoever plans again later finds the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from csms.domain import slot_limits
from csms.domain.pack_rows import Pack
from csms.domain.pack_usage import WHOLE
from csms.domain.slot_limits import MINUTES_PER_HOUR, Limits

STEP_MINUTES = 15
STEPS_MAX = 192
"""Two days: what is not ready by then has no forecast."""

Place = tuple[str, int]
"""A station, and the number of a slot there."""


class Slot(NamedTuple):
    """
    A slot that draws on the power of its site.

    `need_wh` None: what is in it, if anything, is not to be charged. The most that the slot and its pack can take is
    None where it is not known. `fixed`: the station cannot be told anything now, and takes this, whatever is planned.
    """

    station_id: str
    unit: int
    need_wh: int | None
    slot_power_w: int | None
    pack_power_w: int | None = None
    fixed: Limits | None = None

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.station_id, self.unit

    def power_w(self, left_w: int | None) -> int | None:
        """What it takes of what is left (None: no limit); None where it takes nobody knows how much."""
        known = [watts for watts in (self.slot_power_w, self.pack_power_w, left_w) if watts is not None]
        return min(known, default=None)


class Charging(NamedTuple):
    """What a slot may take from now on, and in how many minutes its pack is ready; None: nobody knows, or never."""

    limits: Limits
    ready_at: int | None


def need_of(pack: Pack, target_soc: int) -> int | None:
    """
    The Wh that a pack lacks to its target, rounded up.

    None if it is not to be charged: it is faulty, in quarantine, or nobody knows how it is.
    """
    if pack.soc is None or pack.capacity_wh is None or pack.faults or pack.mode == "faulted" or pack.quarantine:
        return None
    soh = WHOLE if pack.soh is None else pack.soh
    return -(-max(0, target_soc - pack.soc) * pack.capacity_wh * soh // WHOLE**2)


def plan(slots: Iterable[Slot], cap_w: int | None) -> dict[Place, Charging]:
    """
    What each slot of a site may take under its cap (None: no limit), whatever order they are given in.

    What is fixed comes off the cap first; if that alone exceeds it, the others get nothing.
    """
    slots = list(slots)
    steps = _steps([slot for slot in slots if slot.fixed is None], [s.fixed for s in slots if s.fixed], cap_w)
    found = {}
    for slot in slots:
        limits = slot.fixed or slot_limits.in_steps(steps.get(slot.place, ()), STEP_MINUTES)
        ready_at = None if slot.need_wh is None else slot_limits.reached_at(limits, slot.need_wh)
        found[slot.place] = Charging(limits, ready_at)
    return found


def _steps(slots: Iterable[Slot], fixed: list[Limits], cap_w: int | None) -> dict[Place, list[int]]:
    """The watts of each slot at every step until all have reached their target."""
    lacking = {slot.place: slot.need_wh * MINUTES_PER_HOUR for slot in slots if slot.need_wh}
    charged = [slot for slot in slots if slot.need_wh and slot.power_w(cap_w)]
    steps: dict[Place, list[int]] = {slot.place: [] for slot in charged}
    for step in range(STEPS_MAX):
        waiting = [slot for slot in charged if lacking[slot.place] > 0]
        if not waiting:
            break
        left_w = cap_w
        if cap_w is not None:
            begins = step * STEP_MINUTES
            taken = sum(slot_limits.most_within(limits, begins, begins + STEP_MINUTES) for limits in fixed)
            left_w = max(0, cap_w - taken)
        waiting.sort(key=lambda slot: (lacking[slot.place], slot.unit, slot.station_id))
        for watts in steps.values():
            watts.append(0)
        for slot in waiting:
            power_w = slot.power_w(left_w)
            assert power_w is not None, "what takes nobody knows how much is not charged"
            steps[slot.place][-1] = power_w
            lacking[slot.place] -= power_w * STEP_MINUTES
            left_w = None if left_w is None else left_w - power_w
    return steps
