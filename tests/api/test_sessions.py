"""Sessions, bills and commands through the running interface, over a day that the road wrote."""

from __future__ import annotations

from uuid import UUID

import pytest

from csms.domain.commands import StartSession, StopSession
from tests.api.books import a_day
from tests.api.conftest import Rest
from tests.api.pages import every

SESSION = {"station": "S1", "connector": 1, "token": "a0:a0:a0:a0"}


@pytest.fixture
async def day(rest: Rest, dsn: str) -> tuple[Rest, dict[str, UUID]]:
    """The interface over `books.a_day`, and its sessions."""
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
    return rest, sessions


Day = tuple[Rest, dict[str, UUID]]


async def test_a_session_and_its_bill_tell_the_same(day: Day) -> None:
    rest, sessions = day
    session = await rest.get(f"/sessions/{sessions['paid']}")
    assert session["fee"] == {"amount": "3000", "currency": "KRW", "minor": 3000}
    assert (session["energy_wh"], session["token"], session["state"]) == (10000, "a0...a0".upper(), "completed")
    assert session["started_at"] == "2026-11-20T12:00:00.000Z"
    bill = await rest.get(f"/sessions/{sessions['paid']}/bill")
    assert bill == await rest.get(f"/bills/{bill['id']}")
    assert bill["total"]["minor"] == bill["operator_share"]["minor"] + bill["provider_share"]["minor"] == 3000
    assert (await rest.get(f"/sessions/{sessions['idle']}/bill"))["total"]["minor"] == 0
    assert (await rest.ask("GET", f"/sessions/{sessions['running']}/bill")).status == 404
    money = (await rest.get("/drivers/ann/balance"))["balances"][0]
    assert (money["balance"]["minor"], money["held"]["minor"]) == (17000, 30000)


async def test_lists_are_narrowed_and_paged(day: Day) -> None:
    rest, sessions = day
    everything = await every(rest, "/sessions")
    assert [session["ref"] for session in everything] == ["running", "odd", "social", "idle", "paid"]
    assert {s["ref"] for s in await every(rest, "/sessions?state=completed")} == {"paid", "idle", "social"}
    assert [s["ref"] for s in await every(rest, "/sessions?station=S2")] == ["odd"]
    assert [s["ref"] for s in await every(rest, "/sessions?driver=ann&from=2026-11-20T14:00:00Z")] == ["running"]
    assert await every(rest, "/sessions?to=2026-11-20T12:00:00Z") == []
    assert len(await every(rest, "/bills")) == 3
    assert [b["session"] for b in await every(rest, "/bills?station=S1&driver=ann")] == [
        str(sessions["idle"]), str(sessions["paid"]),
    ]  # fmt: skip


async def test_what_needs_people_is_listed(day: Day) -> None:
    rest, sessions = day
    concern = (await rest.get("/exceptions"))["items"][0]
    assert (concern["kind"], concern["ref"]) == ("session_review", str(sessions["odd"]))
    async with rest.pool.acquire() as conn:
        await conn.execute(
            "insert into parked_report select gen_random_uuid(), 'S1', 'StopTransaction', 'odd', 'SECRET', null, now()"
        )
        await conn.execute("update exception set resolved_at = now()")
    parked = (await rest.get("/parked-reports", scopes=("stations:read",)))["items"][0]
    assert parked["reason"] == "odd" and parked["raw"] is None
    path = f"/parked-reports/{parked['id']}"
    assert (await rest.ask("GET", path, scopes=("stations:read",))).status == 403
    assert "SECRET" in (await rest.get(path))["raw"]
    assert (await rest.get("/exceptions"))["items"] == []
    assert len((await rest.get("/exceptions?resolved=true"))["items"]) == 1


async def test_a_start_from_afar_carries_a_token_that_counts_once(seeded: Rest) -> None:
    got = seeded.connect("S1")
    reply = await seeded.ask("POST", "/sessions?wait=5", json=SESSION)
    assert reply.status == 200 and reply.json["state"] == "answered"
    assert isinstance(got[0], StartSession) and got[0].connector == 1 and len(got[0].token) == 16
    assert await seeded.get(f"/commands/{reply.json['id']}") == reply.json
    assert got[0].token not in str(reply.json)
    async with seeded.pool.acquire() as conn:
        row = await conn.fetchrow("select single_use, driver_id, station_id, value from token where type = 'remote'")
    assert tuple(row) == (True, "ann", "S1", None)


async def test_a_start_that_cannot_be_is_refused_with_the_reason(seeded: Rest) -> None:
    got = seeded.connect("S1")
    for change, pointer in (
        ({"token": "FFFFFFFF"}, "/token"),
        ({"token": "E0E0E0E0"}, "/token"),
        ({"token": "AB10AB10"}, "/token"),
        ({"connector": 7}, "/connector"),
        ({"station": "nowhere"}, "/station"),
    ):
        reply = await seeded.ask("POST", "/sessions", json={**SESSION, **change})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), change
    assert got == []
    away = await seeded.ask("POST", "/sessions", json={**SESSION, "station": "S2"})
    assert away.status == 409 and "not connected" in away.json["detail"]


async def test_a_repeated_start_asks_the_station_once(seeded: Rest) -> None:
    got = seeded.connect("S1")
    replies = [await seeded.ask("POST", "/sessions", json=SESSION, headers={"Idempotency-Key": "go"}) for _ in range(3)]
    assert [reply.status for reply in replies] == [202, 202, 202] and len({r.json["id"] for r in replies}) == 1
    other = await seeded.ask("POST", "/sessions", json={**SESSION, "connector": 2}, headers={"Idempotency-Key": "go"})
    assert other.status == 422 and len(got) == 1


async def test_a_refused_start_leaves_its_idempotency_key_free(seeded: Rest) -> None:
    got = seeded.connect("S1")
    asked = {**SESSION, "token": "B1B1B1B1"}
    for _ in range(2):
        assert (await seeded.ask("POST", "/sessions", json=asked, headers={"Idempotency-Key": "go"})).status == 422
    await seeded.post("/drivers/ann/tokens", {"value": "B1B1B1B1"})

    assert (await seeded.ask("POST", "/sessions", json=asked, headers={"Idempotency-Key": "go"})).status == 202

    assert len(got) == 1


async def test_a_running_session_is_stopped_and_an_ended_one_is_not(day: Day) -> None:
    rest, sessions = day
    got = rest.connect("S1")
    assert (await rest.post(f"/sessions/{sessions['running']}/stop?wait=5", {}))["action"] == "StopSession"
    assert got == [StopSession("running")]
    assert (await rest.ask("POST", f"/sessions/{sessions['paid']}/stop")).status == 409
    assert (await rest.ask("POST", f"/sessions/{UUID(int=1)}/stop")).status == 404
