"""What looks like the number of a payment card is found, however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.card_number import has_card_number, passes_luhn

numbers = st.integers(10**10, 10**18 - 1).map(
    lambda n: str(n) + next(d for d in "0123456789" if passes_luhn(f"{n}{d}"))
)


@given(numbers, st.sampled_from(["", " ", "-", "  ", "\u2013", "\u00a0", " - "]), st.integers(1, 6))
def test_every_valid_number_is_found_in_groups_of_any_length(number: str, between: str, length: int) -> None:
    grouped = between.join(number[i : i + length] for i in range(0, len(number), length))
    assert has_card_number(grouped) and has_card_number(f"my card {grouped}, thanks")


@given(numbers, st.integers(0, 8))
def test_one_wrong_digit_is_no_card_number(number: str, place: int) -> None:
    wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
    assert not has_card_number(wrong)


@given(st.text(st.characters(exclude_categories=["Nd", "Nl", "No"])))
def test_text_without_digits_is_never_refused(text: str) -> None:
    assert not has_card_number(text)


@pytest.mark.parametrize(
    "text",
    ["4111 1111 1111 1111 12/27", "exp 12 27 4111-1111-1111-1111", "\uff14111111111111111", "5500.0000.0000.0004"],
)
def test_expiries_and_other_spellings_hide_nothing(text: str) -> None:
    assert has_card_number(text)


@pytest.mark.parametrize("text", ["ann", "customer-42", "01934567-89ab-7def-8123-456789abcdef", "010-1234-5678", ""])
def test_names_and_ids_of_psps_are_taken(text: str) -> None:
    assert not has_card_number(text)
