"""
Remittances: real money to a provider, by a psp or by the bank, each in attempts of which one is live or paid at most.

paid       provider:P:payable -> psp:X:clearing (or -> bank, when staff paid by hand)
returned   the same backwards: it is payable again

A new attempt is made only after the psp was asked what became of the ones before; its key is new because it
is another payment. Whatever has no clear answer is asked for again under the key it had.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from csms.base.errors import Conflict, NotFound
from csms.db import SQL, Connection, Record
from csms.domain import ledger
from csms.domain import statement as rules
from csms.domain.statement import Ending
from csms.flows import books

BY_HAND = "bank"
"""Stands in the place of the psp where staff paid."""

ATTEMPTS_MAX = 100


@dataclass(frozen=True, slots=True)
class Earlier:
    """An attempt before, that a psp was asked to pay."""

    attempt: int
    state: Ending
    order: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a psp is told to pay: minor units to an account there, and the attempts before."""

    remittance_id: UUID
    attempt: int
    psp: str
    account: str
    amount_minor: int
    currency: str
    text: str
    order: str
    earlier: tuple[Earlier, ...]


def order_of(remittance_id: UUID, attempt: int) -> str:
    """The order under which a psp knows an attempt."""
    return f"remittance-{remittance_id}-{attempt}"


def attempt_of(order: str) -> tuple[UUID, int] | None:
    """The remittance and attempt that an order of ours names; None for other orders."""
    kind, _, rest = order.partition("-")
    id_, _, attempt = rest.rpartition("-")
    try:
        return (UUID(id_), int(attempt)) if kind == "remittance" else None
    except ValueError:
        return None


async def begin(
    conn: Connection, statement_id: UUID, provider_id: str, currency: str, amount_minor: int, psp: str | None,
    account: str | None, by: str, now: datetime,
) -> UUID:  # fmt: skip
    """What an approved statement remits in one currency. Without an account at a psp it waits for staff."""
    id_ = books.new_id()
    if account is None:
        psp = None
    await SQL.add_remittance.run(conn, id_, statement_id, provider_id, currency, amount_minor, psp, account, by, now)
    if psp is not None and account is not None:
        await _submit(conn, id_, provider_id, 1, psp, account, now)
    return id_


async def _submit(
    conn: Connection, id_: UUID, provider_id: str, attempt: int, psp: str, account: str, now: datetime
) -> None:
    """The attempt and the job that makes it, in the caller's transaction: neither is ever without the other."""
    await SQL.add_remittance_attempt.run(conn, id_, attempt, provider_id, psp, account, "submitted", None, now)
    await SQL.set_remittance.run(conn, id_, "submitted", attempt, psp, account, None)
    key = f"remittance/{id_}/{attempt}"
    payload = json.dumps({"remittance": str(id_), "attempt": attempt})
    await SQL.insert_jobs.run(conn, [books.new_id()], ["psp.payout"], [key], [f"remittance/{id_}"], [payload])


async def to_pay(conn: Connection, remittance_id: UUID, attempt: int) -> Attempt | None:
    """What the job of an attempt has to pay; None when that attempt has ended."""
    rows = await SQL.attempts_to_pay.many(conn, remittance_id)
    mine = next((row for row in rows if row["attempt"] == attempt and row["state"] == "submitted"), None)
    if mine is None:
        return None
    earlier = tuple(
        Earlier(row["attempt"], row["state"], order_of(remittance_id, row["attempt"]))
        for row in rows
        if row["attempt"] < attempt and row["psp"] == mine["psp"]
    )
    return Attempt(
        remittance_id, attempt, mine["psp"], mine["account"], mine["amount_minor"], mine["currency"],
        f"{mine['provider_id']} {mine['from_day']} - {mine['to_day']}", order_of(remittance_id, attempt), earlier,
    )  # fmt: skip


async def ended(
    conn: Connection, remittance_id: UUID, attempt: int, ending: Ending, psp_ref: str | None, reason: str | None,
    now: datetime, instead_of: int | None = None,
) -> bool:  # fmt: skip
    """
    The psp's (or the bank's) last word on an attempt; answers whether it was news.

    What failed or came back is put on people's list, and taken off when the remittance is paid. A late
    word that an earlier attempt was paid is believed while no newer one can be paid too: `instead_of` is
    a newer one that was certainly not sent, and is given up for it. Conflict otherwise.
    """
    async with conn.transaction():
        row = await _locked(conn, remittance_id)
        of: Record = await SQL.find_remittance_attempt.one(conn, remittance_id, attempt)
        if of is None:
            raise NotFound("there is no such attempt")
        state = rules.ended(of["state"], ending)
        if state is None:
            return False
        if state == "paid" and row["attempt"] != attempt:
            await _believe_late(conn, row, attempt, instead_of, now)
        await SQL.end_remittance_attempt.run(conn, remittance_id, attempt, state, psp_ref, reason, now)
        await SQL.set_remittance.run(conn, remittance_id, state, row["attempt"], row["psp"], row["account"], now)
        await _move(conn, row, of["psp"], attempt, state, now)
        await _tell(conn, row, attempt, state, reason, now)
        if state == "paid":
            await SQL.resolve_remittance.run(conn, f"remittance/{remittance_id}/%", f"paid by attempt {attempt}", now)
        else:
            details: dict[str, object] = {
                "provider": row["provider_id"], "remittance": str(remittance_id), "attempt": attempt,
                "psp": of["psp"], "amount_minor": row["amount_minor"], "currency": row["currency"], "reason": reason,
            }  # fmt: skip
            ref = f"remittance/{remittance_id}/{attempt}"
            await books.list_exception(conn, f"remittance_{state}", ref, details, now)
    return True


async def _tell(conn: Connection, row: Record, attempt: int, state: Ending, reason: str | None, now: datetime) -> None:
    """`remittance.paid`, `remittance.failed` or `remittance.returned`, to those who want to know."""
    body: dict[str, object] = {
        "remittance": str(row["id"]), "statement": str(row["statement_id"]), "provider": row["provider_id"],
        "attempt": attempt, "reason": reason,
        "amount": {"minor": row["amount_minor"], "currency": row["currency"]},
    }  # fmt: skip
    key = f"remittance/{row['id']}/{attempt}/{state}"
    await books.tell(conn, key, f"remittance.{state}", row["provider_id"], None, body, now)


async def _believe_late(conn: Connection, row: Record, attempt: int, instead_of: int | None, now: datetime) -> None:
    """An earlier attempt was paid after all; one that was made in its place and not sent is given up."""
    newer = row["attempt"]
    if row["state"] == "paid" or (row["state"] == "submitted" and newer != instead_of):
        raise Conflict(f"attempt {attempt} of remittance {row['id']} was paid, and attempt {newer} is {row['state']}")
    if row["state"] == "submitted":
        reason = f"attempt {attempt} was paid after all"
        await SQL.end_remittance_attempt.run(conn, row["id"], newer, "failed", None, reason, now)


async def _move(conn: Connection, row: Record, psp: str, attempt: int, state: Ending, now: datetime) -> None:
    payable = ledger.provider_payable(row["provider_id"])
    other = ledger.BANK if psp == BY_HAND else ledger.psp_clearing(psp)
    key, ref = f"remittance/{row['id']}/{attempt}/{state}", str(row["id"])
    if state == "paid":
        await books.post(conn, key, "remittance", ref, now, row["currency"], (payable, other, row["amount_minor"]))
    elif state == "returned":
        move = (other, payable, row["amount_minor"])
        await books.post(conn, key, "remittance_returned", ref, now, row["currency"], move)


async def retry(conn: Connection, remittance_id: UUID, now: datetime) -> None:
    """
    Have a remittance paid by the provider's psp, again or at last.

    One that failed or came back gets a new attempt, to the account that the provider has now. One whose
    job was given up without a clear answer is asked for again, under its old key. Conflict otherwise.
    """
    async with conn.transaction():
        row = await _locked(conn, remittance_id)
        if row["state"] == "submitted":
            if await SQL.reopen_job.value(conn, f"remittance/{remittance_id}/{row['attempt']}") is None:
                raise Conflict("the psp is being asked to pay this remittance; wait for its word")
            return
        if row["state"] == "paid":
            raise Conflict("this remittance is paid")
        terms: Record = await SQL.lock_provider_to_settle.one(conn, row["provider_id"])
        if terms["payout_psp"] is None or terms["payout_account"] is None:
            raise Conflict(f"provider {row['provider_id']} has no psp that pays it, or no account there: pay by hand")
        attempt = _next(row)
        await _submit(
            conn, remittance_id, row["provider_id"], attempt, terms["payout_psp"], terms["payout_account"], now
        )


async def mark_paid(conn: Connection, remittance_id: UUID, bank_ref: str, by: str, now: datetime) -> None:
    """Staff paid a remittance by the bank, under `bank_ref` there. Conflict while a psp may still pay it."""
    async with conn.transaction():
        row = await _locked(conn, remittance_id)
        rules.may_pay_by_hand(row["state"])
        attempt = _next(row)
        await SQL.add_remittance_attempt.run(
            conn, remittance_id, attempt, row["provider_id"], BY_HAND, "", "submitted", bank_ref, now
        )
        await SQL.pay_by_hand.run(conn, remittance_id, attempt, bank_ref, by)
        await ended(conn, remittance_id, attempt, "paid", bank_ref, None, now)


async def mark_returned(conn: Connection, remittance_id: UUID, reason: str, now: datetime) -> None:
    """The bank sent back what staff had paid by hand. Conflict for what a psp paid: it says itself what came back."""
    async with conn.transaction():
        row = await _locked(conn, remittance_id)
        of = await SQL.find_remittance_attempt.one(conn, remittance_id, row["attempt"])
        if of is None or of["psp"] != BY_HAND or of["state"] != "paid":
            raise Conflict("only what was paid by hand is marked as returned by hand")
        await ended(conn, remittance_id, row["attempt"], "returned", of["psp_ref"], reason, now)


async def not_known(conn: Connection, remittance_id: UUID, attempt: int, reason: str, now: datetime) -> None:
    """No clear answer came for too long: it stays submitted, so that nobody pays it again, and people are told."""
    details: dict[str, object] = {"remittance": str(remittance_id), "attempt": attempt, "reason": reason}
    await books.list_exception(conn, "remittance_unknown", f"remittance/{remittance_id}/{attempt}", details, now)


def _next(row: Record) -> int:
    if row["attempt"] >= ATTEMPTS_MAX:
        raise Conflict(f"this remittance was tried {ATTEMPTS_MAX} times")
    return int(row["attempt"]) + 1


async def _locked(conn: Connection, remittance_id: UUID) -> Record:
    row: Record = await SQL.lock_remittance.one(conn, remittance_id)
    if row is None:
        raise NotFound("there is no such remittance")
    return row
