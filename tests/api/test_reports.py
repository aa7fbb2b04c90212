"""Reports through the running interface, over a day that the road wrote."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from decimal import Decimal
from uuid import UUID

import aiohttp
import asyncpg
import openpyxl
import pytest

from csms import db
from csms.api.problems import Problem
from csms.api.reports import turn
from csms.flows import reports
from csms.flows.sheets import csv_line
from tests.api.books import a_day
from tests.api.conftest import Rest
from tests.api.pages import every
from tests.make import NOON

Day = tuple[Rest, dict[str, UUID]]
AS_OF = "2026-11-20T12:00:00Z"


@pytest.fixture
async def day(rest: Rest, dsn: str) -> Day:
    """The interface over `books.a_day`, and its sessions."""
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
    return rest, sessions


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
    assert csv_line(["-5.00", -5, "+1", "\tx", 'a"b', None]) == '-5.00,-5,\'+1,\'\tx,"a""b",\r\n'
    for risky in (" =1", "\u00a0@x", "\ufeff=1", "\uff1d1+1", "\uff0b1", "\uff0d1+1", "\uff20x", "-1e5"):
        assert csv_line([risky]) == f"'{risky}\r\n"


async def test_every_report_says_what_it_tells_and_takes() -> None:
    for name, query in db.reports().items():
        assert reports.summaries()[name].endswith(".")
        assert {"after", "limit"} <= reports.parameters(query).keys()


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
            "select pg_terminate_backend(pid) from pg_stat_activity where query like '-- Every bill%'"
            " and pid <> pg_backend_pid() and datname = current_database()"
        )
        await conn.close()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await rest.raw("GET", "/healthz")).status == 200


@pytest.mark.parametrize("name", ["bills", "revenue", "trial-balance", "payments", "audit"])
async def test_a_workbook_has_the_cells_of_the_csv(day: Day, name: str) -> None:
    rest, _ = day
    text = (await rest.ask("GET", f"/reports/{name}?format=csv")).body.decode()
    reply = await rest.ask("GET", f"/reports/{name}?format=xlsx")
    assert reply.headers["Content-Type"].endswith("spreadsheetml.sheet")
    sheet = openpyxl.load_workbook(io.BytesIO(reply.body)).active
    cells = [["" if cell.value is None else str(cell.value) for cell in row] for row in sheet.iter_rows()]
    assert cells == list(csv.reader(io.StringIO(text, newline="")))
    minor = [place for place, column in enumerate(cells[0]) if column.endswith("_minor")]
    assert all(isinstance(row[place].value, int) for row in sheet.iter_rows(min_row=2) for place in minor)


async def test_a_formula_is_text_in_a_workbook_too(day: Day) -> None:
    rest, _ = day
    async with rest.pool.acquire() as conn:
        await conn.execute(
            "insert into exception (id, kind, ref, opened_at, owner) values"
            " (gen_random_uuid(), '=1+1', '@SUM(A1)', now(), '+49'), (gen_random_uuid(), '-x', E'\\tx', now(), '-5')"
        )
    reply = await rest.ask("GET", "/reports/exceptions?format=xlsx")
    found = {cell.value for row in openpyxl.load_workbook(io.BytesIO(reply.body)).active.iter_rows() for cell in row}
    assert {"'=1+1", "'@SUM(A1)", "'+49", "'-x", "'\tx", "-5"} <= found
    kinds = {
        cell.data_type for row in openpyxl.load_workbook(io.BytesIO(reply.body)).active.iter_rows() for cell in row
    }
    assert "f" not in kinds


@pytest.mark.parametrize("version", ["2.2.1", "2.3.0"])
async def test_bills_are_cdrs_in_ocpi_with_its_paging(day: Day, version: str) -> None:
    rest, _ = day
    bills = await every(rest, "/reports/bills")
    path, cdrs = f"/reports/bills?format=ocpi&limit=2&version={version}", []
    while path:
        reply = await rest.ask("GET", path)
        assert (reply.headers["X-Total-Count"], reply.headers["X-Limit"]) == (str(len(bills)), "1000")
        assert reply.json["status_code"] == 1000
        cdrs += reply.json["data"]
        following = re.fullmatch(r"<http.*?/api/v1(/[^>]+)>; rel=\"next\"", reply.headers.get("Link", ""))
        path = following[1] if following else ""
    assert [cdr["id"] for cdr in cdrs] == [bill["bill"] for bill in bills]
    paid = next(cdr for cdr in cdrs if cdr["total_energy"] == 10)
    assert (paid["country_code"], paid["party_id"], paid["currency"], paid["total_time"]) == ("KR", "CSM", "KRW", 1)
    assert paid["charging_periods"][0]["dimensions"][0] == {"type": "ENERGY", "volume": 10}
    price = paid["total_cost"]
    if version == "2.2.1":
        assert price == {"excl_vat": 2727, "incl_vat": 3000} and "tax_included" not in paid["tariffs"][0]
    else:
        assert price == {"before_taxes": 2727, "taxes": [{"name": "VAT", "amount": 273}]}
    assert "A0A0A0A0" not in str(cdrs)
    assert (await rest.ask("GET", "/reports/revenue?format=ocpi")).status == 422
    assert (await rest.ask("GET", "/reports/bills?format=ocpi&station=S1")).status == 422


async def test_a_credit_is_a_credit_cdr_of_its_charge(day: Day) -> None:
    rest, sessions = day
    async with rest.pool.acquire() as conn:
        await credit(conn, sessions["paid"], 1000)
    (cdr,) = [c for c in (await rest.get("/reports/bills?format=ocpi"))["data"] if c.get("credit")]
    charge = await rest.get(f"/sessions/{sessions['paid']}/bills")
    assert cdr["credit_reference_id"] in {bill["id"] for bill in charge["items"]}
    assert cdr["total_cost"]["incl_vat"] == -1000 and cdr["total_energy"] == 10
    (row,) = [r for r in (await rest.get("/reports/revenue"))["items"] if r["currency"] == "KRW"]
    assert (row["bills"], row["fees_minor"]) == (4, 3500)


async def credit(conn: db.Connection, session: UUID, minor: int) -> None:
    """A refund of a session's first bill, as it stands in the books of bills."""
    await conn.execute(
        "insert into bill (id, session_id, revision, station_id, connector, provider_id, tariff_id, tariff_version,"
        " terms_version, means, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor,"
        " not_charged_minor, operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at, kind,"
        " corrects, reason)"
        " select gen_random_uuid(), session_id, 2, station_id, connector, provider_id, tariff_id, tariff_version,"
        " terms_version, means, currency, started_at, ended_at, 0, 0, -$2::bigint, 0, 0, 0, 0, -$2::bigint, '[]',"
        " '{}', issued_at, 'credit', id, 'goodwill' from bill where session_id = $1",
        session,
        minor,
    )


async def test_an_as_of_gives_the_same_bytes_whatever_comes_in_later(day: Day) -> None:
    rest, _ = day
    names = (
        "bills",
        "revenue?by=station",
        "revenue?by=day&zone=Asia/Seoul",
        "vat",
        "trial-balance",
        "prepaid-liability",
    )
    asked = [
        f"/reports/{name}{'&' if '?' in name else '?'}as_of=2026-11-20T12:00:00Z&format={form}"
        for name in (*names, "prepaid-liability", "debts")
        for form in ("csv", "xlsx", "json")
    ]
    async with rest.pool.acquire() as conn:
        await copy_bills(conn, "2026-11-18 12:00Z")
        before = [await rest.ask("GET", path) for path in asked]
        assert {reply.status for reply in before} == {200}
        await copy_bills(conn, "2026-11-19 12:00Z")
        await conn.execute(
            "select post(array[(gen_random_uuid(), 'late', 'top_up', 'driver/ann', '2026-11-19')]::posting_in[],"
            " array[(1, 1, 'psp:social:clearing', 'driver:ann:balance', 'KRW', 5)]::transfer_in[])"
        )
        await conn.execute("select sum_bills(100), sum_transfers(100)")
    after = [await rest.ask("GET", path) for path in asked]
    assert [reply.body for reply in after] == [reply.body for reply in before]
    assert len({reply.headers.get("X-Snapshot-Taken-At") for reply in after if "X-As-Of" in reply.headers}) == 1
    assert [len(await every(rest, f"/reports/bills?to=2026-11-20{more}")) for more in ("", f"&as_of={AS_OF}")] == [6, 3]
    page = await rest.get(f"/reports/revenue?by=station&from=2026-11-01&as_of={AS_OF}")
    assert page["as_of"] == "2026-11-20T12:00:00.000Z" and page["snapshot_taken_at"]
    assert len((await rest.get(page["links"][0].removeprefix("/api/v1")))["items"]) == page["items"][0]["bills"] == 3


async def copy_bills(conn: db.Connection, issued_at: str) -> None:
    """Every bill once more, issued at another time."""
    names = await conn.fetchval(
        "select string_agg(quote_ident(attname), ', ') from pg_attribute where attrelid = 'bill'::regclass"
        " and attnum > 2 and attname not in ('issued_at', 'xid')"
    )
    await conn.execute(
        f"insert into bill (id, session_id, issued_at, {names})"
        f" select gen_random_uuid(), gen_random_uuid(), timestamptz '{issued_at}', {names} from bill"
        " where issued_at > timestamptz '2026-11-20 12:00Z'"
    )


async def test_an_as_of_is_refused_with_the_reason_where_it_means_nothing(day: Day) -> None:
    rest, _ = day
    refused = [name for name, query in db.reports().items() if "as_of" not in reports.parameters(query)]
    assert {"exceptions", "remittances", "refunds", "payments", "settlements"} <= set(refused)
    for name in refused:
        reply = await rest.ask("GET", f"/reports/{name}?as_of={AS_OF}")
        assert reply.status == 422 and f"the report {name} has no as_of: " in reply.json["detail"]
        assert not reply.json["detail"].endswith("it has no time")
    ahead = await rest.ask("GET", "/reports/bills?as_of=2026-11-20T12:00:01Z")
    assert ahead.status == 422 and "after now" in ahead.json["detail"]


async def test_every_figure_leads_to_bills_and_every_bill_to_its_transfers(day: Day) -> None:
    rest, sessions = day
    for by in ("day", "provider", "operator", "station", "connector_kind", "tariff"):
        page = await rest.get(f"/reports/revenue?by={by}&zone=Asia/Seoul&from=2026-11-01")
        assert len(page["links"]) == len(page["items"]) > 0
        for item, link in zip(page["items"], page["links"], strict=True):
            bills = await every(rest, link.removeprefix("/api/v1"))
            assert sum(bill["total_minor"] for bill in bills) == item["fees_minor"]  # type: ignore[misc]
            assert len(bills) == item["bills"]
    page = await rest.get("/reports/bills")
    place = [item["session"] for item in page["items"]].index(str(sessions["paid"]))
    transfers = (await rest.get(page["links"][place].removeprefix("/api/v1")))["items"]
    assert [(t["kind"], t["debit"], t["credit"], t["amount"]["minor"]) for t in transfers] == [
        ("hold", "driver:ann:balance", f"session:{sessions['paid']}:held", 30000),
        ("settle", f"session:{sessions['paid']}:held", "provider:P:payable", 2700),
        ("settle", f"session:{sessions['paid']}:held", "operator:fee", 300),
        ("settle", "operator:fee", "vat:output", 27),
        ("settle", f"session:{sessions['paid']}:held", "driver:ann:balance", 27000),
    ]
    account = await rest.get(transfers[1]["links"]["credit"].removeprefix("/api/v1"))
    assert account["balances"] == [account["items"][0]["balance"]]
    assert (await rest.ask("GET", f"/bills/{UUID(int=1)}/transfers")).status == 404


async def test_prepaid_money_is_as_old_as_what_came_in_last(rest: Rest) -> None:
    async with rest.pool.acquire() as conn:
        for key, at, debit, credit_, minor in (
            ("1", "2025-01-01", "bank", "driver:ann:balance", 1000),
            ("2", "2026-09-01", "bank", "driver:ann:balance", 500),
            ("3", "2026-09-02", "driver:ann:balance", "session:s:held", 900),
            ("4", "2026-11-19", "session:s:held", "driver:ann:balance", 100),
            ("5", "2026-11-18", "bank", "driver:bob:balance", 70),
            ("6", "2025-06-01", "driver:bob:debt", "provider:P:payable", 30),
            ("7", "2026-06-01", "driver:bob:debt", "provider:P:payable", 20),
            ("8", "2026-07-01", "bank", "driver:bob:debt", 35),
        ):
            await conn.execute(
                "select post(array[(gen_random_uuid(), $1, 'test', $1, $2::text::timestamptz)]::posting_in[],"
                " array[(1, 1, $3, $4, 'KRW', $5)]::transfer_in[])",
                *(key, at, debit, credit_, minor),
            )
    rows = (await rest.get(f"/reports/prepaid-liability?as_of={AS_OF}"))["items"]
    ages = ("driver", "balance_minor", "to_30_days_minor", "to_90_days_minor", "older_minor")
    assert [tuple(row[name] for name in ages) for row in rows] == [("ann", 700, 0, 500, 200), ("bob", 70, 70, 0, 0)]
    (whole,) = (await rest.get(f"/reports/prepaid-liability?by=currency&as_of={AS_OF}"))["items"]
    assert tuple(whole[name] for name in ages) == (None, 770, 70, 500, 200)
    one_by_one = await every(rest, f"/reports/prepaid-liability?as_of={AS_OF}", limit=1)
    assert one_by_one == rows
    (debt,) = (await rest.get("/reports/debts"))["items"]
    assert (debt["driver"], debt["owed_minor"], debt["since"]) == ("bob", 15, "2026-06-01T00:00:00.000Z")
    balances = {row["account"]: row for row in (await rest.get("/reports/trial-balance"))["items"]}
    assert balances["driver:*:balance"]["balance_minor"] == 770
    assert sum(row["balance_minor"] for row in balances.values()) == 0


async def test_reports_of_money_on_its_way_tell_both_ways_it_goes(day: Day) -> None:
    rest, sessions = day
    async with rest.pool.acquire() as conn:
        bill = await conn.fetchval("select id from bill where session_id = $1", sessions["social"])
        await conn.execute(
            "insert into payment (id, psp, psp_ref, driver_id, kind, session_id, amount_minor, currency, at)"
            " select $1, 'social', 'pay-9', driver_id, 'session', session_id, 1500, 'KRW', $2 from bill where id = $3",
            *(UUID(int=5), NOON, bill),
        )
        await conn.fetchval(
            "select begin_refund($1, $2, 400, $3, $4, 'goodwill', 'staff', $5)",
            *(UUID(int=6), UUID(int=5), sessions["social"], bill, NOON),
        )
    (payment,) = (await rest.get("/reports/payments"))["items"]
    assert (payment["amount"], payment["refunded_minor"], payment["kept_minor"]) == ("1500", 400, 1100)
    (refund,) = (await rest.get("/reports/refunds?state=pending&provider=P"))["items"]
    assert (refund["amount_minor"], refund["payment_ref"], refund["state"]) == (400, "pay-9", "pending")
    assert (await rest.ask("GET", "/reports/refunds?state=lost")).status == 422
    paid = await every(rest, "/reports/remittances", limit=1)
    assert {(row["payee"], row["amount_minor"], row["state"]) for row in paid} == {
        ("provider:P", 1350, "paid"),
        ("operator", 150, "paid"),
    }
    (vat,) = (await rest.get("/reports/vat"))["items"]
    assert (vat["period"], vat["fees_minor"], vat["supply_minor"] + vat["vat_minor"]) == ("2026-11", 4500, 4500)
    assert vat["operator_vat_minor"] + vat["provider_vat_minor"] == vat["vat_minor"]
    assert Decimal(vat["vat"]) == vat["vat_minor"]
