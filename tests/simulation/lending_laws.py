"""
What holds in a town of lockers: `always` after every report, `at_rest` when everything has been told.

The numbers are those of the invariants of lending. Judged by rows, accounts and by what really happened.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from csms.base.ids import derived
from csms.domain.assets import LIVE, OPEN, OVER, Grant, Rental
from csms.domain.rental import ref_of
from csms.domain.returns import REVIVED_PLACE
from csms.domain.session import Session
from tests.domain.lending_town import DRIVERS
from tests.simulation.lockers import Lockers, Trip

FUNDS = 100_000
THEFTS = frozenset({"item_taken_without_rental", "item_missing", "item_mismatch"})
ALARMS = frozenset({"door_forced", "item_online_without_rental", "rental_unclear", *THEFTS})
"""What staff are told of an item that somebody may have without leave."""


def always(town: Lockers) -> None:
    """What holds after every step."""
    _custody(town)
    _grants(town)
    _uses(town)
    _money(town)


def _custody(town: Lockers) -> None:
    assets = town.world.assets
    standing = [(item.station_id, item.unit) for item in assets.items.values() if item.place == "connector"]
    assert len(standing) == len(set(standing)), "1: a door holds at most one item"
    for item in assets.items.values():
        assert (item.place == "connector") == (item.unit is not None), "1: an item is in exactly one place"
        assert (item.place == "driver") == (item.rental_id is not None), "1: who has it has it by a rental"
    having = Counter(rental.item for rental in assets.rentals.values() if rental.state in OPEN)
    assert max(having.values(), default=0) <= 1, "2: at most one open custody per item"


def _grants(town: Lockers) -> None:
    assets = town.world.assets
    live = Counter((grant.station_id, grant.unit) for grant in assets.grants.values() if grant.state in LIVE)
    assert max(live.values(), default=0) <= 1, "2: at most one live grant per door"
    for grant in assets.grants.values():
        assert (grant.state in LIVE) == (grant.ended_at is None), "3: a grant that is over has an end"
        opened = town.openings[grant.id] or (grant.station_id, grant.unit) in town.rogue
        assert grant.state != "used" or opened, "3: a grant is used by an opening"
    keys = Counter(errand.key for errand in town.commands())
    assert max(keys.values(), default=0) <= 1, "3: a door is told to open once by one grant"
    for door in assets.doors.values():
        keeper = None if door.reserved_for is None else assets.rentals.get(door.reserved_for)
        waits = keeper is not None and keeper.state not in (*OVER, "active", "overdue")
        assert door.reserved_for is None or waits, "4: a door is kept for a rental that waits for it"


def _uses(town: Lockers) -> None:
    assets = town.world.assets
    for rental in assets.rentals.values():
        session = town.world.sessions[rental.station_id, ref_of(rental.id)]
        name = f"{rental.state} {rental.reason}, {session.state}"
        assert (session.state == "active") == (rental.state in OPEN), f"6: a hold stands while its use is open: {name}"
        if session.state == "active" and session.means == "balance":
            assert held(town, session) == session.hold_minor, f"6: what is held is there: {name}"
        else:
            assert held(town, session) == 0, f"6: nothing is held for what is over: {name}"
        assert (rental.state in OVER) == (rental.closed_at is not None), f"4: what is over has its time: {name}"
        if rental.state not in OVER:
            assert rental.checked_at is not None, f"4: somebody looks again at what is open: {name}"
        if rental.state == "opening" and not _is_opening(town, rental):
            raise AssertionError(f"4: no rental is opening without a grant: {name}")


def _is_opening(town: Lockers, rental: Rental) -> bool:
    """A grant of it is live, or its door has opened and people are at it."""
    grants = [grant for grant in town.world.assets.grants.values() if grant.rental_id == rental.id]
    return any(grant.state in LIVE or grant.state == "used" for grant in grants)


def held(town: Lockers, session: Session) -> int:
    return town.accounts[f"session:{session.id}:held"]


def _money(town: Lockers) -> None:
    assert sum(town.accounts.values()) == 0, "5: postings sum to zero"
    for address, minor in town.accounts.items():
        if address.endswith((":balance", ":held", ":payable")):
            assert minor >= 0, f"5: guarded accounts are never negative: {address}"
    fees: Counter[str | None] = Counter()
    for bill in town.bills:
        total, shares = bill.price.total_minor, bill.shares
        parts = shares.operator_minor + shares.provider_minor + shares.host_minor
        assert parts == total, "8: the shares are the fee"
        offline = bill.session.offline
        assert total <= bill.session.hold_minor or offline, "7: no fee above the hold"
        if bill.session.means == "balance":
            fees[bill.session.driver_id] += total
    for session in town.world.sessions.values():
        fees[session.driver_id] += held(town, session)
    for driver in DRIVERS.values():
        paid = (0 if driver == "poor" else FUNDS) - town.balance(driver) - town.accounts[f"driver:{driver}:debt"]
        assert fees[driver] == paid, f"7: refund, fee and what is kept are what was paid: {driver}"


# -- at rest ----------------------------------------------------------------------------------------------------------


def at_rest(town: Lockers) -> None:
    """What holds when everything was told and the clock has run on."""
    assets = town.world.assets
    for rental in assets.rentals.values():
        assert rental.state in OVER, f"liveness: every rental is over at last, not {rental.state} {rental.reason}"
    for grant in assets.grants.values():
        assert grant.state not in LIVE, f"liveness: every grant is over at last, not {grant.state}"
    for door in assets.doors.values():
        assert door.reserved_for is None, "liveness: every door is free at last"
        assert door.state == "closed", f"liveness: every door is known to be closed, not {door.state}"
    assert town.held() == 0, "liveness: no hold outlives its use"
    for at, box in town.boxes.items():
        ours = [i.code for i in assets.items.values() if (i.station_id, i.unit) == at and i.place == "connector"]
        there = [box.item] if box.item in assets.items else []
        assert ours == there, f"1: custody is where items are: {at} {ours} {there}"
    forced = {(it.station_id, it.details["unit"]) for it in town.concerns if it.kind == "door_forced"}
    assert set(town.rogue) <= forced, f"3: whatever opens without a live grant is an alarm: {town.rogue} {forced}"
    for trip in town.trips:
        _accounted(town, trip)
    for rental in assets.rentals.values():
        if paid(town, rental):
            assert _trips(town, rental) or _forced(town, rental), f"nobody pays for what was not taken: {rental}"
        _costs_its_time(town, rental)


def _forced(town: Lockers, rental: Rental) -> bool:
    """A thief was at its door while it was to open; what reports do not say by which grant is taken for its own."""
    return any(
        g.rental_id == rental.id and (g.station_id, g.unit) in town.rogue for g in town.world.assets.grants.values()
    )


def before_a_look(town: Lockers) -> None:
    """What holds when everything was told, and no cabinet was asked yet what is where."""
    for at, box in town.boxes.items():
        item = town.world.assets.items.get(box.item or "")
        if item is not None and all(trip.told for trip in town.trips if trip.item == item.code):
            assert (item.station_id, item.unit) == at, f"1: custody is where items are: {at} {item}"


def most(seconds: float) -> int:
    """The most that somebody pays who has an item for so long and brings it back whole."""
    tiers = [(0, 0), (300, 165), (1_800, 360), (86_400, 900), (86_400 + 1_800, 1_900), (2 * 86_400 + 1_800, 3_900)]
    return max(minor for since, minor in tiers if seconds + 60 >= since)


def _costs_its_time(town: Lockers, rental: Rental) -> None:
    """Whoever brings an item back pays for the time they had it, however late that was told; damage comes on top."""
    mine = [trip for trip in _trips(town, rental) if trip.told]
    if len(mine) != 1 or len(_trips(town, rental)) != 1 or _forced(town, rental):
        return
    if "told_late" in rental.flags:
        return  # billed until its item was last seen: a snapshot since then hides when it came
    [trip] = mine
    if trip.put_at is not None:
        fee, time = paid(town, rental), (trip.put_at - trip.taken_at).total_seconds()
        time = max(time, 300) if rental.damage_minor else time  # what is back at once is free if it is whole
        assert fee - rental.damage_minor <= most(time), f"10: {fee} for {time} s is too much: {rental}"


def paid(town: Lockers, rental: Rental) -> int:
    """What was charged for it, less what was given back."""
    return sum(bill.price.total_minor for bill in town.bills if bill.session.id == rental.id)


def _trips(town: Lockers, rental: Rental) -> list[Trip]:
    """The journeys of items that its grants made possible; one that no sensor told of is anybody's at that door."""
    grants = {g.id for g in town.world.assets.grants.values() if g.rental_id == rental.id}
    grants |= {g.id for g in town.world.assets.grants.values() if derived(g.id, REVIVED_PLACE) == rental.id}
    doors = {(g.station_id, g.unit) for g in town.world.assets.grants.values() if g.id in grants and g.why == "take"}
    return [trip for trip in town.trips if trip.grant in grants or (trip.box in doors and not trip.told)]


def _accounted(town: Lockers, trip: Trip) -> None:
    """Whoever has an item has it by a rental that pays, or staff know."""
    alarmed = any(_names(concern, trip) for concern in town.concerns)
    grant = None if trip.grant is None else town.world.assets.grants[trip.grant]
    if grant is not None and grant.rental_id is None:
        return  # staff have it
    if grant is None:
        named = any(concern.details.get("item") == trip.item for concern in town.concerns if concern.kind in THEFTS)
        alarmed = named or (alarmed and not trip.at_once)
        assert alarmed or _is_anybodys(town, trip), (
            f"conservation: an item left without leave, and nobody was told: {trip}"
        )
        return
    if grant.why == "return" and not trip.at_once:
        return  # put back and taken out again by one opening, told in any order: which return counted is not known
    free = trip.put_at is not None and trip.put_at - trip.taken_at <= timedelta(seconds=400)
    others = [
        r for r in town.world.assets.rentals.values() if not trip.told and trip in _trips(town, r) and paid(town, r)
    ]
    assert free or alarmed or others or _paid_for(town, grant), (
        f"conservation: an item was taken and nobody pays: {trip}"
    )


def _paid_for(town: Lockers, grant: Grant) -> bool:
    """Or its clock stood still, because it could not be given back."""
    assets = town.world.assets
    ids: list[Any] = [grant.rental_id, derived(grant.id, REVIVED_PLACE)]
    rentals = [assets.rentals[id_] for id_ in ids if id_ in assets.rentals]
    return any(paid(town, rental) > 0 or rental.stopped_at is not None for rental in rentals)


def _is_anybodys(town: Lockers, trip: Trip) -> bool:
    """A grant was live at the door that was forced: what is told without a grant is taken for its own."""
    grants = [g for g in town.world.assets.grants.values() if (g.station_id, g.unit) == trip.box]
    return any(abs((g.issued_at - trip.taken_at).total_seconds()) < 120 for g in grants)


def _names(concern: Any, trip: Trip) -> bool:
    """Whether a concern is about this item, or the door it left."""
    if concern.kind not in ALARMS:
        return False
    at_its_door = (concern.station_id, concern.details.get("unit")) == trip.box
    return bool(concern.details.get("item") == trip.item or at_its_door)


def unchanged(town: Lockers, before: Any) -> None:
    """Nothing has changed since `seen`."""
    assert seen(town) == before, "9: what is told again changes nothing"


def seen(town: Lockers) -> Any:
    """Everything that telling again must not change."""
    world, assets = town.world, town.world.assets
    rows = (assets.items, assets.doors, assets.grants, assets.rentals, assets.cabinets, world.sessions, world.balances)
    counts = len(town.bills), len(town.concerns), len(town.errands)
    return [dict(it) for it in rows], counts, dict(town.accounts)
