"""What rentals and exchanges are priced by: tiers as data, never less for more, lateness within the deposit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.base.money import to_minor
from csms.domain.tariff import Tariff, parse
from csms.domain.tariff_own import Own, Used, calculate
from tests.domain.test_tariff import document

FLAT = {"type": "FLAT", "price": 0}
POWER_BANK = {"tiers": [
    {"from": 0, "fee": 165}, {"from": 1_800, "fee": 360}, {"from": 10_800, "fee": 900}, {"from": 86_460, "fee": 1_980},
    {"from": 432_000, "fee": 3_980},
]}  # fmt: skip


def own_of(**extra: Any) -> Own:
    tariff: Tariff = parse(document(FLAT, extra=extra))
    assert tariff.own is not None
    return tariff.own


def fee(own: Own, **used: int) -> int:
    incl = calculate(Used(**used), own, "KRW").exact_incl
    assert incl is not None
    return to_minor(incl, "KRW")


@pytest.mark.parametrize(
    ("minutes", "expected"), [(29, 165), (30, 360), (179, 360), (1_440, 900), (7_199, 1_980), (7_200, 3_980)]
)
def test_the_tiers_of_a_power_bank_are_data(minutes: int, expected: int) -> None:
    assert fee(own_of(held_time=POWER_BANK), held_s=minutes * 60) == expected


def test_every_part_has_its_line() -> None:
    own = own_of(
        held_time={"tiers": [{"price": 600}], "step_size": 600},
        deliveries={"tiers": [{"price": 2_900}, {"from": 10, "fee": 29_000, "price": 2_500}], "vat": 10},
        battery_energy={"tiers": [{"price": 300}]},
        battery_basis="net",
    )
    exact = calculate(Used(held_s=601, deliveries=12, battery_wh=1_500), own, "KRW")
    assert [(line.dimension, line.exact_incl) for line in exact.lines] == [
        ("HELD_TIME", 200),
        ("DELIVERIES", 34_000),
        ("BATTERY_ENERGY", 450),
    ]
    assert exact.exact_incl == 34_650
    assert own.battery_basis == "net"


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_holding_longer_never_costs_less(one: int, other: int) -> None:
    own = own_of(held_time=POWER_BANK)
    assert fee(own, held_s=min(one, other)) <= fee(own, held_s=max(one, other))


@given(st.integers(0, 10**7), st.integers(0, 50_000))
def test_lateness_and_the_deemed_purchase_stay_within_the_deposit(late_s: int, deposit: int) -> None:
    late = {"tiers": [{"price": 100}, {"from": 864_000, "fee": 24_000}], "vat": 10}
    own = own_of(late=late, deemed_purchase={"after": 604_800, "price": 60_000}, deposit=deposit)
    total = fee(own, late_s=late_s)
    assert total <= deposit or deposit == 0
    without = fee(own_of(late=late, deemed_purchase={"after": 604_800, "price": 60_000}), late_s=late_s)
    assert total == (min(without, deposit) if deposit else without)


def test_an_item_far_too_late_counts_as_bought() -> None:
    own = own_of(deemed_purchase={"after": 604_800, "price": 60_000, "vat": 10})
    assert fee(own, late_s=604_799) == 0
    assert fee(own, late_s=604_800) == 60_000


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"colour": 1}, "/colour"),
        ({"held_time": {}}, "/held_time/tiers"),
        ({"held_time": {"tiers": [{"from": 5}]}}, "/held_time/tiers/0/from"),
        ({"held_time": {"tiers": [{}, {"from": 0}]}}, "/held_time/tiers/1/from"),
        ({"held_time": {"tiers": [{"fee": 5}, {"from": 9, "fee": 4}]}}, "/held_time/tiers/1/fee"),
        ({"late": {"tiers": [{"price": -1}]}}, "/late/tiers/0/price"),
        ({"late": {"tiers": [{"rate": 1}]}}, "/late/tiers/0/rate"),
        ({"late": {"tiers": [{}], "step_size": True}}, "/late/step_size"),
        ({"late": {"tiers": [{}], "vat": 101}}, "/late/vat"),
        ({"battery_basis": "guess"}, "/battery_basis"),
        ({"deposit": "30000"}, "/deposit"),
        ({"deemed_purchase": {"price": 1}}, "/deemed_purchase/after"),
        ({"deemed_purchase": {"after": 1}}, "/deemed_purchase/price"),
    ],
)
def test_what_cannot_be_priced_is_refused_with_its_place(extra: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refusal:
        own_of(**extra)
    assert refusal.value.field == f"/extra{field}"


def test_damage_is_paid_out_of_the_deposit_too() -> None:
    own = own_of(held_time=POWER_BANK, deposit=1_000, late={"tiers": [{"from": 0, "fee": 800}]})
    used = Used(held_s=60, late_s=10, damage=Fraction(700))
    lines = {line.dimension: line.exact_incl for line in calculate(used, own, "KRW").lines}
    assert lines == {"HELD_TIME": 165, "LATE": 800, "DAMAGE": 700, "NOT_CHARGED": -500}


def test_what_is_not_bought_yet_has_no_price_of_the_item() -> None:
    own = own_of(deemed_purchase={"after": 10, "price": 18_000})
    assert calculate(Used(late_s=20, bought=False), own, "KRW").lines == ()
    assert [line.dimension for line in calculate(Used(late_s=20), own, "KRW").lines] == ["DEEMED_PURCHASE"]


def test_when_an_item_is_due_late_or_free_has_defaults() -> None:
    assert (own_of().due_s, own_of().grace_s, own_of().free_s) == (None, 1_800, 300)
    told = own_of(due_after=86_400, grace=0, free_within=0)
    assert (told.due_s, told.grace_s, told.free_s) == (86_400, 0, 0)


def test_a_part_whose_tax_nobody_tells_cannot_make_a_bill() -> None:
    untold = {
        **document({"type": "FLAT", "price": 0, "vat": 10}, extra={"held_time": POWER_BANK}),
        "country_code": "US",
    }
    untold = {key: value for key, value in untold.items() if key != "tax_included"} | {"currency": "USD"}
    with pytest.raises(Refused) as refused:
        parse(untold)
    assert refused.value.field == "/extra"
    parse({**untold, "extra": {"held_time": {**POWER_BANK, "vat": 9.5}}})
