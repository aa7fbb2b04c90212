"""A provider's staff read the same reports, and of them what is their provider's, also from the sums."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from csms.flows import clients
from tests.api.books import a_day
from tests.api.conftest import Reply, Rest
from tests.api.test_reports import AS_OF
from tests.make import NOON

Ask = Callable[[str], Awaitable[Reply]]


@pytest.fixture
async def ask(rest: Rest, dsn: str) -> Ask:
    """Asks as staff of provider P, where provider Q has earned as much, and more since the sums were made."""
    async with rest.pool.acquire() as conn:
        await a_day(conn, dsn)
        for issued_at, provider in (("2026-11-18", "P"), ("2026-11-18", "Q"), ("2026-11-19", "P"), ("2026-11-19", "Q")):
            names = await conn.fetchval(
                "select string_agg(quote_ident(attname), ', ') from pg_attribute where attrelid = 'bill'::regclass"
                " and attnum > 2 and attname not in ('issued_at', 'xid', 'provider_id')"
            )
            await conn.execute(
                f"insert into bill (id, session_id, issued_at, provider_id, {names}) select gen_random_uuid(),"
                f" gen_random_uuid(), '{issued_at}', '{provider}', {names} from bill where issued_at > '2026-11-20'"
            )
            if issued_at == "2026-11-18":
                await conn.execute("select sum_bills(1000), sum_transfers(1000)")
        client_id, secret = await clients.add_client(conn, ("reports:read",), "staff of P", NOON, "P")
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    async with rest.http.post(f"{rest.base}/oauth/token", data=form) as response:
        bearer = {"Authorization": f"Bearer {(await response.json())['access_token']}"}

    async def asked(path: str) -> Reply:
        return await rest.raw("GET", f"/api/v1{path}", headers=bearer)

    return asked


def figures(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status == 200, reply.body
    items: list[dict[str, Any]] = reply.json["items"]
    return items


@pytest.mark.parametrize(
    "path",
    [
        *(f"/reports/revenue?by={by}" for by in ("day", "provider", "operator", "station", "connector_kind", "tariff")),
        *("/reports/bills?limit=100", "/reports/vat?by=day", "/reports/settlements?by=period"),
        *(f"/reports/bills?as_of={AS_OF}", f"/reports/revenue?by=operator&as_of={AS_OF}"),
    ],
)
async def test_what_a_provider_reads_is_what_staff_read_of_it(rest: Rest, ask: Ask, path: str) -> None:
    own, staffs = figures(await ask(path)), figures(await rest.ask("GET", f"{path}&provider=P"))
    for row in staffs:
        row |= {name: None for name in row if name.startswith("operator_paid")}  # what the operator got is its own
    assert own == staffs != []
    assert figures(await ask(f"{path}&provider=Q")) == []


async def test_a_provider_reads_its_own_account_and_no_other(rest: Rest, ask: Ask) -> None:
    (line,) = figures(await ask("/reports/trial-balance"))
    assert line["account"] == "provider:P:payable"
    path = "/ledger/accounts/provider:P:payable"
    assert (await ask(path)).json == (await rest.ask("GET", path)).json
    for other in ("operator:fee", "vat:output", "bank", "driver:ann:balance", "provider:Q:payable"):
        assert (await ask(f"/ledger/accounts/{other}")).status == 404
    total = (await ask("/reports/bills?format=ocpi")).headers["X-Total-Count"]
    assert int(total) == len(figures(await ask("/reports/bills?limit=100")))
