"""What the worker does for balances: sends a rest back, looks at sessions after a top-up, collects a debt again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

from csms.base.ids import derived
from csms.base.money import Money
from csms.db import SQL
from csms.domain import ledger
from csms.domain.authorization import Ask
from csms.domain.events import SpendingChecked
from csms.domain.ledger import Posting, transfers
from csms.flows import settle
from csms.flows.refund_rest import Wish, send_back
from csms.psp.base import Answer, Charge, Psp
from csms.store.outbox import Collection, Job, Result
from csms.worker.spending import RUNNING_FOR_MAX
from csms.worker.tasks import Outside, Task, later

DEBT_PAID_PLACE = 49
"""The derived id of the posting that a session's debt is collected with."""

BY = "csms"

Check = Callable[[SpendingChecked], None]


def tasks(check: Check) -> Mapping[str, Task]:
    """Kind of job -> what does it. `check` puts a report on the road; nobody waits for its outcome."""
    return {
        "balance.check": partial(check_sessions, check),
        "balance.refund_rest": refund_rest,
        "debt.collect": collect_debt,
    }


async def check_sessions(check: Check, job: Job, outside: Outside) -> Result:
    """A driver's balance has grown: sessions that are short of it are looked at, the oldest first."""
    now = outside.clock()
    async with outside.pool.acquire() as conn:
        rows = await SQL.sessions_short_of_money.many(conn, job.payload["driver"], now - RUNNING_FOR_MAX)
    for row in rows:
        check(SpendingChecked(row["station_id"], row["ref"], now))
    return Result(job, "done", facts={"sessions": len(rows)})


async def refund_rest(job: Job, outside: Outside) -> Result:
    """What a session did not spend goes on to the means it came from; what none of them takes stays in the balance."""
    money = Money(job.payload["minor"], job.payload["currency"])
    session_id = UUID(job.subject.partition("/")[2])
    wish = Wish(job.key, job.payload["driver"], money, list(outside.psps), "rest of a session", BY, session_id)
    async with outside.pool.acquire() as conn:
        parts = await send_back(conn, wish, outside.clock())
    return Result(job, "done", facts={"minor": sum(part.minor for part in parts)})


async def collect_debt(job: Job, outside: Outside) -> Result:
    """
    Charge a bill that its psp refused before, by whatever means the driver has there now.

    The bill is the same, and so is its order at the psp: what was taken after all is found, not taken twice. That is
    looked at first: it is booked also where the debt was paid meanwhile, and the driver has it in the balance.
    """
    of = job.of
    assert of is not None, "the job names a bill that was stored with it"
    psp, account = outside.psps.get(of.psp), outside.operator_accounts.get(of.psp)
    if psp is None or account is None:
        return Result(job, "done", facts={"declined": f"psp {of.psp} is not set up here"})
    found = await psp.get("charge", str(of.session_id))
    if found.standing == "taken" and found.psp_ref is not None and found.amount_minor == of.total_minor:
        return _paid(job, of, found.psp_ref, account, outside.clock())
    if found.standing == "unknown":  # an attempt before, under another key, may have taken it
        return later(job, outside, Answer("unknown", reason=found.reason), "debt_collect_failed", of.station_id)
    async with outside.pool.acquire() as conn:
        owed = await SQL.owed.value(conn, of.driver_id, of.currency)
    if owed < of.total_minor:
        return Result(job, "done", facts={"paid": True})
    outside.at_point("before_call")
    answer = await _charged(job, of, psp)
    outside.at_point("after_call")
    match answer:
        case Answer("done", str(payment)):
            return _paid(job, of, payment, account, outside.clock())
        case Answer("declined"):
            return Result(job, "done", facts={"declined": answer.reason})
        case _:
            return later(job, outside, answer, "debt_collect_failed", of.station_id)


async def _charged(job: Job, of: Collection, psp: Psp) -> Answer:
    """The means are asked for anew: those of the session were refused, or held and lapsed."""
    if of.subject is None or of.issuer is None:
        return Answer("declined", reason="nobody knows whom to charge")
    ask = Ask(job.id, of.station_id, of.psp, of.issuer, of.subject, of.total_minor, of.currency, "charge_after")
    means = await psp.authorize(f"{job.key}/means", ask)
    if means.end != "done" or means.psp_ref is None:
        return means
    order = str(of.session_id)
    answer = await psp.charge(job.key, Charge(order, means.psp_ref, of.subject, of.total_minor, of.currency))
    if answer.end != "unknown":
        return answer
    found = await psp.get("charge", order)
    return Answer("done", found.psp_ref) if found.standing == "taken" else answer


def _paid(job: Job, of: Collection, payment: str, account: str, at: datetime) -> Result:
    """`psp:X:clearing -> driver:D:debt`; the payees are paid as after any collection."""
    moves = transfers(of.currency, (ledger.psp_clearing(of.psp), ledger.driver_debt(of.driver_id), of.total_minor))
    key = f"session/{of.session_id}/debt-paid"
    posting = Posting(derived(of.session_id, DEBT_PAID_PLACE), key, "debt_paid", str(of.session_id), at, moves)
    return replace(settle.collected(job, of, payment, account, at), postings=(posting,))
