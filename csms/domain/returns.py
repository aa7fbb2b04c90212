"""Items that stand in a unit: the end of their rental, if they have one; and takings that are heard of too late."""

from __future__ import annotations

from datetime import datetime

from csms.base.ids import derived
from csms.domain import custody, overdue, payer
from csms.domain.asset_events import (
    AssetAnswer,
    ItemPlaced,
    ItemTaken,
)
from csms.domain.assets import Grant, Item, Key, Rental
from csms.domain.folding import lacks, put
from csms.domain.heard import alarm
from csms.domain.rental import ref_of, returned, session_of, taken, to_inspect, write
from csms.domain.session import opened
from csms.domain.world import Changes, World

REVIVED_PLACE, REVIVED_ASK_PLACE = 60, 61
"""Derived ids of the rental that a late taking becomes, and of what is asked for it."""

Place = tuple[str, int]


def placed(
    world: World, changes: Changes, event: ItemPlaced, place: Place, key: Key, grant: Grant | None
) -> AssetAnswer:
    """An item was put into a unit."""
    assets, now = world.assets, event.received_at
    item = assets.items.get(event.item)
    custody.placed(assets, changes.assets, None if item is None else item.code, place, key)
    if item is None:
        alarm(world, changes, event, "item_unknown", unit=event.unit, item=event.item)
        _odd_return(world, changes, grant, place, key, now)
        return AssetAnswer("ItemUnknown")
    back(world, changes, item, place, key, now, event.flags, sure=True)
    error = None
    if assets.capable.get(place) != item.kind:
        alarm(world, changes, event, "item_mismatch", unit=event.unit, item=event.item)
        error = "ItemMismatch"
    elif grant is not None and grant.why == "return" and grant.item not in (None, item.code):
        alarm(world, changes, event, "item_mismatch", unit=event.unit, item=event.item, expected=grant.item)
        error = "ItemMismatch"
    return AssetAnswer(error)


def _odd_return(world: World, changes: Changes, grant: Grant | None, place: Place, key: Key, now: datetime) -> None:
    """Something nobody knows was put in where a driver was to return an item: people look at it."""
    rental = None if grant is None or grant.rental_id is None else world.assets.rentals.get(grant.rental_id)
    if grant is None or grant.why != "return" or rental is None or rental.state not in ("active", "overdue"):
        return
    station_id, unit = place
    rental = rental._replace(returned_at=key[0], return_station=station_id, return_unit=unit)
    to_inspect(world, changes, rental, ("mismatch",))


def back(
    world: World, changes: Changes, item: Item, place: Place, key: Key, now: datetime, flags: tuple[str, ...],
    *, sure: bool,
) -> None:  # fmt: skip
    """What the return of an item means for whoever had it."""
    at, rental = key[0], world.assets.rental_of(item.code)
    is_old = rental is None or at <= (rental.taken_at or rental.requested_at)  # or lent after that
    out = _billed(world, item.code, at) if is_old else rental
    now_at = world.assets.items[item.code]
    if out is not None and now_at.rental_id == out.id and now_at.since > key:
        return  # by the same opening it was taken out again
    if rental is None or is_old:
        if out is not None and _is_news(out, place, at):
            overdue.came_back(world, changes, out, place, at, now)
        _keep_in_mind(world, changes, item, place, at)
        return
    if flags and rental.reason != "inspect":
        station_id, unit = place
        rental = rental._replace(returned_at=at, return_station=station_id, return_unit=unit)
        to_inspect(world, changes, rental, flags)
    else:
        returned(world, changes, rental, place, at, now, sure=sure)


def _keep_in_mind(world: World, changes: Changes, item: Item, place: Place, at: datetime) -> None:
    """An item is seen after a rental of it was given up: should its taking be told yet, it was back by then."""
    given_up = world.assets.newest_of(item.code)
    if given_up is None or given_up.state != "cancelled" or at <= given_up.requested_at:
        return
    if given_up.returned_at is None or at < given_up.returned_at:
        station_id, unit = place
        write(world, changes, given_up._replace(returned_at=at, return_station=station_id, return_unit=unit))


def _billed(world: World, code: str, at: datetime) -> Rental | None:
    """The rental by which an item was out just before `at`, if that is over and billed."""
    found = [
        (rental.taken_at, rental.id, rental)
        for rental in world.assets.rentals.of("item", code)
        if rental.state in ("closed", "deemed") and rental.taken_at is not None and rental.taken_at < at
    ]
    return max(found)[2] if found else None


def _is_news(billed: Rental, place: Place, at: datetime) -> bool:
    """Whether a bought item is back, or one was back earlier than it was first seen behind that door."""
    there = (billed.return_station, billed.return_unit) == place
    earlier = billed.returned_at is not None and at < billed.returned_at
    return billed.state == "deemed" or (billed.state == "closed" and there and earlier)


# -- too late ---------------------------------------------------------------------------------------------------------


def revived(
    world: World, changes: Changes, rental: Rental, event: ItemTaken, grant: Grant | None, key: Key
) -> str | None:
    """
    An item was taken by a grant whose rental is over: told too late, or taken out again.

    It is a rental of its own, begun offline: recorded and billed, what cannot be held is debt.
    """
    at, place = key[0], (event.station_id, event.unit)
    if rental.taken_at is not None and (rental.returned_at is None or at <= rental.returned_at):
        custody.left(world.assets, changes.assets, event.item, place, key, rental.id, "driver")
        return None  # an old taking, told again in other words
    if rental.reason == "not taken" and world.assets.items[event.item].since > key:
        return None  # it was put back before its door was shut
    before = session_of(world, rental)
    if before.token_key is None or lacks(world, changes, before):
        return None
    id_ = derived(grant.id if grant is not None else rental.id, REVIVED_PLACE)
    if id_ in world.assets.rentals:
        return None
    if world.assets.rental_of(event.item) is not None:  # it was back and is lent again; when it came, nobody knows
        custody.left(world.assets, changes.assets, event.item, place, key, None, "unknown")
        alarm(world, changes, event, "item_taken_without_rental", unit=event.unit, item=event.item)
        return "NoCustody"
    ref = ref_of(id_)
    session = opened(world.stations[rental.station_id], id_, ref, ref, True, event.received_at)
    session = session._replace(use="rental", connector=event.unit, started_at=at)
    world.sessions[session.station_id, ref] = changes.opened[session.id] = session
    ask = payer.Ask(rental.station_id, event.received_at, derived(id_, REVIVED_ASK_PLACE))
    judged = payer.judge_key(world, changes, session, before.token_key, before.token_masked, ask)
    put(world, changes, judged, session)
    anew = rental._replace(
        id=id_, version=1, state="opening", unit=event.unit, item=event.item, driver_id=judged.driver_id, tries=1,
        flags=("told_late",), reason=None, closed_at=None, taken_at=None, due_at=None, returned_at=None,
        return_station=None, return_unit=None, stopped_at=None, extensions=0, outage_s=0, damage_minor=0, reminders=0,
        extended_at=None,
    )  # fmt: skip
    if judged.state != "active":
        write(world, changes, anew._replace(state="refused", reason=judged.reason, closed_at=event.received_at))
        custody.left(world.assets, changes.assets, event.item, place, key, None, "unknown")
        alarm(world, changes, event, "item_taken_without_rental", unit=event.unit, item=event.item)
        return "NoCustody"
    custody.left(world.assets, changes.assets, event.item, place, key, id_, "driver")
    lent = taken(world, changes, write(world, changes, anew), event.item, at, event.received_at)
    item = world.assets.items[event.item]
    if item.place == "connector" and item.since > key and item.station_id is not None and item.unit is not None:
        known = rental.returned_at is not None and at < rental.returned_at
        back = min(item.at, rental.returned_at or item.at) if known else item.at
        returned(world, changes, lent, (item.station_id, item.unit), back, event.received_at, sure=True)
    return None
