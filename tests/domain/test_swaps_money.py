"""What swaps must not lose: psps that take their time, vouchers that reach halfway, stations that speak of others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal
from uuid import UUID

import pytest

from csms.domain import asset_events as said
from csms.domain.events import AuthorizationDecided
from csms.domain.pack_events import InSlot
from csms.domain.pack_state import NoLevel
from csms.domain.token import key
from csms.domain.world import Rules, Token
from tests.domain.lending_town import ANN, BOB
from tests.domain.pack_town import EXTRA, PackTown

SOCIAL = "E0E0E0E0"
NO_DEPOSIT = {**EXTRA, "deposit": 0, "deliveries": None}


@pytest.fixture
def town() -> PackTown:
    return PackTown()


def ridden(town: PackTown, wh: int = 1_070, **more: object) -> str:
    """A driver with a pack that was used: its code."""
    rental = town.rent_pack(**more)  # type: ignore[arg-type]
    assert rental.item is not None
    town.ride(rental.item, wh)
    return rental.item


def by_psp(town: PackTown) -> str:
    """Eve pays by a psp, has a used pack, and is known to its psp: the pack's code."""
    world = town.world
    world.rules = Rules(policies={"social": "hold_capture"})
    world.tokens[key(SOCIAL)] = Token(
        key(SOCIAL), "accepted", "eve", "active", "social", "https://issuer", "eve", None, False, None, False, None
    )
    outcome = town.ask(SOCIAL, "S1", 1)
    rental = town.wanted(outcome)
    assert outcome.waits_for is not None
    verdict(town, outcome.waits_for)
    [grant] = [g for g in town.world.assets.grants.values() if g.rental_id == rental.id]
    town.answer(grant.id)
    town.take_out(town.swap_of(rental.id).rid, {1: "b1"})
    town.ride("b1", 1_070)
    return "b1"


def verdict(town: PackTown, authorization_id: UUID, word: str = "authorized") -> None:
    town.tell(AuthorizationDecided(authorization_id, "S1", town.now, word, None, "ref", "eve"))


def test_a_pack_that_leaves_before_a_psp_has_said_yes_is_billed_as_told_late_and_only_that_one_leaves() -> None:
    town = PackTown()
    mine = by_psp(town)
    waiting = town.put_in(7, {4: mine})
    assert town.error(waiting) == "PaymentPending" and not town.bills
    chosen = town.swap(7).packs_out[0]
    before = len(town.releases())
    town.take_out(7, {int(chosen[1]): chosen})
    lent = town.world.assets.rental_of(chosen)
    assert lent is not None and lent.driver_id == "eve" and "told_late" in lent.flags
    assert "pack_out_without_leave" in town.kinds()
    [asked] = [a for a in town.world.authorizations.values() if a.state == "asking"]
    verdict(town, asked.id)
    assert len(town.releases()) == before
    assert town.world.assets.rental_of(chosen) == town.rental(lent.id)


def test_an_insertion_told_after_an_orphan_of_its_number_is_a_visit_of_its_own(town: PackTown) -> None:
    mine = ridden(town, unit=2)
    town.take_out(7, {1: "b1"})
    town.later(3_600)
    answer = town.put_in(7, {4: mine}).asset
    assert answer is not None and answer.error is None
    assert len([s for s in town.world.assets.swaps.of("rid", ("S1", 7)) if s.ended_at is None]) == 1


def test_what_a_voucher_does_not_cover_of_a_plain_return_is_paid_from_the_balance() -> None:
    town = PackTown(extra=NO_DEPOSIT)
    town.buy("wh", 10_000, 10_000, used=9_999, released_minor=9_999)
    mine = ridden(town, unit=1)
    rental = town.world.assets.rental_of(mine)
    assert rental is not None
    grant = town.granted(town.ask_return(rental, "S1"))
    before = town.balance()
    town.put_in(7, {grant.unit: mine})
    assert town.fees() == [535] and before - town.balance() == 534


def test_what_neither_voucher_nor_balance_reach_is_owed() -> None:
    town = PackTown(funds=0, extra=NO_DEPOSIT)
    town.buy("wh", 10, 10)
    mine = ridden(town)
    town.put_in(7, {4: mine})
    town.not_taken(7, {4: mine})
    for _ in range(70):
        town.watch()
    assert town.swap(7).state == "aborted"
    assert town.accounts["driver:ann:debt"] == -(town.fees()[0] - 10)


def test_a_voucher_bought_while_a_swap_awaits_payment_pays_for_it() -> None:
    town = PackTown(funds=0, extra=NO_DEPOSIT)
    town.buy("wh", 500, 400)
    mine = ridden(town)
    town.put_in(7, {4: mine})
    town.not_taken(7, {4: mine})
    town.buy("wh", 5_000, 4_000, valid_from=town.now, valid_until=town.now + timedelta(days=30))
    town.watch()
    assert town.swap(7).state == "releasing" and len(town.bills) == 1


def test_a_bought_pack_that_comes_back_is_refunded_but_for_what_vouchers_gave() -> None:
    deemed = {"deemed_purchase": {"after": 86_400, "price": 18_000}, "battery_energy": None, "due_after": 3_600}
    town = PackTown(extra={**EXTRA, **deemed})
    town.buy("cnt", 10, 500)
    rental = town.rent_pack()
    town.run_clock(town.now + timedelta(days=3))
    assert town.rental(rental.id).state == "deemed"
    before = town.balance()
    town.put_in(7, {4: rental.item or ""})
    assert 17_900 <= town.balance() - before <= 18_000
    assert "refund_owed" in town.kinds()


def test_the_level_of_a_slot_is_that_of_the_pack_that_stands_in_it_and_of_no_other(town: PackTown) -> None:
    town.units("S2", {1: "b1", 2: None})
    town.levels["b1"] = town.levels["b1"]._replace(soc=1_000)
    town.later(1)
    town.stated("b1", "S2", 1)
    town.stated("b1", "S1", 1, serial="", soc=10_000)
    assert town.world.assets.packs["b1"].soc == 1_000


def test_a_station_is_not_believed_about_packs_that_stand_elsewhere(town: PackTown) -> None:
    assert town.error(town.stated("b1", "S2", None, faults=("lie",))) == "ItemMismatch"
    assert town.world.assets.packs["b1"].quarantine is None
    assert town.world.assets.packs["b1"].soc == 9_500


def test_staff_who_open_a_slot_that_a_psp_decides_about_cost_nobody_a_parked_verdict() -> None:
    town = PackTown()
    mine = by_psp(town)
    town.put_in(7, {4: mine})
    unit = town.swap(7).units_out[0]
    town.tell(said.ServiceOpened("S1", town.now, town.new_id(), unit, "service", "staff", "look"))
    [asked] = [a for a in town.world.authorizations.values() if a.state == "asking"]
    verdict(town, asked.id)
    other = [r for r in town.releases() if r["unit"] not in (1, unit) and r["err"] is None]
    assert other or town.swap(7).state in ("awaiting_payment", "aborted")


def test_a_second_swap_for_the_same_pack_is_refused(town: PackTown) -> None:
    ridden(town)
    assert town.error(town.ask_swap()) is None
    assert town.error(town.ask_swap(station="S2")) == "Busy"


def test_a_token_that_pays_is_judged_anew_though_it_was_for_one_use(town: PackTown) -> None:
    mine = ridden(town)
    world = town.world
    world.tokens[key(ANN)] = replace(world.tokens[key(ANN)], single_use=True, session_id=town.new_id())
    town.put_in(7, {4: mine})
    assert town.swap(7).state == "releasing"


def test_where_nothing_is_free_for_being_short_a_pack_that_is_back_at_once_is_billed(town: PackTown) -> None:
    rental = town.rent_pack()
    assert rental.item is not None
    town.levels[rental.item] = town.levels[rental.item]._replace(soc=5_000, discharge_wh=None)
    town.later(0.08)
    town.put_in(7, {4: rental.item})
    assert town.rental(rental.id).battery_wh == 641 and town.fees() == [100 + 321]


def without_level(town: PackTown, what: Literal["in", "out"], rid: int, unit: int, code: str) -> None:
    """A station says nothing of how full a pack is, or the impossible."""
    event = town.moved(what, rid, {unit: code})
    town.tell(replace(event, slots=(InSlot(unit, NoLevel(code.upper(), 9_500)),)))


def test_a_pack_whose_level_is_not_told_as_it_comes_back_is_billed_no_energy_and_listed(town: PackTown) -> None:
    mine = ridden(town)
    without_level(town, "in", 7, 4, mine)
    rental = town.rental(town.swap(7).rentals_in[0])
    assert (rental.state, rental.battery_wh, rental.flags) == ("closed", 0, ("usage_unmeasured",))
    assert town.fees() == [100] and "usage_unmeasured" in town.kinds()
    assert town.swap(7).state == "releasing"
    town.take_out(7, {town.swap(7).units_out[0]: town.swap(7).packs_out[0]})
    assert town.error(town.ask(BOB, "S1", 4)) == "BatteryUnknown"  # what it was known to have is long used
    town.stated(mine, unit=4, soc=9_500)
    assert town.granted(town.ask(BOB, "S1", 4)).item == mine


def test_a_plain_return_waits_for_the_level_that_was_not_told(town: PackTown) -> None:
    mine = ridden(town, unit=1)
    grant = town.granted(town.ask_return(town.holder(mine), "S1"))
    without_level(town, "in", 7, grant.unit, mine)
    assert not town.bills
    town.stated(mine, unit=grant.unit)
    assert town.fees() == [635]


def test_a_pack_whose_level_is_not_told_as_it_leaves_left_with_the_level_it_had_in_its_slot(town: PackTown) -> None:
    grant = town.granted(town.ask(ANN, "S1", 1))
    without_level(town, "out", town.swap_of(grant.rental_id).rid, 1, "b1")
    rental = town.rental(grant.rental_id)
    assert rental.state == "active" and rental.level_out is not None and rental.level_out.soc == 9_500
    town.ride("b1", 1_070)
    town.put_in(7, {4: "b1"})
    assert town.fees() == [635]
