"""Progress: the bar is exact and fits the terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from charge_points_sim.progress import bar, fitted
from charge_points_sim.scenarios.replay import Tally


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 60))
def test_a_bar_is_always_as_wide_as_it_should_be(done: int, total: int, width: int) -> None:
    assert len(bar(min(done, total), total, width)) == width


def test_a_bar_is_full_when_everything_is_done_and_not_before() -> None:
    assert bar(10, 10, 8) == "█" * 8
    assert bar(9_999, 10_000, 8) != "█" * 8
    assert bar(0, 10, 8).strip() == ""


@given(st.integers(20, 200))
def test_a_line_never_wraps(columns: int) -> None:
    assert len(fitted(Tally(charges=22_492, done=11_000, running=84, energy_wh=10**9), columns)) < columns
