"""The ledger: accounts with their entries, every account, and the transfers behind a bill."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from pydantic import Field

from csms.api.call import Call, Route, connection
from csms.api.paging import LAST_TIME, LAST_UUID, seal, unseal
from csms.api.problems import Problem
from csms.api.shapes import Answer, Moment, Money, Page, Paging, Query, money
from csms.base.errors import NotFound
from csms.db import SQL, Record
from csms.domain.ledger import UNIT_ASSETS
from csms.flows.reports import take_snapshot

SEQ_MAX = 2**15 - 1


def amount(minor: int, asset: str) -> Money:
    """An amount of a currency, or of units of vouchers, which are whole numbers of their own."""
    if asset in UNIT_ASSETS.values():
        return Money(amount=str(minor), currency=asset, minor=minor)
    return money(minor, asset)


class AsOfQuery(Query):
    """Up to when."""

    as_of: Moment | None = Field(None, description="postings of events up to this time, as first known for it")


class AccountQuery(Paging):
    """Which entries of an account."""

    since: Moment | None = Field(None, alias="from", description="of events at this time or later")
    until: Moment | None = Field(None, alias="to", description="of events before this time")


class Entry(Answer):
    """One side of a transfer, as its account sees it: what came in is positive; `balance` is what it left."""

    posting: str
    key: str
    kind: str
    ref: str
    at: Moment
    other: str
    amount: Money
    balance: Money


class Account(Answer):
    """
    An account of the ledger: its balance per currency (credits minus debits), and its entries, the latest event first.

    `opening` is the balance at `from`, `closing` at `to`, where they were asked for.
    """

    address: str
    balances: list[Money]
    opening: list[Money] | None
    closing: list[Money] | None
    items: list[Entry]
    next_cursor: str | None


class TrialLine(Answer):
    """One account, or all accounts of one kind, up to a time; `link` leads to its entries."""

    account: str
    debit: Money
    credit: Money
    balance: Money
    link: str | None


class TrialBalance(Answer):
    """Every account; `totals` are the sums of all balances per currency, which are 0."""

    as_of: Moment | None
    items: list[TrialLine]
    totals: list[Money]


class Transfer(Answer):
    """One amount from one account to another, and the posting it belongs to."""

    posting: str
    key: str
    kind: str
    ref: str
    at: Moment
    debit: str
    credit: str
    amount: Money
    links: dict[str, str]


async def show_account(call: Call) -> Account:
    """
    One account: its balance per currency, and its entries, the latest event first.

    Entries stand in the order of their events. What is told late (a station that was offline) takes
    its place among them, and the balances after it follow.
    """
    query: AccountQuery = call.query
    conn, address = call.conn, call.path["address"]
    if not await SQL.account_known.value(conn, address):
        raise NotFound(f"nothing was ever posted to {address}")
    place = _entry_place(query.cursor)
    rows = await SQL.account_entries.many(conn, address, query.limit + 1, *place, query.since, query.until)
    more = len(rows) > query.limit
    shown = rows[: query.limit]
    return Account(
        address=address,
        balances=await _balances(call, address, None),
        opening=None if query.since is None else await _balances(call, address, query.since),
        closing=None if query.until is None else await _balances(call, address, query.until),
        items=await _entries(call, address, shown),
        next_cursor=seal(_entry_cursor(shown[-1])) if more else None,
    )


async def _balances(call: Call, address: str, before: datetime | None) -> list[Money]:
    """What the account holds per currency, from events before an instant."""
    rows = await SQL.account_before.many(call.conn, address, before)
    return [amount(row["balance"], row["asset"]) for row in rows]


async def _entries(call: Call, address: str, rows: list[Record]) -> list[Entry]:
    """The entries with the balance each left: from what stood below the last of them, upwards."""
    if not rows:
        return []
    last = rows[-1]
    below = await SQL.account_before_entry.many(call.conn, address, last["at"], last["posting_id"], last["seq"])
    running: dict[str, int] = defaultdict(int, {row["asset"]: row["balance"] for row in below})
    found: list[Entry] = []
    for row in reversed(rows):
        running[row["asset"]] += row["amount"]
        found.append(
            Entry(
                posting=str(row["posting_id"]), key=row["key"], kind=row["kind"], ref=row["ref"], at=row["at"],
                other=row["other"], amount=amount(row["amount"], row["asset"]),
                balance=amount(running[row["asset"]], row["asset"]),
            )
        )  # fmt: skip
    return found[::-1]


def _entry_cursor(row: Record) -> str:
    return json.dumps([row["at"].isoformat(), str(row["posting_id"]), row["seq"]])


def _entry_place(cursor: str | None) -> tuple[datetime, UUID, int]:
    """The (time, posting, seq) that an account's entries go on below."""
    if cursor is None:
        return LAST_TIME, LAST_UUID, SEQ_MAX
    try:
        at, posting, seq = json.loads(unseal(cursor))
        moment = datetime.fromisoformat(at)
        if type(seq) is not int or not 0 <= seq <= SEQ_MAX or moment.tzinfo is None:
            raise ValueError
        return moment, UUID(posting), seq
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


async def trial_balance(call: Call) -> TrialBalance:
    """Every account with its debits and credits; the balances of each currency sum to 0."""
    query: AsOfQuery = call.query
    snapshot = None
    if query.as_of is not None:
        async with connection(replace(call.parts, reads=False)) as conn:
            snapshot = await take_snapshot(conn, "trial-balance", query.as_of, call.parts.clock())
    bound = (None, None, None) if snapshot is None else (snapshot.end, snapshot.era, snapshot.transactions)
    async with connection(call.parts) as conn:
        rows = await SQL.trial_balance.many(conn, *bound)
    base = call.request.path.removesuffix("/trial-balance")
    totals: dict[str, int] = defaultdict(int)
    for row in rows:
        totals[row["asset"]] += row["balance"]
    lines = [
        TrialLine(
            account=row["account"],
            debit=amount(row["debit"], row["asset"]),
            credit=amount(row["credit"], row["asset"]),
            balance=amount(row["balance"], row["asset"]),
            link=None if "*" in row["account"] else f"{base}/accounts/{row['account']}",
        )
        for row in rows
    ]
    return TrialBalance(
        as_of=None if snapshot is None else snapshot.as_of,
        items=lines,
        totals=[amount(total, asset) for asset, total in sorted(totals.items())],
    )


async def bill_transfers(call: Call) -> Page[Transfer]:
    """
    The transfers behind a bill, in the order of events.

    Those of its settlement, and what else its session moved: the hold, what was collected, what was
    paid out. Settlements of the session's other bills are shown with those.
    """
    bill_id = UUID(call.path["bill"])
    if not await SQL.bill_known.value(call.conn, bill_id):
        raise NotFound("there is no such bill")
    rows = await SQL.bill_transfers.many(call.conn, bill_id)
    base = call.request.path.split("/bills/")[0] + "/ledger/accounts/"
    return Page[Transfer](items=[_transfer(row, base) for row in rows], next_cursor=None)


def _transfer(row: Record, base: str) -> Transfer:
    return Transfer(
        posting=str(row["posting"]), key=row["key"], kind=row["kind"], ref=row["ref"], at=row["at"],
        debit=row["debit"], credit=row["credit"], amount=amount(row["amount"], row["asset"]),
        links={side: base + row[side] for side in ("debit", "credit")},
    )  # fmt: skip


REPORT = ("reports:read", "settlement:read")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/ledger/accounts/{address}", show_account, REPORT, "Show an account of the ledger",
        Account, query=AccountQuery,
    ),
    Route(
        "GET", "/ledger/trial-balance", trial_balance, REPORT, "Show every account, up to a time",
        TrialBalance, query=AsOfQuery, connects=False,
    ),
    Route(
        "GET", "/bills/{bill}/transfers", bill_transfers, REPORT, "Show the transfers behind a bill",
        Page[Transfer],
    ),
)  # fmt: skip
