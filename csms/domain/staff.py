"""Staff's word on items: what an inspection found, where an item is, what it is fit for."""

from __future__ import annotations

from datetime import datetime

from csms.base.money import to_minor
from csms.domain import custody, overdue
from csms.domain.asset_events import (
    AssetAnswer,
    ItemMoved,
    RentalInspected,
)
from csms.domain.assets import put_item
from csms.domain.events import Outcome
from csms.domain.openings import resolved_by
from csms.domain.rental import cancel, opened_at, own_of, ref_of, session_of, settle
from csms.domain.returns import back
from csms.domain.world import Changes, World


def inspected(world: World, changes: Changes, event: RentalInspected) -> Outcome:
    """Staff have looked at what came back: damage is paid out of the deposit, up to it."""
    rental = world.assets.rentals.get(event.rental_id)
    if rental is None or rental.state != "provisional" or rental.reason != "inspect":
        return Outcome("refused", reason="nothing of this rental is to be inspected")
    item = world.assets.items.get(rental.item or "")
    if item is not None and item.rental_id == rental.id:
        return Outcome("refused", reason="something else came back: say first where the item is")
    own, currency = own_of(world, rental), session_of(world, rental).currency
    assert currency is not None
    deposit_minor = 0 if own is None else to_minor(own.deposit, currency)
    if event.damage_minor > deposit_minor:
        return Outcome("refused", reason=f"damage is paid out of the deposit, which is {deposit_minor} minor units")
    rental = rental._replace(damage_minor=event.damage_minor)
    rental = rental._replace(taken_at=rental.taken_at or opened_at(world, rental))
    settle(world, changes, rental, event.received_at)
    return Outcome("accepted", ref=ref_of(rental.id))


def _handed_in(world: World, changes: Changes, code: str, at: datetime) -> None:
    """
    Staff have the item: whoever had rented it has it no more, and is billed until now.

    Whoever was to get it does not: no door opens for it any more, and nothing was taken.
    What is lost runs on, and what is to be inspected waits for that.
    """
    rental = world.assets.rental_of(code)
    if rental is not None and rental.reason == "inspect":
        return
    if rental is not None and rental.taken_at is None and rental.state in ("opening", "provisional"):
        resolved_by(world, changes, rental, at)
        cancel(world, changes, rental, "handed in", at)
        return
    if rental is not None and rental.taken_at is not None:
        settle(world, changes, rental._replace(returned_at=rental.returned_at or at), at)
        return
    bought = world.assets.newest_of(code)
    if bought is not None and bought.state == "deemed":
        overdue.came_back(world, changes, bought, (bought.station_id, bought.unit or 0), at, at)


def moved(world: World, changes: Changes, event: ItemMoved) -> Outcome:
    """Staff's word on an item: where it is, what it is fit for. In staff's hands its rental is over."""
    assets, key = world.assets, (event.received_at, event.id)
    item = assets.items.get(event.item)
    if item is None:
        return Outcome("refused", reason="there is no such item", asset=AssetAnswer("ItemUnknown"))
    if event.place == "connector":
        place = event.station_id, event.unit or 0
        if place not in assets.doors:
            return Outcome("refused", reason="there is no such door", asset=AssetAnswer("UnknownUnit"))
        if assets.capable.get(place) != item.kind:
            return Outcome("refused", reason=f"this door holds no {item.kind}", asset=AssetAnswer("ItemMismatch"))
        custody.placed(assets, changes.assets, item.code, place, key)
        back(world, changes, item, place, key, event.received_at, (), sure=True)
    else:
        custody.said(assets, changes.assets, item.code, event.place, key)
        if event.place in ("staff", "workshop"):
            _handed_in(world, changes, item.code, event.received_at)
    if event.state is not None:
        put_item(assets, changes.assets, assets.items[item.code]._replace(state=event.state))
    return Outcome("accepted")
