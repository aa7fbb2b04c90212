"""Lending by the rules alone: every row of the failure table, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from csms.domain import asset_events as said
from tests.domain.lending_town import ANN, BOB, DEPOSIT, HOLD, POOR, Town


@pytest.fixture
def town() -> Town:
    return Town()


def test_an_item_is_taken_at_one_cabinet_and_ends_at_another(town: Town) -> None:
    rental = town.take()
    assert rental.state == "active" and town.item(rental.item or "").place == "driver"
    assert town.held() == HOLD + DEPOSIT
    town.later(1_900)
    rental = town.bring(rental)
    assert (rental.state, rental.return_station) == ("closed", "C2")
    item = town.item(rental.item or "")
    assert (item.place, item.station_id, item.unit) == ("connector", "C2", 1)
    assert (town.held(), town.balance()) == (0, 100_000 - 360)
    assert town.accounts["operator:fee"] + town.accounts["vat:output"] == 36
    assert town.accounts["provider:P:payable"] == 324


def test_a_token_at_the_lock_is_answered_with_a_grant(town: Town) -> None:
    outcome = town.at_lock()
    assert outcome.asset is not None
    assert outcome.asset.error is None and outcome.asset.unit == 1 and outcome.asset.grant_id is not None
    assert outcome.asset.expires_at == town.now + timedelta(seconds=15)
    assert town.commands() == []


@pytest.mark.parametrize(("token", "error"), [("NOBODY", "NotAuthorized"), (POOR, "NoCredit")])
def test_who_may_not_rent_opens_nothing(town: Town, token: str, error: str) -> None:
    for outcome in (town.at_lock(token), town.ask(token)):
        assert outcome.asset is not None and outcome.asset.error == error and outcome.asset.grant_id is None
    assert town.commands() == [] and not town.world.assets.grants and town.held() == 0
    assert town.error(town.at_lock(ANN)) is None


def test_nothing_taken_costs_nothing(town: Town) -> None:
    grant = town.granted(town.ask())
    town.answer(grant.id)
    town.door("C1", 1, "open", grant.id)
    town.later(5)
    town.door("C1", 1, "closed", grant.id, has=True)
    assert town.rental(grant.rental_id or grant.id).state == "cancelled"
    assert (town.held(), town.balance()) == (0, 100_000)
    assert town.error(town.ask(BOB, unit=1)) is None


def test_a_jammed_door_is_tried_once_more_then_another_one(town: Town) -> None:
    first = town.granted(town.ask()).id
    town.answer(first, "rejected", "DoorJammed")
    again = list(town.world.assets.grants.values())[-1]
    assert (again.unit, again.attempt) == (1, 2)
    town.answer(again.id, "rejected", "DoorJammed")
    other = list(town.world.assets.grants.values())[-1]
    assert (other.unit, other.item) == (2, "i2") and town.world.assets.doors["C1", 1].fault == "jammed"
    town.answer(other.id)
    town.open_and_take(other)
    rental = town.rental(other.rental_id or other.id)
    assert (rental.state, rental.item) == ("active", "i2") and "door_faulted" in town.kinds()


def test_when_all_doors_jam_the_hold_is_released(town: Town) -> None:
    rental_id = town.wanted(town.ask()).id
    while live := [g for g in town.world.assets.grants.values() if g.state == "issued"]:
        town.answer(live[0].id, "rejected", "DoorJammed")
    assert town.rental(rental_id).state == "cancelled" and town.held() == 0


def test_a_cabinet_that_is_offline_cancels(town: Town) -> None:
    outcome = town.ask()
    town.answer(town.granted(outcome).id, "offline")
    assert town.wanted(outcome).state == "cancelled" and town.held() == 0


def test_a_lost_answer_waits_for_a_snapshot(town: Town) -> None:
    outcome = town.ask()
    town.answer(town.granted(outcome).id, "unknown")
    town.later(25)
    town.tell(said.GrantChecked("C1", town.now, town.granted(outcome).id))
    rental = town.wanted(outcome)
    assert rental.state == "provisional" and town.held() > 0 and town.commands("cabinet.report")
    town.snapshot("C1", {1: None, 2: "i2", 3: None})
    assert town.rental(rental.id).state == "active" and town.item("i1").place == "driver"


def test_a_lost_answer_costs_nothing_if_the_item_is_still_there(town: Town) -> None:
    outcome = town.ask()
    town.later(25)
    town.tell(said.GrantChecked("C1", town.now, town.granted(outcome).id))
    town.snapshot("C1", {1: "i1", 2: "i2", 3: None})
    assert town.wanted(outcome).state == "cancelled" and town.held() == 0


def test_taken_without_a_sensor_is_active_since_the_door_opened(town: Town) -> None:
    outcome = town.ask()
    grant = town.granted(outcome)
    town.answer(grant.id)
    town.later(2)
    opened_at = town.now
    town.door("C1", 1, "open", grant.id)
    town.later(100)
    plugged = said.SocketChanged(**town.report("i1"), item="i1", connected=True, tag="T", meter_wh=0)
    town.tell(plugged)
    rental = town.wanted(outcome)
    assert (rental.state, rental.taken_at) == ("active", opened_at)


def test_a_forced_door_and_what_is_taken_there_is_an_alarm_and_no_bill(town: Town) -> None:
    assert town.error(town.door("C1", 1, "open")) == "GrantUnknown"
    town.tell(town.taken_event("C1", 1, "i1", None))
    assert {"door_forced", "item_taken_without_rental"} <= set(town.kinds())
    assert town.bills == [] and town.item("i1").place == "unknown"


def test_back_within_five_minutes_is_free(town: Town) -> None:
    rental = town.take()
    town.later(200)
    town.bring(rental)
    assert town.balance() == 100_000


def test_late_tiers_then_the_purchase_once_then_its_refund(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=2))
    assert town.rental(rental.id).state == "overdue" and len(list(town.commands("rental.remind"))) >= 2
    town.run_clock(town.now + timedelta(days=7))
    rental = town.rental(rental.id)
    assert rental.state == "deemed" and town.item("i1").state == "sold"
    paid = 100_000 - town.balance()
    assert paid == 900 + DEPOSIT and town.held() == 0
    town.run_clock(town.now + timedelta(days=30))
    assert 100_000 - town.balance() == paid
    for _ in range(2):
        town.tell(town.placed_event("C2", 1, "i1"))
    assert town.rental(rental.id).state == "closed" and town.item("i1").state == "ok"
    assert 100_000 - town.balance() == 900 + 3_000


def test_bought_and_back_too_late_stays_bought(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=60))
    paid = 100_000 - town.balance()
    town.tell(town.placed_event("C2", 1, "i1"))
    assert 100_000 - town.balance() == paid and town.rental(rental.id).state == "closed"


def test_no_late_fee_for_minutes_in_which_the_cabinet_was_away(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=1, seconds=1_900))
    late = town.rental(rental.id)
    town.now = late.checked_at or town.now
    town.away(late, 100_000)
    town.bring(town.rental(rental.id))
    assert 100_000 - town.balance() == 900


def test_a_return_that_jams_stops_the_clock_at_the_attempt(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    outcome = town.ask_return(rental)
    town.answer(town.granted(outcome).id, "rejected", "DoorJammed")
    while live := [g for g in town.world.assets.grants.values() if g.state == "issued"]:
        town.answer(live[0].id, "rejected", "DoorJammed")
    assert town.rental(rental.id).state == "active" and "return_failed" in town.kinds()
    town.later(7_200)
    town.bring(rental, "C1")
    assert 100_000 - town.balance() == 165


def test_full_doors_give_the_driver_more_time(town: Town) -> None:
    rental = town.take()
    before = rental.due_at
    town.snapshot("C2", {1: "x", 2: "y"})
    outcome = town.ask_return(rental)
    assert outcome.asset is not None and outcome.asset.error == "NoEmptySlot"
    assert town.rental(rental.id).due_at == (before or town.now) + timedelta(minutes=30)
    assert town.error(town.ask_return(rental)) == "NoEmptySlot"  # asked again at once, it is the same half hour
    assert town.rental(rental.id).due_at == (before or town.now) + timedelta(minutes=30)
    town.later(1_800)
    town.ask_return(rental)
    assert town.rental(rental.id).due_at == (before or town.now) + timedelta(minutes=60)


def test_what_comes_back_broken_keeps_its_deposit_for_an_inspection(town: Town) -> None:
    rental = town.take()
    town.later(2_000)
    rental = town.bring(rental, flags=("damaged",))
    assert rental.state == "provisional" and town.held() == HOLD + DEPOSIT
    done = town.tell(said.RentalInspected("C1", town.now, rental.id, 5_000, "staff", "cable cut"))
    assert done.status == "accepted" and 100_000 - town.balance() == 360 + 5_000 and town.held() == 0
    again = town.tell(said.RentalInspected("C1", town.now, rental.id, 5_000, "staff", "cable cut"))
    assert again.status == "refused"


def test_an_inspection_that_nobody_makes_ends_after_three_days(town: Town) -> None:
    rental = town.take()
    town.later(2_000)
    town.bring(rental, flags=("damaged",))
    town.run_clock(town.now + timedelta(hours=73))
    assert 100_000 - town.balance() == 360 and town.held() == 0


def test_a_taking_that_is_told_after_the_cancellation_is_billed_all_the_same(town: Town) -> None:
    outcome = town.ask()
    grant = town.granted(outcome)
    taken = town.taken_event("C1", 1, "i1", grant.id)
    town.answer(grant.id, "offline")
    town.later(4_000)
    town.tell(taken)
    town.tell(taken)
    [rental] = [r for r in town.world.assets.rentals.values() if r.state == "active"]
    town.bring(rental)
    assert 100_000 - town.balance() == 360 and town.held() == 0


def test_any_free_door_of_the_network_ends_a_rental(town: Town) -> None:
    rental = town.take()
    town.later(2_000)
    town.tell(town.placed_event("C2", 2, rental.item or ""))
    assert town.rental(rental.id).state == "closed"


def test_a_report_heard_again_gets_the_same_answer(town: Town) -> None:
    request = town.at_lock()
    report = town.door_event("C1", 1, "open", town.granted(request).id)
    first, second = town.tell(report), town.tell(report)
    assert first.asset is not None and second.asset is not None
    assert second.asset.repeated and second.asset.error == first.asset.error


def test_a_snapshot_does_not_bill_before_the_queue_behind_it_is_told(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    placed = town.placed_event("C2", 1, rental.item or "")
    town.later(5_000)
    town.snapshot("C2", {1: rental.item, 2: None})
    assert town.rental(rental.id).state == "returning" and not town.bills
    town.tell(placed)
    assert town.rental(rental.id).state == "closed" and 100_000 - town.balance() == 165


def test_what_a_snapshot_cannot_read_leaves_custody_to_the_reports_that_can(town: Town) -> None:
    placed = town.placed_event("C2", 1, "i1")
    town.later(60)
    unreadable = said.UnitsSeen(
        **town.report("C2", seq=None), units=(said.UnitSeen(1, "closed", True, None),), last_seq=None
    )
    town.tell(unreadable)
    town.tell(placed)
    assert (town.item("i1").station_id, town.item("i1").unit) == ("C2", 1)


def test_a_token_held_to_the_lock_again_is_the_same_wish(town: Town) -> None:
    first = town.at_lock()
    again = town.at_lock()
    assert town.granted(again).id == town.granted(first).id and town.held() == HOLD + DEPOSIT
    town.door("C1", 1, "open", town.granted(first).id)
    assert town.error(town.at_lock()) == "Busy" and town.held() == HOLD + DEPOSIT
    town.tell(town.taken_event("C1", 1, "i1", town.granted(first).id))
    second = town.at_lock()
    assert town.granted(second).unit == 2 and town.held() == 2 * (HOLD + DEPOSIT)


def test_a_return_asked_again_gets_a_grant_that_can_still_be_used(town: Town) -> None:
    rental = town.take()
    first = town.granted(town.ask_return(rental))
    assert town.granted(town.ask_return(rental)).id == first.id
    town.later(16)
    later = town.granted(town.ask_return(rental))
    assert later.id != first.id and later.expires_at > town.now
    assert town.world.assets.grants[first.id].state == "revoked"


def move(town: Town, place: Any, **more: Any) -> None:
    values: dict[str, Any] = {"station_id": "", "unit": None, "state": None, "by": "staff", "reason": "found"} | more
    moved = said.ItemMoved(received_at=town.now, item="i1", place=place, id=str(town.new_id()), **values)
    assert town.tell(moved).status == "accepted"


@pytest.mark.parametrize("place", ["staff", "workshop"])
def test_what_staff_are_given_by_hand_ends_its_rental(town: Town, place: str) -> None:
    rental = town.take()
    town.later(2_000)
    move(town, place)
    assert town.rental(rental.id).state == "closed" and 100_000 - town.balance() == 360 and town.held() == 0
    town.tell(said.SocketChanged(**town.report("i1"), item="i1", connected=True, tag="T", meter_wh=0))
    assert town.item("i1").place == place and "item_online_without_rental" not in town.kinds()


@pytest.mark.parametrize("place", ["staff", "workshop"])
def test_what_staff_are_given_while_it_was_to_be_handed_out_is_nobodys(town: Town, place: str) -> None:
    grant = town.granted(town.ask())
    move(town, place)
    rental = town.rental(grant.rental_id)
    assert (rental.state, rental.reason) == ("cancelled", "handed in") and town.held() == 0
    assert town.world.assets.grants[grant.id].state == "revoked"
    assert (town.item("i1").place, town.item("i1").rental_id) == (place, None)
    assert town.world.assets.doors["C1", 1].reserved_for is None and town.balance() == 100_000


def test_what_is_lost_is_still_rented_until_it_counts_as_bought(town: Town) -> None:
    rental = town.take()
    move(town, "lost")
    assert town.rental(rental.id).state == "active"
    town.run_clock(town.now + timedelta(days=30))
    assert town.rental(rental.id).state == "deemed" and town.held() == 0


def test_a_bought_item_handed_to_staff_is_refunded(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=20))
    move(town, "staff", state="ok")
    assert town.rental(rental.id).state == "closed" and 100_000 - town.balance() == 900 + 3_000


def test_an_outage_counts_for_the_time_until_the_return_and_for_a_week_at_most(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=1, seconds=1_900 + 10_000))
    late_from = (town.rental(rental.id).due_at or town.now) + timedelta(seconds=1_800)
    town.world.assets.outages["C1"] = [(town.now, None), (late_from, late_from + timedelta(seconds=50))]
    placed = town.placed_event("C2", 1, rental.item or "")
    town.later(20_000)
    town.tell(placed)
    assert town.rental(rental.id).outage_s == 50 and 100_000 - town.balance() == 900 + 1_000


def test_a_cabinet_that_never_comes_back_does_not_keep_a_rental_for_ever(town: Town) -> None:
    rental = town.take()
    town.world.assets.outages["C1"] = [(town.now, None)]
    town.run_clock(town.now + timedelta(days=20))
    assert town.rental(rental.id).state == "deemed" and town.held() == 0


def test_what_is_told_of_one_instant_counts_by_its_numbers_whatever_its_ids(town: Town) -> None:
    rental = town.take()
    town.later(2_000)
    grant = town.granted(town.ask_return(rental))
    town.answer(grant.id)
    told: list[said.DoorMoved | said.ItemPlaced] = [
        town.door_event("C2", grant.unit, "open", grant.id, has=False),
        town.placed_event("C2", grant.unit, rental.item or "", grant.id),
        town.door_event("C2", grant.unit, "closed", grant.id, has=True),
    ]
    for id_, event in zip(("z-event-1", "m-event-2", "a-event-3"), told, strict=True):
        town.tell(replace(event, id=id_))
    assert town.item(rental.item or "").station_id == "C2"
    assert town.world.assets.doors["C2", grant.unit].state == "closed"
    assert town.rental(rental.id).state == "closed" and town.held() == 0


def test_a_plug_that_was_pushed_in_anew_within_an_instant_is_in(town: Town) -> None:
    town.take()
    for connected, tag in ((True, "A"), (False, "A"), (True, "B")):
        more: dict[str, Any] = {"item": "i1", "connected": connected, "tag": tag, "meter_wh": 0}
        town.tell(said.SocketChanged(**town.report("i1"), **more))
    assert (town.item("i1").plugged, town.item("i1").tag) == (True, "B")
