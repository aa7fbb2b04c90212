"""What a psp approved before energy flows: it pays for the use it was asked for, once, or goes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain.world import Rules
from tests import make
from tests.make import SUE, Told, after, ended, metered, presented, started, verdict

BEFORE = Rules(policies={"social": "pay_before_refund_rest"})


@pytest.fixture(autouse=True)
async def _seeded_and_in_order(conn: Any) -> AsyncIterator[None]:
    """Whatever happened, every invariant of `db/checks` holds afterwards."""
    await make.seed(conn)
    yield
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def balance(conn: Any, address: str) -> int:
    found = await conn.fetchval("select balance from account_balance where address = $1", address)
    return int(found or 0)


async def test_what_was_paid_before_is_kept_for_the_session_and_the_rest_goes_back(dsn: str, conn: Any) -> None:
    async with Told(dsn, BEFORE) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(verdict(told.asks[0]))
        await waits
        session_id = await conn.fetchval("select id from session")
        assert await balance(conn, f"session:{session_id}:held") == 30_000
        await told.tell(ended())

    assert await balance(conn, "psp:social:clearing") == -30_000 - 50_000
    assert await balance(conn, "psp:social:refunds") == 27_000
    assert await balance(conn, "psp:social:receivable") == 0
    kinds = await conn.fetch("select kind, payload ->> 'minor' from outbox order by kind")
    assert [tuple(row) for row in kinds] == [("psp.collect", None), ("psp.refund_rest", "27000")]


@pytest.mark.parametrize("rules", [make.SOCIAL, BEFORE])
async def test_what_a_psp_approved_pays_for_a_start_that_its_station_kept_while_offline(
    dsn: str, conn: Any, rules: Rules
) -> None:
    async with Told(dsn, rules) as told:
        waits = told.send(presented(SUE))
        await told.tell(metered("other"))
        await told.tell(verdict(told.asks[0]))
        await waits
        await told.tell_apart(
            [started(token=SUE, at=after(1), received_at=after(9), offline=True), ended(received_at=after(70))]
        )

    row = await conn.fetchrow("select authorization_id, policy, fee_minor from session where fee_minor > 0")
    assert tuple(row) == (told.asks[0].authorization_id, rules.policies["social"], 3_000)


@pytest.mark.parametrize(("rules", "kept"), [(make.SOCIAL, 0), (BEFORE, 30_000)])
@pytest.mark.parametrize("no", ["timed_out", "declined"])
async def test_an_approval_after_a_no_is_given_back_once(dsn: str, conn: Any, rules: Rules, kept: int, no: str) -> None:
    async with Told(dsn, rules) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(verdict(told.asks[0], no))
        assert (await waits).status == "invalid"
        await told.tell_apart([verdict(told.asks[0])] * 2)

    assert [row["kind"] for row in await conn.fetch("select kind from outbox")] == ["psp.void"]
    assert await balance(conn, f"authorization:{told.asks[0].authorization_id}:held") == kept
