"""What the clock does to swaps: slots kept in vain, payments that come or not, packs that could not be handed out."""

from __future__ import annotations

from datetime import datetime, timedelta

from csms.domain import custody, payer
from csms.domain.assets import put_swap
from csms.domain.events import RECORDED, Outcome
from csms.domain.folding import put
from csms.domain.heard import named
from csms.domain.pack_events import SwapChecked
from csms.domain.pack_rows import Swap
from csms.domain.rental import begin, free_door, session_of, write
from csms.domain.rental_times import GIVEN_BACK
from csms.domain.session import flagged
from csms.domain.swap_in import left_behind
from csms.domain.swap_pay import AWAIT, carry_on, release, settle_in
from csms.domain.swap_state import LOOK, brought, move, not_wanted, payer_of, rentals_out, tell_staff, waits
from csms.domain.world import Changes, World

THERE = timedelta(minutes=10)
"""How long a driver who got nothing is believed to be there: a slot that opens later opens for whoever comes by."""

NOT_OURS = frozenset({"not taken", "not wanted"})
"""Reasons of a rental that was given up which are not the station's fault."""


def checked(world: World, changes: Changes, event: SwapChecked) -> Outcome:
    """Does what is due of one swap; looked at too early, or twice, nothing is."""
    swap, now = world.assets.swaps.get(event.swap_id), event.received_at
    if swap is None or swap.checked_at is None or swap.checked_at > now:
        return RECORDED
    match swap.state:
        case "authorised":
            move(world, changes, swap, "aborted", now, "not begun")
        case "awaiting_payment":
            _awaited(world, changes, swap, now)
        case "releasing":
            _released(world, changes, swap, now)
        case "unidentified":
            _unidentified(world, changes, swap, now)
        case _:
            put_swap(world.assets, changes.assets, swap._replace(checked_at=None, ended_at=swap.ended_at or now))
    return RECORDED


def _awaited(world: World, changes: Changes, swap: Swap, now: datetime) -> None:
    """Paid meanwhile, or given up: then what was put in is a plain return. A slot that may open is waited for."""
    since = swap.inserted_at or swap.opened_at
    if any(world.assets.live_grant(swap.station_id, unit) is not None for unit in swap.units_in):
        put_swap(world.assets, changes.assets, swap._replace(checked_at=now + LOOK))
        return
    if now < since + AWAIT:
        carry_on(world, changes, swap, now)
        return
    not_wanted(world, changes, swap, now)
    for rental in brought(world, swap):
        settle_in(world, changes, rental, now)
    out = rentals_out(world, swap)
    if any(waits(rental) for rental in out):
        move(world, changes, swap, "releasing", now)
    else:
        taken = any(rental.taken_at is not None for rental in out)
        move(world, changes, swap, "completed" if taken else "aborted", now, swap.reason)


def _unidentified(world: World, changes: Changes, swap: Swap, now: datetime) -> None:
    """A pack that is to be given back; its slot may be open just now."""
    if any(world.assets.live_grant(swap.station_id, unit) is not None for unit in swap.units_in):
        put_swap(world.assets, changes.assets, swap._replace(checked_at=now + LOOK))
    else:
        left_behind(world, changes, swap, now)


def _released(world: World, changes: Changes, swap: Swap, now: datetime) -> None:
    """Everything was taken; or a pack could not be handed out, by no fault of its driver: the own one goes back."""
    out = rentals_out(world, swap)
    if any(waits(rental) for rental in out):
        put_swap(world.assets, changes.assets, swap._replace(checked_at=now + LOOK))
        return
    failed = [r for r in out if r.state == "cancelled" and r.taken_at is None and r.reason not in NOT_OURS]
    owed = len(failed) - sum(GIVEN_BACK in rental.flags for rental in out)
    if swap.units_in and owed > 0:
        swap = _give_back(world, changes, swap, owed, now)
        if any(waits(rental) for rental in rentals_out(world, swap)):
            put_swap(world.assets, changes.assets, swap._replace(checked_at=now + LOOK))
            return
    taken = [rental for rental in out if rental.taken_at is not None]
    if taken:
        move(world, changes, swap, "completed", now, None if len(taken) == len(out) else "not taken")
    else:
        move(world, changes, swap, "aborted", now, failed[0].reason if failed else "not taken")


def _give_back(world: World, changes: Changes, swap: Swap, owed: int, now: datetime) -> Swap:
    """
    Packs were swallowed: the drivers' own ones are lent to them again, without counting as a delivery.

    What was taken from them before is billed already.
    """
    assets, paid_by = world.assets, payer_of(world, swap)
    for unit, code in zip(swap.units_in, swap.packs_in, strict=True):
        door = assets.doors[swap.station_id, unit]
        item = custody.behind(assets, door)
        free = assets.live_grant(swap.station_id, unit) is None and assets.rental_of(code) is None
        free = free and now - (swap.inserted_at or now) <= THERE
        if owed <= 0 or paid_by is None or paid_by.token_key is None or item is None or item.code != code or not free:
            continue
        id_ = named(swap.id, f"own/{unit}")
        if id_ in assets.rentals:
            continue
        owed -= 1
        rental = begin(
            world, changes, id_, (swap.station_id, unit), item, now, asked_by=swap.asked_by, proof=swap.proof,
            swap_id=swap.id, flags=(GIVEN_BACK,),
        )  # fmt: skip
        session, ask = session_of(world, rental), payer.Ask(swap.station_id, now, named(id_, "ask"))
        judged = payer.judge_key(world, changes, session, paid_by.token_key, paid_by.token_masked, ask, again=True)
        put(world, changes, judged, session)
        swap = swap._replace(
            units_out=(*swap.units_out, unit), packs_out=(*swap.packs_out, code), rentals_out=(*swap.rentals_out, id_),
            flags=flagged(swap.flags, "swallowed"),
        )  # fmt: skip
        if judged.state == "invalid":
            free_door(world, changes, rental)
            write(world, changes, rental._replace(state="refused", reason=judged.reason, closed_at=now))
            owed += 1
        if judged.state == "active":
            swap = move(world, changes, swap, "releasing", now)
            release(world, changes, swap, rental, now, refused="NoBatteryAvailable")
    if owed > 0:
        tell_staff(changes, swap, "pack_owed", now, packs=owed)
    return put_swap(assets, changes.assets, swap)
