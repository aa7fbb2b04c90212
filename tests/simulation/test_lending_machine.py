"""Lending in any order, with everything that goes wrong at two cabinets; and defects that must not go unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from csms.domain import cabinets, grants, lending, openings, overdue, rental, returns, sightings
from csms.domain.assets import Rental
from tests.simulation.lending_machine import play


def test_lending_keeps_its_promises_whatever_happens_in_whatever_order() -> None:
    play(examples=300, steps=30, shrink=True)


# -- planted ----------------------------------------------------------------------------------------------------------


def reports_are_heard_again(patch: pytest.MonkeyPatch) -> None:
    """No dedupe: a report that comes twice counts twice."""
    patch.setattr(cabinets, "heard", lambda world, event: None)


def a_grant_opens_again(patch: pytest.MonkeyPatch) -> None:
    """A door that opens once more by a used grant is no alarm, and whoever takes something there is let go."""
    patch.setattr(cabinets, "alarm", lambda *arguments, **details: None)


def grants_never_expire(patch: pytest.MonkeyPatch) -> None:
    """A grant whose answer was lost stays live."""
    patch.setattr(grants, "DRIFT", timedelta(days=400))


def a_cancelled_rental_keeps_its_hold(patch: pytest.MonkeyPatch) -> None:
    """What was set aside for it is forgotten."""

    def cancel(world: Any, changes: Any, one: Rental, reason: str, now: Any) -> Rental:
        return rental.over(world, changes, one._replace(state="cancelled", reason=reason, closed_at=now))

    for module in (cabinets, lending, openings, overdue, sightings):
        patch.setattr(module, "cancel", cancel)


def items_are_bought_again_and_again(patch: pytest.MonkeyPatch) -> None:
    """A purchase does not end the rental."""
    patch.setattr(overdue, "over", lambda world, changes, one: None)


def whoever_takes_has_a_rental(patch: pytest.MonkeyPatch) -> None:
    """What leaves without a grant is taken for the item's own driver's, and nobody is told."""
    real = cabinets._taken

    def taken(world: Any, changes: Any, event: Any, key: Any) -> str | None:
        before = list(changes.concerns)
        error = real(world, changes, event, key)
        changes.concerns[:] = before
        return error

    patch.setattr(cabinets, "_taken", taken)


def a_door_stays_kept(patch: pytest.MonkeyPatch) -> None:
    """The end of a rental does not free its door."""
    patch.setattr(rental, "free_door", lambda *arguments: None)


def a_jam_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A door that does not open ends its grant, and the rental is left opening."""
    patch.setattr(openings, "_not_taken", lambda *arguments: None)


def the_clock_alone_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    """A return whose door nobody closes is never looked at again."""
    patch.setattr(rental, "next_look", lambda one, own: None if one.state == "returning" else one.checked_at)


def what_comes_back_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    """A return moves the item and leaves the rental open."""
    for module in (returns, sightings):
        patch.setattr(module, "back", lambda *arguments, **options: None)


def what_is_lent_is_lent_again(patch: pytest.MonkeyPatch) -> None:
    """A door that is kept for somebody is given to the next."""
    patch.setattr(grants, "free", lambda assets, door: True)
    patch.setattr(grants, "_fits", lambda assets, door, item, item_type: True)
    patch.setattr(grants, "still_to_take", lambda assets, door, one: True)


def fees_are_guessed(patch: pytest.MonkeyPatch) -> None:
    """What nobody knows counts as taken."""

    def unclear(world: Any, changes: Any, one: Rental, now: Any) -> Rental:
        return rental.taken(world, changes, one, one.item or "", now, now)

    patch.setattr(overdue, "unclear", unclear)
    patch.setattr(openings, "unclear", unclear)


PLANTS = (
    reports_are_heard_again,
    a_grant_opens_again,
    grants_never_expire,
    a_cancelled_rental_keeps_its_hold,
    items_are_bought_again_and_again,
    whoever_takes_has_a_rental,
    a_door_stays_kept,
    a_jam_is_forgotten,
    the_clock_alone_ends_nothing,
    what_comes_back_is_not_heard,
    what_is_lent_is_lent_again,
    fees_are_guessed,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_the_rules_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(examples=1_500, steps=30)  # most are found within ten
