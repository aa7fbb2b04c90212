"""Forms of what goes in and out: keys of stations, CSV, cursors."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.api import paging
from csms.api.problems import Problem
from csms.domain.credential import canonical_key, opens, seal
from csms.flows.sheets import csv_line

PEPPER = bytes(range(32))
keys = st.binary(min_size=16, max_size=40)


@given(keys)
def test_hex_and_the_bytes_it_stands_for_are_one_key(key: bytes) -> None:
    sealed = seal(PEPPER, canonical_key(key.hex().encode()))
    assert opens(PEPPER, sealed, key) and opens(PEPPER, sealed, key.hex().encode())
    assert opens(PEPPER, sealed, key.hex().upper().encode())


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_only_the_key_itself_opens(key: bytes, other: bytes) -> None:
    sealed = seal(PEPPER, canonical_key(key))
    assert opens(PEPPER, sealed, key)
    assert opens(PEPPER, sealed, other) == (canonical_key(key) in (other, canonical_key(other)))
    assert not opens(bytes(32), sealed, key)


@pytest.mark.parametrize("text", ["a" * 31, "a" * 33, "ab" * 15, "g" * 32, "password", "ab" * 16 + "\n", ""])
def test_what_is_not_a_long_even_hex_text_means_itself(text: str) -> None:
    assert canonical_key(text.encode()) == text.encode()


@given(st.lists(st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_csv_is_read_as_it_was_written(cells: list[str | int | None]) -> None:
    (read,) = csv.reader(io.StringIO(csv_line(cells), newline=""))
    for cell, text in zip(cells, read, strict=True):
        assert text in ("" if cell is None else str(cell), f"'{cell}")
        assert text[:1] not in ("=", "@", "+", "\t") and (text[:1] != "-" or text[1:2].isdecimal())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_comes_back_as_it_was_given(text: str) -> None:
    assert paging.unseal(paging.seal(text)) == text


@given(st.text(max_size=60))
def test_any_other_cursor_is_a_problem_and_nothing_else(text: str) -> None:
    statuses: set[int] = set()
    for read in (paging.unseal, paging.after_id, lambda c: paging.beside(c, (paging.LAST_TIME, paging.LAST_UUID))):
        try:
            read(text)
        except Problem as problem:
            statuses.add(problem.status)
    assert statuses <= {400}
