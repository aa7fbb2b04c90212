"""What is seen of items without their being moved: snapshots of cabinets, and portable chargers that are online."""

from __future__ import annotations

from csms.domain import custody, grants, packs
from csms.domain.asset_events import (
    AssetAnswer,
    SocketChanged,
    UnitSeen,
    UnitsSeen,
)
from csms.domain.assets import OPEN, Item, Key, put_door, put_item
from csms.domain.cabinets import stands
from csms.domain.events import Outcome
from csms.domain.heard import again, alarm, follow, heard, key_of, record
from csms.domain.openings import resolved_by
from csms.domain.rental import UNSEEN, cancel, opened_at, taken, write
from csms.domain.returns import Place, back
from csms.domain.world import Changes, World


def units_seen(world: World, changes: Changes, event: UnitsSeen) -> Outcome:
    """What is where, as the cabinet sees it. Events that it queued before are told after it, and counted by time."""
    if (known := heard(world, event)) is not None:
        return again(known)
    at, id_ = key_of(world, event)
    unknown = False
    for seen in event.units:
        door = world.assets.doors.get((event.station_id, seen.unit))
        if door is None:
            unknown = True
            continue
        key = at, f"{id_}/{seen.unit}"
        if door.was_moved_before(key) and (door.state != seen.door or door.out_of_service != seen.out_of_service):
            stands(world, changes, door, "open" if seen.door == "ajar" else seen.door, key)
            door = world.assets.doors[event.station_id, seen.unit]
            put_door(world.assets, changes.assets, door._replace(out_of_service=seen.out_of_service))
        _seen(world, changes, event, seen, key)
    outcome = record(world, changes, event, "Unit.Snapshot", AssetAnswer("UnknownUnit" if unknown else None))
    if event.last_seq is not None and event.seq is None and event.station_id not in world.assets.cabinets:
        follow(world, changes, event.station_id, event.last_seq, event.received_at)
    return outcome


def socket_changed(world: World, changes: Changes, event: SocketChanged) -> Outcome:
    """A portable charger was plugged in, or out: it speaks for itself alone."""
    if (known := heard(world, event)) is not None:
        return again(known)
    error = _plugged(world, changes, event, key_of(world, event))
    kind = "Socket.Connected" if event.connected else "Socket.Disconnected"
    return record(world, changes, event, kind, AssetAnswer(error), item=event.item)


def _plugged(world: World, changes: Changes, event: SocketChanged, key: Key) -> str | None:
    assets, at = world.assets, key[0]
    item = assets.items.get(event.item)
    if event.item != event.station_id:
        alarm(world, changes, event, "item_mismatch", item=event.item)
        return "ItemMismatch"
    if item is None:
        return "ItemUnknown"
    if item.plugged_at is None or item.plugged_at <= at:  # one charger tells in order
        tag = event.tag if event.connected else item.tag
        item = put_item(assets, changes.assets, item._replace(plugged=event.connected, tag=tag, plugged_at=at))
    if not event.connected:
        return None
    rental = assets.rental_of(event.item)
    if (item.place == "driver" and rental is not None) or item.place in ("staff", "workshop"):
        return None  # staff try out what they have
    if rental is None or rental.state not in OPEN or item.place == "driver":
        if item.since < key:
            custody.said(assets, changes.assets, event.item, "unknown", key)
            alarm(world, changes, event, "item_online_without_rental", item=event.item, tag=event.tag)
        return "NoCustody"
    if rental.state in ("opening", "provisional") and rental.returned_at is None and rental.requested_at < at:
        since = opened_at(world, rental)
        custody.said(assets, changes.assets, event.item, "driver", (since, key[1]), rental.id)
        resolved_by(world, changes, rental, event.received_at)
        taken(world, changes, rental, event.item, since, event.received_at, sure=False)
    else:
        write(world, changes, rental)
    return None


def _seen(world: World, changes: Changes, event: UnitsSeen, unit: UnitSeen, key: Key) -> None:
    """
    One unit of a snapshot. It tells of custody at once; of a return it may know less than events still to come.

    So a return that only a snapshot tells of waits until its cabinet has told everything, or for some minutes.
    """
    assets, place, now = world.assets, (event.station_id, unit.unit), event.received_at
    believed = custody.behind(assets, assets.doors[place])
    if not unit.has:
        custody.emptied(assets, changes.assets, place, key)
        _found_empty(world, changes, event, believed, place, key)
        return
    unit = _named(world, changes, event, unit, key)
    if unit.item is None:
        return  # something stands there and cannot be read: what it is, a report by name says, earlier or later
    item = assets.items.get(unit.item)
    custody.placed(assets, changes.assets, None if item is None else item.code, place, key)
    if item is None:
        return
    rental = assets.rental_of(item.code)
    not_taken = rental is not None and rental.taken_at is None and (rental.station_id, rental.unit) == place
    if rental is not None and not_taken and rental.state == "provisional" and rental.reason == "unclear":
        cancel(world, changes, rental, "seen there", now)
    elif not not_taken and not _had_not_left(world, item, place, key):
        cabinet = assets.cabinets.get(event.station_id)
        told = event.last_seq is None or (cabinet is not None and (cabinet.last_seq or 0) >= event.last_seq)
        back(world, changes, item, place, key, now, (), sure=told)


def _had_not_left(world: World, item: Item, place: Place, key: Key) -> bool:
    """Whether it stood there before it was taken at all: that it was is only concluded, from its return after that."""
    return any(
        UNSEEN in rental.flags and (rental.station_id, rental.unit) == place and rental.requested_at < key[0]
        for rental in world.assets.rentals.of("item", item.code)
        if rental.returned_at is not None and key[0] < rental.returned_at
    )


def _named(world: World, changes: Changes, event: UnitsSeen, unit: UnitSeen, key: Key) -> UnitSeen:
    """A pack says itself which one it is, and how it is; what is printed on it is another matter."""
    if unit.pack is None:
        return unit
    code = packs.code_of(world.assets, unit.pack.serial)
    if code is None:
        return unit._replace(item=unit.item or unit.pack.serial)
    if unit.item not in (None, code, unit.pack.serial):
        alarm(world, changes, event, "item_mismatch", unit=unit.unit, item=code, expected=unit.item)
    packs.told(world, changes, code, unit.pack, key, "station", (event.station_id, unit.unit), event.received_at)
    return unit._replace(item=code)


def _found_empty(
    world: World, changes: Changes, event: UnitsSeen, believed: Item | None, place: Place, key: Key
) -> None:
    """An item that was believed there is not: it was taken when its door was opened, or nobody knows."""
    assets = world.assets
    if believed is None or believed.since >= key:
        return
    rental = assets.rental_of(believed.code)
    if rental is None or rental.taken_at is not None or (rental.station_id, rental.unit) != place:
        alarm(world, changes, event, "item_missing", unit=place[1], item=believed.code)
        return
    grant = grants.newest_to_take(assets, rental.id)
    if grant is None or (grant.opened_at is None and rental.state == "opening"):
        return
    since = grant.opened_at or grant.issued_at
    custody.said(assets, changes.assets, believed.code, "driver", key, rental.id)
    resolved_by(world, changes, rental, event.received_at)
    taken(world, changes, rental, believed.code, since, event.received_at, sure=False)
