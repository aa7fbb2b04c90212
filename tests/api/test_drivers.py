"""Drivers, tokens and money through the running interface."""

from __future__ import annotations

import asyncio

from csms.domain import token as tokens
from tests.api.conftest import Rest

TOP_UP = {"amount": {"amount": "20000", "currency": "KRW"}, "payment_ref": "pay-1", "psp": "social"}
KEY = {"Idempotency-Key": "first"}


async def test_a_driver_may_choose_an_id_and_be_blocked(rest: Rest) -> None:
    made = await rest.post("/drivers", {})
    assert made["status"] == "active" and len(made["id"]) == 36
    chosen = await rest.post("/drivers", {"id": "kim", "name": "Kim"})
    assert chosen["id"] == "kim"
    assert (await rest.ask("POST", "/drivers", json={"id": "kim"})).status == 409
    blocked = await rest.ask("PATCH", "/drivers/kim", json={"status": "blocked"})
    assert blocked.json == {**chosen, "status": "blocked"}
    assert (await rest.ask("PATCH", "/drivers/nobody", json={"name": "x"})).status == 404
    assert [driver["id"] for driver in (await rest.get("/drivers?limit=1000"))["items"]] == sorted([made["id"], "kim"])


async def test_a_token_has_one_spelling_and_one_driver(seeded: Rest) -> None:
    first = await seeded.ask("POST", "/drivers/ann/tokens", json={"value": "20:69:c0:21"})
    assert (first.status, first.json) == (
        201, {"value": "2069C021", "type": "rfid", "status": "accepted", "alias": None},
    )  # fmt: skip
    again = await seeded.ask("POST", "/drivers/ann/tokens", json={"value": "2069C021", "status": "blocked"})
    assert (again.status, again.json["status"]) == (200, "blocked")
    assert (await seeded.ask("POST", "/drivers/bob/tokens", json={"value": "2069c021"})).status == 409
    assert (await seeded.ask("POST", "/drivers/nobody/tokens", json={"value": "x"})).status == 404
    assert (await seeded.ask("POST", "/drivers/ann/tokens", json={"value": " "})).status == 422


async def test_a_long_token_gets_one_alias_that_shares_its_status(seeded: Rest) -> None:
    long = "urn:driver:0123456789/abcdef"
    added = await seeded.post("/drivers/ann/tokens", {"value": long, "type": "app"})
    assert len(added["alias"]) == 16 and added["alias"] == added["alias"].upper()
    again = await seeded.post("/drivers/ann/tokens", {"value": long, "type": "app", "status": "blocked"})
    assert again["alias"] == added["alias"]
    async with seeded.pool.acquire() as conn:
        alias_key = tokens.key(tokens.canonical(added["alias"]))
        row = await conn.fetchrow("select status, driver_id from token where key = $1", alias_key)
    assert (row["status"], row["driver_id"]) == ("blocked", "ann")
    listed = (await seeded.get("/drivers/ann/tokens"))["items"]
    assert again in listed and added["alias"] not in [token["value"] for token in listed]
    assert (await seeded.ask("POST", "/drivers/ann/tokens", json={"value": added["alias"]})).status == 409


async def test_a_top_up_counts_once_per_payment(seeded: Rest) -> None:
    async def put(key: str, **changed: object) -> tuple[int, bytes]:
        reply = await seeded.ask(
            "POST", "/drivers/bob/top-ups", json={**TOP_UP, **changed}, headers={"Idempotency-Key": key}
        )
        return reply.status, reply.body

    first = await put("first")
    assert first[0] == 201 and await put("first") == first
    assert (await put("first", payment_ref="pay-2"))[0] == 422
    assert (await put("second"))[0] == 200
    assert (await put("third", amount={"amount": "1", "currency": "KRW"}))[0] == 409
    assert (await put("fourth", amount={"amount": "-1", "currency": "KRW"}, payment_ref="pay-3"))[0] == 422
    assert (await put("fifth", payment_ref="pay-4"))[0] == 201
    money = (await seeded.get("/drivers/bob/balance"))["balances"]
    assert [(m["balance"]["minor"], m["held"]["minor"], m["debt"]["minor"]) for m in money] == [(40000, 0, 0)]
    missing = await seeded.ask("POST", "/drivers/bob/top-ups", json=TOP_UP)
    assert missing.status == 400 and "Idempotency-Key" in missing.json["detail"]


async def test_the_same_request_many_times_at_once_moves_money_once(seeded: Rest) -> None:
    await seeded.token("admin")
    replies = await asyncio.gather(
        *[seeded.ask("POST", "/drivers/bob/top-ups", json=TOP_UP, headers=KEY) for _ in range(8)]
    )
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    assert (await seeded.get("/drivers/bob/balance"))["balances"][0]["balance"]["minor"] == 20000


async def test_one_clients_key_is_not_anothers(seeded: Rest) -> None:
    first = await seeded.ask("POST", "/drivers/bob/top-ups", json=TOP_UP, headers=KEY)
    other = await seeded.ask(
        "POST", "/drivers/bob/top-ups", json={**TOP_UP, "payment_ref": "pay-9"}, headers=KEY, scopes=("drivers:write",)
    )
    assert (first.status, other.status) == (201, 201)


async def test_a_refused_top_up_leaves_its_key_free(seeded: Rest) -> None:
    assert (await seeded.ask("POST", "/drivers/nobody/top-ups", json=TOP_UP, headers=KEY)).status == 404
    assert (await seeded.ask("POST", "/drivers/bob/top-ups", json=TOP_UP, headers=KEY)).status == 201


async def test_an_account_shows_its_entries_and_the_books_balance(seeded: Rest) -> None:
    for number in range(3):
        body = {**TOP_UP, "payment_ref": f"pay-{number}"}
        await seeded.ask("POST", "/drivers/bob/top-ups", json=body, headers={"Idempotency-Key": f"k{number}"})
    seen, cursor = [], ""
    while True:
        page = await seeded.get(f"/ledger/accounts/driver:bob:balance?limit=2{cursor}")
        seen += page["items"]
        assert page["balances"] == [{"amount": "60000", "currency": "KRW", "minor": 60000}]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [entry["key"] for entry in seen] == [f"top-up/social/pay-{number}" for number in (2, 1, 0)]
    assert {(entry["other"], entry["amount"]["minor"]) for entry in seen} == {("psp:social:clearing", 20000)}
    assert (await seeded.ask("GET", "/ledger/accounts/driver:nobody:balance")).status == 404

    trial = await seeded.get("/ledger/trial-balance")
    assert trial["totals"] == [{"amount": "0", "currency": "KRW", "minor": 0}]
    assert {line["account"]: line["balance"]["minor"] for line in trial["items"]} == {
        "driver:*:balance": 110000, "psp:social:clearing": -110000,
    }  # fmt: skip
    assert (await seeded.get("/ledger/trial-balance?as_of=2020-01-01"))["items"] == []
