"""
What happens to items and doors, in our words: what cabinets and portable chargers report, what people ask for.

They travel the road of `events.py`, one queue with the reports of sessions. Reports (`Told`) carry the
station's own `id`, which is their idempotency key for ever (docs/reference/assets), `at` by the station's
clock and `seq`, which grows by one with each of them. `unit` is the number of a door or slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from csms.domain.pack_state import PackState

Why = Literal["take", "return", "inspect", "service"]
DoorState = Literal["closed", "open", "ajar", "jammed", "forced", "unknown"]
Flag = Literal["damaged", "self_test_failed", "mismatch"]
"""What a cabinet notices of an item that was put in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What all reports of items and doors share. `seq` is None where a decision is wanted (`DoorRequested`)."""

    station_id: str
    received_at: datetime
    id: str
    at: datetime
    seq: int | None
    offline: bool
    raw: str


class UnitSeen(NamedTuple):
    """
    One door or slot in a snapshot. `item` is None where it has none, or one whose code cannot be read.

    `pack` is what a slot's pack says of itself; then its serial tells which item it is.
    """

    unit: int
    door: DoorState
    has: bool
    item: str | None = None
    out_of_service: bool = False
    pack: PackState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsSeen(Told):
    """`Unit.Snapshot`: what is where, as the cabinet sees it now. `last_seq` is that of its newest event."""

    units: tuple[UnitSeen, ...]
    last_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRequested(Told):
    """
    `Door.Request`: a driver holds a token to the lock. `unit` is None where any door will do.

    The ids are drawn at the edge: of the rental, the grant and the psp's authorization.
    """

    unit: int | None
    why: Literal["take", "return", "inspect"]
    token: str
    rental_id: UUID
    grant_id: UUID
    authorization_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorMoved(Told):
    """`Door.Status`. `has` says whether there is an item behind the door, None where the cabinet cannot tell."""

    unit: int
    door: DoorState
    grant_id: UUID | None
    has: bool | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPlaced(Told):
    """`Item.Placed`: an item stands in a unit now."""

    unit: int
    item: str
    grant_id: UUID | None
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemTaken(Told):
    """`Item.Taken`: an item left a unit."""

    unit: int
    item: str
    grant_id: UUID | None
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketChanged(Told):
    """`Socket.Connected`, `Socket.Disconnected`: a portable charger was plugged into an outlet, or out of it."""

    item: str
    connected: bool
    tag: str | None
    meter_wh: int | None


@dataclass(frozen=True, slots=True)
class RentAsked:
    """A driver's app, or staff for a driver, rents at a cabinet whose presence is proven: a door, or any that fits."""

    station_id: str
    received_at: datetime
    rental_id: UUID
    grant_id: UUID
    authorization_id: UUID
    token_key: bytes
    token_masked: str
    unit: int | None
    item_type: str | None
    proof: str
    """How presence was proven: `totp`, `ble`, `nfc`, `geofence` or `staff`."""
    by: str


@dataclass(frozen=True, slots=True)
class ReturnAsked:
    """A driver stands at a cabinet and wants to give an item back; one of its empty doors is to open."""

    station_id: str
    received_at: datetime
    rental_id: UUID
    grant_id: UUID
    unit: int | None
    proof: str
    by: str


@dataclass(frozen=True, slots=True)
class RentalCancelled:
    """A driver, or staff, no longer wants what has not been taken yet."""

    station_id: str
    received_at: datetime
    rental_id: UUID
    by: str


@dataclass(frozen=True, slots=True)
class GrantAnswered:
    """The end of a `Door.Open`: `accepted`, `rejected` (with the cabinet's `error`), `failed`, `offline`, `unknown`."""

    station_id: str
    received_at: datetime
    grant_id: UUID
    end: Literal["accepted", "rejected", "failed", "offline", "unknown"]
    error: str | None


@dataclass(frozen=True, slots=True)
class GrantChecked:
    """Time to look at a grant: was the door opened, has it expired?"""

    station_id: str
    received_at: datetime
    grant_id: UUID


@dataclass(frozen=True, slots=True)
class DoorChecked:
    """Time to look at a door that stands open."""

    station_id: str
    received_at: datetime
    unit: int


@dataclass(frozen=True, slots=True)
class RentalChecked:
    """Time to look at a rental: is it due, overdue, bought, unclear for too long, or inspected by nobody?"""

    station_id: str
    received_at: datetime
    rental_id: UUID


@dataclass(frozen=True, slots=True)
class ServiceOpened:
    """Staff open a door, for an inspection or for service."""

    station_id: str
    received_at: datetime
    grant_id: UUID
    unit: int
    why: Literal["inspect", "service"]
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ItemMoved:
    """
    Staff's word on where an item is and what it is fit for; `station_id` is "" where it is at no cabinet.

    `state` None leaves it as it is.
    """

    station_id: str
    received_at: datetime
    item: str
    place: Literal["connector", "staff", "workshop", "lost", "unknown"]
    unit: int | None
    state: Literal["ok", "broken", "retired"] | None
    by: str
    reason: str
    id: str
    """Orders this word among the cabinets' reports."""


@dataclass(frozen=True, slots=True)
class RentalInspected:
    """Staff looked at an item that came back odd: `damage_minor` (0: it is fine) is charged out of the deposit."""

    station_id: str
    received_at: datetime
    rental_id: UUID
    damage_minor: int
    by: str
    reason: str


AssetReport = UnitsSeen | DoorRequested | DoorMoved | ItemPlaced | ItemTaken | SocketChanged
AssetWish = (
    RentAsked
    | ReturnAsked
    | RentalCancelled
    | GrantAnswered
    | GrantChecked
    | DoorChecked
    | RentalChecked
    | ServiceOpened
    | ItemMoved
    | RentalInspected
)
AssetEvent = AssetReport | AssetWish


class BillTold(NamedTuple):
    """What packs that were put in cost, together; `ref` names the first one's bill."""

    ref: str
    fee_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class AssetAnswer:
    """
    What a report of items and doors, or a person's wish, came to.

    `error` is a code of the protocol (docs/reference/assets). `repeated`: it was heard before and
    gets the answer it got then. `grant_id`, `unit` and `expires_at` say which door may be opened until when.
    Of a swap: its number, the slots whose packs will be released for it, and what the packs put in cost.
    """

    error: str | None = None
    repeated: bool = False
    grant_id: UUID | None = None
    unit: int | None = None
    expires_at: datetime | None = None
    rental_id: UUID | None = None
    rid: int | None = None
    units_out: tuple[int, ...] = ()
    bill: BillTold | None = None
