"""Doors that are to open: what a cabinet answers to a grant, what it does, and what happens when it does not."""

from __future__ import annotations

from datetime import datetime

from csms.base.ids import derived
from csms.base.units import seconds_between
from csms.domain import custody, grants
from csms.domain.asset_events import AssetAnswer, DoorChecked, DoorState, GrantAnswered, GrantChecked, ServiceOpened
from csms.domain.assets import LIVE, Door, Grant, Rental, put_door, put_grant
from csms.domain.errand import Concern
from csms.domain.events import RECORDED, Outcome
from csms.domain.heard import incident
from csms.domain.overdue import ask_cabinet, unclear
from csms.domain.rental import cancel, write
from csms.domain.rental_times import STOPPED_S_MAX
from csms.domain.world import Changes, World

TRIES_MAX = 4
"""Doors, retries included, that are tried for one rental."""

AJAR_S, STAFF_S = 60, 180
"""A door that stands open so long: its driver is reminded; staff are told."""

RETRY_PLACE = 3
"""The derived id of a grant's successor."""

NEVER_OPENED = frozenset({"DoorJammed", "UnitFaulted", "UnknownUnit", "UnitEmpty", "UnitOccupied", "UnitReserved",
                          "GrantExpired", "Busy", "BadPayload", "BadVersion", "offline", "failed"})  # fmt: skip
"""A cabinet that says so, or was never reached, has not opened the door and never will."""


def opened_at(world: World, changes: Changes, grant: Grant, at: datetime) -> None:
    """The door opened for this grant: it is used up. Of two reports the earlier counts."""
    first = at if grant.opened_at is None else min(grant.opened_at, at)
    ended = grant.ended_at or at
    put_grant(world.assets, changes.assets, grant._replace(state="used", opened_at=first, ended_at=ended, error=None))


def resolved_by(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """It is known what became of a rental's item: no door need open for it any more."""
    for grant in world.assets.grants.of("rental", rental.id):
        if grant.why == "take" and grant.state in LIVE:
            grants.end(world, changes, grant, "used" if grant.opened_at else "revoked", now)


def answered(world: World, changes: Changes, event: GrantAnswered) -> Outcome:
    """The end of a `Door.Open`."""
    grant = world.assets.grants.get(event.grant_id)
    if grant is None or grant.state not in ("issued", "sent"):
        return RECORDED
    match event.end:
        case "accepted":
            put_grant(world.assets, changes.assets, grant._replace(state="accepted"))
        case "unknown":
            put_grant(world.assets, changes.assets, grant._replace(state="sent", error="unknown"))
        case "rejected" if event.error in ("GrantUsed", "DoorAlreadyOpen"):
            put_grant(world.assets, changes.assets, grant._replace(state="accepted"))
        case "rejected":
            failed(world, changes, grant, event.error or "failed", event.received_at)
        case _:
            failed(world, changes, grant, event.end, event.received_at)
    return RECORDED


def looked_at(world: World, changes: Changes, event: GrantChecked) -> Outcome:
    """A grant that nobody used in time: a door that has not opened is jammed, a lost answer leaves it unclear."""
    grant, now = world.assets.grants.get(event.grant_id), event.received_at
    if grant is None or grant.state not in LIVE:
        return RECORDED
    waited = grant.state == "accepted" and seconds_between(grant.issued_at, now) >= grant.opening_s
    if waited and grant.opening_s == grants.OPENING_S:
        failed(world, changes, grant, "no_opening", now)
    elif waited or (grant.state != "accepted" and now > grant.expires_at + grants.DRIFT):
        grants.end(world, changes, grant, "expired", now, grant.error or "unknown")
        rental = None if grant.rental_id is None else world.assets.rentals.get(grant.rental_id)
        if rental is not None and grant.why == "take" and rental.state == "opening":
            ask_cabinet(world, changes, unclear(world, changes, rental, now))
    return RECORDED


def failed(world: World, changes: Changes, grant: Grant, error: str, now: datetime) -> None:
    """A door did not open for a grant: once more, then another door, then no rental; a return stops its clock."""
    assets = world.assets
    grants.end(world, changes, grant, "failed", now, error)
    door = assets.doors[grant.station_id, grant.unit]
    jam = error in ("DoorJammed", "no_opening")
    again = jam and grant.attempt == 1
    if (jam and not again) or error in ("UnitFaulted", "jammed"):
        jammed(world, changes, door, now)
    rental = None if grant.rental_id is None else assets.rentals.get(grant.rental_id)
    if rental is None:
        return
    if grant.why == "return":
        _not_returned(world, changes, rental, grant, again, now)
    elif grant.why == "take" and rental.state == "opening":
        _not_taken(world, changes, rental, grant, again, error, now)


def _not_taken(
    world: World, changes: Changes, rental: Rental, grant: Grant, again: bool, error: str, now: datetime
) -> None:
    assets = world.assets
    door: Door | str = "DoorJammed"
    if rental.tries < TRIES_MAX and error not in ("offline", "failed"):
        if again:
            door = assets.doors[grant.station_id, grant.unit]
        elif _never_opened(world, rental):  # another item only if the first one is certainly still there
            door = grants.to_take(
                world, grant.station_id, None, rental.item_type, now, driver_id=rental.driver_id,
                besides=(grant.unit, *_just_filled(world, rental)),
            )  # fmt: skip
    if isinstance(door, Door):
        _retry(world, changes, rental, grant, door, again, now)
    elif _never_opened(world, rental):
        cancel(world, changes, rental, error, now)
    else:
        ask_cabinet(world, changes, unclear(world, changes, rental, now))


def _just_filled(world: World, rental: Rental) -> tuple[int, ...]:
    """The slots that packs were put into for which this one is handed out."""
    swap = None if rental.swap_id is None else world.assets.swaps.get(rental.swap_id)
    return () if swap is None or swap.inserted_at is None else swap.units_in


def _never_opened(world: World, rental: Rental) -> bool:
    """Whether all doors that were tried for a rental certainly stayed shut."""
    tried = [g for g in world.assets.grants.of("rental", rental.id) if g.why == "take"]
    return all(grant.error in NEVER_OPENED and grant.opened_at is None for grant in tried)


def _retry(
    world: World, changes: Changes, rental: Rental, grant: Grant, door: Door, again: bool, now: datetime
) -> None:
    """The next grant of a rental, by a command: at the same door, or at another with such an item."""
    assets = world.assets
    item = rental.item if again else door.mark_item
    if not again:
        old = assets.doors[grant.station_id, grant.unit]
        if old.reserved_for == rental.id:
            put_door(assets, changes.assets, old._replace(reserved_for=None))
        door = put_door(assets, changes.assets, door._replace(reserved_for=rental.id))
    rental = write(world, changes, rental._replace(item=item, unit=door.unit, tries=rental.tries + 1))
    grants.allow(
        world, changes, derived(grant.id, RETRY_PLACE + rental.tries), door, "take", rental, now, by_reply=False,
        proof=grant.proof, by=grant.by_whom, item=item, attempt=grant.attempt + 1 if again else 1,
    )  # fmt: skip


def _not_returned(world: World, changes: Changes, rental: Rental, grant: Grant, again: bool, now: datetime) -> None:
    """The driver wanted to give it back: the clock stands still from the attempt, staff hear of the door."""
    assets = world.assets
    if rental.state not in ("active", "overdue"):
        return
    stopped = rental.stopped_at
    if stopped is None or seconds_between(stopped, grant.issued_at) > STOPPED_S_MAX:  # an older one stops it no more
        rental = write(world, changes, rental._replace(stopped_at=grant.issued_at))
    item = assets.items.get(rental.item or "")
    same = assets.doors[grant.station_id, grant.unit]
    door: Door | str = same
    if not again or custody.behind(assets, same) is not None or same.mark_item is not None:  # something is in it by now
        kind = "portable" if item is None else item.kind
        door = grants.to_return(assets, grant.station_id, None, kind, besides=grant.unit)
    if isinstance(door, Door) and grant.attempt < TRIES_MAX:
        grants.allow(
            world, changes, derived(grant.id, RETRY_PLACE + grant.attempt), door, "return", rental, now,
            by_reply=False, proof=grant.proof, by=grant.by_whom, item=grant.item, attempt=grant.attempt + 1,
        )  # fmt: skip
        return
    details: dict[str, object] = {"rental": str(rental.id), "unit": grant.unit, "driver": rental.driver_id}
    id_ = incident(grant.station_id, f"return_failed/{grant.id}")
    changes.concerns.append(Concern(id_, "return_failed", str(grant.id), grant.station_id, details, now))


def jammed(world: World, changes: Changes, door: Door, now: datetime) -> None:
    """The door is out of use until it moves again; staff are told."""
    if door.fault is not None:
        return
    grants.fault(world, changes, door, "jammed")
    what = f"door_faulted/{door.unit}/{now.isoformat()}"
    id_, ref = incident(door.station_id, what), f"{door.station_id}/{door.unit}/{now.isoformat()}"
    changes.concerns.append(Concern(id_, "door_faulted", ref, door.station_id, {"unit": door.unit}, now))


def door_checked(world: World, changes: Changes, event: DoorChecked) -> Outcome:
    """A door that stands open: ajar after a minute, staff's after three."""
    door = world.assets.doors.get((event.station_id, event.unit))
    if door is None or door.opened_at is None or door.state not in ("open", "ajar", "forced"):
        return RECORDED
    stood_s = seconds_between(door.opened_at, event.received_at)
    if stood_s >= STAFF_S and door.told < 2:
        what = f"door_open/{door.unit}/{door.opened_at.isoformat()}"
        details: dict[str, object] = {"unit": door.unit, "since": door.opened_at.isoformat()}
        ref = f"{door.station_id}/{door.unit}/{door.opened_at.isoformat()}"
        id_ = incident(door.station_id, what)
        changes.concerns.append(Concern(id_, "door_open", ref, door.station_id, details, event.received_at))
        put_door(world.assets, changes.assets, door._replace(told=2, state=_ajar(door)))
    elif stood_s >= AJAR_S and door.told < 1:
        put_door(world.assets, changes.assets, door._replace(told=1, state=_ajar(door)))
    return RECORDED


def _ajar(door: Door) -> DoorState:
    return "forced" if door.state == "forced" else "ajar"


def service(world: World, changes: Changes, event: ServiceOpened) -> Outcome:
    """Staff open a door; what is taken out of it is in staff's custody."""
    if (known := world.assets.grants.get(event.grant_id)) is not None:
        return Outcome("accepted", asset=grants.told(known))
    door = world.assets.doors.get((event.station_id, event.unit))
    if door is None:
        return Outcome("refused", reason="there is no such door", asset=AssetAnswer("UnknownUnit"))
    if world.assets.live_grant(door.station_id, door.unit) is not None:
        return Outcome("refused", reason="this door is about to open for somebody", asset=AssetAnswer("Busy"))
    grant = grants.allow(
        world, changes, event.grant_id, door, event.why, None, event.received_at, by_reply=False, proof="staff",
        by=event.by, item=door.mark_item, reason=event.reason,
    )  # fmt: skip
    return Outcome("accepted", asset=grants.told(grant))
