"""
The jobs of the statement run: have a psp pay a remittance, read a psp's statement of a day.

A payout is never sent twice: before it is sent again, or anew, the psp is asked what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from uuid import UUID

from csms.base.errors import Conflict
from csms.domain.statement import Ending
from csms.flows import reconcile, remittances
from csms.flows.remittances import Attempt
from csms.psp.base import Answer, Payout, Psp, Standing, Statement, Unavailable
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, Task, later, maybe_done

PENDING_WAIT_S = 600.0
"""Banks take hours: how soon the psp is asked again, when no webhook comes before."""

SETTLED: Mapping[Standing, Ending] = {"paid": "paid", "settled": "paid", "failed": "failed", "declined": "failed"}
"""What a psp says of a payout that has ended."""


async def payout(job: Job, outside: Outside) -> Result:
    """One attempt to have a psp pay a remittance."""
    remittance_id, number = UUID(job.payload["remittance"]), int(job.payload["attempt"])
    async with outside.pool.acquire() as conn:
        attempt = await remittances.to_pay(conn, remittance_id, number)
    if attempt is None:
        return Result(job, "done")
    psp = outside.psps.get(attempt.psp)
    if psp is None:
        answer = Answer("our_fault", reason=f"psp {attempt.psp} is not set up here")
        return await _later(job, outside, attempt, answer, paid_maybe=maybe_done(job, answer))
    if job.attempts > 1 or job.claims > 1:
        known = await _standing(job, outside, attempt, psp)
        if known is not None:
            return known
    if (earlier := await _earlier(job, outside, attempt, psp)) is not None:
        return earlier
    outside.at_point("before_call")
    answer = await psp.payout(
        job.key, Payout(attempt.order, attempt.account, attempt.amount_minor, attempt.currency, attempt.text)
    )
    outside.at_point("after_call")
    match answer:
        case Answer("done", psp_ref, _, "pending"):
            return _pending(job, psp_ref)
        case Answer("done", psp_ref):
            return await _ended(job, outside, attempt, "paid", psp_ref, None)
        case Answer("declined", psp_ref):
            return await _ended(job, outside, attempt, "failed", psp_ref, answer.reason or "declined")
        case Answer("unknown"):
            return await _standing(job, outside, attempt, psp) or await _later(job, outside, attempt, answer)
        case _:
            return await _later(job, outside, attempt, answer)


async def _standing(job: Job, outside: Outside, attempt: Attempt, psp: Psp) -> Result | None:
    """What the psp says of this attempt; None when it has never heard of it, so that it can be sent."""
    found = await psp.get("payout", attempt.order)
    if (ending := SETTLED.get(found.standing)) is not None:
        return await _ended(job, outside, attempt, ending, found.psp_ref, found.reason)
    match found.standing:
        case "missing":
            return None
        case "pending":
            return _pending(job, found.psp_ref)
        case _:
            return await _later(job, outside, attempt, Answer("unknown", reason=f"the payout is {found.standing}"))


async def _earlier(job: Job, outside: Outside, attempt: Attempt, psp: Psp) -> Result | None:
    """
    What became of the attempts before; None when none of them was paid or may yet be.

    One that was paid after all takes the place of this attempt. One that came back and is said to be
    paid all the same is for people.
    """
    for before in attempt.earlier:
        found = await psp.get("payout", before.order)
        if found.standing in ("missing", "failed", "declined"):
            continue
        if found.standing in ("paid", "settled") and before.state == "failed":
            async with outside.pool.acquire() as conn:
                await remittances.ended(
                    conn, attempt.remittance_id, before.attempt, "paid", found.psp_ref, None, outside.clock(),
                    instead_of=attempt.attempt,
                )  # fmt: skip
            return Result(job, "done", facts={"paid_by_attempt": before.attempt})
        reason = f"attempt {before.attempt} is {found.standing} at the psp and {before.state} here"
        return await _later(job, outside, attempt, Answer("unknown", reason=reason))
    return None


async def _ended(
    job: Job, outside: Outside, attempt: Attempt, ending: Ending, psp_ref: str | None, reason: str | None
) -> Result:
    """The psp's last word, written before the job ends: a repeat of the job finds that the attempt has ended."""
    async with outside.pool.acquire() as conn:
        await remittances.ended(conn, attempt.remittance_id, attempt.attempt, ending, psp_ref, reason, outside.clock())
    facts: dict[str, object] = {"payout": psp_ref, "ending": ending}
    if ending == "paid":
        return Result(job, "done", facts=facts)
    return Result(job, "given_up", error=reason or ending, facts=facts)


def _pending(job: Job, psp_ref: str | None) -> Result:
    return Result(job, "waiting", wait_s=PENDING_WAIT_S, facts={"payout": psp_ref, "ending": None, "pending": psp_ref})


async def _later(job: Job, outside: Outside, attempt: Attempt, answer: Answer, *, paid_maybe: bool = False) -> Result:
    """
    Another try; after the last one what was certainly not carried out has failed, the rest stays submitted.

    `paid_maybe`: an attempt before may have been, and the psp could not be asked.
    """
    result = later(job, outside, answer, "payout_failed")
    if result.state != "given_up":
        return result
    reason = result.error or answer.end
    async with outside.pool.acquire() as conn:
        if answer.end == "unknown" or paid_maybe:
            await remittances.not_known(conn, attempt.remittance_id, attempt.attempt, reason, outside.clock())
        else:
            await remittances.ended(
                conn, attempt.remittance_id, attempt.attempt, "failed", None, reason, outside.clock()
            )
    return result


async def read_statement(job: Job, outside: Outside) -> Result:
    """Read a psp's statement of a day that is over on the wall clock, and compare it with our books."""
    name, day = str(job.payload["psp"]), date.fromisoformat(job.payload["day"])
    psp = outside.psps.get(name)
    found: Statement | Unavailable
    if psp is None:
        found = Unavailable(f"psp {name} is not set up here")
    elif day >= datetime.fromtimestamp(outside.wall(), UTC).date():
        found = Unavailable("the day is not over")
    else:
        found = await psp.statement(day)
    async with outside.pool.acquire() as conn:
        try:
            await reconcile.reconcile(conn, name, day, found, outside.clock())
        except Conflict as conflict:
            return later(job, outside, Answer("our_fault", reason=str(conflict)), "reconcile_failed")
    facts: dict[str, object] = (
        {"unavailable": found.reason} if isinstance(found, Unavailable) else {"lines": len(found.lines)}
    )
    return Result(job, "done", facts=facts)


SETTLING: Mapping[str, Task] = {"psp.payout": payout, "psp.reconcile": read_statement}
"""Kind of job -> what does it; beside `worker.tasks.TASKS`."""
