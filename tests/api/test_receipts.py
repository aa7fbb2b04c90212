"""Receipts and tax invoices: what a driver is shown, and numbers that have no gaps."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pypdf
import pytest

from csms.base.errors import Refused
from csms.flows import receipts
from tests.api.conftest import Rest
from tests.flows.settling import bill, provider

LINE = {
    "dimension": "ENERGY", "quantity": "10", "unit": "KWH", "unit_price": "300", "vat_percent": "10",
    "excl_vat": "900", "incl_vat": "990",
}  # fmt: skip
AT = datetime(2026, 10, 10, 12, tzinfo=UTC)


@pytest.fixture
async def shop(rest: Rest) -> Rest:
    """A provider in Seoul."""
    async with rest.pool.acquire() as conn:
        await provider(conn, zone="Asia/Seoul")
    return rest


async def one(shop: Rest, minor: int = 900) -> UUID:
    """A bill with a priced line and a signed record of its meter."""
    async with shop.pool.acquire() as conn:
        id_, session = await bill(conn, minor, AT)
        await conn.execute("set session_replication_role = replica")
        await conn.execute(
            "update bill set lines = $2, vat_minor = total_minor / 11, energy_wh = 10500, seconds = 3661 where id = $1",
            id_,
            json.dumps([LINE]),
        )
        await conn.execute("reset session_replication_role")
        await conn.execute(
            "insert into signed_value (session_id, context, digest, station_id, connector, at, encoding, raw, verdict,"
            " register_wh, received_at) values ($1, 'end', $2, 'S1', 1, $3, 'OCMF', 'OCMF|{}|{}', 'valid', 10500, $3)",
            session, bytes(32), AT,
        )  # fmt: skip
    return id_


async def test_a_receipt_shows_lines_vat_and_what_the_meter_signed(shop: Rest) -> None:
    id_ = await one(shop)
    shown = await shop.get(f"/bills/{id_}/receipt", scopes=("reports:read",))
    assert (shown["total"]["minor"], shown["vat"]["minor"], shown["net"]["minor"]) == (990, 90, 900)
    assert (shown["seller_name"], shown["tax_invoice"], shown["energy_wh"]) == ("Provider P", None, 10500)
    assert shown["lines"] == [LINE]
    assert [(r["context"], r["verdict"], r["raw"]) for r in shown["signed_records"]] == [("end", "valid", "OCMF|{}|{}")]
    assert not {"operator_share", "provider_share"} & shown.keys()


@pytest.mark.parametrize(("language", "title"), [("en", "Receipt"), ("ko", "영수증")])
async def test_a_receipt_is_a_page_that_is_the_same_every_time(shop: Rest, language: str, title: str) -> None:
    path = f"/bills/{await one(shop)}/receipt?format=pdf&language={language}"
    first, again = await shop.ask("GET", path), await shop.ask("GET", path)
    assert first.body == again.body
    text = pypdf.PdfReader(io.BytesIO(first.body)).pages[0].extract_text()
    for part in (title, "Provider P", "990 KRW", "10.500 kWh", "1:01:01", "2026-10-10 21:00+09:00", "OCMF"):
        assert part in text, part


async def test_a_tax_invoice_gets_its_number_once(shop: Rest) -> None:
    id_ = await one(shop)
    first = await shop.ask("POST", f"/bills/{id_}/tax-invoice", scopes=("settlement:run",))
    again = await shop.ask("POST", f"/bills/{id_}/tax-invoice", scopes=("settlement:run",))
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert first.json["text"] == "P-2026-000001"
    assert (await shop.get(f"/bills/{id_}/receipt"))["tax_invoice"] == "P-2026-000001"
    page = (await shop.ask("GET", f"/bills/{id_}/receipt", headers={"Accept": "application/pdf"})).body
    assert "Tax invoice" in pypdf.PdfReader(io.BytesIO(page)).pages[0].extract_text()


async def test_numbers_have_no_gaps_whoever_asks_at_once_and_whatever_is_undone(shop: Rest) -> None:
    bills = [await one(shop) for _ in range(8)]

    async def ask(id_: UUID, undo: bool) -> None:
        async with shop.pool.acquire() as conn:
            transaction = conn.transaction()
            await transaction.start()
            await receipts.number(conn, id_, "me", AT)
            await asyncio.sleep(0.01)
            await (transaction.rollback() if undo else transaction.commit())

    asked: list[Any] = [ask(id_, n % 3 == 0) for n, id_ in enumerate([*bills, *bills])]
    await asyncio.gather(*asked)
    async with shop.pool.acquire() as conn:
        for id_ in bills:
            await receipts.number(conn, id_, "me", AT)
        numbers = [row["number"] for row in await conn.fetch("select number from tax_invoice order by number")]
    assert numbers == list(range(1, 9))


async def test_each_issuer_and_year_counts_from_one(shop: Rest) -> None:
    async with shop.pool.acquire() as conn:
        await provider(conn, "Q")
        (mine, _), (next_year, _), (theirs, _) = (
            await bill(conn, 10), await bill(conn, 10), await bill(conn, 10, provider_id="Q"),
        )  # fmt: skip
        await receipts.number(conn, mine, "me", AT)
        # New Year in Seoul is still 31 December in UTC.
        await receipts.number(conn, next_year, "me", datetime(2026, 12, 31, 15, tzinfo=UTC))
        await receipts.number(conn, theirs, "me", AT)
        rows = await conn.fetch("select issuer, year, number from tax_invoice order by issuer, year")
    assert [tuple(row) for row in rows] == [("P", 2026, 1), ("P", 2027, 1), ("Q", 2026, 1)]


async def test_a_bill_of_nothing_has_no_tax_invoice(shop: Rest) -> None:
    async with shop.pool.acquire() as conn:
        id_, _ = await bill(conn, 10)
        await conn.execute("set session_replication_role = replica")
        await conn.execute("update bill set total_minor = 0, operator_minor = 0, provider_minor = 0")
        await conn.execute("reset session_replication_role")
        with pytest.raises(Refused):
            await receipts.number(conn, id_, "me", AT)


async def test_a_credit_is_shown_as_one(shop: Rest) -> None:
    async with shop.pool.acquire() as conn:
        charge, session = await bill(conn, 900, AT)
        credit, _ = await bill(conn, -900, AT, of=session)
    shown = await shop.get(f"/bills/{credit}/receipt")
    assert (shown["kind"], shown["corrects"], shown["total"]["minor"]) == ("credit", str(charge), -990)
    page = (await shop.ask("GET", f"/bills/{credit}/receipt?format=pdf")).body
    assert "Credit note" in pypdf.PdfReader(io.BytesIO(page)).pages[0].extract_text()


async def test_a_receipt_is_sent_to_those_who_tell_drivers_once(shop: Rest) -> None:
    id_ = await one(shop)
    async with shop.pool.acquire() as conn:
        await conn.execute(
            "insert into webhook_endpoint (id, url, types, secrets, created_at)"
            " values (gen_random_uuid(), 'https://example.test/', '{driver.receipt}', '{x}', now())"
        )
    sent = [await shop.ask("POST", f"/bills/{id_}/receipt/send", scopes=("settlement:run",)) for _ in range(2)]
    assert [(reply.status, reply.json["told"]) for reply in sent] == [(202, 1), (202, 0)]
    async with shop.pool.acquire() as conn:
        body = json.loads(await conn.fetchval("select body from notice where type = 'driver.receipt'"))
    assert body["total"] == {"minor": 990, "currency": "KRW"} and body["driver"] == "D"


async def test_no_receipt_of_a_bill_that_is_not_there(shop: Rest) -> None:
    nowhere = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    for method, path in (("GET", "receipt"), ("POST", "tax-invoice"), ("POST", "receipt/send")):
        assert (await shop.ask(method, f"/bills/{nowhere}/{path}")).status == 404
