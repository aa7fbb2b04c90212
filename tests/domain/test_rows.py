"""Rows are found by what they name now, whenever they were set and however often they were replaced."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.rows import Rows

steps = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=20)


@given(steps, st.integers(0, 20))
def test_of_finds_what_a_look_through_all_rows_finds(steps: list[tuple[str, int]], asked_after: int) -> None:
    rows: Rows[str, int] = Rows({"half": lambda row: row // 2})
    for place, (key, row) in enumerate(steps):
        if place == asked_after:
            rows.of("half", 0)
        rows[key] = row
    for half in (0, 1):
        assert sorted(rows.of("half", half)) == sorted(row for row in rows.values() if row // 2 == half)


def test_a_copy_goes_its_own_way() -> None:
    rows: Rows[str, int] = Rows({"itself": lambda row: row})
    rows["a"] = 1
    assert rows.of("itself", 1) == [1]
    copied = copy.copy(rows)
    copied["a"] = 2
    assert (rows.of("itself", 1), rows.of("itself", 2)) == ([1], [])
    assert copied.of("itself", 2) == [2]


def test_rows_are_never_taken_out_behind_the_back_of_what_finds_them() -> None:
    rows: Rows[str, int] = Rows({"itself": lambda row: row})
    rows["a"] = 1
    for take in (lambda: rows.pop("a"), rows.clear, lambda: rows.update(b=2)):
        with pytest.raises(TypeError):
            take()
