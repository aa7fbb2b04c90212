"""A use priced by its periods: cuts change nothing, more never costs less, both changes of summer time are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.tariff import Period, Price, Tariff, Usage, bound, parse, price
from csms.domain.tariff_lines import sum_excl, sum_incl
from tests.domain.test_tariff import document

START = datetime(2026, 3, 28, 20, 15, tzinfo=UTC)
BERLIN = "Europe/Berlin"
hours = st.integers(0, 23).map(lambda hour: f"{hour:02d}:00")
prices = st.integers(0, 10_000).map(lambda hundredths: hundredths / 100)


@st.composite
def restrictions(draw: st.DrawFn) -> dict[str, Any]:
    """Hours, weekdays, amounts and durations; each may be missing."""
    told: dict[str, Any] = {}
    if draw(st.booleans()):
        told["start_time"], told["end_time"] = draw(st.lists(hours, min_size=2, max_size=2, unique=True))
    if draw(st.booleans()):
        told["day_of_week"] = draw(st.lists(st.sampled_from(["SATURDAY", "SUNDAY", "MONDAY"]), min_size=1, unique=True))
    if draw(st.booleans()):
        told["min_kwh"] = draw(st.integers(0, 20))
        told["max_kwh"] = told["min_kwh"] + draw(st.integers(1, 20))
    if draw(st.booleans()):
        told["min_duration"] = draw(st.integers(0, 40_000))
    return told


@st.composite
def tariffs(draw: st.DrawFn, steps: st.SearchStrategy[int], limits: bool = True) -> Tariff:
    elements = []
    for _ in range(draw(st.integers(1, 4))):
        kinds = draw(st.lists(st.sampled_from(["ENERGY", "TIME", "PARKING_TIME", "FLAT"]), min_size=1, unique=True))
        components = [{"type": kind, "price": draw(prices), "step_size": draw(steps), "vat": 10} for kind in kinds]
        elements.append({"price_components": components, "restrictions": draw(restrictions())})
    members: dict[str, Any] = {}
    if limits and draw(st.booleans()):
        members["min_price"] = {"before_taxes": 10, "after_taxes": 12}
        members["max_price"] = {"before_taxes": 100, "after_taxes": 111}
    return parse(
        document(elements=elements, currency="EUR", tax_included=draw(st.sampled_from(["YES", "NO"])), **members)
    )


@st.composite
def uses(draw: st.DrawFn) -> Usage:
    """Up to four periods that follow each other, charging or parked, over at most two days."""
    start, periods = START + timedelta(minutes=draw(st.integers(0, 600))), []
    for _ in range(draw(st.integers(1, 4))):
        seconds = draw(st.integers(1, 43_200))
        energy_wh = draw(st.integers(0, 20_000))
        end = start + timedelta(seconds=seconds)
        charging = energy_wh > 0
        periods.append(Period(start, end, energy_wh, seconds * charging, seconds * (not charging)))
        start = end
    return used(tuple(periods))


def used(periods: tuple[Period, ...]) -> Usage:
    seconds = sum((p.charging_s + p.parking_s for p in periods), start=Fraction(0))
    return Usage(sum((p.energy_wh for p in periods), start=Fraction(0)), seconds, periods)


def cut(period: Period, share: Fraction) -> tuple[Period, Period]:
    """The period in two, at a whole microsecond near `share` of it."""
    length = (period.end - period.start) // timedelta(microseconds=1)
    at_us = int(share * length)
    exact = Fraction(at_us, length)
    middle = period.start + timedelta(microseconds=at_us)
    left = (exact * period.energy_wh, exact * period.charging_s, exact * period.parking_s)
    right = ((1 - exact) * period.energy_wh, (1 - exact) * period.charging_s, (1 - exact) * period.parking_s)
    return Period(period.start, middle, *left), Period(middle, period.end, *right)


steps = st.sampled_from([0, 1, 60, 900, 1_000])


@given(uses(), tariffs(steps), st.fractions(Fraction(1, 100), Fraction(99, 100)), st.integers(0, 3))
@settings(max_examples=60)
def test_periods_cut_in_two_cost_the_same(usage: Usage, tariff: Tariff, share: Fraction, place: int) -> None:
    periods = usage.periods or ()
    place %= len(periods)
    parts = (*periods[:place], *cut(periods[place], share), *periods[place + 1 :])
    assert amounts(price(used(parts), tariff, BERLIN)) == amounts(price(usage, tariff, BERLIN))


def amounts(priced: Price) -> list[Any]:
    """What a price comes to, line by line; when a line ends is told to the second only."""
    lines = [(line.dimension, line.element, line.quantity) for line in priced.lines]
    return [priced.total_minor, priced.vat_minor, *lines]


@given(uses(), tariffs(steps))
@settings(max_examples=60)
def test_lines_sum_to_the_total_and_limits_hold(usage: Usage, tariff: Tariff) -> None:
    priced = price(usage, tariff, BERLIN)
    assert sum_excl(priced.lines) == priced.exact_excl
    assert sum_incl(priced.lines) == priced.exact_incl
    if tariff.max_price is not None:
        assert 10 <= priced.exact_excl <= 100
        assert 12 <= priced.exact_incl <= 111


@given(uses(), tariffs(st.sampled_from([0, 1])), uses())
@settings(max_examples=60)
def test_staying_longer_never_costs_less(usage: Usage, tariff: Tariff, more: Usage) -> None:
    """Without steps: OCPI rounds up by the step of what was used last, so that a smaller step later may cost less."""
    tariff = replace(tariff, elements=tuple(
        replace(e, components=tuple(replace(c, step_size=0) for c in e.components)) for e in tariff.elements
    ))  # fmt: skip
    assert usage.periods
    assert more.periods
    shift = usage.periods[-1].end - more.periods[0].start
    later = tuple(replace(p, start=p.start + shift, end=p.end + shift) for p in more.periods)
    longer = used((*usage.periods, *later))
    assert price(usage, tariff, BERLIN).total_minor <= price(longer, tariff, BERLIN).total_minor


@given(uses(), tariffs(steps))
@settings(max_examples=60)
def test_no_use_costs_more_than_the_bound(usage: Usage, tariff: Tariff) -> None:
    assert price(usage, tariff, BERLIN).exact_incl <= bound(tariff).at(usage.energy_wh, usage.seconds)


@given(st.integers(0, 100_000), st.integers(0, 100_000), prices, prices, prices)
def test_the_bound_is_exact_without_steps_and_restrictions(
    energy_wh: int, seconds: int, energy: float, time: float, flat: float
) -> None:
    kinds = (("ENERGY", energy), ("TIME", time), ("FLAT", flat))
    tariff = parse(document(*({"type": kind, "price": told, "vat": 10} for kind, told in kinds)))
    assert price(Usage(energy_wh, seconds), tariff).exact_incl == bound(tariff).at(energy_wh, seconds)


@given(uses(), st.permutations(range(4)))
@settings(max_examples=40)
def test_the_order_of_elements_that_never_overlap_is_harmless(usage: Usage, order: list[int]) -> None:
    quarters = [("00:00", "06:00"), ("06:00", "12:00"), ("12:00", "18:00"), ("18:00", "00:00")]
    elements = [
        {
            "price_components": [{"type": "ENERGY", "price": number + 1}, {"type": "TIME", "price": 2 * number}],
            "restrictions": {"start_time": start, "end_time": end},
        }
        for number, (start, end) in enumerate(quarters)
    ]
    plain, shuffled = (parse(document(elements=[elements[n] for n in row])) for row in (range(4), order))
    assert price(usage, plain, BERLIN).exact_incl == price(usage, shuffled, BERLIN).exact_incl


def hourly(start: str, end: str, **members: Any) -> Tariff:
    """An hour costs 1 between these times of day, and 10 else."""
    dear = {"type": "TIME", "price": 10, "step_size": 0}
    cheap = {"type": "TIME", "price": 1, "step_size": 0}
    return parse(
        document(
            elements=[
                {"price_components": [cheap], "restrictions": {"start_time": start, "end_time": end, **members}},
                {"price_components": [dear]},
            ]
        )
    )


def charged(start: str, end: str, energy_wh: int = 0) -> Usage:
    begins, ends = datetime.fromisoformat(start), datetime.fromisoformat(end)
    seconds = int((ends - begins).total_seconds())
    return used((Period(begins, ends, energy_wh, seconds),))


@pytest.mark.parametrize(
    ("start", "end", "window", "expected"),
    [
        # Berlin, 2026-03-29: 02:00 to 03:00 does not exist.
        ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", ("02:00", "03:00"), 10),
        ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", ("01:00", "02:30"), 5 + Fraction(1, 2)),
        ("2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", ("02:30", "03:30"), 5 + Fraction(1, 2)),
        # Berlin, 2026-10-25: 02:00 to 03:00 comes twice.
        ("2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z", ("02:00", "03:00"), 12),
        ("2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z", ("02:30", "03:30"), Fraction(30 + 3, 2)),
        ("2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z", ("22:00", "02:30"), Fraction(30 + 3, 2)),
    ],
)
def test_hours_are_counted_as_they_pass_when_the_clock_is_set(
    start: str, end: str, window: tuple[str, str], expected: Fraction
) -> None:
    assert price(charged(start, end), hourly(*window), BERLIN).exact_incl == expected


def test_a_weekday_begins_at_local_midnight() -> None:
    sunday = hourly("00:00", "00:00", day_of_week=["SUNDAY"])
    assert price(charged("2026-11-21T14:00:00Z", "2026-11-21T16:00:00Z"), sunday, "Asia/Seoul").exact_incl == 11


def test_an_amount_is_reached_in_the_middle_of_a_period() -> None:
    first, then = ({"type": "ENERGY", "price": told, "step_size": 1} for told in (1, 3))
    tariff = parse(
        document(
            elements=[
                {"price_components": [first], "restrictions": {"max_kwh": 10}},
                {"price_components": [then], "restrictions": {"min_kwh": 10}},
            ]
        )
    )
    priced = price(charged("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", 15_000), tariff)
    assert [(line.quantity, line.exact_incl) for line in priced.lines] == [(10_000, 10), (5_000, 15)]
    assert priced.lines[1].start == datetime(2026, 1, 1, 0, 40, tzinfo=UTC)


def test_free_parking_passes_the_step_to_what_was_priced_before() -> None:
    """OCPI 2.3.0: 12 minutes charged, 20 parked, free after 20:00; 8 minutes are billed as 15."""
    time = {"type": "TIME", "price": 2.4, "step_size": 900}
    parking = {"type": "PARKING_TIME", "price": 1, "step_size": 900}
    tariff = parse(
        document(
            elements=[
                {"price_components": [time, parking], "restrictions": {"end_time": "20:00"}},
                {"price_components": [time], "restrictions": {"start_time": "20:00"}},
            ]
        )
    )
    start = datetime(2026, 1, 5, 19, 40, tzinfo=UTC)
    stopped, left = start + timedelta(minutes=12), start + timedelta(minutes=32)
    usage = used((Period(start, stopped, 0, 720, 0), Period(stopped, left, 0, 0, 1_200)))
    assert [(line.dimension, line.quantity) for line in price(usage, tariff).lines] == [
        ("TIME", 720),
        ("PARKING_TIME", 900),
    ]


def test_what_nobody_prices_is_free() -> None:
    tariff = hourly("09:00", "10:00")
    only = replace(tariff, elements=tariff.elements[:1])
    priced = price(charged("2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z"), only)
    assert (priced.lines, priced.total_minor) == ((), 0)


def test_without_a_price_of_parking_all_the_time_counts() -> None:
    usage = used((Period(START, START + timedelta(hours=1), 0, 0, 3_600),))
    assert price(usage, hourly("00:00", "00:00", day_of_week=["MONDAY"]), BERLIN).exact_incl == 10


def test_a_current_that_nobody_told_is_that_of_the_power() -> None:
    slow = {"price_components": [{"type": "ENERGY", "price": 1}], "restrictions": {"max_current": 32}}
    tariff = parse(document(elements=[slow, {"price_components": [{"type": "ENERGY", "price": 5}]}]))
    period = Period(START, START + timedelta(hours=1), 1_000, 3_600, 0, 7_359, 7_359)
    told = replace(period, min_current_a=16, max_current_a=48)
    faster = replace(period, min_power_w=7_360, max_power_w=7_360)
    assert [price(used((p,)), tariff).total_minor for p in (period, told, faster)] == [1, 5, 5]


def test_an_unknown_power_meets_no_bound_of_power() -> None:
    slow = {"price_components": [{"type": "ENERGY", "price": 1}], "restrictions": {"max_power": 16}}
    tariff = parse(document(elements=[slow, {"price_components": [{"type": "ENERGY", "price": 5}]}]))
    unknown = Period(START, START + timedelta(hours=1), 1_000, 3_600)
    known = replace(unknown, min_power_w=1_000, max_power_w=1_000)
    assert [price(used((p,)), tariff).total_minor for p in (unknown, known)] == [5, 1]
