"""
Packs that are put into slots: each says whose it is, and its rental ends there, if it is accepted.

What is put in is recorded, however odd. Only a pack that a driver has, put into a slot that was known to be empty, is
exchanged; any other is given back, or kept where it is ours.
"""

from __future__ import annotations

from datetime import datetime

from csms.domain import custody, packs, payer, returns, token
from csms.domain.assets import OVER, Door, Grant, Item, Key, Rental, put_swap
from csms.domain.heard import alarm
from csms.domain.openings import opened_at as opened_by
from csms.domain.openings import resolved_by
from csms.domain.pack_events import InSlot, PacksMoved
from csms.domain.pack_rows import Swap, alias_of
from csms.domain.rental import EXCHANGE, opened_at, returned, taken, write
from csms.domain.session import flagged
from csms.domain.swap_pay import AWAIT, carry_on, offer_back
from csms.domain.swap_state import keep_no_slots, move, over_unless, tell_staff
from csms.domain.swap_unasked import claimed
from csms.domain.world import Changes, World

GRANT_S = 600
"""A slot that was opened for a plain return so long ago at most: what is put in there is that return."""


def put_in(world: World, changes: Changes, swap: Swap, event: PacksMoved, key: Key) -> tuple[Swap, str | None]:
    """Packs stand in slots now; the protocol's word for what is wrong, if anything is."""
    errors: list[str] = []
    if all(
        _is_known(world, swap, slot.unit, packs.code_of(world.assets, slot.pack.serial), key) for slot in event.slots
    ):
        return swap, _standing(swap)
    for slot in event.slots:
        at = (key[0], f"{key[1]}/{slot.unit}")
        swap, error = _one(world, changes, swap, event, slot, at)
        errors += [error] if error else []
    swap = claimed(world, changes, swap, event.received_at)
    swap, error = carry_on(world, changes, swap, event.received_at)
    if error is None and errors and not any(swap.rentals_in):
        error = errors[0]
    return swap, error or (errors[0] if errors else None)


def _one(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, slot: InSlot, key: Key
) -> tuple[Swap, str | None]:
    assets, place, now = world.assets, (event.station_id, slot.unit), event.received_at
    door = assets.doors.get(place)
    if door is None or assets.capable.get(place) != "battery":
        return swap, "UnknownUnit"
    code = packs.code_of(assets, slot.pack.serial)
    if _is_known(world, swap, slot.unit, code, key):
        return swap, None
    was_empty = (custody.is_empty(door) and door.is_older(key)) or (code is not None and _seen_since(door, code, key))
    custody.placed(assets, changes.assets, code, place, key)
    if code is None:
        alarm(world, changes, event, "item_unknown", unit=slot.unit, item=slot.pack.serial)
        swap = _noted(world, changes, swap, slot.unit, "", None, key[0])
        offer_back(world, changes, swap, len(swap.units_in) - 1, "BatteryUnknown", now)
        return over_unless(world, changes, swap, "unidentified", now, "BatteryUnknown"), "BatteryUnknown"
    known = assets.packs.get(code)
    packs.told(world, changes, code, slot.pack, key, "station", place, now, was_away=True)
    rental = assets.rental_of(code)
    if rental is None or key[0] <= (rental.taken_at or rental.requested_at):
        return _of_nobody(world, changes, swap, event, slot, assets.items[code], key)
    level = packs.level_of(assets.packs.get(code), slot.pack, key[0])
    grant = _return_grant(world, rental, place, key[0])
    if grant is not None:
        opened_by(world, changes, grant, key[0])
    exchange = grant is None and was_empty and packs.slots_of(assets, event.station_id) >= packs.SLOTS_MIN
    exchange = exchange and now - key[0] <= AWAIT and rental.reason != "inspect"
    if exchange:
        rental = write(world, changes, rental._replace(reason=EXCHANGE))
    if rental.taken_at is None and known is not None and known.at is not None and known.at < key[0]:
        rental = rental._replace(level_out=known.level())  # as it stood in its slot: nobody told how it left
    rental = _back(world, changes, rental, key[0], now)
    if rental.state not in OVER:  # that it was taken at all was news, and all that its bill had waited for
        if not exchange and rental.reason == EXCHANGE:  # by another visit, which was later
            rental = rental._replace(reason=None)
        rental = rental._replace(level_in=level, reason=EXCHANGE if exchange else rental.reason)
        returned(world, changes, rental, place, key[0], now, sure=not exchange)
    if not exchange:
        return _plain(
            world, changes, swap, event, slot.unit, code, rental, key, was_empty=was_empty or grant is not None
        )
    swap = _noted(world, changes, swap, slot.unit, code, rental, key[0])
    if _is_foreign(world, swap, event, rental):
        swap = put_swap(assets, changes.assets, swap._replace(flags=flagged(swap.flags, "foreign_pack")))
        alarm(world, changes, event, "foreign_pack", unit=slot.unit, item=code, custodian=rental.driver_id)
        if assets.slot_rules.get(event.station_id, packs.ANY).foreign_packs == "return":
            offer_back(world, changes, swap, len(swap.units_in) - 1, "ItemMismatch", now)
            swap = swap._replace(rentals_in=(*swap.rentals_in[:-1], None))
            return over_unless(world, changes, swap, "unidentified", now, "foreign_pack"), "ItemMismatch"
    if swap.driver_id is None:
        swap = put_swap(assets, changes.assets, swap._replace(driver_id=rental.driver_id))
    return swap, None


def _noted(
    world: World, changes: Changes, swap: Swap, unit: int, code: str, rental: Rental | None, at: datetime
) -> Swap:
    """What was put in stands in the swap's row."""
    if swap.inserted_at is None:  # until now: the slots that were kept for it
        keep_no_slots(world, changes, swap)
        swap = swap._replace(units_in=())
    swap = _without(swap, rental)
    swap = swap._replace(
        inserted_at=swap.inserted_at or at,
        units_in=(*swap.units_in, unit),
        packs_in=(*swap.packs_in, code),
        rentals_in=(*swap.rentals_in, None if rental is None else rental.id),
    )
    return put_swap(world.assets, changes.assets, swap)


def _without(swap: Swap, rental: Rental | None) -> Swap:
    """The swap without a pack that was taken back and is put in once more."""
    stay = [place for place, id_ in enumerate(swap.rentals_in) if rental is None or id_ != rental.id]
    return swap._replace(
        units_in=tuple(swap.units_in[place] for place in stay),
        packs_in=tuple(swap.packs_in[place] for place in stay),
        rentals_in=tuple(swap.rentals_in[place] for place in stay),
    )


def _is_known(world: World, swap: Swap, unit: int, code: str | None, key: Key) -> bool:
    """Whether this was told before, in other words; unless the pack was taken back since, and is put in once more."""
    if swap.inserted_at is None or (unit, code or "") not in zip(swap.units_in, swap.packs_in, strict=True):
        return False
    item = None if code is None else world.assets.items[code]
    return item is None or item.place != "driver" or key < item.since


def _standing(swap: Swap) -> str | None:
    """What is told of a swap to whoever tells again, in other words, what was put in."""
    if swap.state != "awaiting_payment":
        return None
    return "PaymentPending" if swap.reason == "psp" else swap.reason


def _seen_since(door: Door, code: str, key: Key) -> bool:
    """Whether this very pack was seen in the slot since: then nothing else can have been in there before it."""
    return door.mark_item == code and not door.is_older(key)


def _back(world: World, changes: Changes, rental: Rental, at: datetime, now: datetime) -> Rental:
    """The rental of a pack that is here; that it was taken at all may be news."""
    resolved_by(world, changes, rental, now)
    if rental.taken_at is None:
        code = rental.item or ""
        rental = taken(world, changes, rental, code, min(at, opened_at(world, rental)), now, sure=False)
    return rental


def _return_grant(world: World, rental: Rental, place: tuple[str, int], at: datetime) -> Grant | None:
    """The grant by which this slot was opened for a plain return of this pack, if it was."""
    for grant in world.assets.grants.of("door", place):
        if grant.rental_id != rental.id:
            continue
        recent = grant.issued_at <= at and (at - grant.issued_at).total_seconds() <= GRANT_S
        if grant.why == "return" and recent and grant.state not in ("failed", "revoked"):
            return grant
    return None


def _plain(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, unit: int, code: str, rental: Rental, key: Key,
    *, was_empty: bool,
) -> tuple[Swap, str | None]:  # fmt: skip
    """A pack comes back and none is handed out for it: that was wanted, or its slot was not known to be empty."""
    swap = _noted(world, changes, swap, unit, code, rental, key[0])
    swap = put_swap(world.assets, changes.assets, swap._replace(driver_id=swap.driver_id or rental.driver_id))
    if was_empty:
        return over_unless(world, changes, swap, "completed", event.received_at, "returned"), None
    alarm(world, changes, event, "slot_not_empty", unit=unit, item=code)
    return over_unless(world, changes, swap, "aborted", event.received_at, "slot_not_empty"), "UnitOccupied"


def _of_nobody(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, slot: InSlot, item: Item, key: Key
) -> tuple[Swap, str | None]:
    """A pack of ours that no driver has, or had when this happened: it stays, and nothing is handed out for it."""
    place = event.station_id, slot.unit
    had = world.assets.newest_of(item.code)
    billed = had if had is not None and _was_this(had, place, key[0]) else None
    returns.back(world, changes, item, place, key, event.received_at, (), sure=True)
    if billed is not None:
        swap = _noted(world, changes, swap, slot.unit, item.code, billed, key[0])._replace(driver_id=billed.driver_id)
        return over_unless(world, changes, swap, "completed", event.received_at, "returned"), None
    swap = _noted(world, changes, swap, slot.unit, item.code, None, key[0])
    if had is None or had.returned_at is None or key[0] > had.returned_at:
        alarm(world, changes, event, "pack_without_rental", unit=slot.unit, item=item.code)
    return over_unless(world, changes, swap, "aborted", event.received_at, "NoCustody"), "NoCustody"


def _was_this(had: Rental, place: tuple[str, int], at: datetime) -> bool:
    """Whether a rental was billed because its pack was seen where it is put in by a report that comes only now."""
    if had.state != "closed" or had.reason == EXCHANGE or had.taken_at is None or had.returned_at is None:
        return False
    return (had.return_station, had.return_unit) == place and had.taken_at < at <= had.returned_at


def _is_foreign(world: World, swap: Swap, event: PacksMoved, rental: Rental) -> bool:
    """Whether the pack is of another driver than the one who began the swap; a token is a cross-check only."""
    if swap.driver_id is not None:
        return swap.driver_id != rental.driver_id
    if event.token is None or any(event.token in (s.pack.serial, alias_of(s.pack.serial)) for s in event.slots):
        return False
    known = world.tokens.get(token.key(event.token))
    shown = None if known is None else payer.person(world, known)
    return shown is not None and shown != rental.driver_id


def left_behind(world: World, changes: Changes, swap: Swap, now: datetime) -> Swap:
    """A pack that was to be given back, and was not taken: staff fetch it."""
    tell_staff(changes, swap, "pack_left_behind", now, units=list(swap.units_in))
    return move(world, changes, swap, "aborted", now, swap.reason)
