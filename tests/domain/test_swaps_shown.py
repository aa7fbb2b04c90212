"""Authorize at a battery station: a card, a pack's own serial, or nobody's token."""

from __future__ import annotations

import pytest

from csms.domain.events import Outcome, TokenPresented
from csms.domain.pack_rows import alias_of
from tests.domain.lending_town import ANN, BOB, POOR
from tests.domain.pack_town import PackTown


@pytest.fixture
def town() -> PackTown:
    return PackTown()


def shown(town: PackTown, token: str, station: str = "S1") -> Outcome:
    event = TokenPresented(station, town.now, token, town.new_id(), "d", at_slots=True)
    return town.tell(event)


def test_the_serial_of_a_pack_stands_for_whoever_has_it(town: PackTown) -> None:
    code = town.rent_pack().item or ""
    assert shown(town, code.upper()).status == "accepted"
    assert shown(town, alias_of(code.upper())).status == "accepted"


def test_the_serial_of_a_pack_that_nobody_has_is_no_token(town: PackTown) -> None:
    assert shown(town, "B5").status == "unknown"
    assert shown(town, "NEVER-SEEN").status == "unknown"


def test_whoever_has_a_pack_may_exchange_it_though_the_balance_is_all_held() -> None:
    town = PackTown(funds=30_000)
    town.rent_pack()
    assert shown(town, ANN).status == "accepted"


def test_an_exchange_is_refused_before_a_slot_opens_where_none_is_possible(town: PackTown) -> None:
    town.rent_pack()
    town.units("S2", {1: "b4", 2: "b5"})
    refused = shown(town, ANN, "S2")
    assert (refused.status, refused.reason) == ("invalid", "NoEmptySlot")


def test_whoever_has_no_pack_is_judged_by_what_there_is_to_pay_with(town: PackTown) -> None:
    assert shown(town, BOB).status == "accepted"
    assert shown(town, POOR).status == "no_credit"
