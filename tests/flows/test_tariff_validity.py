"""Versions of a tariff: each is used while it is valid, and no two may be valid at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from csms.base.errors import Refused
from csms.flows.tariffs import TariffSpec, add_tariff
from tests import make
from tests.make import NOON, Told, after, ended, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


def priced(price: int, **members: Any) -> Mapping[str, Any]:
    """A version of the station's tariff: an amount per kWh."""
    elements = [{"price_components": [{"type": "ENERGY", "price": price}]}]
    return {"id": "T", "currency": "KRW", "tax_included": "YES", "elements": elements, **members}


async def add(conn: Any, document: Mapping[str, Any]) -> tuple[int, bool]:
    _, version, is_new = await add_tariff(conn, TariffSpec(document, json.dumps(document), "P"), NOON)
    return version, is_new


def later(minutes: float) -> str:
    return after(minutes).isoformat()


async def fee(dsn: str, ref: str, minutes: float, **fields: Any) -> int | None:
    """What 1 kWh costs that is charged from then on."""
    began = started(ref, at=after(minutes), **fields)
    over = ended(ref, at=after(minutes + 10), received_at=began.received_at + timedelta(minutes=10), meter_wh=2_000)
    async with Told(dsn) as told:
        *_, last = await told.tell_apart([began, over])
    return last.fee_minor


async def test_a_version_prices_what_starts_while_it_is_valid(dsn: str, conn: Any) -> None:
    await add(conn, priced(500, start_date_time=later(60), end_date_time=later(120)))
    assert await fee(dsn, "before", 59) == 300
    assert await fee(dsn, "first", 60) == 500
    assert await fee(dsn, "across", 119) == 500
    assert await fee(dsn, "after", 120) == 300


async def test_what_began_offline_is_priced_by_the_version_of_that_time(dsn: str, conn: Any) -> None:
    await add(conn, priced(500, start_date_time=later(60)))
    assert await fee(dsn, "late", 30, offline=True, received_at=after(300)) == 300


async def test_versions_that_are_valid_at_once_are_refused(conn: Any) -> None:
    assert await add(conn, priced(500, start_date_time=later(60), end_date_time=later(120))) == (2, True)
    for members, field in (
        ({"start_date_time": later(119)}, "/start_date_time"),
        ({"end_date_time": later(61)}, "/end_date_time"),
        ({"start_date_time": later(0), "end_date_time": later(300)}, "/start_date_time"),
    ):
        with pytest.raises(Refused, match="overlapping validity: version 2 of T") as refusal:
            await add(conn, priced(600, **members))
        assert refusal.value.field == field
    assert await conn.fetchval("select max(version) from tariff where id = 'T'") == 2


async def test_versions_may_follow_each_other_and_be_repeated(conn: Any) -> None:
    first = priced(500, start_date_time=later(60), end_date_time=later(120))
    assert await add(conn, first) == (2, True)
    assert await add(conn, first) == (2, False)
    assert await add(conn, priced(600, start_date_time=later(120))) == (3, True)
    assert await add(conn, priced(700)) == (4, True)


async def test_a_station_whose_tariff_is_not_valid_serves_nobody(dsn: str, conn: Any) -> None:
    await conn.execute("update station set tariff_id = 'V' where id = 'S1'")
    document = {**priced(1, end_date_time=later(0)), "id": "V"}
    await add_tariff(conn, TariffSpec(document, json.dumps(document), "P"), NOON)
    async with Told(dsn) as told:
        (first,) = await told.tell(started("none"))
    assert first.status != "accepted"
