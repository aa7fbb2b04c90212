"""
Chargebacks: a driver's bank took a payment back, and the psp took it from us.

Arrows read debit -> credit. The account `chargeback` keeps what is not recovered from the driver.

opened   chargeback -> psp:X:clearing (all that the psp took);
         driver:D:balance -> chargeback, and for what the balance lacks driver:D:debt -> chargeback
won      the same backwards: psp:X:clearing -> chargeback -> what is still owed of the debt, the rest to the balance
lost     nothing moves any more

From a driver never more is recovered than the payment had left: what was refunded before, went back once.
When such a refund fails after all, what it gives back to the balance is recovered then (`recover_disputed` in SQL).
Providers keep their shares: the operator bears what is never recovered.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from csms.base.clock import rfc3339
from csms.base.errors import Conflict
from csms.db import SQL, Connection, Record
from csms.domain import ledger
from csms.flows import books

Standing = Literal["opened", "won", "lost"]


async def told(
    conn: Connection, psp: str, psp_ref: str, standing: Standing, payment_ref: str, amount_minor: int, currency: str,
    at: datetime,
) -> None:  # fmt: skip
    """
    What a psp says of the chargeback `psp_ref` now, in whatever order its news came; repeats change nothing.

    `payment_ref` is its name for the payment, `amount_minor` > 0 what it took from us.
    """
    await opened(conn, psp, psp_ref, payment_ref, amount_minor, currency, at)
    if standing == "won":
        await won(conn, psp, psp_ref, at)
    elif standing == "lost":
        await lost(conn, psp, psp_ref, at)


async def opened(
    conn: Connection, psp: str, psp_ref: str, payment_ref: str, amount_minor: int, currency: str, at: datetime
) -> bool:
    """The psp took `amount_minor` back from us; once per (psp, psp_ref). Answers whether this was news."""
    assert amount_minor > 0
    async with conn.transaction():
        payment = await SQL.lock_payment.one(conn, psp, payment_ref)  # first: whoever repeats this waits here
        if payment is not None and payment["currency"] != currency:
            payment = None
        balance, debt = 0, 0
        if payment is not None and await SQL.find_chargeback.one(conn, psp, psp_ref) is None:
            left = min(amount_minor, payment["amount_minor"] - payment["refunded_minor"])
            balance = min(left, await _balance(conn, payment["driver_id"], currency))
            debt = left - balance
        id_ = await SQL.open_chargeback.value(
            conn, books.new_id(), psp, psp_ref, payment_ref, payment and payment["id"],
            payment and payment["driver_id"], payment and payment["session_id"], amount_minor, currency, balance,
            debt, at,
        )  # fmt: skip
        if id_ is None:
            return False
        moves = [(ledger.CHARGEBACK, ledger.psp_clearing(psp), amount_minor)]
        if payment is not None:
            driver_id = payment["driver_id"]
            await SQL.return_of_payment.run(conn, payment["id"], balance + debt)
            moves += [
                (ledger.driver_balance(driver_id), ledger.CHARGEBACK, balance),
                (ledger.driver_debt(driver_id), ledger.CHARGEBACK, debt),
            ]
        await books.post(conn, f"chargeback/{id_}/opened", "chargeback", str(id_), at, currency, *moves)
        details: dict[str, object] = {
            "psp": psp, "psp_ref": psp_ref, "payment_ref": payment_ref, "amount_minor": amount_minor,
            "currency": currency, "from_balance_minor": balance, "to_debt_minor": debt, "opened_at": rfc3339(at),
            "driver": payment and payment["driver_id"], "payment_known": payment is not None,
        }  # fmt: skip
        await books.list_exception(conn, "chargeback", f"chargeback/{id_}", details, at)
    return True


async def won(conn: Connection, psp: str, psp_ref: str, at: datetime) -> bool:
    """The psp gave the money back to us: the driver gets back what was recovered. Answers whether this was news."""
    async with conn.transaction():
        row = await _ending(conn, psp, psp_ref, "won", at)
        if row is None:
            return False
        currency, recovered = row["currency"], row["from_balance_minor"] + row["to_debt_minor"]
        moves = [(ledger.psp_clearing(psp), ledger.CHARGEBACK, row["amount_minor"])]
        if row["payment_id"] is not None:
            await SQL.return_of_payment.run(conn, row["payment_id"], -recovered)
            # The balance's lock comes before the look at the debt: paying a debt from a balance waits for it.
            await _balance(conn, row["driver_id"], currency)
            owed = await SQL.debt_of.value(conn, ledger.driver_debt(row["driver_id"]), currency)
            to_debt = min(row["to_debt_minor"], max(0, owed))
            moves += [
                (ledger.CHARGEBACK, ledger.driver_debt(row["driver_id"]), to_debt),
                (ledger.CHARGEBACK, ledger.driver_balance(row["driver_id"]), recovered - to_debt),
            ]
        await books.post(conn, f"chargeback/{row['id']}/won", "chargeback_won", str(row["id"]), at, currency, *moves)
        await books.resolve_exception(conn, "chargeback", f"chargeback/{row['id']}", "won: the money came back", at)
    return True


async def lost(conn: Connection, psp: str, psp_ref: str, at: datetime) -> bool:
    """The bank's word is final: what was recovered stays. Answers whether this was news."""
    async with conn.transaction():
        row = await _ending(conn, psp, psp_ref, "lost", at)
        if row is None:
            return False
        await books.resolve_exception(conn, "chargeback", f"chargeback/{row['id']}", "lost", at)
    return True


async def _ending(conn: Connection, psp: str, psp_ref: str, state: str, at: datetime) -> Record | None:
    """The chargeback, ended now; None when it had ended so. Conflict when it had ended otherwise, or is not known."""
    row = await SQL.find_chargeback.one(conn, psp, psp_ref)
    if row is None:
        raise Conflict(f"{psp} opened no chargeback {psp_ref}")
    if row["payment_id"] is not None:
        await SQL.lock_payment_by_id.one(conn, row["payment_id"])
    if await SQL.end_chargeback.value(conn, row["id"], state, at) is not None:
        return row
    now = await SQL.find_chargeback.one(conn, psp, psp_ref)
    assert now is not None
    if now["state"] != state:
        raise Conflict(f"chargeback {psp_ref} of {psp} was {now['state']}")
    return None


async def _balance(conn: Connection, driver_id: str, currency: str) -> int:
    """A driver's balance in minor units, kept from other writers until the transaction ends."""
    return await SQL.lock_balance.value(conn, ledger.driver_balance(driver_id), currency) or 0
