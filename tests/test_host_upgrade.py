"""A database with bills from before hosts had a share is brought up to date, and goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import asyncpg

from csms import db
from tests import make

SESSION, BILL, STATEMENT = (f"01900000-0000-7000-8000-0000000001{place}" for place in ("00", "02", "07"))

BILLED = f"""
insert into session (
    station_id, id, ref, start_key, version, state, day, connector, provider_id, site_id, terms_version, tariff_id,
    tariff_version, currency, driver_id, means, hold_minor, offline, started_at, ended_at, meter_start_wh,
    meter_end_wh, energy_wh, fee_minor, opened_at, closed_at, revision)
values (
    'S1', '{SESSION}', 'old', 'old', 1, 'completed', '2026-11-01', 1, 'P', 'site', 1, 'T',
    1, 'KRW', 'ann', 'balance', 30000, false, '2026-11-01Z', '2026-11-01 01:00Z', 0,
    10000, 10000, 3000, '2026-11-01Z', '2026-11-01 01:00Z', 1);
insert into bill (
    id, session_id, station_id, connector, provider_id, site_id, driver_id, tariff_id, tariff_version, terms_version,
    means, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor, not_charged_minor,
    operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at)
values (
    '{BILL}', '{SESSION}', 'S1', 1, 'P', 'site', 'ann', 'T', 1, 1,
    'balance', 'KRW', '2026-11-01Z', '2026-11-01 01:00Z', 10000, 3600, 3000, 273, 0,
    300, 27, 2700, '[{{"incl_vat": "3000"}}]', '{{}}', '2026-11-01 01:00Z');
select post(
    array[(gen_random_uuid(), 'session/{SESSION}/settle', 'settle', '{SESSION}', '2026-11-01 01:00Z')]::posting_in[],
    array[
        (1, 1, 'driver:ann:balance', 'session:{SESSION}:held', 'KRW', 3000),
        (1, 2, 'session:{SESSION}:held', 'provider:P:payable', 'KRW', 2700),
        (1, 3, 'session:{SESSION}:held', 'operator:fee', 'KRW', 300),
        (1, 4, 'operator:fee', 'vat:output', 'KRW', 27)]::transfer_in[]);
insert into statement (id, provider_id, time_zone, from_day, to_day, starts_at, ends_at, drafted_by, drafted_at)
values ('{STATEMENT}', 'P', 'UTC', '2026-11-01', '2026-11-02', '2026-11-01Z', '2026-11-02Z', 'a', '2026-11-03Z');
insert into statement_bill (bill_id, statement_id, provider_id, paid_by, late, issued_at)
select id, '{STATEMENT}', 'P', 'run', false, issued_at from bill;
insert into statement_sum (
    statement_id, provider_id, currency, opening_minor, charges, credits, energy_wh, fees_minor, vat_minor,
    operator_minor, operator_vat_minor, provider_minor, by_psp_minor, by_run_minor, adjustments_minor, due_minor,
    remitted_minor, carried_minor)
values ('{STATEMENT}', 'P', 'KRW', 0, 1, 0, 10000, 3000, 273, 300, 27, 2700, 0, 2700, 0, 2700, 2700, 0);
select sum_bills(100)
"""
"""What an older release wrote: one session of 3,000 KRW, settled, and on a statement."""


async def test_what_was_billed_before_has_no_hosts_share_and_new_bills_may(empty_dsn: str, tmp_path: Path) -> None:
    for path in (db.folder() / "migrations").glob("*.sql"):
        if path.name < "0014":
            shutil.copy(path, tmp_path)
    conn: Any = await asyncpg.connect(empty_dsn)
    try:
        await db.migrate(conn, tmp_path)
        await make.seed(conn)
        await conn.execute(BILLED)
        assert "0014_host_share" in await db.migrate(conn)
        await _goes_on(conn, empty_dsn)
    finally:
        await conn.close()


async def _goes_on(conn: Any, dsn: str) -> None:
    assert await db.check(conn) == {}
    before = await conn.fetchrow("select count(*), sum(host_minor) from bill")
    assert tuple(before) == (1, 0)
    assert await conn.fetchval("select host_minor from statement_sum") == 0

    async with make.Told(dsn) as told:
        await told.tell(make.started())
    await conn.execute("update session set host_bp = 2000 where ref = 'r1'")
    async with make.Told(dsn) as told:
        await told.tell(make.ended())
    await conn.execute("select sum_bills(100)")

    assert await db.check(conn) == {}
    by_day = await conn.fetch("select day::text, provider_minor, host_minor from bill_day order by day")
    assert [tuple(row) for row in by_day] == [("2026-11-01", 2_700, 0), ("2026-11-20", 2_100, 600)]
    spans = await conn.fetchval("select sum(host_minor) from bill_span where unit = '1 day'")
    assert spans == 600
