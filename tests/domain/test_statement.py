"""The rules of statements: periods without gaps, nothing lost between them, remittances that move one way."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Conflict, Refused
from csms.domain import statement

ZONES = (
    "Asia/Seoul", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Beirut", "UTC",
    "America/Havana", "Asia/Kathmandu", "Pacific/Chatham",
)  # fmt: skip


def test_a_month_begins_at_midnight_of_the_providers_zone() -> None:
    november = statement.period(date(2026, 11, 1), date(2026, 12, 1), "Asia/Seoul")
    assert november.starts_at == datetime(2026, 10, 31, 15, tzinfo=UTC)
    assert november.ends_at == datetime(2026, 11, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("month", "hours"), [("2026-03", 743), ("2026-10", 745), ("2026-11", 720)], ids=["spring", "autumn", "neither"]
)
def test_a_month_with_a_change_of_clocks_is_an_hour_shorter_or_longer(month: str, hours: int) -> None:
    period = statement.period(*statement.month(month), "Europe/Berlin")
    assert period.ends_at - period.starts_at == timedelta(hours=hours)


def test_a_midnight_that_the_clocks_leave_out_is_the_instant_of_their_change() -> None:
    # Sao Paulo went from 23:59:59 on 3 November 2018 to 01:00 on the 4th.
    day = statement.period(date(2018, 11, 4), date(2018, 11, 5), "America/Sao_Paulo")
    assert day.starts_at == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert day.ends_at - day.starts_at == timedelta(hours=23)


@given(zone=st.sampled_from(ZONES), year=st.integers(2005, 2035))
def test_every_instant_of_a_year_is_in_exactly_one_month(zone: str, year: int) -> None:
    months = [statement.period(*statement.month(f"{year}-{n:02}"), zone) for n in range(1, 13)]
    for one, next_one in pairwise(months):
        assert one.ends_at == next_one.starts_at
        assert one.starts_at < one.ends_at
    whole = statement.period(date(year, 1, 1), date(year + 1, 1, 1), zone)
    assert (months[0].starts_at, months[-1].ends_at) == (whole.starts_at, whole.ends_at)


@pytest.mark.parametrize(
    ("first", "last", "why"),
    [
        (date(2026, 11, 2), date(2026, 11, 2), "before it ends"),
        (date(2026, 11, 3), date(2026, 11, 2), "before it ends"),
        (date(2026, 1, 1), date(2027, 1, 3), "at most"),
        (date(2011, 12, 30), date(2011, 12, 31), "leave these days out"),
        (date(1, 1, 1), date(1, 1, 2), "years are"),
        (date(9999, 12, 30), date(9999, 12, 31), "years are"),
    ],
)
def test_a_period_without_time_or_too_long_is_refused(first: date, last: date, why: str) -> None:
    with pytest.raises(Refused, match=why):
        statement.period(first, last, "Pacific/Apia")


@pytest.mark.parametrize("text", ["2026-13", "2026", "", "11-2026", "2026-11-01", "9999-12"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        statement.month(text)


def test_december_ends_in_the_next_year() -> None:
    assert statement.month("2026-12") == (date(2026, 12, 1), date(2027, 1, 1))


amounts = st.integers(-(10**12), 10**12)


@given(opening=amounts, run=amounts, adjustments=amounts, minimum=st.integers(0, 10**12))
def test_what_is_due_is_remitted_or_carried_over_and_never_asked_back(
    opening: int, run: int, adjustments: int, minimum: int
) -> None:
    due = statement.close(opening, run, adjustments, minimum)
    assert due.due_minor == opening + run + adjustments == due.remitted_minor + due.carried_minor
    assert due.remitted_minor in (0, due.due_minor)
    assert due.remitted_minor >= 0
    assert (due.remitted_minor > 0) == (due.due_minor > 0 and due.due_minor >= minimum)


@given(shares=st.lists(amounts, max_size=12), minimum=st.integers(0, 10**9))
def test_over_any_number_of_statements_all_shares_are_remitted_but_what_is_carried(
    shares: list[int], minimum: int
) -> None:
    carried, remitted = 0, 0
    for share in shares:
        due = statement.close(carried, share, 0, minimum)
        carried, remitted = due.carried_minor, remitted + due.remitted_minor
    assert remitted + carried == sum(shares)


def test_an_attempt_ends_once_and_what_came_back_stays_back() -> None:
    assert [statement.ended("submitted", word) for word in ("paid", "failed", "returned")] == [
        "paid", "failed", "failed",
    ]  # fmt: skip
    assert statement.ended("failed", "paid") == "paid"
    assert statement.ended("paid", "returned") == statement.ended("paid", "failed") == "returned"
    for state, word in (("paid", "paid"), ("failed", "failed"), ("failed", "returned"), ("returned", "paid")):
        assert statement.ended(state, word) is None  # type: ignore[arg-type]


def test_staff_pay_by_hand_only_what_no_psp_may_still_pay() -> None:
    for state in ("open", "failed", "returned"):
        statement.may_pay_by_hand(state)  # type: ignore[arg-type]
    for state in ("submitted", "paid"):
        with pytest.raises(Conflict):
            statement.may_pay_by_hand(state)  # type: ignore[arg-type]
