"""Swaps whose reports come twice, late, or the wrong way round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from csms.domain import asset_events as said
from tests.domain.lending_town import ANN, BOB
from tests.domain.pack_town import PackTown


@pytest.fixture
def town() -> PackTown:
    return PackTown()


def first(town: PackTown, **more: Any) -> str:
    """A driver with a pack that was used: its code."""
    rental = town.rent_pack(**more)
    assert rental.item is not None and rental.state == "active"
    town.ride(rental.item, 1_070)
    return rental.item


def test_a_pack_that_left_is_not_lent_again_because_that_is_told_again_after_it_came_back(town: PackTown) -> None:
    rental = town.rent_pack()
    event = next(e for e in [town.moved("out", town.swap_of(rental.id).rid, {rental.unit or 0: rental.item or ""})])
    event = replace(event, at=rental.taken_at)
    grant = town.granted(town.ask_return(rental, "S1"))
    town.put_in(7, {grant.unit: rental.item or ""})
    before = len(town.world.assets.rentals), len(town.bills)
    town.tell(event)
    assert (len(town.world.assets.rentals), len(town.bills)) == before
    assert town.item(rental.item or "").place == "connector"


def test_an_own_pack_that_was_taken_back_is_not_lost_because_that_is_told_again() -> None:
    town = PackTown(funds=30_000)
    mine = first(town)
    town.put_in(7, {4: mine})
    town.take_out(7, {4: mine})
    town.take_out(7, {4: mine})
    assert town.item(mine).place == "driver" and town.swap(7).state == "returned"
    assert "pack_out_without_leave" not in town.kinds()


def test_out_told_before_in_hands_nothing_else_out(town: PackTown) -> None:
    mine = first(town)
    inserted = town.moved("in", 7, {4: mine})
    town.take_out(7, {2: "b2"})
    before = len(town.releases())
    town.tell(replace(inserted, received_at=town.now))
    assert len(town.releases()) == before and town.fees() == [635]
    assert town.swap(7).state == "completed" and town.item("b2").place == "driver"
    rental = town.world.assets.rental_of("b2")
    assert rental is not None and rental.driver_id == "ann"


def test_out_told_before_in_by_a_known_token_hands_nothing_else_out(town: PackTown) -> None:
    mine = first(town)
    inserted = town.moved("in", 7, {4: mine})
    town.take_out(7, {2: "b2"}, token=ANN)
    before = len(town.releases())
    town.tell(replace(inserted, received_at=town.now))
    assert len(town.releases()) == before and town.fees() == [635]
    assert town.swap(7).state == "completed"


def test_timeout_told_before_in_does_not_end_the_swap(town: PackTown) -> None:
    mine = first(town)
    inserted = town.moved("in", 7, {4: mine})
    town.not_taken(7, {2: "b2"})
    town.tell(replace(inserted, received_at=town.now))
    assert town.swap(7).state == "releasing" and town.fees() == [635]


def test_what_a_snapshot_saw_before_its_insertion_was_told_is_exchanged(town: PackTown) -> None:
    mine = first(town, unit=1)
    inserted = town.moved("in", 7, {4: mine})
    town.later(2)
    town.units("S1", {1: None, 2: "b2", 3: "b3", 4: mine})
    town.tell(replace(inserted, received_at=town.now))
    assert town.swap(7).state == "releasing" and town.fees() == [635]


def test_an_insertion_that_is_told_much_later_is_a_return_because_nobody_stands_there(town: PackTown) -> None:
    mine = first(town)
    inserted = town.moved("in", 7, {4: mine})
    before = len(town.releases())
    town.later(3_600)
    town.tell(replace(inserted, received_at=town.now))
    assert len(town.releases()) == before
    assert town.swap(7).state == "completed" and town.fees() == [635]


def test_the_level_at_the_release_counts_also_where_a_snapshot_told_of_it_first(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.answer(grant.id)
    town.levels["b1"] = town.levels["b1"]._replace(soc=9_700)
    rid = town.swap_of(grant.rental_id).rid
    released = town.moved("out", rid, {1: "b1"})
    town.later(200)
    town.tell(said.GrantChecked("S1", town.now, grant.id))
    town.units("S1", {1: None, 2: "b2", 3: "b3", 4: None})
    assert town.rental(grant.rental_id).state == "active"
    town.tell(replace(released, received_at=town.now))
    rental = town.rental(grant.rental_id)
    assert rental.level_out is not None and rental.level_out.soc == 9_700 and rental.taken_at == released.at


def test_an_old_timeout_that_is_told_again_ends_no_grant_of_the_next_driver(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.answer(grant.id)
    town.later(60)
    event = town.moved("timeout", town.swap_of(grant.rental_id).rid, {1: "b1"})
    town.tell(event)
    again = town.granted(town.ask(BOB, "S1", 1))
    town.tell(replace(event, id="in other words", at=town.later(1), received_at=town.now))
    assert town.world.assets.grants[again.id].state == "issued"


def test_a_pack_that_only_a_snapshot_saw_come_back_is_billed_by_the_level_it_had_there(town: PackTown) -> None:
    mine = first(town, unit=1)
    town.seqs["S1"] += 1  # something is still to be told
    town.later(2)
    town.units("S1", {1: None, 2: "b2", 3: "b3", 4: mine})
    assert not town.bills
    town.run_clock(town.later(700))
    assert town.fees() == [635]


def test_a_release_that_is_told_after_the_pack_came_back_is_billed_until_then(town: PackTown) -> None:
    mine = first(town, unit=1)
    town.put_in(7, {4: mine})
    released = town.moved("out", 7, {2: "b2"}, at=town.later(1))
    town.ride("b2", 500)
    town.put_in(8, {2: "b2"})
    town.later(30)
    town.tell(replace(released, received_at=town.now))
    rental = town.world.assets.newest_of("b2")
    assert rental is not None and rental.state == "closed" and rental.driver_id == "ann" and len(town.bills) == 2


def test_out_told_first_is_its_drivers_though_a_snapshot_had_ended_the_rental_before_in_was_told(
    town: PackTown,
) -> None:
    mine = first(town, unit=1)
    inserted = town.moved("in", 7, {4: mine})
    town.take_out(7, {2: "b2"})
    town.units("S1", {1: None, 2: None, 3: "b3", 4: mine})
    town.run_clock(town.later(3_600))
    assert town.fees() == [635] and town.item("b2").place == "unknown"
    town.tell(replace(inserted, received_at=town.now))
    assert town.fees() == [635] and town.swap(7).state == "completed"
    assert town.item("b2").place == "driver" and town.holder("b2").driver_id == "ann"


def test_a_timeout_told_again_changes_nothing_though_the_pack_has_left_since(town: PackTown) -> None:
    town.put_in(7, {4: "X9"})
    event = town.moved("timeout", 7, {4: "X9"}, at=town.later(60))
    town.tell(event)
    town.take_out(8, {4: "X9"})
    before = town.swap(7)
    town.tell(replace(event, id="in other words", received_at=town.now))
    assert town.swap(7) == before


def test_a_snapshot_from_before_a_pack_left_is_not_taken_for_its_return(town: PackTown) -> None:
    mine = first(town, unit=1)
    town.put_in(7, {4: mine})
    swap = town.swap(7)
    unit, code = swap.units_out[0], swap.packs_out[0]
    town.answer([g for g in town.world.assets.grants.values() if g.unit == unit][-1].id)
    slots = {1: None, 2: "b2", 3: "b3", 4: mine}
    at_first, left, again = town.later(1), town.later(1), town.later(1)
    released = town.moved("out", 7, {unit: code}, at=left)
    town.put_in(8, {unit: code}, at=again)
    town.units("S1", slots, at=at_first)
    town.tell(replace(released, received_at=town.now))
    assert len(town.bills) == 2 and town.world.assets.rental_of(code) is None
    assert len([r for r in town.world.assets.rentals.of("item", code) if r.taken_at is not None]) == 1


def test_a_pack_whose_leaving_is_told_last_is_billed_by_the_level_it_had_in_its_slot(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.answer(grant.id)
    released = town.moved("out", town.swap_of(grant.rental_id).rid, {1: "b1"}, at=town.later(1))
    town.ride("b1", 1_070)
    town.put_in(7, {4: "b1"})
    assert town.fees() == [635]
    town.tell(replace(released, received_at=town.now))
    assert town.fees() == [635]


def test_a_pack_that_leaves_by_another_visit_is_not_billed_to_whom_it_was_offered() -> None:
    town = PackTown(funds=200_000)
    anns, bobs = first(town, unit=1), first(town, token=BOB, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    inserted = town.moved("in", 7, {1: anns})
    town.later(60)
    town.tell(replace(inserted, received_at=town.now))
    [offered] = town.swap(7).packs_out
    town.watch(300)  # nobody answers, and it is not taken
    assert town.rental(town.swap(7).rentals_out[0]).state == "provisional"
    bob_in = town.moved("in", 8, {2: bobs})
    town.take_out(8, {int(offered[1]) if offered == "b3" else 4: offered})
    town.tell(replace(bob_in, received_at=town.now))
    lent = town.world.assets.rental_of(offered)
    assert lent is not None and lent.driver_id == "bob"
    assert town.rental(town.swap(7).rentals_out[0]).state == "cancelled"
    town.ride(offered, 1_070)
    town.put_in(9, {2: offered})
    assert town.balance("ann") == 200_000 - 635


def test_a_pack_that_is_taken_by_others_before_its_slot_opens_is_replaced(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.take_out(7, {1: "b1"}, token=BOB)
    rental = town.rental(grant.rental_id)
    assert rental.state == "opening" and rental.item in ("b2", "b3")
    assert town.world.assets.rental_of("b1").driver_id == "bob"  # type: ignore[union-attr]


def test_a_pack_that_is_left_by_one_visit_is_handed_out_by_the_other_that_it_was_chosen_for() -> None:
    town = PackTown(funds=200_000)
    anns, bobs = first(town, unit=1), first(town, token=BOB, unit=2)
    town.levels[anns] = town.levels[anns]._replace(soc=10_000)  # charged at home
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    town.put_in(7, {1: anns})
    town.put_in(8, {2: bobs})
    [unit] = town.swap(8).units_out
    assert unit == 1
    town.not_taken(7, {1: anns})
    assert town.world.assets.live_grant("S1", 1) is not None


def test_a_pack_that_was_put_in_elsewhere_before_it_waits_for_its_exchange_is_exchanged_nowhere(town: PackTown) -> None:
    mine = first(town, unit=1)
    inserted = town.moved("in", 7, {2: mine}, "S2")
    town.take_out(8, {2: mine}, "S2")  # by whom nobody knows
    for code in ("b2", "b3"):
        town.stated(code, unit=int(code[1]), soc=5_000)
    town.later(1)
    assert town.error(town.put_in(9, {4: mine})) == "NoBatteryAvailable"
    before = len(town.releases())
    town.tell(replace(inserted, received_at=town.now))
    assert town.fees() == [635] and len(town.releases()) == before
    town.watch(600)
    town.watch(600)
    assert town.swap(9).ended_at is not None and town.fees() == [635] and town.held() == 0


def test_a_pack_that_is_taken_after_it_was_locked_again_is_its_visits_and_named_once(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    swap = town.swap(7)
    unit, code = swap.units_out[0], swap.packs_out[0]
    town.not_taken(7, {unit: code})
    town.take_out(7, {unit: code})
    swap, rental = town.swap(7), town.holder(code)
    assert (rental.driver_id, rental.flags) == ("ann", ("told_late",)) and town.fees() == [635, 0]
    assert (swap.units_out, swap.packs_out, swap.rentals_out) == ((unit,), (code,), (rental.id,))
    assert (swap.state, swap.reason) == ("completed", None) and "pack_out_without_leave" in town.kinds()
    town.ride(code, 100)
    town.put_in(8, {4 if unit != 4 else 1: code})
    town.take_out(7, {unit: code})
    assert len({r.id for r in town.world.assets.rentals.values() if r.item == code}) == 2


def test_a_first_pack_that_is_taken_after_it_was_locked_again_is_its_drivers(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.answer(grant.id)
    rid = town.swap_of(grant.rental_id).rid
    town.not_taken(rid, {1: "b1"})
    town.take_out(rid, {1: "b1"})
    rental = town.holder("b1")
    assert (rental.driver_id, rental.flags) == ("ann", ("told_late",)) and town.held() == 30_000
    assert (town.swap(rid).state, town.swap(rid).packs_out) == ("completed", ("b1",))
    assert "pack_out_without_leave" in town.kinds() and "pack_out_without_in" not in town.kinds()


def test_a_second_pack_that_leaves_with_the_released_one_is_the_same_drivers() -> None:
    town = PackTown(funds=200_000)
    grant = town.granted(town.ask(ANN, "S1", 1))
    town.answer(grant.id)
    rid = town.swap_of(grant.rental_id).rid
    town.take_out(rid, {1: "b1", 2: "b2"})
    assert {town.holder(code).driver_id for code in ("b1", "b2")} == {"ann"}
    assert town.swap(rid).state == "completed" and town.swap(rid).packs_out == ("b1", "b2")
    assert town.kinds().count("pack_out_without_leave") == 1


def test_an_orphan_whose_pack_was_billed_to_a_card_is_that_drivers(town: PackTown) -> None:
    town.take_out(7, {1: "b1"}, token=ANN)
    assert (town.swap(7).state, town.swap(7).driver_id) == ("orphaned", "ann")
    town.take_out(8, {2: "b2"})
    assert town.swap(8).driver_id is None
