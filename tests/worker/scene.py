"""A closed, billed session whose fee a psp has still to collect, as the road leaves it; and what is asked of it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from csms.db import Connection, Pool
from csms.domain import errand as errands
from csms.domain.authorization import Ask, Policy
from csms.hooks.base import Notifier
from csms.psp.base import ask_key
from csms.psp.social import Social, SocialSettings
from csms.worker.loop import Worker
from csms.worker.notify import NEWS
from csms.worker.settling import SETTLING
from csms.worker.tasks import TASKS, Outside, Task
from tests.psp.social_process import OPERATOR_ACCOUNT, PROVIDER_ACCOUNT, SECRET, SocialProcess

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
HOLD, FEE, OPERATOR_SHARE, PROVIDER_SHARE = 20_000, 7_001, 700, 6_301


@dataclass(frozen=True, slots=True)
class Scene:
    """One session and what belongs to it. Its driver, `subject` to the psp, has no other."""

    session_id: UUID
    bill_id: UUID
    psp_ref: str | None
    subject: str


async def parties(conn: Connection, account: str | None = PROVIDER_ACCOUNT) -> None:
    """A provider with its split, a tariff, a station, a driver."""
    accounts = json.dumps({"social": account} if account else {})
    async with conn.transaction():
        await conn.execute("insert into provider values ('P', 'Provider', $1, 1, $2)", accounts, START)
        await conn.execute("insert into provider_terms values ('P', 1, 1000, 0, 0, null, $1)", START)
    await conn.execute("insert into tariff values ('T', 1, 'P', 'KRW', '{}', $1, $2)", HOLD, START)
    await conn.execute(
        "insert into station (id, kind, provider_id, tariff_id, created_at) values ('CP-1', 'charger', 'P', 'T', $1)",
        START,
    )
    await conn.execute("insert into driver values ('D', null, 'active', $1)", START)


async def authorization(
    conn: Connection, psp: Social, state: str, policy: Policy = "hold_capture", subject: str = "minsu"
) -> tuple[UUID, str | None]:
    """A row that asks or asked the psp, and what it holds for it (nothing while it is `asking`)."""
    id_, psp_ref = uuid4(), None
    if state not in ("asking", "timed_out"):
        ask = Ask(id_, "CP-1", "social", "issuer", subject, HOLD, "KRW", policy)
        answer = await psp.authorize(ask_key(id_), ask)
        assert answer.end == "done"
        psp_ref = answer.psp_ref
    await conn.execute(
        """insert into psp_authorization (id, station_id, token_key, psp, policy, issuer, subject, driver_id,
               amount_minor, currency, state, psp_ref, asked_at, decided_at, version)
           values ($1, 'CP-1', $2, 'social', $3, 'issuer', $8, 'D', $4, 'KRW', $5, $6, $7, $7, 1)""",
        id_,
        id_.bytes * 2,
        policy,
        HOLD,
        state,
        psp_ref,
        START,
        subject,
    )
    return id_, psp_ref


async def billed(
    conn: Connection,
    psp: Social,
    policy: Policy | None = "hold_capture",
    subject: str = "driver",
    operator_minor: int = OPERATOR_SHARE,
    shares_by: str = "psp",
    host_minor: int = 0,
) -> Scene:
    """A session with its bill, its settlement posted and its jobs. Policy None: it began offline, nobody was asked."""
    session_id, bill_id = uuid4(), uuid4()
    subject = f"{subject}-{session_id}"
    authorization_id, psp_ref = None, None
    token_key = session_id.bytes * 2
    if policy is not None:
        authorization_id, psp_ref = await authorization(conn, psp, "used", policy, subject)
    await conn.execute(
        "insert into token (key, type, psp, issuer, subject, created_at) values ($1, 'social', 'social', 'i', $2, $3)",
        token_key,
        subject,
        START,
    )
    ended_at = START + timedelta(hours=1)
    await conn.execute(
        """insert into session (station_id, id, ref, start_key, version, state, day, provider_id, terms_version,
               tariff_id, tariff_version, currency, token_key, driver_id, means, psp, authorization_id, offline,
               started_at, ended_at, energy_wh, fee_minor, opened_at, closed_at, site_id)
           values ('CP-1', $1, $2, $2, 1, 'completed', $3, 'P', 1, 'T', 1, 'KRW', $4, 'D', 'psp', 'social', $5, $6,
               $7, $8, 12345, $9, $7, $8, 'site')""",
        session_id,
        str(session_id),
        START.date(),
        token_key,
        authorization_id,
        policy is None,
        START,
        ended_at,
        FEE,
    )
    await conn.execute("update psp_authorization set session_id = $1 where id = $2", session_id, authorization_id)
    await conn.execute(
        """insert into bill (id, session_id, station_id, provider_id, driver_id, tariff_id, tariff_version,
               terms_version, means, psp, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor,
               not_charged_minor, operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at,
               shares_by, site_id, host_minor)
           values ($1, $2, 'CP-1', 'P', 'D', 'T', 1, 1, 'psp', 'social', 'KRW', $3, $4, 12345, 3600, $5, 636, 0, $6,
               64, $7, '[]', '{}', $4, $8, 'site', $9)""",
        bill_id,
        session_id,
        START,
        ended_at,
        FEE,
        operator_minor,
        FEE - operator_minor - host_minor,
        shares_by,
        host_minor,
    )
    held = f"session:{session_id}:held"
    if policy == "pay_before_refund_rest":
        await post(conn, f"authorization/{authorization_id}/paid", "psp:social:clearing", held, HOLD)
        moves = [(1, 1, held, "psp:social:refunds", "KRW", HOLD - FEE)]
    else:
        moves = [(1, 1, "psp:social:receivable", held, "KRW", FEE)]
    if operator_minor + host_minor < FEE:
        moves.append((1, 2, held, "provider:P:payable", "KRW", FEE - operator_minor - host_minor))
    if host_minor:
        moves.append((1, 4, held, "site:site:payable", "KRW", host_minor))
    if operator_minor:
        moves.append((1, 3, held, "operator:fee", "KRW", operator_minor))
    posting = (uuid4(), f"session/{session_id}/settle", "settle", str(session_id), ended_at)
    assert await conn.fetchval("select post($1::posting_in[], $2::transfer_in[])", [posting], moves) == ["posted"]
    payload = json.dumps({"bill": str(bill_id), "session": str(session_id), "station": "CP-1"})
    subject_key = f"session/{session_id}"
    await insert_job(conn, "psp.collect", f"{subject_key}/collect", subject_key, payload)
    if policy == "pay_before_refund_rest":
        rest = {"session": str(session_id), "authorization": str(authorization_id), "minor": HOLD - FEE}
        await insert_job(conn, "psp.refund_rest", f"{subject_key}/refund_rest", subject_key, json.dumps(rest))
    return Scene(session_id, bill_id, psp_ref, subject)


async def post(conn: Connection, key: str, debit: str, credit: str, minor: int) -> None:
    """One transfer, as another part of the system makes it."""
    posting, transfer = (uuid4(), key, "test", key, START), (1, 1, debit, credit, "KRW", minor)
    assert await conn.fetchval("select post($1::posting_in[], $2::transfer_in[])", [posting], [transfer]) == ["posted"]


async def paid_payment(
    conn: Connection, psp: Social, amount_minor: int = HOLD, currency: str = "KRW"
) -> tuple[UUID, str]:
    """A payment of driver D that stands at the psp and here, in the balance: (id, the psp's name)."""
    id_ = uuid4()
    ask = Ask(id_, "CP-1", "social", "issuer", f"payer-{id_}", amount_minor, currency, "pay_before_refund_rest")
    answer = await psp.authorize(ask_key(id_), ask)
    assert answer.psp_ref is not None
    await conn.execute(
        "insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)"
        " values ($1, 'social', $2, 'D', 'top_up', $3, $4, $5)",
        id_,
        answer.psp_ref,
        amount_minor,
        currency,
        START,
    )
    await post(conn, f"top-up/{id_}", "psp:social:clearing", "driver:D:balance", amount_minor)
    return id_, answer.psp_ref


async def begun_refund(conn: Connection, payment_id: UUID, minor: int) -> UUID:
    """A refund out of the driver's balance, on its way."""
    id_ = uuid4()
    await conn.execute(
        "select begin_refund($1, $2, $3, null, null, 'asked for', 'staff', $4)", id_, payment_id, minor, START
    )
    await post(conn, f"refund/{id_}/begun", "driver:D:balance", "psp:social:refunds", minor)
    return id_


async def insert_job(conn: Connection, kind: str, key: str, subject: str, payload: str) -> None:
    """A row of the outbox."""
    await conn.execute(
        "insert into outbox (id, kind, key, subject, payload) values ($1, $2, $3, $4, $5)",
        uuid4(),
        kind,
        key,
        subject,
        payload,
    )


async def insert_void(conn: Connection, authorization_id: UUID) -> None:
    """The job to release an authorization, as the rules write it."""
    errand = errands.void(authorization_id)
    await insert_job(conn, errand.kind, errand.key, errand.subject, json.dumps(errand.payload))


def adapter(social: SocialProcess, call_s_max: float = 30.0) -> Social:
    """The psp `social` at the test's server."""
    return Social(SocialSettings(social.url, SECRET, social.url, call_s_max=call_s_max))


def outside_of(
    pool: Pool, psp: Social, at_point: Callable[[str], None] = lambda name: None, notifier: Notifier | None = None
) -> Outside:
    """What jobs work with here."""
    return Outside(
        pool,
        {"social": psp},
        {"social": OPERATOR_ACCOUNT},
        lambda: START + timedelta(hours=2),
        random.Random(1),
        at_point,
        back_off_s=0.001,
        notifier=notifier,
    )


@asynccontextmanager
async def working(
    pool: Pool,
    psp: Social,
    at_point: Callable[[str], None] = lambda name: None,
    notifier: Notifier | None = None,
    more: Mapping[str, Task] = MappingProxyType({}),
) -> AsyncIterator[Worker]:
    """A worker on the outbox that hardly waits between attempts."""
    outside = outside_of(pool, psp, at_point, notifier)
    worker = Worker(outside, tasks={**TASKS, **SETTLING, **NEWS, **more}, lease_s=0.5, poll_s=0.01)
    worker.start()
    try:
        yield worker
    finally:
        await worker.close()


async def drained(conn: Connection, s_max: float = 20.0) -> None:
    """Returns when no job waits any more."""
    async with asyncio.timeout(s_max):
        while True:
            if not await conn.fetchval("select exists (select from outbox where state = 'waiting')"):
                return
            await asyncio.sleep(0.005)


async def until(conn: Connection, statement: str, s_max: float = 10.0) -> None:
    """Returns when a statement answers true."""
    async with asyncio.timeout(s_max):
        while True:
            if await conn.fetchval(statement):
                return
            await asyncio.sleep(0.005)


async def balances(conn: Connection) -> dict[str, int]:
    """Every account that is not empty, credits minus debits."""
    rows = await conn.fetch("select address, balance from account_balance where balance <> 0")
    return {row["address"]: row["balance"] for row in rows}


async def at_psp(social: SocialProcess, operation: str, **named: object) -> list[dict[str, Any]]:
    """The psp's own entries of an operation that carry these facts."""
    return [
        entry
        for entry in await social.journal()
        if entry["operation"] == operation and all(entry.get(name) == value for name, value in named.items())
    ]


async def effects(social: SocialProcess, scene: Scene) -> list[tuple[str, int]]:
    """All that the psp did to this session's driver: (operation, amount), without asking and storing means."""
    entries = await social.journal()
    payments = {
        entry["payment_key"] for entry in entries if entry.get("subject") == scene.subject and "payment_key" in entry
    }
    return [
        (entry["operation"], amount_of(entry))
        for entry in entries
        if entry["operation"] in ("capture", "charge", "cancel", "settle", "refund")
        and entry["payment_key"] in payments
        and entry.get("status") != "ABORTED"
    ]


def amount_of(entry: dict[str, Any]) -> int:
    """The money an effect moved."""
    return int(entry["fee"] if entry["operation"] == "settle" else entry["amount"])
