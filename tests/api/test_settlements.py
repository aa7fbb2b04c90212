"""Statements over REST: two clients, problem documents, the same document byte by byte."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from typing import Any

import openpyxl
import pypdf
import pytest

from csms.flows import chargebacks, remittances
from csms.flows.reconcile import reconcile
from csms.psp.base import Statement, StatementLine
from tests.api.conftest import Rest
from tests.flows.settling import bill, provider

RUN, APPROVE, SEE = ("settlement:run",), ("remittance:approve",), ("settlement:read",)
OCTOBER = {"provider": "P", "from": "2026-10-01", "to": "2026-11-01"}
IN_OCTOBER = datetime(2026, 10, 10, 12, tzinfo=UTC)


@pytest.fixture
async def house(rest: Rest) -> Rest:
    """A provider P in Seoul that is owed 2,700 KRW for October, 900 of which a credit takes back; and 250 EUR cents."""
    async with rest.pool.acquire() as conn:
        await provider(conn, zone="Asia/Seoul")
        _, session = await bill(conn, 900, IN_OCTOBER)
        await bill(conn, 1_800, IN_OCTOBER, station="=2+5")
        await bill(conn, -900, IN_OCTOBER, of=session)
        await bill(conn, 250, IN_OCTOBER, currency="EUR")
    return rest


async def drafted(house: Rest, key: str = "k-1", body: object = OCTOBER, status: int = 201) -> Any:
    reply = await house.ask("POST", "/settlements", json=body, scopes=RUN, headers={"Idempotency-Key": key})
    assert reply.status == status, reply.body
    return reply.json


async def approved(house: Rest, id_: str, scopes: tuple[str, ...] = APPROVE, query: str = "") -> Any:
    headers = {"Idempotency-Key": f"approve-{id_}"}
    return await house.ask("POST", f"/settlements/{id_}/approve{query}", scopes=scopes, headers=headers)


async def test_a_statement_is_drafted_approved_by_another_and_remitted(house: Rest) -> None:
    draft = await drafted(house)
    assert (draft["state"], draft["from_day"], draft["to_day"]) == ("draft", "2026-10-01", "2026-11-01")
    assert draft["starts_at"] == "2026-09-30T15:00:00.000Z"
    sums = {total["currency"]: total for total in draft["sums"]}
    assert sums["KRW"]["due"] == {"amount": "1800", "currency": "KRW", "minor": 1800}
    assert sums["EUR"]["due"]["amount"] == "2.50"
    reply = await approved(house, draft["id"])
    assert (reply.status, reply.json["state"]) == (200, "approved")
    listed = await house.get(f"/remittances?settlement={draft['id']}", scopes=SEE)
    assert [(r["amount"]["currency"], r["amount"]["minor"], r["state"]) for r in listed["items"]] == [
        ("EUR", 250, "open"), ("KRW", 1800, "open"),
    ] or [(r["amount"]["currency"], r["amount"]["minor"], r["state"]) for r in listed["items"]] == [
        ("KRW", 1800, "open"), ("EUR", 250, "open"),
    ]  # fmt: skip


async def test_who_drafted_it_gets_403(rest: Rest, house: Rest) -> None:
    scopes = (*RUN, *APPROVE)
    reply = await house.ask("POST", "/settlements", json=OCTOBER, scopes=scopes, headers={"Idempotency-Key": "k"})
    same = await approved(house, reply.json["id"], scopes)
    assert (same.status, "another client" in same.json["detail"]) == (403, True)
    assert (await approved(house, reply.json["id"])).status == 200


@pytest.mark.parametrize(
    ("scopes", "path"),
    [(RUN, "approve"), (APPROVE, "cancel"), (SEE, "approve")],
)
async def test_each_step_needs_its_scope(house: Rest, scopes: tuple[str, ...], path: str) -> None:
    id_ = (await drafted(house))["id"]
    reply = await house.ask("POST", f"/settlements/{id_}/{path}", scopes=scopes, headers={"Idempotency-Key": "k"})
    assert reply.status == 403


async def test_a_repeat_answers_the_same_and_another_body_is_422(house: Rest) -> None:
    first = await drafted(house)
    assert await drafted(house) == first
    assert (await drafted(house, "k-2", status=200))["id"] == first["id"]
    other = await drafted(house, "k-1", {**OCTOBER, "to": "2026-10-20"}, 422)
    assert "Idempotency-Key" in other["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**OCTOBER, "to": "2026-12-01"}, 422),
        ({**OCTOBER, "to": "2026-10-01"}, 422),
        ({**OCTOBER, "from": "yesterday"}, 422),
        ({**OCTOBER, "from": "0001-01-01", "to": "0001-01-02"}, 422),
        ({**OCTOBER, "from": 20261001}, 422),
        ({**OCTOBER, "more": 1}, 422),
        ({**OCTOBER, "provider": "Q"}, 404),
    ],
    ids=["not over", "no day", "no date", "long ago", "a number", "unknown field", "unknown provider"],
)
async def test_what_cannot_be_a_period_is_a_clear_problem(house: Rest, body: object, status: int) -> None:
    problem = await drafted(house, body=body, status=status)
    assert problem["status"] == status
    assert (await house.get("/settlements", scopes=SEE))["items"] == []


async def test_a_cancelled_draft_is_409_to_approve(house: Rest) -> None:
    id_ = (await drafted(house))["id"]
    assert (await house.ask("POST", f"/settlements/{id_}/cancel", scopes=RUN)).json["state"] == "cancelled"
    assert (await approved(house, id_)).status == 409
    assert (await house.get("/settlements?state=cancelled", scopes=SEE))["items"][0]["id"] == id_


async def rows_of(house: Rest, id_: str, **more: Any) -> list[dict[str, str]]:
    text = (await house.ask("GET", f"/settlements/{id_}?format=csv", scopes=SEE, **more)).body.decode()
    return list(csv.DictReader(io.StringIO(text)))


async def test_the_rows_of_a_statement_add_up_to_what_is_due(house: Rest) -> None:
    draft = await drafted(house)
    rows = await rows_of(house, draft["id"])
    for total in draft["sums"]:
        of = [row for row in rows if row["currency"] == total["currency"]]
        assert sum(int(row["amount due (minor units)"] or 0) for row in of) == total["due"]["minor"]
        assert [row["balance (minor units)"] for row in of if row["entry"] == "amount due"] == [
            str(total["due"]["minor"])
        ]
    assert {row["entry"] for row in rows} >= {"carried over", "charge", "credit", "remitted"}
    assert {row["issued at"] for row in rows if row["bill"]} == {"2026-10-10T21:00:00+09:00"}


@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf"])
@pytest.mark.parametrize("language", ["en", "ko"])
async def test_the_same_statement_is_the_same_document_byte_by_byte(house: Rest, form: str, language: str) -> None:
    id_ = (await drafted(house))["id"]
    path = f"/settlements/{id_}?format={form}&language={language}"
    first = await house.ask("GET", path, scopes=SEE)
    async with house.pool.acquire() as conn:
        await bill(conn, 77, IN_OCTOBER)  # late: it belongs to the next statement
    again = await house.ask("GET", path, scopes=SEE)
    assert first.status == again.status == 200
    assert first.body == again.body
    assert f'filename="statement-P-2026-10-01-2026-11-01.{form}"' in first.headers["Content-Disposition"]


async def test_documents_speak_english_and_korean(house: Rest) -> None:
    id_ = (await drafted(house))["id"]
    english = await house.ask("GET", f"/settlements/{id_}", scopes=SEE, headers={"Accept": "application/pdf"})
    page = pypdf.PdfReader(io.BytesIO(english.body)).pages[0].extract_text()
    assert "2026-10-01 - 2026-10-31 (Asia/Seoul)" in page, "the last day is one of the period"
    assert "Provider P (P)" in page and "DRAFT" in page and "1,800 KRW" in page and "2.50 EUR" in page
    korean = await house.ask("GET", f"/settlements/{id_}?format=pdf&language=ko", scopes=SEE)
    page = pypdf.PdfReader(io.BytesIO(korean.body)).pages[0].extract_text()
    assert "정산서" in page and "지급 대상액" in page and "초안" in page
    text = (await house.ask("GET", f"/settlements/{id_}?format=csv&language=ko&bom=true", scopes=SEE)).body.decode()
    assert text.startswith("\ufeff구분,발행 일시")


async def test_no_cell_of_a_document_is_a_formula(house: Rest) -> None:
    id_ = (await drafted(house))["id"]
    assert "'=2+5" in {row["station"] for row in await rows_of(house, id_)}
    body = (await house.ask("GET", f"/settlements/{id_}?format=xlsx", scopes=SEE)).body
    sheet = openpyxl.load_workbook(io.BytesIO(body)).active
    assert sheet is not None
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert "'=2+5" in {cell.value for cell in cells}
    assert not [cell for cell in cells if cell.data_type == "f"]


async def test_the_bills_of_a_statement_come_in_pages(house: Rest) -> None:
    id_ = (await drafted(house))["id"]
    seen: list[Any] = []
    path = f"/settlements/{id_}/bills?limit=3"
    cursor = ""
    while True:
        page = await house.get(path + cursor, scopes=SEE)
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(item["due"]["minor"] for item in seen) == [-900, 250, 900, 1800]
    assert len({item["bill"] for item in seen}) == 4


async def test_staff_mark_a_remittance_paid_and_returned(house: Rest) -> None:
    id_ = (await drafted(house))["id"]
    await approved(house, id_)
    remittance = (await house.get("/remittances?provider=P", scopes=SEE))["items"][0]["id"]
    path = f"/remittances/{remittance}"

    async def post(step: str, body: object, key: str) -> Any:
        return await house.ask("POST", f"{path}/{step}", json=body, scopes=APPROVE, headers={"Idempotency-Key": key})

    paid = await post("mark-paid", {"bank_ref": "b-1"}, "1")
    assert (paid.status, paid.json["state"], paid.json["bank_ref"]) == (200, "paid", "b-1")
    assert (await post("mark-paid", {"bank_ref": "b-1"}, "1")).json == paid.json
    assert (await post("mark-paid", {"bank_ref": "b-2"}, "2")).status == 409
    assert (await post("mark-paid", {}, "3")).status == 422
    returned = await post("mark-returned", {"reason": "account closed"}, "4")
    assert returned.json["state"] == "returned"
    assert [(a["attempt"], a["psp"], a["state"]) for a in returned.json["attempts"]] == [(1, "bank", "returned")]
    retried = await house.ask("POST", f"{path}/retry", scopes=APPROVE, headers={"Idempotency-Key": "5"})
    assert (retried.status, "pay by hand" in retried.json["detail"]) == (409, True)


async def test_how_a_provider_is_settled_is_set_by_the_operator(house: Rest) -> None:
    terms = {"time_zone": "Europe/Berlin", "minimums": {"EUR": 1000}, "payout_psp": "social"}
    put = await house.ask("PUT", "/providers/P/settlement-terms", json=terms)
    assert (put.status, put.json) == (200, {"provider": "P", **terms})
    assert await house.get("/providers/P/settlement-terms", scopes=SEE) == {"provider": "P", **terms}
    assert (await house.ask("PUT", "/providers/P/settlement-terms", json=terms, scopes=RUN)).status == 403
    for wrong in ({"time_zone": "Nowhere"}, {"minimums": {"ZZZ": 1}}, {"minimums": {"KRW": -1}}):
        assert (await house.ask("PUT", "/providers/P/settlement-terms", json=wrong)).status == 422
    unknown = await house.ask("PUT", "/providers/P/settlement-terms", json={"minimums": {"ZZZ": 1}})
    assert unknown.json["errors"][0]["pointer"] == "/minimums/ZZZ"
    assert (await house.ask("PUT", "/providers/Q/settlement-terms", json=terms)).status == 404


async def test_lines_of_psps_statements_are_listed_with_their_verdicts(house: Rest) -> None:
    lines = tuple(StatementLine(f"p-{n}", "payment", None, 100 + n, 3, "KRW", IN_OCTOBER) for n in range(5))
    async with house.pool.acquire() as conn:
        await reconcile(conn, "social", date(2026, 10, 10), Statement(date(2026, 10, 10), lines), IN_OCTOBER)
    first = await house.get("/reconciliation-lines?verdict=missing_here&limit=3", scopes=SEE)
    rest_ = await house.get(f"/reconciliation-lines?limit=3&cursor={first['next_cursor']}", scopes=SEE)
    found = [*first["items"], *rest_["items"]]
    assert sorted(line["psp_ref"] for line in found) == [f"p-{n}" for n in range(5)]
    assert found[0]["theirs"]["currency"] == "KRW" and found[0]["ours"] is None
    assert (await house.ask("GET", "/reconciliation-lines?cursor=bm8", scopes=SEE)).status == 400
    asked = {"psp": "social", "from": "2026-10-09", "to": "2026-10-11"}
    reply = await house.ask("POST", "/reconciliations", json=asked, scopes=RUN)
    assert (reply.status, reply.json) == (202, {"psp": "social", "days": 3})
    async with house.pool.acquire() as conn:
        keys = [row["key"] for row in await conn.fetch("select key from outbox order by key")]
    assert keys == ["reconcile/social/2026-10-09", "reconcile/social/2026-10-11"], "the 10th was read"
    reply = await house.ask("POST", "/reconciliations", json=asked | {"again": True}, scopes=RUN)
    async with house.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from outbox") == 3


async def test_chargebacks_are_listed(house: Rest) -> None:
    async with house.pool.acquire() as conn:
        await chargebacks.opened(conn, "social", "d-1", "pay-1", 500, "KRW", IN_OCTOBER)
    [item] = (await house.get("/chargebacks?state=opened", scopes=SEE))["items"]
    assert (item["psp_ref"], item["amount"]["minor"], item["driver"]) == ("d-1", 500, None)
    assert (await house.get("/chargebacks?state=won", scopes=SEE))["items"] == []


async def test_a_providers_client_reads_its_own_statements_and_no_others(house: Rest) -> None:
    async with house.pool.acquire() as conn:
        await provider(conn, "Q")
        await bill(conn, 500, IN_OCTOBER, provider_id="Q")
    mine, theirs = await drafted(house), await drafted(house, "k-q", {**OCTOBER, "provider": "Q"})
    await approved(house, mine["id"])
    await approved(house, theirs["id"])
    own = {"headers": {"Authorization": f"Bearer {await house.token(*SEE, provider='P')}"}}
    assert [s["id"] for s in (await house.get("/settlements", **own))["items"]] == [mine["id"]]
    shown = await house.get(f"/settlements/{mine['id']}", **own)
    assert (shown["sums"], shown["differences"]) == (mine["sums"], None)
    assert len((await house.get(f"/settlements/{mine['id']}/bills", **own))["items"]) == 4
    assert len((await house.get("/remittances", **own))["items"]) == 2
    for form in ("csv", "xlsx", "pdf"):
        assert (await house.ask("GET", f"/settlements/{mine['id']}?format={form}", **own)).status == 200
        assert (await house.ask("GET", f"/settlements/{theirs['id']}?format={form}", **own)).status == 404
    for path in (f"/settlements/{theirs['id']}", f"/settlements/{theirs['id']}/bills"):
        assert (await house.ask("GET", path, **own)).status == 404


async def test_what_is_not_there_is_404(house: Rest) -> None:
    nowhere = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    for method, path in (
        ("GET", f"/settlements/{nowhere}"), ("GET", f"/settlements/{nowhere}/bills"),
        ("POST", f"/settlements/{nowhere}/approve"), ("POST", f"/settlements/{nowhere}/cancel"),
        ("GET", f"/remittances/{nowhere}"), ("POST", f"/remittances/{nowhere}/retry"), ("GET", "/settlements/x"),
        ("GET", f"/settlements/{nowhere}?format=pdf"),
    ):  # fmt: skip
        assert (await house.ask(method, path, headers={"Idempotency-Key": path[-20:]})).status == 404, path


async def test_a_statement_is_told_when_it_is_approved_and_a_remittance_when_it_is_paid(house: Rest) -> None:
    async with house.pool.acquire() as conn:
        await conn.execute(
            "insert into webhook_endpoint (id, url, types, secrets, created_at)"
            " values (gen_random_uuid(), 'https://example.test/', '{}', '{x}', now())"
        )
    id_ = (await drafted(house))["id"]
    async with house.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from notice") == 0, "a draft is nobody else's business"
    await approved(house, id_)
    async with house.pool.acquire() as conn:
        row = await conn.fetchrow("select type, provider_id, body from notice")
    assert (row["type"], row["provider_id"]) == ("statement.ready", "P")
    assert {"minor": 1800, "currency": "KRW"} in json.loads(row["body"])["due"]
    assert id_ == json.loads(row["body"])["statement"]
    async with house.pool.acquire() as conn:
        remittance = await conn.fetchval("select id from remittance where currency = 'KRW'")
        await remittances.mark_paid(conn, remittance, "b-1", "somebody", IN_OCTOBER)
        body = json.loads(await conn.fetchval("select body from notice where type = 'remittance.paid'"))
    assert (body["statement"], body["amount"]) == (id_, {"minor": 1800, "currency": "KRW"})
