"""Vouchers counted in units: what a use takes of them, what that releases, what goes beyond them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain import voucher
from csms.domain.pack_rows import Voucher
from csms.domain.tariff import Usage, price
from csms.domain.tariff_document import parse
from csms.domain.tariff_own import Own, Used

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EXTRA = {
    "battery_energy": {"tiers": [{"from": 0, "price": 500}]},
    "held_time": {"tiers": [{"from": 0, "price": 60}]},
    "deliveries": {"tiers": [{"from": 0, "price": 1000}]},
    "delivery_wh": 1_000,
}
DOCUMENT = {
    "country_code": "KR", "party_id": "CSM", "id": "L", "currency": "KRW", "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}],
    "extra": EXTRA, "last_updated": "2026-01-01T00:00:00Z",
}  # fmt: skip
TARIFF = parse(DOCUMENT)
assert TARIFF.own is not None
OWN: Own = TARIFF.own


def bought(unit: str = "wh", total: int = 10_000, price: int = 4_000, used: int = 0, **more: object) -> Voucher:
    base = Voucher(
        UUID(int=1 << 100), 1, "ann", None, "m", unit, total, used, price, voucher.released_minor(price, total, used),  # type: ignore[arg-type]
        "KRW", Decimal(10), None, NOON, NOON + 30 * DAY, None,
    )  # fmt: skip
    return base._replace(**more)  # type: ignore[arg-type]


def due(used: Used) -> int:
    return price(Usage(0, used.held_s, (), own=used), TARIFF).total_minor


def test_what_is_covered_costs_what_was_paid_for_it() -> None:
    used = voucher.cover([bought()], Used(0, 0, 2_500), OWN, "KRW")
    assert used.battery_wh == 0
    assert used.drawn_minor == due(used) == 1_000


def test_what_goes_beyond_is_priced_by_the_tariff_from_the_exact_wh() -> None:
    used = voucher.cover([bought(used=9_000)], Used(0, 0, 2_501), OWN, "KRW")
    assert used.battery_wh == 1_501
    assert due(used) == 400 + 751  # 750.5 won, half up


def test_its_own_price_counts_for_what_goes_beyond_only_where_it_is_lower() -> None:
    cheap = voucher.cover([bought(used=10_000, overuse_price=Decimal(400))], Used(0, 0, 1_000), OWN, "KRW")
    dear = voucher.cover([bought(used=10_000, overuse_price=Decimal(900))], Used(0, 0, 1_000), OWN, "KRW")
    assert (due(cheap), due(dear)) == (400, 500)


def test_a_unit_covers_the_part_of_the_tariff_that_it_counts() -> None:
    use = Used(held_s=3_600, deliveries=2, battery_wh=1_000)
    assert voucher.cover([bought("sec")], use, OWN, "KRW").held_s == 0
    assert voucher.cover([bought("cnt", 10)], use, OWN, "KRW").deliveries == 0
    assert voucher.cover([bought("wh")], use, OWN, "KRW").battery_wh == 0


def test_value_pays_for_what_the_quantities_leave() -> None:
    value = bought("val", total=5_000, price=4_000)
    used = voucher.cover([bought("wh", id=UUID(int=2 << 100)), value], Used(0, 1, 1_000), OWN, "KRW")
    assert [(part.unit, part.units, part.minor) for part in used.drawn] == [("wh", 1_000, 400), ("val", 1_000, 800)]
    assert due(used) == used.drawn_minor == 1_200


def test_value_that_does_not_reach_pays_its_part() -> None:
    used = voucher.cover([bought("val", total=300, price=150)], Used(0, 0, 1_000), OWN, "KRW")
    assert due(used) == 150 + 200


@pytest.mark.parametrize(("wh", "expected"), [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (2_000, 2), (2_001, 3)])
def test_a_use_is_as_many_deliveries_as_quotas_it_began(wh: int, expected: int) -> None:
    assert OWN.deliveries(wh) == expected


def test_the_oldest_is_used_first_and_only_while_it_is_valid() -> None:
    old, new = bought(id=UUID(int=9)), bought(id=UUID(int=1), valid_from=NOON + DAY, valid_until=NOON + 40 * DAY)
    assert voucher.valid([new, old], "P", "KRW", NOON + 2 * DAY) == [old, new]
    assert voucher.valid([new, old], "P", "KRW", NOON) == [old]
    assert voucher.valid([new, old], "P", "KRW", NOON + 30 * DAY) == [new]


def test_what_is_left_is_carried_over_for_one_period_with_another_of_its_product() -> None:
    old = bought(valid_until=NOON + 30 * DAY, carry_until=NOON + 60 * DAY)
    other = bought(id=UUID(int=5), product_id="x", valid_from=NOON, valid_until=NOON + 99 * DAY)
    next_one = other._replace(product_id="m", valid_from=NOON + 30 * DAY)
    at = NOON + 31 * DAY
    assert voucher.valid([old, other], "P", "KRW", at) == [other]
    assert voucher.valid([old, next_one], "P", "KRW", at) == [old, next_one]
    assert voucher.valid([old, next_one], "P", "KRW", NOON + 60 * DAY) == [next_one]


def test_a_voucher_of_another_provider_or_currency_covers_nothing() -> None:
    assert voucher.valid([bought(provider_id="Q"), bought(currency="EUR")], "P", "KRW", NOON) == []


@pytest.mark.parametrize(
    ("policy", "used", "allowed"),
    [("none", 0, False), ("untouched", 0, True), ("untouched", 1, False), ("unused", 9, True), ("unused", 10, False)],
)
def test_what_is_unused_goes_back_by_policy(policy: voucher.Refund, used: int, allowed: bool) -> None:
    assert (voucher.refusal(policy, used, 10) is None) is allowed


def test_giving_back_returns_exactly_what_was_not_released() -> None:
    mine = bought(total=3, price=1_000, used=1)
    posting = voucher.given_back(mine, NOON)
    assert {(t.asset, t.minor) for t in posting.transfers} == {("XWH", 2), ("KRW", 667)}


units = st.sampled_from(["wh", "sec", "cnt", "val"])
uses = st.builds(Used, st.integers(0, 10**6), st.integers(0, 5), st.integers(0, 50_000))


@st.composite
def vouchers(draw: st.DrawFn) -> list[Voucher]:
    found = []
    for number in range(draw(st.integers(0, 4))):
        total = draw(st.integers(1, 20_000))
        more = {"overuse_price": draw(st.none() | st.decimals(0, 2_000, places=2))}
        used = draw(st.integers(0, total))
        found.append(bought(draw(units), total, draw(st.integers(0, 30_000)), used, id=UUID(int=number), **more))
    return found


@given(st.integers(0, 10**9), st.integers(1, 10**6), st.lists(st.integers(0, 10**6)))
def test_the_last_unit_releases_exactly_the_rest(price: int, total: int, steps: list[int]) -> None:
    mine, released = bought(total=total, price=price), 0
    for step in [*steps, total]:
        units = min(step, mine.total - mine.used)
        if units:
            part = voucher.draw(mine, units)
            assert part.minor >= 0
            released += part.minor
            mine = voucher.drawn_from(mine, part)
    assert released == mine.released_minor == price


@given(
    st.integers(0, 10**4),
    st.integers(1, 10**4),
    st.lists(st.tuples(st.booleans(), st.integers(1, 10**4)), max_size=30),
)
def test_what_is_put_back_is_what_was_taken_and_the_last_unit_still_releases_the_rest(
    price: int, total: int, steps: list[tuple[bool, int]]
) -> None:
    mine, uses_of = bought(total=total, price=price), []
    back = 0
    for comes_back, number in steps:
        if comes_back and uses_of:
            mine, back = voucher.put_back(mine, uses_of.pop(number % len(uses_of))), back + 1
        elif mine.used < total:
            part = voucher.draw(mine, min(number, total - mine.used))
            assert part.minor >= 0
            mine = voucher.drawn_from(mine, part)
            uses_of.append(part)
        assert voucher.draw(mine, 0).minor == 0
        assert mine.used == sum(part.units for part in uses_of)
        assert mine.uses == len(uses_of)
        assert 0 <= mine.released_minor == sum(part.minor for part in uses_of) <= price
        assert abs(mine.released_minor - voucher.released_minor(price, total, mine.used)) <= back
    if mine.used < total:
        mine = voucher.drawn_from(mine, voucher.draw(mine, total - mine.used))
    assert mine.released_minor == price


@given(vouchers(), uses)
def test_vouchers_never_raise_a_price_and_are_never_overdrawn(owned: list[Voucher], use: Used) -> None:
    covered = voucher.cover(owned, use, OWN, "KRW")
    assert due(covered) - covered.drawn_minor <= due(use)
    for mine in owned:
        taken = sum(part.units for part in covered.drawn if part.voucher_id == mine.id)
        assert 0 <= taken <= mine.total - mine.used


@given(vouchers(), uses)
def test_what_vouchers_release_is_part_of_the_fee(owned: list[Voucher], use: Used) -> None:
    covered = voucher.cover(owned, use, OWN, "KRW")
    assert due(covered) >= covered.drawn_minor
    for name, unit in (("battery_wh", "wh"), ("held_s", "sec"), ("deliveries", "cnt")):
        drawn = sum(part.units for part in covered.drawn if part.unit == unit)
        assert getattr(covered, name) + drawn == getattr(use, name)


@given(uses)
def test_all_of_a_price_can_be_paid_with_value(use: Used) -> None:
    covered = voucher.cover([bought("val", total=10**9, price=10**9)], use, OWN, "KRW")
    assert due(covered) == covered.drawn_minor == due(use)
    assert Fraction(sum(part.value for part in covered.drawn)) >= 0
