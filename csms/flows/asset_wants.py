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
from csms.store.road import Wanted


def want(wanted: Wanted, event: AssetEvent) -> None:
    """Adds what `event` needs; what belongs to it (its grant's rental, its item's rental) is loaded with it."""
    assets, station_id = wanted.assets, event.station_id
    if isinstance(event, Told):
        assets.reports.add((station_id, event.id))
    match event:
        case UnitsSeen():
            assets.stations.add(station_id)
            assets.items.update(unit.item for unit in event.units if unit.item is not None)
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


def _door(wanted: Wanted, event: DoorMoved | ItemPlaced | ItemTaken) -> None:
    """The one door that most reports are about, not its whole cabinet: they are many."""
    wanted.assets.doors.add((event.station_id, event.unit))
    if event.grant_id is not None:
        wanted.assets.grants.add(event.grant_id)
