"""Gift codes: typing errors are told, and one code is one token however it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain import gift, gift_code, token
from csms.domain.gift_code import ALPHABET, GROUPED_LENGTH, LENGTH, RANDOM_BITS

codes = st.integers(0, 2**RANDOM_BITS - 1).map(gift_code.make)
places = st.integers(0, LENGTH - 1)


def test_a_code_has_at_least_80_bits_and_no_character_that_looks_like_another() -> None:
    assert RANDOM_BITS >= 80 and LENGTH <= 20
    assert len(set(ALPHABET)) == 32 and not set("0O1I") & set(ALPHABET)


@given(st.integers(0, 2**RANDOM_BITS - 1), st.integers(0, 2**RANDOM_BITS - 1))
def test_different_bits_are_different_codes(one: int, other: int) -> None:
    assert (gift_code.make(one) == gift_code.make(other)) == (one == other)


@given(codes, st.sampled_from([str.upper, str.lower]), st.sampled_from(["-", " ", " - "]))
def test_a_code_is_read_however_it_is_typed(code: str, case: object, separator: str) -> None:
    printed = gift_code.grouped(code)
    assert len(printed) == GROUPED_LENGTH
    assert gift_code.read(f" {case(printed)} ".replace("-", separator)) == code  # type: ignore[operator]


@given(codes, places, st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_told(code: str, place: int, character: str) -> None:
    typed = code[:place] + character + code[place + 1 :]
    assert (gift_code.read(typed) is not None) == (typed == code)


@given(codes, places, places)
def test_two_characters_that_changed_places_are_always_told(code: str, one: int, other: int) -> None:
    typed = list(code)
    typed[one], typed[other] = typed[other], typed[one]
    swapped = "".join(typed)
    assert (gift_code.read(swapped) is not None) == (swapped == code)


@pytest.mark.parametrize("text", ["", "-", "A" * 19, "A" * 21, "0" * 20, "ABCD-EFGH-JKLM-NPQR-STU", "Ä" * 20, "ß" * 10])
def test_what_cannot_be_a_code_is_none(text: str) -> None:
    assert gift_code.read(text) is None


@given(st.text(max_size=40))
def test_any_text_may_be_typed(text: str) -> None:
    code = gift_code.read(text)
    assert code is None or gift_code.read(code) == code


@given(codes)
def test_a_code_is_one_token_with_hyphens_and_without(code: str) -> None:
    printed = gift_code.grouped(code)
    written = {code, code.lower(), printed, printed.lower()}
    assert {token.key(token.canonical(text)) for text in written} == {gift.key(code)}
    assert token.canonical(token.canonical(printed)) == token.canonical(printed)


@given(st.lists(st.sampled_from("23456789ABCDEF"), min_size=19, max_size=19))
def test_a_code_of_nothing_but_hex_digits_is_one_token_too(characters: list[str]) -> None:
    bits = sum(ALPHABET.index(one) << 5 * place for place, one in enumerate(characters))
    code = gift_code.make(bits)
    assert code.startswith("".join(characters))
    assert token.key(token.canonical(gift_code.grouped(code))) == gift.key(code)
