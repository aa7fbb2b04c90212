"""
What is stored of a batch, and nothing else: decided on a copy of the rows, written row by row.

A process that dies before the commit has changed nothing, and decides the same when it is told again; one that dies
afterwards finds in its rows what it knew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from csms.domain.books import Books, issued
from csms.domain.decide import decide
from csms.domain.events import Event, Outcome
from csms.domain.session import Session
from csms.domain.world import Changes, World
from tests.domain.lending_town import copied

if TYPE_CHECKING:
    from tests.simulation.pack_stations import PackStations

TABLES = ("items", "doors", "grants", "rentals", "packs", "swaps", "vouchers", "reservations", "cabinets")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what it was told, the rows before and after it, what it wrote."""

    events: tuple[Event, ...]
    before: World
    after: World
    changes: Changes


def decided(town: PackStations, events: Iterable[Event]) -> tuple[list[Outcome], Batch]:
    """Decides a batch and keeps what it wrote."""
    told = tuple(events)
    for _ in range(3):
        world = copied(town.world)
        outcomes, changes = decide(world, told)
        if not changes.lacking and not changes.assets.lacks():
            break
        for place in changes.lacking:
            session = town.world.sessions[place]
            town.world.series[session.id], town.world.books[session.id] = (), _books(town, session)
        town.world.assets.looked_up |= changes.assets.lacking
    else:
        raise AssertionError("what was loaded is not lacking")
    before = town.world
    died, anew = copied(before), outcomes
    if len(town.heard) % 4 == 0:
        anew, again = decide(died, told)
        assert (anew, again) == (outcomes, changes), "19: what was not committed is decided again, and the same"
    stored(before, world, changes)
    town.world = world
    world.books.clear()
    for posting in changes.postings:
        for transfer in posting.transfers:
            town.accounts[transfer.debit] -= transfer.minor
            town.accounts[transfer.credit] += transfer.minor
    town.bills += changes.bills
    town.concerns += changes.concerns
    town.errands += changes.errands
    town.uses += changes.assets.voucher_uses
    for (driver, currency), minor in world.balances.items():
        assert minor <= town.balance(driver), f"20: the rules spend only what postings have left: {driver} {minor}"
        world.balances[driver, currency] = town.balance(driver)
        world.debts[driver, currency] = -town.accounts[f"driver:{driver}:debt"]
    return outcomes, Batch(told, before, world, changes)


def _books(town: PackStations, session: Session) -> Books:
    """What is written of a session's money. No psp collects here: what it was to take, nobody knows that it did."""
    bills = tuple(issued(bill) for bill in town.bills if bill.session.id == session.id)
    return Books(
        bills,
        balance_minor=town.accounts[f"driver:{session.driver_id}:balance"],
        debt_minor=-town.accounts[f"driver:{session.driver_id}:debt"],
        receivable_minor=sum(bill.total_minor for bill in bills) if session.means == "psp" else 0,
    )


def stored(before: World, after: World, changes: Changes) -> None:
    """Whoever loads the rows that were there, with those that were written, finds what was decided."""
    for name in TABLES:
        written: dict[Any, Any] = getattr(changes.assets, name)
        was, is_ = dict(getattr(before.assets, name).items()), dict(getattr(after.assets, name).items())
        assert {**was, **written} == is_, f"19: the state after a restart is the state before: {name}"
    sessions = {session.id: session for session in before.sessions.values()} | changes.opened | changes.moved
    assert sessions == {s.id: s for s in after.sessions.values()}, "19: the state after a restart: sessions"
    asked = dict(before.authorizations) | changes.asked | changes.decided
    assert asked == after.authorizations, "19: the state after a restart: authorizations"
