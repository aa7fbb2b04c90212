"""Dividing a fee: nothing lost, nobody negative, the operator within its bounds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.base.money import half_up
from csms.domain.settlement import Shares, Split, allot, divide, keep, sum_of

amounts = st.integers(0, 10**12)
parts_of_10000 = st.integers(0, 10_000)
share_lists = st.lists(st.integers(0, 10_000), min_size=1, max_size=8).filter(any)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    least = draw(st.integers(0, 5_000))
    most = draw(st.none() | st.integers(least, 10_000))
    return Split(draw(st.integers(0, 10_000)), draw(st.integers(0, 1_000)), least, most)


@given(amounts, share_lists)
def test_allot_loses_nothing(amount: int, shares: list[int]) -> None:
    parts = allot(amount, shares)
    assert sum(parts) == amount
    assert all(0 <= part - amount * share // sum(shares) <= 1 for part, share in zip(parts, shares, strict=True))


@given(amounts, share_lists)
def test_allot_gives_nothing_to_a_share_of_zero(amount: int, shares: list[int]) -> None:
    assert all(part == 0 for part, share in zip(allot(amount, shares), shares, strict=True) if share == 0)


def test_a_site_host_as_third_payee() -> None:
    assert allot(1001, [70, 20, 10]) == [701, 200, 100]


@given(amounts, splits(), st.data())
def test_shares_are_the_fee_and_their_vat_is_its_vat(total: int, split: Split, data: st.DataObject) -> None:
    vat = data.draw(st.integers(0, total))
    shares = divide(total, split, vat)
    assert shares.operator_minor + shares.provider_minor == total
    assert shares.operator_vat_minor + shares.provider_vat_minor == vat
    assert 0 <= shares.operator_vat_minor <= shares.operator_minor
    assert 0 <= shares.provider_vat_minor <= shares.provider_minor


@given(amounts, splits())
def test_the_operator_stays_within_its_bounds(total: int, split: Split) -> None:
    operator = divide(total, split).operator_minor
    assert operator >= min(total, split.operator_min_minor)
    assert split.operator_max_minor is None or operator <= split.operator_max_minor
    plain = Fraction(total * split.operator_bp, 10_000) + split.operator_fixed_minor
    most = total if split.operator_max_minor is None else min(total, split.operator_max_minor)
    if split.operator_min_minor < plain < most:
        assert abs(operator - plain) <= Fraction(1, 2)


@given(amounts, amounts, splits())
def test_a_higher_fee_never_earns_anybody_less(one: int, other: int, split: Split) -> None:
    low, high = divide(min(one, other), split), divide(max(one, other), split)
    assert low.operator_minor <= high.operator_minor
    assert low.provider_minor <= high.provider_minor


@given(amounts, splits(), parts_of_10000, st.data())
def test_three_shares_are_the_fee_the_operator_first_then_the_host(
    total: int, split: Split, host_bp: int, data: st.DataObject
) -> None:
    vat = data.draw(st.integers(0, total))
    shares, without = divide(total, split, vat, host_bp), divide(total, split, vat)
    assert min(shares.operator_minor, shares.host_minor, shares.provider_minor) >= 0
    assert shares.operator_minor + shares.host_minor + shares.provider_minor == sum_of(shares) == total
    assert (shares.operator_minor, shares.operator_vat_minor) == (without.operator_minor, without.operator_vat_minor)
    plain = Fraction(total * host_bp, 10_000)
    assert shares.host_minor <= total - shares.operator_minor
    assert shares.host_minor == total - shares.operator_minor or abs(shares.host_minor - plain) <= Fraction(1, 2)


@given(amounts, splits(), st.data())
def test_a_site_without_a_share_leaves_everything_as_it_was(total: int, split: Split, data: st.DataObject) -> None:
    vat = data.draw(st.integers(0, total))
    shares = divide(total, split, vat, 0)
    assert shares == divide(total, split, vat) and shares.host_minor == 0
    kept = data.draw(st.integers(0, total))
    if total:
        left = keep(shares, shares, kept)
        operator = half_up(shares.operator_minor * kept, total)
        assert (left.operator_minor, left.provider_minor, left.host_minor) == (operator, kept - operator, 0)


@given(st.one_of(st.integers(1, 40), st.integers(1, 10**12)), splits(), parts_of_10000, st.data())
def test_what_payees_keep_only_shrinks_sums_exactly_and_is_nothing_in_the_end(
    total: int, split: Split, host_bp: int, data: st.DataObject
) -> None:
    charged = divide(total, split, data.draw(st.integers(0, total)), host_bp)
    steps = data.draw(st.lists(st.integers(0, total), max_size=12))
    left = charged
    for kept in [*sorted(steps, reverse=True), 0]:
        before, left = left, keep(charged, left, kept)
        assert sum_of(left) == kept
        for name in ("operator_minor", "host_minor", "provider_minor"):
            assert 0 <= getattr(left, name) <= getattr(before, name), name
            assert abs(getattr(left, name) - Fraction(getattr(charged, name) * kept, total)) < 2, name
        assert left.operator_minor == half_up(charged.operator_minor * kept, total)
    assert left == Shares(0, 0)


def test_the_host_keeps_what_rounding_would_give_the_provider_while_money_goes_back() -> None:
    charged = divide(3, Split(2_000), host_bp=2_000)
    assert charged == Shares(1, 1, host_minor=1)
    left = keep(charged, charged, 2)
    assert left == Shares(1, 0, host_minor=1)
    assert keep(charged, left, 1) == Shares(0, 0, host_minor=1)


def test_the_host_gets_no_more_than_the_operator_leaves() -> None:
    assert divide(1_000, Split(9_500), host_bp=2_000) == Shares(950, 0, host_minor=50)
    assert divide(30, Split(0, operator_min_minor=50), host_bp=2_000) == Shares(30, 0)


def test_a_half_goes_to_the_operator() -> None:
    assert divide(4386, Split(operator_bp=1_250), vat_minor=399) == Shares(548, 3838, 50, 349)
    assert divide(4, Split(operator_bp=1_250)) == Shares(1, 3)


def test_a_minimum_above_the_fee_takes_all_of_it() -> None:
    assert divide(30, Split(operator_bp=0, operator_min_minor=50), vat_minor=3) == Shares(30, 0, 3, 0)


def test_no_fee_divides_into_nothing() -> None:
    assert divide(0, Split(operator_bp=500, operator_fixed_minor=10, operator_min_minor=5)) == Shares(0, 0)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((10_001,), "/operator_bp"),
        ((-1,), "/operator_bp"),
        ((0, -1), "/operator_fixed_minor"),
        ((0, 0, -1), "/operator_min_minor"),
        ((0, 0, 10, 9), "/operator_max_minor"),
    ],
)
def test_a_split_that_cannot_be_is_refused(arguments: tuple[int, ...], field: str) -> None:
    with pytest.raises(Refused) as refusal:
        Split(*arguments)
    assert refusal.value.field == field
