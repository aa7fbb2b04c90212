"""
What drivers ask of cabinets: to take an item, to give one back; by their app, or with a token at the lock.

Nothing is released before it is paid for: the hold, deposit included, stands first, then the grant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from csms.base.ids import derived
from csms.domain import grants, packs, payer, swap_asks, token
from csms.domain.asset_events import AssetAnswer, DoorRequested, RentalCancelled, RentAsked, ReturnAsked
from csms.domain.assets import LIVE, Door, Rental, put_door
from csms.domain.events import AuthorizationDecided, Outcome
from csms.domain.folding import put
from csms.domain.heard import heard, record
from csms.domain.rental import begin, cancel, free_door, session_of, write
from csms.domain.rental_times import EXTENSION
from csms.domain.session import Session
from csms.domain.world import Changes, World

EXTENSIONS_MAX = 4
"""How often a driver who finds every door taken gets more time."""

GRANT_PLACE = 2
"""The derived id of the grant that a rental gets once its psp has decided."""

ERRORS = {"no_credit": "NoCredit", "debt": "NoCredit", "budget_spent": "NoCredit", "declined": "NoCredit"}
"""The protocol's words for why a driver gets nothing; NotAuthorized for every other reason."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A rental that is asked for, at the lock (`by_reply`) or from afar. It is what judging its payer needs, too."""

    station_id: str
    received_at: datetime
    rental_id: UUID
    grant_id: UUID
    authorization_id: UUID
    token_key: bytes
    masked: str
    unit: int | None
    item_type: str | None
    proof: str
    by: str
    by_reply: bool


def requested(world: World, changes: Changes, event: DoorRequested) -> Outcome:
    """A driver's token at the lock. The same request again gets its answer as it stands now."""
    known = heard(world, event)
    if known is not None:
        return _still(world, changes, known)
    if event.why == "inspect":
        return _recorded(world, changes, event, Outcome("refused", asset=AssetAnswer("NotAuthorized")))
    if event.why == "return":
        return _recorded(world, changes, event, _return_at_lock(world, changes, event))
    key, masked = token.key(event.token), token.masked(event.token)
    ask = _Ask(
        event.station_id, event.received_at, event.rental_id, event.grant_id, event.authorization_id, key, masked,
        event.unit, None, "token at the lock", masked, by_reply=True,
    )  # fmt: skip
    return _recorded(world, changes, event, _rent(world, changes, ask))


def rent_asked(world: World, changes: Changes, event: RentAsked) -> Outcome:
    """A driver's app, or staff. The same wish again gets the same rental."""
    ask = _Ask(
        event.station_id, event.received_at, event.rental_id, event.grant_id, event.authorization_id,
        event.token_key, event.token_masked, event.unit, event.item_type, event.proof, event.by, by_reply=False,
    )  # fmt: skip
    return _rent(world, changes, ask)


def _recorded(world: World, changes: Changes, event: DoorRequested, outcome: Outcome) -> Outcome:
    assert outcome.asset is not None
    record(world, changes, event, "Door.Request", outcome.asset, unit=event.unit)
    return outcome


def _still(world: World, changes: Changes, known: AssetAnswer) -> Outcome:
    """The answer to a request that was heard before: as it stands now, where a psp had still to decide."""
    rental = None if known.rental_id is None else world.assets.rentals.get(known.rental_id)
    if rental is None:
        return _told(known)
    if known.grant_id is not None:
        return _told(replace(known, rid=grants.rid_of(world.assets, rental)))
    return _standing(world, changes, rental)


def _rent(world: World, changes: Changes, ask: _Ask) -> Outcome:
    """Chooses the item, keeps its door, and has its driver judged: then the door may be opened."""
    assets = world.assets
    if (known := assets.rentals.get(ask.rental_id)) is not None:
        return _standing(world, changes, known)
    if ask.by_reply and (wish := _open_wish(world, ask)) is not None:
        return _wished_again(world, changes, wish, ask.received_at)
    station = world.stations.get(ask.station_id)
    driver_id = _driver(world, ask.token_key)
    door = grants.to_take(world, ask.station_id, ask.unit, ask.item_type, ask.received_at, driver_id=driver_id)
    if station is None or isinstance(door, str):
        return _refused(door if isinstance(door, str) else "UnknownUnit")
    item = assets.items[door.mark_item or ""]
    place = ask.station_id, door.unit
    rental = begin(world, changes, ask.rental_id, place, item, ask.received_at, asked_by=ask.by, proof=ask.proof)
    session = session_of(world, rental)
    judged = payer.judge_key(world, changes, session, ask.token_key, ask.masked, ask)
    put(world, changes, judged, session)
    return _go_on(world, changes, rental, ask.grant_id, ask.received_at, by_reply=ask.by_reply)


def _driver(world: World, key: bytes) -> str | None:
    known = world.tokens.get(key)
    return None if known is None else payer.person(world, known)


def _open_wish(world: World, ask: _Ask) -> Rental | None:
    """What this token is to take here already: held to the lock again, it is the same wish."""
    for rental in world.assets.rentals.of("station", ask.station_id):
        if rental.state in ("requested", "opening") and session_of(world, rental).token_key == ask.token_key:
            return rental
    return None


def _wished_again(world: World, changes: Changes, rental: Rental, now: datetime) -> Outcome:
    """The same grant while it can be used; a door that may be open just now is waited for."""
    grant = grants.newest_to_take(world.assets, rental.id)
    if rental.state == "requested" or (grant is not None and grant.state in LIVE and now < grant.expires_at):
        return _standing(world, changes, rental)
    return _refused("Busy", f"door {rental.unit} is about to be taken from", rental_id=rental.id)


def _go_on(world: World, changes: Changes, rental: Rental, grant_id: UUID, now: datetime, *, by_reply: bool) -> Outcome:
    """What follows from who pays: the door opens, everybody waits for a psp, or nothing happens."""
    session = session_of(world, rental)
    if session.state == "invalid":
        write(world, changes, rental._replace(state="refused", reason=session.reason, closed_at=now))
        _keep_free(world, changes, rental)
        return _refused(ERRORS.get(session.reason or "", "NotAuthorized"), session.reason, session.ref, rental.id)
    if session.state != "active":
        return _waiting(world, changes, rental, session)
    rental = rental._replace(driver_id=session.driver_id)
    door = world.assets.doors[rental.station_id, rental.unit or 0]
    if not grants.still_to_take(world.assets, door, rental):
        cancel(world, changes, rental, "gone", now)
        return _refused("UnitEmpty", "gone", session.ref, rental.id)
    rental = rental._replace(state="opening", tries=1)
    if packs.is_pack(world.assets, rental.item):
        rental = swap_asks.of_rental(world, changes, rental, grant_id, now)
    grant = grants.allow(
        world, changes, grant_id, door, "take", rental, now, by_reply=by_reply, proof=rental.proof,
        by=rental.asked_by, item=rental.item,
    )  # fmt: skip
    write(world, changes, rental)
    return _told(grants.told(grant, rental, grants.rid_of(world.assets, rental)), session.ref)


def funded(world: World, changes: Changes, session: Session, event: AuthorizationDecided) -> Outcome:
    """
    A psp has decided about a rental that waited for it: its door is told to open.

    Whoever stands at the lock may have been answered PaymentPending meanwhile, or gets the same grant in the
    answer now; a cabinet acts once on a grant, however it hears of it.
    """
    rental = world.assets.rentals.get(session.id)
    if rental is None:
        changes.assets.lacking_rentals.add(session.id)
        return _refused("PaymentPending", ref=session.ref)
    if rental.state != "requested":
        return _standing(world, changes, rental)
    if rental.swap_id is not None:
        return swap_asks.funded(world, changes, rental, event.received_at)
    grant_id = derived(rental.id, GRANT_PLACE)
    return _go_on(world, changes, rental, grant_id, event.received_at, by_reply=False)


def _waiting(world: World, changes: Changes, rental: Rental, session: Session) -> Outcome:
    outcome = payer.answer(world, changes, session)
    asset = AssetAnswer("PaymentPending", rental_id=rental.id)
    return Outcome("accepted", session.ref, waits_for=outcome.waits_for, asset=asset)


def _standing(world: World, changes: Changes, rental: Rental) -> Outcome:
    """What is told of a rental that is there already."""
    session = session_of(world, rental)
    if rental.state == "requested":
        return _waiting(world, changes, rental, session)
    if rental.state == "refused":
        return _refused(ERRORS.get(rental.reason or "", "NotAuthorized"), rental.reason, session.ref, rental.id)
    grant = grants.newest_to_take(world.assets, rental.id)
    answer = AssetAnswer(rental_id=rental.id)
    if grant is not None:
        answer = grants.told(grant, rental, grants.rid_of(world.assets, rental))
    return _told(answer, session.ref)


def _keep_free(world: World, changes: Changes, rental: Rental) -> None:
    door: Door = world.assets.doors[rental.station_id, rental.unit or 0]
    if door.reserved_for == rental.id:
        put_door(world.assets, changes.assets, door._replace(reserved_for=None))


# -- giving back ------------------------------------------------------------------------------------------------------


def return_asked(world: World, changes: Changes, event: ReturnAsked) -> Outcome:
    """A driver's app at a cabinet: one of its empty doors opens, or the driver gets more time."""
    rental = world.assets.rentals.get(event.rental_id)
    if rental is None:
        return _refused("NoCustody")
    grant = world.assets.grants.get(event.grant_id)
    if grant is not None:
        return _told(grants.told(grant, rental))
    return _return(
        world, changes, rental, event.station_id, event.unit, event.grant_id, event.received_at,
        by_reply=False, proof=event.proof, by=event.by,
    )  # fmt: skip


def _return_at_lock(world: World, changes: Changes, event: DoorRequested) -> Outcome:
    """The driver's own items are known by the token; the one that is out longest comes back first."""
    known = world.tokens.get(token.key(event.token))
    driver_id = None if known is None else payer.person(world, known)
    if known is None or driver_id is None or known.status != "accepted":
        return _refused("NotAuthorized")
    mine = [r for r in world.assets.rentals.of("driver", driver_id) if r.state in ("active", "overdue")]
    if not mine:
        return _refused("NoCustody")
    rental = min(mine, key=lambda r: (r.taken_at or r.requested_at, r.id))
    return _return(
        world, changes, rental, event.station_id, event.unit, event.grant_id, event.received_at,
        by_reply=True, proof="token at the lock", by=token.masked(event.token),
    )  # fmt: skip


def _return(
    world: World, changes: Changes, rental: Rental, station_id: str, unit: int | None, grant_id: UUID, now: datetime,
    *, by_reply: bool, proof: str, by: str,
) -> Outcome:  # fmt: skip
    if not _may_come_back(rental):
        return _refused("NoCustody", f"the rental is {rental.state}")
    for given in world.assets.grants.of("rental", rental.id):
        if given.why == "return" and given.state in LIVE:
            if given.station_id == station_id and unit in (None, given.unit) and now < given.expires_at:
                return _told(grants.told(given, rental))
            grants.end(world, changes, given, "revoked", now)
    if rental.state != "opening":
        free_door(world, changes, rental)  # whoever brings an item needs no door to be kept for taking it
    item = world.assets.items[rental.item or ""]
    door = grants.to_return(world.assets, station_id, unit, item.kind)
    if isinstance(door, str):
        if door == "NoEmptySlot":
            extend(world, changes, rental, now)
        return _refused(door)
    grant = grants.allow(
        world, changes, grant_id, door, "return", rental, now, by_reply=by_reply, proof=proof, by=by, item=item.code
    )
    return _told(grants.told(grant, rental), session_of(world, rental).ref)


def _may_come_back(rental: Rental) -> bool:
    """
    Whether its driver may have its item: a cabinet that is away has not said so yet.

    A bought item may come back, too.
    """
    if rental.state == "provisional":
        return rental.reason == "unclear"
    return rental.state in ("opening", "active", "overdue", "returning", "deemed")


def extend(world: World, changes: Changes, rental: Rental, now: datetime) -> None:
    """Every door is taken: that is not the driver's fault. Who asks again meanwhile has the time already."""
    waits = rental.extended_at is not None and now < rental.extended_at + EXTENSION
    if rental.due_at is not None and rental.extensions < EXTENSIONS_MAX and not waits:
        due_at, number = rental.due_at + EXTENSION, rental.extensions + 1
        longer = rental._replace(due_at=due_at, extensions=number, extended_at=now)
        write(world, changes, longer)


_UNWANTED_TOO_LATE = {
    "opening": "its door has been told to open; leave the item there, and it costs nothing",
    "active": "its item was taken; give it back",
    "overdue": "its item was taken; give it back",
}


def cancelled(world: World, changes: Changes, event: RentalCancelled) -> Outcome:
    """What has not been taken yet is not wanted any more. A door that may be open already is waited for."""
    rental = world.assets.rentals.get(event.rental_id)
    if rental is None:
        return _refused("NoCustody")
    if rental.state == "cancelled":
        return _told(AssetAnswer(rental_id=rental.id))
    if rental.state != "requested":
        why = _UNWANTED_TOO_LATE.get(rental.state, "nothing of it can be given up")
        return _refused("Busy", f"the rental is {rental.state}: {why}")
    cancel(world, changes, rental, "not wanted", event.received_at)
    return _told(AssetAnswer(rental_id=rental.id))


def _told(answer: AssetAnswer, ref: str | None = None) -> Outcome:
    return Outcome("accepted" if answer.error is None else "refused", ref, asset=answer)


def _refused(error: str, reason: str | None = None, ref: str | None = None, rental_id: UUID | None = None) -> Outcome:
    return Outcome("refused", ref, reason=reason or error, asset=AssetAnswer(error, rental_id=rental_id))
