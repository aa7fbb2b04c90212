"""Lending where reports are late, odd or missing: each a defect that playing lending in any order has found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from csms.domain import asset_events as said
from csms.domain.assets import Rental
from csms.domain.events import AuthorizationDecided, TokenPresented
from csms.domain.rental import session_of
from csms.domain.token import key
from csms.domain.world import Rules, Token
from tests.domain.lending_town import BOB, DEPOSIT, HOLD, Town

SOCIAL = "D0D0D0D0"


@pytest.fixture
def town() -> Town:
    return Town()


def paid(town: Town, driver: str = "ann") -> int:
    return 100_000 - town.balance(driver)


def add_social(town: Town) -> None:
    """A token for which a psp pays."""
    town.world.rules = Rules(policies={"social": "hold_capture"})
    town.world.tokens[key(SOCIAL)] = Token(
        key(SOCIAL), "accepted", None, None, "social", "issuer", "bob", None, False, None, False, None
    )


def waiting_for_a_psp(town: Town) -> tuple[Rental, AuthorizationDecided]:
    add_social(town)
    rental = town.wanted(town.ask(SOCIAL))
    [asked] = town.world.authorizations
    return rental, AuthorizationDecided(asked, "C1", town.now, "authorized", None, None, "bob")


def test_when_a_psp_decides_the_door_may_be_about_to_open_for_staff(town: Town) -> None:
    rental, verdict = waiting_for_a_psp(town)
    town.tell(said.ServiceOpened("C1", town.now, town.new_id(), 1, "service", "staff", "dirty"))
    town.tell(verdict)
    assert town.rental(rental.id).state == "cancelled" and len(list(town.commands())) == 1


def test_when_a_psp_decides_the_item_may_be_gone(town: Town) -> None:
    rental, verdict = waiting_for_a_psp(town)
    town.door("C1", 1, "forced")
    town.tell(town.taken_event("C1", 1, "i1", None))
    town.door("C1", 1, "closed", has=False)
    town.tell(verdict)
    assert town.rental(rental.id).state == "cancelled" and not list(town.commands())


def test_something_else_put_back_does_not_end_a_rental_that_nobody_inspects(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    grant = town.granted(town.ask_return(rental))
    town.tell(town.placed_event("C2", grant.unit, "a brick", grant.id))
    assert town.rental(rental.id).state == "provisional"
    refused = town.tell(said.RentalInspected("C1", town.now, rental.id, 0, "staff", "a brick"))
    assert refused.status == "refused"
    town.run_clock(town.now + timedelta(days=4))
    assert town.rental(rental.id).state in ("active", "overdue") and town.item("i1").rental_id == rental.id
    town.run_clock(town.now + timedelta(days=30))
    assert town.rental(rental.id).state == "deemed" and paid(town) == 900 + DEPOSIT


def test_put_back_and_taken_again_by_one_opening_is_not_back_though_it_is_told_backwards(town: Town) -> None:
    rental = town.take()
    grant = town.granted(town.ask_return(rental))
    town.door("C2", grant.unit, "open", grant.id)
    town.later(5)
    placed = town.placed_event("C2", grant.unit, "i1", grant.id)
    town.later(5)
    town.tell(town.taken_event("C2", grant.unit, "i1", grant.id))
    town.tell(placed)
    assert town.rental(rental.id).state == "active" and town.item("i1").place == "driver"


def test_what_is_taken_at_a_forced_door_is_not_the_next_drivers(town: Town) -> None:
    outcome = town.ask()
    town.door("C1", 1, "forced", has=True)
    town.tell(town.taken_event("C1", 1, "i1", None))
    assert town.wanted(outcome).state != "active" and "item_taken_without_rental" in town.kinds()


def test_a_taking_that_is_told_when_the_item_is_lent_again_makes_no_second_rental_of_it(town: Town) -> None:
    first = town.granted(town.ask())
    town.answer(first.id, "offline")
    taken = town.taken_event("C1", 1, "i1", first.id)
    town.later(3_600)
    town.tell(town.placed_event("C2", 1, "i1"))
    second = town.take(BOB, "C2")
    assert town.tell(taken).asset is not None
    assert [r.id for r in town.world.assets.rentals.values() if r.state == "active"] == [second.id]
    assert "item_taken_without_rental" in town.kinds() and paid(town) == 0


def test_an_item_whose_taking_is_not_told_yet_may_come_back(town: Town) -> None:
    grant = town.granted(town.ask())
    town.answer(grant.id)
    town.later(4)
    taken = town.taken_event("C1", 1, "i1", grant.id)
    assert grant.rental_id is not None
    town.run_clock(town.now + timedelta(seconds=2_400))
    assert town.rental(grant.rental_id).state in ("opening", "provisional")
    back = town.granted(town.ask_return(town.rental(grant.rental_id)))
    town.tell(town.placed_event("C2", back.unit, "i1", back.id))
    town.tell(taken)
    assert town.rental(grant.rental_id).state == "closed" and paid(town) == 360


def test_a_return_before_the_taking_is_told_may_be_taken_back_at_the_open_door(town: Town) -> None:
    grant = town.granted(town.ask())
    town.answer(grant.id)
    town.door("C1", 1, "open", grant.id)
    town.later(60)
    assert grant.rental_id is not None
    back = town.granted(town.ask_return(town.rental(grant.rental_id)))
    town.door("C2", back.unit, "open", back.id)
    town.tell(town.placed_event("C2", back.unit, "i1", back.id))
    town.later(2)
    town.tell(town.taken_event("C2", back.unit, "i1", back.id))
    rental = town.rental(grant.rental_id)
    assert rental.state == "active" and rental.taken_at is not None and rental.due_at is not None


def test_a_bought_item_may_be_brought_back_by_the_app(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=20))
    rental = town.bring(town.rental(rental.id))
    assert rental.state == "closed" and paid(town) == 900 + 3_000


def test_what_was_back_in_time_was_not_bought_however_late_its_cabinet_tells(town: Town) -> None:
    rental = town.take()
    town.later(2_000)
    placed = town.placed_event("C2", 1, "i1")
    town.run_clock(town.now + timedelta(days=20))
    assert town.rental(rental.id).state == "deemed"
    for again in (placed, replace(placed, id="event-again")):
        town.tell(replace(again, received_at=town.now))
        assert town.rental(rental.id).state == "closed" and paid(town) == 360
    assert town.item("i1").state == "ok" and town.accounts["provider:P:payable"] == 324


def test_what_a_snapshot_billed_too_long_is_refunded_when_the_return_is_told(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    placed = town.placed_event("C2", 1, "i1")
    town.later(90_000)
    town.snapshot("C2", {1: "i1", 2: None})
    town.run_clock(town.now + timedelta(hours=1))
    assert town.rental(rental.id).state == "closed" and paid(town) == 900 + 1_000
    town.tell(replace(placed, received_at=town.now))
    assert paid(town) == 165


def test_more_time_is_not_lost_when_the_taking_is_told_again_in_other_words(town: Town) -> None:
    rental = town.take()
    town.snapshot("C2", {1: "x", 2: "y"})
    town.ask_return(rental)
    longer = town.rental(rental.id).due_at
    taken_at = rental.taken_at
    town.tell(
        replace(town.taken_event("C1", 1, "i1", None), grant_id=next(iter(town.world.assets.grants)), at=taken_at)
    )
    assert town.rental(rental.id).due_at == longer


def test_a_door_that_opens_long_after_its_grant_is_forced_though_that_is_told_last(town: Town) -> None:
    rental = town.take()
    grant = next(iter(town.world.assets.grants))
    town.later(2_000)
    opened = town.door_event("C1", 1, "open", grant, False)
    town.later(5)
    town.door("C1", 1, "closed", grant, has=False)
    assert town.error(town.tell(opened)) == "GrantUsed" and "door_forced" in town.kinds()
    assert town.rental(rental.id).state == "active"


def test_a_door_that_opens_long_after_its_grant_is_forced_though_a_snapshot_has_seen_it_open(town: Town) -> None:
    town.take()
    grant = next(iter(town.world.assets.grants))
    town.later(2_000)
    opened = town.door_event("C1", 1, "open", grant, False)
    seen = said.UnitSeen(1, "open", False)
    town.tell(said.UnitsSeen(**town.report("C1", seq=None, at=town.later(1)), units=(seen,), last_seq=None))
    assert town.error(town.tell(opened)) == "GrantUsed" and "door_forced" in town.kinds()


def test_a_door_that_stands_open_says_so_again_without_alarm(town: Town) -> None:
    grant = town.granted(town.ask()).id
    town.door("C1", 1, "open", grant)
    town.later(70)
    ajar = town.door_event("C1", 1, "ajar", grant)
    town.later(5)
    town.door("C1", 1, "closed", grant, has=True)
    town.tell(ajar)
    assert "door_forced" not in town.kinds()


def test_a_thief_right_after_a_return_is_not_billed_to_whoever_returned(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    rental = town.bring(rental)
    forced = town.door_event("C2", rental.return_unit or 0, "forced", has=True)
    seen = said.UnitSeen(rental.return_unit or 0, "open", True, "i1")
    town.tell(said.UnitsSeen(**town.report("C2", seq=None, at=town.later(1)), units=(seen,), last_seq=None))
    town.tell(town.taken_event("C2", rental.return_unit or 0, "i1", None))
    town.tell(forced)
    town.run_clock(town.now + timedelta(days=30))
    assert paid(town) == 165 and "item_taken_without_rental" in town.kinds()


def test_one_rental_is_of_one_item_whatever_else_leaves_by_its_grant(town: Town) -> None:
    rental = town.take()
    other = town.take(BOB)
    grant = next(iter(town.world.assets.grants))
    assert town.error(town.tell(town.taken_event("C1", 1, "i2", grant))) == "NoCustody"
    assert [town.rental(one.id).item for one in (rental, other)] == ["i1", "i2"]
    assert "item_taken_without_rental" in town.kinds()


def test_a_door_that_opens_after_its_grant_is_forced_though_nobody_has_looked_at_the_grant_yet(town: Town) -> None:
    grant = town.granted(town.ask()).id
    town.later(60)
    assert town.error(town.door("C1", 1, "open", grant, True)) == "GrantExpired" and "door_forced" in town.kinds()


def test_a_return_that_is_told_late_is_refunded_though_the_item_is_lent_again(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    placed = town.placed_event("C2", 1, "i1")
    town.later(90_000)
    town.snapshot("C2", {1: "i1", 2: None})
    town.run_clock(town.now + timedelta(hours=1))
    town.take(BOB, "C2")
    town.tell(replace(placed, received_at=town.now))
    assert town.rental(rental.id).state == "closed" and paid(town) == 165


def test_what_was_put_back_before_its_door_was_shut_costs_nothing_though_the_taking_is_told_last(town: Town) -> None:
    grant = town.granted(town.ask())
    town.door("C1", 1, "open", grant.id)
    town.later(2)
    taken = town.taken_event("C1", 1, "i1", grant.id)
    town.later(60)
    town.tell(town.placed_event("C1", 1, "i1", grant.id))
    town.door("C1", 1, "closed", grant.id, has=True)
    town.later(90_000)
    town.snapshot("C1", {1: "i1", 2: "i2", 3: None})
    town.tell(replace(taken, received_at=town.now))
    assert paid(town) == 0 and town.item("i1").unit == 1


def test_a_door_that_closes_by_a_grant_without_its_item_has_opened_by_it(town: Town) -> None:
    grant = town.granted(town.ask())
    town.later(5)
    town.door("C1", 1, "closed", grant.id, has=False)
    assert grant.rental_id is not None and town.rental(grant.rental_id).state == "active"


def test_a_taking_told_days_later_is_billed_until_the_item_was_first_seen_again(town: Town) -> None:
    grant = town.granted(town.ask())
    town.later(5)
    taken = town.taken_event("C1", 1, "i1", grant.id)
    town.answer(grant.id, "offline")
    town.later(1_000)
    town.tell(town.placed_event("C2", 1, "i1"))
    town.later(90_000)
    town.snapshot("C2", {1: "i1", 2: None})
    town.tell(replace(taken, received_at=town.now))
    assert paid(town) == 165 and town.held() == 0


def test_a_bought_item_that_was_put_back_and_taken_out_again_stays_bought(town: Town) -> None:
    rental = town.take()
    grant = town.granted(town.ask_return(rental))
    placed = town.placed_event("C2", grant.unit, "i1", grant.id)
    town.later(5)
    taken = town.taken_event("C2", grant.unit, "i1", grant.id)
    town.run_clock(town.now + timedelta(days=20))
    bought = paid(town)
    for event in (taken, placed):
        town.tell(replace(event, received_at=town.now))
    assert town.rental(rental.id).state == "deemed" and paid(town) == bought


def test_a_door_has_its_time_to_open_however_long_a_psp_took_before(town: Town) -> None:
    rental, verdict = waiting_for_a_psp(town)
    town.later(90)
    town.tell(replace(verdict, received_at=town.now))
    town.run_clock(town.later(1))
    assert town.rental(rental.id).state == "opening" and not list(town.commands("cabinet.report"))
    grant = next(iter(town.world.assets.grants.values()))
    town.answer(grant.id, "rejected", "UnitFaulted")
    assert town.rental(rental.id).unit == 2, "another door, as for whoever paid at once"
    town.run_clock(town.later(60))
    assert town.rental(rental.id).state == "provisional"


def jams(town: Town, rental: Rental, station: str) -> None:
    """A return at a cabinet none of whose doors opens."""
    town.granted(town.ask_return(rental, station))
    while live := [grant for grant in town.world.assets.grants.values() if grant.state == "issued"]:
        town.answer(live[0].id, "rejected", "DoorJammed")


def test_a_return_that_jams_stops_the_clock_also_days_after_another_that_did(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    jams(town, rental, "C2")
    town.later(2 * 86_400)
    jams(town, rental, "C1")
    town.later(7_200)
    town.door("C1", 3, "closed", has=False)
    town.bring(rental, "C1")
    assert paid(town) == 900 + 1_000, "late by less than a day, at the second attempt"


def test_a_driver_is_reminded_once_a_day_also_while_an_outage_puts_the_purchase_off(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=8, minutes=20))
    told = len(list(town.commands("rental.remind")))
    for minute in range(200):  # the cabinet has been away since just before the purchase, and still is
        town.away(rental, 60 * minute)
        town.run_clock(town.later(60))
    assert town.rental(rental.id).state == "overdue" and len(list(town.commands("rental.remind"))) <= told + 1


def test_a_bought_item_that_comes_back_is_no_better_than_staff_say(town: Town) -> None:
    rental = town.take()
    town.run_clock(town.now + timedelta(days=20))
    moved = said.ItemMoved("", town.now, "i1", "lost", None, "retired", "staff", "written off", "~staff/1")
    town.tell(moved)
    town.later(60)
    town.bring(rental)
    assert town.item("i1").state == "retired" and paid(town) < 900 + DEPOSIT


def test_a_token_that_was_shown_before_is_asked_for_the_deposit_too(town: Town) -> None:
    add_social(town)
    town.tell(TokenPresented("C1", town.now, SOCIAL, town.new_id(), "bob"))
    [asked] = town.world.authorizations
    town.tell(AuthorizationDecided(asked, "C1", town.now, "authorized", None, None, "bob"))
    rental = town.wanted(town.ask(SOCIAL))
    assert session_of(town.world, rental).hold_minor == HOLD + DEPOSIT


def test_what_came_back_broken_may_go_to_the_workshop_before_it_is_inspected(town: Town) -> None:
    rental = town.take()
    town.later(1_000)
    town.bring(rental, flags=("damaged",))
    town.later(3_600)
    town.tell(said.ItemMoved("", town.now, "i1", "workshop", None, "broken", "staff", "cracked", "~staff/1"))
    town.tell(said.RentalInspected("C1", town.now, rental.id, 5_000, "staff", "cracked"))
    assert town.rental(rental.id).state == "closed" and paid(town) == 165 + 5_000
