"""A driver's money through the running interface: choices, limits of tokens, debts, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Rest
from tests.make import ANN, BOB, Told, ended, started

LIMIT = {"period": "day", "amount": {"amount": "1500", "currency": "KRW"}, "time_zone": "Asia/Seoul"}


async def test_a_driver_keeps_what_is_left_unless_said_otherwise(seeded: Rest) -> None:
    assert (await seeded.get("/drivers/ann"))["rest"] == "keep"
    assert (await seeded.ask("PATCH", "/drivers/ann", json={"rest": "refund"})).json["rest"] == "refund"
    assert (await seeded.get("/drivers/ann/balance"))["rest"] == "refund"
    back = await seeded.ask("PUT", "/drivers/ann/rest", json={"rest": "keep"})
    assert back.json == {"driver": "ann", "rest": "keep"}
    assert (await seeded.ask("PUT", "/drivers/ann/rest", json={"rest": "burn"})).status == 422
    assert (await seeded.ask("PUT", "/drivers/nobody/rest", json={"rest": "keep"})).status == 404


async def test_limits_of_a_token_are_replaced_shown_and_taken_away(seeded: Rest) -> None:
    path = f"/drivers/ann/tokens/{ANN}/limit"
    assert (await seeded.get(path))["limits"] == []
    month = {**LIMIT, "period": "month", "amount": {"amount": "9000", "currency": "KRW"}}
    put = await seeded.ask("PUT", path, json={"limits": [month, LIMIT]})
    assert put.status == 200
    told = [(limit["period"], limit["amount"]["minor"], limit["used"]["minor"]) for limit in put.json["limits"]]
    assert told == [("day", 1_500, 0), ("month", 9_000, 0)]
    assert await seeded.get(path) == put.json
    assert (await seeded.ask("PUT", path, json={"limits": []})).json["limits"] == []


@pytest.mark.parametrize(
    ("limits", "pointer"),
    [
        ([{**LIMIT, "time_zone": "Asia/Nowhere"}], "/limits/0/time_zone"),
        ([LIMIT, LIMIT], "/limits/1/period"),
        ([{**LIMIT, "amount": {"amount": "-1", "currency": "KRW"}}], "/limits/0/amount"),
        ([{**LIMIT, "amount": {"amount": "1.5", "currency": "KRW"}}], "/limits/0/amount/amount"),
        ([{**LIMIT, "period": "year"}], "/limits/0/period"),
    ],
)
async def test_a_limit_that_makes_no_sense_is_refused_with_its_place_and_changes_nothing(
    seeded: Rest, limits: Any, pointer: str
) -> None:
    path = f"/drivers/ann/tokens/{ANN}/limit"
    await seeded.ask("PUT", path, json={"limits": [LIMIT]})
    reply = await seeded.ask("PUT", path, json={"limits": limits})
    assert reply.status == 422 and pointer in str(reply.json)
    assert len((await seeded.get(path))["limits"]) == 1


@pytest.mark.parametrize("token", [BOB, "DEADBEEF", "50C1A100"])
async def test_a_token_of_somebody_else_or_that_a_psp_pays_for_has_no_limit_here(seeded: Rest, token: str) -> None:
    assert (await seeded.ask("PUT", f"/drivers/ann/tokens/{token}/limit", json={"limits": [LIMIT]})).status == 404
    assert (await seeded.ask("GET", f"/drivers/ann/tokens/{token}/limit")).status == 404


async def test_debts_are_listed_and_gone_when_they_are_paid(seeded: Rest) -> None:
    async with Told(seeded.dsn) as told:
        await told.tell_apart([started(token=BOB, offline=True), ended()])
    (debt,) = (await seeded.get("/debts"))["items"]
    assert (debt["driver"], debt["owed"]["minor"], debt["state"]) == ("bob", 3_000, None)
    assert (await seeded.get("/drivers/bob/balance"))["balances"][0]["debt"]["minor"] == 3_000
    body = {"amount": {"amount": "5000", "currency": "KRW"}, "psp": "cash", "payment_ref": "till-1"}
    paid = await seeded.ask("POST", "/drivers/bob/top-ups", json=body, headers={"Idempotency-Key": "k"})
    assert paid.status == 201
    assert (await seeded.get("/debts"))["items"] == []
    (money,) = (await seeded.get("/drivers/bob/balance"))["balances"]
    assert (money["balance"]["minor"], money["debt"]["minor"]) == (2_000, 0)


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ({"amount": "50000", "currency": "KRW"}, 422),  # paid in cash: nobody can send it back
        ({"amount": "1", "currency": "USD"}, 422),
        ({"amount": "0", "currency": "KRW"}, 422),
        ({"amount": "-5", "currency": "KRW"}, 422),
        ({"amount": "0.5", "currency": "KRW"}, 422),
        ({"amount": "5", "currency": "XXX"}, 422),
    ],
)
async def test_a_refund_that_cannot_be_is_refused_and_moves_nothing(seeded: Rest, amount: Any, status: int) -> None:
    reply = await seeded.ask("POST", "/drivers/ann/refunds", json={"amount": amount}, headers={"Idempotency-Key": "k"})
    assert reply.status == status and reply.json["detail"]
    (money,) = (await seeded.get("/drivers/ann/balance"))["balances"]
    assert (money["balance"]["minor"], money["refunding"]["minor"]) == (50_000, 0)


async def test_money_routes_need_their_key_and_their_scope(seeded: Rest) -> None:
    body = {"amount": {"amount": "5", "currency": "KRW"}}
    assert (await seeded.ask("POST", "/drivers/ann/refunds", json=body)).status == 400
    key = {"Idempotency-Key": "k"}
    denied = await seeded.ask("POST", "/drivers/ann/refunds", json=body, headers=key, scopes=("drivers:write",))
    assert denied.status == 403
    assert (await seeded.ask("GET", "/debts", scopes=("stations:read",))).status == 403
