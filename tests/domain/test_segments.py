"""A session in quarters of an hour: nothing of it is lost, and cheap is what the day's prices say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csms.domain import tariff
from csms.domain.events import Reading
from csms.domain.segments import EMPTY_MAX, Prices, Segment, next_quarter, segments
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_periods import Period
from csms.domain.usage import periods
from tests.make import NOON, after


def by_hours(*elements: tuple[int, dict[str, Any]]) -> tariff.Tariff:
    """A tariff of energy prices, each with its restrictions."""
    return tariff.parse(
        {
            "country_code": "KR", "party_id": "CSM", "id": "T", "currency": "KRW", "tax_included": "YES",
            "last_updated": "2026-01-01T00:00:00Z",
            "elements": [
                {
                    "price_components": [{"type": "ENERGY", "price": price, "vat": 10, "step_size": 1}],
                    "restrictions": restrictions or None,
                }
                for price, restrictions in elements
            ],
        }
    )  # fmt: skip


NIGHT = {"start_time": "21:00", "end_time": "07:00"}
moments = st.integers(0, 10_000_000).map(lambda us: NOON + timedelta(milliseconds=us))
histories = st.lists(st.tuples(st.integers(1, 30_000), st.integers(0, 9_000)), max_size=12)


@given(moments, st.integers(0, 40_000), st.integers(0, 60_000), histories)
def test_the_quarters_of_a_session_have_all_its_wh_and_all_its_seconds(
    start: Any, seconds: int, wh: int, told: list[tuple[int, int]]
) -> None:
    series = [Reading(start + timedelta(seconds=s), s, 1_000 + register) for s, register in told]
    end = start + timedelta(seconds=seconds)
    found = segments(periods(series, start, end, 1_000, 1_000 + wh))
    assert sum(one.wh for one in found) == wh
    assert sum(one.seconds for one in found) == seconds or not wh
    assert all(0 <= one.seconds <= 900 and one.wh >= 0 and (one.wh or one.seconds) for one in found)
    assert found == sorted(set(found))
    assert all(one.at == start or next_quarter(one.at - timedelta(seconds=1)) == one.at for one in found)


def test_energy_flows_evenly_and_the_first_quarter_begins_with_the_session() -> None:
    found = segments([Period(after(10), after(40), 3_001, 1_800)])
    assert found == [
        Segment(after(10), 500, 300),
        Segment(after(15), 1_500, 900),
        Segment(after(30), 1_001, 600),
    ]


def test_a_session_of_no_length_is_one_quarter_of_no_length() -> None:
    assert segments([Period(after(15), after(15), 700)]) == [Segment(after(15), 700, 0)]
    assert segments([Period(after(7), after(7), 700)]) == [Segment(after(7), 700, 0)]
    assert segments([]) == []


def test_what_stands_for_a_year_is_kept_for_a_week() -> None:
    year = [Period(NOON, after(60), 4_000, 3_600), Period(after(60), NOON + timedelta(days=365), 0, 0, 364 * 86_400)]
    assert len(segments(year)) == 4 + EMPTY_MAX


def test_cheap_is_the_cheapest_third_of_the_prices_of_the_local_day() -> None:
    seoul = zone_of("Asia/Seoul")
    prices = Prices(by_hours((200, NIGHT), (300, {})), seoul)
    assert prices.cheap(NOON) is True  # 21:00 in Seoul
    assert prices.cheap(after(-1)) is False
    evening, small_hours = {"start_time": "18:00", "end_time": "21:00"}, {"start_time": "03:00", "end_time": "05:00"}
    four = Prices(by_hours((400, evening), (100, small_hours), (200, NIGHT), (300, {})), seoul)
    assert [four.cheap(after(60 * hour)) for hour in (0, 6, 7, 8)] == [False, True, True, False]


def test_where_one_price_holds_all_day_nothing_is_cheap_or_dear() -> None:
    weekend = by_hours((200, {"day_of_week": ["SATURDAY", "SUNDAY"]}), (300, {}))
    assert Prices(weekend, zone_of(None)).cheap(NOON) is None
    assert Prices(by_hours((300, {})), zone_of(None)).cheap(NOON) is None
    [one] = segments([Period(NOON, after(5), 10, 300)], weekend, zone_of(None))
    assert one.cheap is None
