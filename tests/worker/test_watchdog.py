"""The watchdog: a session that nothing is heard of ends once, by its last reading; its true end makes it right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.domain.events import ConnectorReported, Event, ProvisionalFinished, ProvisionallyEnded, StationBooted
from csms.worker.watchdog import ALL_EVERY, FINAL_AFTER, RECENT, SILENT_AFTER, Watchdog
from tests import make
from tests.make import Told, after, ended, metered, started

LATE = 30 + SILENT_AFTER / timedelta(minutes=1) + 2


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


class Watched(Told):
    """A road with the watchdog beside it."""

    def __init__(self, dsn: str, pool: db.Pool) -> None:
        super().__init__(dsn)
        self.minutes = 0.0
        self.reports: list[ProvisionallyEnded | ProvisionalFinished] = []
        self.dog = Watchdog(pool, self.reports.append, lambda: after(self.minutes))

    async def __aenter__(self) -> Watched:
        await super().__aenter__()
        return self

    async def sweep(self, minutes: float) -> list[str]:
        """One sweep so many minutes after noon, and its reports on the road: what they say."""
        self.minutes = minutes
        await self.dog.sweep()
        reports = list(self.reports)
        self.reports.clear()
        await self.tell_apart(reports)
        return [getattr(report, "why", "finished") for report in reports]


def free(minutes: float, status: str = "available") -> ConnectorReported:
    """The connector of S1 shows a status."""
    return ConnectorReported("S1", after(minutes), after(minutes), 1, status, None, None)


def boot(minutes: float) -> StationBooted:
    """S1 booted."""
    return StationBooted("S1", after(minutes), "V", "M", None, None, "PowerUp")


async def transfers(conn: Any) -> list[tuple[Any, ...]]:
    """All that moved but the seed, by posting."""
    rows = await conn.fetch(
        "select p.kind, count(*), sum(t.amount) from transfer t join posting p on p.id = t.posting_id"
        " where p.kind <> 'top_up' group by p.id, p.kind order by p.id, p.kind"
    )
    return sorted(tuple(row) for row in rows)


async def books(conn: Any) -> tuple[int, dict[str, list[Any]]]:
    """Ann's balance, and what a check finds."""
    balance = await conn.fetchval("select balance from account_balance where address = 'driver:ann:balance'")
    return balance, await db.check(conn)


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1"])
@pytest.mark.parametrize("sign", ["connector_available", "station_booted", "newer_session"])
async def test_a_silent_session_ends_once_and_its_late_end_is_billed_instead(
    dsn: str, conn: Any, pool: Any, version: str, sign: str
) -> None:
    may_open = version != "ocpp1.6"
    news: dict[str, Event] = {
        "connector_available": free(31),
        "station_booted": boot(31),
        "newer_session": started("r2", at=after(31), meter_wh=4000),
    }
    async with Watched(dsn, pool) as told:
        await told.tell_apart([started(), metered(), news[sign]])
        assert await told.sweep(31) == []
        assert await told.sweep(LATE) == [sign]
        assert await told.sweep(LATE + 5) == []
        held = {"newer_session": 20_000}.get(sign, 0)
        session = await conn.fetchrow("select * from session where ref = 'r1'")
        assert (session["state"], session["energy_wh"], session["fee_minor"]) == ("provisional", 3_000, 900)
        before = await transfers(conn)
        assert [kind for kind, *_ in before].count("settle") == 1

        late = [ended(minutes=60, wh=11_000, received_at=after(600), may_open=may_open)] * 2
        first, second = await told.tell_apart(late)

    assert first == second
    assert first.fee_minor == 3_000
    session = await conn.fetchrow("select * from session where ref = 'r1'")
    assert (session["state"], session["energy_wh"], session["fee_minor"]) == ("completed", 10_000, 3_000)
    kinds = [kind for kind, *_ in await transfers(conn)]
    assert (kinds.count("settle"), kinds.count("reverse")) == (2, 1)
    assert len(await transfers(conn)) == len(before) + 2
    rows = await conn.fetch("select kind, total_minor from bill where session_id = $1 order by revision", session["id"])
    assert [tuple(row) for row in rows] == [("charge", 900), ("credit", -900), ("charge", 3_000)]
    balance, wrong = await books(conn)
    assert balance == 47_000 - held
    assert wrong == {}


async def test_without_any_end_the_provisional_bill_stands_after_three_days(dsn: str, conn: Any, pool: Any) -> None:
    final = LATE + FINAL_AFTER / timedelta(minutes=1)
    async with Watched(dsn, pool) as told:
        await told.tell_apart([started(), metered(), free(31)])
        await told.sweep(LATE)
        assert await told.sweep(final - 5) == []
        assert await told.sweep(final + 1) == ["finished"]
        assert await told.sweep(final + 6) == []

    assert await conn.fetchval("select state from session") == "completed"
    assert await conn.fetchval("select count(*) from bill") == 1
    balance, wrong = await books(conn)
    assert (balance, wrong) == (49_100, {})


@pytest.mark.parametrize("status", ["charging", "suspended", "finishing", "unavailable"])
async def test_silence_alone_ends_nothing(dsn: str, conn: Any, pool: Any, status: str) -> None:
    """A station may be offline for days while it charges (quirks Q-R5, Q-C08, Q-S03)."""
    async with Watched(dsn, pool) as told:
        await told.tell_apart([started(), metered(), free(31, status)])
        assert await told.sweep(10_000) == []
    assert await conn.fetchval("select state from session") == "active"
    assert await conn.fetchval("select count(*) from bill") == 0


async def test_a_free_connector_ends_nothing_while_readings_come(dsn: str, conn: Any, pool: Any) -> None:
    """Some stations show `available` while they charge (quirk Q-S03)."""
    async with Watched(dsn, pool) as told:
        await told.tell_apart([started(), free(5), metered(minutes=20)])
        assert await told.sweep(22) == []
        assert await told.sweep(20 + SILENT_AFTER / timedelta(minutes=1) + 1) == []
    assert await conn.fetchval("select state from session") == "active"


async def test_two_starts_without_a_stop_end_the_first_one_only(dsn: str, conn: Any, pool: Any) -> None:
    """Q-T02: power was lost, the stop never came; the newer session goes on."""
    async with Watched(dsn, pool) as told:
        await told.tell_apart(
            [started(), metered(), started("r2", at=after(40), meter_wh=4_000), metered("r2", 44, 4_500)]
        )
        assert await told.sweep(LATE) == ["newer_session"]
        outcome = (await told.tell(ended("r2", 70, 6_000)))[0]

    assert outcome.fee_minor == 600
    rows = await conn.fetch("select ref, state, energy_wh from session order by ref")
    assert [tuple(row) for row in rows] == [("r1", "provisional", 3_000), ("r2", "completed", 2_000)]
    assert [kind for kind, *_ in await transfers(conn)] == ["hold", "hold", "settle", "settle"]


async def test_what_went_on_under_the_old_id_after_a_newer_start_is_not_billed_twice(
    dsn: str, conn: Any, pool: Any
) -> None:
    """Q-T02: the station lost power at noon and a half, and sends the readings of the next session with the old id."""
    async with Watched(dsn, pool) as told:
        await told.tell_apart(
            [started(), metered(minutes=29, wh=4_000), started("r2", at=after(31), meter_wh=4_000),
             metered(minutes=40, wh=5_500), metered(minutes=50, wh=7_000)]
        )  # fmt: skip
        assert await told.sweep(50 + 17) == ["newer_session"]
        await told.tell(ended("r2", 70, 9_000))

    rows = await conn.fetch("select ref, energy_wh from session order by ref")
    assert [tuple(row) for row in rows] == [("r1", 3_000), ("r2", 5_000)]
    assert await conn.fetchval("select sum(energy_wh) from bill") == 8_000
    assert await db.check(conn) == {}


async def test_energy_between_two_sessions_is_listed_and_billed_to_nobody(dsn: str, conn: Any, pool: Any) -> None:
    """Q-M08: the stop says 11000, the next start 11004."""
    async with Watched(dsn, pool) as told:
        await told.tell_apart([started(), ended(), started("r2", at=after(90), meter_wh=11_004)])
        await told.sweep(91)
        await told.sweep(92)
        await told.tell(ended("r2", 120, 12_004))

    gaps = await conn.fetch("select station_id, connector, from_wh, to_wh from unattributed_energy")
    assert [tuple(row) for row in gaps] == [("S1", 1, 11_000, 11_004)]
    assert await conn.fetchval("select sum(energy_wh) from bill") == 11_000
    assert [kind for kind, *_ in await transfers(conn)] == ["hold", "hold", "settle", "settle"]


async def test_a_session_that_runs_for_days_is_looked_at_once_an_hour(dsn: str, conn: Any, pool: Any) -> None:
    days = RECENT / timedelta(minutes=1) + 60
    async with Watched(dsn, pool) as told:
        await told.tell(started(), metered())
        assert await told.sweep(days) == []
        await told.tell(free(days + 1))
        assert await told.sweep(days + LATE) == []
        assert await told.sweep(days + ALL_EVERY / timedelta(minutes=1)) == ["connector_available"]
