"""
What each kind of job does: one call to a psp, outside any transaction, and what its answer comes to.

An answer that is unknown is cleared up by looking (`get`) or by the same key in a later attempt, never
by a new key. A repeat of a whole job is harmless: keys, postings and rows have one effect.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from csms.base.clock import Clock
from csms.db import SQL, Pool, Record
from csms.domain.authorization import Ask
from csms.flows import give_back, settle
from csms.hooks.base import Notifier
from csms.psp.base import Answer, Charge, Found, Psp, Refund, Standing
from csms.store.outbox import Collection, Job, Result

ATTEMPTS_MAX = 40
"""About two and a half hours of a psp that is away; then people decide."""

CLAIMS_MAX = 1_000
"""A job that ended so many workers without a word is one that ends workers."""

FAULT_ATTEMPTS_MAX = 10
"""About ten minutes to put right what is wrong with our side (a secret, an account that is not registered)."""

PENDING_ATTEMPTS_MAX = 400
"""About two weeks of a refund that the psp has taken and not yet sent; then people ask it."""

BACK_OFF_S = 0.5
BACK_OFF_S_MAX = 300.0
PENDING_BACK_OFF_S_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Outside:
    """
    What jobs work with. `operator_accounts`: psp -> the operator's account there. `clock` is the system's.

    `notifier` carries news to others, None where nobody is told; `wall` is the wall's time, for their signatures.
    """

    pool: Pool
    psps: Mapping[str, Psp]
    operator_accounts: Mapping[str, str]
    clock: Clock
    random: random.Random
    at_point: Callable[[str], None] = lambda name: None
    back_off_s: float = BACK_OFF_S
    notifier: Notifier | None = None
    wall: Callable[[], float] = time.time


async def collect(job: Job, outside: Outside) -> Result:
    """Take the fee of a bill: capture what is held, or charge the stored means. What was paid before is taken."""
    of = job.of
    assert of is not None, "the job names a bill that was stored with it"
    psp = outside.psps.get(of.psp)
    account = outside.operator_accounts.get(of.psp)
    if psp is None or account is None:
        return later(job, outside, Answer("our_fault", reason=f"psp {of.psp} is not set up here"), "collect_failed")
    if of.policy == "pay_before_refund_rest":
        assert of.psp_ref is not None, "a used authorization has its psp's name"
        taken = settle.collected(job, of, of.psp_ref, account, outside.clock())
        return replace(taken, begun=give_back.rest_of(of, of.psp_ref, outside.clock()))
    outside.at_point("before_call")
    answer = await _taken(job, of, psp)
    outside.at_point("after_call")
    if answer.end == "unknown":
        answer = await _looked_up(answer, psp, of)
    match answer:
        case Answer("done", str(payment)):
            return settle.collected(job, of, payment, account, outside.clock())
        case Answer("declined"):
            return settle.not_collected(job, of, answer.reason or "declined", outside.clock())
        case _:
            return later(job, outside, answer, "collect_failed", of.station_id)


async def _taken(job: Job, of: Collection, psp: Psp) -> Answer:
    """What was authorized is captured or charged. What was never asked (an offline start) is asked now, and charged."""
    if of.policy == "hold_capture":
        assert of.psp_ref is not None, "a used authorization has its psp's name"
        return await psp.capture(job.key, of.psp_ref, of.total_minor, of.currency)
    assert of.subject is not None
    assert of.issuer is not None
    stored = of.psp_ref
    if stored is None:
        ask = Ask(of.bill_id, of.station_id, of.psp, of.issuer, of.subject, of.total_minor, of.currency, "charge_after")
        answer = await psp.authorize(f"{job.key}/means", ask)
        if answer.end != "done":
            return answer
        assert answer.psp_ref is not None
        stored = answer.psp_ref
    return await psp.charge(job.key, Charge(str(of.session_id), stored, of.subject, of.total_minor, of.currency))


async def _looked_up(answer: Answer, psp: Psp, of: Collection) -> Answer:
    """The truth behind an unknown answer, if the psp tells it; otherwise `answer` again."""
    if of.policy == "hold_capture":
        found = await psp.get("hold", str(of.authorization_id))
    else:
        found = await psp.get("charge", str(of.session_id))
    match found:
        case Found("taken", str(payment), amount_minor) if amount_minor == of.total_minor:
            return Answer("done", payment)
        case Found("taken"):
            return Answer("our_fault", reason=f"the psp took {found.amount_minor}, the bill says {of.total_minor}")
        case Found("released"):
            return Answer("declined", reason="the hold was released before it was taken")
        case Found("declined"):
            return Answer("declined", reason=found.reason)
        case _:
            return answer


async def remit(job: Job, outside: Outside) -> Result:
    """Send the one settlement message of a bill's session."""
    assert job.of is not None, "the job names a bill that was stored with it"
    of = replace(job.of, provider_account=job.payload["provider_account"] or job.of.provider_account)
    if of.shares_by == "run":  # a statement took them over while the fee was collected after all
        return Result(job, "done", facts={"by": "run"})
    psp, account = outside.psps.get(of.psp), job.payload["operator_account"]
    missing = False
    if psp is None:
        answer = Answer("our_fault", reason=f"psp {of.psp} is not set up here")
    elif settle.lacks_account(of):
        answer = Answer("our_fault", reason=f"provider {of.provider_id} has no account at psp {of.psp}")
    else:
        message = settle.settlement(of, job.payload["payment"], account)
        outside.at_point("before_call")
        answer = await psp.remit(job.key, message)
        outside.at_point("after_call")
        if answer.end in ("unknown", "our_fault"):
            found = await psp.get("settlement", str(of.session_id))
            if found.standing == "settled" and found.amount_minor == of.total_minor:
                answer = Answer("done", found.psp_ref)
            missing = answer.end == "our_fault" and found.standing == "missing"
    match answer:
        case Answer("done", str(settlement)):
            return settle.settled(job, of, settlement, account, outside.clock())
        case Answer("declined"):
            return settle.not_settled(job, of, answer.reason or "declined", outside.clock())
        case _:
            result = later(job, outside, answer, "settle_failed", of.station_id)
            if result.state != "given_up":
                return result
            if missing or not maybe_done(job, answer):
                return replace(result, remitted=((of.bill_id, "failed", None),))
            # the shares stay live, so that the statement run does not pay them too
            return replace(result, submitted=settle.shares(of, account, outside.clock()))


async def void(job: Job, outside: Outside) -> Result:
    """
    Have the psp release what it holds for an authorization.

    Stored means hold nothing; what was paid before goes back as a refund, by a job of its own.
    """
    row = await _authorization(job, outside)
    authorization_id = row["id"]
    psp = outside.psps.get(row["psp"])
    if row["policy"] == "charge_after" or row["psp_ref"] is None:
        return settle.released(job, authorization_id)
    if row["policy"] == "pay_before_refund_rest":
        return give_back.unused(job, row, outside.clock())
    if psp is None:
        return later(job, outside, Answer("our_fault", reason=f"psp {row['psp']} is not set up here"), "void_failed")
    outside.at_point("before_call")
    answer = await psp.void(job.key, row["psp_ref"])
    outside.at_point("after_call")
    if answer.end in ("unknown", "our_fault"):
        gone: tuple[Standing, ...] = ("released", "missing", "declined")
        if (await psp.get("hold", str(authorization_id))).standing in gone:
            answer = Answer("done", row["psp_ref"])
    if answer.end == "done":
        return settle.released(job, authorization_id)
    return later(job, outside, answer, "void_failed")


async def refund_rest(job: Job, outside: Outside) -> Result:
    """Begin to send back what a session left of a payment that was made before it, unless its fee's job did."""
    row = await _authorization(job, outside)
    return give_back.rest(job, row, UUID(job.payload["session"]), job.payload["minor"], outside.clock())


async def refund(job: Job, outside: Outside) -> Result:
    """Send money back, and see what becomes of it: paid, or failed for good and then the driver's balance has it."""
    async with outside.pool.acquire() as conn:
        row = await SQL.find_refund.one(conn, UUID(job.payload["refund"]))
    assert row is not None, "a job names a refund that was stored with it"
    if row["state"] != "pending":
        return Result(job, "done", facts={"refund": row["state"]})
    psp = outside.psps.get(row["psp"])
    if psp is None:
        answer = Answer("our_fault", reason=f"psp {row['psp']} is not set up here")
        return later(job, outside, answer, "refund_stuck", row["station_id"])
    asked = Refund(str(row["id"]), row["payment_ref"], row["amount_minor"], row["currency"], row["reason"])
    outside.at_point("before_call")
    answer = await psp.refund(job.key, asked)
    outside.at_point("after_call")
    if answer.standing in ("paid", "failed"):
        return refund_ended(job, outside, row, Found(answer.standing, answer.psp_ref, reason=answer.reason))
    # also what was pending when its key was first used: the key's answer stays what it was
    found = await psp.get("refund", asked.order)
    attempts_max = FAULT_ATTEMPTS_MAX if answer.end == "our_fault" else ATTEMPTS_MAX
    hopeless = answer.end == "declined" or job.attempts >= attempts_max
    if found.standing == "missing" and hopeless:
        return refund_ended(job, outside, row, Found("failed", reason=answer.reason))
    if found.standing in ("paid", "pending", "failed"):
        return refund_ended(job, outside, row, found)
    if answer.end == "done":
        return pending(job, outside, answer.psp_ref, "refund_stuck", row["station_id"])
    if answer.end == "declined":  # and the psp does not tell what became of it
        answer = replace(answer, end="unknown")
    return later(job, outside, answer, "refund_stuck", row["station_id"])


def refund_ended(job: Job, outside: Outside, row: Record, found: Found) -> Result:
    """What a refund's standing at the psp comes to; a pending one is looked at again."""
    now = outside.clock()
    match found.standing:
        case "paid":
            end = give_back.paid(row, found.psp_ref, now)
        case "failed":
            end = give_back.failed(row, found.reason or "failed", now)
        case _:
            return pending(job, outside, found.psp_ref, "refund_stuck", row["station_id"])
    return Result(job, "done", facts={"refund": end.state}, ended=(end,))


async def _authorization(job: Job, outside: Outside) -> Record:
    async with outside.pool.acquire() as conn:
        row = await SQL.find_authorization.one(conn, UUID(job.payload["authorization"]))
    assert row is not None, "a job names an authorization that was stored with it"
    return row


def pending(job: Job, outside: Outside, psp_ref: str | None, concern: str, station_id: str | None = None) -> Result:
    """The psp has it and will say later: looked at again after a pause that doubles, for days."""
    if job.attempts >= PENDING_ATTEMPTS_MAX:
        reason = f"pending at the psp as {psp_ref}"
        listed = settle.given_up(job, concern, reason, outside.clock(), station_id)
        return Result(job, "given_up", error=reason, concerns=(listed,))
    pause = min(PENDING_BACK_OFF_S_MAX, outside.back_off_s * 2.0 ** min(job.attempts - 1, 30))
    return Result(job, "waiting", wait_s=pause, facts={"pending": psp_ref})


def maybe_done(job: Job, answer: Answer) -> bool:
    """Whether a call of this job may have had its effect: nobody could say of one, or its worker died with it."""
    return answer.end == "unknown" or job.unclear or job.claims > job.attempts


def later(job: Job, outside: Outside, answer: Answer, concern: str, station_id: str | None = None) -> Result:
    """Another attempt after a pause that doubles, with jitter; after the last one it is given up and listed."""
    reason = f"{answer.end}: {answer.reason}"
    facts: dict[str, object] | None = {"unclear": True} if maybe_done(job, answer) else None
    limit = FAULT_ATTEMPTS_MAX if answer.end == "our_fault" else ATTEMPTS_MAX
    if job.attempts >= limit or answer.end == "declined":
        return Result(
            job,
            "given_up",
            error=reason,
            facts=facts,
            concerns=(settle.given_up(job, concern, reason, outside.clock(), station_id),),
        )
    pause = min(BACK_OFF_S_MAX, outside.back_off_s * 2.0 ** min(job.attempts - 1, 30))
    return Result(job, "waiting", wait_s=pause * outside.random.uniform(0.5, 1.5), error=reason, facts=facts)


Task = Callable[[Job, Outside], Awaitable[Result]]

TASKS: Mapping[str, Task] = {
    "psp.collect": collect,
    "psp.settle": remit,
    "psp.void": void,
    "psp.refund_rest": refund_rest,
    "psp.refund": refund,
}
"""Kind of job -> what does it."""
