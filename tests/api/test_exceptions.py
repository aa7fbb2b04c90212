"""Exceptions: listed, minded, resolved; and swept together where nobody else raises them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from csms.worker.list_concerns import list_concerns
from tests.api.books import a_day
from tests.api.conftest import Rest
from tests.api.pages import every
from tests.api.test_ledger import post
from tests.make import NOON


@pytest.fixture
async def listed(seeded: Rest) -> Rest:
    """Three exceptions of two kinds."""
    async with seeded.pool.acquire() as conn:
        await conn.execute(
            "insert into exception (id, kind, ref, station_id, opened_at)"
            " select ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'kind' || n % 2, n::text,"
            " case when n = 1 then 'S1' end, $1::timestamptz + n * interval '1 minute' from generate_series(1, 3) n",
            NOON,
        )
    return seeded


def path(number: int) -> str:
    return f"/exceptions/{UUID(int=number)}"


async def test_an_exception_is_minded_and_resolved_and_who_did_so_is_kept(listed: Rest) -> None:
    minded = await listed.ask("PATCH", path(1), json={"owner": "  kim "})
    assert (minded.status, minded.json["owner"], minded.json["resolved_at"]) == (200, "kim", None)
    await listed.ask("PATCH", path(1), json={"owner": None})
    done = await listed.ask("PATCH", path(1), json={"owner": "lee", "resolution": "refunded by hand"})
    told = done.json
    assert (told["owner"], told["resolution"], told["resolved_at"]) == (
        "lee",
        "refunded by hand",
        "2026-11-20T12:00:00.000Z",
    )
    assert [(change["owner"], change["resolution"]) for change in told["changes"]] == [
        ("kim", None),
        (None, None),
        ("lee", "refunded by hand"),
    ]
    assert {change["by"] for change in told["changes"]} == {told["resolved_by"]} != {None}
    assert await listed.get(path(1)) == told
    again = await listed.ask("PATCH", path(1), json={"resolution": "other"})
    assert again.status == 409 and "stands" in again.json["detail"]


@pytest.mark.parametrize("body", [{}, {"resolution": None}, {"resolution": " "}, {"owner": ""}, {"state": "done"}])
async def test_a_change_that_says_nothing_is_refused(listed: Rest, body: dict[str, object]) -> None:
    assert (await listed.ask("PATCH", path(1), json=body)).status == 422
    assert (await listed.get(path(1)))["changes"] == []


async def test_exceptions_are_narrowed_by_kind_owner_station_and_state(listed: Rest) -> None:
    await listed.ask("PATCH", path(1), json={"owner": "kim"})
    await listed.ask("PATCH", path(3), json={"resolution": "done"})

    async def refs(query: str) -> list[object]:
        return [item["ref"] for item in await every(listed, f"/exceptions{query}", limit=1)]

    assert await refs("") == ["1", "2"] and await refs("?resolved=true") == ["1", "2", "3"]
    assert (
        await refs("?kind=kind1") == ["1"] and await refs("?owner=kim") == ["1"] and await refs("?station=S1") == ["1"]
    )
    rows = (await listed.get("/reports/exceptions?state=resolved"))["items"]
    assert [(row["ref"], row["resolution"]) for row in rows] == [("3", "done")]
    assert (await listed.ask("GET", path(9))).status == 404
    assert (await listed.ask("PATCH", path(9), json={"owner": "kim"})).status == 404
    assert (await listed.ask("PATCH", path(1), json={"owner": "x"}, scopes=("reports:read",))).status == 403


async def test_what_nobody_raises_is_swept_together_and_ends_by_itself(rest: Rest, dsn: str) -> None:
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
        await post(conn, "x", "2026-11-01", [("provider:Q:payable", "suspense", 40)])
        await conn.execute(
            "insert into outbox (id, kind, key, subject, payload, attempts, created_at, last_error) values"
            " (gen_random_uuid(), 'psp.collect', 'slow', 's', '{}', 3, now() - interval '1 hour', 'timeout'),"
            " (gen_random_uuid(), 'psp.collect', 'young', 's', '{}', 3, now(), 'timeout')"
        )
        later = NOON + timedelta(days=4)
        assert await list_concerns(conn, later) == {
            "old_hold": 2, "payment_unknown": 1, "negative_provider": 1, "suspense": 1,
        }  # fmt: skip
        assert not await list_concerns(conn, later)
        found = {(item["kind"], item["ref"]): item for item in (await rest.get("/exceptions"))["items"]}
        assert {ref for kind, ref in found if kind == "old_hold"} == {str(sessions["odd"]), str(sessions["running"])}
        assert found["negative_provider", "provider:Q:payable/KRW"]["details"]["balance_minor"] == -40
        assert ("payment_unknown", "young") not in found

        await post(conn, "y", "2026-11-02", [("suspense", "provider:Q:payable", 40)])
        await rest.ask("PATCH", f"/exceptions/{found['payment_unknown', 'slow']['id']}", json={"resolution": "asked"})
        assert not await list_concerns(conn, later)
        ended = await rest.get(f"/exceptions/{found['suspense', 'suspense/KRW']['id']}")
        assert (ended["resolution"], ended["resolved_by"]) == ("ended by itself", None)

        await post(conn, "z", "2026-11-03", [("provider:Q:payable", "bank", 1)])
        assert await list_concerns(conn, later) == {"negative_provider": 1}
        again = await rest.get(f"/exceptions/{found['negative_provider', 'provider:Q:payable/KRW']['id']}")
        assert again["resolved_at"] is None and again["details"]["balance_minor"] == -1
        assert (await rest.get(f"/exceptions/{found['payment_unknown', 'slow']['id']}"))["resolution"] == "asked"
