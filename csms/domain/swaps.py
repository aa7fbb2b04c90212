"""
Swaps: visits at a battery station, packs in and packs out, known by (station, number).

authorised -> (packs in) -> unidentified | awaiting_payment | releasing -> completed | returned | aborted. `orphaned`: a
pack left and none was put in. In, out and timeout are told in any order; a repeat changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from csms.domain import custody, packs
from csms.domain.asset_events import AssetAnswer
from csms.domain.assets import Key, put_pack, put_swap
from csms.domain.events import RECORDED, Outcome
from csms.domain.heard import again, follow, heard, key_of, record
from csms.domain.pack_events import PackJudged, PacksMoved, PackStated, SlotShown
from csms.domain.pack_rows import Swap
from csms.domain.rental import finish
from csms.domain.swap_asks import BEGIN, told
from csms.domain.swap_in import put_in
from csms.domain.swap_out import locked_again, taken_out
from csms.domain.swap_pay import AWAIT
from csms.domain.swap_state import move
from csms.domain.world import Changes, World

SAME_VISIT = timedelta(hours=1)
"""What leaves so long after a swap is over belongs to it still; packs that are put in begin another."""

KINDS = {"in": "Battery.Inserted", "out": "Battery.Released", "timeout": "Battery.ReleaseTimeout"}
Teller = Callable[[World, Changes, Swap, PacksMoved, Key], tuple[Swap, str | None]]
TELLERS: Mapping[str, Teller] = {"in": put_in, "out": taken_out, "timeout": locked_again}


def moved(world: World, changes: Changes, event: PacksMoved) -> Outcome:
    """Packs were put in, taken out, or locked again. A repeat changes nothing and gets the answer as it stands now."""
    if (known := heard(world, event)) is not None:
        swap = _swap_of(world, event, key_of(world, event)[0])
        return again(known if swap is None else told(world, swap, known.error))
    key = key_of(world, event)
    swap = _swap_of(world, event, key[0]) or _new(world, changes, event, key[0])
    swap, error = TELLERS[event.what](world, changes, swap, event, key)
    _over_by_now(world, changes, world.assets.swaps[swap.id], event.received_at)
    first = event.slots[0]
    return record(
        world, changes, event, KINDS[event.what], told(world, world.assets.swaps[swap.id], error), unit=first.unit,
        item=packs.code_of(world.assets, first.pack.serial) or first.pack.serial,
    )  # fmt: skip


def _swap_of(world: World, event: PacksMoved, at: datetime) -> Swap | None:
    """
    The swap of this number that went on at that time; numbers come again, when a station has lost its memory.

    Its first report may not be the one that was told first: then it begins a little earlier than was known.
    """
    found = sorted(world.assets.swaps.of("rid", (event.station_id, event.rid)), key=lambda s: (s.opened_at, s.id))
    begun = [swap for swap in found if swap.opened_at <= at]
    if begun and _goes_on(begun[-1], event, at):
        return begun[-1]
    later = found[len(begun) :]
    return later[0] if later and later[0].opened_at - at <= SAME_VISIT else None


def _goes_on(swap: Swap, event: PacksMoved, at: datetime) -> bool:
    """Whether what happens at `at` belongs to a swap that had begun by then."""
    if event.what == "in" and swap.state == "orphaned":
        return at <= swap.opened_at + AWAIT  # what was put in for it is told; or it is another visit of that number
    if swap.ended_at is None or at <= swap.ended_at:
        return True
    return event.what != "in" and at <= swap.ended_at + SAME_VISIT


def _new(world: World, changes: Changes, event: PacksMoved, at: datetime) -> Swap:
    for before in world.assets.swaps.of("rid", (event.station_id, event.rid)):
        if before.ended_at is None and before.opened_at <= at:  # an orphan: a number stands for one visit at a time
            put_swap(world.assets, changes.assets, before._replace(ended_at=at, checked_at=None))
    station = world.stations[event.station_id]
    by = "at the station" if event.token is None else "token at the station"
    swap = Swap(
        id=event.swap_id, version=1, station_id=event.station_id, rid=event.rid, state="authorised", driver_id=None,
        provider_id=station.provider_id, asked_by=by, proof="pack", wanted=len(event.slots), opened_at=at,
        inserted_at=None, ended_at=None, checked_at=event.received_at + BEGIN, units_in=(), packs_in=(), rentals_in=(),
        units_out=(), packs_out=(), rentals_out=(), flags=(), reason=None,
    )  # fmt: skip
    return put_swap(world.assets, changes.assets, swap)


def _over_by_now(world: World, changes: Changes, swap: Swap, now: datetime) -> None:
    """A visit that is told of so late that its number stands for another one by now: nothing more comes of it."""
    found = world.assets.swaps.of("rid", (swap.station_id, swap.rid))
    if swap.ended_at is not None or not any(it.ended_at is None and it.opened_at > swap.opened_at for it in found):
        return
    if swap.state == "orphaned":
        put_swap(world.assets, changes.assets, swap._replace(ended_at=now, checked_at=None))
    else:
        move(world, changes, swap, "aborted", now, swap.reason)


def stated(world: World, changes: Changes, event: PackStated) -> Outcome:
    """
    How a pack is. Where it stands in a slot since its rental's return, its level there ends that rental.

    A station is believed about packs that stand in it: what it says of others is kept, and changes nothing. Told again
    on that day, by the same id, it changes nothing either.
    """
    assets, key = world.assets, key_of(world, event)
    door = None if event.unit is None else assets.doors.get((event.station_id, event.unit))
    code = packs.code_of(assets, event.pack.serial)
    if not event.pack.serial and door is not None:
        there = custody.behind(assets, door)
        code = None if there is None else there.code
    if event.seq is not None:
        follow(world, changes, event.station_id, event.seq, event.received_at)
    if code is None or code not in assets.packs:
        return Outcome("accepted", asset=AssetAnswer("BatteryUnknown"))
    place, item = (event.station_id or None, event.unit), assets.items[code]
    is_there = item.place == "connector" and item.station_id == event.station_id
    believed = event.source == "terminal" or is_there or item.place == "unknown"
    told_as = (code, event.station_id, event.id)
    if told_as in assets.states_told:
        return Outcome("accepted", asset=AssetAnswer(repeated=True))
    assets.states_told.add(told_as)
    packs.told(world, changes, code, event.pack, key, event.source, place, event.received_at, believed=believed)
    if not believed:
        return Outcome("accepted", asset=AssetAnswer("ItemMismatch"))
    rental = assets.rental_of(code)
    if rental is not None and rental.state == "returning" and rental.level_in is None:
        finish(world, changes, rental, event.received_at)
    elsewhere = door is not None and door.mark_item not in (None, "", code)
    return Outcome("accepted", asset=AssetAnswer("ItemMismatch" if elsewhere else None))


def slot_shown(world: World, changes: Changes, event: SlotShown) -> Outcome:
    """A slot's status says that it is empty: news only where nobody knows of a pack in it."""
    door = world.assets.doors.get((event.station_id, event.unit))
    if door is not None and event.empty and door.mark_item is None and custody.behind(world.assets, door) is None:
        custody.emptied(world.assets, changes.assets, (event.station_id, event.unit), (event.at, "status"))
    return RECORDED


def judged(world: World, changes: Changes, event: PackJudged) -> Outcome:
    """Staff's word on whether a pack may be handed out."""
    pack = world.assets.packs.get(event.item)
    if pack is None:
        return Outcome("refused", reason="there is no such pack", asset=AssetAnswer("BatteryUnknown"))
    put_pack(world.assets, changes.assets, pack._replace(quarantine=event.quarantine))
    return RECORDED
