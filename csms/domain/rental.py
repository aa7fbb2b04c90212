"""
A rental: one item in a driver's hands, from release to return.

Like a session it gathers facts in any order: who pays, when the item was taken, when it came back. With all
three it is closed. Its money is the session of the same id (`use` is `rental`): held when it begins, billed
by the tariff's `extra` when it ends. Nothing is ever billed by a guess: what is unclear waits, `provisional`,
for evidence or for people.

| state         | item                          |                                                            |
|---------------|-------------------------------|------------------------------------------------------------|
| `requested`   | reserved                      | a psp has still to decide                                  |
| `opening`     | behind a door that is to open | a grant is live, or being replaced                         |
| `active`      | with the driver               |                                                            |
| `overdue`     | with the driver               | later than its time and grace                              |
| `returning`   | behind an open door           | or reported by a snapshot whose cabinet has more to tell   |
| `provisional` | unclear, or to be inspected   | the hold stays                                             |
| `deemed`      | with the driver               | so late that it counts as bought; may still come back      |
| `closed`, `cancelled`, `refused` | anywhere   | billed; billed with nothing; nobody paid                   |
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from csms.base.ids import derived
from csms.base.units import seconds_between
from csms.domain import billing, budget, grants, packs, voucher
from csms.domain.assets import Item, Rental, put_door, put_rental
from csms.domain.billing import Closing, close
from csms.domain.errand import Concern, Errand
from csms.domain.folding import closed, put
from csms.domain.holding import begins
from csms.domain.pack_usage import MISMATCH
from csms.domain.rental_times import RETURN_S_MAX, away_s, due_at, ended_at, next_look, used
from csms.domain.session import RESERVED, Session, flagged, opened, refused
from csms.domain.tariff import Usage, price
from csms.domain.tariff_own import Own, Used
from csms.domain.world import Changes, World

UNSEEN = "taking_unseen"
"""The flag of a rental whose cabinet has not said (yet) when its item was taken."""

EXCHANGE = "exchange"
"""The reason of a rental whose pack was put in for another one: its swap ends it."""

STOP_PLACE, ODD_PLACE = 30, 38
"""Derived ids of the errand that ends energy when a rental is over, and of what is odd about its pack."""


def ref_of(rental_id: UUID) -> str:
    """The ref of a rental's session."""
    return f"{RESERVED}{rental_id}"


def session_of(world: World, rental: Rental) -> Session:
    """The session that is its money."""
    return world.sessions[rental.station_id, ref_of(rental.id)]


def own_of(world: World, rental: Rental) -> Own | None:
    """The part of its tariff that prices rentals."""
    priced = world.priced_of(session_of(world, rental))
    return None if priced is None else priced.tariff.own


def opened_at(world: World, rental: Rental) -> datetime:
    """When its item was taken, as far as doors tell: since its door opened, or was let open."""
    grant = grants.newest_to_take(world.assets, rental.id)
    return rental.requested_at if grant is None else grant.opened_at or grant.issued_at


def begin(
    world: World,
    changes: Changes,
    rental_id: UUID,
    place: tuple[str, int],
    item: Item,
    now: datetime,
    *,
    asked_by: str,
    proof: str,
    swap_id: UUID | None = None,
    offline: bool = False,
    flags: tuple[str, ...] = (),
) -> Rental:
    """A rental that is wanted, with its session: the door is kept for it, nobody has said yet who pays."""
    station_id, unit = place
    station = world.stations[station_id]
    session = opened(station, rental_id, ref_of(rental_id), ref_of(rental_id), offline, now)
    session = session._replace(use="rental", connector=unit)
    world.sessions[session.station_id, session.ref] = changes.opened[session.id] = session
    rental = Rental(
        id=rental_id, version=1, state="requested", station_id=station_id, unit=unit, provider_id=station.provider_id,
        driver_id=None, item=item.code, item_type=item.type, requested_at=now, asked_by=asked_by, proof=proof,
        taken_at=None, due_at=None, returned_at=None, return_station=None, return_unit=None, stopped_at=None,
        extensions=0, outage_s=0, damage_minor=0, tries=0, reminders=0, flags=flags, reason=None, checked_at=None,
        closed_at=None, swap_id=swap_id,
    )  # fmt: skip
    door = world.assets.doors[place]
    if not offline:
        put_door(world.assets, changes.assets, door._replace(reserved_for=rental.id))
    return write(world, changes, rental)


# -- facts ------------------------------------------------------------------------------------------------------------


def taken(
    world: World, changes: Changes, rental: Rental, item: str, at: datetime, now: datetime, *, sure: bool = True
) -> Rental:
    """
    Its driver has the item since `at`; of two reports the earlier counts, and any before what was only concluded.

    Not `sure`: nobody saw it leave, but it is somewhere else now.
    """
    own = own_of(world, rental)
    concluded = UNSEEN in rental.flags
    if rental.taken_at is None:
        taken_at = at
    elif sure:
        taken_at = at if concluded else min(rental.taken_at, at)
    else:
        taken_at = rental.taken_at
    flags = tuple(flag for flag in rental.flags if flag != UNSEEN)
    if not sure and (rental.taken_at is None or concluded):
        flags = (*flags, UNSEEN)
    rental = packs.with_level_out(world.assets, rental._replace(item=item, taken_at=taken_at, flags=flags))
    rental = rental._replace(due_at=due_at(rental, own))
    if rental.state in ("opening", "provisional") and rental.returned_at is None:
        rental = rental._replace(state="active", reason=None)
    free_door(world, changes, rental)
    return finish(world, changes, rental, now)


def returned(
    world: World, changes: Changes, rental: Rental, place: tuple[str, int], at: datetime, now: datetime, *, sure: bool
) -> Rental:
    """
    Its item stands in a unit since `at`; of two reports the earlier counts.

    Not `sure`: a snapshot says so, and its cabinet may have an earlier report to tell.
    """
    if rental.returned_at is None or at < rental.returned_at:
        station_id, unit = place
        rental = rental._replace(returned_at=at, return_station=station_id, return_unit=unit)
    if rental.state != "provisional" or rental.reason == "unclear":
        rental = rental._replace(state="returning", reason=EXCHANGE if rental.reason == EXCHANGE else None)
    return finish(world, changes, rental, now) if sure else write(world, changes, rental)


def taken_again(world: World, changes: Changes, rental: Rental) -> Rental:
    """Its item left the door it had just been put into, or was never put there: it is not back yet."""
    since = rental.taken_at or opened_at(world, rental)
    rental = rental._replace(state="active", reason=None, taken_at=since)
    rental = rental._replace(returned_at=None, return_station=None, return_unit=None)
    free_door(world, changes, rental)
    return write(world, changes, rental._replace(due_at=due_at(rental, own_of(world, rental))))


def to_inspect(world: World, changes: Changes, rental: Rental, flags: tuple[str, ...]) -> Rental:
    """What came back is odd: people look at it before the deposit is let go."""
    rental = rental._replace(state="provisional", reason="inspect", flags=flagged(rental.flags, *flags))
    return write(world, changes, rental)


# -- the end ----------------------------------------------------------------------------------------------------------


def finish(world: World, changes: Changes, rental: Rental, now: datetime) -> Rental:
    """
    Closes it if it is known when its item left and came back, its door is closed, and nobody has to look at it.

    Of a pack that came back its level must be known, too: it says what was taken from it. One that is to be exchanged
    is not billed before its driver can pay for the next (`swap_pay.py`), or has left it there.
    """
    rental = packs.with_level_in(world.assets, rental)
    if rental.reason == EXCHANGE:
        return write(world, changes, rental)
    if rental.state != "returning" or rental.taken_at is None or rental.returned_at is None:
        return write(world, changes, rental)
    assert rental.return_station is not None and rental.return_unit is not None
    door = world.assets.doors.get((rental.return_station, rental.return_unit))
    waits = door is not None and door.state in ("open", "ajar", "forced")
    waits = waits or packs.waits_for_level(world.assets, rental)
    if waits and seconds_between(rental.returned_at, now) < RETURN_S_MAX:
        return write(world, changes, rental)
    return settle(world, changes, rental, now)


def settle(world: World, changes: Changes, rental: Rental, now: datetime) -> Rental:
    """Bills it; the rest of what was held goes back."""
    rental, usage, start, end = ending(world, rental, now)
    if packs.is_pack(world.assets, rental.item):
        _hold_all(world, changes, rental, usage, judged_at(rental, end, now), now)
    bill(world, changes, rental, usage, start, end, now)
    _disagrees(changes, rental, now)
    return over(world, changes, rental._replace(state="closed", closed_at=now))


def ending(world: World, rental: Rental, now: datetime) -> tuple[Rental, Used, datetime, datetime]:
    """How it would be billed now: the rental with what was measured, what was used, from when until when."""
    own, start = own_of(world, rental), rental.taken_at
    assert start is not None
    end = max(start, ended_at(rental, now))
    rental = with_outage(world, rental, end)
    if packs.is_pack(world.assets, rental.item):
        measured = packs.taken_from(rental, own)
        rental = rental._replace(battery_wh=measured.wh, flags=flagged(rental.flags, *measured.flags))
    currency = session_of(world, rental).currency
    assert currency is not None
    return rental, used(rental, own, end, currency), start, end


def judged_at(rental: Rental, end: datetime, now: datetime) -> datetime:
    """When vouchers must be valid to pay for a use: at its end; where a swap waits for them, by now."""
    return now if rental.reason == EXCHANGE else end


def _hold_all(world: World, changes: Changes, rental: Rental, what: Used, at: datetime, now: datetime) -> None:
    """What the hold of a pack's rental does not reach is taken from the balance, as far as that reaches."""
    session = session_of(world, rental)
    if session.means != "balance" or session.driver_id is None or session.currency is None:
        return
    due_minor, drawn_minor = due(world, session, covered(world, session, what, at))
    key, more = (session.driver_id, session.currency), due_minor - drawn_minor - session.hold_minor
    there = min(more, world.balances.get(key, 0), budget.room(world, session))
    if there > 0:
        world.balances[key] -= there
        raised = budget.spend(world, changes, session, there)._replace(hold_minor=session.hold_minor + there)
        changes.postings.append(billing.more_held(raised, there, now))
        put(world, changes, raised, session)


def due(world: World, session: Session, what: Used) -> tuple[int, int]:
    """(fee, part of it that vouchers release) of a use, whatever was held for it."""
    priced = world.priced_of(session)
    assert priced is not None
    return price(Usage(0, what.held_s, (), own=what), priced.tariff, session.time_zone).total_minor, what.drawn_minor


def _disagrees(changes: Changes, rental: Rental, now: datetime) -> None:
    """People look at a pack whose level and counters say different things, or nothing."""
    for flag in (MISMATCH, packs.UNMEASURED):
        if flag in rental.flags and rental.battery_wh is not None:
            details: dict[str, object] = {
                "item": rental.item,
                "driver": rental.driver_id,
                "billed_wh": rental.battery_wh,
            }
            id_ = derived(rental.id, ODD_PLACE)
            changes.concerns.append(Concern(id_, flag, str(rental.id), rental.return_station, details, now))


def with_outage(world: World, rental: Rental, end: datetime) -> Rental:
    """The rental with the seconds until `end` for which nobody pays a late fee."""
    outages = world.assets.outages.get(rental.station_id, [])
    return rental._replace(outage_s=away_s(outages, rental, own_of(world, rental), end))


def cancel(world: World, changes: Changes, rental: Rental, reason: str, now: datetime) -> Rental:
    """Nothing was taken: no fee, and what was held goes back."""
    session = session_of(world, rental)
    if session.state == "active":
        bill(world, changes, rental, Used(), rental.requested_at, rental.requested_at, now)
    elif session.state == "pending":
        put(world, changes, refused(session, "cancelled", now), session)
    return over(world, changes, rental._replace(state="cancelled", reason=reason, closed_at=now))


def over(world: World, changes: Changes, rental: Rental) -> Rental:
    """What is done outside once a rental is over: nobody gets energy from its item any more."""
    free_door(world, changes, rental)
    if rental.item is not None and rental.taken_at is not None:
        payload: dict[str, object] = {"rental": str(rental.id), "item": rental.item}
        id_, key = derived(rental.id, STOP_PLACE), f"rental/{rental.id}/stop"
        changes.errands.append(Errand(id_, "item.stop", key, f"rental/{rental.id}", payload))
    return write(world, changes, rental)


def bill(
    world: World, changes: Changes, rental: Rental, what: Used, start: datetime, end: datetime, now: datetime
) -> None:
    """The bill of a rental, by the road of every use: one posting takes the fee and gives the rest back."""
    before = session_of(world, rental)
    assert before.state == "active", before
    priced = world.priced_of(before)
    assert priced is not None
    session = before._replace(
        started_at=start,
        ended_at=end,
        energy_wh=0,
        meter_start_wh=0,
        meter_end_wh=0,
        end_reason=rental.state[:40],
        flags=flagged(before.flags, *rental.flags),
    )
    what = covered(world, before, what, judged_at(rental, end, now))
    closing: Closing = close(session, Usage(0, what.held_s, (), own=what), priced, now)
    closed(world, changes, before, closing)


def covered(world: World, session: Session, what: Used, at: datetime) -> Used:
    """What of a use its driver's vouchers cover; a psp that was asked for it pays all of it."""
    priced = world.priced_of(session)
    if priced is None or priced.tariff.own is None or session.means != "balance" or session.currency is None:
        return what
    mine = world.assets.vouchers.of("driver", session.driver_id)
    usable = voucher.for_rental(mine, begins(session), session.currency, at)
    return voucher.cover(usable, what, priced.tariff.own, session.currency) if usable else what


# -- rows -------------------------------------------------------------------------------------------------------------


def free_door(world: World, changes: Changes, rental: Rental) -> None:
    """The door that was kept for it is kept no longer."""
    for door in world.assets.doors.of("kept for", rental.id):
        put_door(world.assets, changes.assets, door._replace(reserved_for=None))


def write(world: World, changes: Changes, rental: Rental) -> Rental:
    """The rental as it is now, with the next time at which the clock alone changes something about it."""
    rental = rental._replace(checked_at=next_look(rental, own_of(world, rental)))
    return put_rental(world.assets, changes.assets, rental)
