"""A fee is collected once and paid out once, and our ledger says what the psp's journal says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from csms import db
from csms.db import Connection, Pool
from csms.domain.authorization import Policy
from csms.flows import settle
from csms.psp.base import Psp
from csms.psp.social import Social
from csms.store import outbox
from csms.worker import tasks
from csms.worker.tasks import Outside, Task
from tests.psp.social_process import OPERATOR_ACCOUNT, PROVIDER_ACCOUNT, SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, OPERATOR_SHARE, PROVIDER_SHARE, START

PAID = {"bank": -OPERATOR_SHARE, "operator:fee": OPERATOR_SHARE}
"""What is left of a fee that was collected and paid out: the operator's money in its bank."""

HARMLESS = ["timeout_before", "timeout_after", "error_5xx", "error_after", "duplicate", "delay"]
POLICIES: list[Policy | None] = ["hold_capture", "charge_after", None]
TAKES: dict[Policy | None, str] = {"hold_capture": "capture", "charge_after": "charge", None: "charge"}


@pytest.fixture
async def psp(social: SocialProcess) -> AsyncIterator[Social]:
    psp = stage.adapter(social)
    yield psp
    await psp.close()


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_fee_is_taken_and_its_shares_are_paid(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy | None
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp, policy)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [(TAKES[policy], FEE), ("settle", FEE)]
    assert await stage.balances(conn) == PAID
    settled = [entry for entry in await social.journal() if entry.get("order_id") == str(scene.session_id)][-1]
    assert [(part["seller"], part["amount"]) for part in settled["remittances"]] == [
        (PROVIDER_ACCOUNT, PROVIDER_SHARE),
        (OPERATOR_ACCOUNT, OPERATOR_SHARE),
    ]
    assert settled["receipt"]["details"]["energy_wh"] == 12_345
    items = await conn.fetch("select payee, state, amount_minor, psp_ref from remittance_item order by payee desc")
    assert [tuple(item) for item in items] == [
        ("provider:P", "paid", PROVIDER_SHARE, settled["settlement_id"]),
        ("operator", "paid", OPERATOR_SHARE, settled["settlement_id"]),
    ]
    assert await conn.fetchval("select count(*) from exception") == 0


@pytest.mark.parametrize("policy", POLICIES)
async def test_whatever_goes_wrong_on_the_way_there_is_one_effect(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy | None
) -> None:
    await stage.parties(conn)
    for kind in HARMLESS:
        scene = await stage.billed(conn, psp, policy)
        for operation in (TAKES[policy], "billing_key", "settle"):
            await social.fail(operation, kind, count=2)
        await social.fail("get", "error_5xx", count=2)
        async with stage.working(pool, psp):
            await stage.drained(conn)
        await social.heal()
        assert await stage.effects(social, scene) == [(TAKES[policy], FEE), ("settle", FEE)], kind
    assert await stage.balances(conn) == {account: len(HARMLESS) * balance for account, balance in PAID.items()}
    assert await conn.fetchval("select count(*) from exception") == 0


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_refused_fee_becomes_the_drivers_debt_and_is_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, policy: Policy | None
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp, policy)
    await social.fail(TAKES[policy], "decline")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == []
    assert await stage.balances(conn) == {
        "driver:D:debt": -FEE,
        "operator:fee": OPERATOR_SHARE,
        "provider:P:payable": PROVIDER_SHARE,
    }
    assert [row["kind"] for row in await conn.fetch("select kind from exception")] == ["collect_failed"]


async def test_a_driver_who_is_refused_after_an_offline_start_owes_the_fee(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    await stage.billed(conn, psp, None, subject="refused-jiho")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert (await stage.balances(conn))["driver:D:debt"] == -FEE


async def test_a_refused_settlement_leaves_the_shares_payable_and_is_listed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    await social.fail("settle", "decline")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE)]
    assert await stage.balances(conn) == {
        "psp:social:clearing": -FEE,
        "operator:fee": OPERATOR_SHARE,
        "provider:P:payable": PROVIDER_SHARE,
    }
    assert {row["state"] for row in await conn.fetch("select state from remittance_item")} == {"failed"}
    assert [row["kind"] for row in await conn.fetch("select kind from exception")] == ["settle_failed"]


@pytest.mark.parametrize(("told", "state"), [(True, "submitted"), (False, "failed")])
async def test_shares_are_left_to_the_run_only_where_the_psp_was_certainly_not_told(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, told: bool, state: str
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    await attempt(pool, conn, tasks.collect, {"social": psp})
    if told:
        await social.fail("settle", "error_after")
        await social.fail("get", "error_5xx")
        assert (await attempt(pool, conn, tasks.remit, {"social": psp})).state == "waiting"
        await social.heal()
    await conn.execute("update outbox set attempts = attempts + 50, claims = claims + 50")
    assert (await attempt(pool, conn, tasks.remit, {})).state == "given_up"
    assert {row["state"] for row in await conn.fetch("select state from remittance_item")} == {state}
    assert (("settle", FEE) in await stage.effects(social, scene)) == told


async def test_shares_that_the_psp_does_not_know_of_are_left_to_the_run_though_an_answer_was_lost_before(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn, "nobody")
    scene = await stage.billed(conn, psp)
    await attempt(pool, conn, tasks.collect, {"social": psp})
    await social.fail("settle", "timeout_before")
    await social.fail("get", "error_5xx")
    impatient = stage.adapter(social, call_s_max=0.2)
    assert (await attempt(pool, conn, tasks.remit, {"social": impatient})).state == "waiting"
    await impatient.close()
    await conn.execute("update outbox set attempts = attempts + 50, claims = claims + 50")
    assert (await attempt(pool, conn, tasks.remit, {"social": psp})).state == "given_up"
    assert {row["state"] for row in await conn.fetch("select state from remittance_item")} == {"failed"}
    assert ("settle", FEE) not in await stage.effects(social, scene)


async def attempt(pool: Pool, conn: Connection, task: Task, psps: dict[str, Psp]) -> outbox.Result:
    """One attempt of the one job that waits, by a worker that has these psps."""
    await conn.execute("update outbox set next_at = now(), leased_until = null")
    (job,) = await outbox.claim(conn, 9, 15)
    accounts = dict.fromkeys(psps, OPERATOR_ACCOUNT)
    result = await task(job, Outside(pool, psps, accounts, lambda: START, random.Random(1)))
    await outbox.save(conn, [result])
    return result


@pytest.mark.parametrize("account", [None, "nobody"])
async def test_a_payee_without_an_account_is_given_up_loudly(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, account: str | None
) -> None:
    await stage.parties(conn, account)
    scene = await stage.billed(conn, psp)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE)]
    listed = await conn.fetchrow("select kind, ref, details ->> 'reason' as reason from exception")
    assert (listed["kind"], listed["ref"]) == ("settle_failed", f"session/{scene.session_id}")
    assert "account" in listed["reason"] or "NOT_FOUND_SELLER" in listed["reason"]


@pytest.mark.parametrize(("account", "operator_minor"), [(None, FEE), (PROVIDER_ACCOUNT, 0)])
async def test_a_fee_may_belong_to_one_payee_alone(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, account: str | None, operator_minor: int
) -> None:
    await stage.parties(conn, account)
    scene = await stage.billed(conn, psp, operator_minor=operator_minor)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE), ("settle", FEE)]
    items = await conn.fetch("select payee, amount_minor, state from remittance_item")
    assert [tuple(item) for item in items] == [("operator" if operator_minor else "provider:P", FEE, "paid")]


async def test_the_hosts_share_goes_to_the_operators_account_and_stays_owed(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp, host_minor=1_000)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE), ("settle", FEE)]
    settled = [entry for entry in await social.journal() if entry.get("order_id") == str(scene.session_id)][-1]
    assert [(part["seller"], part["amount"]) for part in settled["remittances"]] == [
        (PROVIDER_ACCOUNT, PROVIDER_SHARE - 1_000),
        (OPERATOR_ACCOUNT, OPERATOR_SHARE + 1_000),
    ]
    assert await stage.balances(conn) == {
        "bank": -OPERATOR_SHARE - 1_000,
        "operator:fee": OPERATOR_SHARE,
        "site:site:payable": 1_000,
    }
    assert await db.checks()["shares_remitted"].many(conn) == []


async def test_an_account_that_is_registered_late_is_paid(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    account = f"late-{uuid4()}"
    await stage.parties(conn, account)
    scene = await stage.billed(conn, psp)
    async with stage.working(pool, psp):
        async with asyncio.timeout(20):
            while not await conn.fetchval("select bool_or(last_error like '%SELLER%') from outbox"):
                pass
        await social.call("POST", "/v1/sellers", {"seller": account})
        await conn.execute("update outbox set attempts = 0 where state = 'waiting'")
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE), ("settle", FEE)]


async def test_a_fee_that_was_taken_under_a_key_we_lost_is_found_and_not_taken_again(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    assert scene.psp_ref is not None
    assert (await psp.capture(str(uuid4()), scene.psp_ref, FEE, "KRW")).end == "done"
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE), ("settle", FEE)]
    assert await stage.balances(conn) == PAID


async def test_a_hold_that_was_taken_otherwise_is_listed_and_not_posted_as_ours(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    assert scene.psp_ref is not None
    assert (await psp.capture(str(uuid4()), scene.psp_ref, FEE + 1, "KRW")).end == "done"
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert "psp:social:clearing" not in await stage.balances(conn)
    reason = await conn.fetchval("select details ->> 'reason' from exception where kind = 'collect_failed'")
    assert str(FEE + 1) in reason


async def test_many_workers_on_one_outbox_do_everything_once(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    scenes = [await stage.billed(conn, psp, POLICIES[i % 3]) for i in range(24)]
    async with stage.working(pool, psp), stage.working(pool, psp), stage.working(pool, psp):
        await stage.drained(conn)
    for scene in scenes:
        assert [name for name, _ in await stage.effects(social, scene)][1:] == ["settle"]
    assert await stage.balances(conn) == {account: 24 * balance for account, balance in PAID.items()}


@pytest.mark.parametrize(("claims", "paid"), [(900, True), (1_000, False)])
async def test_workers_that_died_with_a_job_do_not_use_up_its_attempts_until_it_is_clear_that_it_ends_them(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social, claims: int, paid: bool
) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    await conn.execute("update outbox set claims = $1", claims)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == ([("capture", FEE), ("settle", FEE)] if paid else [])
    assert await conn.fetchval("select count(*) from exception where kind = 'job_failed'") == (0 if paid else 1)


async def test_a_lapsed_lease_is_taken_over(pool: Pool, conn: Connection, social: SocialProcess, psp: Social) -> None:
    await stage.parties(conn)
    scene = await stage.billed(conn, psp)
    await conn.execute("update outbox set leased_until = now() + interval '0.2 s', attempts = 1")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await stage.effects(social, scene) == [("capture", FEE), ("settle", FEE)]


async def test_a_result_that_comes_after_its_job_was_ended_by_another_worker_changes_nothing(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    await stage.billed(conn, psp)
    (late,) = await outbox.claim(conn, 1, 0.0)
    assert late.of is not None
    async with stage.working(pool, psp):
        await stage.drained(conn)
    await outbox.save(conn, [settle.not_collected(late, late.of, "declined", stage.START)])
    assert await stage.balances(conn) == PAID
    assert await conn.fetchval("select count(*) from exception") == 0


async def test_a_released_authorization_holds_nothing_any_more(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    for kind in ("delay", *HARMLESS):
        id_, ref = await stage.authorization(conn, psp, "voiding")
        await stage.insert_void(conn, id_)
        await social.fail("cancel", kind)
        async with stage.working(pool, psp):
            await stage.drained(conn)
        cancels = [entry for entry in await social.journal() if entry.get("payment_key") == ref]
        assert [entry["operation"] for entry in cancels] == ["authorize", "cancel"]
        assert await conn.fetchval("select state from psp_authorization where id = $1", id_) == "voided"


async def test_means_that_were_only_stored_need_no_release(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.parties(conn)
    id_, _ = await stage.authorization(conn, psp, "voiding", "charge_after")
    await stage.insert_void(conn, id_)
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await conn.fetchval("select state from psp_authorization where id = $1", id_) == "voided"


async def test_a_kind_that_nobody_knows_is_listed_and_not_tried_for_ever(
    pool: Pool, conn: Connection, social: SocialProcess, psp: Social
) -> None:
    await stage.insert_job(conn, "psp.dance", "k", "session/1", "{}")
    async with stage.working(pool, psp):
        await stage.drained(conn)
    assert await conn.fetchval("select kind from exception") == "job_failed"
    assert stage.START + timedelta(hours=2) == await conn.fetchval("select opened_at from exception")
