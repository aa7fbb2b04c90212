"""
T10: reports over millions of bills. How soon the first page of each list is there, what totals take from their sums and
what they would take from the bills, and how much memory a stream of bills needs.

The bills are made inside PostgreSQL, as sets, with their indexes off; nothing else of the database is weaker than in
use.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from csms import db
from csms.flows import clients
from tests.benchmarks import cpu
from tests.benchmarks.partners import Bench, Server, csms

BILLS, BILLS_QUICK = 10_000_000, 1_000_000
BATCH = 250_000
SUM_ROWS = 250_000
STREAMED = 2_000_000
"""Rows streamed as CSV: enough to see memory grow, if it did."""
TAKES = 5
PAGE_MS_WANTED = 100.0
STREAM_MIB_WANTED = 64.0
"""More memory than this while a report streams would not be constant."""

YEAR = timedelta(days=365)
OF_BILLS = ("bill", "session", "posting", "transfer")


@dataclass
class Found:
    """What was measured: seconds of preparation, milliseconds of answers by address, and the stream."""

    bills: int
    made_s: float = 0.0
    indexed_s: float = 0.0
    summed_s: float = 0.0
    pages_ms: dict[str, float] = field(default_factory=dict)
    totals_ms: dict[str, float] = field(default_factory=dict)
    plain_ms: dict[str, float] = field(default_factory=dict)
    streams: dict[str, dict[str, float]] = field(default_factory=dict)


def measure(quick: bool) -> Found:
    """The whole of T10, on a PostgreSQL of its own."""
    found = Found(BILLS_QUICK if quick else BILLS)
    until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    with Bench(stations=0) as bench:
        dsn = bench.postgres.dsn_of("bench_reports")
        client = asyncio.run(_prepare(bench.postgres.dsn, dsn, found, until))
        ports = ["--ocpp-port", "0", "--http-port", "0", "--data-dir", str(bench.path / "ours")]
        server = Server("ours", csms("serve", *ports), {"CSMS_DATABASE_URL": dsn}, bench.path / "reports.log")
        bench.running.append(server)
        rest = Rest(server, *client)
        _ask(rest, found, until)
        asyncio.run(_plain(dsn, found, until))
        _stream(rest, server, found)
    return found


async def _prepare(server_dsn: str, dsn: str, found: Found, until: datetime) -> tuple[str, str]:
    """A database with its bills in their sums, and a client that may read reports."""
    conn = await asyncpg.connect(server_dsn)
    await conn.execute("create database bench_reports")
    await conn.close()
    conn = await asyncpg.connect(dsn)
    try:
        await db.migrate(conn)
        await conn.execute((Path(__file__).parent / "reports.sql").read_text("utf-8"))
        await conn.execute("select pg_temp.seed_places()")
        began = time.monotonic()
        indexes = [
            row["indexdef"]
            for row in await conn.fetch("select indexdef from pg_indexes where tablename = any ($1)", OF_BILLS)
            if " UNIQUE " not in row["indexdef"]
        ]
        for name in [definition.split(" INDEX ")[1].split(" ON ")[0] for definition in indexes]:
            await conn.execute(f"drop index {name}")
        for first in range(0, found.bills, BATCH):
            last = min(first + BATCH, found.bills)
            await conn.execute("select pg_temp.seed_bills($1, $2, $3, $4)", first, last, found.bills, until)
        recent = until - YEAR / 10
        await conn.execute("select pg_temp.seed_sessions($1)", recent)
        await conn.execute("select pg_temp.seed_transfers($1)", recent)
        found.made_s = time.monotonic() - began
        began = time.monotonic()
        await conn.execute("set maintenance_work_mem = '512MB'")
        for definition in indexes:
            await conn.execute(definition)
        for table in OF_BILLS:
            await conn.execute(f"vacuum analyze {table}")
        found.indexed_s = time.monotonic() - began
        began = time.monotonic()
        for add in ("sum_bills", "sum_transfers"):
            while await conn.fetchval(f"select {add}($1)", SUM_ROWS):
                pass
        await conn.execute("vacuum analyze bill_day, bill_span, account_day")
        found.summed_s = time.monotonic() - began
        return await clients.add_client(conn, ("admin",), "bench", datetime.now(UTC))
    finally:
        await conn.close()


class Rest:
    """The REST interface, asked by one client over one kept-alive connection less than a browser would use."""

    def __init__(self, server: Server, client_id: str, secret: str) -> None:
        self.base = server.http
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        asked = urllib.request.Request(f"{self.base}/oauth/token", urllib.parse.urlencode(form).encode())
        with urllib.request.urlopen(asked) as response:
            self.token = json.loads(response.read())["access_token"]

    def open(self, path: str) -> Any:
        """The response to a GET under /api/v1."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return urllib.request.urlopen(urllib.request.Request(f"{self.base}/api/v1{path}", headers=headers))

    def take(self, path: str) -> float:
        """Milliseconds until a GET is answered whole: the median of some takes, the first one left out."""
        taken = []
        for _ in range(TAKES + 1):
            began = time.perf_counter()
            with self.open(path) as response:
                response.read()
            taken.append((time.perf_counter() - began) * 1000)
        return median(taken[1:])


def _ask(rest: Rest, found: Found, until: datetime) -> None:
    since, middle = f"{until - YEAR:%Y-%m-%d}", f"{until - YEAR / 2:%Y-%m-%dT%H:%M:%SZ}"
    recent = f"{until - YEAR / 20:%Y-%m-%d}"
    with rest.open(f"/reports/bills?from={recent}&limit=1") as response:
        page = json.loads(response.read())
    behind = page["links"][0].removeprefix("/api/v1")
    for path in (
        *("/bills", "/bills?driver=d42", "/bills?station=T10-42", "/bills?provider=p7"),
        *("/sessions", "/sessions?driver=d42", "/sessions?station=T10-42", "/sessions?provider=p7"),
        *("/reports/bills", f"/reports/bills?from={middle}", f"/reports/bills?as_of={middle}"),
        *("/reports/bills?provider=p7", "/reports/bills?driver=d42", "/reports/bills?station=T10-42"),
        *(f"/reports/bills?format=ocpi&from={middle}", "/reports/payments", "/reports/refunds", "/reports/remittances"),
        *("/reports/exceptions", "/reports/audit", "/reports/debts", "/reports/unattributed-energy", "/exceptions"),
        *(behind, "/ledger/accounts/operator:fee", "/ledger/accounts/provider:p7:payable"),
        f"/ledger/accounts/operator:fee?to={recent}",
    ):
        found.pages_ms[path.replace(behind, "/bills/{bill}/transfers")] = rest.take(path)
    for path in (
        *(
            f"/reports/revenue?by={by}&limit=1000"
            for by in ("operator", "provider", "tariff", "connector_kind", "station")
        ),
        "/reports/revenue?by=day&zone=Asia/Seoul&limit=1000",
        f"/reports/revenue?by=provider&from={since}&as_of={middle}",
        "/reports/vat?zone=Asia/Seoul&limit=1000",
        f"/reports/revenue?by=station&from={recent}",
        *("/reports/trial-balance", f"/reports/trial-balance?as_of={recent}"),
    ):
        found.totals_ms[path] = rest.take(path)


async def _plain(dsn: str, found: Found, until: datetime) -> None:
    """The same totals, added up from the bills."""
    conn = await asyncpg.connect(dsn)
    try:
        for name, key in (("provider", "provider_id"), ("station", "station_id"), ("day", "(issued_at + '9h')::date")):
            began = time.perf_counter()
            await conn.fetch(
                f"select {key}, currency, count(*), sum(total_minor), sum(vat_minor), sum(operator_minor),"
                " sum(operator_vat_minor), sum(provider_minor), sum(energy_wh), sum(seconds) from bill group by 1, 2"
            )
            found.plain_ms[name] = (time.perf_counter() - began) * 1000
    finally:
        await conn.close()


def _stream(rest: Rest, server: Server, found: Found) -> None:
    """Streams bills as CSV, and some as XLSX, and watches the server's memory."""
    for name, path in (
        ("csv", f"/reports/bills?format=csv&limit={STREAMED}"),
        ("xlsx", "/reports/bills?format=xlsx&limit=100000"),
    ):
        rest.take("/reports/bills?limit=1")
        before = cpu.pss_bytes([server.process.pid])
        watched, done = [before], threading.Event()

        def watch(seen: list[int] = watched, end: threading.Event = done) -> None:
            while not end.wait(0.5):
                seen.append(cpu.pss_bytes([server.process.pid]))

        watcher = threading.Thread(target=watch)
        watcher.start()
        began, size, lines = time.monotonic(), 0, 0
        try:
            with rest.open(path) as response:
                while block := response.read(1 << 20):
                    size += len(block)
                    lines += block.count(b"\n")
        finally:
            done.set()
            watcher.join()
        found.streams[name] = {
            "seconds": time.monotonic() - began,
            "rows": float(lines - 1 if name == "csv" else 100_000),
            "mib": size / 2**20,
            "memory_before_mib": before / 2**20,
            "memory_most_mib": max(watched) / 2**20,
        }


def lines(found: Found) -> str:
    """The block of the table."""
    text = [
        f"\nT10  reports over {found.bills:,} bills"
        f" (made in {found.made_s:.0f} s, indexed in {found.indexed_s:.0f} s, summed in {found.summed_s:.0f} s)"
    ]
    for path, ms in found.pages_ms.items():
        text.append(f"  {ms:8.1f} ms  ({'reached' if ms < PAGE_MS_WANTED else 'wanted'} {PAGE_MS_WANTED:g})  {path}")
    text += [f"  {ms:8.1f} ms  total  {path}" for path, ms in found.totals_ms.items()]
    text += [f"  {ms:8.1f} ms  the same by {name}, added up from the bills" for name, ms in found.plain_ms.items()]
    for name, stream in found.streams.items():
        more = stream["memory_most_mib"] - stream["memory_before_mib"]
        text.append(
            f"  {name} of {stream['rows']:,.0f} rows, {stream['mib']:,.0f} MiB in {stream['seconds']:.0f} s,"
            f" {stream['rows'] / stream['seconds']:,.0f} rows/s; memory {stream['memory_before_mib']:.0f} MiB, at most"
            f" {more:+.0f} MiB ({'reached' if more <= STREAM_MIB_WANTED else 'wanted'} {STREAM_MIB_WANTED:+g})"
        )
    return "\n".join(text)
