"""From a start to the remittance, with a real psp: the road, the asker, the worker and the timers together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from uuid import uuid4

import pytest

from csms import db
from csms.db import Connection, Pool
from csms.domain.authorization import Policy
from csms.domain.events import AuthorizationDecided, Event, Outcome
from csms.domain.world import Rules
from csms.flows.authorize import Asker
from csms.flows.report import Road
from csms.psp.social import Social
from csms.worker.timers import STALE_ASK_S, Timers
from tests import make
from tests.make import NOON, SOCIAL, SUE, ended, presented, started
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage

FEE = 3_000


class System:
    """All parts but the edge, on the small seeded world."""

    def __init__(self, dsn: str, pool: Pool, psp: Social, wait_s_max: float, rules: Rules) -> None:
        self.wall = 0.0
        self.asker = Asker({"social": psp}, self.report, lambda: NOON, lambda: f"d-{uuid4()}", wait_s_max=wait_s_max)
        self.road = Road(partial(db.writer, dsn), rules, self.asker, lambda: None)
        self.timers = Timers(
            pool,
            {"social": psp},
            self.report,
            self.asker.asks,
            lambda: None,
            lambda: NOON,
            lambda: f"d-{uuid4()}",
            monotonic=lambda: self.wall,
        )

    def report(self, verdict: AuthorizationDecided) -> None:
        self.road.submit(verdict, lambda outcome: None)

    async def tell(self, event: Event) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.road.submit(event, answer.set_result)
        return await asyncio.wait_for(answer, 10)


@asynccontextmanager
async def running(
    dsn: str, pool: Pool, psp: Social, wait_s_max: float = 5.0, rules: Rules = SOCIAL
) -> AsyncIterator[System]:
    system = System(dsn, pool, psp, wait_s_max, rules)
    await system.road.start()
    async with stage.working(pool, psp):
        try:
            yield system
        finally:
            await system.asker.close()
            await system.road.close()


@pytest.fixture
async def psp(social: SocialProcess, conn: Connection) -> AsyncIterator[Social]:
    await make.seed(conn)
    await social.call("POST", "/v1/sellers", {"seller": "seller-p"})
    psp = stage.adapter(social)
    yield psp
    await psp.close()


async def until(conn: Connection, statement: str, wanted: object) -> None:
    """Returns when a statement answers what is wanted."""
    async with asyncio.timeout(10):
        while True:
            if await conn.fetchval(statement) == wanted:
                return
            await asyncio.sleep(0.005)


async def effects(conn: Connection, social: SocialProcess) -> list[str]:
    """What the psp did for this test's authorizations and sessions, in order."""
    own = {str(row["id"]) for row in await conn.fetch("select id from psp_authorization union select id from session")}
    entries = await social.journal()
    payments = {entry["payment_key"] for entry in entries if entry.get("order_id") in own and "payment_key" in entry}
    return [
        entry["operation"] for entry in entries if entry.get("order_id") in own or entry.get("payment_key") in payments
    ]


async def happened(conn: Connection, social: SocialProcess, operation: str) -> None:
    """Returns when the psp has done it."""
    async with asyncio.timeout(10):
        while True:
            if operation in await effects(conn, social):
                return
            await asyncio.sleep(0.01)


async def received(social: SocialProcess) -> None:
    """Returns when the psp has the request that its fault was waiting for."""
    async with asyncio.timeout(10):
        while True:
            _, faults = await social.call("GET", "/admin/faults")
            if not faults["active"]:
                return
            await asyncio.sleep(0.005)


STATE = "select state from psp_authorization"


DOES: dict[Policy, list[str]] = {
    "hold_capture": ["authorize", "capture", "settle"],
    "charge_after": ["billing_key", "charge", "settle"],
    "pay_before_refund_rest": ["confirm", "refund", "settle"],
}
"""Policy -> what a psp does for one charge; the rest goes back and the shares are paid in either order."""

GIVEN_BACK: dict[Policy, list[str]] = {
    "hold_capture": ["authorize", "cancel"],
    "pay_before_refund_rest": ["confirm", "refund"],
}
"""Policy -> what a psp does for a use that comes to nothing."""

given_back = pytest.mark.parametrize("policy", GIVEN_BACK)


def rules_of(policy: Policy) -> Rules:
    """Rules by which the psp is paid so."""
    return Rules(policies={"social": policy})


@pytest.mark.parametrize("policy", DOES)
async def test_a_charge_is_asked_for_taken_and_paid_out(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy
) -> None:
    async with running(dsn, pool, psp, rules=rules_of(policy)) as system:
        assert (await system.tell(presented(SUE))).status == "accepted"
        assert (await system.tell(started(token=SUE))).status == "accepted"
        assert (await system.tell(ended())).fee_minor == FEE
        await stage.drained(conn)
    assert sorted(await effects(conn, social)) == sorted(DOES[policy])
    assert await conn.fetchval("select count(*) from remittance_item where state = 'paid'") == 2
    assert await db.check(conn) == {}


@given_back
async def test_a_late_approval_was_answered_with_no_and_is_given_back(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy
) -> None:
    await social.fail(GIVEN_BACK[policy][0], "delay", delay_s=0.3)
    async with running(dsn, pool, psp, wait_s_max=0.05, rules=rules_of(policy)) as system:
        assert (await system.tell(started(token=SUE))).status == "invalid"
        assert await conn.fetchval(STATE) == "timed_out"
        await until(conn, STATE, "voided")
        await stage.drained(conn)
    assert await effects(conn, social) == GIVEN_BACK[policy]
    assert await conn.fetchval("select state from session") == "invalid"
    assert await db.check(conn) == {}


@given_back
async def test_a_start_left_waiting_by_a_dead_process_is_decided_and_its_hold_given_back(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy
) -> None:
    await social.fail(GIVEN_BACK[policy][0], "delay", delay_s=0.1)
    async with running(dsn, pool, psp, rules=rules_of(policy)) as system:
        system.road.submit(started(token=SUE), lambda outcome: None)
        await received(social)
        await system.asker.close()
    async with running(dsn, pool, psp, rules=rules_of(policy)) as system:
        await happened(conn, social, GIVEN_BACK[policy][0])
        await system.timers.sweep()
        assert await conn.fetchval(STATE) == "asking"
        system.wall += STALE_ASK_S
        await system.timers.sweep()
        await until(conn, STATE, "voided")
        await stage.drained(conn)
    assert await effects(conn, social) == GIVEN_BACK[policy]
    assert await conn.fetchval("select state from session") == "invalid"
    assert await db.check(conn) == {}


@given_back
async def test_an_authorize_without_a_start_is_given_back_by_the_timers(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy
) -> None:
    async with running(dsn, pool, psp, rules=rules_of(policy)) as system:
        early = make.after(-20)
        assert (await system.tell(presented(SUE, received_at=early))).status == "accepted"
        await conn.execute("update psp_authorization set decided_at = $1", early)
        await system.timers.sweep()
        await until(conn, STATE, "voided")
        await stage.drained(conn)
    assert await effects(conn, social) == GIVEN_BACK[policy]
    assert await db.check(conn) == {}


@given_back
async def test_a_charge_without_energy_takes_nothing_and_gives_the_hold_back(
    dsn: str, pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy
) -> None:
    async with running(dsn, pool, psp, rules=rules_of(policy)) as system:
        assert (await system.tell(started(token=SUE))).status == "accepted"
        assert (await system.tell(ended(wh=1000))).fee_minor == 0
        await stage.drained(conn)
    assert await effects(conn, social) == GIVEN_BACK[policy]
    assert await db.check(conn) == {}
