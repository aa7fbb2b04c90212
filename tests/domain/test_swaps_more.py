"""Swaps of several packs and several drivers; drivers and psps that change their minds; slots that do not open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from csms.domain import pack_events as packs
from csms.domain.events import AuthorizationDecided
from csms.domain.pack_rows import SlotRules
from csms.domain.token import key
from csms.domain.world import Rules, Token
from tests.domain.lending_town import ANN, BOB
from tests.domain.pack_town import EXTRA, PackTown

SOCIAL = "D0D0D0D0"


@pytest.fixture
def town() -> PackTown:
    return PackTown()


def first(town: PackTown, **more: Any) -> str:
    """A driver with a pack that was used: its code."""
    rental = town.rent_pack(**more)
    assert rental.item is not None and rental.state == "active"
    town.ride(rental.item, 1_070)
    return rental.item


def out(town: PackTown, rid: int) -> None:
    """The first pack that a swap hands out is taken."""
    swap = town.swap(rid)
    town.take_out(rid, {swap.units_out[0]: swap.packs_out[0]}, swap.station_id)


def with_psp(town: PackTown) -> None:
    """Bob by another token, for which a psp answers."""
    town.world.rules = Rules(policies={"social": "hold_capture"})
    social = Token(key(SOCIAL), "accepted", None, None, "social", "issuer", "bob", None, False, None, False, None)
    town.world.tokens[key(SOCIAL)] = social
    town.world.identities["issuer", "bob"] = "bob"


def decides(town: PackTown, word: Any) -> None:
    asking = [it for it in town.world.authorizations.values() if it.state == "asking"]
    town.tell(AuthorizationDecided(asking[0].id, asking[0].station_id, town.now, word, None, None, "bob"))


def paid_by_psp(town: PackTown) -> str:
    """A pack in Bob's hands that a psp answers for, used."""
    with_psp(town)
    rental = town.wanted(town.ask(SOCIAL, "S1"))
    decides(town, "authorized")
    rental = town.rental(rental.id)
    assert rental.swap_id is not None and rental.unit is not None and rental.item is not None
    town.take_out(town.world.assets.swaps[rental.swap_id].rid, {rental.unit: rental.item})
    town.ride(rental.item, 1_070)
    return rental.item


# -- visits -----------------------------------------------------------------------------------------------------------


def test_two_packs_put_in_one_after_the_other_are_both_exchanged() -> None:
    town = PackTown(funds=200_000)
    one, two = first(town, unit=1), first(town, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    town.put_in(7, {1: one})
    town.later(1)
    town.put_in(7, {2: two})
    assert town.fees() == [635, 635] and sorted(town.swap(7).units_out) == [3, 4]
    town.take_out(7, {3: "b3", 4: "b5"})
    assert town.swap(7).state == "completed"


def test_a_pack_that_nobody_has_does_not_end_the_swap_of_another_one(town: PackTown) -> None:
    mine = first(town, unit=1)
    town.put_in(7, {4: mine})
    town.later(1)
    town.put_in(7, {1: "b5"})
    assert town.swap(7).state == "releasing"
    out(town, 7)
    assert town.swap(7).state == "completed"


def test_packs_of_two_drivers_in_one_insertion_exchange_the_first_and_give_the_other_back() -> None:
    town = PackTown(funds=200_000)
    anns, bobs = first(town, unit=1), first(town, token=BOB, unit=2)
    answer = town.put_in(7, {1: anns, 4: bobs}).asset
    assert answer is not None and answer.error == "ItemMismatch"
    assert town.fees() == [635] and town.swap(7).state == "releasing"
    assert [r["unit"] for r in town.releases() if r["err"] == "ItemMismatch"] == [4]
    town.take_out(7, {4: bobs})
    assert town.item(bobs).place == "driver" and town.world.assets.rental_of(bobs).driver_id == "bob"  # type: ignore[union-attr]


def test_an_own_pack_that_is_taken_back_and_put_in_again_is_billed_once() -> None:
    town = PackTown(funds=60_000)
    one, two = first(town, unit=1), first(town, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    town.put_in(7, {1: one, 2: two})
    assert town.swap(7).state == "awaiting_payment"
    town.take_out(7, {1: one})
    town.world.balances["ann", "KRW"] = town.accounts["driver:ann:balance"] = 5_000
    town.accounts["start"] -= 5_000
    town.later(1)
    town.put_in(7, {1: one})
    assert sorted(town.swap(7).packs_in) == sorted([one, two])
    assert town.fees() == [635, 635] and town.swap(7).state == "releasing"


def test_a_number_that_comes_again_is_another_visit_and_old_news_of_it_stays_with_the_old_one(town: PackTown) -> None:
    mine = first(town, unit=1)
    inserted = town.moved("in", 7, {4: mine})
    town.tell(inserted)
    out(town, 7)
    new = town.swap(7).packs_out[0]
    town.ride(new, 500)
    town.later(60)
    town.put_in(7, {1: new})
    assert len(town.world.assets.swaps.of("rid", ("S1", 7))) == 2 and len(town.bills) == 2
    town.tell(replace(inserted, id="in other words", received_at=town.now))
    assert len(town.world.assets.swaps.of("rid", ("S1", 7))) == 2 and len(town.bills) == 2


def test_a_slot_that_was_opened_for_one_driver_is_an_exchange_for_another(town: PackTown) -> None:
    town.units("S1", {1: "b1", 2: "b2", 3: None, 4: None})
    anns, bobs = town.rent_pack(unit=1), first(town, token=BOB, unit=2)
    grant = town.granted(town.ask_return(anns, "S1"))
    town.units("S1", {1: None, 2: "b6", 3: None, 4: None})
    town.put_in(7, {grant.unit: bobs})
    assert town.swap(7).state == "releasing" and town.swap(7).driver_id == "bob"


def test_the_slot_of_a_plain_return_is_free_as_soon_as_the_pack_is_in_it(town: PackTown) -> None:
    mine = first(town, unit=1)
    grant = town.granted(town.ask_return(town.world.assets.rental_of(mine), "S1"))  # type: ignore[arg-type]
    town.put_in(7, {grant.unit: mine})
    assert town.world.assets.grants[grant.id].state == "used"


def test_a_pack_that_leaves_by_the_number_of_an_apps_swap_frees_the_slots_that_were_kept(town: PackTown) -> None:
    first(town, unit=1)
    asked = town.ask_swap().asset
    assert asked is not None and asked.rid is not None
    town.take_out(asked.rid, {3: "b3"})
    assert not [door for door in town.world.assets.doors.values() if door.reserved_for is not None]


def test_a_station_with_one_slot_takes_packs_back_and_hands_none_out(town: PackTown) -> None:
    mine = first(town)
    for unit in (2,):
        del town.world.assets.capable["S2", unit]
    town.units("S2", {1: None})
    town.put_in(7, {1: mine}, "S2")
    assert town.swap(7, "S2").state == "completed" and town.fees() == [635]
    assert town.error(town.ask_swap(station="S2")) in ("NoBatteryAvailable", "NoCustody")


def test_an_overdue_pack_is_exchanged_and_its_lateness_billed() -> None:
    late = {"late": {"tiers": [{"from": 0, "fee": 0}, {"from": 1, "fee": 1_000}]}}
    town = PackTown(extra={**EXTRA, **late, "due_after": 600, "grace": 60})
    mine = town.rent_pack().item or ""
    town.run_clock(town.now + timedelta(days=1))
    assert town.world.assets.rental_of(mine).state == "overdue"  # type: ignore[union-attr]
    town.put_in(7, {4: mine})
    assert town.swap(7).state == "releasing" and town.fees() == [1_100]


def test_a_bought_pack_that_is_put_in_comes_back_and_is_refunded_but_not_exchanged() -> None:
    town = PackTown(
        extra={**EXTRA, "due_after": 600, "grace": 60, "deemed_purchase": {"after": 3_600, "price": 18_000}}
    )
    mine = town.rent_pack().item or ""
    town.run_clock(town.now + timedelta(days=1))
    assert town.item(mine).state == "sold"
    before = len(town.releases())
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NoCustody" and len(town.releases()) == before
    assert town.item(mine).state == "ok" and sum(town.fees()) < 18_000


def test_a_pack_to_be_inspected_is_not_exchanged(town: PackTown) -> None:
    mine = first(town)
    rental = town.world.assets.rental_of(mine)
    assert rental is not None
    town.tell(town.placed_event("S1", 4, mine, None, ("damaged",)))
    town.later(1)
    before = len(town.releases())
    town.put_in(7, {4: mine})
    assert town.rental(rental.id).reason == "inspect" and len(town.releases()) == before


# -- who pays ---------------------------------------------------------------------------------------------------------


def test_a_driver_who_was_blocked_meanwhile_is_billed_and_gets_nothing(town: PackTown) -> None:
    mine = first(town)
    town.world.tokens[key(ANN)] = replace(town.world.tokens[key(ANN)], driver_status="blocked")
    before = len(town.releases())
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NotAuthorized"
    assert town.fees() == [635] and len(town.releases()) == before and town.swap(7).state == "aborted"
    assert town.held() == 0


def test_a_driver_in_debt_gets_the_own_pack_back_unbilled(town: PackTown) -> None:
    mine = first(town)
    town.world.debts["ann", "KRW"] = 500
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error == "NoCredit"
    assert not town.bills and town.releases()[-1]["err"] == "NoCredit"


def test_a_psp_that_accepts_after_the_own_pack_was_taken_back_releases_nothing(town: PackTown) -> None:
    mine = paid_by_psp(town)
    assert town.error(town.put_in(7, {4: mine})) == "PaymentPending"
    town.take_out(7, {4: mine})
    before = len(town.releases())
    decides(town, "authorized")
    assert len(town.releases()) == before and not town.bills
    assert town.swap(7).state == "returned" and town.item(mine).place == "driver"
    assert not [door for door in town.world.assets.doors.values() if door.reserved_for is not None]


def test_a_psp_that_accepts_when_the_visit_was_given_up_releases_nothing(town: PackTown) -> None:
    mine = paid_by_psp(town)
    town.put_in(7, {4: mine})
    for _ in range(65):
        town.watch()
    assert town.swap(7).state == "aborted" and len(town.bills) == 1
    before = len(town.releases())
    decides(town, "authorized")
    assert len(town.releases()) == before


def test_a_psp_that_accepts_when_the_chosen_pack_is_gone_gets_another_one(town: PackTown) -> None:
    mine = paid_by_psp(town)
    town.put_in(7, {4: mine})
    chosen = town.swap(7).units_out[0]
    town.tell(packs.PackJudged("", town.now, town.swap(7).packs_out[0], "looked at", "staff", "smells"))
    decides(town, "authorized")
    assert town.swap(7).state == "releasing" and town.swap(7).units_out[0] != chosen
    out(town, 7)
    assert town.swap(7).state == "completed"


def test_a_psp_that_accepts_when_no_pack_is_fit_any_more_has_the_own_one_offered_back(town: PackTown) -> None:
    mine = paid_by_psp(town)
    town.put_in(7, {4: mine})
    for code in {"b1", "b2", "b3"} - {mine}:
        town.tell(packs.PackJudged("", town.now, code, "looked at", "staff", "smells"))
    decides(town, "authorized")
    assert town.fees() == [0] and town.releases()[-1]["err"] == "NoBatteryAvailable"
    assert town.swap(7).state == "awaiting_payment"


def test_a_first_pack_that_is_put_into_quarantine_while_a_psp_decides_is_not_handed_out(town: PackTown) -> None:
    with_psp(town)
    rental = town.wanted(town.ask(SOCIAL, "S1"))
    town.tell(packs.PackJudged("", town.now, rental.item or "", "looked at", "staff", "smells"))
    decides(town, "authorized")
    assert town.rental(rental.id).state == "cancelled" and not town.releases()


def test_a_psp_answers_for_one_pack_at_a_time_and_only_that_one_is_billed(town: PackTown) -> None:
    mine = paid_by_psp(town)
    second = town.wanted(town.ask(SOCIAL, "S1"))
    decides(town, "authorized")
    second = town.rental(second.id)
    town.take_out(town.swap_of(second.id).rid, {second.unit or 0: second.item or ""})
    town.units("S1", {1: "b5", 2: "b6", 3: None, 4: None})
    town.put_in(7, {3: mine})
    town.later(1)
    town.put_in(7, {4: second.item or ""})
    decides(town, "authorized")
    assert len(town.bills) == 1 and town.swap(7).state == "awaiting_payment"
    decides(town, "authorized")
    assert len(town.bills) == 2 and town.swap(7).state == "releasing"


def test_another_driver_whose_pack_is_accepted_pays_for_it_alone() -> None:
    town = PackTown(funds=200_000)
    town.world.assets.slot_rules["S1"] = SlotRules(foreign_packs="accept")
    anns, bobs = first(town, unit=1), first(town, token=BOB, unit=2)
    town.units("S1", {1: None, 2: None, 3: "b3", 4: "b5"})
    town.put_in(7, {1: anns, 2: bobs})
    assert town.fees() == [635, 635] and town.balance("bob") == 200_000 - 635


# -- slots that do not open -------------------------------------------------------------------------------------------


def test_after_a_jam_the_pack_that_was_just_put_in_is_not_handed_out(town: PackTown) -> None:
    mine = town.rent_pack().item or ""  # not used: as full as any
    town.put_in(7, {4: mine})
    for _ in range(8):
        live = [g for g in town.world.assets.grants.values() if g.state in ("issued", "accepted")]
        for grant in live:
            assert grant.unit != 4
            town.answer(grant.id, "rejected", "DoorJammed")


def test_a_swap_ends_where_neither_another_nor_the_own_pack_can_be_handed_out(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    for _ in range(12):
        live = [g for g in town.world.assets.grants.values() if g.state in ("issued", "accepted")]
        for grant in live:
            town.answer(grant.id, "rejected", "DoorJammed")
        town.watch()
    assert town.swap(7).ended_at is not None and "pack_owed" in town.kinds()


def test_nobody_gets_the_own_pack_back_long_after_leaving(town: PackTown) -> None:
    mine = first(town)
    town.put_in(7, {4: mine})
    [grant] = [g for g in town.world.assets.grants.values() if g.state == "issued" and g.unit != 4]
    town.answer(grant.id, "unknown")
    town.later(3_600)
    town.watch()
    town.units("S1", {1: None, 2: "b2", 3: "b3", 4: mine})
    before = len(town.releases())
    town.watch()
    town.watch()
    assert len(town.releases()) == before and town.swap(7).ended_at is not None
