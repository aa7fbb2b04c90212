"""What is asked of battery stations: a swap by an app, a pack without giving one back; and what psps say of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from csms.base.ids import derived
from csms.domain import grants, packs, payer, presenting
from csms.domain.asset_events import AssetAnswer, BillTold
from csms.domain.assets import Rental, put_door, put_swap
from csms.domain.errand import Errand
from csms.domain.events import RECORDED, Outcome, TokenPresented
from csms.domain.heard import named
from csms.domain.pack_events import RID_MIN, SwapAnswered, SwapAsked
from csms.domain.pack_rows import Swap
from csms.domain.rental import cancel, session_of
from csms.domain.rental_times import GIVEN_BACK
from csms.domain.swap_pay import carry_on, claim, go_on, still_fit
from csms.domain.swap_state import LOOK, brought, move, rentals_out
from csms.domain.token import decide, key
from csms.domain.world import Changes, World

BEGIN = timedelta(minutes=3)
"""How long slots are kept for a swap that a driver asked for, until packs are put in."""

START_PLACE = 1
"""The derived id of a swap's errand."""


def told(world: World, swap: Swap, error: str | None = None) -> AssetAnswer:
    """What is told of a swap: its number, the slots that will be released, the bill of what was put in."""
    waiting = [r for r in rentals_out(world, swap) if r.state in ("requested", "opening")]
    billed = [world.assets.rentals.get(id_) for id_ in swap.rentals_in if id_ is not None]
    sessions = [session_of(world, rental) for rental in billed if rental is not None and rental.state == "closed"]
    bill = None
    if sessions and sessions[0].currency is not None:
        fee = sum(session.fee_minor or 0 for session in sessions)
        bill = BillTold(str(sessions[0].id), fee, sessions[0].currency)
    units = tuple(rental.unit for rental in waiting if rental.unit is not None)
    return AssetAnswer(error, rid=swap.rid, units_out=units, bill=bill)


def asked(world: World, changes: Changes, event: SwapAsked) -> Outcome:
    """A driver's app: refused before any slot opens, where packs or empty slots are too few. The same wish once."""
    assets, now = world.assets, event.received_at
    if (before := assets.swaps.get(event.swap_id)) is not None:
        return _answer(world, before)
    station, known = world.stations.get(event.station_id), world.tokens.get(event.token_key)
    driver_id = None if known is None else payer.person(world, known)
    if station is None or driver_id is None:
        return _refused("NotAuthorized")
    mine = [r for r in assets.rentals.of("driver", driver_id) if r.state in ("active", "overdue")]
    mine = [rental for rental in mine if packs.is_pack(assets, rental.item)]
    if len(mine) < event.count:
        return _refused("NoCustody")
    begun = [s for s in assets.swaps.of("driver", driver_id) if s.state == "authorised" and s.ended_at is None]
    if len(mine) < event.count + sum(swap.wanted for swap in begun):
        return _refused("Busy")
    if error := cannot_swap(world, event.station_id, now, driver_id=driver_id, wanted=event.count):
        return _refused(error)
    if any(s.ended_at is None for s in assets.swaps.of("rid", (event.station_id, event.rid))):
        return _refused("Busy")
    empty = packs.empty_slots(assets, event.station_id)[: event.count]
    chosen = packs.choose(world, event.station_id, event.count, now, driver_id=driver_id)
    assert not isinstance(chosen, str)
    swap = Swap(
        id=event.swap_id, version=1, station_id=event.station_id, rid=event.rid, state="authorised",
        driver_id=driver_id, provider_id=station.provider_id, asked_by=event.by, proof=event.proof, wanted=event.count,
        opened_at=now, inserted_at=None, ended_at=None, checked_at=now + BEGIN,
        units_in=tuple(door.unit for door in empty), packs_in=(), rentals_in=(), units_out=(), packs_out=(),
        rentals_out=(), flags=(), reason=None,
    )  # fmt: skip
    put_swap(assets, changes.assets, swap)
    for door in (*empty, *chosen):
        put_door(assets, changes.assets, door._replace(reserved_for=swap.id))
    payload: dict[str, object] = {
        "swap": str(swap.id), "station": swap.station_id, "rid": swap.rid, "token": event.token, "n": event.count,
        "in": list(swap.units_in), "out": [door.unit for door in chosen],
        "expires_at": (now + timedelta(seconds=grants.GRANT_S)).isoformat(),
    }  # fmt: skip
    subject = f"swap/{swap.id}"
    changes.errands.append(Errand(derived(swap.id, START_PLACE), "swap.start", f"{subject}/start", subject, payload))
    return _answer(world, swap)


def cannot_swap(world: World, station_id: str, now: datetime, *, driver_id: str | None, wanted: int = 1) -> str | None:
    """Why nothing could be exchanged at a station now: too few empty slots, or packs that are fit."""
    if packs.slots_of(world.assets, station_id) < packs.SLOTS_MIN:
        return "NoBatteryAvailable"
    if len(packs.empty_slots(world.assets, station_id)) < wanted:
        return "NoEmptySlot"
    chosen = packs.choose(world, station_id, wanted, now, driver_id=driver_id)
    return chosen if isinstance(chosen, str) else None


def answered(world: World, changes: Changes, event: SwapAnswered) -> Outcome:
    """The end of a `Swap.Start`: what a station refuses, or never heard of, does not happen."""
    swap = world.assets.swaps.get(event.swap_id)
    if swap is not None and swap.state == "authorised" and event.end in ("rejected", "failed", "offline"):
        move(world, changes, swap, "aborted", event.received_at, event.error or event.end)
    return RECORDED


def of_rental(world: World, changes: Changes, rental: Rental, grant_id: UUID, now: datetime) -> Rental:
    """A pack is rented without giving one back: a visit of its own, numbered by us."""
    id_ = named(rental.id, "swap")
    rid = RID_MIN + grant_id.int % RID_MIN
    swap = Swap(
        id=id_, version=1, station_id=rental.station_id, rid=rid, state="releasing", driver_id=rental.driver_id,
        provider_id=rental.provider_id, asked_by=rental.asked_by, proof=rental.proof, wanted=0, opened_at=now,
        inserted_at=None, ended_at=None, checked_at=now + LOOK, units_in=(), packs_in=(), rentals_in=(),
        units_out=(rental.unit or 0,), packs_out=(rental.item or "",), rentals_out=(rental.id,), flags=(), reason=None,
    )  # fmt: skip
    put_swap(world.assets, changes.assets, swap)
    claim(world, changes, rental.station_id, rental.driver_id, now)
    return rental._replace(swap_id=id_)


def funded(world: World, changes: Changes, rental: Rental, now: datetime) -> Outcome:
    """A psp has decided about a pack that is to be handed out."""
    assert rental.swap_id is not None
    swap = world.assets.swaps[rental.swap_id]
    given_back = GIVEN_BACK in rental.flags
    if swap.ended_at is not None or not (given_back or brought(world, swap)):
        cancel(world, changes, rental, "not wanted", now)  # the driver has the own pack back, or the visit is over
        return Outcome("refused", session_of(world, rental).ref, asset=told(world, swap, "Busy"))
    error: str | None
    if not given_back and session_of(world, rental).state == "active":
        rental, error = still_fit(world, changes, swap, rental, now)
        swap = world.assets.swaps[swap.id]
        if error is not None:
            return Outcome("refused", session_of(world, rental).ref, asset=told(world, swap, error))
    swap, error = go_on(world, changes, swap, [rental], now)
    if error is None and brought(world, swap):
        swap, error = carry_on(world, changes, swap, now)
    return Outcome(
        "accepted" if error is None else "refused", session_of(world, rental).ref, asset=told(world, swap, error)
    )


def presented(world: World, changes: Changes, event: TokenPresented) -> Outcome:
    """
    Authorize at a battery station: refused before a slot opens, where nothing could be exchanged.

    The token may be that of a driver, or a pack's serial (or alias), which stands for whoever has it. Who has packs
    pays for the next with what is held for those.
    """
    now, assets = event.received_at, world.assets
    token = world.tokens.get(key(event.token))
    code = packs.code_of(assets, event.token) or next((p.code for p in assets.packs.of("alias", event.token)), None)
    of_pack = None if code is None else assets.rental_of(code)
    driver_id = of_pack.driver_id if of_pack is not None else None
    if token is not None:
        driver_id = payer.person(world, token)
    mine = [r for r in assets.rentals.of("driver", driver_id) if r.state in ("active", "overdue")] if driver_id else []
    if token is None and of_pack is None:
        return Outcome("unknown", reason="unknown_token")
    if (error := cannot_swap(world, event.station_id, now, driver_id=driver_id)) is not None and mine:
        return Outcome("invalid", reason=error)
    stands = token is None or (decide(token.status, None, now) == "accepted" and token.driver_status != "blocked")
    if mine and stands:
        return Outcome("accepted")
    return presenting.presented(world, changes, event)


def _answer(world: World, swap: Swap) -> Outcome:
    refused = swap.state == "aborted"
    answer = told(world, swap, swap.reason if refused else None)
    return Outcome("refused" if refused else "accepted", str(swap.id), reason=swap.reason, asset=answer)


def _refused(error: str) -> Outcome:
    return Outcome("refused", reason=error, asset=AssetAnswer(error))
