"""Readings become charging periods: no energy is lost, gaps are filled evenly, parking is told apart."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import Reading
from csms.domain.tariff import Usage, parse, price
from csms.domain.tariff_periods import Period
from csms.domain.usage import POINTS_MAX, as_json, periods
from tests.domain.test_tariff import document
from tests.make import NOON, after


def reading(minutes: float, wh: int | None, power_w: int | None = None) -> Reading:
    return Reading(after(minutes), 0, wh, power_w)


def told(found: tuple[Period, ...]) -> list[tuple[float, int, int, int]]:
    """Minutes from noon, Wh, seconds charging, seconds parked of each period."""
    return [
        ((p.start - NOON) / timedelta(minutes=1), int(p.energy_wh), int(p.charging_s), int(p.parking_s)) for p in found
    ]


@given(
    st.lists(st.builds(reading, st.integers(-10, 300), st.none() | st.integers(900, 9_000), st.none() | st.just(0))),
    st.integers(0, 240),
    st.integers(0, 8_000),
)
@settings(max_examples=80)
def test_no_energy_and_no_second_is_lost(readings: list[Reading], minutes: int, energy_wh: int) -> None:
    found = periods(readings, NOON, after(minutes), 1_000, 1_000 + energy_wh)
    assert sum(p.energy_wh for p in found) == energy_wh
    assert sum(p.charging_s + p.parking_s for p in found) == minutes * 60
    assert (found[0].start, found[-1].end) == (NOON, after(minutes))
    assert all(a.end == b.start for a, b in pairwise(found))
    assert all(p.energy_wh >= 0 for p in found)


def test_without_readings_energy_flows_evenly_all_the_time() -> None:
    found = periods((), NOON, after(60), 1_000, 8_000)
    assert told(found) == [(0, 7_000, 3_600, 0)]
    assert (found[0].min_power_w, found[0].max_power_w) == (7_000, 7_000)


def test_after_the_last_rise_a_vehicle_is_parked() -> None:
    readings = (reading(30, 4_500), reading(60, 8_000, 0), reading(90, 8_000, 0), reading(110, 8_000))
    assert told(periods(readings, NOON, after(120), 1_000, 8_000)) == [
        (0, 3_500, 1_800, 0),
        (30, 3_500, 1_800, 0),
        (60, 0, 0, 3_600),
    ]


def test_power_without_a_rise_is_a_coarse_register_and_no_parking() -> None:
    readings = (reading(10, 1_000, 300), reading(20, 1_000, 300), reading(30, 1_000))
    found = periods(readings, NOON, after(40), 1_000, 2_000)
    assert [(p.charging_s, p.parking_s, p.max_power_w) for p in found] == [
        (600, 0, 300),
        (600, 0, 300),
        (0, 600, 0),
        (600, 0, 6_000),
    ]


def test_registers_of_something_else_are_left_out() -> None:
    readings = (reading(10, 5), reading(20, 99_000), reading(30, 3_000), reading(40, 2_000), reading(50, None, 7_000))
    assert told(periods(readings, NOON, after(60), 1_000, 4_000)) == [(0, 2_000, 1_800, 0), (30, 1_000, 1_800, 0)]


def test_a_session_of_no_length_keeps_its_energy() -> None:
    assert told(periods((), NOON, NOON, 1_000, 1_400)) == [(0, 400, 0, 0)]


@pytest.mark.parametrize("count", [POINTS_MAX * 3])
def test_very_many_registers_are_thinned_out_evenly(count: int) -> None:
    readings = [reading(number / 10, 1_000 + number) for number in range(1, count)]
    found = periods(readings, NOON, after(count / 10), 1_000, 1_000 + count)
    assert len(found) <= POINTS_MAX + 1
    assert sum(p.energy_wh for p in found) == count


def test_parking_found_by_readings_is_priced() -> None:
    parking = parse(document({"type": "TIME", "price": 60}, {"type": "PARKING_TIME", "price": 600}))
    found = periods((reading(60, 8_000),), NOON, after(90), 1_000, 8_000)
    assert price(Usage(7_000, 5_400, found), parking).total_minor == 60 + 300


def test_a_period_as_json_is_whole_numbers() -> None:
    first = periods((), NOON, after(7), 0, 1_000)[0]
    assert isinstance(first.max_power_w, Fraction)
    assert as_json(first) == {
        "start": "2026-11-20T12:00:00+00:00",
        "end": "2026-11-20T12:07:00+00:00",
        "energy_wh": 1_000,
        "charging_s": 420,
        "parking_s": 0,
        "power_w": 8_571,
    }
