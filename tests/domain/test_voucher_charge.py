"""Vouchers cover a charging session to the Wh, and never raise a price (V06)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.base.money import half_up
from csms.domain import voucher_terms
from csms.domain.charge_pieces import pieces
from csms.domain.pack_rows import Unit, Voucher
from csms.domain.tariff import Tariff, Usage, calculate, parse, price
from csms.domain.tariff_own import Drawn
from csms.domain.tariff_periods import Period
from csms.domain.voucher_charge import Begun, conditions, cover, usable
from tests.domain.histories import BASE, tariff

EVENING = datetime(2026, 3, 2, 20, tzinfo=UTC)  # a Monday


def voucher(
    number: int = 1,
    left: int = 200_000,
    *,
    unit: Unit = "wh",
    total: int = 200_000,
    price_minor: int = 9_900,
    ends: int = 28,
    overuse: str | None = None,
    effect: dict[str, Any] | None = None,
    **conditions: Any,
) -> Voucher:
    told = {"effect": effect, "conditions": conditions or None}
    used = total - left
    released = half_up(price_minor * used, total)
    return Voucher(
        UUID(int=number), 1, "ada", None, f"p{number}", unit, total, used, price_minor, released, "KRW",
        Decimal(10), None if overuse is None else Decimal(overuse), EVENING - timedelta(days=1),
        EVENING + timedelta(days=ends), None, terms=json.dumps(told),
    )  # fmt: skip


def session(wh: int = 8_000, minutes: int = 120, start: datetime = EVENING) -> tuple[Period, ...]:
    return (Period(start, start + timedelta(minutes=minutes), wh, minutes * 60),)


def covered(mine: list[Voucher], periods: tuple[Period, ...], of: Tariff = BASE) -> tuple[tuple[Drawn, ...], int]:
    """What is drawn, and what is left to pay beside the vouchers."""
    used = Usage(int(sum(p.energy_wh for p in periods)), int(sum(p.charging_s for p in periods)), periods)
    total = calculate(used, of).exact_incl
    assert total is not None
    drawn = cover(mine, pieces(periods, of, None, conditions(mine)), total, "KRW")
    paid = Usage(used.energy_wh, used.seconds, periods, covered=drawn)
    return drawn, price(paid, of).total_minor - paid.drawn_minor


NIGHT = {"start_time": "21:00", "end_time": "07:00"}
FORTY = {"kind": "percent_off", "percent": 40}


def test_only_what_flows_within_its_hours_is_covered() -> None:
    drawn, to_pay = covered([voucher(effect=FORTY, **NIGHT)], session())

    assert [(part.units, part.value) for part in drawn] == [(4_000, 480)]
    assert to_pay == 2_400 - 480


def test_what_is_left_of_it_reaches_to_the_very_wh() -> None:
    drawn, to_pay = covered([voucher(left=1_501)], session())

    assert [part.units for part in drawn] == [1_501]
    assert to_pay == round(2_400 - 1_501 * 0.3)


def test_of_two_that_cover_the_better_one_does_and_the_other_one_goes_on() -> None:
    drawn, to_pay = covered([voucher(1, effect=FORTY), voucher(2, left=3_000)], session())

    assert {part.voucher_id.int: part.units for part in drawn} == {1: 5_000, 2: 3_000}
    assert to_pay == 5_000 * 300 * 60 // 100_000


def test_of_two_that_are_as_good_the_one_that_ends_first_does() -> None:
    drawn, _ = covered([voucher(1, ends=20), voucher(2, ends=10)], session())

    assert [part.voucher_id.int for part in drawn] == [2]


def test_a_flat_rate_counts_only_where_the_tariff_asks_more() -> None:
    dear = {"price_components": [{"type": "ENERGY", "price": 500, "vat": 10}], "restrictions": {"start_time": "21:00"}}
    flat = voucher(effect={"kind": "flat_rate", "price": 400})

    drawn, to_pay = covered([flat], session(), tariff(300, "KRW", dear))

    assert [part.units for part in drawn] == [4_000]
    assert to_pay == 4 * 300 + 4 * 400


def test_beyond_it_its_own_price_counts_if_that_is_lower() -> None:
    drawn, to_pay = covered([voucher(left=2_000, overuse="200")], session())

    assert [part.units for part in drawn] == [2_000]
    assert to_pay == 6 * 200


def test_a_waived_fee_is_one_use_and_covers_no_energy() -> None:
    fee = tariff(300, "KRW", {"price_components": [{"type": "FLAT", "price": 1_000, "vat": 10}]})
    waived = voucher(left=5, total=5, unit="cnt", effect={"kind": "fee_waived", "fees": ["FLAT"]})

    drawn, to_pay = covered([waived], session(), fee)

    assert [part.units for part in drawn] == [1]
    assert to_pay == 2_400


def test_value_pays_what_others_leave() -> None:
    drawn, to_pay = covered(
        [voucher(1, left=4_000), voucher(2, left=1_000, total=10_000, unit="val", price_minor=9_000)], session()
    )

    assert {part.voucher_id.int: part.units for part in drawn} == {1: 4_000, 2: 1_000}
    assert to_pay == 200


def test_a_limit_of_the_whole_price_bounds_what_is_saved() -> None:
    document = {
        "currency": "KRW", "tax_included": "YES", "max_price": {"after_taxes": 1_000},
        "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10}]}],
    }  # fmt: skip

    _, to_pay = covered([voucher()], session(), parse(document))

    assert to_pay == 0


def test_only_stations_and_uses_that_are_named_count() -> None:
    named, packs = voucher(1, stations=["S1"], sites=["north"]), voucher(2, uses=["rental"])

    assert usable([named, packs], Begun("S1", None)) == [named]
    assert usable([named], Begun("S2", "north")) == [named]
    assert usable([named], Begun("S2", "south")) == []


@pytest.mark.parametrize(
    ("effect", "conditions", "unit", "place"),
    [
        ({"kind": "half"}, None, "wh", "/effect/kind"),
        ({"kind": "flat_rate", "price": 1}, None, "sec", "/effect/kind"),
        ({"kind": "percent_off", "percent": 101}, None, "wh", "/effect/percent"),
        ({"kind": "percent_off", "percent": 0}, None, "wh", "/effect/percent"),
        ({"kind": "included", "percent": 4}, None, "wh", "/effect/percent"),
        ({"kind": "fee_waived", "fees": ["ENERGY"]}, None, "cnt", "/effect/fees"),
        (None, {"start_time": "25:00"}, "wh", "/conditions/start_time"),
        (None, {"min_kwh": 4}, "wh", "/conditions/min_kwh"),
        (None, {"stations": []}, "wh", "/conditions/stations"),
        (None, {"uses": ["swim"]}, "wh", "/conditions/uses"),
        ([], None, "wh", "/effect"),
        ({"kind": "percent_off", "percent": 5}, {"uses": ["rental"]}, "wh", "/conditions/uses"),
    ],
)
def test_terms_that_cannot_be_are_refused_with_their_place(
    effect: object, conditions: object, unit: Unit, place: str
) -> None:
    with pytest.raises(Refused) as refused:
        voucher_terms.read(effect, conditions, unit)

    assert refused.value.field == place


EFFECT = st.one_of(
    st.none(),
    st.builds(lambda p: {"kind": "percent_off", "percent": p}, st.integers(1, 100)),
    st.builds(lambda p: {"kind": "flat_rate", "price": p}, st.integers(0, 600)),
)
HOUR = st.integers(0, 23)
HOURS = st.one_of(
    st.just({}),
    st.builds(lambda a, b: {"start_time": f"{a:02}:00", "end_time": f"{b:02}:30"}, HOUR, HOUR),
    st.builds(lambda d: {"day_of_week": [d]}, st.sampled_from(["MONDAY", "TUESDAY", "SUNDAY"])),
)  # fmt: skip
VOUCHER = st.builds(
    lambda number, left, effect, hours, ends, over: voucher(
        number, left, effect=effect, ends=ends, overuse=over, **hours
    ),
    st.integers(1, 50),
    st.integers(0, 20_000),
    EFFECT,
    HOURS,
    st.integers(1, 60),
    st.sampled_from([None, "0", "250", "900"]),
)
MINE = st.lists(VOUCHER, max_size=4, unique_by=lambda v: v.id)
PERIODS = st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 200)), min_size=1, max_size=5)


def laid(told: list[tuple[int, int]]) -> tuple[Period, ...]:
    found: list[Period] = []
    at = EVENING
    for wh, minutes in told:
        found.append(Period(at, at + timedelta(minutes=minutes), wh, minutes * 60))
        at += timedelta(minutes=minutes)
    return tuple(found)


TIMED = tariff(
    300,
    "KRW",
    {"price_components": [{"type": "ENERGY", "price": 120, "vat": 10}], "restrictions": {"start_time": "23:00"}},
    {"price_components": [{"type": "ENERGY", "price": 700, "vat": 10}], "restrictions": {"min_kwh": 5}},
)


@given(MINE, PERIODS, st.sampled_from([BASE, TIMED]))
def test_a_voucher_never_raises_a_price_and_never_gives_more_than_is_left(
    mine: list[Voucher], told: list[tuple[int, int]], of: Tariff
) -> None:
    periods = laid(told)
    _, alone = covered([], periods, of)

    drawn, to_pay = covered(mine, periods, of)

    assert 0 <= to_pay <= alone
    left = {one.id: one.total - one.used for one in mine}
    for part in drawn:
        assert 0 <= part.units <= left[part.voucher_id]
        assert part.minor >= 0
        assert part.value >= 0
    assert sum(part.units for part in drawn) <= sum(int(p.energy_wh) for p in periods)


@given(MINE, PERIODS, st.sampled_from([BASE, TIMED]))
def test_nothing_changes_when_a_session_is_told_in_more_readings(
    mine: list[Voucher], told: list[tuple[int, int]], of: Tariff
) -> None:
    whole = laid(told)
    halves = tuple(half for period in whole for half in _halves(period))

    (drawn, to_pay), (again, as_before) = covered(mine, whole, of), covered(mine, halves, of)

    assert to_pay == as_before
    assert {(p.voucher_id, p.units, p.value) for p in drawn} == {(p.voucher_id, p.units, p.value) for p in again}


def _halves(period: Period) -> tuple[Period, Period]:
    middle = period.start + (period.end - period.start) / 2
    half = Fraction(1, 2)
    first = Period(period.start, middle, period.energy_wh * half, period.charging_s * half)
    return first, Period(middle, period.end, period.energy_wh * half, period.charging_s * half)


@given(MINE, PERIODS)
def test_the_order_in_which_vouchers_are_known_does_not_matter(
    mine: list[Voucher], told: list[tuple[int, int]]
) -> None:
    assert covered(mine, laid(told)) == covered(mine[::-1], laid(told))
