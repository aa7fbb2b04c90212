"""Why a voucher is offered is said in numbers and in words, in English and in Korean (V03)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.offer_words import Known, Language, money_text, reasons, share_text, text
from csms.domain.offers import Offer, judge
from tests.domain.histories import P1, P2, P4, product, visit, weeks

NOW = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HIGH = Known(40, 56, "high")
NIGHTS = judge(weeks(NOW, 22, 8_000, {0, 1, 2, 3, 4}), P1, NOW)


def test_what_is_saved_is_said_with_its_price_and_what_it_covers() -> None:
    assert text(NIGHTS, HIGH) == (
        "On your last 8 weeks it would have saved 9,300 KRW per 28 days, its price of 9,900 KRW taken off."
        " It covers 160 of your 160 kWh."
    )
    assert text(NIGHTS, HIGH, "ko").startswith(
        "최근 8주 이용 기준으로 구매가 9,900 KRW을 빼고 28일마다 9,300 KRW을 절약"
    )


def test_what_would_have_cost_more_is_said_so() -> None:
    offer = judge(weeks(NOW, 22, 8_000, {0}), P4, NOW)

    assert "it would have cost you 29,400 KRW more per 28 days" in text(offer, HIGH)
    assert reasons(offer, HIGH)[0] == ("costs_more", {"minor": 29_400, "currency": "KRW", "days": 28})


def test_what_its_driver_still_has_is_said_to_be_no_recommendation() -> None:
    held = NIGHTS._replace(held=True)

    assert "have_one" in [reason.code for reason in reasons(held, HIGH)]
    assert "have_one" not in [reason.code for reason in reasons(NIGHTS, HIGH)]
    assert "You still have something left of one, so it is not recommended." in text(held, HIGH)
    assert "아직 남아 있어" in text(held, HIGH, "ko")


def test_the_worst_case_and_a_gain_that_is_rare_are_not_hidden() -> None:
    lucky = judge([visit(NOW - timedelta(days=1), 60_000), visit(NOW - timedelta(days=56), 0)], P2, NOW)
    lucky = lucky._replace(expected=100, worst=-7_900, gain=Fraction(59_999, 100_000))

    said, codes = text(lucky, HIGH), {reason.code: reason.numbers for reason in reasons(lucky, HIGH)}

    assert "In the worst period it would have cost 7,900 KRW more." in said
    assert "It would have paid off in 59 % of the periods only, so it is not recommended." in said
    assert codes["worst_case"]["minor"] == -7_900
    assert codes["saves_too_rarely"] == {"gain": "0.5999", "needed": "0.6"}


def test_what_rests_on_little_says_on_how_little() -> None:
    offer = judge([visit(NOW - timedelta(days=3), 8_000)], P4, NOW)
    known = Known(1, 3, "low")

    assert "You are known for less than 28 days" in text(offer, known)
    assert text(offer, known).endswith("This rests on 1 session only.")
    assert {"extrapolated", "confidence_low"} <= {reason.code for reason in reasons(offer, known)}


def test_who_is_not_known_is_told_so() -> None:
    offer = judge([], P2, NOW)

    assert text(offer, Known(0, 0, "low")).startswith("Nothing is known yet of how you charge.")
    assert [reason.code for reason in reasons(offer, Known(0, 0, "low"))] == ["no_history"]


def test_that_others_are_counted_in_is_said() -> None:
    known = Known(2, 10, "low", cohort=24)

    assert "What 24 drivers like you charge was counted in." in text(NIGHTS, known)
    assert ("others_like_you", {"drivers": 24, "own_weight": "0.25"}) in reasons(NIGHTS, known)
    assert text(judge([], P2, NOW), known).startswith("On what drivers like you charge")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("unit", ["wh", "sec", "cnt", "val"])
@given(
    st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.fractions(0, 1), st.integers(0, 29), st.booleans()
)
def test_every_offer_has_words(
    language: Language, unit: object, expected: int, worst: int, gain: Fraction, windows: int, tiled: bool
) -> None:
    sold = product("p", 500, 10)._replace(unit=unit)  # type: ignore[arg-type]
    offer = Offer(sold, expected, worst, gain, windows, tiled, covered=100, used=200)

    for known in (HIGH, Known(1, 3, "low"), Known(1, 3, "low", 20)):
        assert 20 < len(text(offer, known, language)) < 600
        assert reasons(offer, known)


def test_money_and_shares_are_written_to_be_read() -> None:
    assert [money_text(-123_456, currency) for currency in ("KRW", "USD")] == ["123,456 KRW", "1,234.56 USD"]
    assert [share_text(Fraction(n, 3)) for n in range(4)] == ["0", "0.3333", "0.6666", "1"]
