"""What a session has cost so far, on request of the edge; and a station's own fee, compared with the bill."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from csms.domain.quote import prices_at, quote_at
from csms.domain.session import Station
from csms.domain.station_cost import mismatch
from csms.domain.world import Rules, World
from csms.flows.tariffs import TariffSpec, add_tariff
from tests import make
from tests.make import NOON, Told, ended, metered, presented, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def test_a_running_session_costs_what_a_bill_would_say_now(dsn: str) -> None:
    async with Told(dsn) as told:
        await told.tell(started())
        quiet, asked = await told.tell_apart([metered(), metered(minutes=30, wh=6_000)._replace(wants_cost=True)])
    assert quiet.running is None
    assert asked.running is not None
    assert (asked.running.minor, asked.running.currency, asked.running.meter_wh) == (1_500, "KRW", 6_000)
    assert asked.running.prices.kwh == 300
    assert (asked.ref, asked.fee_minor) == ("r1", None)


async def test_the_cost_so_far_is_never_above_what_is_held(dsn: str) -> None:
    async with Told(dsn) as told:
        await told.tell(started())
        (asked,) = await told.tell(metered(minutes=30, wh=151_000)._replace(wants_cost=True))
    assert asked.running is not None
    assert asked.running.minor == 30_000


async def test_a_tariff_by_hours_is_priced_by_all_readings(dsn: str, conn: Any) -> None:
    night = {"price_components": [{"type": "ENERGY", "price": 100}], "restrictions": {"start_time": "21:15"}}
    document = {
        "id": "T",
        "currency": "KRW",
        "tax_included": "YES",
        "elements": [night, {"price_components": [{"type": "ENERGY", "price": 500}]}],
    }
    await add_tariff(conn, TariffSpec(document, json.dumps(document), "P"), NOON)
    async with Told(dsn) as told:  # noon UTC is 21:00 in Seoul
        await told.tell(started())
        await told.tell(metered(minutes=10, wh=2_000))
        (asked,) = await told.tell(metered(minutes=20, wh=4_000)._replace(wants_cost=True))
        (over,) = await told.tell(ended(minutes=30, wh=5_000))
    assert asked.running is not None
    assert asked.running.minor == 500 + 500 + 100
    assert asked.running.prices.kwh == 100
    assert over.fee_minor == 1_200


async def test_parking_after_charging_is_told_by_readings_and_billed(dsn: str, conn: Any) -> None:
    components = [{"type": "ENERGY", "price": 100}, {"type": "PARKING_TIME", "price": 600}]
    document = {"id": "T", "currency": "KRW", "tax_included": "YES", "elements": [{"price_components": components}]}
    await add_tariff(conn, TariffSpec(document, json.dumps(document), "P"), NOON)
    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(metered(minutes=30, wh=11_000))
        (over,) = await told.tell(ended(minutes=60, wh=11_000))
    assert over.fee_minor == 1_000 + 300
    lines = json.loads(await conn.fetchval("select lines from bill"))
    assert [(line["dimension"], line["element"], line["start"], line["quantity"]) for line in lines] == [
        ("ENERGY", 0, "2026-11-20T12:00:00Z", "10000"),
        ("PARKING_TIME", 0, "2026-11-20T12:30:00Z", "1800"),
    ]


async def test_a_start_and_an_authorize_tell_what_a_use_is_priced_by(dsn: str) -> None:
    async with Told(dsn) as told:
        (shown,) = await told.tell(presented())
        (first,) = await told.tell(started())
        (over,) = await told.tell(ended())
    for outcome in (shown, first):
        assert outcome.quote is not None
        assert (outcome.quote.name, outcome.quote.zone) == ("T/1", "Asia/Seoul")
        assert prices_at(outcome.quote, NOON).kwh == 300
    assert over.quote is None


async def test_a_station_without_a_tariff_quotes_nothing() -> None:
    bare = Station("BARE", "charger", "P", None, 1, None, {})
    assert quote_at(World(Rules(policies={})), bare) is None


@pytest.mark.parametrize(("fee", "flags"), [("3000", []), ("3001.0", []), ("3002", ["cost_mismatch"]), ("nan", [])])
async def test_a_fee_of_the_station_that_differs_is_flagged_and_listed(
    dsn: str, conn: Any, fee: str, flags: list[str]
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(), ended(fee_text=fee)])
    assert await conn.fetchval("select flags from bill") == flags
    assert await conn.fetchval("select flags from session") == flags
    listed = await conn.fetch("select details from exception where kind = 'cost_mismatch'")
    assert len(listed) == len(flags)
    for row in listed:
        details = json.loads(row["details"])
        assert (details["station_says"], details["we_say"], details["currency"]) == (fee, "3000", "KRW")


@pytest.mark.parametrize("cents", [-2, -1, 0, 1, 2])
def test_one_minor_unit_of_difference_is_rounding(cents: int) -> None:
    told = str(Decimal(1_234 + cents) / 100)
    assert (mismatch(told, "EUR", 1_234) is None) == (abs(cents) <= 1)
    assert Fraction(told) * 100 == 1_234 + cents


@pytest.mark.parametrize("text", ["", "three", "inf", "1e999999", "NaN"])
def test_what_is_no_amount_says_nothing(text: str) -> None:
    assert mismatch(text, "KRW", 100) is None
