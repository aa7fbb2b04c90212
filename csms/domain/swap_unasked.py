"""
Packs that left by a swap without its leave: nobody released them, or not any more, or nothing was put in for them.

What left has left: custody moves, and whoever is known to have the pack is billed as if it had been lent offline.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from csms.domain import custody, payer, token
from csms.domain.assets import OVER, Key, Rental, put_item, put_swap
from csms.domain.folding import lacks, put
from csms.domain.heard import alarm, named
from csms.domain.pack_events import PacksMoved
from csms.domain.pack_rows import Level, Swap
from csms.domain.rental import begin, returned, session_of, taken, write
from csms.domain.session import Session
from csms.domain.swap_pay import LEFT, settle_in
from csms.domain.swap_state import brought, keep_no_slots, move, owed, payer_of, rentals_out
from csms.domain.world import Changes, World

ORPHAN = timedelta(days=1)
"""How long a pack that left without another being put in waits for the report of that."""


def without_leave(
    world: World, changes: Changes, swap: Swap, event: PacksMoved, unit: int, code: str, level: Level | None, key: Key
) -> tuple[Swap, str | None]:
    """
    A pack left that nobody was to have, or whose release had been given up: custody moves all the same.

    Where its driver is known, it is a rental begun offline: recorded and billed, what cannot be held is debt.
    """
    place, now, alone = (event.station_id, unit), event.received_at, _is_alone(world, swap)
    kind = "pack_out_without_in" if alone else "pack_out_without_leave"
    paid_by = _payer(world, swap, event)
    if paid_by is not None and _is_token_lacking(world, changes, paid_by):
        return swap, None
    key_of_token = None if paid_by is None else paid_by.token_key
    masked = None if paid_by is None else paid_by.token_masked
    if paid_by is None and event.token is not None:
        key_of_token, masked = token.key(event.token), token.masked(event.token)
    offered = _offered(world, swap, code)
    id_ = named(swap.id, f"taken/{code}/{len(swap.rentals_out)}" if offered is None else f"taken late/{code}/{offered}")
    alarm(world, changes, event, kind, unit=unit, item=code)
    rental = None
    if key_of_token is not None and not _is_lent(world, code, key[0]):
        rental = _lent_late(world, changes, swap, id_, (unit, code, level), key_of_token, masked, key, now)
    if rental is None:
        custody.left(world.assets, changes.assets, code, place, key, None, "unknown")
    else:
        swap = swap._replace(driver_id=swap.driver_id or rental.driver_id)
    swap = _listed(world, changes, swap, offered, unit, code, None if rental is None else rental.id)
    if alone:
        swap = move(world, changes, swap, "orphaned", now, kind)
        keep_no_slots(world, changes, swap)
        swap = put_swap(world.assets, changes.assets, swap._replace(checked_at=now + ORPHAN))
    elif rental is not None and (swap.state, swap.reason) == ("aborted", LEFT):
        missing = any(rental.taken_at is None for rental in rentals_out(world, swap))
        swap = swap._replace(state="completed", reason=LEFT if missing else None)
        swap = put_swap(world.assets, changes.assets, swap)
    return swap, "NoCustody"


def _payer(world: World, swap: Swap, event: PacksMoved) -> Session | None:
    """Whose visit it is: of the pack that was put in; else, if no token was shown, of what it was to hand out."""
    paid_by = payer_of(world, swap)
    if paid_by is not None or event.token is not None:
        return paid_by
    return next((session_of(world, rental) for rental in rentals_out(world, swap)), None)


def _is_token_lacking(world: World, changes: Changes, session: Session) -> bool:
    """Whether the token of a session is still to be loaded: after its bill it is not looked for without need."""
    return session.token_key is not None and session.token_key not in world.tokens and lacks(world, changes, session)


def _is_alone(world: World, swap: Swap) -> bool:
    """Whether nothing was put in by a swap, and nothing was to be handed out by it without that."""
    return swap.inserted_at is None and (swap.state == "orphaned" or not rentals_out(world, swap))


def _offered(world: World, swap: Swap, code: str) -> int | None:
    """Where in a swap's row a pack stands that was to be handed out by it, and was not taken then."""
    for place, (its, id_) in enumerate(zip(swap.packs_out, swap.rentals_out, strict=True)):
        rental = None if id_ is None else world.assets.rentals.get(id_)
        if its == code and rental is not None and rental.taken_at is None and rental.state in OVER:
            return place
    return None


def _listed(
    world: World, changes: Changes, swap: Swap, place: int | None, unit: int, code: str, id_: UUID | None
) -> Swap:
    """The swap's row names a pack that left by it once: where it was offered before, there."""
    if place is None:
        swap = swap._replace(
            units_out=(*swap.units_out, unit), packs_out=(*swap.packs_out, code), rentals_out=(*swap.rentals_out, id_)
        )
    else:
        units, ids = list(swap.units_out), list(swap.rentals_out)
        units[place], ids[place] = unit, id_
        swap = swap._replace(units_out=tuple(units), rentals_out=tuple(ids))
    return put_swap(world.assets, changes.assets, swap)


def claimed(world: World, changes: Changes, swap: Swap, now: datetime) -> Swap:
    """
    Packs that had left by a swap before anybody told what was put in for them: its driver has them.

    What was put in for each is billed first.
    """
    assets, paid_by = world.assets, payer_of(world, swap)
    for place, (unit, code, id_) in enumerate(zip(swap.units_out, swap.packs_out, swap.rentals_out, strict=True)):
        item, pack = assets.items[code], assets.packs.get(code)
        is_lost = item.place == "unknown" and assets.rental_of(code) is None
        if id_ is not None or not is_lost or paid_by is None or paid_by.token_key is None or owed(world, swap) <= 0:
            continue
        for rental in brought(world, swap)[:1]:
            settle_in(world, changes, rental, now)
        new_id, level = named(swap.id, f"claimed/{code}/{place}"), None if pack is None else pack.level()
        lent = _lent_late(
            world, changes, swap, new_id, (unit, code, level), paid_by.token_key, paid_by.token_masked,
            (item.at, item.key), now,
        )  # fmt: skip
        if lent is not None:
            put_item(assets, changes.assets, assets.items[code]._replace(place="driver", rental_id=lent.id))
            ids = list(swap.rentals_out)
            ids[place] = lent.id
            swap = put_swap(assets, changes.assets, swap._replace(rentals_out=tuple(ids)))
            if swap.state == "orphaned" and not brought(world, swap):
                swap = move(world, changes, swap, "completed", now)
    return swap


def _is_lent(world: World, code: str, at: datetime) -> bool:
    """Whether somebody has the pack, or had it at `at` and is billed for that: nobody else is billed for the same."""
    if world.assets.rental_of(code) is not None:
        return True
    had = [rental for rental in world.assets.rentals.of("item", code) if rental.taken_at is not None]
    return any(r.taken_at <= at and r.returned_at is not None and at <= r.returned_at for r in had if r.taken_at)


def _lent_late(
    world: World, changes: Changes, swap: Swap, id_: UUID, what: tuple[int, str, Level | None], token_key: bytes,
    masked: str | None, key: Key, now: datetime,
) -> Rental | None:  # fmt: skip
    """The rental of a pack that is out already, None where nobody can be billed for it."""
    unit, code, level = what
    place = swap.station_id, unit
    flags = ("told_late", "out_without_in") if _is_alone(world, swap) else ("told_late",)
    rental = begin(
        world, changes, id_, place, world.assets.items[code], now, asked_by=swap.asked_by, proof=swap.proof,
        swap_id=swap.id, offline=True, flags=flags,
    )  # fmt: skip
    session = session_of(world, rental)
    located = put(world, changes, session._replace(started_at=key[0]), session)
    ask = payer.Ask(swap.station_id, now, named(id_, "ask"))
    judged = put(world, changes, payer.judge_key(world, changes, located, token_key, masked, ask, again=True), located)
    if judged.state != "active":
        write(world, changes, rental._replace(state="refused", reason=judged.reason, closed_at=now))
        return None
    rental = write(world, changes, rental._replace(state="opening", driver_id=judged.driver_id, tries=1))
    custody.left(world.assets, changes.assets, code, place, key, id_, "driver")
    rental = taken(world, changes, rental._replace(level_out=level), code, key[0], now)
    return back_by_now(world, changes, rental, key, now)


def back_by_now(world: World, changes: Changes, rental: Rental, key: Key, now: datetime) -> Rental:
    """A pack whose leaving is told only after it stands in a slot again: its rental ends there."""
    item = world.assets.items[rental.item or ""]
    is_back = item.place == "connector" and item.since > key and rental.returned_at is None
    if not is_back or item.station_id is None or item.unit is None:
        return rental
    return returned(world, changes, rental, (item.station_id, item.unit), item.at, now, sure=True)
