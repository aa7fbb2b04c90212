"""What the worker does for vouchers that are paid through psps: it ends what whoever bought did not wait for."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from csms.base.errors import CsmsError
from csms.db import SQL
from csms.flows import purchases
from csms.psp.base import Answer
from csms.store.outbox import Job, Result
from csms.worker.tasks import Outside, Task, later, maybe_done

ASK_S_MAX = 5.0


async def pay(job: Job, outside: Outside) -> Result:
    """Ask the psp under the payment's key, which takes the price once; then buy the voucher that was offered for it."""
    payment_id = UUID(job.payload["payment"])
    async with outside.pool.acquire() as conn:
        row = await SQL.show_voucher_payment.one(conn, payment_id)
    assert row is not None, "a job names a payment that was stored with it"
    if row["state"] != "asking":
        return Result(job, "done", facts={"payment": row["state"]})
    psp = outside.psps.get(row["psp"])
    if psp is None:
        answer = Answer("our_fault", reason=f"psp {row['psp']} is not set up here")
        return later(job, outside, answer, "voucher_pay_failed")
    outside.at_point("before_call")
    answer = await purchases.asked(psp, purchases.ask_of(row), ASK_S_MAX)
    outside.at_point("after_call")
    if answer.end == "done" and answer.psp_ref is not None:
        return await _taken(job, outside, payment_id, answer.psp_ref)
    result = None if answer.end == "declined" else later(job, outside, answer, "voucher_pay_failed")
    if result is None or (result.state == "given_up" and not maybe_done(job, answer)):
        async with outside.pool.acquire() as conn, conn.transaction():
            await purchases.declined(conn, payment_id, answer.reason or answer.end, outside.clock())
    return result or Result(job, "done", facts={"declined": answer.reason})


async def _taken(job: Job, outside: Outside, payment_id: UUID, psp_ref: str) -> Result:
    async with outside.pool.acquire() as conn, conn.transaction():
        found = await purchases.taken(conn, payment_id, psp_ref, outside.clock())
    facts = {"balance": str(found)} if isinstance(found, CsmsError) else {"voucher": str(found["id"])}
    return Result(job, "done", facts=dict(facts))


VOUCHERS: Mapping[str, Task] = {purchases.JOB: pay}
"""Kind of job -> what does it."""
