"""
Packs that leave slots, or were offered and locked again.

A pack leaves by the rental that was paid for it, or it is the driver's own that is given back. Whatever else leaves
(`swap_unasked.py`) is recorded and billed to whoever has it as far as anybody knows, and people are told.
"""

from __future__ import annotations

from datetime import datetime

from csms.domain import custody, packs
from csms.domain.assets import LIVE, OVER, Grant, Key, Rental, put_swap
from csms.domain.grants import end
from csms.domain.heard import alarm
from csms.domain.openings import failed, opened_at, resolved_by
from csms.domain.pack_events import InSlot, PacksMoved
from csms.domain.pack_rows import Level, Swap
from csms.domain.rental import UNSEEN, cancel, free_door, taken, taken_again, write
from csms.domain.session import flagged
from csms.domain.swap_pay import LEFT
from csms.domain.swap_state import brought, handed_out, move, not_wanted, rentals_out, waits
from csms.domain.swap_unasked import back_by_now, without_leave
from csms.domain.world import Changes, World


def taken_out(world: World, changes: Changes, swap: Swap, event: PacksMoved, key: Key) -> tuple[Swap, str | None]:
    """Packs left their slots; the protocol's word for what is wrong, if anything is."""
    errors: list[str] = []
    for slot in event.slots:
        swap, error = _one(world, changes, swap, event, slot, (key[0], f"{key[1]}/{slot.unit}"))
        errors += [error] if error else []
    return _closed(world, changes, swap, event), errors[0] if errors else None


def _one(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, slot: InSlot, key: Key
) -> tuple[Swap, str | None]:
    assets, place, now = world.assets, (event.station_id, slot.unit), event.received_at
    door = assets.doors.get(place)
    if door is None or assets.capable.get(place) != "battery":
        return swap, "UnknownUnit"
    code = packs.code_of(assets, slot.pack.serial)
    if code is None:
        custody.emptied(assets, changes.assets, place, key)
        used_up(world, changes, place, None, key)
        back = (slot.unit, "") in zip(swap.units_in, swap.packs_in, strict=False)
        return swap, None if back else "BatteryUnknown"
    packs.told(world, changes, code, slot.pack, key, "station", place, now)
    rental = _rental_of(world, swap, slot.unit, code)
    level = packs.level_of(assets.packs.get(code), slot.pack, key[0])
    if rental is not None and _is_known(rental, code, key):
        _once_more(world, changes, rental, place, level, key, now)
        return swap, None
    if (slot.unit, code, None) in zip(swap.units_out, swap.packs_out, swap.rentals_out, strict=True):
        return swap, "NoCustody"  # told before, in other words
    if (slot.unit, code) in zip(swap.units_in, swap.packs_in, strict=False) and assets.items[code].since > key:
        custody.emptied(assets, changes.assets, place, key, leaving=code)
        return swap, None  # given back, and heard of since
    if rental is not None and rental.state == "returning":
        return _own_back(world, changes, swap, rental, slot.unit, key), None
    if rental is not None and rental.state == "requested":  # its psp has not said yes
        rental = cancel(world, changes, rental, "not wanted", now)
    if rental is None or rental.state in OVER:
        _taken_by_others(world, changes, swap, code, key, now)
        return without_leave(world, changes, swap, event, slot.unit, code, level, key)
    if rental.item != code:
        swap = _another(world, changes, swap, event, rental, slot.unit, code)
        rental = world.assets.rentals[rental.id]
    used_up(world, changes, place, rental, key)
    custody.left(assets, changes.assets, code, place, key, rental.id, "driver")
    resolved_by(world, changes, rental, now)
    rental = taken(world, changes, rental._replace(level_out=level), code, key[0], now)
    rental = back_by_now(world, changes, rental, key, now)
    return handed_out(world, changes, swap, rental), None


def _is_known(rental: Rental, code: str, key: Key) -> bool:
    """Whether it was told before that this pack left by this rental, also where it is back by now."""
    is_its = rental.item == code and rental.taken_at is not None
    return is_its and (rental.returned_at is None or key[0] <= rental.returned_at)


def _once_more(
    world: World, changes: Changes, rental: Rental, place: tuple[str, int], level: Level | None, key: Key, now: datetime
) -> None:
    """Told before, in other words; or only concluded until now: then when it left, and how full, is news."""
    assets, code = world.assets, rental.item or ""
    if rental.state in OVER:
        custody.emptied(assets, changes.assets, place, key, leaving=code)
        return
    custody.left(assets, changes.assets, code, place, key, rental.id, "driver")
    if UNSEEN in rental.flags:
        used_up(world, changes, place, rental, key)
        taken(world, changes, rental._replace(level_out=level or rental.level_out), code, key[0], now)


def used_up(world: World, changes: Changes, place: tuple[str, int], rental: Rental | None, key: Key) -> None:
    """The grant by which a slot was to open is used."""
    grants = world.assets.grants.of("door", place) if rental is None else world.assets.grants.of("rental", rental.id)
    for grant in grants:
        if (
            grant.why == "take"
            and (grant.station_id, grant.unit) == place
            and grant.state in (*LIVE, "expired", "failed")
        ):
            opened_at(world, changes, grant, key[0])


def _rental_of(world: World, swap: Swap, unit: int, code: str) -> Rental | None:
    """
    By which rental a pack leaves: the one it was to be handed out by, or that it came back by and is given back to.

    A station that chooses by itself hands another pack out than was chosen: then it is any that waits for one.
    """
    out = rentals_out(world, swap)
    for rental in out:
        if rental.item == code:
            return rental
    now_of = world.assets.rental_of(code)
    if now_of is not None and now_of.state == "returning" and (now_of.return_station, now_of.return_unit) == (
        swap.station_id, unit,
    ):  # fmt: skip
        return now_of
    is_back = now_of is not None and now_of.taken_at is not None and now_of.returned_at is None
    if is_back and (unit, code) in zip(swap.units_in, swap.packs_in, strict=False):
        return now_of
    waiting = [rental for rental in out if rental.taken_at is None and rental.state not in OVER]
    return waiting[0] if waiting and now_of is None else None


def _own_back(world: World, changes: Changes, swap: Swap, rental: Rental, unit: int, key: Key) -> Swap:
    """The driver has the own pack back: nothing was exchanged, and it is out as before."""
    used_up(world, changes, (swap.station_id, unit), rental, key)
    custody.left(world.assets, changes.assets, rental.item or "", (swap.station_id, unit), key, rental.id, "driver")
    taken_again(world, changes, rental._replace(level_in=None))
    if (unit, rental.item or "") in zip(swap.units_in, swap.packs_in, strict=False) or rental.id in swap.rentals_out:
        return swap
    swap = swap._replace(  # by the number of another visit than the one it was put in by
        units_out=(*swap.units_out, unit), packs_out=(*swap.packs_out, rental.item or ""),
        rentals_out=(*swap.rentals_out, rental.id),
    )  # fmt: skip
    return put_swap(world.assets, changes.assets, swap)


def _another(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, rental: Rental, unit: int, code: str
) -> Swap:
    """Another pack left than was chosen: it is that driver's now. People are told if it was not fit to be."""
    item = world.assets.items[code]
    why = packs.unfit(world.assets.packs.get(code), item, world.assets.slot_rules.get(swap.station_id, packs.ANY))
    if why is not None:
        alarm(world, changes, event, "unfit_pack_released", unit=unit, item=code, why=why)
    free_door(world, changes, rental)
    for grant in world.assets.grants.of("rental", rental.id):
        if grant.why == "take" and grant.state in LIVE:
            end(world, changes, grant, "revoked", event.received_at, "another pack")
    rental = write(world, changes, rental._replace(item=code, unit=unit))
    return handed_out(world, changes, swap._replace(flags=flagged(swap.flags, "other_pack")), rental)


def _taken_by_others(world: World, changes: Changes, swap: Swap, code: str, key: Key, now: datetime) -> None:
    """A pack that leaves by another visit stood there until now: whoever it was kept for did not take it."""
    kept_for = world.assets.rental_of(code)
    if kept_for is None or kept_for.swap_id == swap.id or kept_for.requested_at >= key[0] or not waits(kept_for):
        return
    for grant in world.assets.grants.of("rental", kept_for.id):
        if grant.why == "take" and grant.state in LIVE:
            failed(world, changes, grant, "UnitEmpty", now)
    kept_for = world.assets.rentals[kept_for.id]
    if kept_for.item == code and kept_for.state in ("opening", "provisional"):
        cancel(world, changes, kept_for, "gone", now)


# -- offered, and locked again ----------------------------------------------------------------------------------------


def locked_again(world: World, changes: Changes, swap: Swap, event: PacksMoved, key: Key) -> tuple[Swap, str | None]:
    """
    Packs were not taken: they stay with the station, and nobody pays for them.

    The bill of what was put in stands. An own pack that was offered back, and not taken, has been returned.
    """
    is_news = "out_timeout" not in swap.flags
    for slot in event.slots:
        code = packs.code_of(world.assets, slot.pack.serial)
        if code is not None:
            packs.told(
                world, changes, code, slot.pack, (key[0], f"{key[1]}/{slot.unit}"), "station",
                (event.station_id, slot.unit), event.received_at,
            )  # fmt: skip
        for id_ in swap.rentals_out:
            rental = None if id_ is None else world.assets.rentals.get(id_)
            if rental is None or rental.taken_at is not None or rental.requested_at > key[0]:
                continue
            if rental.item == code or rental.unit == slot.unit:
                is_news = _not_taken(world, changes, rental, event) or is_news
        live = world.assets.live_grant(event.station_id, slot.unit)
        if live is not None and _is_its(world, swap, live) and live.issued_at < key[0]:
            end(world, changes, live, "expired", event.received_at, LEFT)
            is_news = True
    if not is_news:
        return swap, None  # told before, in other words
    swap = put_swap(world.assets, changes.assets, swap._replace(flags=flagged(swap.flags, "out_timeout")))
    return _closed(world, changes, swap, event), None


def _is_its(world: World, swap: Swap, grant: Grant) -> bool:
    """Whether a slot is to open for what this swap hands out or offers back, and not for a pack of another one."""
    if grant.rental_id in swap.rentals_out:
        return True
    rental = None if grant.rental_id is None else world.assets.rentals[grant.rental_id]
    return grant.unit in swap.units_in and (rental is None or rental.taken_at is not None)


def _not_taken(world: World, changes: Changes, rental: Rental, event: PacksMoved) -> bool:
    """The rental of a pack that was not taken is given up; whether it was not yet."""
    if rental.state != "opening" and (rental.state, rental.reason) != ("provisional", "unclear"):
        return False
    for grant in world.assets.grants.of("rental", rental.id):
        if grant.why == "take" and grant.state in LIVE:
            end(world, changes, grant, "expired", event.received_at, LEFT)
    cancel(world, changes, rental, LEFT, event.received_at)
    return True


def _closed(world: World, changes: Changes, swap: Swap, event: PacksMoved) -> Swap:
    """Where a swap stands after packs left it, or did not."""
    now = event.received_at
    if swap.state in ("completed", "returned", "aborted", "orphaned"):
        return swap
    if not brought(world, swap):
        not_wanted(world, changes, swap, now)
    out = rentals_out(world, swap)
    if any(waits(rental) for rental in out) or (swap.state == "awaiting_payment" and brought(world, swap)):
        return swap
    if any(rental.taken_at is not None for rental in out):
        missing = any(rental.taken_at is None for rental in out)
        return move(world, changes, swap, "completed", now, "not taken" if missing else None)
    billed = any(id_ is not None and world.assets.rentals[id_].state == "closed" for id_ in swap.rentals_in)
    stands = any(_stands(world, swap, unit) for unit in swap.units_in)
    if swap.inserted_at is not None and not stands and not billed:
        return move(world, changes, swap, "returned", now, swap.reason)
    return move(world, changes, swap, "aborted", now, "not taken") if out else swap


def _stands(world: World, swap: Swap, unit: int) -> bool:
    """Whether something stands in a slot."""
    return world.assets.doors[swap.station_id, unit].mark_item is not None
