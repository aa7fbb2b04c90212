"""The database computes the same tendencies as the rules, for many drivers at once; and cohorts of them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csms.db import SQL, Connection, Record
from csms.domain.tendency import Tendency, Used, of
from csms.flows import tendency
from tests.make import NOON, seed

PLACES: dict[str, tuple[str | None, str | None, str | None]] = {
    "S1": ("site", "Asia/Seoul", None),
    "S2": ("site", "Asia/Seoul", None),
    "N1": ("north", "America/New_York", "north"),
    "U1": ("utc", "UTC", "south"),
    "X1": (None, None, None),
}
"""Stations with their site, its zone and its region; one has none."""

WORLD = """
insert into site (id, provider_id, name, time_zone, region, created_at)
values ('north', 'P', 'North', 'America/New_York', 'north', now()), ('utc', 'P', 'UTC', 'UTC', 'south', now());
insert into station (id, kind, provider_id, site_id, created_at)
values ('N1', 'charger', 'P', 'north', now()), ('U1', 'charger', 'P', 'utc', now()),
    ('X1', 'charger', 'P', null, now());
insert into driver (id, created_at) select 'd' || n, now() from generate_series(0, 99) n;
"""


@st.composite
def histories(draw: Any) -> list[Used]:
    """Sessions of a driver at different stations, also older than what counts."""
    found = []
    for number in range(draw(st.integers(0, 14))):
        station = draw(st.sampled_from(sorted(PLACES)))
        at = NOON - timedelta(seconds=draw(st.integers(-9_000, 58 * 86_400)))
        for quarter in range(draw(st.integers(1, 4))):
            wh, seconds = draw(st.integers(0, 9_000)), draw(st.sampled_from([0, 1, 450, 900, 900]))
            cheap = draw(st.sampled_from([None, True, False]))
            when = at + timedelta(minutes=15 * quarter)
            found.append(Used(when, UUID(int=number), station, wh, seconds, cheap, *PLACES[station]))
    return found


async def keep(conn: Connection, history: dict[str, list[Used]]) -> None:
    """These segments, and no others."""
    await conn.execute("truncate usage_segment, tendency")
    rows = [
        (driver, one.at, one.session_id, one.station_id, one.wh, one.seconds, one.cheap)
        for driver, used in history.items()
        for one in used
    ]
    await conn.executemany("insert into usage_segment values ($1, $2, $3, $4, $5, $6, $7)", rows)


async def computed(conn: Connection) -> dict[str, Record]:
    return {row["driver_id"]: row for row in await conn.fetch("select * from tendency")}


def told(row: Record) -> Tendency:
    """A stored tendency in the words of the rules."""
    values = {name: row[name] for name in Tendency._fields}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Tendency(**{**values, **lists, "entropy": float(row["entropy"])})


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(histories(), min_size=1, max_size=8))
def test_the_database_and_the_rules_agree_on_any_histories(tendency_dsn: str, drawn: list[list[Used]]) -> None:
    history = {f"d{number}": used for number, used in enumerate(drawn)}

    async def compare() -> None:
        conn = await asyncpg.connect(tendency_dsn)
        try:
            await keep(conn, history)
            await SQL.compute_tendency.run(conn, list(history), NOON)
            rows = await computed(conn)
            for driver, used in history.items():
                wanted = of(used, NOON)
                assert (wanted is None) == (driver not in rows)
                if wanted is not None:
                    found = told(rows[driver])
                    assert found.entropy == pytest.approx(wanted.entropy, abs=0.001)
                    assert found == wanted._replace(entropy=found.entropy)
                    assert of(await tendency.history(conn, driver, NOON), NOON) == wanted
        finally:
            await conn.close()

    asyncio.run(compare())


@pytest.fixture
async def tendency_dsn(dsn: str, conn: Connection) -> str:
    """A database with places and a hundred drivers."""
    await seed(conn)
    await conn.execute(WORLD)
    return dsn


def weekly(wh: int, weeks: int = 3, station: str = "S1") -> list[Used]:
    """A session a week."""
    return [
        Used(NOON - timedelta(days=7 * week + 1), UUID(int=week), station, wh, 900, None, *PLACES[station])
        for week in range(weeks)
    ]


async def test_the_version_grows_when_something_changes_and_only_then(tendency_dsn: str, conn: Connection) -> None:
    await keep(conn, {"d1": weekly(5_000), "d2": weekly(3_000)})
    for minutes in (0, 1):
        await SQL.compute_tendency.run(conn, ["d1", "d2"], NOON + timedelta(minutes=minutes))
    rows = await computed(conn)
    assert {(row["version"], row["computed_at"]) for row in rows.values()} == {(1, NOON)}
    await conn.execute("update usage_segment set wh = 9000 where driver_id = 'd1'")
    await SQL.compute_tendency.run(conn, ["d1", "d2"], NOON + timedelta(minutes=2))
    rows = await computed(conn)
    assert {driver: row["version"] for driver, row in rows.items()} == {"d1": 2, "d2": 1}


async def test_what_grew_too_old_leaves_nothing(tendency_dsn: str, conn: Connection) -> None:
    await keep(conn, {"d1": weekly(5_000)})
    await SQL.compute_tendency.run(conn, ["d1"], NOON)
    assert set(await computed(conn)) == {"d1"}
    await SQL.compute_tendency.run(conn, ["d1"], NOON + timedelta(days=60))
    assert await computed(conn) == {}


async def test_rented_packs_are_counted_beside_sessions(tendency_dsn: str, conn: Connection) -> None:
    await keep(conn, {"d1": weekly(5_000)})
    for number, (kind, days, taken) in enumerate(
        [("battery", 3, True), ("battery", 60, True), ("portable", 3, True), ("battery", 3, False)]
    ):
        code, at = f"item{number}", NOON - timedelta(days=days)
        await conn.execute(
            "insert into item (code, kind, type, provider_id, place, at, key, version, created_at)"
            " values ($1, $2, 'p1', 'P', 'unknown', $3, '', 1, $3)", code, kind, at,
        )  # fmt: skip
        await conn.execute(
            "insert into rental (id, version, state, station_id, provider_id, driver_id, item, requested_at, asked_by,"
            " proof, taken_at, extensions, outage_s, damage_minor, tries, reminders, flags, closed_at)"
            " values ($1, 1, 'closed', 'S1', 'P', 'd1', $2, $3, 'x', 'staff', $4, 0, 0, 0, 1, 0, '{}', $3)",
            UUID(int=number), code, at, at if taken else None,
        )  # fmt: skip
    await SQL.compute_tendency.run(conn, ["d1"], NOON)
    assert (await computed(conn))["d1"]["swaps"] == 1


async def test_a_cohort_is_of_twenty_drivers_and_its_middle_one_by_energy(tendency_dsn: str, conn: Connection) -> None:
    cars = {f"d{n}": weekly(1_000 * n) for n in range(1, 21)}
    scooters = {f"d{n}": weekly(10, station="N1") for n in range(30, 49)}
    await keep(conn, cars | scooters)
    await conn.execute("update driver set vehicle_class = 'car' where id = any ($1)", list(cars))
    await SQL.compute_tendency.run(conn, [*cars, *scooters], NOON)
    await SQL.compute_cohorts.run(conn, NOON)
    [row] = await conn.fetch("select class, region, drivers, median_driver from cohort")
    assert tuple(row) == ("car", "any", 20, "d10")
    found = await SQL.show_cohort.one(conn, "d3", "any")
    assert found is not None and found["median_driver"] == "d10"
    assert await SQL.show_cohort.one(conn, "d30", "north") is None
    await keep(conn, scooters | {"d49": weekly(20, station="N1")})
    await SQL.compute_tendency.run(conn, [*scooters, "d49"], NOON)
    await SQL.compute_cohorts.run(conn, NOON)
    [row] = await conn.fetch("select class, region, drivers, median_driver from cohort")
    assert tuple(row) == ("any", "north", 20, "d39")  # of equal ones by id
