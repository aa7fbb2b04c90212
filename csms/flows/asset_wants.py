"""Which rows of items and doors an event is decided on."""

from __future__ import annotations

from csms.domain import token as tokens
from csms.domain.asset_events import (
    AssetEvent,
    DoorChecked,
    DoorMoved,
    DoorRequested,
    GrantAnswered,
    GrantChecked,
    ItemMoved,
    ItemPlaced,
    ItemTaken,
    RentalCancelled,
    RentalChecked,
    RentalInspected,
    RentAsked,
    ReturnAsked,
    ServiceOpened,
    SocketChanged,
    Told,
    UnitsSeen,
)
from csms.domain.events import TokenPresented
from csms.domain.pack_events import (
    PackEvent,
    PackJudged,
    PacksMoved,
    PackStated,
    SlotShown,
    SwapAnswered,
    SwapAsked,
    SwapChecked,
)
from csms.store.road import Wanted


def want(wanted: Wanted, event: AssetEvent | PackEvent) -> None:
    """Adds what `event` needs; what belongs to it (its grant's rental, its item's rental) is loaded with it."""
    if isinstance(event, PackEvent):
        _want_packs(wanted, event)
        return
    assets, station_id = wanted.assets, event.station_id
    if isinstance(event, Told):
        assets.reports.add((station_id, event.id))
    match event:
        case UnitsSeen():
            assets.stations.add(station_id)
            assets.items.update(unit.item for unit in event.units if unit.item is not None)
            assets.serials.update(unit.pack.serial for unit in event.units if unit.pack is not None)
        case DoorRequested():
            assets.stations.add(station_id)
            assets.rentals.add(event.rental_id)
            assets.tokens.add(tokens.key(event.token))
            wanted.stations.add(station_id)
            wanted.token(station_id, event.token)
        case DoorMoved():
            _door(wanted, event)
            if event.door == "jammed":  # another door may have to open
                assets.stations.add(station_id)
        case ItemPlaced() | ItemTaken():
            assets.items.add(event.item)
            _door(wanted, event)
        case SocketChanged():
            assets.stations.add(station_id)
            assets.items.add(event.item)
        case RentAsked():
            assets.stations.add(station_id)
            assets.tokens.add(event.token_key)
            assets.rentals.add(event.rental_id)
            wanted.stations.add(station_id)
            wanted.tokens.add((event.token_key, station_id))
        case ReturnAsked():
            assets.stations.add(station_id)
            assets.rentals.add(event.rental_id)
            assets.grants.add(event.grant_id)
        case RentalCancelled() | RentalChecked() | RentalInspected():
            assets.rentals.add(event.rental_id)
        case GrantAnswered() | GrantChecked():
            assets.stations.add(station_id)
            assets.grants.add(event.grant_id)
        case DoorChecked():
            assets.stations.add(station_id)
        case ServiceOpened():
            assets.stations.add(station_id)
            assets.grants.add(event.grant_id)
        case ItemMoved():
            assets.items.add(event.item)
            if station_id:
                assets.stations.add(station_id)


def at_slots(wanted: Wanted, event: TokenPresented) -> None:
    """A token at a battery station: what may be exchanged there, and whose the pack is that it may name."""
    wanted.assets.stations.add(event.station_id)
    wanted.assets.tokens.add(tokens.key(event.token))
    wanted.assets.serials.add(event.token)


def _want_packs(wanted: Wanted, event: PackEvent) -> None:
    assets, station_id = wanted.assets, event.station_id
    match event:
        case PacksMoved():
            assets.reports.add((station_id, event.id))
            assets.stations.add(station_id)
            assets.rids.add((station_id, event.rid))
            assets.serials.update(slot.pack.serial for slot in event.slots)
            wanted.stations.add(station_id)
            if event.token is not None:
                wanted.token(station_id, event.token)
        case PackStated():
            if event.pack.serial:
                assets.told_serials.add(event.pack.serial)
                assets.told_states.add((event.pack.serial, station_id, event.at.date(), event.id))
            if event.unit is not None:
                assets.told_doors.add((station_id, event.unit))
        case SlotShown():
            assets.told_doors.add((station_id, event.unit))
        case SwapAsked():
            assets.stations.add(station_id)
            assets.swaps.add(event.swap_id)
            assets.tokens.add(event.token_key)
            wanted.stations.add(station_id)
            wanted.tokens.add((event.token_key, station_id))
        case SwapAnswered() | SwapChecked():
            assets.swaps.add(event.swap_id)
            wanted.stations.add(station_id)
        case PackJudged():
            assets.items.add(event.item)


def _door(wanted: Wanted, event: DoorMoved | ItemPlaced | ItemTaken) -> None:
    """The one door that most reports are about, not its whole cabinet: they are many."""
    wanted.assets.doors.add((event.station_id, event.unit))
    if event.grant_id is not None:
        wanted.assets.grants.add(event.grant_id)
