"""Swaps: what is put in is billed, once, and only then another pack is handed out."""

from __future__ import annotations

import pytest

from csms.domain.pack_rows import SlotRules
from csms.domain.pack_usage import MISMATCH
from tests.domain.lending_town import BOB, POOR
from tests.domain.pack_town import EXTRA, PackTown


@pytest.fixture
def town() -> PackTown:
    return PackTown()


def first(town: PackTown, **more: object) -> str:
    """A driver with a pack that was used: its code."""
    rental = town.rent_pack(**more)  # type: ignore[arg-type]
    assert rental.item is not None and rental.state == "active"
    town.ride(rental.item, 1_070)
    return rental.item


def test_a_rented_pack_is_in_its_drivers_custody_with_its_level_at_issue(town: PackTown) -> None:
    rental = town.rent_pack()
    assert rental.level_out is not None and rental.level_out.soc == 9_500
    assert town.item(rental.item or "").place == "driver"
    assert town.held() == 30_000
    assert town.swap_of(rental.id).state == "completed"


def test_a_pack_that_is_put_in_finds_its_driver_is_billed_by_usage_and_releases_another(town: PackTown) -> None:
    mine = first(town)
    answer = town.put_in(7, {4: mine}, at=town.now).asset
    assert answer is not None and answer.error is None and answer.rid == 7
    assert town.fees() == [635]  # 1,070 Wh at 500 the kWh, and the delivery
    assert answer.bill is not None and answer.bill.fee_minor == 635
    swap = town.swap(7)
    assert swap.state == "releasing" and answer.units_out == swap.units_out != (4,)
    town.take_out(7, {swap.units_out[0]: swap.packs_out[0]})
    assert town.swap(7).state == "completed"
    assert town.item(swap.packs_out[0]).place == "driver" and town.item(mine).place == "connector"
    assert town.held() == 30_000 and town.balance() == 100_000 - 635 - 30_000


def test_no_pack_is_released_before_the_bill(town: PackTown) -> None:
    mine = first(town)
    before = len(town.releases())
    town.put_in(7, {4: mine})
    rental = town.rental(town.swap(7).rentals_in[0])
    assert rental.state == "closed" and len(town.bills) == 1
    assert len(town.releases()) == before + 1


def test_a_swap_that_is_told_again_bills_once_and_gets_the_same_bill(town: PackTown) -> None:
    mine = first(town)
    event = town.moved("in", 7, {4: mine})
    once = town.tell(event).asset
    again = town.tell(event).asset
    in_other_words = town.tell(town.moved("in", 7, {4: mine})).asset
    assert once is not None and again is not None and in_other_words is not None
    assert again.repeated and once.bill == again.bill == in_other_words.bill
    assert len(town.bills) == 1 and len(town.swap(7).rentals_out) == 1


def test_an_unknown_pack_is_given_back_and_nothing_else_leaves(town: PackTown) -> None:
    answer = town.put_in(7, {4: "X9"}).asset
    assert answer is not None and answer.error == "BatteryUnknown"
    assert [(r["unit"], r["err"]) for r in town.releases()] == [(4, "BatteryUnknown")]
    town.take_out(7, {4: "X9"})
    assert town.swap(7).state == "returned" and not town.bills
    assert "item_unknown" in town.kinds()


def test_another_drivers_pack_is_given_back_unless_the_station_accepts_it(town: PackTown) -> None:
    bobs = first(town, token=BOB)
    town.rent_pack()
    answer = town.put_in(7, {4: bobs}, token="A0A0A0A0").asset
    assert answer is not None and answer.error == "ItemMismatch"
    town.take_out(7, {4: bobs})
    assert town.swap(7).state == "returned" and not town.bills
    assert town.item(bobs).place == "driver"
    town.world.assets.slot_rules["S1"] = SlotRules(foreign_packs="accept")
    town.put_in(8, {4: bobs}, token="A0A0A0A0")
    assert town.swap(8).driver_id == "bob" and len(town.bills) == 1


def test_a_token_that_is_the_packs_own_serial_is_its_driver(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine}, token=mine.upper())
    assert town.swap(7).state == "releasing" and town.swap(7).driver_id == "ann"


def test_a_pack_nobody_has_stays_and_nothing_is_handed_out(town: PackTown) -> None:
    answer = town.put_in(7, {4: "b5"}).asset
    assert answer is not None and answer.error == "NoCustody"
    assert town.item("b5").place == "connector" and not town.releases()
    assert "pack_without_rental" in town.kinds()


@pytest.mark.parametrize(("unit", "error"), [(5, "UnknownUnit"), (1, "UnitOccupied")])
def test_an_insertion_counts_only_in_a_slot_that_was_known_empty(unit: int, error: str) -> None:
    town = PackTown()
    mine = first(town, unit=3)
    before = len(town.releases())
    answer = town.put_in(7, {unit: mine}).asset
    assert answer is not None and answer.error == error
    assert len(town.releases()) == before


def test_what_is_put_in_where_something_was_believed_is_billed_as_returned(town: PackTown) -> None:
    mine = first(town, unit=3)
    town.put_in(7, {1: mine})
    assert town.fees() == [635] and town.swap(7).state == "aborted"
    assert "slot_not_empty" in town.kinds()


def test_without_a_fit_pack_nothing_is_billed_and_the_own_one_is_offered_back(town: PackTown) -> None:
    mine = first(town)
    for code in ("b1", "b2", "b3"):
        if code != mine:
            town.stated(code, unit=int(code[1]), soc=5_000)
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NoBatteryAvailable"
    assert not town.bills and town.releases()[-1]["err"] == "NoBatteryAvailable"
    town.take_out(7, {4: mine})
    assert town.swap(7).state == "returned" and town.holder(mine).state == "active"


def test_a_driver_who_cannot_pay_gets_the_own_pack_back_and_may_top_up(town: PackTown) -> None:
    poor = PackTown(funds=30_000)
    mine = first(poor)
    answer = poor.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NoCredit"
    assert poor.swap(7).state == "awaiting_payment" and not poor.bills
    assert poor.releases()[-1]["err"] == "NoCredit"
    poor.not_taken(7, {4: mine})
    poor.world.balances["ann", "KRW"] = poor.accounts["driver:ann:balance"] = 5_000
    poor.watch()
    assert poor.swap(7).state == "releasing" and poor.fees() == [635]


def test_who_leaves_the_own_pack_behind_has_returned_it(town: PackTown) -> None:
    poor = PackTown(funds=30_000)
    mine = first(poor)
    poor.put_in(7, {4: mine})
    poor.not_taken(7, {4: mine})
    for _ in range(60):
        poor.watch()
    assert poor.swap(7).state == "aborted" and poor.fees() == [635]
    assert poor.item(mine).place == "connector" and poor.held() == 0


def test_a_pack_that_is_not_taken_stays_and_the_bill_of_the_old_one_stands(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    swap = town.swap(7)
    town.not_taken(7, {swap.units_out[0]: swap.packs_out[0]})
    assert town.swap(7).state == "aborted" and town.swap(7).reason == "not taken"
    assert town.fees() == [635, 0] and town.held() == 0
    assert town.item(swap.packs_out[0]).place == "connector"


def test_a_swallowed_pack_is_lent_to_its_driver_again_without_a_delivery(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    for _ in range(4):
        live = [g for g in town.world.assets.grants.values() if g.state in ("issued", "accepted") and g.unit != 4]
        for grant in live:
            town.answer(grant.id, "rejected", "DoorJammed")
    town.watch()
    assert "swallowed" in town.swap(7).flags
    assert town.releases()[-1]["unit"] == 4
    town.take_out(7, {4: mine})
    town.watch()
    assert town.swap(7).state == "completed" and town.item(mine).place == "driver"
    town.ride(mine, 100)
    town.put_in(9, {2: mine}, station="S2")
    assert town.fees()[-1] == 50  # its energy alone


def test_a_pack_that_leaves_without_another_being_put_in_is_an_alarm(town: PackTown) -> None:
    town.take_out(7, {1: "b1"})
    assert town.swap(7).state == "orphaned" and "pack_out_without_in" in town.kinds()
    assert town.item("b1").place == "unknown" and not town.bills


def test_a_pack_that_leaves_by_a_known_token_is_billed_to_its_driver(town: PackTown) -> None:
    town.take_out(7, {1: "b1"}, token="A0A0A0A0")
    rental = town.world.assets.rental_of("b1")
    assert rental is not None and rental.driver_id == "ann" and "out_without_in" in rental.flags


def test_a_station_that_chooses_by_itself_hands_another_pack_out(town: PackTown) -> None:
    mine = first(town, unit=1)
    town.put_in(7, {4: mine})
    chosen = town.swap(7).packs_out[0]
    other = "b3" if chosen == "b2" else "b2"
    town.take_out(7, {int(other[1]): other})
    assert town.swap(7).state == "completed" and "other_pack" in town.swap(7).flags
    assert town.item(other).place == "driver" and town.item(chosen).place == "connector"
    assert town.world.assets.doors["S1", int(chosen[1])].reserved_for is None


def test_a_set_of_two_packs_is_exchanged_together() -> None:
    town = PackTown(funds=200_000)
    one, two = first(town, unit=1), first(town, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    town.put_in(7, {1: one, 2: two})
    assert town.fees() == [635, 635] and town.swap(7).units_out == (3, 4)
    town.take_out(7, {3: "b3", 4: "b5"})
    assert town.swap(7).state == "completed"
    assert {town.item(code).place for code in ("b3", "b5")} == {"driver"}


def test_of_a_set_nothing_is_billed_where_only_one_pack_is_fit() -> None:
    town = PackTown(funds=200_000)
    one, two = first(town, unit=1), first(town, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: None})
    answer = town.put_in(7, {1: one, 2: two}).asset
    assert answer is not None and answer.error == "NoBatteryAvailable"
    assert not town.bills and [r["unit"] for r in town.releases()[-2:]] == [1, 2]


def test_usage_that_disagrees_is_billed_low_flagged_and_listed(town: PackTown) -> None:
    mine = first(town)
    town.levels[mine] = town.levels[mine]._replace(soc=9_400)
    town.put_in(7, {4: mine})
    rental = town.rental(town.swap(7).rentals_in[0])
    assert rental.battery_wh == 14 and MISMATCH in rental.flags and MISMATCH in town.kinds()


def test_the_app_is_refused_before_a_slot_opens(town: PackTown) -> None:
    assert town.error(town.ask_swap()) == "NoCustody"
    first(town)
    assert town.error(town.ask_swap(count=2)) == "NoCustody"
    town.units("S2", {1: "b4", 2: "b5"})
    assert town.error(town.ask_swap(station="S2")) == "NoEmptySlot"
    town.units("S2", {1: "b4", 2: None})
    town.stated("b4", "S2", 1, soc=100)
    assert town.error(town.ask_swap(station="S2")) == "NoBatteryAvailable"


def test_the_app_begins_a_swap_and_the_slots_are_kept_for_it(town: PackTown) -> None:
    mine = first(town)
    outcome = town.ask_swap()
    assert town.error(outcome) is None and outcome.asset is not None and outcome.asset.rid is not None
    rid = outcome.asset.rid
    kept = [door.unit for door in town.world.assets.doors.of("kept for", town.swap(rid).id)]
    assert len(kept) == 2 and [errand.kind for errand in town.errands].count("swap.start") == 1
    town.put_in(rid, {town.swap(rid).units_in[0]: mine})
    assert town.swap(rid).state == "releasing" and town.fees() == [635]


def test_a_swap_that_is_not_begun_keeps_no_slot(town: PackTown) -> None:
    first(town)
    asked = town.ask_swap().asset
    assert asked is not None and asked.rid is not None
    town.watch(181)
    assert town.swap(asked.rid).state == "aborted"
    assert not [door for door in town.world.assets.doors.values() if door.reserved_for is not None]


def test_a_plain_return_leaves_the_last_empty_slot_to_swaps(town: PackTown) -> None:
    rental = town.rent_pack(unit=1)
    town.units("S1", {1: "b5", 2: "b2", 3: "b3", 4: None})
    assert town.error(town.ask_return(rental, "S1")) == "NoEmptySlot"
    assert town.error(town.ask_return(rental, "S2")) == "NoEmptySlot"


def test_a_plain_return_ends_the_rental_and_hands_nothing_out(town: PackTown) -> None:
    mine = first(town, unit=1)
    rental = town.world.assets.rental_of(mine)
    assert rental is not None
    grant = town.granted(town.ask_return(rental, "S1"))
    before = len(town.releases())
    town.put_in(7, {grant.unit: mine})
    assert town.rental(rental.id).state == "closed" and town.fees() == [635]
    assert len(town.releases()) == before and town.swap(7).state == "completed"


def test_of_the_fit_packs_the_fullest_bucket_goes_first_then_the_fewest_cycles() -> None:
    town = PackTown()
    for code, soc, cycles, faults in (("b1", 9_600, 300, ()), ("b2", 9_900, 310, ()), ("b3", 9_500, 100, ())):
        town.stated(code, unit=int(code[1]), soc=soc, cycles=cycles, faults=faults)
    order = [town.rent_pack().item, town.rent_pack(BOB).item]
    assert order == ["b3", "b1"]


def test_a_pack_with_a_fault_is_put_into_quarantine_and_not_handed_out(town: PackTown) -> None:
    town.stated("b1", unit=1, faults=("overheat",))
    town.stated("b1", unit=1, faults=())
    assert town.world.assets.packs["b1"].quarantine is not None and "pack_quarantined" in town.kinds()
    assert town.rent_pack().item != "b1"


def test_a_sudden_loss_of_health_puts_a_pack_into_quarantine(town: PackTown) -> None:
    town.stated("b1", unit=1, soh=8_500)
    assert town.world.assets.packs["b1"].quarantine is None
    town.stated("b1", unit=1, soh=7_400)
    assert town.world.assets.packs["b1"].quarantine is not None


def test_a_driver_with_nothing_gets_no_pack(town: PackTown) -> None:
    assert town.error(town.ask(POOR, "S1")) == "NoCredit"
    assert not town.releases()


def test_a_voucher_pays_for_usage_and_its_money_is_released_bit_by_bit() -> None:
    town = PackTown(funds=0, extra={**EXTRA, "deposit": 0, "deliveries": None})
    mine_voucher = town.buy("wh", 10_000, 4_000)
    mine = first(town)
    town.put_in(7, {4: mine})
    after = town.world.assets.vouchers[mine_voucher.id]
    assert (after.used, after.released_minor) == (1_069, 428)  # levels are coarse
    assert town.fees() == [428] and town.accounts[f"voucher:{after.id}:deferred"] == 4_000 - 428
    assert town.swap(7).state == "releasing"


def test_a_voucher_that_does_not_reach_awaits_payment_and_offers_the_own_pack_back() -> None:
    town = PackTown(funds=0, extra={**EXTRA, "deposit": 0, "deliveries": None})
    town.buy("wh", 500, 400)
    mine = first(town)
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NoCredit"
    assert town.swap(7).state == "awaiting_payment" and not town.bills
    assert town.releases()[-1]["err"] == "NoCredit"


def test_money_is_neither_made_nor_lost(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    swap = town.swap(7)
    town.take_out(7, {swap.units_out[0]: swap.packs_out[0]})
    assert sum(town.accounts.values()) == 0
    assert all(minor >= 0 for address, minor in town.accounts.items() if address.endswith((":held", ":balance")))


def test_a_pack_that_awaits_payment_is_not_billed_because_it_is_seen_in_its_slot() -> None:
    poor = PackTown(funds=30_000)
    mine = first(poor)
    poor.put_in(7, {4: mine})
    poor.later(1)
    poor.units("S1", {1: None, 2: "b2", 3: "b3", 4: mine})
    poor.stated(mine, unit=4)
    poor.door("S1", 4, "closed", None, True)
    assert not poor.bills and poor.swap(7).state == "awaiting_payment"


def test_a_return_by_door_is_billed_once_its_pack_told_its_level(town: PackTown) -> None:
    mine = first(town, unit=1)
    rental = town.world.assets.rental_of(mine)
    assert rental is not None
    grant = town.granted(town.ask_return(rental, "S1"))
    town.door("S1", grant.unit, "open", grant.id)
    town.tell(town.placed_event("S1", grant.unit, mine, grant.id))
    town.door("S1", grant.unit, "closed", grant.id, True)
    assert not town.bills
    town.later(1)
    town.stated(mine, unit=grant.unit)
    assert town.fees() == [635]


def test_a_pack_whose_level_is_never_told_is_billed_without_energy_and_listed(town: PackTown) -> None:
    mine = first(town, unit=1)
    rental = town.world.assets.rental_of(mine)
    assert rental is not None
    grant = town.granted(town.ask_return(rental, "S1"))
    town.tell(town.placed_event("S1", grant.unit, mine, grant.id))
    town.watch(601)
    assert town.fees() == [100] and "usage_unmeasured" in town.kinds()
