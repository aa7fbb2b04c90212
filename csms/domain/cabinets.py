"""
What cabinets report as it happens: doors that move, items that come and go (snapshots: `sightings.py`).

A report is recorded, however odd: what it cannot mean is an `err` in an answer that says Accepted, and a line
on the list of people.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from csms.base.units import seconds_between
from csms.domain import custody, grants, returns
from csms.domain.asset_events import AssetAnswer, DoorMoved, DoorState, ItemPlaced, ItemTaken
from csms.domain.assets import LIVE, OVER, Door, Grant, Key, Place, Rental, put_door
from csms.domain.events import Outcome
from csms.domain.heard import again, alarm, heard, key_of, record
from csms.domain.openings import AJAR_S, STAFF_S, failed, jammed, opened_at, resolved_by
from csms.domain.rental import cancel, finish, taken, taken_again
from csms.domain.world import Changes, World


def door_moved(world: World, changes: Changes, event: DoorMoved) -> Outcome:
    """A door opened, closed, jammed, or was forced."""
    if (known := heard(world, event)) is not None:
        return again(known)
    door = world.assets.doors.get((event.station_id, event.unit))
    error = "UnknownUnit"
    if door is not None:
        key = key_of(world, event)
        grant = grant_of(world, event.station_id, event.unit, event.grant_id)
        error = _moved(world, changes, event, door, grant, key) or ""
    return record(world, changes, event, "Door.Status", AssetAnswer(error or None), unit=event.unit)


def _moved(world: World, changes: Changes, event: DoorMoved, door: Door, grant: Grant | None, key: Key) -> str | None:
    """What a movement does; answers the protocol's word for what is wrong with it."""
    match event.door:
        case "open" | "ajar" | "forced":
            return _opened(world, changes, event, door, grant, key)
        case "jammed":
            stands(world, changes, door, "jammed", key)
            if grant is not None and grant.state in LIVE:
                failed(world, changes, grant, event.error or "DoorJammed", event.received_at)
            else:
                jammed(world, changes, world.assets.doors[event.station_id, event.unit], event.received_at)
            return None
        case "closed":
            stands(world, changes, door, "closed", key)
            _closed(world, changes, event, grant, key)
            return None
        case _:
            stands(world, changes, door, "unknown", key)
            return None


def _opened(world: World, changes: Changes, event: DoorMoved, door: Door, grant: Grant | None, key: Key) -> str | None:
    """A door opens for a live grant, once; whatever else opens it is an alarm."""
    error: str | None = "GrantUnknown"
    if event.door != "forced" and grant is not None:
        error = _objection(event, door, grant, key)
        if error is None:
            opened_at(world, changes, grant, _since(event, key))
            stands(world, changes, door, "open", key)
            return None
    elif door.state in ("open", "ajar") and event.door != "forced":
        return None  # it stands open already, and says so again
    stands(world, changes, door, "forced", key)
    alarm(world, changes, event, "door_forced", unit=event.unit, why=error, item=door.mark_item)
    return error


def _objection(event: DoorMoved, door: Door, grant: Grant, key: Key) -> str | None:
    """Why a grant is none for an opening that is told of it: the protocol's word, None if it is one."""
    if grant.state == "used":
        return None if _is_same_opening(event, door, grant, key) else "GrantUsed"
    return None if _since(event, key) <= grant.expires_at + grants.DRIFT else "GrantExpired"


def _since(event: DoorMoved, key: Key) -> datetime:
    """When a door opened that is told to be open, or to have stood open for some time."""
    return key[0] - timedelta(seconds=AJAR_S if event.door == "ajar" else 0)


def _is_same_opening(event: DoorMoved, door: Door, grant: Grant, key: Key) -> bool:
    """Whether an opening that is told of a used grant is the one that used it: told again, or late."""
    last = grant.expires_at + grants.DRIFT
    if grant.opened_at is None:
        return True
    if door.state in ("open", "ajar"):
        return _since(event, key) <= last or (door.opened_at is not None and door.opened_at <= last)
    return not door.was_moved_before(key) and (event.door == "ajar" or key[0] <= last)


def _closed(world: World, changes: Changes, event: DoorMoved, grant: Grant | None, key: Key) -> None:
    """A door that closes, soon or by its grant's name, tells whether an item was taken, put in, or left there."""
    at, now = key[0], event.received_at
    place = event.station_id, event.unit
    if grant is not None and grant.opened_at is None and event.grant_id == grant.id and event.has is not None:
        opened_at(world, changes, grant, at)  # what closes was open: that it opened is told later
        grant = world.assets.grants[grant.id]
    rental = None if grant is None or grant.rental_id is None else world.assets.rentals.get(grant.rental_id)
    if grant is not None and rental is not None and grant.why == "take" and grant.opened_at is not None:
        waits = rental.state == "opening" or (rental.state == "provisional" and rental.reason == "unclear")
        by_it = event.grant_id is not None or seconds_between(grant.opened_at, at) <= STAFF_S
        if waits and at >= grant.opened_at and by_it:
            if event.has is True:
                resolved_by(world, changes, rental, now)
                cancel(world, changes, rental, "not taken", now)
            elif event.has is False and grant.item is not None:
                item = grant.item
                custody.left(world.assets, changes.assets, item, place, key, rental.id, "driver")
                resolved_by(world, changes, rental, now)
                taken(world, changes, rental, item, at, now)
    for other in world.assets.rentals.of("returned to", place):
        if other.state == "returning":
            finish(world, changes, other, now)


def stands(world: World, changes: Changes, door: Door, state: DoorState, key: Key) -> None:
    """The door's state, if nothing newer is known. That it moves at all shows that it is not jammed."""
    door = world.assets.doors[door.station_id, door.unit]
    if not door.was_moved_before(key):
        return
    opened = key[0] if state in ("open", "forced") and door.state not in ("open", "ajar", "forced") else door.opened_at
    door = door._replace(
        state=state,
        state_at=key[0],
        state_key=key[1],
        opened_at=None if state in ("closed", "jammed", "unknown") else opened,
        told=door.told if state in ("open", "forced") and door.state in ("open", "ajar", "forced") else 0,
        fault=None if state in ("open", "closed") and door.fault == "jammed" else door.fault,
    )
    put_door(world.assets, changes.assets, door)


def grant_of(world: World, station_id: str, unit: int, grant_id: UUID | None) -> Grant | None:
    """
    The grant that a report names, if it is of this door; else the live one, else the one last used here.

    What happens at a door that was forced happens by no grant.
    """
    assets = world.assets
    if grant_id is not None:
        grant = assets.grants.get(grant_id)
        return grant if grant is not None and (grant.station_id, grant.unit) == (station_id, unit) else None
    door, live = assets.doors.get((station_id, unit)), assets.live_grant(station_id, unit)
    if door is None or door.state == "forced":
        return None
    if live is not None or door.state not in ("open", "ajar"):
        return live
    used = [grant for grant in assets.grants.of("door", (station_id, unit)) if grant.state == "used"]
    return max(used, key=lambda g: (g.issued_at, g.id), default=None)


# -- items ------------------------------------------------------------------------------------------------------------


def item_taken(world: World, changes: Changes, event: ItemTaken) -> Outcome:
    """An item left a unit: with the driver who was let in, with staff, or without anybody's leave."""
    if (known := heard(world, event)) is not None:
        return again(known)
    answer = AssetAnswer("UnknownUnit")
    if (event.station_id, event.unit) in world.assets.doors:
        answer = AssetAnswer(_taken(world, changes, event, key_of(world, event)))
    return record(world, changes, event, "Item.Taken", answer, unit=event.unit, item=event.item)


def _taken(world: World, changes: Changes, event: ItemTaken, key: Key) -> str | None:
    assets, place, now = world.assets, (event.station_id, event.unit), event.received_at
    grant = grant_of(world, *place, event.grant_id)
    rental = _taker(world, event, grant)
    if event.item not in assets.items:
        custody.emptied(assets, changes.assets, place, key)
        return "ItemUnknown"
    if rental is None:
        to: Place = "staff" if grant is not None and grant.why in ("inspect", "service") else "unknown"
        custody.left(assets, changes.assets, event.item, place, key, None, to)
        if to == "unknown":
            alarm(world, changes, event, "item_taken_without_rental", unit=event.unit, item=event.item)
            return "NoCustody"
        return None
    if grant is not None and grant.state in (*LIVE, "expired", "failed") and grant.why == "take":
        opened_at(world, changes, grant, key[0])
        rental = assets.rentals[rental.id]
    if rental.state in OVER:
        return returns.revived(world, changes, rental, event, grant, key)
    custody.left(assets, changes.assets, event.item, place, key, rental.id, "driver")
    put_back = rental.state == "returning" and (rental.return_station, rental.return_unit) == place
    if put_back and rental.returned_at is not None and key[0] > rental.returned_at:
        taken_again(world, changes, rental)
    else:
        resolved_by(world, changes, rental, now)
        taken(world, changes, rental, event.item, key[0], now)
    if grant is not None and grant.item not in (None, event.item):
        alarm(world, changes, event, "item_mismatch", unit=event.unit, item=event.item, expected=grant.item)
        return "ItemMismatch"
    return None


def _taker(world: World, event: ItemTaken, grant: Grant | None) -> Rental | None:
    """Whose rental an item left with: that of the grant, else the one that was to take it here, unless by force."""
    rental = world.assets.rental_of(event.item)
    if grant is not None:
        rental = None if grant.rental_id is None else world.assets.rentals.get(grant.rental_id)
        return rental if rental is not None and _may_have(world, rental, event) else None
    here = rental is not None and (rental.station_id, rental.unit) == (event.station_id, event.unit)
    if world.assets.doors[event.station_id, event.unit].state == "forced" or not here:
        return None
    return rental if rental is not None and rental.state in ("opening", "provisional", "returning") else None


def _may_have(world: World, rental: Rental, event: ItemTaken) -> bool:
    """One rental is of one item; one that is over takes nothing more but by a report that names its grant."""
    other = world.assets.rental_of(event.item)
    if (other is not None and other.id != rental.id) or (rental.taken_at is not None and event.item != rental.item):
        return False
    return rental.state not in OVER or event.grant_id is not None


def item_placed(world: World, changes: Changes, event: ItemPlaced) -> Outcome:
    """An item stands in a unit: its rental, if there is one, has ended."""
    if (known := heard(world, event)) is not None:
        return again(known)
    answer = AssetAnswer("UnknownUnit")
    place = event.station_id, event.unit
    if place in world.assets.doors:
        key = key_of(world, event)
        grant = grant_of(world, *place, event.grant_id)
        if grant is not None and grant.state in LIVE and grant.why == "return":
            opened_at(world, changes, grant, key[0])
        answer = returns.placed(world, changes, event, place, key, grant)
    return record(world, changes, event, "Item.Placed", answer, unit=event.unit, item=event.item)
