"""
Reconciliation: a day of a psp's statement against our books.

Every line gets a verdict: `matched`, `missing_here`, `missing_there` (ours, and not theirs), `amount_differs`.
What does not match is put on people's list, and taken off when it matches after all. What only the statement
tells is believed where it is certain: a remittance that arrived or came back, shares that were paid although
their settlement was given up here, and the psp's fees (psp:X:fee -> psp:X:clearing).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from csms.base.errors import Conflict
from csms.db import SQL, Connection, Record
from csms.domain import ledger
from csms.flows import books, remittances
from csms.psp.base import Statement, StatementLine, Unavailable


async def reconcile(conn: Connection, psp: str, day: date, found: Statement | Unavailable, now: datetime) -> None:
    """Compare the statement of `day` (UTC) with our books; a later reading replaces the verdicts."""
    async with conn.transaction():
        before = await SQL.find_psp_statement.one(conn, psp, day)
        posted: dict[str, int] = {} if before is None else json.loads(before["fees"])
        if isinstance(found, Unavailable):
            await SQL.keep_psp_statement.run(conn, psp, day, "unavailable", found.reason, json.dumps(posted), now)
            return
        await _keep(conn, psp, day, found.lines)
        await _believe_settlements(conn, psp, day, now)
        await _believe_payouts(conn, psp, day, now)
        await _judge(conn, psp, day, now)
        fees = await _post_fees(conn, psp, day, posted, now)
        await SQL.keep_psp_statement.run(conn, psp, day, "read", None, json.dumps(fees), now)


async def _keep(conn: Connection, psp: str, day: date, lines: Sequence[StatementLine]) -> None:
    moved = [line for line in lines if line.amount_minor]
    await SQL.keep_statement_lines.run(
        conn, psp, day,
        [line.kind for line in moved],
        [line.psp_ref for line in moved],
        [line.order for line in moved],
        [line.at for line in moved],
        [line.currency for line in moved],
        [line.amount_minor for line in moved],
        [line.fee_minor for line in moved],
    )  # fmt: skip


async def _believe_settlements(conn: Connection, psp: str, day: date, now: datetime) -> None:
    """
    Shares that the psp paid although we had given up: the books follow.

    When the run has taken them over meanwhile, the provider's next statement takes them back.
    """
    for row in await SQL.late_settlements.many(conn, psp, day):
        session, clearing = str(row["session_id"]), ledger.psp_clearing(psp)
        await SQL.pay_late_shares.run(conn, row["bill_id"], row["psp_ref"], session)
        await books.post(
            conn, f"session/{session}/remitted", "remitted", session, row["at"], row["currency"],
            (ledger.provider_payable(row["provider_id"]), clearing, row["provider_minor"]),
            (ledger.BANK, clearing, row["operator_minor"] + row["host_minor"]),
        )  # fmt: skip
        resolution = f"paid after all, as {row['psp_ref']}"
        await books.resolve_exception(conn, "settle_failed", f"session/{session}", resolution, now)


async def _believe_payouts(conn: Connection, psp: str, day: date, now: datetime) -> None:
    """Remittances that arrived or came back, of which nobody had told us."""
    for row in await SQL.payout_lines.many(conn, psp, day):
        named = remittances.attempt_of(row["order_ref"])
        if named is None:
            continue
        of: Record | None = await SQL.find_remittance_attempt.one(conn, *named)
        if of is None or of["psp"] != psp:
            continue
        try:
            if row["inward"]:
                await remittances.ended(conn, *named, "returned", row["psp_ref"], "the psp's statement says so", now)
            elif of["state"] == "submitted" and await SQL.job_is_over.value(conn, "remittance/{}/{}".format(*named)):
                await remittances.ended(conn, *named, "paid", row["psp_ref"], None, now)
        except Conflict as conflict:
            details: dict[str, object] = {"psp": psp, "psp_ref": row["psp_ref"], "reason": str(conflict)}
            await books.list_exception(conn, "remittance_paid_twice", f"remittance/{named[0]}/{named[1]}", details, now)


async def _judge(conn: Connection, psp: str, day: date, now: datetime) -> None:
    starts_at = datetime.combine(day, time.min, UTC)
    await SQL.judge_lines.run(conn, psp, day)
    await SQL.drop_found_there.run(conn, psp, day)
    await SQL.find_missing_there.run(conn, psp, day, starts_at, starts_at + timedelta(days=1))
    await SQL.list_differences.run(conn, psp, day, now)
    await SQL.resolve_differences.run(conn, psp, now)


async def _post_fees(conn: Connection, psp: str, day: date, posted: dict[str, int], now: datetime) -> dict[str, int]:
    """What the psp kept that day is posted; a later reading posts the difference. Answers the sums by currency."""
    fees = {row["currency"]: row["minor"] for row in await SQL.fees_of_day.many(conn, psp, day)}
    for currency, minor in fees.items():
        before = posted.get(currency, 0)
        move = (ledger.psp_fee(psp), ledger.psp_clearing(psp), minor - before)
        if minor < before:
            move = (move[1], move[0], before - minor)
        key = f"psp-fee/{psp}/{day}/{currency}/{before}-{minor}"
        await books.post(conn, key, "psp_fee", f"{psp}/{day}", now, currency, move)
    return {**posted, **fees}
