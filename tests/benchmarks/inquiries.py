"""
T15: how long one inquiry takes, on eight weeks of real charging and eight products on sale, over HTTP.

The file of real charges names no drivers: the sessions of each station are one driver's, who has as many as a much used
plug. They are moved by whole weeks to end yesterday; the energy of each flows evenly while it is plugged in.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import json
import time
import urllib.request
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg

from charge_points_sim.run import WHOLE_FILE
from csms import db
from csms.domain.segments import segments
from csms.domain.tariff_periods import Period
from csms.flows import clients
from tests.benchmarks.partners import Bench, Server, csms
from tests.benchmarks.reports import Rest

WANTED_MS = 100.0
WEEKS = 8
LAST = datetime(2019, 7, 24, tzinfo=UTC)
TAKES = 3
TARIFF = {
    "country_code": "US", "party_id": "CSM", "id": "T", "currency": "USD", "tax_included": "YES",
    "last_updated": "2026-01-01T00:00:00Z",
    "elements": [
        {"price_components": [{"type": "ENERGY", "price": 0.6, "vat": 10}],
         "restrictions": {"start_time": "16:00", "end_time": "21:00"}},
        {"price_components": [{"type": "ENERGY", "price": 0.4, "vat": 10}]},
    ],
}  # fmt: skip
NIGHT, WEEKEND = {"start_time": "21:00", "end_time": "07:00"}, {"day_of_week": ["SATURDAY", "SUNDAY"]}
PRODUCTS: dict[str, dict[str, Any]] = {
    "night40": {"amount": 200_000, "effect": {"kind": "percent_off", "percent": 40}, "conditions": NIGHT},
    "weekend": {"amount": 60_000, "conditions": WEEKEND},
    "kwh100": {"amount": 100_000},
    "kwh300": {"amount": 300_000},
    "flat": {"amount": 400_000, "effect": {"kind": "flat_rate", "price": 0.36}},
    "off10": {"amount": 1_000_000, "effect": {"kind": "percent_off", "percent": 10}},
    "slow": {"amount": 200_000, "conditions": {"max_power": 7}},
    "ten": {"amount": 500_000, "uses_max": 10, "effect": {"kind": "percent_off", "percent": 50}},
}


@dataclass
class Found:
    """Drivers, their sessions and quarters, and the milliseconds of every inquiry, in order."""

    drivers: int = 0
    sessions: int = 0
    quarters: int = 0
    most: int = 0
    """Quarters of the driver who has most."""
    taken_ms: list[float] = field(default_factory=list)


def measure(quick: bool) -> Found:
    """The whole of T15, on a system of its own."""
    with Bench(stations=0) as bench:
        dsn = bench.postgres.dsn_of("bench_inquiries")
        found = Found()
        now = datetime.now(UTC)
        histories = _histories(now, 20 if quick else 1_000)
        client = asyncio.run(_prepare(bench.postgres.dsn, dsn, found, histories, now))
        ports = ["--ocpp-port", "0", "--http-port", "0", "--data-dir", str(bench.path / "ours")]
        server = Server("ours", csms("serve", *ports), {"CSMS_DATABASE_URL": dsn}, bench.path / "inquiries.log")
        bench.running.append(server)
        _ask(Rest(server, *client), found, list(histories))
    return found


def _histories(now: datetime, drivers_max: int) -> dict[str, list[tuple[datetime, datetime, int]]]:
    """(arrival, departure, Wh) of each driver."""
    weeks = (now - timedelta(days=1) - LAST).days // 7
    found: defaultdict[str, list[tuple[datetime, datetime, int]]] = defaultdict(list)
    with gzip.open(WHOLE_FILE, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            start = datetime.fromisoformat(row["arrival"]).astimezone(UTC)
            if LAST - timedelta(weeks=WEEKS) <= start < LAST:
                moved = timedelta(weeks=weeks)
                end = datetime.fromisoformat(row["departure"]).astimezone(UTC)
                found[row["station_id"]].append((start + moved, end + moved, int(row["delivered_wh"])))
    return dict(sorted(found.items(), key=lambda item: -len(item[1]))[:drivers_max])


async def _prepare(
    server_dsn: str, dsn: str, found: Found, histories: dict[str, list[tuple[datetime, datetime, int]]], now: datetime
) -> tuple[str, str]:
    """A database with these drivers and what is kept of them, and a client of staff."""
    conn = await asyncpg.connect(server_dsn)
    await conn.execute("create database bench_inquiries")
    await conn.close()
    conn = await asyncpg.connect(dsn)
    await db.migrate(conn)
    await conn.execute(
        "begin; insert into provider (id, name, terms_version, created_at) values ('P', 'P', 1, now());"
        "insert into provider_terms (provider_id, version, operator_bp, created_at) values ('P', 1, 1000, now());"
        "commit"
    )
    await conn.execute(
        "insert into site (id, provider_id, name, time_zone, created_at)"
        " values ('site', 'P', 'Site', 'America/Los_Angeles', now())"
    )
    await conn.execute(
        "insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)"
        " values ('T', 1, 'P', 'USD', $1, 3000, now())",
        json.dumps(TARIFF),
    )
    for name, sessions in histories.items():
        await conn.execute(
            "insert into station (id, kind, provider_id, site_id, tariff_id, created_at)"
            " values ($1, 'charger', 'P', 'site', 'T', now())",
            name,
        )
        await conn.execute("insert into driver (id, name, created_at) values ($1, $1, now())", f"of-{name}")
        rows = [row for session in sessions for row in _rows(name, *session)]
        await conn.copy_records_to_table(
            "usage_segment",
            records=rows,
            columns=["driver_id", "at", "session_id", "station_id", "wh", "seconds"],
        )
        found.drivers += 1
        found.sessions += len(sessions)
        found.quarters += len(rows)
        found.most = max(found.most, len(rows))
    await conn.execute("vacuum analyze usage_segment, station, driver")
    client = await clients.add_client(conn, ("admin",), "T15", now)
    await conn.close()
    return client


def _rows(station: str, start: datetime, end: datetime, wh: int) -> list[tuple[Any, ...]]:
    session_id = uuid4()
    seconds = int((end - start).total_seconds())
    found = segments([Period(start, end, wh, seconds)])
    return [(f"of-{station}", one.at, session_id, station, one.wh, one.seconds) for one in found]


def _ask(rest: Rest, found: Found, drivers: list[str]) -> None:
    for name, terms in PRODUCTS.items():
        price = {"minor": 700 + 100 * len(terms), "currency": "USD"}
        body = {"id": name, "name": name, "unit": "wh", "price": price, "valid_days": 28, **terms}
        _post(rest, "/voucher-products", body)
    vehicles = []
    for name in drivers:
        body = {"type": "app", "value": f"app of {name}"}
        vehicles.append(_post(rest, f"/drivers/of-{name}/vehicles", body)["id"])
    _post(rest, f"/vehicles/{vehicles[0]}/voucher-inquiries", {})  # what is read once per process is read
    for vehicle in vehicles * TAKES:
        began = time.perf_counter()
        told = _post(rest, f"/vehicles/{vehicle}/voucher-inquiries", {})
        found.taken_ms.append((time.perf_counter() - began) * 1000)
        assert told["offers"], told
    found.taken_ms.sort()


def _post(rest: Rest, path: str, body: Any) -> Any:
    headers = {"Authorization": f"Bearer {rest.token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{rest.base}/api/v1{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as response:
        return json.loads(response.read())


def lines(found: Found) -> str:
    """The block of the table."""
    taken = found.taken_ms
    share = sum(ms < WANTED_MS for ms in taken) / len(taken)
    return "\n".join(
        [
            f"\nT15  an inquiry on {WEEKS} weeks of real charging, {len(PRODUCTS)} products on sale:"
            f" {found.drivers} drivers, {found.sessions} sessions, {found.quarters} quarters of an hour"
            f" (one driver has {found.most})",
            *(
                f"  {taken[min(len(taken) - 1, int(len(taken) * part))]:8.1f} ms  p{int(part * 100)}"
                for part in (0.5, 0.95, 0.99)
            ),
            f"  {taken[-1]:8.1f} ms  the slowest of {len(taken)}; below {WANTED_MS:.0f} ms: {100 * share:.1f} %",
        ]
    )
