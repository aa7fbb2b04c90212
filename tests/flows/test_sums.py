"""The sums of reports: exact at any moment, as of any instant, whoever writes meanwhile."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from csms import db
from csms.db import SQL
from csms.flows.reports import Filter, Snapshot, opened, take_snapshot
from tests.make import NOON, new_id, seed

DAYS = 4
FIRST = NOON - timedelta(days=DAYS)
BYS = ("day", "provider", "operator", "station", "connector_kind", "tariff")

BILL = """
insert into bill (id, session_id, station_id, connector, provider_id, tariff_id, tariff_version, terms_version, means,
    currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor, not_charged_minor, operator_minor,
    operator_vat_minor, provider_minor, lines, flags, issued_at, kind, corrects)
values ($1::uuid, $1, $2, $3, $4, $5, 1, 1, 'balance', $6, $7, $7, $8, 0, $9, 0, 0, 0, 0, $9, '[]', '{}', $7,
    case when $9::bigint < 0 then 'credit' else 'charge' end, case when $9 < 0 then $1::uuid end)"""

PLAIN = """
select case $1 when 'day' then (b.issued_at at time zone $2)::date::text when 'provider' then b.provider_id
        when 'operator' then 'operator' when 'station' then b.station_id when 'tariff' then b.tariff_id
        else coalesce(c.kind, 'unknown') end as key,
    b.currency, count(*) as bills, sum(b.energy_wh)::bigint as energy_wh, sum(b.total_minor)::bigint as fees_minor
from bill b
left join connector c on c.station_id = b.station_id and c.number = b.connector
where b.id = any ($3::uuid[])
and b.issued_at >= coalesce($4::timestamptz, '-infinity')
and b.issued_at < coalesce($5::timestamptz, 'infinity')
group by 1, 2
order by 1, 2"""


class Writers:
    """Connections that write bills and transfers, and leave some of their transactions open for a while."""

    def __init__(self, conns: list[Any], draw: random.Random) -> None:
        self.conns, self.draw = conns, draw
        self.open: dict[int, tuple[Any, list[Any]]] = {}
        self.committed: list[Any] = []

    async def write(self) -> None:
        """Some bills and a posting in one transaction, which ends now or later."""
        place = self.draw.randrange(len(self.conns))
        if place in self.open:
            await self.end(place)
            return
        conn = self.conns[place]
        transaction = conn.transaction()
        await transaction.start()
        bills = [await self._bill(conn) for _ in range(self.draw.randint(1, 4))]
        await self._post(conn)
        self.open[place] = (transaction, bills)
        if self.draw.random() < 0.6:
            await self.end(place)

    async def end(self, place: int) -> None:
        """An open transaction is committed, or rarely undone."""
        transaction, bills = self.open.pop(place)
        if self.draw.random() < 0.15:
            await transaction.rollback()
        else:
            await transaction.commit()
            self.committed += bills

    async def end_all(self) -> None:
        for place in list(self.open):
            await self.end(place)

    async def _bill(self, conn: Any) -> Any:
        draw, id_ = self.draw, new_id()
        at = self.instant()
        total = draw.randint(-50, 500)
        energy = draw.randint(0, 9000) if total >= 0 else 0
        await conn.execute(
            BILL, id_, draw.choice(["S1", "S2"]), draw.choice([1, 2, None]), draw.choice(["P", "Q"]),
            draw.choice(["T", "U"]), draw.choice(["KRW", "EUR"]), at, energy, total,
        )  # fmt: skip
        return id_

    async def _post(self, conn: Any) -> None:
        draw = self.draw
        accounts = ["bank", "operator:fee", "provider:P:payable", f"driver:{draw.randint(1, 3)}:debt", "psp:x:clearing"]
        debit, credit = draw.sample(accounts, 2)
        await conn.fetchval(
            "select post(array[($1, $2, 'test', 'test', $3)]::posting_in[],"
            " array[(1, 1, $4, $5, 'KRW', $6)]::transfer_in[])",
            *(new_id(), str(new_id()), self.instant(), debit, credit, draw.randint(1, 99)),
        )

    def instant(self) -> datetime:
        """Some instant of the days; many on the edges of days and quarters."""
        minutes = self.draw.choice([self.draw.randint(0, DAYS * 1440), 15 * self.draw.randint(0, DAYS * 96)])
        return (FIRST + timedelta(minutes=minutes)).astimezone(UTC)


@pytest.fixture
async def writers(dsn: str) -> AsyncIterator[Writers]:
    """Three writers on the seeded world."""
    conns = [await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}) for _ in range(3)]
    await seed(conns[0])
    yield Writers(conns, random.Random(7))
    for conn in conns:
        await conn.close()


async def revenue(conn: Any, by: str, zone: str, wanted: Filter, snapshot: Snapshot | None) -> list[tuple[Any, ...]]:
    asked = Filter(wanted.since, wanted.until, chosen={"by": by, "zone": zone})
    async with opened(conn, "revenue", asked, snapshot) as report:
        places = [report.columns.index(name) for name in ("key", "currency", "bills", "energy_wh", "fees_minor")]
        return [tuple(row.cells[place] for place in places) async for row in report.rows]


async def trial(conn: Any, snapshot: Snapshot | None) -> dict[str, tuple[int, int]]:
    bound = (None, None, None) if snapshot is None else (snapshot.end, snapshot.era, snapshot.transactions)
    return {r["account"]: (r["debit"], r["credit"]) for r in await SQL.trial_balance.many(conn, *bound)}


async def plain_trial(conn: Any) -> dict[str, tuple[int, int]]:
    rows = await conn.fetch(
        "select account_of(address) as account, sum(d)::bigint as d, sum(c)::bigint as c from ("
        "select debit as address, amount as d, 0 as c from transfer"
        " union all select credit, 0, amount from transfer) e group by 1"
    )
    return {row["account"]: (row["d"], row["c"]) for row in rows}


@pytest.mark.parametrize("number", range(4))
async def test_sums_tell_the_same_as_the_bills_at_any_moment(
    conn: db.Connection, writers: Writers, number: int
) -> None:
    draw = writers.draw = random.Random(number)
    kept: list[tuple[Snapshot, list[Any]]] = []
    for step in range(60):
        await writers.write()
        if draw.random() < 0.3:
            await conn.fetchval("select sum_bills($1)", draw.choice([1, 3, 1000]))
            await conn.fetchval("select sum_transfers($1)", draw.choice([1, 3, 1000]))
        if draw.random() < 0.1:
            as_of = NOON - timedelta(seconds=step)
            kept.append((await take_snapshot(conn, "revenue", as_of, NOON), list(writers.committed)))
        if step % 6 == 5:
            now = [(None, writers.committed)]
            for snapshot, bills in [*now, *draw.sample(kept, min(2, len(kept)))]:
                since, until = sorted([writers.instant(), writers.instant()])
                wanted = Filter(draw.choice([since, None]), draw.choice([until, None]))
                end = wanted.until if snapshot is None else min(snapshot.end, wanted.until or snapshot.end)
                by, zone = draw.choice(BYS), draw.choice(["UTC", "Asia/Seoul", "Asia/Kathmandu", "America/St_Johns"])
                expected = await conn.fetch(PLAIN, by, zone, bills, wanted.since, end)
                assert await revenue(conn, by, zone, wanted, snapshot) == [tuple(row) for row in expected], (by, wanted)
            assert await trial(conn, None) == await plain_trial(conn)
    await writers.end_all()
    while await conn.fetchval("select sum_bills(5)"):
        pass
    assert await conn.fetchval("select sum(bills) from bill_day") == len(writers.committed)
    spans = await conn.fetch("select unit, sum(bills)::bigint from bill_span group by unit order by unit")
    assert [tuple(row) for row in spans] == [
        (unit, len(writers.committed)) for unit in (timedelta(minutes=15), timedelta(days=1))
    ]


async def test_a_balance_is_the_sum_of_its_entries_before_any_instant(conn: db.Connection, writers: Writers) -> None:
    for _ in range(60):
        await writers.write()
        if writers.draw.random() < 0.2:
            await conn.fetchval("select sum_transfers(10)")
    for address in ("bank", "driver:1:debt", "provider:P:payable"):
        for before in (*(writers.instant() for _ in range(5)), None):
            expected = await conn.fetchval(
                "select sum(case when credit = $1 then amount else -amount end)::bigint from transfer"
                " where $1 in (debit, credit) and at < coalesce($2, timestamptz 'infinity')",
                *(address, before),
            )
            rows = await SQL.account_before.many(conn, address, before)
            assert (rows[0]["balance"] if rows else None) == expected


async def test_an_old_as_of_keeps_its_rows_when_the_database_moves_to_another_server(
    conn: db.Connection, writers: Writers
) -> None:
    """After a restore transactions are numbered anew, below those that the old server wrote."""
    await conn.execute("alter table bill alter column xid set default '18000000000000000000'::xid8")
    writers.draw = random.Random(1)
    for _ in range(10):
        await writers.write()
    await writers.end_all()
    old = len(writers.committed)
    await conn.execute(
        "insert into report_snapshot (as_of, era, taken) values ($1, 0, '18000000000000000001:18000000000000000001:')",
        NOON,
    )
    before = await take_snapshot(conn, "revenue", NOON, NOON)
    assert await conn.fetchval("select sum_bills(1000)") is False
    await conn.execute("update cluster_era set system_identifier = 1")
    with pytest.raises(db.CsmsError, match="run csms migrate"):
        await take_snapshot(conn, "revenue", NOON - timedelta(seconds=1), NOON)

    assert await db.migrate(conn) == []
    await conn.execute("alter table bill alter column xid set default pg_current_xact_id()")
    for _ in range(10):
        await writers.write()
    await writers.end_all()
    later = await take_snapshot(conn, "revenue", NOON - timedelta(seconds=1), NOON)
    for _ in range(2):
        counts = Counter()
        for name, snapshot in (("before", before), ("later", later), ("live", None)):
            counts[name] = sum(row[2] for row in await revenue(conn, "operator", "UTC", Filter(), snapshot))
        assert counts == {"before": old, "later": len(writers.committed), "live": len(writers.committed)}
        await conn.fetchval("select sum_bills(1000)")
