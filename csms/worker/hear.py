"""
What a psp's webhook comes to: the psp is asked how the thing stands, and its answer is acted on.

The webhook is never believed, so a forged, repeated, late or overtaken one does no harm. What has a job
of its own (a fee, a refund, a payout) is only hurried, or ended as that job would have ended it.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from csms.base.errors import CsmsError
from csms.base.ids import derived
from csms.base.money import Money
from csms.db import SQL, Record
from csms.domain.errand import Concern
from csms.domain.statement import Ending
from csms.flows import chargebacks, give_back, remittances, top_up
from csms.flows.settle import CONCERN_PLACE
from csms.psp.base import Answer, Found, Psp, driver_of_top_up
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, later

UNVERIFIED_ATTEMPTS_MAX = 5
"""A webhook that may be anybody's is not worth asking for days; a genuine one's own job asks on anyway."""


async def process(job: Job, outside: Outside) -> Result:
    """Ask the psp about what a webhook tells, and act on the answer."""
    async with outside.pool.acquire() as conn:
        told = await SQL.find_webhook.one(conn, UUID(job.payload["webhook"]))
    assert told is not None, "a job names a webhook that was stored with it"
    psp = outside.psps.get(told["psp"])
    if psp is None:
        answer = Answer("our_fault", reason=f"psp {told['psp']} is not set up here")
        return later(job, outside, answer, "webhook_unread")
    if told["kind"] == "payment" and await _is_known(outside, told):
        return await _done(job, outside, told, "known")
    found = await psp.get(told["kind"], told["ref"])
    if found.standing == "unknown":
        if not told["verified"] and job.attempts >= UNVERIFIED_ATTEMPTS_MAX:
            return await _done(job, outside, told, f"not told: {found.reason}")
        return later(job, outside, Answer("unknown", reason=found.reason), "webhook_unread")
    if found.standing == "missing":
        return await _done(job, outside, told, "the psp knows nothing of it")
    match told["kind"]:
        case "payment":
            return await _payment(job, outside, psp, told, found)
        case "refund":
            return await _refund(job, outside, told, found)
        case "payout":
            return await _payout(job, outside, told, found)
        case "chargeback":
            return await _chargeback(job, outside, told, found)
        case _:
            return await _hurry(job, outside, told, told["ref"])


async def _payment(job: Job, outside: Outside, psp: Psp, told: Record, found: Found) -> Result:
    """A top-up goes into its driver's balance; a session's fee has a job that is due now."""
    driver_id = driver_of_top_up(found.order)
    if driver_id is None:
        return await _hurry(job, outside, told, found.order)
    if found.standing != "taken":
        return await _done(job, outside, told, found.standing)
    assert found.amount_minor is not None
    assert found.currency is not None
    try:
        money = Money(found.amount_minor, found.currency)
        top_up.check(found, driver_id, money, told["ref"])
        async with outside.pool.acquire() as conn, conn.transaction():
            news = await top_up.fund(conn, driver_id, money, psp.name, told["ref"], outside.clock())
    except CsmsError as error:
        return await _listed(job, outside, told, "top_up_unmatched", str(error))
    return await _done(job, outside, told, "funded" if news else "known")


async def _refund(job: Job, outside: Outside, told: Record, found: Found) -> Result:
    """A refund of ours ends; one that was paid may come back."""
    async with outside.pool.acquire() as conn:
        row = await SQL.find_refund.one(conn, _uuid(told["ref"]))
    if row is None or row["psp"] != told["psp"]:
        return await _done(job, outside, told, "not a refund of ours")
    done = await _done(job, outside, told, found.standing)
    now = outside.clock()
    match row["state"], found.standing:
        case "pending", "paid":
            return replace(done, ended=(give_back.paid(row, found.psp_ref, now),))
        case "pending" | "paid", "failed":
            return replace(done, ended=(give_back.failed(row, found.reason or "failed", now),))
        case _:
            return done


async def _payout(job: Job, outside: Outside, told: Record, found: Found) -> Result:
    """A remittance of ours is paid, fails, or comes back."""
    attempt = remittances.attempt_of(told["ref"])
    if attempt is None or found.standing not in ("paid", "failed"):
        return await _done(job, outside, told, "not a payout of ours" if attempt is None else found.standing)
    try:
        async with outside.pool.acquire() as conn:
            ending: Ending = "paid" if found.standing == "paid" else "failed"
            await remittances.ended(conn, *attempt, ending, found.psp_ref, found.reason, outside.clock())
    except CsmsError as error:
        return await _listed(job, outside, told, "payout_unmatched", str(error))
    return await _done(job, outside, told, found.standing)


async def _chargeback(job: Job, outside: Outside, told: Record, found: Found) -> Result:
    """A bank took a payment back, or gave it again."""
    standing = found.standing
    assert standing in ("opened", "won", "lost"), standing
    assert found.payment_ref is not None
    assert found.amount_minor is not None
    assert found.currency is not None
    at = outside.clock()
    try:
        async with outside.pool.acquire() as conn:
            await chargebacks.told(
                conn, told["psp"], told["ref"], standing, found.payment_ref, found.amount_minor, found.currency, at
            )
    except CsmsError as error:
        return await _listed(job, outside, told, "chargeback_unmatched", str(error))
    return await _done(job, outside, told, standing)


async def _hurry(job: Job, outside: Outside, told: Record, order: str | None) -> Result:
    """The job that waits for this is due now: it asks, and writes what comes of it."""
    async with outside.pool.acquire() as conn:
        session_id = await SQL.session_of_order.value(conn, told["psp"], _uuid(order or ""))
    done = await _done(job, outside, told, "nothing of ours" if session_id is None else "hurried")
    if session_id is None:
        return done
    return replace(done, hurried=(f"session/{session_id}",))


async def _is_known(outside: Outside, told: Record) -> bool:
    """Whether the payment stands here: then a word on its being taken is no news, and its going back has another."""
    async with outside.pool.acquire() as conn:
        known: bool = await SQL.is_payment_known.value(conn, told["psp"], told["ref"])
    return known


async def _done(job: Job, outside: Outside, told: Record, outcome: str) -> Result:
    async with outside.pool.acquire() as conn:
        await SQL.end_webhook.run(conn, told["id"], outcome)
    return Result(job, "done", facts={"outcome": outcome})


async def _listed(job: Job, outside: Outside, told: Record, kind: str, reason: str) -> Result:
    """The psp has money that our books cannot place: people look."""
    details: dict[str, object] = {"psp": told["psp"], "ref": told["ref"], "reason": reason, "job": str(job.id)}
    concern = Concern(derived(job.id, CONCERN_PLACE), kind, job.subject, None, details, outside.clock())
    async with outside.pool.acquire() as conn:
        await SQL.end_webhook.run(conn, told["id"], reason)
    return Result(job, "given_up", error=reason, concerns=(concern,))


def _uuid(text: str) -> UUID:
    """The id that a text of the psp's is; one that nothing has, if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
