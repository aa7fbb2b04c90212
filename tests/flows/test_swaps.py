"""Swaps on a real database: what the rules decide is stored whole, once, and the books agree."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.pack_state import NoLevel
from csms.domain.voucher import bought
from csms.domain.world import World
from csms.flows.memory import Memory
from csms.store import road as rows
from tests.flows import lending, swaps
from tests.flows.swaps import moved, state
from tests.make import ANN, NOON, SOCIAL, Told, after, new_id


@pytest.fixture
async def road(dsn: str, conn: Any) -> AsyncIterator[Told]:
    await swaps.build(conn)
    async with Told(dsn) as road:
        await swaps.begin(road)
        yield road


@pytest.fixture(autouse=True)
async def books(conn: Any, road: Told) -> AsyncIterator[None]:
    """Whatever happens, every invariant of the database holds at the end."""
    yield
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def balance(conn: Any, address: str = "driver:ann:balance") -> int:
    return int(await conn.fetchval("select coalesce(sum(balance), 0) from account_balance where address = $1", address))


async def buy(conn: Any, unit: Any, total: int, price: int) -> UUID:
    """Ann buys a voucher, as the REST API does."""
    await conn.execute(
        "insert into voucher_product (id, version, name, unit, amount, price_minor, currency, vat_percent, valid_days,"
        " carry_over, refund, created_at) values ('m', 1, 'm', $1, $2, $3, 'KRW', 10, 30, false, 'unused', now())"
        " on conflict do nothing",
        unit, total, price,
    )  # fmt: skip
    id_ = new_id()
    posting = bought(id_, "ann", price, "KRW", unit, total, NOON)
    transfers = [(1, seq, t.debit, t.credit, t.asset, t.minor) for seq, t in enumerate(posting.transfers, 1)]
    row = [(posting.id, posting.key, posting.kind, posting.ref, posting.event_at)]
    assert await conn.fetchval("select post($1, $2)", row, transfers) == ["posted"]
    await conn.execute(
        "insert into voucher (id, version, driver_id, product_id, product_version, unit, total, used, price_minor,"
        " released_minor, currency, vat_percent, valid_from, valid_until, refund, state, bought_at)"
        " values ($1, 1, 'ann', 'm', 1, $2, $3, 0, $4, 0, 'KRW', $5, $6, $7, 'unused', 'active', $6)",
        id_, unit, total, price, Decimal(10), after(-60 * 24), after(60 * 24 * 29),
    )  # fmt: skip
    return id_


async def test_a_swap_is_billed_divided_and_stored_whole(road: Told, conn: Any) -> None:
    wish, mine = await swaps.take(road, conn, after(1))
    assert await balance(conn) == 70_000
    [outcome] = await road.tell(moved("in", 7, {4: state(mine, 2_000, 1_070)}, after(60)))
    assert outcome.asset is not None and outcome.asset.error is None and outcome.asset.bill is not None
    assert outcome.asset.bill.fee_minor == 634
    unit = outcome.asset.units_out[0]
    out = await conn.fetchval("select packs_out[1] from swap where rid = 7")
    await road.tell(moved("out", 7, {unit: state(out)}, after(61)))
    row = await conn.fetchrow("select state, driver_id, packs_in, units_out from swap where rid = 7")
    assert tuple(row) == ("completed", "ann", [mine], [unit])
    row = await conn.fetchrow("select state, battery_wh, (level_in).soc from rental where id = $1", wish.rental_id)
    assert tuple(row) == ("closed", 1_068, 2_000)
    bill = await conn.fetchrow("select total_minor, operator_minor from bill where session_id = $1", wish.rental_id)
    assert tuple(bill) == (634, 63)
    assert await balance(conn) == 100_000 - 634 - 30_000


async def test_everything_told_twice_changes_nothing(road: Told, conn: Any) -> None:
    _, mine = await swaps.take(road, conn, after(1))
    put_in = moved("in", 7, {4: state(mine, 2_000, 1_070)}, after(60))
    first, second = await road.tell(put_in, put_in)
    [third] = await road.tell(replace(put_in, swap_id=new_id()))
    assert first.asset is not None and second.asset is not None and third.asset is not None
    assert first.asset.bill == second.asset.bill == third.asset.bill and third.asset.repeated
    assert await conn.fetchval("select count(*) from bill") == 1
    assert await conn.fetchval("select count(*) from rental where swap_id = (select id from swap where rid = 7)") == 1


async def test_two_roads_that_hear_of_one_insertion_bill_it_once(road: Told, dsn: str, conn: Any) -> None:
    _, mine = await swaps.take(road, conn, after(1))
    event = moved("in", 7, {4: state(mine, 2_000, 1_070)}, after(60))
    native = replace(event, id="swap-native", swap_id=new_id())
    async with Told(dsn) as other:
        await asyncio.gather(road.tell(event), other.tell(native))
    assert await conn.fetchval("select count(*) from bill") == 1
    assert await conn.fetchval("select count(*) from swap where rid = 7") == 1


async def test_of_two_swaps_at_once_each_gets_a_pack_of_its_own(road: Told, dsn: str, conn: Any) -> None:
    _, one = await swaps.take(road, conn, after(1))
    await conn.execute("select 1")
    async with Told(dsn) as other:
        first, second = await asyncio.gather(
            road.tell(moved("in", 7, {4: state(one, 2_000, 1_070)}, after(60))),
            other.tell(lending.rent(after(60), station="X1")),
        )
    given = await conn.fetch("select item from rental where state = 'opening'")
    assert len(given) == len({row["item"] for row in given})
    assert first[0].asset is not None and second[0].asset is not None


async def test_states_of_packs_are_a_series_and_a_repeat_is_one_row(road: Told, conn: Any) -> None:
    report = lending.report("X1", after(5), seq=3)
    event = packs.PackStated(**report, pack=state("b1", 9_600, mode="charging", temp=31), unit=1, source="station")
    await road.tell(event, event)
    await road.tell(event)
    assert await conn.fetchval("select count(*) from pack_state where code = 'b1' and at = $1", after(5)) == 1
    row = await conn.fetchrow("select soc, mode, temp, source from pack where code = 'b1'")
    assert tuple(row) == (9_600, "charging", 31, "station")


async def test_a_terminals_word_never_changes_what_a_station_said(road: Told, conn: Any) -> None:
    report = lending.report("", after(5))
    await road.tell(packs.PackStated(**report, pack=state("b1", 100), unit=None, source="terminal"))
    assert await conn.fetchval("select soc from pack where code = 'b1'") == 9_500
    assert await conn.fetchval("select count(*) from pack_state where code = 'b1' and source = 'terminal'") == 1


async def test_a_voucher_pays_its_part_and_the_units_are_gone(road: Told, conn: Any) -> None:
    id_ = await buy(conn, "wh", 1_000, 400)
    _, mine = await swaps.take(road, conn, after(1))
    await road.tell(moved("in", 7, {4: state(mine, 2_000, 1_070)}, after(60)))
    row = await conn.fetchrow("select used, released_minor, version from voucher where id = $1", id_)
    assert tuple(row) == (1_000, 400, 2)
    assert await balance(conn, f"voucher:{id_}:deferred") == 0
    total = await conn.fetchval("select total_minor from bill")
    assert total == 400 + 34 + 100  # the voucher, 68 Wh beyond it, the delivery


async def test_vouchers_are_known_whatever_the_clock_of_the_database_says(road: Told, conn: Any) -> None:
    id_ = await buy(conn, "wh", 1_000, 400)
    await conn.execute("update voucher set valid_from = '2019-07-01', valid_until = '2019-08-01' where id = $1", id_)
    world, asked = World(SOCIAL), lending.rent(datetime(2019, 9, 1, tzinfo=UTC), ANN, "X1")
    wanted = Memory().recall(world, [asked])
    assert wanted is not None
    await rows.load(conn, world, wanted)
    assert id_ in world.assets.vouchers  # a late report, or a replay, lives in its own time


async def test_a_reservation_keeps_the_last_fit_packs_for_its_driver(road: Told, conn: Any) -> None:
    await conn.execute("insert into driver (id, created_at) values ('eve', now()) on conflict do nothing")
    await conn.execute(
        "insert into pack_reservation (id, version, station_id, driver_id, wanted, days, begins, minutes, from_date,"
        " time_zone, state, created_at) values ($1, 1, 'X2', 'eve', 1, 127, 0, 1440, $2, 'UTC', 'active', now())",
        new_id(),
        NOON.date(),
    )
    [outcome] = await road.tell(lending.rent(after(1), station="X2"))
    assert outcome.asset is not None and outcome.asset.error == "NoBatteryAvailable"


async def test_a_pack_moved_to_the_workshop_while_it_was_to_be_handed_out_is_nobodys(road: Told, conn: Any) -> None:
    wish = lending.rent(after(1), station="X1")
    answer = lending.granted((await road.tell(wish))[0])
    code = await conn.fetchval("select item from rental where id = $1", wish.rental_id)
    await road.tell(
        said.ItemMoved("", after(2), code, "workshop", None, "broken", "staff", "cracked", "~staff/1"),
        said.GrantAnswered("X1", after(2), answer.grant_id or wish.grant_id, "accepted", None),
    )
    row = await conn.fetchrow("select state, reason from rental where id = $1", wish.rental_id)
    assert tuple(row) == ("cancelled", "handed in") and await balance(conn) == 100_000
    row = await conn.fetchrow("select place, rental_id from item where code = $1", code)
    assert tuple(row) == ("workshop", None)
    assert await conn.fetchval("select state from door_grant where rental_id = $1", wish.rental_id) == "revoked"


@pytest.mark.parametrize("token", [None, "unknown", ANN])
async def test_a_promised_pack_that_left_by_another_visit_is_replaced_by_a_release_of_the_first(
    road: Told, conn: Any, token: str | None
) -> None:
    wish = lending.rent(after(1), station="X1")
    answer = lending.granted((await road.tell(wish))[0])
    code = await conn.fetchval("select item from rental where id = $1", wish.rental_id)
    await road.tell(moved("out", 901, {answer.unit or 0: state(code)}, after(1.1), token=token))
    rid = await conn.fetchval(
        "select rid from swap s join rental r on r.swap_id = s.id where r.id = $1", wish.rental_id
    )
    rows = await conn.fetch("select payload from outbox where kind = 'door.open' order by id")
    payloads = sorted((json.loads(row["payload"]) for row in rows), key=lambda it: it["grant"] != str(wish.grant_id))
    assert [payload.get("rid") for payload in payloads] == [rid, rid]
    assert payloads[0]["unit"] != payloads[1]["unit"]


async def test_a_pack_taken_after_it_was_locked_again_is_billed_though_its_drivers_bill_was_made(
    road: Told, conn: Any
) -> None:
    _, mine = await swaps.take(road, conn, after(1))
    await road.tell(moved("in", 7, {4: state(mine, 2_000, 1_070)}, after(60)))
    row = await conn.fetchrow("select units_out[1], packs_out[1] from swap where rid = 7")
    unit, code = tuple(row)
    await road.tell(moved("timeout", 7, {unit: state(code)}, after(62)))
    await road.tell(moved("out", 7, {unit: state(code)}, after(64)))
    row = await conn.fetchrow(
        "select state, driver_id, flags from rental where item = $1 and taken_at is not null", code
    )
    assert tuple(row) == ("active", "ann", ["told_late"])
    row = await conn.fetchrow("select state, packs_out from swap where rid = 7")
    assert tuple(row) == ("completed", [code])
    assert await conn.fetchval("select place from item where code = $1", code) == "driver"


async def test_a_pack_that_comes_back_without_a_level_is_stored_and_billed_no_energy(road: Told, conn: Any) -> None:
    wish, mine = await swaps.take(road, conn, after(1))
    event = moved("in", 7, {4: state(mine)}, after(60))
    await road.tell(replace(event, slots=(packs.InSlot(4, NoLevel(mine.upper(), 9_500)),)))
    row = await conn.fetchrow("select state, battery_wh, level_in, flags from rental where id = $1", wish.rental_id)
    assert tuple(row) == ("closed", 0, None, ["usage_unmeasured"])
    row = await conn.fetchrow("select soc, soh, source, at from pack where code = $1", mine)
    assert tuple(row) == (None, 9_500, "station", after(60))
    assert await conn.fetchval("select state from swap where rid = 7") == "releasing"


async def test_a_state_told_again_by_its_id_is_one_row_and_keeps_the_newest_level(road: Told, conn: Any) -> None:
    def stated(id_: str, seq: int, minutes: float, soc: int, station: str = "X1") -> packs.PackStated:
        report = lending.report(station, after(minutes)) | {"id": id_, "seq": seq}
        return packs.PackStated(**report, pack=state("b1", soc), unit=1, source="station")

    await road.tell(stated("state-01", 3, 5, 9_600))
    await road.tell(stated("state-02", 4, 6, 9_700))
    [again] = await road.tell(stated("state-01", 5, 7, 100))
    assert again.asset is not None and again.asset.repeated
    await road.tell(stated("state-03", 6, 8, 9_800), stated("state-03", 7, 9, 200))
    await road.tell(stated("state-03", 8, 10, 300), moved("timeout", 7, {2: state("b2")}, after(10)))
    rows = await conn.fetch("select soc from pack_state where code = 'b1' and at >= $1 order by at", after(5))
    assert [row["soc"] for row in rows] == [9_600, 9_700, 9_800]
    assert await conn.fetchval("select soc from pack where code = 'b1'") == 9_800
    await road.tell(stated("state-03", 3, 11, 400, "X2"), stated("state-03", 9, 60 * 24, 9_900))
    assert await conn.fetchval("select count(*) from pack_state where code = 'b1' and at >= $1", after(5)) == 5
