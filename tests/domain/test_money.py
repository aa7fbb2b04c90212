"""Amounts: what people write is what is stored, and nothing is rounded by surprise."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.base.money import (
    MINOR_MAX,
    SCALES,
    Money,
    decimal_text,
    exact_text,
    from_minor,
    half_up,
    parse_amount,
    to_minor,
)

currencies = st.sampled_from(sorted(SCALES))
minors = st.integers(-MINOR_MAX, MINOR_MAX)
fractions = st.fractions(max_denominator=10**6)


@given(minors, currencies)
def test_what_is_written_as_text_is_read_back(minor: int, currency: str) -> None:
    assert parse_amount(decimal_text(minor, currency), currency) == minor
    assert to_minor(from_minor(minor, currency), currency) == minor


@given(minors, currencies)
def test_what_rest_shows_is_what_rest_takes(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert Money.parse(money.as_json()) == money


def test_money_in_json_is_the_form_of_the_interface() -> None:
    assert Money(3704, "KRW").as_json() == {"amount": "3704", "currency": "KRW", "minor": 3704}
    assert Money(-5, "USD").as_json() == {"amount": "-0.05", "currency": "USD", "minor": -5}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"amount": 37.04, "currency": "USD"}, "/price/amount"),
        ({"amount": "37.045", "currency": "USD"}, "/price/amount"),
        ({"amount": "0.1", "currency": "KRW"}, "/price/amount"),
        ({"amount": "1e3", "currency": "KRW"}, "/price/amount"),
        ({"amount": "NaN", "currency": "KRW"}, "/price/amount"),
        ({"amount": " 1", "currency": "KRW"}, "/price/amount"),
        ({"amount": "٣", "currency": "KRW"}, "/price/amount"),
        ({"amount": True, "currency": "KRW"}, "/price/amount"),
        ({"amount": str(MINOR_MAX + 1), "currency": "KRW"}, "/price/amount"),
        ({"currency": "KRW"}, "/price/amount"),
        ({"minor": 1.0, "currency": "KRW"}, "/price/minor"),
        ({"amount": "10", "minor": 11, "currency": "KRW"}, "/price/minor"),
        ({"amount": "10", "currency": "XXX"}, "/price/currency"),
        ({"amount": "10"}, "/price/currency"),
        ({"amount": "10", "currency": "KRW", "tip": "1"}, "/price/tip"),
        ("10 KRW", "/price"),
    ],
)
def test_money_that_is_unclear_is_refused_with_its_place(document: object, field: str) -> None:
    with pytest.raises(Refused) as refusal:
        Money.parse(document, "/price")
    assert refusal.value.field == field


def test_trailing_zeros_are_not_decimals() -> None:
    assert parse_amount("3704.00", "KRW") == 3704
    assert parse_amount(Decimal("1E+3"), "KRW") == 1000


def test_an_unknown_currency_is_refused_before_any_money_is_made() -> None:
    with pytest.raises(Refused):
        Money(1, "XXX")


def test_a_half_goes_away_from_zero() -> None:
    assert [half_up(n, 2) for n in (-3, -1, 1, 3, 5)] == [-2, -1, 1, 2, 3]


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**9), st.integers(1, 1_000))
def test_rounding_moves_at_most_a_half_whatever_the_terms(numerator: int, denominator: int, terms: int) -> None:
    rounded = half_up(numerator, denominator)
    assert abs(rounded - Fraction(numerator, denominator)) <= Fraction(1, 2)
    assert half_up(numerator * terms, denominator * terms) == rounded
    assert half_up(-numerator, denominator) == -rounded


@given(fractions)
def test_exact_text_is_exact_or_has_18_decimals(exact: Fraction) -> None:
    text = exact_text(exact)
    error = abs(Fraction(text) - exact)
    assert error == 0 if "." not in text or len(text.split(".")[1]) < 18 else error <= Fraction(1, 2 * 10**18)


def test_exact_text_of_what_has_no_end_in_decimals() -> None:
    assert exact_text(Fraction(1000, 11)) == "90.909090909090909091"
    assert exact_text(Fraction(-45, 8)) == "-5.625"
    assert exact_text(Fraction(7)) == "7"


def test_a_refusal_says_what_to_write_instead() -> None:
    with pytest.raises(Refused, match="written in capitals: KRW"):
        Money.parse({"amount": "1", "currency": "krw"})
    with pytest.raises(Refused, match="not known; known are AUD"):
        Money.parse({"amount": "1", "currency": "XXX"})
    with pytest.raises(Refused, match="at most 24 digits"):
        Money.parse({"amount": "9" * 30, "currency": "KRW"})
