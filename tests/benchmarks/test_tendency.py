"""T14 works on a small scale: every seeded driver gets a tendency, and the nights are told."""

from __future__ import annotations

from csms import db
from tests.benchmarks import tendency


async def test_the_tendencies_of_a_few_hundred_drivers_are_computed_night_after_night(
    dsn: str, conn: db.Connection
) -> None:
    found = await tendency.compute(dsn, 900)
    assert (found.drivers, found.segments) == (900, 900 * tendency.SESSIONS * tendency.QUARTERS)
    assert found.cohorts == 20 and set(found.nights_s) == {"all new", "a day later"}
    assert "900 drivers" in tendency.lines(found) and "segments/s" in tendency.lines(found)
    told = await conn.fetch("select weeks, station_count, confidence, count(*) from tendency group by 1, 2, 3")
    assert {row["confidence"] for row in told} == {"high"} and {row["weeks"] for row in told} == {8}
    assert {row["station_count"] for row in told} == {5}
    assert await db.check(conn) == {}
