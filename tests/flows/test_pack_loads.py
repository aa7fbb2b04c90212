"""What reports of packs are decided on: little is loaded for the many, and all that matters for the few."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from csms import db
from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.pack_state import PackState
from csms.domain.world import World
from csms.flows.memory import Memory
from csms.store import road as rows
from tests.flows import lending, swaps
from tests.flows.swaps import state
from tests.make import ANN, SOCIAL, Told, after, new_id


@pytest.fixture
async def road(dsn: str, conn: Any) -> AsyncIterator[Told]:
    await swaps.build(conn)
    async with Told(dsn) as road:
        await swaps.begin(road)
        yield road


def stated(pack: PackState, unit: int | None, minutes: float, station: str = "X1") -> packs.PackStated:
    """How a pack is."""
    return packs.PackStated(**lending.report(station, after(minutes)), pack=pack, unit=unit, source="station")


async def loaded(conn: Any, *events: Any) -> World:
    """The world that these reports would be decided on."""
    world = World(SOCIAL)
    wanted = Memory().recall(world, events)
    assert wanted is not None
    await rows.load(conn, world, wanted)
    return world


async def test_the_state_of_a_pack_is_decided_without_what_it_was_lent_by(road: Told, conn: Any) -> None:
    _, mine = await swaps.take(road, conn, after(1))
    standing = {"b1", "b2", "b3"} - {mine}
    world = await loaded(conn, *(stated(state(code), None, 2) for code in (mine, *standing)))
    assert set(world.assets.packs) == set(world.assets.items) == {mine, *standing}
    assert not world.assets.rentals and not world.sessions and not world.assets.grants


async def test_a_slot_that_does_not_say_which_pack_tells_of_the_one_that_stands_there(road: Told, conn: Any) -> None:
    await road.tell(stated(PackState("", 9_100), 2, 3))
    assert await conn.fetchval("select soc from pack where code = 'b2'") == 9_100


async def test_a_pack_that_came_back_without_its_level_is_billed_when_that_is_told(road: Told, conn: Any) -> None:
    wish, mine = await swaps.take(road, conn, after(1))
    seen = said.UnitSeen(2, "closed", True, mine)
    await road.tell(said.UnitsSeen(**lending.report("X2", after(60)), units=(seen,), last_seq=None))
    assert await conn.fetchval("select state from rental where id = $1", wish.rental_id) == "returning"
    await road.tell(stated(state(mine, 2_000, 1_070), 2, 61, "X2"))
    row = await conn.fetchrow("select state, battery_wh from rental where id = $1", wish.rental_id)
    assert tuple(row) == ("closed", 1_068)


async def test_a_wish_at_the_lock_that_is_told_again_names_the_same_swap(road: Told) -> None:
    wish = said.DoorRequested(
        **lending.report("X1", after(1)), unit=None, why="take", token=ANN, rental_id=new_id(), grant_id=new_id(),
        authorization_id=new_id(),
    )  # fmt: skip
    first = lending.granted((await road.tell(wish))[0])
    again = replace(wish, rental_id=new_id(), grant_id=new_id(), authorization_id=new_id())
    second = lending.granted((await road.tell(again))[0])
    assert first.rid is not None
    assert (first.grant_id, first.unit, first.rid) == (second.grant_id, second.unit, second.rid)


async def test_the_number_of_a_swap_is_looked_up_without_passing_over_its_stations_others(dsn: str, conn: Any) -> None:
    """The plan is made once, maybe while the table is empty: then any index of the station is as good."""
    writer = await db.writer(dsn)
    try:
        rows = await writer.fetch(f"explain {db.queries()['load_assets'].text}", *([[]] * 21))
    finally:
        await writer.close()
    plan = "\n".join(row[0] for row in rows)
    assert "using swap_rid on swap" in plan
    assert "using swap_station on swap" not in plan


@pytest.mark.parametrize(("query", "arguments"), [("load_told", 7), ("load_assets", 21)])
async def test_a_state_that_was_told_before_is_found_by_its_own_id(
    road: Told, dsn: str, conn: Any, query: str, arguments: int
) -> None:
    """And not by passing over all that its pack told on that day."""
    await road.tell(stated(state("b1"), 1, 3))
    writer = await db.writer(dsn)
    try:
        rows = await writer.fetch(f"explain {db.queries()[query].text}", *([[]] * arguments))
    finally:
        await writer.close()
    plan = "\n".join(row[0] for row in rows)
    assert "code_station_id_substr_idx on pack_state" in plan and "_pkey on pack_state" not in plan


async def test_the_longest_statement_is_planned_once(dsn: str) -> None:
    """A driver of PostgreSQL may keep only what is short, and have the rest planned anew each time."""
    longest = max(db.queries().items(), key=lambda item: len(item[1].text))
    writer = await db.writer(dsn)
    try:
        await writer.fetch(db.queries()["load_assets"].text, *([[]] * 21))
        kept = {row["statement"] for row in await writer.fetch("select statement from pg_prepared_statements")}
    finally:
        await writer.close()

    assert longest[0] == "load_assets"
    assert longest[1].text in kept
