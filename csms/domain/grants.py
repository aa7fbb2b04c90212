"""
Grants: the permission to open one door once, until a time. No door opens on anything else.

issued -> sent -> accepted -> used | failed | expired | revoked; at most one is live per door. The grant of a
driver who stands at the lock travels in the answer, `accepted` at once; every other one is a `Door.Open`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from csms.base.ids import derived
from csms.domain import custody, packs
from csms.domain.asset_events import AssetAnswer, Why
from csms.domain.assets import LIVE, Assets, Door, Grant, GrantState, Item, Rental, put_door, put_grant
from csms.domain.errand import Errand
from csms.domain.pack_rows import Swap
from csms.domain.world import Changes, World

GRANT_S = 15
"""How long a door may be opened by a grant: a cabinet never acts after it."""

OPENING_S = 10
"""A door that was to open and has not after so long is jammed."""

RESERVE = 1
"""Empty slots that stay for swaps whoever brings a pack back without wanting another."""

SLOT_S = 180
"""A pack that was released and of which nothing is heard for so long: whether it was taken is unclear."""

DRIFT = timedelta(seconds=5)
"""How far a cabinet's clock may be off."""

OPEN_PLACE = 1
"""The derived id of a grant's errand."""


def allow(
    world: World,
    changes: Changes,
    grant_id: UUID,
    door: Door,
    why: Why,
    rental: Rental | None,
    now: datetime,
    *,
    by_reply: bool,
    proof: str,
    by: str,
    item: str | None = None,
    reason: str | None = None,
    attempt: int = 1,
    refused: str | None = None,
    swap: Swap | None = None,
) -> Grant:
    """
    Lets one door be opened, now; by the answer to whoever stands there, or by a command.

    Of a swap's rental a pack is released; one that is `refused`, for this reason, is given back.
    """
    assert world.assets.live_grant(door.station_id, door.unit) is None
    grant = Grant(
        id=grant_id,
        station_id=door.station_id,
        unit=door.unit,
        why=why,
        state="accepted" if by_reply else "issued",
        rental_id=None if rental is None else rental.id,
        item=item,
        driver_id=None if rental is None else rental.driver_id,
        issued_at=now,
        expires_at=now + timedelta(seconds=GRANT_S),
        opened_at=None,
        ended_at=None,
        error=None,
        proof=proof,
        by_whom=by,
        reason=reason,
        attempt=attempt,
        version=1,
        opening_s=SLOT_S if world.assets.capable.get((door.station_id, door.unit)) == "battery" else OPENING_S,
    )
    if swap is None and rental is not None and rental.swap_id not in (None, *world.assets.swaps):
        changes.assets.lacking_rentals.add(rental.id)  # what happens to it is told by another visit than its own
    if not by_reply:
        payload: dict[str, object] = {
            "grant": str(grant.id),
            "station": grant.station_id,
            "unit": grant.unit,
            "why": why,
            "item": item,
            "expires_at": grant.expires_at.isoformat(),
        }
        rid = rid_of(world.assets, rental) if swap is None else swap.rid
        if rid is not None and why == "take":
            payload |= {"rid": rid, "err": refused, "exchange": swap is not None and bool(swap.units_in)}
        id_, subject = derived(grant.id, OPEN_PLACE), f"grant/{grant.id}"
        changes.errands.append(Errand(id_, "door.open", f"{subject}/open", subject, payload))
    return put_grant(world.assets, changes.assets, grant)


def rid_of(assets: Assets, rental: Rental | None) -> int | None:
    """The number, at its station, of the swap that a rental is of."""
    swap = None if rental is None or rental.swap_id is None else assets.swaps.get(rental.swap_id)
    return None if swap is None else swap.rid


def told(grant: Grant, rental: Rental | None = None, rid: int | None = None) -> AssetAnswer:
    """What the cabinet, or the driver's app, is told of a grant; `rid` numbers the swap it is of."""
    return AssetAnswer(
        grant_id=grant.id,
        unit=grant.unit,
        expires_at=grant.expires_at,
        rental_id=grant.rental_id if rental is None else rental.id,
        rid=rid,
    )


def end(
    world: World, changes: Changes, grant: Grant, state: GrantState, now: datetime, error: str | None = None
) -> Grant:
    """The grant is over; what it was for goes on elsewhere."""
    assert state not in LIVE
    ended = grant._replace(state=state, ended_at=now, error=error or grant.error)
    return put_grant(world.assets, changes.assets, ended)


def newest_to_take(assets: Assets, rental_id: UUID) -> Grant | None:
    """The last grant by which a rental's item was to be taken."""
    found = [grant for grant in assets.grants.of("rental", rental_id) if grant.why == "take"]
    return max(found, key=lambda g: (g.issued_at, g.attempt, g.id), default=None)


def free(assets: Assets, door: Door) -> bool:
    """Whether a driver may be sent to this door now."""
    return door.is_usable and door.reserved_for is None and assets.live_grant(door.station_id, door.unit) is None


def to_take(
    world: World,
    station_id: str,
    unit: int | None,
    item_type: str | None,
    now: datetime,
    *,
    driver_id: str | None = None,
    besides: tuple[int, ...] = (),
) -> Door | str:
    """
    The door whose item is lent next, or the protocol's word for why there is none.

    Of several, the item that has stood longest: so all are worn alike; a pack by `packs.choose`. `besides` are
    doors that are not to be.
    """
    assets = world.assets
    if packs.slots_of(assets, station_id):
        chosen = packs.choose(
            world, station_id, 1, now, driver_id=driver_id, item_type=item_type, unit=unit, besides=besides
        )
        return chosen if isinstance(chosen, str) else chosen[0]
    doors = assets.of_station(station_id)
    if unit is not None:
        doors = [door for door in doors if door.unit == unit]
        if not doors:
            return "UnknownUnit"
    found: list[tuple[datetime, int, Door]] = []
    why = "NoEmptySlot" if not doors else "UnitEmpty"
    for door in doors:
        item = custody.behind(assets, door)
        if door.unit in besides or item is None or not _fits(assets, door, item, item_type):
            continue
        if not free(assets, door) or assets.rental_of(item.code) is not None:
            why = "UnitReserved" if door.is_usable else "UnitFaulted"
            continue
        found.append((item.at, door.unit, door))
    return min(found)[2] if found else why


def _fits(assets: Assets, door: Door, item: Item, item_type: str | None) -> bool:
    """Whether an item may be lent out of this door."""
    if item.state != "ok" or item.kind != assets.capable.get((door.station_id, door.unit)):
        return False
    return item_type in (None, item.type)


def still_to_take(assets: Assets, door: Door, rental: Rental) -> bool:
    """Whether a rental's item is behind its door, and fit, as it was when the driver asked: a psp takes its time."""
    item = custody.behind(assets, door)
    if item is None or item.code != rental.item or not _fits(assets, door, item, rental.item_type):
        return False
    if packs.is_pack(assets, item.code):
        rules = assets.slot_rules.get(door.station_id, packs.ANY)
        if packs.unfit(assets.packs.get(item.code), item, rules) is not None:
            return False
    return door.is_usable and assets.live_grant(door.station_id, door.unit) is None


def to_return(assets: Assets, station_id: str, unit: int | None, kind: str, besides: int = 0) -> Door | str:
    """
    The empty door that an item of a kind is put into next, or the protocol's word for why there is none.

    The last empty slot is kept for a swap: a pack is only brought back where there are two.
    """
    if kind == "battery" and len(packs.empty_slots(assets, station_id)) < RESERVE + 1:
        return "NoEmptySlot"
    doors = [d for d in assets.of_station(station_id) if assets.capable.get((station_id, d.unit)) == kind]
    if unit is not None:
        doors = [door for door in doors if door.unit == unit]
        if not doors:
            return "UnknownUnit"
    why = "NoEmptySlot"
    for door in doors:
        if door.unit == besides:
            continue
        if door.mark_item is not None or custody.behind(assets, door) is not None or not custody.is_empty(door):
            why = why if unit is None else "UnitOccupied"
        elif not free(assets, door):
            why = why if unit is None else "UnitReserved"
        else:
            return door
    return why


def fault(world: World, changes: Changes, door: Door, why: str) -> Door:
    """The door is not to be used until it has opened or closed again, or staff have looked at it."""
    return put_door(world.assets, changes.assets, door._replace(fault=why))
