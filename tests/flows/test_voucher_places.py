"""Vouchers for sites with a tag and for one vehicle, on a real database: used, sold, forgotten (V06, V07)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.base.errors import Conflict
from csms.domain import token as tokens
from csms.domain.events import BillCorrected
from csms.flows import erase, gifts, parties, remote, vehicles, voucher_windows, vouchers
from csms.flows.gifts import BatchSpec
from csms.flows.remote import Start
from csms.flows.vehicles import Wish
from tests import make
from tests.flows.voucher_shop import balance, bill, in_order, sell, used
from tests.make import BOB, NOON, Told, after, ended, metered, presented, started

CAR, VAN = "0123456789AB", "BA9876543210"
DEPOT = {"tags": ["depot", "yard"]}
ONE = {"vehicle": True}


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    """S2 stands at a site of its own; Bob, who has no money, has a token for each of two vehicles."""
    await make.seed(conn)
    await conn.execute(
        "insert into site (id, provider_id, name, time_zone, created_at) values ('far', 'P', 'Far', 'UTC', now())"
    )
    await conn.execute("update station set site_id = 'far' where id = 'S2'")
    for text in (CAR, VAN):
        await conn.execute(
            "insert into token (key, value, type, driver_id, status, created_at)"
            " values ($1, $2, 'rfid', 'bob', 'accepted', now())",
            tokens.key(text), text,
        )  # fmt: skip


async def for_car(conn: Any, driver: str = "bob", **terms: Any) -> Any:
    """A voucher that counts for the car only."""
    return await sell(conn, driver, conditions={**ONE, **terms.pop("conditions", {})}, vehicle=CAR, **terms)


async def test_a_voucher_for_a_tag_pays_at_sites_that_have_it(dsn: str, conn: Any) -> None:
    await parties.change_site(conn, "site", {"tags": ["fast", "depot", "depot"]})
    voucher_id = await sell(conn, "bob", conditions=DEPOT)

    async with Told(dsn) as told:
        assert (await told.tell(presented(BOB)))[0].status == "accepted"
        assert (await told.tell(presented(BOB, station_id="S2")))[0].reason == "no_credit"
        await told.tell(started(token=BOB))
        [answer] = await told.tell(ended())
        [refused] = await told.tell(started("r2", token=BOB, station_id="S2"))

    assert (answer.fee_minor, refused.reason) == (0, "no_credit")
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    assert await conn.fetchval("select tags from site where id = 'site'") == ["depot", "fast"]
    await in_order(conn)


async def test_where_there_is_no_such_tag_the_tariff_counts(dsn: str, conn: Any) -> None:
    await parties.change_site(conn, "far", {"tags": ["fast"]})
    voucher_id = await sell(conn, conditions=DEPOT)

    async with Told(dsn) as told:
        await told.tell(started(station_id="S2"))
        [answer] = await told.tell(ended(station_id="S2"))

    assert answer.fee_minor == 3_000
    assert await used(conn, voucher_id) == (0, 0, 0)
    await in_order(conn)


async def test_a_change_of_tags_counts_for_sessions_that_begin_after_it(dsn: str, conn: Any) -> None:
    await parties.change_site(conn, "site", {"tags": ["depot"]})
    voucher_id = await sell(conn, conditions=DEPOT)

    async with Told(dsn) as told:
        await told.tell(started())
    await parties.change_site(conn, "site", {"tags": []})
    async with Told(dsn) as told:  # another process, which knows nothing of before
        await told.tell(metered())
        [covered] = await told.tell(ended())
        await told.tell(started("r2", at=after(90)))
        await parties.change_site(conn, "site", {"tags": ["depot"]})
        [normal] = await told.tell(ended("r2", minutes=120))

    assert (covered.fee_minor, normal.fee_minor) == (0, 3_000)
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_a_voucher_for_a_vehicle_pays_only_for_what_began_with_its_token(dsn: str, conn: Any) -> None:
    voucher_id = await for_car(conn)

    async with Told(dsn) as told:
        shown = [(await told.tell(presented(text)))[0] for text in (CAR, VAN, BOB)]
        [refused] = await told.tell(started("r0", token=VAN))
        await told.tell(started(token=CAR))
        [answer] = await told.tell(ended())

    assert [one.reason for one in shown] == [None, "no_credit", "no_credit"]
    assert (refused.reason, answer.fee_minor) == ("no_credit", 0)
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    await in_order(conn)


async def test_another_vehicle_of_its_driver_pays_the_tariff(dsn: str, conn: Any) -> None:
    voucher_id = await for_car(conn)
    await make.fund(conn, "bob", 50_000)

    async with Told(dsn) as told:
        own = [(await told.tell(presented(text)))[0].own is not None for text in (CAR, VAN)]
        await told.tell(started(token=VAN))
        [answer] = await told.tell(ended())

    assert own == [True, False]  # the prices that a station may show it
    assert answer.fee_minor == 3_000 == (await bill(conn))["total_minor"]
    assert await balance(conn, "driver:bob:balance") == 47_000
    assert await used(conn, voucher_id) == (0, 0, 0)
    await in_order(conn)


async def test_a_start_from_afar_counts_as_the_vehicle_whose_token_it_stands_for(dsn: str, conn: Any) -> None:
    voucher_id = await for_car(conn)
    command = await remote.prepare_start(conn, Start("S1", 1, CAR), NOON)
    other = await remote.prepare_start(conn, Start("S1", 2, VAN), NOON)

    async with Told(dsn) as told:
        [refused] = await told.tell(started("r0", token=other.token))
        await told.tell(started(token=command.token))
        await conn.execute("delete from token where key = $1", tokens.key(command.token))
    async with Told(dsn) as told:
        [answer] = await told.tell(ended())

    assert (refused.reason, answer.fee_minor) == ("no_credit", 0)
    assert await used(conn, voucher_id) == (10_000, 2_500, 1)
    key = tokens.key(CAR)
    assert await conn.fetchval("select stands_for from session where ref = 'r1'") == key
    rows = await db.SQL.sessions_of_token.many(
        conn, [row["id"] for row in await conn.fetch("select id from session")], ["S1", "S1"], key
    )
    assert [row["id"] for row in rows] == [await conn.fetchval("select id from session where ref = 'r1'")]


async def test_what_counts_for_one_vehicle_is_neither_sold_without_one_nor_given_away(conn: Any) -> None:
    await make.fund(conn, "ann", 25_000)
    with pytest.raises(Conflict, match="buy it there"):
        await sell(conn, conditions=ONE)
    product = await conn.fetchval("select id from voucher_product")
    with pytest.raises(Exception, match="a code is for anybody"):
        await gifts.add_batch(conn, BatchSpec("b", product, 2, "operator", None, after(9)), "staff", NOON)

    assert await conn.fetchval("select count(*) from voucher") == 0


async def test_a_vehicle_that_was_taken_away_leaves_its_voucher_which_goes_back_by_its_terms(
    dsn: str, conn: Any
) -> None:
    car, _ = await vehicles.add(conn, Wish("bob", "EVCCID", CAR, None, False), NOON)
    kept, given = [await for_car(conn, refund="unused") for _ in range(2)]
    assert (await vouchers.show(conn, "bob", kept, NOON))["vehicle_id"] == car["id"]

    await vehicles.drop(conn, "bob", car["id"])
    async with Told(dsn) as told:
        await told.tell(started(token=CAR))
        [answer] = await told.tell(ended())
    async with conn.transaction():
        back = await vouchers.give_back(conn, "bob", given, after(70))

    assert answer.fee_minor == 0
    assert (back["state"], back["vehicle_id"]) == ("refunded", None)
    await in_order(conn)


async def test_of_a_driver_who_is_forgotten_nothing_tells_the_vehicle(dsn: str, conn: Any) -> None:
    voucher_id = await for_car(conn, wh=10_000)
    command = await remote.prepare_start(conn, Start("S1", 1, CAR), NOON)
    async with Told(dsn) as told:
        await told.tell(started(token=command.token))
        await told.tell(ended())

    await erase.erase(conn, "bob", NOON + timedelta(days=1))

    assert await conn.fetchval("select token_key from voucher where id = $1", voucher_id) is None
    row = await conn.fetchrow("select token_key, stands_for from session where driver_id = 'bob'")
    assert tuple(row) == (None, None)


async def test_a_correction_after_its_driver_was_forgotten_is_paid_by_the_voucher_that_paid_before(
    dsn: str, conn: Any
) -> None:
    voucher_id = await for_car(conn, wh=10_000)
    async with Told(dsn) as told:
        await told.tell(started(token=CAR))
        await told.tell(ended())
        await erase.erase(conn, "bob", NOON + timedelta(days=1))

        event = BillCorrected("S1", "r1", NOON + timedelta(days=2), 1, 9_000, None, "the meter was wrong", "staff")
        [answer] = await told.tell(event)

    assert answer.status == "accepted"
    assert (await used(conn, voucher_id))[0] == 9_000
    assert await balance(conn, "driver:bob:debt") == 0
    await in_order(conn)


async def test_a_voucher_that_names_a_tag_feeds_the_windows_of_sites_that_have_it(conn: Any) -> None:
    await parties.change_site(conn, "site", {"tags": ["depot"], "power_cap_w": 250})
    await parties.change_site(conn, "far", {"power_cap_w": 1})
    hours = {"start_time": "22:00", "end_time": "02:00"}
    await sell(conn, wh=28_000, conditions={**DEPOT, **hours})

    with pytest.raises(Conflict, match="sold out at site"):
        await sell(conn, wh=28_000, conditions={**DEPOT, **hours})

    loads = await voucher_windows.loads(conn, ["site", "far"], NOON)
    assert loads.keys() == {"site"} and {int(watts) for watts in loads["site"]} == {0, 250}
    await parties.change_site(conn, "site", {"tags": ["yard", "fast"]})
    assert (await voucher_windows.loads(conn, ["site"], NOON)).keys() == {"site"}
    await parties.change_site(conn, "site", {"tags": []})
    assert await voucher_windows.loads(conn, ["site"], NOON) == {}
