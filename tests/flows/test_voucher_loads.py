"""Which vouchers reports are decided on: all that may pay, and not all that a driver ever had."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from csms.domain.events import ReviewDecided
from csms.domain.world import World
from csms.flows.memory import Memory
from csms.store import road as rows
from tests import make
from tests.flows.voucher_shop import sell
from tests.make import BOB, NOON, SOCIAL, Told, ended, presented, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def test_two_hundred_that_are_used_up_hide_none_that_is_not(dsn: str, conn: Any) -> None:
    await more_of(conn, await sell(conn, "bob"), 200, "'used', v.total, 'released_minor', v.price_minor")

    async with Told(dsn) as told:
        assert (await told.tell(presented(BOB)))[0].status == "accepted"


async def more_of(conn: Any, voucher_id: Any, count: int, *changes: str) -> None:
    """Copies of a voucher, each bought a second later."""
    fields = ", ".join(("'id', gen_random_uuid()", "'valid_from', v.valid_from + n * interval '1 second'", *changes))
    await conn.execute(
        f"insert into voucher select (jsonb_populate_record(v, jsonb_build_object({fields}))).*"
        " from voucher v, generate_series(1, $2) n where v.id = $1",
        voucher_id,
        count,
    )


async def loaded(conn: Any, *events: Any) -> int:
    """How many vouchers these reports would be decided on."""
    world = World(SOCIAL)
    wanted = Memory().recall(world, events)
    assert wanted is not None
    await rows.load(conn, world, wanted)
    return len(world.assets.vouchers)


async def test_what_ended_before_any_use_that_may_be_told_is_not_loaded(dsn: str, conn: Any) -> None:
    await more_of(conn, await sell(conn), 3)
    end, late = NOON + timedelta(days=28), NOON + timedelta(days=28 + 47)

    assert await loaded(conn, started(received_at=end)) == 4
    assert await loaded(conn, started(received_at=end + timedelta(days=45))) == 4
    assert await loaded(conn, started(received_at=late)) == 0
    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(ended(wh=901_000))
        await told.tell(started("other", station_id="S2", token=BOB))
    assert await loaded(conn, ReviewDecided("S1", "r1", late, "correct", 20_000, "seen", "staff")) == 4
    assert await loaded(conn, ended("other", station_id="S2", received_at=late)) == 0
