"""Accounts with their entries and balances, as staff read them."""

from __future__ import annotations

from typing import Any

from csms import db
from tests.api.conftest import Rest
from tests.api.pages import every
from tests.make import new_id

MOVES = (
    ("a", "2026-11-01", [("bank", "driver:ann:balance", 1000)]),
    ("b", "2026-11-03", [("driver:ann:balance", "operator:fee", 300), ("driver:ann:balance", "operator:fee", 20)]),
    ("c", "2026-11-02", [("bank", "operator:fee", 50)]),
    ("d", "2026-11-03", [("operator:fee", "vat:output", 5)]),
    ("e", "2026-11-05", [("driver:ann:balance", "operator:fee", 100)]),
)


async def post(
    conn: db.Connection, key: str, at: str, moves: list[tuple[str, str, int]], currency: str = "KRW"
) -> None:
    transfers = [(1, seq, debit, credit, currency, minor) for seq, (debit, credit, minor) in enumerate(moves, 1)]
    answers = await conn.fetchval(
        "select post(array[($1, $2, 'test', 'test', $3::text::timestamptz)]::posting_in[], $4)",
        *(new_id(), key, at, transfers),
    )
    assert answers == ["posted"]


async def some_moves(rest: Rest, sums: bool) -> None:
    async with rest.pool.acquire() as conn:
        for key, at, moves in MOVES:
            await post(conn, key, at, moves)
            if sums:
                await conn.fetchval("select sum_transfers(1)")


def running(entries: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(entry["key"], entry["amount"]["minor"], entry["balance"]["minor"]) for entry in entries]


async def test_each_entry_tells_the_balance_it_left(seeded: Rest) -> None:
    for sums in (False, True):
        if not sums:
            await some_moves(seeded, sums)
        async with seeded.pool.acquire() as conn:
            while sums and await conn.fetchval("select sum_transfers(1)"):
                pass
        account = await seeded.get("/ledger/accounts/operator:fee")
        assert account["balances"] == [{"amount": "465", "currency": "KRW", "minor": 465}]
        entries = running(account["items"])
        assert entries[0] == ("e", 100, 465) and entries[-1] == ("c", 50, 50)
        amounts = [amount for _, amount, _ in entries]
        assert [balance for _, _, balance in entries] == [sum(amounts[place:]) for place in range(len(amounts))]
        assert running(await every(seeded, "/ledger/accounts/operator:fee", limit=1)) == entries


async def test_a_period_opens_with_what_was_there_and_closes_with_what_is_left(seeded: Rest) -> None:
    await some_moves(seeded, sums=True)
    account = await seeded.get("/ledger/accounts/operator:fee?from=2026-11-03&to=2026-11-05")
    opening, closing = account["opening"][0]["minor"], account["closing"][0]["minor"]
    assert (opening, closing) == (50, 365)
    assert opening + sum(entry["amount"]["minor"] for entry in account["items"]) == closing
    assert account["items"][0]["balance"]["minor"] == closing
    empty = await seeded.get("/ledger/accounts/operator:fee?from=2027-01-01")
    assert empty["items"] == [] and empty["opening"] == empty["balances"]


async def test_currencies_of_one_account_never_mix(seeded: Rest) -> None:
    async with seeded.pool.acquire() as conn:
        await post(conn, "won", "2026-11-01", [("bank", "operator:fee", 10)])
        await post(conn, "euro", "2026-11-02", [("bank", "operator:fee", 7)], "EUR")
        await post(conn, "more", "2026-11-03", [("bank", "operator:fee", 5)])
    account = await seeded.get("/ledger/accounts/operator:fee")
    assert running(account["items"]) == [("more", 5, 15), ("euro", 7, 7), ("won", 10, 10)]
    assert {balance["currency"]: balance["minor"] for balance in account["balances"]} == {"KRW": 15, "EUR": 7}


async def test_what_came_in_late_takes_its_place_by_its_event(seeded: Rest) -> None:
    await some_moves(seeded, sums=True)
    async with seeded.pool.acquire() as conn:
        await post(conn, "late", "2026-10-31", [("bank", "operator:fee", 1)])
    account = await seeded.get("/ledger/accounts/operator:fee")
    assert running(account["items"])[-1] == ("late", 1, 1)
    assert account["items"][0]["balance"]["minor"] == 466
    assert (await seeded.ask("GET", "/ledger/accounts/operator:nothing")).status == 404
    for cursor in ("e30", "WyJhIl0", "WzEsMiwzXQ"):
        assert (await seeded.ask("GET", f"/ledger/accounts/operator:fee?cursor={cursor}")).status == 400


async def test_the_trial_balance_is_zero_and_leads_to_the_accounts(seeded: Rest) -> None:
    await some_moves(seeded, sums=True)
    for path in ("/ledger/trial-balance", "/ledger/trial-balance?as_of=2026-11-04"):
        trial = await seeded.get(path)
        assert [total["minor"] for total in trial["totals"]] == [0]
        for line in trial["items"]:
            assert line["balance"]["minor"] == line["credit"]["minor"] - line["debit"]["minor"]
            if "as_of" not in path and line["link"]:
                account = await seeded.get(line["link"].removeprefix("/api/v1"))
                assert account["balances"] == [line["balance"]]
    lines = {line["account"]: line for line in trial["items"]}
    assert lines["operator:fee"]["balance"]["minor"] == 365 and lines["driver:*:balance"]["link"] is None
    assert (await seeded.ask("GET", "/ledger/trial-balance?as_of=2027-01-01")).status == 422
