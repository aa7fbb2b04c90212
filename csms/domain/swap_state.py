"""Where a swap stands: what was put in, what is handed out for it, what is still owed."""

from __future__ import annotations

from datetime import datetime, timedelta

from csms.domain.assets import Rental, put_door, put_swap
from csms.domain.errand import Concern
from csms.domain.heard import incident
from csms.domain.pack_rows import Swap, SwapState
from csms.domain.rental import EXCHANGE, cancel, session_of
from csms.domain.rental_times import GIVEN_BACK
from csms.domain.session import Session
from csms.domain.world import Changes, World

LOOK = timedelta(seconds=5)
"""How often the clock looks at a swap that goes on."""


def move(
    world: World, changes: Changes, swap: Swap, state: SwapState, now: datetime, reason: str | None = None
) -> Swap:
    """The swap in its next state, with the next time that the clock looks at it."""
    over = state in ("completed", "returned", "aborted")
    if over:
        keep_no_slots(world, changes, swap)
    swap = swap._replace(
        state=state, reason=reason, ended_at=now if over else None, checked_at=None if over else now + LOOK
    )
    return put_swap(world.assets, changes.assets, swap)


def keep_no_slots(world: World, changes: Changes, swap: Swap) -> None:
    """Slots that were kept for a swap are kept no longer."""
    for door in world.assets.doors.of("kept for", swap.id):
        put_door(world.assets, changes.assets, door._replace(reserved_for=None))


def brought(world: World, swap: Swap) -> list[Rental]:
    """The rentals whose packs were put in for others and are not billed yet. A plain return waits for its level."""
    found = [world.assets.rentals.get(id_) for id_ in swap.rentals_in if id_ is not None]
    return [it for it in found if it is not None and it.state == "returning" and it.reason == EXCHANGE]


def rentals_out(world: World, swap: Swap) -> list[Rental]:
    """The rentals of what it hands out; those that nobody paid for do not count."""
    found = [world.assets.rentals.get(id_) for id_ in swap.rentals_out if id_ is not None]
    return [rental for rental in found if rental is not None and rental.state != "refused"]


def waits(rental: Rental) -> bool:
    """Whether a pack is still to be handed out by it, or nobody knows yet whether it was."""
    return rental.taken_at is None and rental.state in ("requested", "opening", "provisional")


def owed(world: World, swap: Swap) -> int:
    """How many packs were put in for which none was, or is to be, handed out."""
    out = [rental for rental in rentals_out(world, swap) if rental.state != "cancelled"]
    return sum(id_ is not None for id_ in swap.rentals_in) - len(out)


def not_wanted(world: World, changes: Changes, swap: Swap, now: datetime) -> None:
    """A psp need not decide any more: the driver has the own pack back, or the visit is over."""
    for rental in rentals_out(world, swap):
        if rental.state == "requested" and GIVEN_BACK not in rental.flags:
            cancel(world, changes, rental, "not wanted", now)


def over_unless(
    world: World, changes: Changes, swap: Swap, state: SwapState, now: datetime, reason: str | None
) -> Swap:
    """The swap in a state that ends it, or has something given back, unless another pack of the visit is dealt with."""
    if brought(world, swap) or any(waits(rental) for rental in rentals_out(world, swap)):
        return put_swap(world.assets, changes.assets, swap)
    return move(world, changes, swap, state, now, reason)


def payer_of(world: World, swap: Swap) -> Session | None:
    """The session that says who pays: of a pack that was put in."""
    for id_ in swap.rentals_in:
        if id_ is not None and (rental := world.assets.rentals.get(id_)) is not None:
            return session_of(world, rental)
    return None


def handed_out(world: World, changes: Changes, swap: Swap, rental: Rental) -> Swap:
    """The swap's row names what a rental hands out, also where that is not what was chosen at first."""
    if rental.id not in swap.rentals_out:
        return swap
    place = swap.rentals_out.index(rental.id)
    units, codes = list(swap.units_out), list(swap.packs_out)
    units[place], codes[place] = rental.unit or 0, rental.item or ""
    return put_swap(world.assets, changes.assets, swap._replace(units_out=tuple(units), packs_out=tuple(codes)))


def tell_staff(changes: Changes, swap: Swap, kind: str, now: datetime, **details: object) -> None:
    """People have to look: one line of a kind for a swap."""
    id_ = incident(swap.station_id, f"{kind}/{swap.id}")
    more: dict[str, object] = {"rid": swap.rid, "driver": swap.driver_id, **details}
    changes.concerns.append(Concern(id_, kind, str(swap.id), swap.station_id, more, now))
