"""Sessions, bills, reports and commands through the running interface, over a day that the road wrote."""

from __future__ import annotations

import asyncio
import csv
import io
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from csms import db
from csms.api.problems import Problem
from csms.api.reports import turn
from csms.domain.commands import StartSession, StopSession
from csms.flows import reports
from tests.api.books import a_day
from tests.api.conftest import Rest

SESSION = {"station": "S1", "connector": 1, "token": "a0:a0:a0:a0"}


@pytest.fixture
async def day(rest: Rest, dsn: str) -> tuple[Rest, dict[str, UUID]]:
    """The interface over `books.a_day`, and its sessions."""
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
    return rest, sessions


Day = tuple[Rest, dict[str, UUID]]


async def every(rest: Rest, path: str, limit: int = 2) -> list[dict[str, object]]:
    """All items of a list, page by page."""
    items, cursor = [], ""
    while True:
        page = await rest.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        items += page["items"]
        assert len(page["items"]) <= limit
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"


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


@pytest.mark.parametrize("name", ["bills", "settlements"])
async def test_json_pages_and_csv_tell_the_same(day: Day, name: str) -> None:
    rest, _ = day
    pages = await every(rest, f"/reports/{name}", limit=1)
    reply = await rest.ask("GET", f"/reports/{name}?format=csv")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    columns, *rows = list(csv.reader(io.StringIO(reply.body.decode(), newline="")))
    assert columns == (await rest.get(f"/reports/{name}"))["columns"]
    assert rows == [["" if value is None else str(value) for value in item.values()] for item in pages]
    assert all(list(item) == columns for item in pages) and len(rows) > 0
    marked = await rest.ask("GET", f"/reports/{name}?format=csv&bom=true")
    assert marked.body == b"\xef\xbb\xbf" + reply.body
    assert len((await rest.ask("GET", f"/reports/{name}?format=csv&limit=1")).body.splitlines()) == 2


async def test_settlements_add_up_the_bills(day: Day) -> None:
    rest, _ = day
    bills = await every(rest, "/reports/bills")
    whole = (await rest.get("/reports/settlements?by=period"))["items"]
    assert len(whole) == 1 and whole[0]["day"] is None
    row = whole[0]
    assert (row["sessions"], row["fees"], row["fees_minor"]) == (3, "4500", 4500)
    for total, part in (("fees", "total"), ("vat", "vat"), ("operator_share",) * 2, ("provider_share",) * 2):
        assert row[f"{total}_minor"] == sum(bill[f"{part}_minor"] for bill in bills)  # type: ignore[misc]
    assert (row["provider_paid_minor"], row["provider_open_minor"]) == (1350, 2700)
    assert (await rest.get("/reports/settlements?provider=Q"))["items"] == []
    days = [item["day"] for item in (await rest.get("/reports/settlements?zone=Pacific/Auckland"))["items"]]
    assert days == ["2026-11-21"]
    assert (await rest.get("/reports/settlements?to=2026-11-20"))["items"] == []


async def test_a_report_is_asked_for_by_its_own_parameters(day: Day) -> None:
    rest, _ = day
    assert (await rest.ask("GET", "/reports/bills?by=day")).status == 422
    assert (await rest.ask("GET", "/reports/nothing")).status == 404
    assert (await rest.ask("GET", "/reports/settlements?zone=Mars")).status == 422
    assert (await rest.ask("GET", "/reports/bills?format=pdf")).status == 400
    for cursor in ("WyJhIl0", "W251bGxd", "e30", "WyJhIiwiYiJd"):
        for form in ("json", "csv"):
            reply = await rest.ask("GET", f"/reports/bills?cursor={cursor}&format={form}")
            assert reply.status in (200, 422), reply.body


async def test_what_a_spreadsheet_would_run_is_made_harmless(day: Day) -> None:
    rest, _ = day
    async with rest.pool.acquire() as conn:
        await conn.execute("set session_replication_role = replica")
        await conn.execute("update bill set token_masked = '=cmd()', psp = '@x' where energy_wh = 0")
        await conn.execute("set session_replication_role = origin")
    text = (await rest.ask("GET", "/reports/bills?format=csv")).body.decode()
    assert ",'=cmd()," in text and ",'@x," in text
    assert reports.csv_line(["-5.00", -5, "+1", "\tx", 'a"b', None]) == '-5.00,-5,\'+1,\'\tx,"a""b",\r\n'


async def test_every_report_says_what_it_tells_and_takes() -> None:
    for name, query in db.reports().items():
        assert reports.summaries()[name].endswith(".")
        assert list(reports.parameters(query))[:5] == ["from", "to", "provider", "after", "limit"]


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


async def test_reports_stream_while_others_ask(day: Day) -> None:
    rest, _ = day
    replies = await asyncio.gather(*[rest.ask("GET", "/reports/bills?format=csv") for _ in range(12)])
    assert {reply.body for reply in replies} == {replies[0].body} and replies[0].status == 200


async def test_slow_readers_do_not_keep_others_waiting_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("csms.api.reports.TURN_S_MAX", 0.02)
    streams = asyncio.Semaphore(1)
    async with turn(streams):
        with pytest.raises(Problem) as refused:
            await turn(streams).__aenter__()
    assert refused.value.status == 503
    async with turn(streams):
        assert streams.locked()


async def test_half_a_report_never_looks_whole(day: Day) -> None:
    rest, _ = day
    async with rest.pool.acquire() as conn:
        names = await conn.fetchval(
            "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute"
            " where attrelid = 'bill'::regclass and attnum > 2"
        )
        await conn.execute(
            f"insert into bill (id, session_id, {names})"
            f" select gen_random_uuid(), gen_random_uuid(), {names} from bill, generate_series(1, 8000)"
        )
    headers = {"Authorization": f"Bearer {await rest.token('admin')}"}
    async with rest.http.get(f"{rest.base}/api/v1/reports/bills?format=csv", headers=headers) as response:
        assert response.status == 200 and len(await response.content.read(100)) > 0
        conn = await asyncpg.connect(rest.dsn)
        await conn.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '%from bill b%'"
            " and pid <> pg_backend_pid() and datname = current_database()"
        )
        await conn.close()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await rest.raw("GET", "/healthz")).status == 200
