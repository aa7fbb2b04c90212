"""What the clock does to rentals: reminders, lateness, the deemed purchase, and an end to whatever is unclear."""

from __future__ import annotations

from datetime import datetime, timedelta

from csms.base.ids import derived
from csms.domain import corrections, grants, packs
from csms.domain.asset_events import RentalChecked
from csms.domain.assets import Rental, put_item, put_rental
from csms.domain.billing import charged
from csms.domain.errand import Concern, Errand
from csms.domain.events import RECORDED, BillRefunded, Outcome
from csms.domain.folding import lacks, note, put
from csms.domain.heard import incident
from csms.domain.rental import (
    bill,
    cancel,
    opened_at,
    over,
    own_of,
    session_of,
    settle,
    taken,
    taken_again,
    with_outage,
    write,
)
from csms.domain.rental_times import (
    BUY_BACK_S_MAX,
    OPENING_S_MAX,
    bought_at,
    ended_at,
    late_from,
    reminder_at,
    used,
)
from csms.domain.tariff import Usage
from csms.domain.world import Changes, World

REPORT_PLACE, REMIND_PLACE = 31, 200
"""Derived ids of a rental's question and reminders (these are counted from there)."""

GRACE_S = 30
"""How much longer a rental waits than the grant of its door."""

CONCERNS = {"rental_unclear": 35, "item_bought": 36, "refund_owed": 37}
"""Derived ids of what staff are told of a rental."""


def checked(world: World, changes: Changes, event: RentalChecked) -> Outcome:
    """Does what is due of one rental; looked at too early, or twice, nothing is."""
    rental, now = world.assets.rentals.get(event.rental_id), event.received_at
    if rental is None or rental.checked_at is None or rental.checked_at > now:
        return RECORDED
    match rental.state:
        case "requested":
            cancel(world, changes, rental, "no_verdict", now)
        case "opening":
            _end_opening(world, changes, rental, now)
        case "returning":
            _end_return(world, changes, rental, now)
        case "provisional" if rental.reason == "inspect":
            _not_inspected(world, changes, rental, now)
        case "provisional":
            _give_up(world, changes, rental, now)
        case _:
            _held(world, changes, rental, now)
    return RECORDED


def _end_opening(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """The last door that was told to open for it has its time, however long a psp or other doors took before."""
    grant = grants.newest_to_take(world.assets, rental.id)
    until = (
        None if grant is None else grant.issued_at + timedelta(seconds=max(OPENING_S_MAX, grant.opening_s + GRACE_S))
    )
    if until is not None and now < until:
        put_rental(world.assets, changes.assets, rental._replace(checked_at=until))
    else:
        ask_cabinet(world, changes, unclear(world, changes, rental, now))


def unclear(world: World, changes: Changes, rental: Rental, now: datetime) -> Rental:
    """Its door can open no more, and nobody said whether the item was taken: the hold waits for evidence."""
    assert rental.state == "opening"
    return write(world, changes, rental._replace(state="provisional", reason="unclear"))


def ask_cabinet(world: World, changes: Changes, rental: Rental) -> None:
    """Have the cabinet say what is where."""
    payload: dict[str, object] = {"station": rental.station_id}
    id_, key = derived(rental.id, REPORT_PLACE), f"rental/{rental.id}/report"
    changes.errands.append(Errand(id_, "cabinet.report", key, f"station/{rental.station_id}", payload))


def _end_return(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """The cabinet has had its time. What came back elsewhere was taken when its door was opened for it."""
    if rental.taken_at is None and (rental.return_station, rental.return_unit) == (rental.station_id, rental.unit):
        cancel(world, changes, rental, "seen there", now)
        return
    if rental.taken_at is None:
        assert rental.item is not None
        rental = taken(world, changes, rental, rental.item, opened_at(world, rental), now, sure=False)
    if rental.state == "returning":
        settle(world, changes, packs.with_level_in(world.assets, rental), now)


def _not_inspected(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """Nobody looked at what came back. Where that was something else, what was lent is still out."""
    item = world.assets.items.get(rental.item or "")
    if item is not None and item.rental_id == rental.id:
        taken_again(world, changes, rental)
        return
    taken_at = rental.taken_at or opened_at(world, rental)
    settle(world, changes, rental._replace(reason="not_inspected", taken_at=taken_at), now)


def _give_up(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """Nothing was heard: nobody pays for a guess, and staff look for the item."""
    cancel(world, changes, rental, "unclear", now)
    _tell_staff(changes, rental, "rental_unclear", now)


def _held(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    own, rental = own_of(world, rental), with_outage(world, rental, now)
    assert own is not None and rental.due_at is not None
    bought = bought_at(rental, own)
    if bought is not None and bought <= now:
        _buy(world, changes, rental, bought, now)
        return
    remind = reminder_at(rental, own)
    if remind is not None and remind <= now:  # a purchase that an outage puts off is looked at, too
        number = rental.reminders + 1
        late = late_from(rental.due_at, own) <= now
        state = "overdue" if rental.state == "active" and late else rental.state
        rental = rental._replace(reminders=number, state=state)
        payload: dict[str, object] = {"rental": str(rental.id), "number": number}
        key = f"rental/{rental.id}/remind/{number}"
        id_ = derived(rental.id, REMIND_PLACE + number)
        changes.errands.append(Errand(id_, "rental.remind", key, f"rental/{rental.id}", payload))
    write(world, changes, rental)


def _buy(world: World, changes: Changes, rental: Rental, at: datetime, now: datetime) -> None:
    """The item counts as bought, once: billed out of the deposit. It stays with its driver."""
    session = session_of(world, rental)
    assert rental.taken_at is not None and session.currency is not None and rental.item is not None
    sold = used(rental, own_of(world, rental), at, session.currency, bought=True)
    bill(world, changes, rental, sold, rental.taken_at, at, now)
    item = world.assets.items.get(rental.item)
    if item is not None:
        put_item(world.assets, changes.assets, item._replace(state="sold"))
    _tell_staff(changes, rental, "item_bought", now)
    over(world, changes, rental._replace(state="deemed", closed_at=at))


def came_back(
    world: World, changes: Changes, rental: Rental, place: tuple[str, int], at: datetime, now: datetime
) -> None:
    """
    The item of a rental that is billed was back at `at`: bought, or earlier than anybody knew when it was billed.

    What was billed too much is refunded; the price of a purchase only within the time for it.
    """
    session = session_of(world, rental)
    if lacks(world, changes, session):
        return
    station_id, unit = place
    back = rental._replace(state="closed", returned_at=at, return_station=station_id, return_unit=unit)
    if rental.state == "deemed":
        assert rental.closed_at is not None and rental.item is not None
        item = world.assets.items[rental.item]
        if item.state == "sold":  # and not what staff have said of it since
            put_item(world.assets, changes.assets, item._replace(state="ok"))
        back = back._replace(reason="came_back")
        if at - rental.closed_at > timedelta(seconds=BUY_BACK_S_MAX):
            write(world, changes, back)
            return
        at = min(at, rental.closed_at)
    end = min(at, ended_at(back, at))
    due_minor = _due_minor(world, with_outage(world, back, end), end)
    _refund(world, changes, back, (session.fee_minor or 0) - session.drawn_minor - due_minor, now)
    if session.drawn_minor:  # units do not come back by themselves: people look at the rest
        _tell_staff(changes, back, "refund_owed", now, drawn_minor=session.drawn_minor)
    write(world, changes, back)


def _due_minor(world: World, rental: Rental, end: datetime) -> int:
    """What it would have cost, had its item come back at `end`."""
    session, own = session_of(world, rental), own_of(world, rental)
    priced = world.priced_of(session)
    assert priced is not None and session.currency is not None
    what = used(rental, own, end, session.currency, bought=False)
    due, _ = charged(session, Usage(0, what.held_s, (), own=what), priced)
    return due.total_minor


def _refund(world: World, changes: Changes, rental: Rental, minor: int, now: datetime) -> None:
    if minor <= 0:
        return
    assert rental.returned_at is not None
    session = session_of(world, rental)
    id_ = incident(rental.station_id, f"returned/{rental.id}/{rental.returned_at.isoformat()}")
    why = "the bought item came back" if rental.reason == "came_back" else "the item was back earlier than was known"
    event = BillRefunded(rental.station_id, session.ref, now, id_, minor, why, "csms")
    correction = corrections.refund(session, world.books[session.id], event)
    if correction.refused is not None:
        _tell_staff(changes, rental, "refund_owed", now, refused=correction.refused, minor=minor)
        return
    changes.correct(correction, str(session.id), now, why)
    put(world, changes, correction.session, session)
    for credit in correction.bills:
        note(world, credit)


def _tell_staff(changes: Changes, rental: Rental, kind: str, now: datetime, **more: object) -> None:
    details: dict[str, object] = {"item": rental.item, "driver": rental.driver_id, "unit": rental.unit, **more}
    changes.concerns.append(
        Concern(derived(rental.id, CONCERNS[kind]), kind, str(rental.id), rental.station_id, details, now)
    )
