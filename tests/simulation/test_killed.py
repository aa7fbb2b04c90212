"""A thousand kills at named points: nothing that was answered is lost, nothing is billed or paid twice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import pytest

from csms import db
from tests import make
from tests.psp.conftest import social, social_process
from tests.psp.social_process import OPERATOR_ACCOUNT, PROVIDER_ACCOUNT, SocialProcess
from tests.simulation.life import POINTS
from tests.simulation.lives import STATIONS

__all__ = ["social", "social_process"]

KILLS = 1_000
SEED = 2026
WON_PER_KWH = 300


async def test_a_thousand_kills_lose_nothing_and_bill_nothing_twice(dsn: str, conn: Any, social: SocialProcess) -> None:
    await prepare(conn)

    told = await lives(dsn, social.url, KILLS)

    assert sum(told["killed"].values()) == KILLS
    assert min(told["killed"][point] for point in POINTS) > KILLS // 20
    await assert_all_stored(conn, told["charges"])
    await assert_settled(conn, await social.journal())
    assert await db.check(conn) == {}


async def test_a_road_that_answers_before_the_commit_is_found_out(dsn: str, conn: Any, social: SocialProcess) -> None:
    await prepare(conn)

    told = await lives(dsn, social.url, 30, "hasty")

    with pytest.raises(AssertionError):
        await assert_all_stored(conn, told["charges"])


async def prepare(conn: Any) -> None:
    """The small world with more stations, the psp's account of the provider, and money enough."""
    await make.seed(conn)
    await make.fund(conn, "ann", 10**12)
    await conn.execute("update provider set psp_accounts = $1", json.dumps({"social": PROVIDER_ACCOUNT}))
    for station_id in STATIONS:
        await conn.execute(
            "insert into station (id, kind, provider_id, tariff_id, created_at)"
            " values ($1, 'charger', 'P', 'T', now())",
            station_id,
        )


async def lives(dsn: str, url: str, kills: int, *flags: str) -> dict[str, Any]:
    """What the stations were told in all those lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.simulation.lives",
        dsn,
        url,
        str(SEED),
        str(kills),
        *flags,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 400)
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(out)
    return answer


async def assert_all_stored(conn: Any, charges: list[dict[str, Any]]) -> None:
    """Of every charge."""
    for charge in charges:
        await assert_stored(conn, charge)


async def assert_stored(conn: Any, charge: dict[str, Any]) -> None:
    """All that a charge's station was told stands in the database, once."""
    answers = dict(zip(charge["reports"], charge["answered"], strict=True))
    row = await conn.fetchrow(
        "select s.*, (select count(*) from bill b where b.session_id = s.id) as bills,"
        " (select count(*) from reading r where r.session_id = s.id) as readings"
        " from session s where s.station_id = $1 and s.ref = $2",
        charge["station_id"],
        answers["started"]["ref"],
    )
    assert row is not None, charge
    fee = charge["wh"] * WON_PER_KWH / 1000
    is_paid = charge["kind"] in ("local", "social", "free")
    assert (row["state"], row["bills"]) == (("completed", 1) if is_paid else ("invalid", 0)), charge
    assert (answers["started"]["status"] == "accepted") == is_paid, charge
    assert row["meter_end_wh"] == 1_000 + charge["wh"]
    assert row["readings"] == 1
    if is_paid:
        assert answers["ended"]["fee"] == row["fee_minor"]
        assert abs(row["fee_minor"] - fee) <= 0.5


async def assert_settled(conn: Any, journal: list[dict[str, Any]]) -> None:
    """The psp took each bill's fee once, settled it once, and holds nothing that no session needs."""
    bills = await conn.fetch(
        "select b.session_id, b.total_minor, b.operator_minor, a.psp_ref from bill b"
        " join session s on s.id = b.session_id join psp_authorization a on a.id = s.authorization_id"
        " where b.means = 'psp'"
    )
    assert len(bills) == len({bill["psp_ref"] for bill in bills}) > KILLS // 10
    done: dict[str, Counter[str]] = {"authorize": Counter(), "capture": Counter(), "cancel": Counter()}
    amounts: dict[str, int] = {}
    for entry in journal:
        if entry["operation"] in done and entry.get("status") != "ABORTED":
            done[entry["operation"]][entry["payment_key"]] += 1
            if entry["operation"] == "capture":
                amounts[entry["payment_key"]] = entry["amount"]
    settled = Counter(entry["order_id"] for entry in journal if entry["operation"] == "settle")
    assert amounts == {bill["psp_ref"]: bill["total_minor"] for bill in bills if bill["total_minor"]}
    assert settled == Counter({str(bill["session_id"]): 1 for bill in bills if bill["total_minor"]})
    assert set(done["capture"].values()) | set(done["cancel"].values()) == {1}
    assert done["authorize"].keys() == done["capture"].keys() | done["cancel"].keys()

    billed, ours = (sum(bill[name] for bill in bills) for name in ("total_minor", "operator_minor"))
    parts = [part for entry in journal if entry["operation"] == "settle" for part in entry["remittances"]]
    paid = {
        name: sum(p["amount"] for p in parts if p["seller"] == name) for name in (PROVIDER_ACCOUNT, OPERATOR_ACCOUNT)
    }
    assert paid == {PROVIDER_ACCOUNT: billed - ours, OPERATOR_ACCOUNT: ours}
    assert await conn.fetchval("select count(*) from outbox where state <> 'done'") == 0
    assert await conn.fetchval("select count(*) from psp_authorization where state in ('asking', 'authorized')") == 0
    assert await conn.fetchval("select count(*) from exception") == 0
