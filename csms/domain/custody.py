"""
Where every item is, folded from what cabinets report by the time it happened, not by its arrival.

An item is where the newest event that names it put it. A door keeps a mark, the newest report of what
stands behind it. Every report of a door also evicts other items believed there since an older event, even
if it is too old to move its own item; a late `Placed` whose door has a newer mark that names something
else leaves its item in an unknown place. So any order of arrival ends in the same custody.
"""

from __future__ import annotations

from uuid import UUID

from csms.domain.assets import AssetChanges, Assets, Door, Item, Key, Place, put_door, put_item


def placed(assets: Assets, changes: AssetChanges, code: str | None, at: tuple[str, int], key: Key) -> None:
    """
    An item stands in a unit since `key`; None for one that nobody knows, which fills the unit all the same.

    `at` is (station, unit).
    """
    door = marked(assets, changes, assets.doors[at], code or "", key)
    _evict(assets, changes, at, code, key)
    item = assets.items.get(code) if code is not None else None
    if item is None or item.since >= key:
        return
    if (door.mark_at, door.mark_key) != key and door.mark_item != code:
        _move(assets, changes, item, "unknown", key)
    else:
        station_id, unit = at
        moved = item._replace(station_id=station_id, unit=unit, plugged=False)
        _move(assets, changes, moved, "connector", key)


def left(
    assets: Assets, changes: AssetChanges, code: str, at: tuple[str, int], key: Key, rental_id: UUID | None, to: Place
) -> None:
    """An item left a unit at `key`: to a driver (then with the rental's id), staff, or nobody knows."""
    emptied(assets, changes, at, key, leaving=code)
    item = assets.items.get(code)
    if item is not None and item.since < key:
        _move(assets, changes, item, to, key, rental_id)


def emptied(assets: Assets, changes: AssetChanges, at: tuple[str, int], key: Key, leaving: str | None = None) -> None:
    """A unit was seen empty at `key`: what was believed there since an older event is somewhere else."""
    marked(assets, changes, assets.doors[at], None, key)
    _evict(assets, changes, at, leaving, key)


def said(
    assets: Assets, changes: AssetChanges, code: str, place: Place, key: Key, rental_id: UUID | None = None
) -> None:
    """Somebody's word on where an item is, away from any unit; it counts if nothing newer is known."""
    item = assets.items[code]
    if item.since < key:
        _move(assets, changes, item, place, key, rental_id)


def marked(assets: Assets, changes: AssetChanges, door: Door, code: str | None, key: Key) -> Door:
    """The door with its newest mark: "" is an item without a known code."""
    if not door.is_older(key):
        return door
    return put_door(assets, changes, door._replace(mark_item=code, mark_at=key[0], mark_key=key[1]))


def behind(assets: Assets, door: Door) -> Item | None:
    """The item that is known to stand there."""
    item = assets.items.get(door.mark_item) if door.mark_item else None
    if item is None or item.place != "connector" or (item.station_id, item.unit) != (door.station_id, door.unit):
        return None
    return item


def is_empty(door: Door) -> bool:
    """Whether it was seen empty, and not only never heard of."""
    return door.mark_at is not None and door.mark_item is None


def _evict(assets: Assets, changes: AssetChanges, at: tuple[str, int], stays: str | None, key: Key) -> None:
    """Others believed in this unit since an older event are not there. Their own event stays the one that counts."""
    for item in assets.items.of("door", at):
        if item.place == "connector" and item.code != stays and item.since < key:
            put_item(assets, changes, item._replace(place="unknown", station_id=None, unit=None))


def _move(
    assets: Assets, changes: AssetChanges, item: Item, place: Place, key: Key, rental_id: UUID | None = None
) -> None:
    if place != "connector":
        item = item._replace(station_id=None, unit=None)
    put_item(assets, changes, item._replace(place=place, at=key[0], key=key[1], rental_id=rental_id))
