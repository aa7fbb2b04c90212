"""The trail of what people changed: complete, in one order, and no event can be altered unseen. Erasure of a driver."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from csms import db
from csms.flows.erase import erase
from tests import make
from tests.api.conftest import Rest
from tests.make import NOON


async def trail(rest: Rest, query: str = "") -> list[dict[str, Any]]:
    """The events, the oldest first."""
    items: list[dict[str, Any]] = (await rest.get(f"/audit{query}"))["items"]
    return items[::-1]


async def wrong(conn: db.Connection) -> list[tuple[int, str]]:
    """What `csms check` says of the trail."""
    return [tuple(row) for row in await db.checks()["audit_chain"].many(conn)]


async def test_every_change_is_told_with_who_asked_for_what_and_what_came_of_it(seeded: Rest) -> None:
    await seeded.post("/sites", {"id": "new", "provider": "P", "name": "New", "time_zone": "UTC"})
    await seeded.ask("PATCH", "/stations/S1", json={"strict": True}, headers={"X-Request-Id": "by-me"})
    await seeded.ask("PATCH", "/stations/none", json={"strict": True})
    await seeded.post(
        "/drivers/ann/top-ups",
        {"amount": {"minor": 5, "currency": "KRW"}, "payment_ref": "r", "psp": "cash"},
        headers={"Idempotency-Key": "k"},
    )
    events = await trail(seeded)
    assert {event["client"] for event in events} == {events[0]["client"]} and events[0]["client"].startswith("client-")
    told = [(event["method"], event["route"], event["object"], event["status"]) for event in events]
    assert told[:3] == [
        ("POST", "/sites", {}, 201),
        ("PATCH", "/stations/{station}", {"station": "S1"}, 200),
        ("PATCH", "/stations/{station}", {"station": "none"}, 404),
    ]
    assert told[-1] == ("POST", "/drivers/{driver}/top-ups", {"driver": "ann"}, 201)
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert events[1]["request_id"] == "by-me"
    assert events[1]["body_hash"] == hashlib.sha256(b'{"strict": true}').hexdigest()


async def test_what_reads_or_only_previews_leaves_no_event(seeded: Rest) -> None:
    await seeded.get("/stations")
    await seeded.ask("POST", "/stations", scopes=("stations:read",), json={})
    assert await trail(seeded) == []


async def test_what_a_station_is_asked_is_told_before_and_after(seeded: Rest) -> None:
    seeded.connect("S1")
    await seeded.post("/sessions", {"station": "S1", "connector": 1, "token": make.ANN})
    assert [event["status"] for event in await trail(seeded)] == [None, 202]


async def test_a_change_and_its_event_stand_or_fall_together(seeded: Rest) -> None:
    async with seeded.pool.acquire() as conn:
        await conn.execute("alter table audit_event add constraint full_now check (n < 2)")
        await seeded.post("/sites", {"id": "first", "provider": "P", "name": "New", "time_zone": "UTC"})
        reply = await seeded.ask(
            "POST", "/sites", json={"id": "second", "provider": "P", "name": "New", "time_zone": "UTC"}
        )
        assert reply.status == 500
        assert await conn.fetchval("select count(*) from site where id in ('first', 'second')") == 1


async def test_many_at_once_make_one_chain(seeded: Rest, conn: db.Connection) -> None:
    bodies = [{"id": f"site-{n}", "provider": "P", "name": "New", "time_zone": "UTC"} for n in range(16)]
    await asyncio.gather(*[seeded.post("/sites", body) for body in bodies])
    assert await conn.fetchval("select count(*), max(n) from audit_event") == 16
    assert await conn.fetchval("select n from audit_head") == 16
    assert await wrong(conn) == []


@pytest.mark.parametrize(
    ("tampering", "at"),
    [
        ("update audit_event set client = 'another' where n = 2", 2),
        ("update audit_event set status = 404 where n = 2", 2),
        ("update audit_event set object = '{}' where n = 2", 2),
        ("update audit_event set at = at - interval '1 second' where n = 2", 2),
        ("delete from audit_event where n = 2", 3),
        ("delete from audit_event where n = 4", 4),
        ("update audit_event e set client = 'x', hash = audit_hash((n, at, 'x', provider_id, driver_id, method, route,"
         " object, body_hash, status, request_id, previous, '')::audit_event) where n = 2", 3),
    ],
)  # fmt: skip
async def test_a_tampered_trail_is_found(seeded: Rest, conn: db.Connection, tampering: str, at: int) -> None:
    for n in range(4):
        await seeded.ask("PATCH", "/stations/S1", json={"strict": n % 2 == 0})
    assert await wrong(conn) == []
    with pytest.raises(asyncpg.RestrictViolationError):
        await conn.execute(tampering)
    await conn.execute("alter table audit_event disable trigger user")
    await conn.execute(tampering)
    assert at in {n for n, _ in await wrong(conn)}


async def test_a_providers_staff_see_what_their_own_clients_asked(seeded: Rest) -> None:
    await seeded.ask("PATCH", "/stations/S1", json={"strict": True})
    own = await seeded.token("stations:write", "reports:read", provider="P")
    headers = {"Authorization": f"Bearer {own}"}
    changed = await seeded.raw("PATCH", "/api/v1/stations/S2", json={"strict": True}, headers=headers)
    assert changed.status == 200
    events = (await seeded.raw("GET", "/api/v1/audit", headers=headers)).json["items"]
    assert [(event["object"], event["provider"]) for event in events] == [({"station": "S2"}, "P")]


async def test_the_trail_is_read_in_pages_and_by_what_is_asked(seeded: Rest) -> None:
    for n in range(5):
        await seeded.ask("PATCH", f"/stations/S{1 + n % 2}", json={"strict": True})
    first = await seeded.get("/audit?limit=3")
    rest = await seeded.get(f"/audit?limit=3&cursor={first['next_cursor']}")
    assert [event["n"] for event in first["items"] + rest["items"]] == [5, 4, 3, 2, 1] and rest["next_cursor"] is None
    assert (await seeded.get("/audit?route=/sites"))["items"] == []
    assert len(await trail(seeded, "?route=/stations/{station}&from=2026-11-20&to=2026-11-21")) == 5
    assert (await seeded.ask("GET", "/audit?cursor=bm9uZQ")).status == 400


# Erasure ---------------------------------------------------------------------------------------------------------


async def one_use(rest: Rest, dsn: str) -> None:
    """Ann has charged, was charged, and has spent all the rest."""
    async with rest.pool.acquire() as conn:
        await conn.execute("insert into driver_identity values ('https://issuer.example', 'ann@example.org', 'ann')")
        await conn.execute(
            "insert into parked_report values (gen_random_uuid(), 'S1', 'a', 'r', 'tag a0a0a0a0', null, now())"
        )
        async with make.Told(dsn) as told:
            await told.tell_apart([make.started(), make.metered(), make.ended()])
    await empty(rest)


async def empty(rest: Rest) -> None:
    """What is left of Ann's balance goes."""
    async with rest.pool.acquire() as conn:
        left = await conn.fetchval("select balance from guarded_account where address = 'driver:ann:balance'")
        await conn.execute(
            "select post(array[(gen_random_uuid(), 'empty', 'x', 'x', now())]::posting_in[],"
            " array[(1, 1, 'driver:ann:balance', 'bank', 'KRW', $1)]::transfer_in[])",
            left,
        )


async def test_an_erased_drivers_person_is_gone_and_every_posting_stays(seeded: Rest, dsn: str) -> None:
    await one_use(seeded, dsn)
    async with seeded.pool.acquire() as conn:
        before = await conn.fetch("select * from transfer order by posting_id, seq")
        bill = await conn.fetchrow("select * from bill")
        await seeded.ask("PUT", "/drivers/ann/tokens/A0A0A0A0/limit", json={"limits": []})
        reply = await seeded.ask("POST", "/drivers/ann/erasure")
        assert reply.status == 200, reply.body
        assert await conn.fetch("select * from transfer order by posting_id, seq") == before
        after = dict(await conn.fetchrow("select * from bill"))
        assert bill["token_masked"] and after == {**dict(bill), "token_masked": None}
        for table in (
            "token", "driver_identity", "session", "bill", "parked_report", "psp_authorization", "driver",
            "audit_event",
        ):  # fmt: skip
            for row in await conn.fetch(f"select t::text as text from {table} t"):
                assert "A0A0A0A0" not in row["text"].upper() and "ann@" not in row["text"], (table, row)
        assert await conn.fetchval("select count(*) from session where token_key is not null") == 0
    shown = await seeded.get("/drivers/ann")
    assert (shown["name"], shown["status"]) == (None, "blocked")
    assert (await seeded.get("/drivers/ann/tokens"))["items"] == []
    assert len((await seeded.get("/bills?driver=ann"))["items"]) == 1
    again = await seeded.ask("POST", "/drivers/ann/erasure")
    assert (again.status, again.json) == (200, reply.json)


async def test_nobody_gets_a_token_or_a_name_under_an_erased_id(seeded: Rest, dsn: str) -> None:
    await one_use(seeded, dsn)
    await seeded.post("/drivers/ann/erasure", None)
    assert (await seeded.ask("POST", "/drivers/ann/tokens", json={"value": "CAFECAFE"})).status == 409
    for patch in ({"name": "Ann"}, {"status": "active"}):
        assert (await seeded.ask("PATCH", "/drivers/ann", json=patch)).status == 409


async def test_a_driver_with_anything_open_is_not_erased(seeded: Rest, dsn: str) -> None:
    async def refused() -> str:
        reply = await seeded.ask("POST", "/drivers/ann/erasure")
        assert reply.status == 409, reply.body
        return str(reply.json["detail"]).rpartition(": ")[2]

    async with seeded.pool.acquire() as conn, make.Told(dsn) as told:
        await told.tell(make.started())
        assert await refused() == "a session has not been settled"
        await told.tell(make.ended())
        assert await refused() == "the balance is not 0"
        await empty(seeded)
        owed = "select post(array[(gen_random_uuid(), $1, 'x', 'x', now())]::posting_in[], array[{}]::transfer_in[])"
        await conn.execute(owed.format("(1, 1, 'driver:ann:debt', 'bank', 'KRW', 7)"), "owe")
        assert await refused() == "a debt is not paid"
        await conn.execute(owed.format("(1, 1, 'bank', 'driver:ann:debt', 'KRW', 7)"), "pay")
        await conn.execute("""
            with paid as (insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)
                values (gen_random_uuid(), 'social', 'r', 'ann', 'top_up', 9, 'KRW', now()) returning id)
            insert into refund (id, payment_id, driver_id, amount_minor, currency, psp, reason, asked_at)
            select gen_random_uuid(), id, 'ann', 9, 'KRW', 'social', 'x', now() from paid""")
        assert await refused() == "a refund is on its way"
        await conn.execute("update refund set state = 'paid'")
    assert (await seeded.ask("POST", "/drivers/ann/erasure")).status == 200


@asynccontextmanager
async def erasing(dsn: str, driver_id: str) -> AsyncIterator[db.Connection]:
    """An erasure that is not committed yet."""
    other = await asyncpg.connect(dsn)
    try:
        async with other.transaction():
            assert await erase(other, driver_id, NOON) == NOON
            yield other
    finally:
        await other.close()


async def test_a_session_that_begins_during_an_erasure_is_nobodys(seeded: Rest, dsn: str) -> None:
    async with make.Told(dsn) as told, seeded.pool.acquire() as conn:
        await told.tell(make.presented(make.BOB))
        async with erasing(dsn, "bob"):
            begun = told.send(make.started(token=make.BOB))
            await waiting(conn)
        assert (await begun).status == "invalid"
        assert [row["driver_id"] for row in await conn.fetch("select driver_id from session")] == [None]


async def test_no_psp_is_asked_about_a_driver_who_is_being_erased(seeded: Rest, dsn: str) -> None:
    async with make.Told(dsn) as told, seeded.pool.acquire() as conn:
        await conn.execute("insert into driver_identity values ('https://social.example', 'sue', 'bob')")
        async with erasing(dsn, "bob"):
            presented = told.send(make.presented(make.SUE))
            await waiting(conn)
        assert (await presented).status == "invalid"
        assert not told.asks and not await conn.fetchval("select exists (select from psp_authorization)")


async def test_what_a_psp_was_asked_about_a_person_goes_with_the_driver(seeded: Rest, dsn: str) -> None:
    async with make.Told(dsn) as told, seeded.pool.acquire() as conn:
        told.send(make.presented(make.SUE))
        await until(lambda: bool(told.asks))
        await conn.execute("insert into driver_identity values ('https://social.example', 'sue', 'bob')")
        refused = await seeded.ask("POST", "/drivers/bob/erasure")
        assert refused.status == 409 and refused.json["detail"].endswith("a payment is being made")
        await told.tell(make.verdict(told.asks[0], "declined"))
        assert (await seeded.ask("POST", "/drivers/bob/erasure")).status == 200
        rows = await conn.fetch("select issuer, subject, state from psp_authorization")
        assert [tuple(row) for row in rows] == [("", "", "declined")]


async def test_a_token_given_during_an_erasure_is_refused(seeded: Rest, dsn: str) -> None:
    async with seeded.pool.acquire() as conn:
        async with erasing(dsn, "bob"):
            given = asyncio.create_task(seeded.ask("POST", "/drivers/bob/tokens", json={"value": "CAFECAFE"}))
            await waiting(conn)
        assert (await given).status == 409
        assert await conn.fetchval("select count(*) from token where driver_id = 'bob'") == 0


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def waiting(conn: db.Connection) -> None:
    """Until somebody waits for a lock."""
    async with asyncio.timeout(10):
        while not await conn.fetchval(  # noqa: ASYNC110
            "select exists (select from pg_stat_activity where datname = current_database()"
            " and cardinality(pg_blocking_pids(pid)) > 0)"
        ):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("id_", ["01012345678", "010-1234-5678", "900101-1234567", "me"])
async def test_an_id_that_tells_who_somebody_is_cannot_be_chosen(rest: Rest, id_: str) -> None:
    reply = await rest.ask("POST", "/drivers", json={"id": id_})
    assert reply.status == 422 and reply.json["errors"][0]["pointer"] == "/id"
