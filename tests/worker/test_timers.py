"""What nobody uses is given back, and what a dead process left open is cleared up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from csms.db import Connection, Pool
from csms.domain.authorization import Ask
from csms.domain.events import AuthorizationDecided
from csms.psp.base import ask_key
from csms.psp.social import Social
from csms.worker.timers import STALE_ASK_S, Timers
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage


class Hand:
    """Timers whose clocks the test turns, and what they reported."""

    def __init__(self, pool: Pool, psp: Social) -> None:
        self.at: datetime = stage.START
        self.wall = 100.0
        self.asked: set[UUID] = set()
        self.reports: list[AuthorizationDecided] = []
        self.woken = 0
        self.timers = Timers(
            pool,
            {"social": psp},
            self.reports.append,
            self.asked.__contains__,
            self.wake,
            lambda: self.at,
            lambda: "driver-1",
            monotonic=lambda: self.wall,
        )

    def wake(self) -> None:
        self.woken += 1

    async def sweep_twice(self) -> list[str]:
        """Two sweeps so far apart that an ask left open is stale; the verdicts reported by the second."""
        await self.timers.sweep()
        assert self.reports == []
        self.wall += STALE_ASK_S + 1
        await self.timers.sweep()
        return [report.verdict for report in self.reports]


@pytest.fixture
async def psp(social: SocialProcess) -> AsyncIterator[Social]:
    psp = stage.adapter(social)
    yield psp
    await psp.close()


@pytest.fixture
async def hand(pool: Pool, conn: Connection, psp: Social) -> Hand:
    await stage.parties(conn)
    return Hand(pool, psp)


async def state(conn: Connection, id_: UUID) -> str:
    return str(await conn.fetchval("select state from psp_authorization where id = $1", id_))


async def test_an_authorization_that_no_start_used_is_released_after_its_time(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, hand: Hand
) -> None:
    unused, ref = await stage.authorization(conn, psp, "authorized")
    used, _ = await stage.authorization(conn, psp, "used")
    hand.at = stage.START + timedelta(seconds=899)
    await hand.timers.sweep()
    assert (await state(conn, unused), hand.woken) == ("authorized", 0)
    hand.at = stage.START + timedelta(seconds=901)
    await hand.timers.sweep()
    await hand.timers.sweep()
    assert (await state(conn, unused), hand.woken) == ("voiding", 1)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert [await state(conn, unused), await state(conn, used)] == ["voided", "used"]
    cancels = [entry["payment_key"] for entry in await social.journal() if entry["operation"] == "cancel"]
    assert cancels.count(ref) == 1


@pytest.mark.parametrize("left", ["asking", "timed_out"])
async def test_an_approval_that_nobody_waits_for_any_more_is_reported_to_be_given_back(
    conn: Connection, psp: Social, hand: Hand, left: str
) -> None:
    id_, _ = await stage.authorization(conn, psp, left)
    ask = Ask(id_, "CP-1", "social", "issuer", "minsu", stage.HOLD, "KRW", "hold_capture")
    approved = await psp.authorize(ask_key(id_), ask)
    assert await hand.sweep_twice() == (["timed_out", "authorized"] if left == "asking" else ["authorized"])
    assert (hand.reports[-1].authorization_id, hand.reports[-1].psp_ref) == (id_, approved.psp_ref)


@pytest.mark.parametrize("left", ["asking", "timed_out"])
async def test_an_ask_that_never_reached_the_psp_is_closed(
    conn: Connection, psp: Social, hand: Hand, left: str
) -> None:
    await stage.authorization(conn, psp, left)
    assert await hand.sweep_twice() == (["timed_out", "declined"] if left == "asking" else ["declined"])


async def test_a_live_ask_is_left_alone(conn: Connection, psp: Social, hand: Hand) -> None:
    id_, _ = await stage.authorization(conn, psp, "asking")
    hand.asked.add(id_)
    assert await hand.sweep_twice() == []


async def test_while_the_psp_does_not_tell_nothing_is_decided(
    conn: Connection, social: SocialProcess, psp: Social, hand: Hand
) -> None:
    await stage.authorization(conn, psp, "timed_out")
    await social.fail("get", "error_5xx", count=1)
    assert await hand.sweep_twice() == []
    await hand.timers.sweep()
    assert [report.verdict for report in hand.reports] == ["declined"]


async def test_no_station_waits_for_the_psp_to_tell_of_another_ones_ask(
    conn: Connection, psp: Social, hand: Hand
) -> None:
    for _ in range(3):
        await stage.authorization(conn, psp, "asking")
    assert await hand.sweep_twice() == ["timed_out"] * 3 + ["declined"] * 3
