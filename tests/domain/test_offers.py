"""Vouchers are chosen by how a driver really charged, and by nothing else (V02, V03)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.offer_takes import Visit
from csms.domain.offers import Offer, blend, confidence, judge, offers
from tests.domain.histories import BASE, P1, P2, P3, P4, product, tariff, visit, weeks

NOW = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
ALL = (P1, P2, P3, P4)
WEEKDAYS, WEEKEND = {0, 1, 2, 3, 4}, {5, 6}


def night_driver(now: datetime = NOW) -> list[Visit]:
    return weeks(now, 22, 8_000, WEEKDAYS)


def weekend_driver(now: datetime = NOW) -> list[Visit]:
    return weeks(now, 14, 20_000, WEEKEND)


def named(found: list[Offer]) -> list[str]:
    return [offer.product.id for offer in found]


@pytest.mark.parametrize("now", [NOW, NOW + timedelta(days=3), NOW + timedelta(days=5)])
def test_who_charges_on_weekday_nights_is_offered_p1_p4_and_p3(now: datetime) -> None:
    driver = night_driver(now)

    assert [judge(driver, p, now).expected for p in ALL] == [9_300, -7_900, 5_000, 9_000]
    assert named(offers(driver, ALL, now)) == ["P1", "P4", "P3"]


def test_who_charges_at_weekends_is_offered_p2_p4_and_p3() -> None:
    driver = weekend_driver()

    assert [judge(driver, p, NOW).expected for p in ALL] == [-9_900, 10_100, 5_000, 9_000]
    assert named(offers(driver, ALL, NOW)) == ["P2", "P4", "P3"]


@pytest.mark.parametrize(("wh", "cents"), [(58_000, -4), (58_334, 0), (59_000, 8)])
def test_a_flat_rate_breaks_even_where_arithmetic_says(wh: int, cents: int) -> None:
    dollars = tariff(0.48, "USD")
    flat = product("flat", 700, 10**6, days=28, currency="USD", effect={"kind": "flat_rate", "price": 0.36})
    driver = [visit(NOW - timedelta(days=27), wh, of=dollars)]

    assert judge(driver, flat, NOW).worst == cents


def test_where_nothing_saves_money_the_best_is_shown_and_not_recommended() -> None:
    driver = weeks(NOW, 12, 1_000, {2})

    [only] = offers(driver, ALL, NOW)

    assert only.product.id == "P2"
    assert not only.recommended
    assert only.expected < 0


def test_a_history_that_is_shorter_than_a_product_is_gone_through_again() -> None:
    driver = weeks(NOW, 22, 8_000, WEEKDAYS, count=2)

    offer = judge(driver, P1, NOW)

    assert offer.extrapolated
    assert offer.expected == 9_300


def test_of_a_short_history_nothing_is_counted_that_never_was() -> None:
    saturday = NOW - timedelta(days=2)
    weekend = product("p", 100, 100_000, day_of_week=["SATURDAY", "SUNDAY"])

    offer = judge([visit(saturday, 5_000)], weekend, saturday + timedelta(hours=10))

    assert (offer.expected, offer.used, offer.extrapolated) == (4 * 1_500 - 100, 20_000, True)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 8])
def test_who_charges_at_weekends_gets_the_same_figures_however_long_they_are_known(count: int) -> None:
    driver = weeks(NOW, 14, 20_000, WEEKEND, count=count)

    offer = judge(driver, P4, NOW)

    assert (offer.used, offer.covered) == (160_000, 160_000) or count in (5, 6, 7)
    assert offer.expected == 9_000 or count in (5, 6, 7)
    assert offer.covered <= offer.used


def test_a_cap_is_used_up_in_the_order_of_time() -> None:
    dear = {"price_components": [{"type": "ENERGY", "price": 500, "vat": 10}], "restrictions": {"start_time": "12:00"}}
    twice = tariff(100, "KRW", dear)
    day = NOW - timedelta(days=1)
    driver = [visit(day.replace(hour=8), 10_000, of=twice), visit(day.replace(hour=13), 10_000, of=twice)]

    assert judge(driver, product("p", 0, 15_000, days=1), NOW).worst == 1_000 + 2_500


def test_only_so_many_uses_count() -> None:
    driver = weeks(NOW, 22, 8_000, WEEKDAYS)

    assert judge(driver, product("p", 0, 10**6, days=7, uses_max=2), NOW).expected == 2 * 8 * 300


def test_a_waived_fee_counts_once_a_session() -> None:
    fee = tariff(300, "KRW", {"price_components": [{"type": "FLAT", "price": 1_000, "vat": 10}]})
    waived = product("p", 5_000, 10, days=7, unit="cnt", effect={"kind": "fee_waived", "fees": ["FLAT"]})
    driver = weeks(NOW, 22, 8_000, {0, 1, 2, 3, 4, 5, 6}, of=fee)

    assert judge(driver, waived, NOW).expected == 7 * 1_000 - 5_000


def test_value_pays_for_whole_sessions_as_far_as_it_reaches() -> None:
    assert judge(night_driver(), product("p", 9_000, 10_000, days=7, unit="val"), NOW).expected == 1_000


def test_a_voucher_of_other_stations_is_worth_nothing() -> None:
    assert judge(night_driver(), product("p", 100, 10**6, stations=["elsewhere"]), NOW).expected == -100


SESSION = st.tuples(st.integers(1, 55 * 24), st.integers(1, 60_000), st.integers(15, 600))


def history(sessions: list[tuple[int, int, int]]) -> list[Visit]:
    return [visit(NOW - timedelta(days=56) + timedelta(hours=hour), wh, minutes) for hour, wh, minutes in sessions]


@given(st.lists(SESSION, min_size=1, max_size=20), st.randoms())
def test_the_order_of_sessions_does_not_matter(sessions: list[tuple[int, int, int]], random: object) -> None:
    turned = sorted(sessions, key=lambda s: (s[1], s[2], s[0]))

    assert offers(history(sessions), ALL, NOW) == offers(history(turned), ALL, NOW)


@given(st.lists(SESSION, max_size=20), SESSION)
def test_a_session_more_that_is_covered_never_lowers_what_is_expected(
    sessions: list[tuple[int, int, int]], more: tuple[int, int, int]
) -> None:
    seen = [(0, 1_000, 60), *sessions]  # known from the first hour on, so that the history is no longer with it

    for one in ALL:
        before, after = judge(history(seen), one, NOW), judge(history([*seen, more]), one, NOW)
        assert after.expected >= before.expected - 1  # a cap is cut at a whole Wh
        assert after.worst >= before.worst - 1


@given(st.lists(SESSION, min_size=1, max_size=20), SESSION)
def test_a_session_more_that_is_not_covered_changes_nothing(
    sessions: list[tuple[int, int, int]], more: tuple[int, int, int]
) -> None:
    seen = [(0, 1_000, 60), *sessions]
    elsewhere = product("p", 5_000, 100_000, stations=["S1"])
    other = history([more])[0]._replace(station_id="S2")

    before, after = judge(history(seen), elsewhere, NOW), judge([*history(seen), other], elsewhere, NOW)

    assert (before.expected, before.worst, before.gain) == (after.expected, after.worst, after.gain)


@given(st.lists(SESSION, max_size=20))
def test_nobody_loses_more_than_the_price(sessions: list[tuple[int, int, int]]) -> None:
    for one in ALL:
        found = judge(history(sessions), one, NOW)
        assert -one.price_minor <= found.worst <= found.expected
        assert 0 <= found.gain <= 1


@given(st.lists(SESSION, min_size=1, max_size=12), st.permutations([P1, P2, P3, P4]))
def test_nothing_but_figures_orders_what_is_offered(sessions: list[tuple[int, int, int]], shelf: list[object]) -> None:
    assert offers(history(sessions), shelf, NOW) == offers(history(sessions), ALL, NOW)  # type: ignore[arg-type]


def test_an_offer_says_what_it_is_made_of() -> None:
    offer = judge(night_driver(), P1, NOW)

    assert (offer.windows, offer.gain, offer.covered, offer.used) == (29, Fraction(1), 160_000, 160_000)
    assert BASE.currency == offer.product.currency


def test_a_driver_who_is_known_for_longer_is_judged_on_days_without_charging_too() -> None:
    driver = weeks(NOW, 22, 8_000, WEEKDAYS, count=2)

    known = judge(driver, P1, NOW, since=NOW - timedelta(days=300))

    assert (known.extrapolated, known.windows) == (False, 29)
    assert known.expected < judge(driver, P1, NOW).expected


def test_a_providers_voucher_counts_at_its_own_stations() -> None:
    own = product("p", 100, 10**6)._replace(provider_id="P")
    driver = night_driver()

    assert judge(driver, own, NOW).expected == -100
    assert judge([one._replace(provider_id="P") for one in driver], own, NOW).expected == 48_000 - 100


@pytest.mark.parametrize(
    ("sessions", "days", "word"),
    [(12, 56, "high"), (11, 56, "medium"), (40, 49, "medium"), (4, 14, "medium"), (3, 56, "low"), (40, 7, "low")],
)
def test_what_rests_on_little_is_said_to(sessions: int, days: int, word: str) -> None:
    assert confidence(sessions, days) == word


def test_who_is_hardly_known_is_judged_by_others_too() -> None:
    own, cohort = judge(night_driver(), P1, NOW), judge(weekend_driver(), P1, NOW)

    assert (own.expected, cohort.expected) == (9_300, -9_900)
    assert blend(own, cohort, 0) == own._replace(expected=-9_900, worst=-9_900, gain=Fraction(0))
    assert blend(own, cohort, 6).expected == -300
    assert blend(own, cohort, 3).gain == Fraction(1, 3)


@given(st.integers(0, 50))
def test_with_every_session_the_own_counts_more(sessions: int) -> None:
    own, cohort = judge(night_driver(), P1, NOW), judge(weekend_driver(), P1, NOW)

    less, more = blend(own, cohort, sessions), blend(own, cohort, sessions + 1)

    assert cohort.expected <= less.expected <= more.expected <= own.expected


def test_all_fees_of_the_last_session_that_a_voucher_covers_are_waived() -> None:
    fees = [{"type": "FLAT", "price": 1_000, "vat": 10}, {"type": "TIME", "price": 600, "vat": 10}]
    waived = product("p", 0, 2, days=7, unit="cnt", effect={"kind": "fee_waived", "fees": ["FLAT", "TIME"]})
    driver = weeks(NOW, 22, 8_000, set(range(7)), of=tariff(300, "KRW", {"price_components": fees}))

    assert judge(driver, waived, NOW).worst == 2 * 1_600
