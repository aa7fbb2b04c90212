"""Staff put fees right through REST: held bills, corrections, refunds; twice, with bad input, of what is not there."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from csms import db
from tests.api.books import a_day
from tests.api.conftest import Reply, Rest

Day = tuple[Rest, dict[str, UUID]]


@pytest.fixture
async def day(rest: Rest, dsn: str) -> Day:
    """The interface over `books.a_day`, and its sessions."""
    async with rest.pool.acquire() as conn:
        sessions = await a_day(conn, dsn)
    return rest, sessions


async def ask(rest: Rest, path: str, body: object, key: str | None = None) -> Reply:
    headers = {"Idempotency-Key": key or uuid4().hex}
    return await rest.ask("POST", path, json=body, scopes=("refund:create",), headers=headers)


async def bill_of(rest: Rest, session: UUID) -> dict[str, Any]:
    found: dict[str, Any] = await rest.get(f"/sessions/{session}/bill")
    return found


async def books_hold(rest: Rest) -> None:
    async with rest.pool.acquire() as conn:
        wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


def won(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "KRW"}


async def test_a_refund_asked_twice_under_one_key_is_one_credit(day: Day) -> None:
    rest, sessions = day
    bill = await bill_of(rest, sessions["paid"])
    body = {"amount": won("1000"), "reason": "the plug was broken"}

    first = await ask(rest, f"/bills/{bill['id']}/refunds", body, "k1")
    again = await ask(rest, f"/bills/{bill['id']}/refunds", body, "k1")
    other = await ask(rest, f"/bills/{bill['id']}/refunds", body | {"amount": won("5")}, "k1")

    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.json == again.json
    assert (first.json["kind"], first.json["corrects"], first.json["total"]["minor"]) == ("credit", bill["id"], -1000)
    listed = (await rest.get(f"/sessions/{sessions['paid']}/bills"))["items"]
    assert [b["total"]["minor"] for b in listed] == [3000, -1000]
    assert (await rest.get(f"/sessions/{sessions['paid']}"))["fee"]["minor"] == 2000
    await books_hold(rest)


async def test_a_correction_answers_the_new_bill_and_an_old_one_cannot_be_corrected(day: Day) -> None:
    rest, sessions = day
    bill = await bill_of(rest, sessions["paid"])
    body = {"energy_wh": 4000, "reason": "meter exchanged"}

    reply = await ask(rest, f"/bills/{bill['id']}/corrections", body)
    late = await ask(rest, f"/bills/{bill['id']}/corrections", body)

    assert (reply.status, reply.json["revision"], reply.json["total"]["minor"]) == (201, 3, 1200)
    assert (reply.json["reason"], reply.json["energy_wh"]) == ("meter exchanged", 4000)
    assert late.status == 409
    assert "number 3" in late.json["detail"]
    await books_hold(rest)


async def test_a_held_bill_is_released_by_staff_and_only_once(day: Day) -> None:
    rest, sessions = day
    path = f"/sessions/{sessions['odd']}/review"

    reply = await ask(rest, path, {"action": "correct", "energy_wh": 3000, "reason": "unit was wrong"})
    again = await ask(rest, path, {"action": "waive", "reason": "unit was wrong"})

    assert (reply.status, reply.json["state"], reply.json["fee"]["minor"]) == (200, "completed", 900)
    assert again.status == 409
    await books_hold(rest)


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ({"amount": "-5", "currency": "KRW"}, 422),
        ({"amount": "0", "currency": "KRW"}, 422),
        ({"amount": "10.5", "currency": "KRW"}, 422),
        ({"amount": "10", "currency": "EUR"}, 422),
        ({"amount": "10", "currency": "XXX"}, 422),
        ({"amount": "3001", "currency": "KRW"}, 409),
        ({"amount": "1e3", "currency": "KRW"}, 422),
        ({"amount": 10.0, "currency": "KRW"}, 422),
    ],
)
async def test_a_refund_of_a_wrong_amount_is_refused_and_nothing_moves(
    day: Day, amount: dict[str, Any], status: int
) -> None:
    rest, sessions = day
    bill = await bill_of(rest, sessions["paid"])

    reply = await ask(rest, f"/bills/{bill['id']}/refunds", {"amount": amount, "reason": "test of amounts"})

    assert (reply.status, reply.headers["Content-Type"].split(";")[0]) == (status, "application/problem+json")
    assert len((await rest.get(f"/sessions/{sessions['paid']}/bills"))["items"]) == 1


async def test_what_is_not_there_or_not_asked_rightly_is_a_problem(day: Day) -> None:
    rest, sessions = day
    bill = await bill_of(rest, sessions["paid"])
    nobody = uuid4()
    refund = {"amount": won("10"), "reason": "test"}

    assert (await ask(rest, f"/bills/{nobody}/refunds", refund)).status == 404
    assert (await ask(rest, f"/bills/{nobody}/corrections", {"energy_wh": 1, "reason": "test"})).status == 404
    assert (await ask(rest, f"/sessions/{nobody}/review", {"action": "waive", "reason": "test"})).status == 404
    assert (await ask(rest, f"/bills/{bill['id']}/corrections", {"reason": "test"})).status == 422
    assert (await ask(rest, f"/bills/{bill['id']}/corrections", {"energy_wh": -1, "reason": "test"})).status == 422
    assert (
        await ask(rest, f"/sessions/{sessions['odd']}/review", {"action": "correct", "reason": "test"})
    ).status == 422
    assert (await rest.ask("POST", f"/bills/{bill['id']}/refunds", json=refund)).status == 400
    denied = await rest.ask("POST", f"/bills/{bill['id']}/refunds", json=refund, scopes=("reports:read",))
    assert denied.status == 403
