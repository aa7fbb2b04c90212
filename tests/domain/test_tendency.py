"""How a driver uses stations: what the figures of a history say."""

from __future__ import annotations

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from csms.domain.tendency import Tendency, Used, confidence, entropy, of, quantiles
from tests.make import NOON

NOW = NOON  # a Friday, 21:00 in Seoul


def charge(
    days_ago: float, wh: int = 1_000, seconds: int = 900, station: str = "S1", session: str | None = None,
    cheap: bool | None = None, site: str | None = "site", region: str | None = None,
) -> Used:  # fmt: skip
    """A quarter of an hour in Seoul; a session of its own unless one is named."""
    at = NOW - timedelta(days=days_ago)
    return Used(at, session or f"at {at}", station, wh, seconds, cheap, site, "Asia/Seoul" if site else None, region)


def known(*used: Used, now: datetime = NOW, swaps: int = 0) -> Tendency:
    found = of(used, now, swaps)
    assert found is not None
    return found


def test_of_nothing_in_56_days_nothing_is_known() -> None:
    assert of([], NOW) is None
    assert of([charge(56), charge(-1)], NOW) is None
    assert known(charge(55.9)).sessions == 1


def test_a_quarter_counts_in_its_band_by_the_clock_of_its_site() -> None:
    friday_night, saturday_noon, utc = charge(0), charge(6 - 15 / 24), charge(7, site=None)
    found = known(friday_night, saturday_noon, utc)
    assert [band for band, wh in enumerate(found.bands_wh) if wh] == [3, 5, 6 + 3]
    assert sum(found.bands_wh) == found.wh == 3_000


def test_weeks_are_counted_back_from_now_and_empty_ones_count() -> None:
    found = known(charge(0.5, 4_000), charge(1, 2_000), charge(15, 3_000))
    assert (found.weeks, found.sessions, found.week_wh_mean, found.week_wh_median) == (3, 3, 3_000, 3_000)
    assert found.confidence == "low"
    assert known(*(charge(1 + 5 * n) for n in range(11)), charge(55.5)).confidence == "high"


def test_confidence_needs_weeks_and_sessions() -> None:
    told = [confidence(*known) for known in ((8, 12), (7, 50), (8, 11), (2, 4), (1, 40), (8, 3))]
    assert told == ["high", "medium", "medium", "medium", "low", "low"]


def test_quartiles_are_of_whole_sessions() -> None:
    quarters = [charge(1 - n / 96, 2_000, 900, session="long") for n in range(4)]
    found = known(*quarters, charge(3, 500, 300), charge(4, 700, 600))
    assert found.session_wh == (500, 700, 8_000) and found.session_s == (300, 600, 3_600)


def test_power_is_the_mean_of_a_quarter() -> None:
    found = known(charge(1, 1_849), charge(2, 1_850), charge(3, 5_500), charge(4, 5_501), charge(5, 77, seconds=0))
    assert found.power_wh == (1_849, 1_850 + 5_500, 5_501)


def test_cheap_energy_is_a_part_of_that_which_had_more_than_one_price() -> None:
    found = known(charge(1, 10, cheap=True), charge(2, 20, cheap=False), charge(3, 40))
    assert (found.cheap_wh, found.priced_wh) == (10, 30)


def test_the_region_is_that_of_the_site_where_most_flowed() -> None:
    found = known(
        charge(1, 50, station="A", site="a", region="north"),
        charge(2, 30, station="B", site="b", region="south"),
        charge(3, 30, station="C", site="c", region="south"),
    )
    assert found.region == "north"
    assert known(charge(1, site="a")).region == known(charge(1, site=None)).region == "any"


def test_the_most_used_stations_are_named_and_all_of_them_counted() -> None:
    found = known(*(charge(n, 100 * n, station=f"S{n}") for n in range(1, 8)))
    assert found.stations == ("S7", "S6", "S5", "S4", "S3")
    assert (found.stations_wh[0], found.station_count) == (700, 7)


def test_entropy_is_the_bits_of_which_station() -> None:
    assert (entropy([5]), entropy([5, 0]), entropy([]), entropy([1, 1]), entropy([2, 1, 1])) == (0, 0, 0, 1, 1.5)


@given(st.lists(st.integers(0, 50), min_size=1))
def test_a_quantile_is_a_value_that_so_many_are_not_above(values: list[int]) -> None:
    low, middle, high = quantiles(values)
    assert {low, middle, high} <= set(values) and low <= middle <= high
    assert sum(value <= middle for value in values) * 2 >= len(values)
    assert sum(value < middle for value in values) * 2 < len(values)


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(0, 9_999), st.sampled_from("ABC")), max_size=20), st.randoms())
def test_the_order_of_sessions_is_irrelevant(told: list[tuple[float, int, str]], random: st.DrawFn) -> None:
    used = [charge(days, wh, station=station, session=f"{n}") for n, (days, wh, station) in enumerate(told)]
    other = list(used)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert of(other, NOW) == of(used, NOW)
