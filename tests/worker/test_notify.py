"""Others are told what happened, each thing once, signed, until they take it or have taken nothing for days."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from csms import db
from csms.base import webhook
from csms.db import SQL, Connection, Pool
from csms.hooks.webhooks import WebhookNotifier
from csms.psp.social import Social
from csms.store.notices import Notice, tell
from csms.worker.notify import FAILING_S_MAX, WAITS_S, Herald
from tests.hooks.test_webhooks import Listener, listening
from tests.psp.social_process import SocialProcess
from tests.worker import scene as stage
from tests.worker.scene import FEE, START

SECRET = webhook.secret(b"s" * 32)
NEWS = Notice("statement/1", "statement.ready", "P", None, {"due": {"minor": 7001, "currency": "KRW"}}, START)


@pytest.fixture
async def psp(social: SocialProcess, conn: Connection) -> AsyncIterator[Social]:
    await stage.parties(conn)
    psp = stage.adapter(social)
    yield psp
    await psp.close()


@pytest.fixture
async def notifier() -> AsyncIterator[WebhookNotifier]:
    made = WebhookNotifier(private=True)
    yield made
    await made.close()


async def endpoint(conn: Connection, url: str, *types: str, provider: str | None = None) -> UUID:
    """Somebody who wants to be told."""
    id_ = uuid4()
    await SQL.add_endpoint.run(conn, id_, url, None, list(types), provider, [SECRET])
    return id_


def herald(pool: Pool) -> Herald:
    """Looks for news when it is told to."""
    return Herald(pool, lambda: START, lambda: None)


def told(listener: Listener) -> list[dict[str, Any]]:
    """What arrived there."""
    return [json.loads(body) for _, body in listener.got]


async def test_a_bill_is_told_once_with_its_money_as_rest_writes_it(
    pool: Pool, conn: Connection, psp: Social, notifier: WebhookNotifier
) -> None:
    async with listening() as listener:
        await endpoint(conn, listener.url)
        scene = await stage.billed(conn, psp)
        assert await herald(pool).sweep() == 1
        assert await herald(pool).sweep() == 0
        async with stage.working(pool, psp, notifier=notifier):
            await stage.drained(conn)
    [body] = told(listener)
    assert body["type"] == "bill.issued"
    assert body["data"]["session"] == str(scene.session_id)
    assert body["data"]["total"] == {"amount": str(FEE), "currency": "KRW", "minor": FEE}
    headers, raw = listener.got[0]
    assert webhook.fault([webhook.key_of(SECRET)], headers, raw, int(headers["webhook-timestamp"])) is None
    assert await db.check(conn, {"jobs_listed": db.checks()["jobs_listed"]}) == {}


async def test_only_what_happens_after_the_first_endpoint_is_told(pool: Pool, conn: Connection, psp: Social) -> None:
    await stage.billed(conn, psp)
    assert await herald(pool).sweep() == 0
    await endpoint(conn, "https://example.com/")
    await stage.billed(conn, psp)
    assert await herald(pool).sweep() == 1


async def test_a_bill_whose_transaction_is_still_open_is_told_after_it_not_lost(
    dsn: str, pool: Pool, conn: Connection, psp: Social
) -> None:
    await endpoint(conn, "https://example.com/")
    slow = await db.connect(dsn)
    try:
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "insert into exception (id, kind, ref, opened_at) values ($1, 'session_review', 's-1', now())", uuid4()
        )
        await stage.billed(conn, psp)  # begun later, committed earlier
        assert await herald(pool).sweep() == 0
        await transaction.commit()
    finally:
        await slow.close()
    assert await herald(pool).sweep() == 2
    types = [row["type"] for row in await conn.fetch("select type from notice order by type")]
    assert types == ["bill.issued", "session.review"]


async def test_many_sweeps_at_once_and_in_small_pieces_tell_everything_once(
    pool: Pool, conn: Connection, psp: Social
) -> None:
    await endpoint(conn, "https://example.com/")
    for _ in range(7):
        await stage.billed(conn, psp)
    for number in range(5):
        await conn.execute(
            "insert into exception (id, kind, ref, opened_at) values ($1, 'session_review', $2, now())",
            uuid4(),
            str(number),
        )
    taken = []
    while rows := await SQL.sweep_notices.value(conn, 3, START):
        taken.append(rows)
    assert sum(taken) == 12
    assert max(taken) == 3
    assert await conn.fetchval("select count(*) from notice") == 12
    assert await conn.fetchval("select count(*) from outbox where kind = 'notify'") == 12


async def test_a_restored_database_is_swept_from_what_is_written_since(
    pool: Pool, conn: Connection, psp: Social
) -> None:
    await endpoint(conn, "https://example.com/")
    await stage.billed(conn, psp)
    await conn.execute("update sweep set system_identifier = 1, next_xid = '9000000000'")
    assert await herald(pool).sweep() == 0
    await stage.billed(conn, psp)
    assert await herald(pool).sweep() == 1


async def test_a_provider_is_told_its_own_news_and_of_the_types_it_asked_for(conn: Connection, psp: Social) -> None:
    await conn.execute("begin; insert into provider values ('Q', 'Q', '{}', 1, now());"
                       "insert into provider_terms values ('Q', 1, 0, 0, 0, null, now()); commit")  # fmt: skip
    mine = await endpoint(conn, "https://p.example/", provider="P")
    await endpoint(conn, "https://q.example/", provider="Q")
    await endpoint(conn, "https://other.example/", "bill.issued")
    every = await endpoint(conn, "https://all.example/", "statement.ready", "ping")
    assert await tell(conn, [NEWS]) == 2
    assert await tell(conn, [NEWS]) == 0
    jobs = await conn.fetch("select payload ->> 'endpoint' as id from outbox where kind = 'notify'")
    assert {row["id"] for row in jobs} == {str(mine), str(every)}


async def test_what_nobody_wants_to_know_is_not_kept(conn: Connection, psp: Social) -> None:
    assert await tell(conn, [NEWS]) == 0
    assert await conn.fetchval("select count(*) from notice") == 0


async def test_a_message_that_is_not_taken_is_sent_again_the_same_for_over_a_day(
    pool: Pool, conn: Connection, psp: Social, notifier: WebhookNotifier
) -> None:
    failures = len(WAITS_S)
    async with listening(*[web.Response(status=503) for _ in range(failures)]) as listener:
        id_ = await endpoint(conn, listener.url)
        await tell(conn, [NEWS])
        waits = []
        async with stage.working(pool, psp, notifier=notifier):
            for number in range(1, failures + 1):
                await stage.until(conn, f"select bool_and(attempts = {number} and leased_until is null) from outbox")
                waits.append(await conn.fetchval("select extract(epoch from next_at - now())::float8 from outbox"))
                await conn.execute("update outbox set next_at = now()")
            await stage.drained(conn)
    assert sum(waits) > 24 * 3600
    assert all(0.8 * wait < got < 1.2 * wait for got, wait in zip(waits, WAITS_S, strict=True))
    assert len({body for _, body in listener.got}) == 1
    assert len({headers["webhook-id"] for headers, _ in listener.got}) == 1
    assert await conn.fetchval("select state from outbox") == "done"
    assert await conn.fetchval("select failing_since from webhook_endpoint where id = $1", id_) is None


async def test_after_the_last_attempt_a_message_is_given_up_and_the_books_stay_clean(
    pool: Pool, conn: Connection, psp: Social, notifier: WebhookNotifier
) -> None:
    async with listening(web.Response(status=500)) as listener:
        await endpoint(conn, listener.url)
        await tell(conn, [NEWS])
        await conn.execute("update outbox set attempts = $1", len(WAITS_S))
        async with stage.working(pool, psp, notifier=notifier):
            await stage.drained(conn)
    assert await conn.fetchval("select state from outbox") == "given_up"
    assert await db.check(conn, {"jobs_listed": db.checks()["jobs_listed"]}) == {}


@pytest.mark.parametrize("gone", [False, True])
async def test_an_endpoint_that_takes_nothing_for_days_is_disabled_and_people_are_told(
    pool: Pool, conn: Connection, psp: Social, notifier: WebhookNotifier, gone: bool
) -> None:
    async with listening(web.Response(status=410 if gone else 500)) as listener:
        id_ = await endpoint(conn, listener.url)
        if not gone:
            await conn.execute(
                "update webhook_endpoint set failing_since = now() - $1::float8 * interval '1 second'",
                FAILING_S_MAX + 9,
            )
        await tell(conn, [NEWS])
        async with stage.working(pool, psp, notifier=notifier):
            await stage.until(conn, "select disabled_at is not null from webhook_endpoint")
            await conn.execute("update outbox set next_at = now() where state = 'waiting'")
            await stage.drained(conn)
        assert len(listener.got) == 1
    assert await tell(conn, [Notice("x", "ping", None, None, {}, START)]) == 0
    listed = await conn.fetchrow("select kind, details ->> 'endpoint' as endpoint from exception")
    assert tuple(listed) == ("webhook_endpoint_disabled", str(id_))


async def test_after_a_rotation_both_secrets_sign_and_then_the_new_one_alone(
    pool: Pool, conn: Connection, psp: Social, notifier: WebhookNotifier
) -> None:
    new = webhook.secret(b"n" * 32)
    async with listening() as listener:
        id_ = await endpoint(conn, listener.url)
        await SQL.rotate_endpoint_secret.run(conn, id_, new, 3600.0)
        await tell(conn, [NEWS])
        async with stage.working(pool, psp, notifier=notifier):
            await stage.drained(conn)
            await conn.execute("update webhook_endpoint set old_secret_until = now()")
            await tell(conn, [Notice("y", "ping", None, None, {}, START)])
            await stage.drained(conn)
    good = []
    for headers, body in listener.got:
        at = int(headers["webhook-timestamp"])
        good.append([webhook.fault([webhook.key_of(s)], headers, body, at) is None for s in (SECRET, new)])
    assert good == [[True, True], [False, True]]
