"""Sessions that are kept in quarters of an hour come to the same pieces as by cutting them, or are cut."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csms.domain import charge_pieces, quarter_pieces, visits
from csms.domain.charge_pieces import Piece
from csms.domain.quarter_pieces import EPOCH, QUARTER_US
from csms.domain.tariff import Tariff
from csms.domain.tariff_periods import MICROSECOND
from csms.domain.visits import charged
from tests.domain.histories import BASE, P1, P2, tariff

HOURS = tariff(
    300,
    "KRW",
    {"price_components": [{"type": "ENERGY", "price": 500, "vat": 10}, {"type": "FLAT", "price": 900, "vat": 10}],
     "restrictions": {"start_time": "17:15", "end_time": "21:30", "day_of_week": ["MONDAY", "SUNDAY"]}},
    {"price_components": [{"type": "PARKING_TIME", "price": 600, "vat": 10}]},
)  # fmt: skip
PLUGGED = tariff(
    300,
    "KRW",
    {"price_components": [{"type": "TIME", "price": 600, "vat": 10}, {"type": "FLAT", "price": 1, "vat": 0}]},
)
ASKED = visits.cuts((P1, P2))
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MONDAY_US = (MONDAY - EPOCH) // MICROSECOND
QUARTERS = st.lists(st.integers(0, 6_000), min_size=1, max_size=40)


def joined(found: Iterable[Piece]) -> list[tuple[Any, ...]]:
    """What each Wh, second and fee costs, and which conditions it meets: one entry as far as it is the same."""
    whole: list[tuple[Any, ...]] = []
    for dimension, low, high, incl, excl, state in sorted(found, key=lambda piece: (piece.dimension, piece.low)):
        same = (dimension, incl, excl, *(asked.met(state) for asked in ASKED))
        if whole and whole[-1][1:] == (low, *same):
            low = whole.pop()[0]
        whole.append((low, high, *same))
    return whole


@given(
    st.integers(0, 60 * 24 * 60 * 60), QUARTERS, st.sampled_from([BASE, HOURS, PLUGGED]),
    st.sampled_from([None, "Asia/Seoul", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)  # fmt: skip
def test_the_pieces_of_quarters_are_those_of_the_session_cut(
    start_s: int, energy: list[int], of: Tariff, zone: str | None
) -> None:
    first, start_us = 900 - start_s % 900, MONDAY_US + start_s * 1_000_000
    times = [start_us, *(start_us + (first + 900 * place) * 1_000_000 for place in range(len(energy) - 1))]
    quarters = [(at_us, wh, first if at_us == start_us else 900) for at_us, wh in zip(times, energy, strict=True)]

    found = quarter_pieces.pieces(quarters, of, zone, ASKED, MONDAY)

    assert found is not None
    cut = [charged(EPOCH + at_us * MICROSECOND, seconds, wh) for at_us, wh, seconds in quarters]
    assert joined(found) == joined(charge_pieces.pieces(cut, of, zone, ASKED))


def test_quarters_that_differ_in_nothing_are_one_piece_to_the_end_of_a_day_of_the_history() -> None:
    now = MONDAY + timedelta(days=9, hours=1)
    quarters = [(MONDAY_US + place * QUARTER_US, 250, 900) for place in range(8)]

    found = quarter_pieces.pieces(quarters, BASE, None, ASKED, now)

    assert found is not None
    assert [(piece.low, piece.high, piece.state.elapsed_s) for piece in found] == [(0, 1_000, 0), (1_000, 2_000, 3_600)]


def test_what_changes_within_a_quarter_or_by_amounts_has_to_be_cut() -> None:
    quarter = (MONDAY_US, 1_000, 900)
    at_odd = {"price_components": [{"type": "ENERGY", "price": 1, "vat": 0}], "restrictions": {"start_time": "17:10"}}
    by_amount = {"price_components": [{"type": "ENERGY", "price": 1, "vat": 0}], "restrictions": {"min_kwh": 1}}

    assert quarter_pieces.pieces([quarter], BASE, None, ASKED, MONDAY) is not None
    assert quarter_pieces.pieces([quarter], tariff(300, "KRW", at_odd), None, ASKED, MONDAY) is None
    assert quarter_pieces.pieces([quarter], tariff(300, "KRW", by_amount), None, ASKED, MONDAY) is None
    assert quarter_pieces.pieces([(MONDAY_US, 1_000, 901)], BASE, None, ASKED, MONDAY) is None
