"""
What holds in a town of battery stations: `always` after every batch, `at_rest` when everything has been told.

The numbers are those of the invariants (shared/stations.md section 6). Judged by rows, accounts, commands, and by what
really happened; no rule of the domain is asked whether it kept itself.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from csms.domain import reservations
from csms.domain.assets import LIVE, OPEN, OVER, Grant, Rental
from csms.domain.errand import Errand
from csms.domain.pack_events import PacksMoved
from csms.domain.pack_rows import SOH_MIN, SWAP_OVER, TARGET_SOC, TEMP_MAX, TEMP_MIN, Swap
from csms.domain.rental import ref_of
from csms.domain.session import Session
from tests.domain.pack_town import CAPACITY
from tests.simulation.pack_stations import TOKENS, PackStations
from tests.simulation.pack_store import Batch

OUT_OF_TURN = frozenset({"told_late", "out_without_in"})
"""Flags of a rental whose pack had left before anybody could say so."""


def always(town: PackStations, batch: Batch) -> None:
    """What holds after every batch."""
    custody(town)
    openings(town)
    holds(town)
    money(town)
    usage(town)
    vouchers(town)
    swaps(town)
    for event in batch.events:
        if isinstance(event, PacksMoved) and event.what == "out":
            _left(town, event)
    for swap in batch.changes.assets.swaps.values():
        _taken_back(batch, swap)
    for errand in batch.changes.errands:
        if errand.kind == "door.open":
            command(town, batch, errand)


def custody(town: PackStations) -> None:
    assets = town.world.assets
    standing = [(item.station_id, item.unit) for item in assets.items.values() if item.place == "connector"]
    assert len(standing) == len(set(standing)), f"1: a slot holds at most one pack: {standing}"
    for item in assets.items.values():
        assert (item.place == "connector") == (item.unit is not None), f"1: a pack is in exactly one place: {item}"
        assert (item.place == "driver") == (item.rental_id is not None), f"1: who has it has it by a rental: {item}"
    having = Counter(rental.item for rental in assets.rentals.values() if rental.state in OPEN)
    assert max(having.values(), default=0) <= 1, f"2: at most one open custody of a pack: {having}"


def _left(town: PackStations, event: PacksMoved) -> None:
    """What left a slot does not stand there, unless it is known to have come back since."""
    for slot in event.slots:
        item = next((i for i in town.world.assets.items.values() if i.code.upper() == slot.pack.serial), None)
        if item is not None and (item.station_id, item.unit) == (event.station_id, slot.unit):
            assert item.at > event.at, f"1: what left a slot does not stand there: {item} {event}"


def openings(town: PackStations) -> None:
    assets = town.world.assets
    live = Counter((grant.station_id, grant.unit) for grant in assets.grants.values() if grant.state in LIVE)
    assert max(live.values(), default=0) <= 1, f"2: at most one live grant of a slot: {live}"
    keys = Counter(errand.key for errand in town.errands if errand.kind in ("door.open", "swap.start"))
    assert max(keys.values(), default=0) <= 1, "9: a station is told to open a slot once by one grant"
    for door in assets.doors.values():
        if door.reserved_for is None:
            continue
        rental, swap = assets.rentals.get(door.reserved_for), assets.swaps.get(door.reserved_for)
        waits = rental is not None and rental.state not in (*OVER, "active", "overdue")
        waits = waits or (swap is not None and swap.state == "authorised")
        assert waits, f"4: a slot is kept for who waits for it: {door.station_id}/{door.unit} {rental or swap}"


def holds(town: PackStations) -> None:
    for rental in town.world.assets.rentals.values():
        session = town.world.sessions[rental.station_id, ref_of(rental.id)]
        name = f"{rental.item} {rental.state} {rental.reason}, {session.state}"
        assert (session.state == "active") == (rental.state in OPEN), f"6: a hold stands while its use is open: {name}"
        kept = session.hold_minor if session.state == "active" and session.means == "balance" else 0
        assert held(town, session) == kept, f"6: what is held is there, and no more: {name}"
        if rental.state not in OVER:
            assert rental.checked_at is not None, f"4: somebody looks again at what is open: {name}"
        if rental.state == "opening":
            grants = town.world.assets.grants.of("rental", rental.id)
            assert any(grant.state in (*LIVE, "used") for grant in grants), (
                f"4: no rental opens without a grant: {name}"
            )


def held(town: PackStations, session: Session) -> int:
    return town.accounts[f"session:{session.id}:held"]


def money(town: PackStations) -> None:
    assert sum(town.accounts.values()) == 0, "5: postings sum to zero"
    for address, minor in town.accounts.items():
        guarded = address.endswith((":balance", ":held", ":payable")) or address.startswith("voucher:")
        assert minor >= 0 or not guarded, f"5: guarded accounts are never negative: {address}"
    fees: Counter[str | None] = Counter()
    charges: Counter[Any] = Counter()
    for bill in town.bills:
        total, shares = bill.price.total_minor, bill.shares
        assert shares.operator_minor + shares.provider_minor + shares.host_minor == total, "8: the shares are the fee"
        session = bill.session
        if bill.kind == "charge":
            charges[session.id] += 1
            reach = session.hold_minor + session.drawn_minor
            by_vouchers = session.drawn_minor > 0 or session.hold_minor == 0
            within = total <= reach or session.offline or by_vouchers  # they stand in for a hold: what is more is debt
            assert within, f"7: no fee above what was held and what vouchers released: {total} {session}"
        if session.means == "balance":
            fees[session.driver_id] += total - (session.drawn_minor if bill.kind == "charge" else 0)
    assert max(charges.values(), default=0) <= 1, "12: a use is billed once"
    for session in town.world.sessions.values():
        fees[session.driver_id] += held(town, session)
    for driver in TOKENS.values():
        debt = town.accounts[f"driver:{driver}:debt"]
        paid = town.topped[driver] - town.balance(driver) - debt
        assert fees[driver] == paid, (
            f"7, 20: refund, fee and what is kept are what was paid: {driver} {fees[driver]} {paid}"
        )


def usage(town: PackStations) -> None:
    for rental in town.world.assets.rentals.values():
        wh, out = rental.battery_wh, rental.level_out
        if wh is not None:
            soh = 10_000 if out is None or out.soh is None else out.soh
            assert 0 <= wh <= CAPACITY * soh // 10_000, (
                f"11: usage is never negative, never more than a pack holds: {wh}"
            )


def vouchers(town: PackStations) -> None:
    uses: Counter[Any] = Counter()
    minor: Counter[Any] = Counter()
    for use in town.uses:
        uses[use.voucher_id] += use.units
        minor[use.voucher_id] += use.minor
    for mine in town.world.assets.vouchers.values():
        assert 0 <= mine.used <= mine.total, f"15: an allowance is never negative: {mine}"
        assert uses[mine.id] == mine.used, f"15: consumption is the sum of uses: {uses[mine.id]} {mine}"
        left = town.accounts[f"voucher:{mine.id}:{mine.unit}"]
        assert left == mine.total - mine.used, f"15: the units that are left are on its account: {left} {mine}"
        released = (2 * mine.price_minor * mine.used + mine.total) // (2 * mine.total)
        assert mine.released_minor == minor[mine.id] == released, f"15: its price is released exactly: {mine}"
        deferred = town.accounts[f"voucher:{mine.id}:deferred"]
        assert deferred == mine.price_minor - released, f"15: what is not released is deferred: {deferred} {mine}"


def swaps(town: PackStations) -> None:
    assets = town.world.assets
    numbers = Counter((swap.station_id, swap.rid) for swap in assets.swaps.values() if swap.ended_at is None)
    assert max(numbers.values(), default=0) <= 1, f"9: a number stands for one visit at a time: {numbers}"
    for swap in assets.swaps.values():
        name = f"{swap.station_id}/{swap.rid} {swap.state} {swap.reason}"
        if swap.state != "orphaned":
            assert (swap.state in SWAP_OVER) == (swap.ended_at is not None), f"4: what is over has its time: {name}"
        assert swap.ended_at is not None or swap.checked_at is not None, f"4: somebody looks again at a swap: {name}"
        mine = [id_ for id_ in swap.rentals_in if id_ is not None]
        assert len(mine) == len(set(mine)), f"12: a visit bills each pack at most once: {name}"
        if swap.inserted_at is not None:
            assert len(swap.units_in) == len(swap.packs_in) == len(swap.rentals_in), (
                f"19: lists stand side by side: {name}"
            )
        assert len(swap.units_out) == len(swap.packs_out) == len(swap.rentals_out), (
            f"19: lists stand side by side: {name}"
        )
        waiting = [_state(town, id_) for id_ in swap.rentals_out]
        if swap.state in SWAP_OVER:
            assert not {"requested", "opening"} & set(waiting), (
                f"4: nothing is to be handed out by what is over: {name}"
            )
        if swap.state == "completed":
            never = [id_ for id_ in swap.rentals_out if id_ is not None and assets.rentals[id_].taken_at is None]
            assert not [i for i in never if _state(town, i) not in ("cancelled", "refused")], f"4: not taken: {name}"


def _taken_back(batch: Batch, swap: Swap) -> None:
    """Whoever takes the own pack back has it as before."""
    before = batch.before.assets.swaps.get(swap.id)
    if swap.state != "returned" or (before is not None and before.state == "returned"):
        return
    mine = [batch.after.assets.rentals[id_] for id_ in swap.rentals_in if id_ is not None]
    wrong = [rental for rental in mine if rental.state not in ("active", "overdue")]
    assert not wrong, f"4: who takes the own pack back has it by the same rental: {wrong}"


def _state(town: PackStations, id_: Any) -> str | None:
    return None if id_ is None else town.world.assets.rentals[id_].state


# -- what stations are told to do -------------------------------------------------------------------------------------


def command(town: PackStations, batch: Batch, errand: Errand) -> None:
    """One slot is to open: was everything that comes before it done?"""
    payload: dict[str, Any] = errand.payload
    assets = town.world.assets
    grant = assets.grants[errand_grant(errand)]
    if payload["why"] == "return":
        _promised(batch, grant)
        return
    if payload.get("rid") is None or payload["err"] is not None or grant.rental_id is None:
        return
    rental = assets.rentals[grant.rental_id]
    swap = None if rental.swap_id is None else assets.swaps[rental.swap_id]
    if swap is not None and swap.inserted_at is not None:
        _billed(town, swap)
        _own(town, batch, swap)
    if grant.attempt == 1:
        _fit(town, batch, grant, rental, swap)


def errand_grant(errand: Errand) -> UUID:
    return UUID(str(errand.payload["grant"]))


def _billed(town: PackStations, swap: Swap) -> None:
    """So many packs are handed out as were put in, closed and billed."""
    billed = {bill.session.id for bill in town.bills if bill.kind == "charge"}
    brought = [town.world.assets.rentals[id_] for id_ in swap.rentals_in if id_ is not None]
    done = [rental for rental in brought if rental.state == "closed" and rental.id in billed]
    out = [_state(town, id_) for id_ in swap.rentals_out]
    given = [state for state in out if state not in ("requested", "refused", "cancelled", None)]
    assert len(given) <= len(done), f"12: no release before the bill: {swap.rid} gives {given} for {brought}"


def _own(town: PackStations, batch: Batch, swap: Swap) -> None:
    """Nothing is handed out for a pack of another driver than the one whose token was shown with it."""
    rules = town.world.assets.slot_rules.get(swap.station_id)
    brought = {town.world.assets.rentals[id_].driver_id for id_ in swap.rentals_in if id_ is not None}
    for event in batch.events:
        if isinstance(event, PacksMoved) and event.what == "in" and event.token in TOKENS and rules is None:
            assert brought <= {TOKENS[event.token]}, f"13: no exchange for another driver's pack: {brought} {event}"


def _fit(town: PackStations, batch: Batch, grant: Grant, rental: Rental, swap: Swap | None) -> None:
    """The pack behind the slot could be handed out when that was decided."""
    assets = town.world.assets
    pack, item = assets.packs.get(grant.item or ""), assets.items.get(grant.item or "")
    assert pack is not None and item is not None, f"13: a pack that nobody knows is handed out: {grant}"
    there = (item.place, item.station_id, item.unit) == ("connector", grant.station_id, grant.unit)
    assert there, f"13: what is handed out stands there: {item} {grant}"
    fit = item.state == "ok" and pack.quarantine is None and not pack.faults and pack.mode != "faulted"
    fit = fit and pack.source == "station" and (pack.soh or SOH_MIN) >= SOH_MIN
    fit = fit and TEMP_MIN <= (pack.temp if pack.temp is not None else TEMP_MIN) <= TEMP_MAX
    own = "given_back" in rental.flags
    assert own or (fit and (pack.soc or 0) >= TARGET_SOC), f"13: the pack that is handed out is fit: {pack}"
    filled = swap is not None and swap.inserted_at is not None and grant.unit in swap.units_in
    assert own or not filled, f"13: not the slot that was just filled: {grant}"
    before = batch.before.assets.doors[grant.station_id, grant.unit].reserved_for
    mine = (None, rental.id, None if swap is None else swap.id)
    keeper = None if before is None else assets.rentals.get(before)
    waits = before not in mine and (keeper is None or (keeper.taken_at is None and keeper.state not in OVER))
    assert not waits, f"13: not what is kept for somebody else: {before} {grant}"
    if own:
        return
    now = grant.issued_at
    kept = reservations.kept_for_others(
        assets.reservations.of("station", grant.station_id), rental.driver_id, rental.item_type, now
    )
    left = [p for p in assets.packs.values() if p.soc is not None and p.soc >= TARGET_SOC and p.code != pack.code]
    left = [
        p
        for p in left
        if (assets.items[p.code].place, assets.items[p.code].station_id) == ("connector", grant.station_id)
    ]
    assert len(left) >= kept or before == rental.id, f"13: what others reserved stays for them: {grant}"


def _promised(batch: Batch, grant: Grant) -> None:
    """A slot is to open for a plain return: it is empty, promised to nobody, and one more stays empty."""
    station, assets = grant.station_id, batch.before.assets
    door = assets.doors[station, grant.unit]
    free = door.reserved_for in (None, grant.rental_id) and door.mark_item is None
    assert free, f"14: an empty slot is promised once: {door} {grant}"
    if grant.attempt == 1:
        free = _unpromised(batch, station, grant.rental_id)
        assert len(free) >= 2, f"14: the last empty slot is kept for swaps: {grant}"


def _unpromised(batch: Batch, station: str, rental_id: UUID | None = None) -> list[int]:
    """Empty slots that nobody was promised; but for the promise to this rental, which a new one replaces."""
    assets = batch.before.assets
    empty = [d for d in assets.doors.of("station", station) if d.mark_at is not None and d.mark_item is None]
    grants = [it for it in assets.grants.values() if it.station_id == station and it.state in LIVE]
    live = {it.unit for it in grants if rental_id is None or it.rental_id != rental_id}
    return [door.unit for door in empty if door.reserved_for is None and door.unit not in live]


def kept(town: PackStations, batch: Batch) -> None:
    """An app's swap was begun: the slots it keeps were empty, and nobody else's."""
    new = [swap for id_, swap in batch.changes.assets.swaps.items() if id_ not in batch.before.assets.swaps]
    for swap in new:
        if swap.state == "authorised" and swap.driver_id is not None and swap.inserted_at is None:
            free = _unpromised(batch, swap.station_id)
            assert set(swap.units_in) <= set(free), f"14: an empty slot is promised once: {swap.units_in} of {free}"


# -- at rest ----------------------------------------------------------------------------------------------------------


def at_rest(town: PackStations) -> None:
    """What holds when everything was told and the clock has run on."""
    assets = town.world.assets
    for rental in assets.rentals.values():
        assert rental.state in OVER, f"liveness: every rental is over at last, not {rental.state} {rental.reason}"
    for grant in assets.grants.values():
        assert grant.state not in LIVE, f"liveness: every grant is over at last, not {grant.state}"
    for swap in assets.swaps.values():
        assert swap.ended_at is not None, f"liveness: no swap is open for ever: {swap.state} {swap.reason}"
    for door in assets.doors.values():
        assert door.reserved_for is None, f"liveness: every slot is free at last: {door}"
    assert town.held() == 0, "liveness: no hold outlives its use"
    for place, slot in town.slots.items():
        ours = [i.code for i in assets.items.values() if (i.station_id, i.unit) == place and i.place == "connector"]
        there = [slot.pack] if slot.pack in assets.items else []
        assert ours == there, f"1: custody is where packs are: {place} {ours} {there}"
    _billed_once(town)
    for rental in assets.rentals.values():
        _as_it_was(town, rental)


def _billed_once(town: PackStations) -> None:
    """Nobody pays for a pack that did not leave; and what left and came back was paid for once."""
    trips = Counter(trip.pack for trip in town.trips)
    paid = Counter(rental.item for rental in town.world.assets.rentals.values() if rental.taken_at is not None)
    for item, number in paid.items():
        assert number <= trips[item or ""], f"12: nobody has a pack more often than it left: {item} {number}"


def _as_it_was(town: PackStations, rental: Rental) -> None:
    """Who was told of at once pays for what was taken from the pack, and the levels are those of its two reports."""
    trip = next((t for t in town.trips if t.pack == rental.item and t.taken_at == rental.taken_at), None)
    if rental.reason == "came_back":
        return  # billed when it counted as bought
    if trip is None or not trip.at_once or rental.state != "closed" or rental.returned_at != trip.put_at:
        return
    assert trip.back is not None
    levels = (rental.level_out and rental.level_out.soc, rental.level_in and rental.level_in.soc)
    assert levels == (trip.out.soc, trip.back.soc), f"11: a level is that of its report: {levels} {trip}"
    most = max(0, trip.out.soc - trip.back.soc) * CAPACITY * (trip.out.soh or 0) // 10_000**2
    if trip.out.epoch == trip.back.epoch:
        given = (trip.back.discharge_wh or 0) - (trip.out.discharge_wh or 0)
        net = max(0, given - ((trip.back.charge_wh or 0) - (trip.out.charge_wh or 0)))
        apart = max(5 * CAPACITY, 15 * max(most, net))
        most = min(most, net) if abs(most - net) * 100 > apart else most
    assert rental.battery_wh == most, (
        f"11: billed is what was taken, the lower one where witnesses differ: {most} {trip}"
    )


def facts(town: PackStations) -> Any:
    """What the same fact told in other words must not change."""
    assets = town.world.assets
    items = {(i.code, i.place, i.station_id, i.unit, i.rental_id) for i in assets.items.values()}
    rentals = {(r.id, r.state, r.item, r.driver_id, r.battery_wh) for r in assets.rentals.values()}
    states = {(s.id, s.state, s.units_in, s.units_out) for s in assets.swaps.values()}
    return items, rentals, states, len(town.bills), len(town.errands), {k: v for k, v in town.accounts.items() if v}


def seen(town: PackStations) -> Any:
    """Everything that telling again must not change."""
    world, assets = town.world, town.world.assets
    rows: tuple[Any, ...] = (
        assets.items, assets.doors, assets.grants, assets.rentals, assets.cabinets, assets.swaps, assets.packs,
        assets.vouchers, world.sessions, world.balances,
    )  # fmt: skip
    return [dict(it) for it in rows], len(town.bills), len(town.concerns), len(town.errands), dict(town.accounts)
