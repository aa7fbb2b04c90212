"""Sessions on vouchers are stopped in time, and what was seen to go wrong stays mended, on a real database."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from csms.domain import decide, spending
from csms.domain.events import BillCorrected, ReviewDecided, SpendingChecked
from tests import make
from tests.flows.voucher_shop import balance, bill, in_order, sell, used
from tests.make import ANN, BOB, NOON, SUE, Told, after, ended, metered, presented, started, verdict


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def test_a_gateway_that_remembers_nothing_still_stops_a_session_on_a_voucher_alone(dsn: str, conn: Any) -> None:
    await sell(conn, "bob", wh=4_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
    async with Told(dsn) as told:
        await told.tell(metered(minutes=10, wh=2_500))
        await told.tell(metered(minutes=20, wh=4_500))
        await told.tell(presented())  # the look at its spending was put on the road before this

    assert "spent" in await conn.fetchval("select flags from session")


async def test_it_is_not_looked_at_with_every_reading_while_the_voucher_reaches(
    dsn: str, conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    real = spending.checked
    monkeypatch.setitem(decide.DECIDERS, SpendingChecked, lambda *about: looks.append(1) or real(*about))
    await sell(conn, "bob", wh=100_000, price=1_000)

    async with Told(dsn) as told:
        await told.tell(started(token=BOB))
        for minute in range(1, 15):
            await told.tell(metered(minutes=minute, wh=1_000 + 100 * minute))
            await told.tell(presented())

    assert len(looks) < 4


async def test_a_free_voucher_too_gets_back_what_it_gave(dsn: str, conn: Any) -> None:
    voucher_id = await sell(conn, price=0)

    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended())
        [answer] = await told.tell(BillCorrected("S1", "r1", after(90), 1, 9_000, None, "meter", "staff"))

    assert answer.status == "accepted"
    assert await used(conn, voucher_id) == (9_000, 0, 1)
    assert await balance(conn, "driver:ann:balance") == 50_000
    await in_order(conn)


async def test_a_voucher_of_energy_stands_in_for_no_fee_of_another_kind(dsn: str, conn: Any) -> None:
    document = json.loads(await conn.fetchval("select document from tariff"))
    document["elements"][0]["price_components"].append({"type": "FLAT", "price": 500, "vat": 10})
    await conn.execute("alter table tariff disable trigger all")
    await conn.execute("update tariff set document = $1", json.dumps(document))
    await sell(conn, "bob")

    async with Told(dsn) as told:
        [shown] = await told.tell(presented(BOB))
        [begun] = await told.tell(started(token=BOB))

    assert (shown.reason, begun.reason) == ("no_credit", "no_credit")


async def test_a_station_whose_clock_lags_begins_with_a_voucher_that_was_just_bought(dsn: str, conn: Any) -> None:
    await sell(conn, "bob")  # an hour before noon

    async with Told(dsn) as told:
        lagging = NOON - timedelta(hours=2)
        [begun] = await told.tell(started(token=BOB, at=lagging, received_at=NOON))
        late = started("r2", token=BOB, at=lagging, received_at=NOON, offline=True, connector=2)
        await told.tell(late)
        await told.tell(ended("r2", minutes=-60))

    assert begun.status == "accepted"
    assert (await bill(conn, "r2"))["total_minor"] == 3_000  # it began before the voucher was bought


async def test_a_refused_ask_of_a_psp_can_be_reviewed_though_its_driver_has_vouchers(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        told.send(started(token=SUE))
        await told.tell(presented(ANN))
        sue = verdict(told.asks[0])
        await told.tell(sue)
        await told.tell(ended())
    await sell(conn, sue.driver_id)
    await conn.execute(
        "insert into token (key, type, psp, issuer, subject, station_id, single_use, created_at)"
        " select sha256('second'), 'social', 'social', issuer, subject, 'S1', true, now() from token"
        " where subject = 'sue'"
    )

    async with Told(dsn) as told:
        told.send(started("r2", token="second"))
        await told.tell(presented(ANN))
        await told.tell(verdict(told.asks[0], "declined"))
        [answer] = await told.tell(ReviewDecided("S1", "r2", after(30), "release", None, "seen", "staff"))

    assert answer.status == "refused"
    assert answer.reason != "parked"


async def test_what_a_voucher_pays_needs_no_budget(dsn: str, conn: Any) -> None:
    await sell(conn)
    await conn.execute(
        "insert into token_budget (token_key, period, currency, limit_minor, time_zone)"
        " values (sha256('A0A0A0A0'), 'day', 'KRW', 0, 'UTC')"
    )

    async with Told(dsn) as told:
        [shown] = await told.tell(presented())
        [begun] = await told.tell(started())
        [over] = await told.tell(ended())

    assert (shown.status, begun.status, over.fee_minor) == ("accepted", "accepted", 0)
    await in_order(conn)


async def test_a_station_that_counts_without_the_voucher_is_no_mismatch(dsn: str, conn: Any) -> None:
    await sell(conn)

    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended(fee_text="3000"))

    assert await conn.fetchval("select count(*) from exception where kind = 'cost_mismatch'") == 0
