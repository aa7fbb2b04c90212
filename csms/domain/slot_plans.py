"""
What a station was told of how its packs are charged, what still stands of it, and what it has to be told anew.

Told is what changes: another power now, or other powers afterwards. That time passes, or that a pack takes a little
longer than was planned, changes nothing. Times are whole minutes, as limits have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple

from csms.domain import slot_limits
from csms.domain.charging_order import Place
from csms.domain.slot_limits import Limits

BACK_OFF = timedelta(minutes=2)
BACK_OFF_MAX = timedelta(hours=1)
"""Who did not accept is asked again after so long, doubled each time; plans in between do not count on it."""

ABSENT = timedelta(days=1)
"""What a station does not know at all it may know after an update, not in a minute."""

SECONDS_PER_MINUTE = 60

End = Literal["accepted", "refused", "away", "unknown", "absent"]
"""How telling ended; `unknown`: it may have been heard. `absent`: the station has no such thing."""


class Connection(NamedTuple):
    """By which connection a station is here, and when it last booted."""

    epoch: int
    booted_at: datetime | None


class Told(NamedTuple):
    """
    The `number`-th record of what a station was told: for each slot, since when which limits hold.

    `refused`: slots that did not accept, how often, and until when they are left alone. `again_at`: the station was
    away, or did not answer, `failures` times, and is left alone until then, or until it has another connection than
    that of `epoch` (None: whichever it has).
    """

    number: int = 0
    slots: Mapping[int, tuple[datetime, Limits]] = MappingProxyType({})
    refused: Mapping[int, tuple[int, datetime]] = MappingProxyType({})
    failures: int = 0
    again_at: datetime | None = None
    epoch: int | None = None

    def is_left_alone(self, unit: int, epoch: int, now: datetime) -> bool:
        """Whether a slot cannot be told anything now."""
        _, slot_again_at = self.refused.get(unit, (0, now))
        if now < slot_again_at:
            return True
        return self.again_at is not None and now < self.again_at and self.epoch in (None, epoch)

    def standing(self, unit: int, booted_at: datetime | None, now: datetime) -> Limits | None:
        """
        What a slot takes from now on by what it was told; None: it was told nothing, and takes what it can.

        Not every station keeps what it was told through a boot, so none is trusted to.
        """
        begins, limits = self.slots.get(unit, (None, ()))
        if begins is None or (booted_at is not None and begins < booted_at):
            return None
        return slot_limits.still(limits, int((now - begins).total_seconds()) // SECONDS_PER_MINUTE)


class Change(NamedTuple):
    """
    What a slot is to be told. `falls`: it takes no more by it, now, than before.

    `lifts`: its site is not limited any more, so it may take what it can, as if it had been told nothing.
    """

    station_id: str
    unit: int
    limits: Limits
    falls: bool = False
    lifts: bool = False


def change(station_id: str, unit: int, standing: Limits | None, planned: Limits) -> Change | None:
    """What a slot must be told for a plan, None where what it was told still says the same."""
    if standing is None:
        return Change(station_id, unit, planned, falls=True)
    if slot_limits.powers(standing) == slot_limits.powers(planned):
        return None
    return Change(station_id, unit, planned, falls=planned[0][0] <= standing[0][0])


def changes(standing: Mapping[Place, Limits | None], planned: Mapping[Place, Limits], cap_w: int) -> list[Change]:
    """
    What must be told to the slots that can be told something (`standing`), for a plan of all of them.

    As little as possible. But where what stands and what is told would together exceed the cap at some time, because
    they come from different plans, all is told that differs in anything.
    """
    found = {
        place: new for place, before in standing.items() if (new := change(*place, before, planned[place])) is not None
    }
    after = {**planned, **{place: before for place, before in standing.items() if before and place not in found}}
    if slot_limits.together_above(after.values(), planned.values(), cap_w):
        for place, before in standing.items():
            if place not in found and before is not None and before != planned[place]:
                found[place] = Change(*place, planned[place], falls=planned[place][0][0] <= before[0][0])
    return list(found.values())


def told_now(told: Told, ends: Iterable[tuple[Change, End]], begins: datetime, now: datetime, at: Connection) -> Told:
    """
    What a station has been told after this.

    Where nobody knows whether a slot heard it, the higher of both limits is taken to hold, so that nobody else gets
    what it may be taking.
    """
    slots, refused, last = dict(told.slots), dict(told.refused), "accepted"
    for new, last in ends:
        refused_before, _ = refused.pop(new.unit, (0, now))
        match last:
            case "accepted" if new.lifts:
                slots.pop(new.unit, None)
            case "accepted":
                slots[new.unit] = begins, new.limits
            case "refused":
                refused[new.unit] = refused_before + 1, now + _pause(refused_before)
            case "unknown":
                before = told.standing(new.unit, at.booted_at, begins)
                if before is not None:
                    slots[new.unit] = begins, slot_limits.highest(before, new.limits)
    heard = Told(told.number + 1, slots, refused)
    match last:
        case "away" | "unknown":
            again_at = now + _pause(told.failures)
            return heard._replace(failures=told.failures + 1, again_at=again_at, epoch=at.epoch)
        case "absent":
            return heard._replace(failures=told.failures + 1, again_at=now + ABSENT)
        case _:
            return heard


def _pause(failures: int) -> timedelta:
    return min(BACK_OFF * (1 << min(failures, 10)), BACK_OFF_MAX)
