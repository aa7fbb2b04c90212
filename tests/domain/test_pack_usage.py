"""What a driver took from a pack: the known answers of the field, and what holds for any pack."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.pack_rows import Level
from csms.domain.pack_usage import ESTIMATED, MISMATCH, tolerance, usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENING = NOON + timedelta(hours=6)
BASES = ("soc", "net", "throughput")


def level(soc: int, at: datetime = NOON, **more: int | None) -> Level:
    base = {"soh": 9_500, "capacity_wh": 1_500, "discharge_wh": 40_000, "charge_wh": 41_000, "epoch": 1}
    return Level(soc=soc, at=at, **{**base, **more})  # type: ignore[arg-type]


OUT = level(9_500)


def test_the_level_at_return_prices_what_was_taken_with_the_health_at_issue() -> None:
    back = level(2_000, EVENING, discharge_wh=41_070, soh=9_400)
    assert usage(OUT, back, "soc") == (1_068, (), 1_068, 1_070)
    assert usage(OUT, back, "net").wh == 1_070


def test_a_pack_that_was_charged_at_home_costs_no_energy() -> None:
    back = level(9_900, EVENING, discharge_wh=41_070, charge_wh=42_150)
    assert usage(OUT, back, "soc").wh == 0
    assert usage(OUT, back, "net").wh == 0
    assert usage(OUT, back, "throughput").wh == 1_070


def test_counters_that_began_anew_leave_the_level_alone_to_tell() -> None:
    assert usage(OUT, level(2_000, EVENING, discharge_wh=12, epoch=2), "net") == (1_068, (ESTIMATED,), 1_068, None)


def test_of_two_that_disagree_the_lower_is_billed_and_listed() -> None:
    back = level(9_400, EVENING, discharge_wh=41_070)
    assert usage(OUT, back, "soc") == (14, (MISMATCH,), 14, 1_070)


@pytest.mark.parametrize("discharge", [39_999, 40_000 + 4 * 1_500 * 7 + 1])
def test_a_counter_that_goes_back_or_counts_the_impossible_is_no_witness(discharge: int) -> None:
    assert usage(OUT, level(2_000, EVENING, discharge_wh=discharge), "net").flags == (ESTIMATED,)


def test_a_pack_whose_counters_were_not_told_both_times_is_billed_by_its_level() -> None:
    back = level(2_000, EVENING, discharge_wh=None, charge_wh=None, epoch=None)
    assert usage(OUT, back, "soc") == (1_068, (), 1_068, None)
    assert usage(OUT._replace(discharge_wh=None), back, "soc") == (1_068, (), 1_068, None)


levels = st.integers(0, 10_000)
health = st.integers(0, 10_000)
capacities = st.integers(1, 100_000)
counts = st.none() | st.integers(0, 10**7)
epochs = st.none() | st.integers(0, 2)


@st.composite
def packs(draw: st.DrawFn) -> tuple[Level, Level]:
    capacity_wh, hours = draw(capacities), draw(st.integers(0, 500))
    out = Level(draw(levels), draw(health), capacity_wh, draw(counts), draw(counts), draw(epochs), NOON)
    back_at = NOON + timedelta(hours=hours)
    back = Level(draw(levels), draw(health), capacity_wh, draw(counts), draw(counts), draw(epochs), back_at)
    return out, back


@given(packs(), st.sampled_from(BASES))
def test_usage_is_whole_never_negative_and_bounded(pair: tuple[Level, Level], basis: str) -> None:
    out, back = pair
    found = usage(out, back, basis)  # type: ignore[arg-type]
    assert type(found.wh) is int and found.wh >= 0
    assert out.capacity_wh is not None and out.soh is not None
    if basis != "throughput" or found.flags:
        assert found.wh * 10_000 <= out.capacity_wh * out.soh


@given(packs(), st.sampled_from(BASES))
def test_usage_is_the_lower_of_two_witnesses_that_disagree(pair: tuple[Level, Level], basis: str) -> None:
    found = usage(*pair, basis)  # type: ignore[arg-type]
    if MISMATCH in found.flags:
        assert found.counted_wh is not None
        assert found.wh == min(found.soc_wh, found.counted_wh)
    elif found.counted_wh is not None:
        assert pair[0].capacity_wh is not None
        apart = abs(found.counted_wh - found.soc_wh) * 100
        assert apart <= tolerance(pair[0].capacity_wh, found.soc_wh, found.counted_wh)


@given(packs(), levels)
def test_a_pack_that_comes_back_emptier_never_costs_less_by_its_level(pair: tuple[Level, Level], soc: int) -> None:
    out, back = pair
    bare = back._replace(discharge_wh=None)
    lower, higher = sorted((back.soc, soc))
    assert usage(out, bare._replace(soc=lower), "soc").wh >= usage(out, bare._replace(soc=higher), "soc").wh
