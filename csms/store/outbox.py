"""Jobs for the world outside: claimed under a lease, and all that an attempt changes written in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from csms.base.errors import CsmsError
from csms.db import SQL, Connection, Record
from csms.domain.authorization import Policy
from csms.domain.errand import Concern, Errand
from csms.domain.ledger import Posting
from csms.store.notices import Notice, tell


@dataclass(frozen=True, slots=True)
class Collection:
    """A bill that a psp collects and pays out; the columns of `find_collections`."""

    bill_id: UUID
    session_id: UUID
    station_id: str
    connector: int | None
    site_id: str | None
    provider_id: str
    driver_id: str
    psp: str
    currency: str
    started_at: datetime
    ended_at: datetime
    energy_wh: int
    seconds: int
    total_minor: int
    vat_minor: int
    operator_minor: int
    provider_minor: int
    authorization_id: UUID | None
    policy: Policy | None
    psp_ref: str | None
    issuer: str | None
    subject: str | None
    provider_account: str | None
    shares_by: str
    authorized_minor: int | None
    host_minor: int = 0

    @property
    def to_operator_minor(self) -> int:
        """What the operator's account gets: its share, and the host's, which the operator passes on."""
        return self.operator_minor + self.host_minor


@dataclass(frozen=True, slots=True)
class Job:
    """
    A claimed row of the outbox.

    `key` is what the psp gets as idempotency key; `attempts` counts this one too, `claims` also those
    whose worker died with it. `unclear`: an attempt before may have had its effect, and nobody could say.
    `of` is the bill that the job is about, where it is about one.
    """

    id: UUID
    kind: str
    key: str
    subject: str
    payload: dict[str, Any]
    attempts: int
    claims: int
    unclear: bool = False
    of: Collection | None = None


@dataclass(frozen=True, slots=True)
class Remittance:
    """A share that a psp is told to pay: `payee` is `provider:P` or `operator`, `account` its account there."""

    bill_id: UUID
    payee: str
    psp: str
    account: str
    amount_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that a psp took for a session (a row of `payment`), of which no more than it can go back."""

    id: UUID
    psp: str
    psp_ref: str
    driver_id: str
    session_id: UUID | None
    amount_minor: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True)
class BegunRefund:
    """A part of payment `psp_ref` of `psp` that is to go back: the row `id`, and its own job to tell the psp."""

    id: UUID
    psp: str
    psp_ref: str
    amount_minor: int
    session_id: UUID | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RefundEnd:
    """
    How refund `id` ended; nothing of it is written when it does not stand as `was` any more.

    `posting` is what its end moves, `concern` and `news` tell people of it.
    """

    id: UUID
    was: Literal["pending", "paid"]
    state: Literal["paid", "failed"]
    psp_ref: str | None
    at: datetime
    posting: Posting
    news: Notice
    concern: Concern | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """How an endpoint took a message: whether, why not, and why it is sent nothing more (None: it is)."""

    endpoint_id: UUID
    taken: bool
    error: str | None = None
    disable: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """
    How one attempt of a job ended, and what follows from it.

    `waiting`: another attempt after `wait_s` seconds. `facts` are kept with the job. `remitted` says
    how the submitted shares of a bill ended: (bill, `paid` or `failed`, the psp's name for it).
    """

    job: Job
    state: Literal["done", "waiting", "given_up"]
    wait_s: float = 0.0
    error: str | None = None
    facts: dict[str, object] | None = None
    postings: tuple[Posting, ...] = ()
    errands: tuple[Errand, ...] = ()
    submitted: tuple[Remittance, ...] = ()
    remitted: tuple[tuple[UUID, str, str | None], ...] = ()
    voided: tuple[UUID, ...] = ()
    concerns: tuple[Concern, ...] = ()
    payments: tuple[Payment, ...] = ()
    begun: tuple[BegunRefund, ...] = ()
    ended: tuple[RefundEnd, ...] = ()
    sent: tuple[Sent, ...] = ()
    hurried: tuple[str, ...] = ()
    """Subjects whose waiting jobs are due now: there is news of them."""


class PostingRefused(CsmsError):
    """The ledger would not take a posting; nothing was written."""


OUR_RULES = "CS002"
"""What our SQL raises (SQLSTATE) where a rule forbids what was to be written: a payment has less left, ..."""


def is_refusal(error: Exception) -> bool:
    """Whether the books refused a result by a rule of ours: writing it again would be refused again."""
    return isinstance(error, PostingRefused) or getattr(error, "sqlstate", None) == OUR_RULES


async def claim(conn: Connection, count: int, lease_s: float) -> list[Job]:
    """At most `count` due jobs, leased for `lease_s` seconds to whoever called."""
    rows = await SQL.claim_jobs.many(conn, count, lease_s)
    jobs = [_job(row) for row in rows]
    if bills := {UUID(job.payload["bill"]) for job in jobs if "bill" in job.payload}:
        found = {row["bill_id"]: Collection(*row) for row in await SQL.find_collections.many(conn, list(bills))}
        jobs = [replace(job, of=found.get(UUID(job.payload["bill"]))) if "bill" in job.payload else job for job in jobs]
    return jobs


def _job(row: Record) -> Job:
    payload, attempts = json.loads(row["payload"]), row["attempts"] + 1
    return Job(row["id"], row["kind"], row["key"], row["subject"], payload, attempts, row["claims"], row["unclear"])


async def renew(conn: Connection, jobs: Sequence[UUID], lease_s: float) -> None:
    """The jobs are still worked on: their leases run `lease_s` seconds from now."""
    await SQL.renew_leases.run(conn, jobs, lease_s)


async def save(conn: Connection, results: Sequence[Result]) -> None:
    """
    Writes all results in one transaction, or (PostingRefused) nothing of them.

    A result of a job that has ended meanwhile, by whoever took it over, has come too late and is left out.
    """
    results = sorted(results, key=lambda result: result.job.id)
    async with conn.transaction():
        finished = await SQL.finish_jobs.many(
            conn,
            [r.job.id for r in results],
            [r.state for r in results],
            [r.wait_s for r in results],
            [r.error for r in results],
            [None if r.facts is None else json.dumps(r.facts) for r in results],
        )
        open_until_now = {row["id"] for row in finished}
        results = [result for result in results if result.job.id in open_until_now]
        if voided := sorted(id_ for r in results for id_ in r.voided):
            await SQL.end_voids.run(conn, voided)
        await _save_remittances(conn, results)
        await _begin_refunds(conn, results)
        ended = await _end_refunds(conn, [end for r in results for end in r.ended])
        await insert_errands(conn, [errand for r in results for errand in r.errands])
        if hurried := sorted({subject for r in results for subject in r.hurried}):
            await SQL.hurry_jobs.run(conn, hurried)
        await _end_messages(conn, [sent for r in results for sent in r.sent])
        concerns = [concern for r in results for concern in r.concerns] + [e.concern for e in ended if e.concern]
        await _insert_concerns(conn, concerns)
        await tell(conn, [end.news for end in ended])
        await _post(conn, [posting for r in results for posting in r.postings] + [end.posting for end in ended])
        if failed := [end.id for end in ended if end.state == "failed"]:
            await SQL.recover_disputed.run(conn, failed)


async def insert_errands(conn: Connection, errands: Sequence[Errand]) -> None:
    """New jobs."""
    if errands:
        rows = [(e.id, e.kind, e.key, e.subject, json.dumps(e.payload)) for e in errands]
        await SQL.insert_jobs.run(conn, *_columns(rows))


async def _save_remittances(conn: Connection, results: Sequence[Result]) -> None:
    if submitted := [
        (s.bill_id, s.payee, s.psp, s.account, s.amount_minor, s.currency, s.at) for r in results for s in r.submitted
    ]:
        payees = {s.payee.removeprefix("provider:") for r in results for s in r.submitted}
        await SQL.share_providers.many(conn, sorted(payees))
        await SQL.submit_remittances.run(conn, *_columns(submitted))
    if ended := [end for r in results for end in r.remitted]:
        await SQL.end_remittances.run(conn, *_columns(ended))


async def _begin_refunds(conn: Connection, results: Sequence[Result]) -> None:
    """Payments that were taken, and what of them is to go back; both once, whoever says it again."""
    if payments := [
        (p.id, p.psp, p.psp_ref, p.driver_id, p.session_id, p.amount_minor, p.currency, p.at)
        for r in results
        for p in r.payments
    ]:
        await SQL.insert_payments.run(conn, *_columns(payments))
    if begun := [
        (b.id, b.psp, b.psp_ref, b.amount_minor, b.session_id, b.reason, b.at) for r in results for b in r.begun
    ]:
        await SQL.begin_refunds.run(conn, *_columns(begun))


async def _end_refunds(conn: Connection, ends: Sequence[RefundEnd]) -> list[RefundEnd]:
    """Those of the ends that were news."""
    if not ends:
        return []
    rows = [(end.id, end.was, end.state, end.psp_ref, end.at) for end in ends]
    news = {row[0] for row in await SQL.end_refunds.many(conn, rows)}
    return [end for end in ends if end.id in news]


async def _end_messages(conn: Connection, sent: Sequence[Sent]) -> None:
    """One word per endpoint: that it took anything wins over that it did not."""
    last: dict[UUID, Sent] = {}
    for one in sorted(sent, key=lambda one: (one.taken, one.disable is not None)):
        last[one.endpoint_id] = one
    if last:
        rows = [(s.endpoint_id, s.taken, s.error, s.disable) for s in last.values()]
        await SQL.end_messages.run(conn, *_columns(rows))


async def _insert_concerns(conn: Connection, concerns: Sequence[Concern]) -> None:
    if concerns:
        rows = [(c.id, c.kind, c.ref, c.station_id, json.dumps(c.details), c.opened_at) for c in concerns]
        await SQL.insert_concerns.run(conn, *_columns(rows))


async def _post(conn: Connection, postings: Sequence[Posting]) -> None:
    if not postings:
        return
    transfers = [
        (place, seq, t.debit, t.credit, t.asset, t.minor)
        for place, posting in enumerate(postings, 1)
        for seq, t in enumerate(posting.transfers, 1)
    ]
    answers = await SQL.post.value(conn, [(p.id, p.key, p.kind, p.ref, p.event_at) for p in postings], transfers)
    for posting, answer in zip(postings, answers, strict=True):
        if answer not in ("posted", "replayed"):
            raise PostingRefused(f"posting {posting.key}: {answer}")


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
