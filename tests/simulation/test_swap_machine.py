"""Swaps in any order, with everything that goes wrong at three stations; and defects that must not go unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from csms.domain import (
    custody,
    grants,
    packs,
    rental,
    swap_clock,
    swap_in,
    swap_out,
    swap_pay,
    swap_state,
    swaps,
    voucher_uses,
)
from csms.domain.pack_usage import PackUsage
from tests.simulation.swap_machine import play


def test_swaps_keep_their_promises_whatever_happens_in_whatever_order() -> None:
    play(examples=200, steps=25, shrink=True)


# -- planted ----------------------------------------------------------------------------------------------------------


def released_before_the_bill(patch: pytest.MonkeyPatch) -> None:
    """The next pack is let go, and the old one billed when that is looked at again."""
    patch.setattr(swap_pay, "settle_in", lambda *arguments: None)


def reports_are_heard_again(patch: pytest.MonkeyPatch) -> None:
    """No dedupe: a report that comes twice counts twice."""
    patch.setattr(swaps, "heard", lambda world, event: None)
    patch.setattr(swap_in, "_is_known", lambda *arguments: False)


def other_words_are_news(patch: pytest.MonkeyPatch) -> None:
    """A pack that left is lent again when that is told again under another id."""
    patch.setattr(swap_out, "_is_known", lambda *arguments: False)


def any_slot_counts_as_empty(patch: pytest.MonkeyPatch) -> None:
    """The fullest slot is promised, too."""
    patch.setattr(custody, "is_empty", lambda door: True)


def unfit_packs_are_chosen(patch: pytest.MonkeyPatch) -> None:
    """Levels, faults and quarantine do not count."""
    patch.setattr(packs, "unfit", lambda pack, item, rules: None)


def the_slot_just_filled_is_chosen(patch: pytest.MonkeyPatch) -> None:
    """Whoever charged a pack at home gets it back as another one."""
    real = packs.choose

    def choose(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, **options | {"besides": ()})

    patch.setattr(packs, "choose", choose)


def vouchers_are_drawn_twice(patch: pytest.MonkeyPatch) -> None:
    """What a use takes of a voucher is forgotten."""
    patch.setattr(voucher_uses, "put_voucher", lambda *arguments: None)


def the_higher_one_is_billed(patch: pytest.MonkeyPatch) -> None:
    """Where level and counters disagree, the level counts."""
    real = packs.usage

    def usage(*arguments: Any) -> PackUsage:
        found = real(*arguments)
        return found._replace(wh=max(found.soc_wh, found.counted_wh or 0))

    patch.setattr(packs, "usage", usage)


def a_hold_outlives_its_release(patch: pytest.MonkeyPatch) -> None:
    """A pack that was not taken in time is not lent, and its money is forgotten."""

    def cancel(world: Any, changes: Any, one: Any, reason: str, now: Any) -> Any:
        return rental.over(world, changes, one._replace(state="cancelled", reason=reason, closed_at=now))

    patch.setattr(swap_out, "cancel", cancel)


def foreign_packs_are_accepted(patch: pytest.MonkeyPatch) -> None:
    """Whatever is put in by a token is that driver's, whoever has it."""
    patch.setattr(swap_in, "_is_foreign", lambda *arguments: False)


def the_last_empty_slot_is_promised(patch: pytest.MonkeyPatch) -> None:
    """A plain return needs no second empty slot."""
    patch.setattr(grants, "RESERVE", 0)


def promised_slots_are_promised_again(patch: pytest.MonkeyPatch) -> None:
    """What is kept for one swap is kept for the next."""
    patch.setattr(packs, "_is_free", lambda assets, door, keeper: True)


def what_is_given_back_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    """An own pack that was taken back stands in its slot still, as far as anybody knows."""
    patch.setattr(swap_out, "_own_back", lambda world, changes, swap, one, unit, key: swap)


def slots_stay_kept(patch: pytest.MonkeyPatch) -> None:
    """A swap that is not begun keeps its slots for ever."""
    patch.setattr(swap_state, "keep_no_slots", lambda *arguments: None)


def swaps_are_looked_at_once(patch: pytest.MonkeyPatch) -> None:
    """Who waits for a payment waits for ever."""
    patch.setattr(swap_clock, "_awaited", lambda *arguments: None)


PLANTS = (
    released_before_the_bill,
    reports_are_heard_again,
    other_words_are_news,
    any_slot_counts_as_empty,
    unfit_packs_are_chosen,
    the_slot_just_filled_is_chosen,
    vouchers_are_drawn_twice,
    the_higher_one_is_billed,
    a_hold_outlives_its_release,
    foreign_packs_are_accepted,
    the_last_empty_slot_is_promised,
    promised_slots_are_promised_again,
    what_is_given_back_is_not_heard,
    slots_stay_kept,
    swaps_are_looked_at_once,
)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_in_the_rules_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(examples=400, steps=25)  # most are found within ten
