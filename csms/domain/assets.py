"""
The rows of lending: items, doors, grants, rentals; what a batch is decided on of them and what it changes.

Each is a NamedTuple, column by column the row of its table (db/migrations/0013_items.sql), because it is
replaced at every step. `put_...` records the new image of a row; its version grows by one per batch.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID

from csms.domain.asset_events import AssetAnswer, DoorState, Why
from csms.domain.connector import ItemKind
from csms.domain.pack_rows import (
    Level,
    Pack,
    Reservation,
    SlotRules,
    StateRow,
    Swap,
    Voucher,
    VoucherUse,
    alias_of,
)
from csms.domain.rows import Rows

Place = Literal["connector", "driver", "staff", "workshop", "lost", "unknown"]
ItemState = Literal["ok", "broken", "retired", "sold"]
GrantState = Literal["issued", "sent", "accepted", "used", "failed", "expired", "revoked"]
RentalState = Literal[
    "requested", "opening", "active", "returning", "overdue", "provisional", "deemed", "closed", "cancelled", "refused"
]
LIVE: frozenset[GrantState] = frozenset({"issued", "sent", "accepted"})
OPEN: frozenset[RentalState] = frozenset({"opening", "active", "returning", "overdue", "provisional"})
"""The rental has its item, or a door is to open for it: one open custody per item."""
OVER: frozenset[RentalState] = frozenset({"deemed", "closed", "cancelled", "refused"})

Key = tuple[datetime, str]
"""The order of events: by the time they happened, not by their arrival; the id tells apart those of one instant."""


class Item(NamedTuple):
    """One thing that is lent, and where it is since the event (`at`, `key`)."""

    code: str
    kind: ItemKind
    type: str
    provider_id: str
    state: ItemState
    place: Place
    station_id: str | None
    unit: int | None
    rental_id: UUID | None
    at: datetime
    key: str
    tag: str | None
    plugged: bool
    plugged_at: datetime | None
    version: int

    @property
    def since(self) -> Key:
        """The event that put it there."""
        return self.at, self.key


class Door(NamedTuple):
    """A door or slot: how it stands since (`state_at`, `state_key`), and the newest mark of what is behind it."""

    station_id: str
    unit: int
    state: DoorState
    state_at: datetime | None
    state_key: str
    opened_at: datetime | None
    mark_item: str | None
    mark_at: datetime | None
    mark_key: str
    out_of_service: bool
    fault: str | None
    reserved_for: UUID | None
    told: int
    version: int

    def is_older(self, key: Key) -> bool:
        """Whether its mark is older than an event."""
        return self.mark_at is None or (self.mark_at, self.mark_key) < key

    def was_moved_before(self, key: Key) -> bool:
        """Whether its state is older than an event."""
        return self.state_at is None or (self.state_at, self.state_key) < key

    @property
    def is_usable(self) -> bool:
        """Whether it may be opened for a driver at all."""
        return not self.out_of_service and self.fault is None and self.state in ("closed", "unknown")


class Grant(NamedTuple):
    """The permission to open one door once. `by_whom` and `proof` are for the trail."""

    id: UUID
    station_id: str
    unit: int
    why: Why
    state: GrantState
    rental_id: UUID | None
    item: str | None
    driver_id: str | None
    issued_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    ended_at: datetime | None
    error: str | None
    proof: str
    by_whom: str
    reason: str | None
    attempt: int
    version: int
    opening_s: int = 10


class Rental(NamedTuple):
    """
    One item in a driver's hands, from release to return; its money is the session of the same id.

    `station_id` and `unit` are where it was taken, `tries` the doors that were tried for it.
    """

    id: UUID
    version: int
    state: RentalState
    station_id: str
    unit: int | None
    provider_id: str
    driver_id: str | None
    item: str | None
    item_type: str | None
    requested_at: datetime
    asked_by: str
    proof: str
    taken_at: datetime | None
    due_at: datetime | None
    returned_at: datetime | None
    return_station: str | None
    return_unit: int | None
    stopped_at: datetime | None
    extensions: int
    outage_s: int
    damage_minor: int
    tries: int
    reminders: int
    flags: tuple[str, ...]
    reason: str | None
    checked_at: datetime | None
    closed_at: datetime | None
    extended_at: datetime | None = None
    swap_id: UUID | None = None
    level_out: Level | None = None
    level_in: Level | None = None
    battery_wh: int | None = None


class Cabinet(NamedTuple):
    """How far a station's events are known."""

    station_id: str
    last_seq: int | None
    seen_at: datetime | None
    version: int


class Reported(NamedTuple):
    """A report of items and doors with the answer it got, as it is kept for ever."""

    station_id: str
    id: str
    kind: str
    seq: int | None
    at: datetime
    received_at: datetime
    offline: bool
    unit: int | None
    item: str | None
    error: str | None
    grant_id: UUID | None
    rental_id: UUID | None
    answer_unit: int | None
    expires_at: datetime | None
    raw: str


K = TypeVar("K", bound=Hashable)
R = TypeVar("R", Item, Door, Grant, Rental, Pack, Swap, Voucher, Reservation)


class Host(NamedTuple):
    """Whose electricity an outlet gives, the host's share of a fee in basis points, and the tags of the site."""

    site_id: str
    host_bp: int
    tags: tuple[str, ...] = ()


Outage = tuple[datetime, datetime | None]
"""From when until when a cabinet was away; None: it still is."""

ITEM_COLUMNS: Mapping[str, Callable[[Item], Hashable]] = {"door": lambda item: (item.station_id, item.unit)}
DOOR_COLUMNS: Mapping[str, Callable[[Door], Hashable]] = {
    "station": lambda door: door.station_id,
    "kept for": lambda door: door.reserved_for,
}
GRANT_COLUMNS: Mapping[str, Callable[[Grant], Hashable]] = {
    "door": lambda grant: (grant.station_id, grant.unit),
    "rental": lambda grant: grant.rental_id,
}
RENTAL_COLUMNS: Mapping[str, Callable[[Rental], Hashable]] = {
    "station": lambda rental: rental.station_id,
    "item": lambda rental: rental.item,
    "driver": lambda rental: rental.driver_id,
    "returned to": lambda rental: (rental.return_station, rental.return_unit),
}
SWAP_COLUMNS: Mapping[str, Callable[[Swap], Hashable]] = {
    "rid": lambda swap: (swap.station_id, swap.rid),
    "driver": lambda swap: swap.driver_id,
}
VOUCHER_COLUMNS: Mapping[str, Callable[[Voucher], Hashable]] = {"driver": lambda voucher: voucher.driver_id}
PACK_COLUMNS: Mapping[str, Callable[[Pack], Hashable]] = {
    "serial": lambda pack: pack.serial,
    "alias": lambda pack: alias_of(pack.serial),
}
RESERVATION_COLUMNS: Mapping[str, Callable[[Reservation], Hashable]] = {"station": lambda kept: kept.station_id}
"""By what rows are looked for."""


@dataclass(slots=True)
class Assets:
    """
    Rows by their keys: `doors` by (station, unit), `hosts` by tag. Of every item its newest rental is here.

    `capable` is the kind of item that each unit can hold; a unit that is not here does not exist.
    `reported` is what was heard before, by (station, id of the report).
    """

    items: Rows[str, Item] = field(default_factory=lambda: Rows(ITEM_COLUMNS))
    doors: Rows[tuple[str, int], Door] = field(default_factory=lambda: Rows(DOOR_COLUMNS))
    capable: dict[tuple[str, int], ItemKind] = field(default_factory=dict)
    grants: Rows[UUID, Grant] = field(default_factory=lambda: Rows(GRANT_COLUMNS))
    rentals: Rows[UUID, Rental] = field(default_factory=lambda: Rows(RENTAL_COLUMNS))
    cabinets: dict[str, Cabinet] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)
    reported: dict[tuple[str, str], AssetAnswer] = field(default_factory=dict)
    looked_up: set[str] = field(default_factory=set)
    """Items of which it is known whether they exist, and who has them."""
    outages: dict[str, list[Outage]] = field(default_factory=dict)
    """When the cabinets of the rentals here were away, since these were due."""
    states_told: set[tuple[str, str, str]] = field(default_factory=set)
    """(code, station, id) of states of packs that were told before on their day."""
    packs: Rows[str, Pack] = field(default_factory=lambda: Rows(PACK_COLUMNS))
    swaps: Rows[UUID, Swap] = field(default_factory=lambda: Rows(SWAP_COLUMNS))
    vouchers: Rows[UUID, Voucher] = field(default_factory=lambda: Rows(VOUCHER_COLUMNS))
    """Those of the drivers whose packs, or tokens, are here."""
    reservations: Rows[UUID, Reservation] = field(default_factory=lambda: Rows(RESERVATION_COLUMNS))
    slot_rules: dict[str, SlotRules] = field(default_factory=dict)

    def of_station(self, station_id: str) -> list[Door]:
        """The doors of a cabinet, by number."""
        return sorted(self.doors.of("station", station_id), key=lambda door: door.unit)

    def rental_of(self, code: str) -> Rental | None:
        """The rental that has this item now, None if nobody has."""
        return next((r for r in self.rentals.of("item", code) if r.state in OPEN), None)

    def newest_of(self, code: str) -> Rental | None:
        """The newest rental of this item, over or not."""
        found = [r for r in self.rentals.of("item", code) if r.state not in ("requested", "refused")]
        return max(found, key=lambda r: (r.requested_at, r.id), default=None)

    def live_grant(self, station_id: str, unit: int) -> Grant | None:
        """The grant by which this door may open now."""
        return next((g for g in self.grants.of("door", (station_id, unit)) if g.state in LIVE), None)

    def newest_grant(self, rental_id: UUID) -> Grant | None:
        """The last grant that was given for a rental."""
        return max(self.grants.of("rental", rental_id), key=lambda g: (g.issued_at, g.attempt, g.id), default=None)


@dataclass(slots=True)
class AssetChanges:
    """What a batch writes of items and doors; dicts by key, so that of several images the last is written."""

    reports: list[Reported] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    doors: dict[tuple[str, int], Door] = field(default_factory=dict)
    grants: dict[UUID, Grant] = field(default_factory=dict)
    rentals: dict[UUID, Rental] = field(default_factory=dict)
    cabinets: dict[str, Cabinet] = field(default_factory=dict)
    packs: dict[str, Pack] = field(default_factory=dict)
    pack_states: list[StateRow] = field(default_factory=list)
    swaps: dict[UUID, Swap] = field(default_factory=dict)
    vouchers: dict[UUID, Voucher] = field(default_factory=dict)
    voucher_uses: list[VoucherUse] = field(default_factory=list)
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    lacking: set[str] = field(default_factory=set)
    """Items that a rule needs to know of: load them and decide again; not written."""
    lacking_rentals: set[UUID] = field(default_factory=set)
    """Rentals likewise."""

    def lacks(self) -> bool:
        """Whether something is to be loaded before this batch can be decided."""
        return bool(self.lacking or self.lacking_rentals)

    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.is_of_lending() or self.is_of_packs())

    def is_of_lending(self) -> bool:
        """Whether there is something of items, doors, grants and rentals to write."""
        return bool(self.reports or self.items or self.doors or self.grants or self.rentals or self.cabinets)

    def is_only_cabinets(self) -> bool:
        """Whether all there is to write of lending is how far the events of stations are known."""
        return bool(self.cabinets) and not (self.reports or self.items or self.doors or self.grants or self.rentals)

    def is_of_packs(self) -> bool:
        """Whether there is something of packs to write."""
        return bool(self.packs or self.pack_states or self.swaps or self.vouchers or self.reservations)


def put_item(assets: Assets, changes: AssetChanges, item: Item) -> Item:
    """The item as it is now; nothing is written where nothing is new."""
    return _put(assets.items, changes.items, item.code, item)


def put_door(assets: Assets, changes: AssetChanges, door: Door) -> Door:
    """The door as it is now."""
    return _put(assets.doors, changes.doors, (door.station_id, door.unit), door)


def put_grant(assets: Assets, changes: AssetChanges, grant: Grant) -> Grant:
    """The grant as it is now; one that nobody knew is new."""
    return _put(assets.grants, changes.grants, grant.id, grant)


def put_rental(assets: Assets, changes: AssetChanges, rental: Rental) -> Rental:
    """The rental as it is now; one that nobody knew is new."""
    return _put(assets.rentals, changes.rentals, rental.id, rental)


def put_pack(assets: Assets, changes: AssetChanges, pack: Pack) -> Pack:
    """The pack as it is now."""
    return _put(assets.packs, changes.packs, pack.code, pack)


def put_swap(assets: Assets, changes: AssetChanges, swap: Swap) -> Swap:
    """The swap as it is now; one that nobody knew is new."""
    return _put(assets.swaps, changes.swaps, swap.id, swap)


def put_voucher(assets: Assets, changes: AssetChanges, voucher: Voucher) -> Voucher:
    """The voucher as it is now."""
    return _put(assets.vouchers, changes.vouchers, voucher.id, voucher)


def put_reservation(assets: Assets, changes: AssetChanges, kept: Reservation) -> Reservation:
    """The reservation as it is now."""
    return _put(assets.reservations, changes.reservations, kept.id, kept)


def _put(rows: Rows[K, R], changed: dict[K, R], key: K, row: R) -> R:
    before = rows.get(key)
    if row == before:
        return row
    if before is not None and key not in changed:
        row = row._replace(version=before.version + 1)
    rows[key] = changed[key] = row
    return row


def unknown_door(station_id: str, unit: int) -> Door:
    """A door of which nothing was reported yet."""
    return Door(station_id, unit, "unknown", None, "", None, None, None, "", False, None, None, 0, 0)
