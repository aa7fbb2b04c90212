"""What makes choosing quick changes no answer: quarters taken together, whole numbers, caches (V02, V03)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain import charge_pieces, visits
from csms.domain.offer_takes import Product, Visit
from csms.domain.offers import judge_all
from csms.domain.pack_rows import Unit
from csms.domain.quarter_pieces import EPOCH, QUARTER_US, Quarter
from csms.domain.tariff import Tariff
from csms.domain.tariff_periods import MICROSECOND
from csms.domain.visits import Place, charged
from tests.domain import plain_offers
from tests.domain.histories import BASE, product, tariff

NOW = datetime(2026, 11, 20, 9, 17, 3, 123_456, tzinfo=UTC)
"""Within the 56 days before, clocks were set in Los Angeles, Berlin and on Lord Howe Island."""
BEGIN = visits.begin(NOW)
BEGIN_US = (BEGIN - EPOCH) // MICROSECOND
zones = st.sampled_from(
    [None, "Asia/Seoul", "America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"]
)


def element(*prices: tuple[str, float], **restrictions: Any) -> dict[str, Any]:
    components = [{"type": kind, "price": price, "vat": 7} for kind, price in prices]
    return {"price_components": components, "restrictions": restrictions}


TARIFFS = (
    BASE,
    tariff(0.4, "USD", element(("ENERGY", 0.6), start_time="16:00", end_time="21:00")),
    tariff(
        0.137, "USD",
        element(("ENERGY", 0.137), ("FLAT", 0.9), start_time="17:15", end_time="21:30", day_of_week=["MONDAY"]),
        element(("TIME", 1.25), start_time="22:00", end_time="06:00"),
        element(("PARKING_TIME", 2.4), day_of_week=["SATURDAY"]),
    ),
    tariff(300, "KRW", element(("TIME", 600), ("PARKING_TIME", 900), ("FLAT", 1_000))),
    tariff(300, "KRW", element(("ENERGY", 200), max_kwh=9.5), element(("TIME", 60), start_time="02:07")),
    tariff(300, "KRW", element(("PARKING_TIME", 900), min_power=0), element(("ENERGY", 350), min_power=11)),
)  # fmt: skip
BY_QUARTERS = TARIFFS[:4]
"""The last two change within quarters, and cut them: a part of a Wh may be what is left."""

run = st.tuples(st.integers(1, 96), st.sampled_from((0, 1, 1_000, 1_850)) | st.integers(0, 30_000), st.integers(0, 900))
sessions = st.lists(
    st.tuples(st.integers(0, 7 * 24 * 3_600 * 1_000_000), st.lists(run, min_size=1, max_size=4)), min_size=1, max_size=8
)
"""Each: how long after the end of the one before it begins (us), and (so many quarters, Wh, seconds in each)."""


def dates(first: int, last: int) -> st.SearchStrategy[str]:
    return st.integers(first, last).map(lambda day: f"{BEGIN + timedelta(days=day):%Y-%m-%d}")


conditions = st.fixed_dictionaries(
    {},
    optional={
        "start_time": st.sampled_from(["00:15", "07:00", "21:00"]),
        "end_time": st.sampled_from(["06:30", "12:00", "23:45"]),
        "day_of_week": st.sampled_from([["SATURDAY", "SUNDAY"], ["MONDAY", "WEDNESDAY", "FRIDAY"]]),
        "start_date": dates(0, 28),
        "end_date": dates(29, 57),
        "min_power": st.sampled_from([0, 3.7005]),
        "max_power": st.sampled_from([7, 7.4]),
        "stations": st.just(["S1"]),
    },
)
effects: st.SearchStrategy[tuple[Unit, Any]] = st.sampled_from(
    [
        ("wh", None), ("wh", {"kind": "percent_off", "percent": 40}), ("wh", {"kind": "percent_off", "percent": 33.3}),
        ("wh", {"kind": "flat_rate", "price": 0.36}), ("wh", {"kind": "flat_rate", "price": 210}),
        ("sec", None), ("sec", {"kind": "percent_off", "percent": 7}), ("val", None),
        ("cnt", {"kind": "fee_waived", "fees": ["FLAT"]}),
        ("cnt", {"kind": "fee_waived", "fees": ["FLAT", "TIME", "PARKING_TIME"]}),
    ]
)  # fmt: skip


@st.composite
def products(draw: st.DrawFn) -> Product:
    unit, effect = draw(effects)
    found = product(
        "p", draw(st.integers(0, 20_000)), draw(st.integers(1, 6) if unit == "cnt" else st.integers(1, 200_000)),
        days=draw(st.sampled_from((1, 7, 28, 56, 60))), unit=unit, effect=effect,
        uses_max=draw(st.none() | st.integers(1, 5)), currency=draw(st.sampled_from(("KRW", "USD"))),
        **draw(conditions),
    )  # fmt: skip
    return found._replace(provider_id=draw(st.sampled_from((None, None, "P"))))


shelves = st.lists(products(), min_size=1, max_size=4)


def laid(told: list[tuple[int, list[tuple[int, int, int]]]], *, overlapping: bool) -> list[list[Quarter]]:
    """These sessions in quarters, one after the other, or all from the begin of the history on."""
    found: list[list[Quarter]] = []
    at_us = BEGIN_US
    for wait_us, runs in told:
        at_us = (BEGIN_US if overlapping else at_us) + wait_us
        session: list[Quarter] = []
        for wh, seconds in ((wh, seconds) for count, wh, seconds in runs for _ in range(count)):
            until_us = (at_us // QUARTER_US + 1) * QUARTER_US
            session.append((at_us, wh, min(seconds, (until_us - at_us) // 1_000_000)))
            at_us = until_us
        found.append(session)
    return found


def both(
    told: list[list[Quarter]], of: Tariff, zone: str | None, asked: list[Product]
) -> tuple[list[Visit], list[Visit]]:
    """As it is done, and each quarter cut for itself."""
    cuts = visits.cuts(asked)
    quick, plain = [], []
    for place, quarters in enumerate(told):
        where = Place(f"S{place % 2}", None, "P" if place % 3 else None, zone, of)
        quick.append(visits.kept(quarters, where, cuts, NOW))
        periods = [charged(EPOCH + at_us * MICROSECOND, seconds, wh) for at_us, wh, seconds in quarters]
        plain.append(quick[-1]._replace(pieces=tuple(charge_pieces.pieces(periods, of, zone, cuts))))
    return quick, plain


@settings(deadline=None)
@given(sessions, st.sampled_from(TARIFFS), zones, shelves, st.booleans())
def test_quarters_that_are_taken_together_change_no_offer(
    told: list[Any], of: Tariff, zone: str | None, asked: list[Product], overlapping: bool
) -> None:
    quick, plain = both(laid(told, overlapping=overlapping), of, zone, asked)

    assert judge_all(quick, asked, NOW) == judge_all(plain, asked, NOW)


@settings(deadline=None)
@given(sessions, st.sampled_from(BY_QUARTERS), zones, shelves, st.integers(0, 60))
def test_offers_are_what_going_through_every_window_says(
    told: list[Any], of: Tariff, zone: str | None, asked: list[Product], days: int
) -> None:
    quick, plain = both(laid(told, overlapping=False), of, zone, asked)
    since = NOW - timedelta(days=days)

    assert judge_all(quick, asked, NOW, since) == [plain_offers.judge(plain, one, NOW, since) for one in asked]
