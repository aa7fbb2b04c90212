"""Sessions that are kept in quarters of an hour come to the same pieces as by cutting them, or are cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from csms.domain import charge_pieces, quarter_pieces
from csms.domain.tariff import Tariff
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
ASKED = [one.terms.conditions.restrictions for one in (P1, P2) if one.terms.conditions.restrictions is not None]
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
QUARTERS = st.lists(st.integers(0, 6_000), min_size=1, max_size=40)


@given(
    st.integers(0, 60 * 24 * 60 * 60), QUARTERS, st.sampled_from([BASE, HOURS, PLUGGED]),
    st.sampled_from([None, "Asia/Seoul", "America/Los_Angeles", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)  # fmt: skip
def test_the_pieces_of_quarters_are_those_of_the_session_cut(
    start_s: int, energy: list[int], of: Tariff, zone: str | None
) -> None:
    start = MONDAY + timedelta(seconds=start_s)
    first = 900 - start_s % 900
    begins = [start, *(start + timedelta(seconds=first + 900 * place) for place in range(len(energy) - 1))]
    periods = [charged(at, first if at is start else 900, wh) for at, wh in zip(begins, energy, strict=True)]

    found = quarter_pieces.pieces(periods, of, zone, ASKED)

    assert found is not None
    cut = charge_pieces.pieces(periods, of, zone, ASKED)
    assert [piece._replace(state=None) for piece in found] == [piece._replace(state=None) for piece in cut]  # type: ignore[arg-type]
    for asked in ASKED:
        assert [asked.met(piece.state) for piece in found] == [asked.met(piece.state) for piece in cut]


def test_what_changes_within_a_quarter_or_by_amounts_has_to_be_cut() -> None:
    period = charged(MONDAY, 900, 1_000)
    at_odd = {"price_components": [{"type": "ENERGY", "price": 1, "vat": 0}], "restrictions": {"start_time": "17:10"}}
    by_amount = {"price_components": [{"type": "ENERGY", "price": 1, "vat": 0}], "restrictions": {"min_kwh": 1}}

    assert quarter_pieces.pieces([period], BASE, None, ASKED) is not None
    assert quarter_pieces.pieces([period], tariff(300, "KRW", at_odd), None, ASKED) is None
    assert quarter_pieces.pieces([period], tariff(300, "KRW", by_amount), None, ASKED) is None
    assert quarter_pieces.pieces([charged(MONDAY, 901, 1_000)], BASE, None, ASKED) is None
