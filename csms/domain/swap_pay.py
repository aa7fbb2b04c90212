"""
The middle of a swap: what was put in is billed, then, and never before, as many packs are handed out.

What cannot be paid, or not be exchanged, is not billed: the driver's own pack is offered back (`offer_back`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from csms.domain import grants, packs, payer, reservations, voucher
from csms.domain.assets import Door, Grant, Rental, put_door, put_reservation, put_swap
from csms.domain.folding import put
from csms.domain.heard import named
from csms.domain.holding import begins, deposit_minor
from csms.domain.pack_rows import Swap, Voucher
from csms.domain.rental import begin, cancel, due, ending, free_door, judged_at, session_of, settle, write
from csms.domain.rental_times import GIVEN_BACK
from csms.domain.session import Session, flagged
from csms.domain.swap_state import brought, handed_out, move, owed, payer_of, rentals_out, tell_staff, waits
from csms.domain.tariff_own import Used
from csms.domain.world import Changes, Token, World

AWAIT = timedelta(minutes=5)
"""How long a swap waits for its payment, or for the driver to take the own pack back; then it was a plain return."""

BACK_TRIES_MAX = 3
"""How often a pack is offered back whose slot does not open."""

LEFT = "not taken"
"""The error of a grant whose slot opened, and locked again with its pack."""

MONEY: frozenset[str | None] = frozenset({"no_credit", "debt", "budget_spent", "declined", "timed_out"})
"""Reasons that money can mend."""


def carry_on(world: World, changes: Changes, swap: Swap, now: datetime) -> tuple[Swap, str | None]:
    """Bills what was put in and hands out as many packs; or the protocol's word for why not."""
    waiting, paid_by = brought(world, swap), payer_of(world, swap)
    if not waiting or paid_by is None or paid_by.token_key is None:
        return swap, None
    wanted = [world.assets.rentals[id_] for id_ in swap.rentals_out if id_ is not None]
    if any(rental.state == "requested" for rental in wanted):
        return swap, "PaymentPending"
    gone = max(0, len(waiting) - owed(world, swap))
    if gone:
        return _has_left(world, changes, swap, waiting[:gone], now)
    chosen = _chosen(world, swap, waiting, now)
    if isinstance(chosen, str):
        return _refused(world, changes, swap, chosen, now)
    known = world.tokens.get(paid_by.token_key)
    asks_psp = known is not None and known.psp is not None and not _is_covered(world, swap, known, now)
    if known is not None and not asks_psp and not _reaches(world, swap, known, waiting, now):
        return _refused(world, changes, swap, "NoCredit", now)
    if asks_psp and len(waiting) > 1:
        return _refused(world, changes, swap._replace(flags=flagged(swap.flags, "set_by_psp")), "NoCredit", now)
    if not asks_psp:
        for rental in waiting:
            settle_in(world, changes, rental, now)
    swap, rentals = _want(world, changes, swap, chosen, paid_by, now)
    return go_on(world, changes, swap, rentals, now)


def _has_left(
    world: World, changes: Changes, swap: Swap, waiting: Sequence[Rental], now: datetime
) -> tuple[Swap, str | None]:
    """What is handed out for these has left already, told before they were."""
    for rental in waiting:
        settle_in(world, changes, rental, now)
    if brought(world, swap):
        return carry_on(world, changes, swap, now)
    going = any(waits(rental) for rental in rentals_out(world, swap))
    return move(world, changes, swap, "releasing" if going else "completed", now), None


def go_on(
    world: World, changes: Changes, swap: Swap, rentals: Sequence[Rental], now: datetime
) -> tuple[Swap, str | None]:
    """What follows from who pays for the packs that are to be handed out."""
    sessions = [session_of(world, rental) for rental in rentals]
    refused = [session for session in sessions if session.state == "invalid"]
    if refused:
        return _unpaid(world, changes, swap, rentals, refused[0].reason, now)
    if any(session.state != "active" for session in sessions):
        return move(world, changes, swap, "awaiting_payment", now, "psp"), "PaymentPending"
    for rental in brought(world, swap)[: len(rentals)]:
        settle_in(world, changes, rental, now)
    for rental in rentals:
        own = "NoBatteryAvailable" if GIVEN_BACK in rental.flags else None
        release(world, changes, swap, rental, now, refused=own)
    return move(world, changes, swap, "releasing", now), None


def _unpaid(
    world: World, changes: Changes, swap: Swap, rentals: Sequence[Rental], reason: str | None, now: datetime
) -> tuple[Swap, str]:
    """Nobody pays for the packs that were to be handed out: money may mend that, whatever else may not."""
    for rental in rentals:
        if session_of(world, rental).state == "invalid":
            free_door(world, changes, rental)
            write(world, changes, rental._replace(state="refused", reason=reason, closed_at=now))
        else:
            cancel(world, changes, rental, "not wanted", now)
    error = "NoCredit" if reason in MONEY else "NotAuthorized"
    if error == "NoCredit" and brought(world, swap):
        return _refused(world, changes, swap, error, now)
    for rental in brought(world, swap):
        settle_in(world, changes, rental, now)
    return move(world, changes, swap, "aborted", now, reason), error


def release(
    world: World, changes: Changes, swap: Swap, rental: Rental, now: datetime, refused: str | None = None
) -> None:
    """The pack of a rental that is paid for is handed out, once."""
    if world.assets.live_grant(rental.station_id, rental.unit or 0) is not None:  # staff have it opened just now
        cancel(world, changes, rental, "gone", now)
        tell_staff(changes, swap, "pack_owed", now, packs=1)
        return
    driver_id = session_of(world, rental).driver_id
    claim(world, changes, rental.station_id, driver_id, now)
    rental = write(world, changes, rental._replace(state="opening", tries=1, driver_id=driver_id))
    door = world.assets.doors[rental.station_id, rental.unit or 0]
    grants.allow(
        world, changes, named(rental.id, "grant"), door, "take", rental, now, by_reply=False, proof=swap.proof,
        by=swap.asked_by, item=rental.item, swap=swap, refused=refused,
    )  # fmt: skip


def claim(world: World, changes: Changes, station_id: str, driver_id: str | None, now: datetime) -> None:
    """Whoever gets a pack has come for what was reserved for this time."""
    for kept in world.assets.reservations.of("station", station_id):
        after = reservations.used(kept, now) if kept.driver_id == driver_id else None
        if after is not None:
            put_reservation(world.assets, changes.assets, after)


# -- which packs ------------------------------------------------------------------------------------------------------


def _chosen(world: World, swap: Swap, waiting: Sequence[Rental], now: datetime) -> list[Door] | str:
    """A slot for each pack that was put in, with a pack of its type."""
    if packs.slots_of(world.assets, swap.station_id) < packs.SLOTS_MIN:
        return "NoBatteryAvailable"
    found: list[Door] = []
    for item_type, number in sorted(Counter(rental.item_type or "" for rental in waiting).items()):
        besides = (*swap.units_in, *(door.unit for door in found))
        doors = packs.choose(
            world, swap.station_id, number, now, driver_id=swap.driver_id, item_type=item_type or None,
            besides=besides, keeper=swap.id,
        )  # fmt: skip
        if isinstance(doors, str):
            return doors
        found += doors
    return found


def _want(
    world: World, changes: Changes, swap: Swap, doors: Sequence[Door], paid_by: Session, now: datetime
) -> tuple[Swap, list[Rental]]:
    """The rentals of the packs that are to be handed out, with their payer judged."""
    assert paid_by.token_key is not None
    rentals: list[Rental] = []
    for door in doors:
        item = world.assets.items[door.mark_item or ""]
        id_ = named(swap.id, f"out/{len(swap.rentals_out) + len(rentals)}")
        rental = begin(
            world, changes, id_, (door.station_id, door.unit), item, now, asked_by=swap.asked_by, proof=swap.proof,
            swap_id=swap.id,
        )  # fmt: skip
        session, ask = session_of(world, rental), payer.Ask(swap.station_id, now, named(id_, "ask"))
        judged = payer.judge_key(world, changes, session, paid_by.token_key, paid_by.token_masked, ask, again=True)
        put(world, changes, judged, session)
        rentals.append(rental)
    swap = swap._replace(
        units_out=(*swap.units_out, *(door.unit for door in doors)),
        packs_out=(*swap.packs_out, *(rental.item or "" for rental in rentals)),
        rentals_out=(*swap.rentals_out, *(rental.id for rental in rentals)),
    )
    return put_swap(world.assets, changes.assets, swap), rentals


def still_fit(world: World, changes: Changes, swap: Swap, rental: Rental, now: datetime) -> tuple[Rental, str | None]:
    """A psp takes its time: the pack that was chosen before, or another one if that one cannot be handed out now."""
    doors: list[Door] | str = "NoBatteryAvailable"
    for unit in (rental.unit, None):
        if isinstance(doors, str):
            doors = packs.choose(
                world, swap.station_id, 1, now, driver_id=swap.driver_id, item_type=rental.item_type, unit=unit,
                besides=swap.units_in, keeper=rental.id,
            )  # fmt: skip
    if isinstance(doors, str):
        rental = cancel(world, changes, rental, "gone", now)
        _, error = _refused(world, changes, swap, "NoBatteryAvailable", now)
        return rental, error
    door = doors[0]
    if door.unit != rental.unit:
        free_door(world, changes, rental)
        put_door(world.assets, changes.assets, door._replace(reserved_for=rental.id))
    rental = write(world, changes, rental._replace(unit=door.unit, item=door.mark_item))
    handed_out(world, changes, swap, rental)
    return rental, None


# -- money ------------------------------------------------------------------------------------------------------------


def settle_in(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """The bill of a pack that came back."""
    settle(world, changes, world.assets.rentals[rental.id], now)


def _due(world: World, session: Session, used: Used, mine: dict[UUID, Voucher], at: datetime) -> tuple[int, int]:
    """(fee, part of it that vouchers release) of a use; what it takes of `mine` is taken there."""
    priced = world.priced_of(session)
    assert priced is not None and session.currency is not None
    if session.means == "balance" and priced.tariff.own is not None:
        usable = voucher.for_rental(mine.values(), begins(session), session.currency, at)
        used = voucher.cover(usable, used, priced.tariff.own, session.currency)
        for part in used.drawn:
            mine[part.voucher_id] = voucher.drawn_from(mine[part.voucher_id], part)
    return due(world, session, used)


def _reaches(world: World, swap: Swap, known: Token, waiting: Sequence[Rental], now: datetime) -> bool:
    """Whether a balance, with what the old packs' holds give back, pays their bills and is enough for the new ones."""
    station, driver_id = world.stations[swap.station_id], payer.person(world, known)
    terms = station.terms
    if terms is None or driver_id is None:
        return True  # refused for that reason when its payer is judged
    if any(driver == driver_id and minor > world.rules.debt_minor_max for (driver, _), minor in world.debts.items()):
        return False
    have: dict[str, int] = {}
    mine = {v.id: v for v in world.assets.vouchers.of("driver", driver_id)}
    for rental in waiting:
        session = session_of(world, rental)
        if session.means != "balance" or session.currency is None or session.driver_id != driver_id:
            continue
        before = have.get(session.currency, world.balances.get((driver_id, session.currency), 0))
        _, used, _, end = ending(world, rental, now)
        due_minor, drawn_minor = _due(world, session, used, mine, judged_at(rental, end, now))
        have[session.currency] = before + session.hold_minor - (due_minor - drawn_minor)
    left = have.get(terms.currency, world.balances.get((driver_id, terms.currency), 0))
    return min([left, *have.values()]) >= 0 and left >= len(waiting) * _wanted(world, swap, list(mine.values()), now)


def _wanted(world: World, swap: Swap, mine: Sequence[Voucher], now: datetime) -> int:
    """What is set aside for one pack that is handed out here."""
    station = world.stations[swap.station_id]
    terms = station.terms
    assert terms is not None
    priced = world.priced[terms.tariff_id, terms.tariff_version, station.provider_id, terms.terms_version]
    own = priced.tariff.own
    there = voucher.Begins(station.id, station.site_id, station.provider_id, station.time_zone, now, station.tags)
    usable = voucher.for_rental(mine, there, terms.currency, now)
    covered = own is not None and voucher.covers(usable, own)
    return deposit_minor(priced.tariff, terms) + (0 if covered else terms.hold_minor)


def _is_covered(world: World, swap: Swap, known: Token, now: datetime) -> bool:
    """Whether the new pack needs no psp: vouchers cover it, and there is no deposit."""
    driver_id, terms = payer.person(world, known), world.stations[swap.station_id].terms
    mine = world.assets.vouchers.of("driver", driver_id)
    return terms is not None and bool(mine) and _wanted(world, swap, mine, now) == 0


# -- no exchange ------------------------------------------------------------------------------------------------------


def _refused(world: World, changes: Changes, swap: Swap, error: str, now: datetime) -> tuple[Swap, str]:
    """Nothing is billed; the driver may take the own packs back, or pay meanwhile."""
    for place, id_ in enumerate(swap.rentals_in):
        rental = None if id_ is None else world.assets.rentals[id_]
        if rental is not None and rental.state == "returning":
            offer_back(world, changes, swap, place, error, now)
    return move(world, changes, swap, "awaiting_payment", now, error), error


def offer_back(world: World, changes: Changes, swap: Swap, place: int, error: str, now: datetime) -> None:
    """Has the slot opened again that a pack was put into: it is not accepted, or not paid for."""
    assets, unit, code = world.assets, swap.units_in[place], swap.packs_in[place]
    id_ = swap.rentals_in[place]
    rental = None if id_ is None else assets.rentals[id_]
    offers = [] if rental is None else [g for g in assets.grants.of("rental", rental.id) if _is_offer(g, swap)]
    id_of_grant = named(swap.id, f"back/{unit}/{len(offers)}")
    left = any(grant.error == LEFT for grant in offers)
    if assets.live_grant(swap.station_id, unit) is not None or id_of_grant in assets.grants:
        return
    if left or len(offers) >= BACK_TRIES_MAX:
        return
    grants.allow(
        world, changes, id_of_grant, assets.doors[swap.station_id, unit], "take", rental, now, by_reply=False,
        proof=swap.proof, by=swap.asked_by, item=code or None, swap=swap, refused=error,
    )  # fmt: skip


def _is_offer(grant: Grant, swap: Swap) -> bool:
    """Whether a grant offers a pack back that was put in by this swap."""
    return grant.station_id == swap.station_id and swap.inserted_at is not None and grant.issued_at >= swap.inserted_at
