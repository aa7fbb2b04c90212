"""The ledger, and what needs people's attention."""

from __future__ import annotations

import json
from collections import defaultdict
from uuid import UUID

from pydantic import Field

from csms.api import answers
from csms.api.call import Call
from csms.api.paging import FIRST_TIME, FIRST_UUID, LAST_TIME, LAST_UUID, beside, page, place_in_time, seal, unseal
from csms.api.problems import Problem
from csms.api.shapes import Moment, Page, Paging, Parameter, Query, money
from csms.base.errors import NotFound
from csms.db import SQL, Record

SEQ_MAX = 2**15 - 1


class AsOfQuery(Query):
    """Up to when."""

    as_of: Moment | None = Field(None, description="postings of events up to this time")


class ExceptionQuery(Paging):
    """Which exceptions."""

    resolved: bool = Field(False, description="those that were resolved, too")


class ParkedQuery(Paging):
    """Which parked reports."""

    station: Parameter | None = Field(None, description="of this station")


async def show_account(call: Call) -> answers.Account:
    """One account: its balance per currency, and its entries, the newest first."""
    query: Paging = call.query
    address = call.path["address"]
    balances = await SQL.account_balances.many(call.conn, address)
    if not balances:
        raise NotFound(f"nothing was ever posted to {address}")
    place = _entry_place(query.cursor)
    rows = await SQL.account_entries.many(call.conn, address, query.limit + 1, *place)
    more = len(rows) > query.limit
    shown = rows[: query.limit]
    return answers.Account(
        address=address,
        balances=[money(row["balance"], row["asset"]) for row in balances],
        items=[_entry(row) for row in shown],
        next_cursor=seal(json.dumps([str(shown[-1]["posting_id"]), shown[-1]["seq"]])) if more else None,
    )


def _entry_place(cursor: str | None) -> tuple[UUID, int]:
    """The (posting, seq) that an account's entries go on below."""
    if cursor is None:
        return LAST_UUID, SEQ_MAX
    try:
        posting, seq = json.loads(unseal(cursor))
        if type(seq) is not int or not 0 <= seq <= SEQ_MAX:
            raise ValueError
        return UUID(posting), seq
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


def _entry(row: Record) -> answers.Entry:
    return answers.Entry(
        posting=str(row["posting_id"]), key=row["key"], kind=row["kind"], ref=row["ref"], at=row["event_at"],
        other=row["other"], amount=money(row["amount"], row["asset"]),
    )  # fmt: skip


async def trial_balance(call: Call) -> answers.TrialBalance:
    """Every account with its debits and credits; the balances of each currency sum to 0."""
    query: AsOfQuery = call.query
    rows = await SQL.trial_balance.many(call.conn, query.as_of)
    totals: dict[str, int] = defaultdict(int)
    for row in rows:
        totals[row["asset"]] += row["balance"]
    lines = [
        answers.TrialLine(
            account=row["account"],
            debit=money(row["debit"], row["asset"]),
            credit=money(row["credit"], row["asset"]),
            balance=money(row["balance"], row["asset"]),
        )
        for row in rows
    ]
    return answers.TrialBalance(
        as_of=query.as_of, items=lines, totals=[money(total, asset) for asset, total in sorted(totals.items())]
    )


async def list_exceptions(call: Call) -> Page[answers.Concern]:
    """What people must look at, the oldest first."""
    query: ExceptionQuery = call.query
    place = beside(query.cursor, (FIRST_TIME, FIRST_UUID))
    rows = await SQL.list_exceptions.many(call.conn, query.limit + 1, *place, query.resolved)
    return page(rows, query.limit, _concern, place_in_time("opened_at"))


def _concern(row: Record) -> answers.Concern:
    return answers.Concern(
        id=str(row["id"]), kind=row["kind"], ref=row["ref"], station=row["station_id"],
        details=json.loads(row["details"]), opened_at=row["opened_at"], resolved_at=row["resolved_at"],
        resolution=row["resolution"],
    )  # fmt: skip


async def list_parked_reports(call: Call) -> Page[answers.ParkedReport]:
    """Reports that could not be understood, the newest first, without their text."""
    query: ParkedQuery = call.query
    place = beside(query.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_parked_reports.many(call.conn, query.limit + 1, *place, query.station)
    return page(rows, query.limit, _parked, place_in_time("received_at"))


async def show_parked_report(call: Call) -> answers.ParkedReport:
    """One report that could not be understood, with its text, in which a token may stand in clear."""
    row = await SQL.show_parked_report.one(call.conn, UUID(call.path["parked_report"]))
    if row is None:
        raise NotFound("there is no such report")
    return _parked(row)


def _parked(row: Record) -> answers.ParkedReport:
    return answers.ParkedReport(
        id=str(row["id"]), station=row["station_id"], action=row["action"], reason=row["reason"],
        received_at=row["received_at"], raw=row.get("raw"),
    )  # fmt: skip
