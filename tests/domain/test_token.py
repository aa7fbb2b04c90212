"""Tokens: one card is one card, whichever reader read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain import token

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
hexes = st.binary(min_size=4, max_size=16).map(bytes.hex)


@given(hexes, st.sampled_from(["", ":", "-", " "]), st.booleans())
def test_a_card_is_the_same_with_any_separator_and_case(digits: str, separator: str, upper: bool) -> None:
    pairs = [digits[i : i + 2] for i in range(0, len(digits), 2)]
    written = separator.join(pairs)
    assert token.canonical(written.upper() if upper else written) == digits.upper()


@given(st.text())
def test_the_canonical_spelling_is_its_own(text: str) -> None:
    once = token.canonical(text)
    assert token.canonical(once) == once
    assert len(token.key(once)) == 32


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("20:69:C0:21", "2069C021"),
        ("deadbeef", "DEADBEEF"),
        ("ABCDEFGHIJ0123456789\x10\x0e", "abcdefghij0123456789"),
        ("  Anna ", "anna"),
        ("cafe", "cafe"),
        ("deadbeef0", "deadbeef0"),
        ("fleet-7", "fleet-7"),
        ("STRASSE", "strasse"),
        ("straße", "strasse"),
        ("\u200bAB\x00CD", "abcd"),
        ("", ""),
    ],
)
def test_what_readers_write_and_what_it_means(written: str, read: str) -> None:
    assert token.canonical(written) == read


def test_reversed_bytes_are_another_card() -> None:
    assert token.canonical("2069C021") != token.canonical("21C06920")


@given(st.text(max_size=40))
def test_a_masked_token_shows_four_characters_at_most(text: str) -> None:
    shown = token.masked(text).replace("...", "", 1)
    assert len(shown) <= 4
    assert text.startswith(shown[:2])
    assert text.endswith(shown[2:])
    assert len(text) >= 8 or shown == ""


@pytest.mark.parametrize(
    ("status", "expires_in_s", "decision"),
    [
        ("accepted", None, "accepted"),
        ("accepted", 1, "accepted"),
        ("accepted", 0, "expired"),
        ("accepted", -1, "expired"),
        ("blocked", -1, "blocked"),
        ("blocked", None, "blocked"),
        ("expired", 60, "expired"),
        ("invalid", 60, "invalid"),
        (None, None, "invalid"),
    ],
)
def test_who_may_use_a_token(status: str | None, expires_in_s: int | None, decision: str) -> None:
    expires_at = None if expires_in_s is None else NOW + timedelta(seconds=expires_in_s)
    assert token.decide(status, expires_at, NOW) == decision
