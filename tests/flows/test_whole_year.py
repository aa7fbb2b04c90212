"""A year of real charges through the road: 22,492 sessions at two sites, and one that delivered nothing."""

from __future__ import annotations

import asyncio
import csv
import gzip
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from csms import db
from csms.domain.events import Event, Outcome, Reading, SessionEnded, SessionMetered, SessionStarted
from tests import make
from tests.make import Told, new_id

DATA = Path(__file__).parents[2] / "charge_points_sim/data/acn_sessions_2019_2020.csv.gz"
SESSIONS = 22_492
DELIVERED_WH = 279_416_878
CHUNK = 4_000


class Charge(NamedTuple):
    """One line of the file."""

    station: str
    ref: str
    begin: datetime
    end: datetime
    wh: int


def charges() -> list[Charge]:
    with gzip.open(DATA, "rt") as file:
        rows = [
            Charge(
                row["station_id"],
                f"{number}",
                datetime.fromisoformat(row["arrival"]).astimezone(UTC),
                datetime.fromisoformat(row["departure"]).astimezone(UTC),
                int(row["delivered_wh"]),
            )
            for number, row in enumerate(csv.DictReader(file))
        ]
    last = max(rows, key=lambda charge: charge.end)
    nothing = Charge(last.station, "nothing", last.end + timedelta(hours=1), last.end + timedelta(hours=2), 0)
    return [*rows, nothing]


def reports(charge: Charge) -> Iterator[Event]:
    """A start, a reading in the middle, an end; registers count on through a station's life."""
    base = int(charge.begin.timestamp()) // 10
    middle = charge.begin + (charge.end - charge.begin) / 2
    yield SessionStarted(
        charge.station, charge.begin, charge.begin, 1, charge.ref, charge.ref, make.ANN, base, False,
        new_id(), new_id(), "",
    )  # fmt: skip
    reading = Reading(middle, 1, base + charge.wh // 2)
    yield SessionMetered(charge.station, charge.ref, middle, (reading,), 1, False, new_id(), "")
    yield SessionEnded(
        charge.station, charge.end, charge.end, charge.ref, base + charge.wh, "Local", False, new_id(), new_id(), "",
        may_open=True,
    )  # fmt: skip


async def drive(told: Told, events: Iterator[Event]) -> list[Outcome]:
    """Every report twice, thousands waiting at a time."""
    outcomes: list[Outcome] = []
    while chunk := list(islice(events, CHUNK)):
        outcomes += await asyncio.wait_for(
            asyncio.gather(*[told.send(e) for event in chunk for e in (event, event)]), 60
        )
    return outcomes


async def test_a_whole_year_is_billed_once_to_the_last_wh(dsn: str, conn: Any) -> None:
    await make.seed(conn)
    await make.fund(conn, "ann", 10**12)
    everything = charges()
    await conn.executemany(
        "insert into station (id, kind, provider_id, tariff_id, created_at) values ($1, 'charger', 'P', 'T', now())",
        sorted({(charge.station,) for charge in everything}),
    )

    async with Told(dsn) as told:
        outcomes = await drive(told, (event for charge in everything for event in reports(charge)))

    assert {outcome.status for outcome in outcomes} == {"accepted"}
    assert await conn.fetchval("select count(*) from session where state = 'completed'") == SESSIONS + 1
    assert tuple(await conn.fetchrow("select count(*), sum(energy_wh) from bill")) == (SESSIONS + 1, DELIVERED_WH)
    nothing = await conn.fetchrow(
        "select b.energy_wh, b.total_minor from bill b join session s on s.id = b.session_id where s.ref = 'nothing'"
    )
    assert tuple(nothing) == (0, 0)
    assert await conn.fetchval("select sum(balance) from guarded_account where address like 'session:%'") == 0
    assert await conn.fetchval("select sum(balance) from account_balance") == 0
    assert await db.check(conn) == {}
