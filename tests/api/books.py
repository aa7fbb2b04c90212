"""A small day on the road whose books have everything: balance, psp, nothing delivered, running, under review."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from csms.flows import chargebacks, receipts, remittances, settlements
from tests import make

DAY = make.NOON.date()
LATER = make.NOON + timedelta(days=30)

COLLECTED = """
select post(
    array[(gen_random_uuid(), 'session/' || b.session_id || '/collected', 'collected', b.session_id::text,
           b.issued_at)]::posting_in[],
    array[(1, 1, 'psp:social:clearing', 'psp:social:receivable', b.currency, b.total_minor)]::transfer_in[])
from bill b where b.means = 'psp'"""

REMITTED = """
insert into remittance_item (bill_id, payee, psp, account, amount_minor, currency, state, psp_ref, at)
select b.id, payee, 'social', 'seller-p', minor, b.currency, 'paid', 'settled-1', b.issued_at
from bill b
cross join lateral (values
    ('provider:' || b.provider_id, b.provider_minor), ('operator', b.operator_minor + b.host_minor))
    shares (payee, minor)
where b.means = 'psp'"""

JOBS_DONE = """
update outbox set state = 'done', done_at = now();
insert into outbox (id, kind, key, subject, payload, state)
select gen_random_uuid(), 'psp.settle', 'session/' || session_id || '/remit', 'session/' || session_id, '{}', 'done'
from bill where means = 'psp'"""


TOPPED_UP = """
insert into payment (id, psp, psp_ref, driver_id, kind, amount_minor, currency, at)
values ($1, 'social', 'pay-bob', 'bob', 'top_up', 10000, 'KRW', $2)"""


async def a_day(conn: Any, dsn: str) -> dict[str, UUID]:
    """
    The day, told to the road, and what the worker writes after it. Answers the sessions by what they are.

    Ann charges 10 kWh for 3,000 KRW, then plugs in for nothing; Sue pays 1,500 KRW through a psp; Bob's end is
    not plausible and is held for review; Ann's third session is running.
    """
    await make.seed(conn)
    await make.fund(conn, "bob", 40_000)
    async with make.Told(dsn) as told:
        await told.tell_apart([make.started("paid"), make.metered("paid"), make.ended("paid")])
        await told.tell_apart([make.started("idle", at=make.after(70)), make.ended("idle", minutes=80, wh=1000)])
        waiting = told.send(make.started("social", token=make.SUE, at=make.after(90), connector=2))
        await told.tell(make.metered("social", minutes=91, wh=1000))
        await told.tell(make.verdict(told.asks[0]))
        await waiting
        await told.tell(make.ended("social", minutes=150, wh=6000))
        await told.tell(make.started("odd", token=make.BOB, at=make.after(160), station_id="S2"))
        await told.tell(make.ended("odd", minutes=170, wh=90_000_000, station_id="S2"))
        await told.tell(make.started("running", at=make.after(180)))
    for statement in (COLLECTED, REMITTED, JOBS_DONE):
        await conn.execute(statement)
    return {row["ref"]: row["id"] for row in await conn.fetch("select ref, id from session")}


async def a_hosted_charge(conn: Any, dsn: str) -> UUID:
    """Sue pays 1,500 KRW through a psp, for electricity of the host of the site, who gets 300; answers the session."""
    await make.seed(conn)
    async with make.Told(dsn) as told:
        waiting = told.send(make.started("hosted", token=make.SUE, connector=2))
        await told.tell(make.metered("hosted", minutes=1, wh=1000))
        await told.tell(make.verdict(told.asks[0]))
        await waiting
    await conn.execute("update site set host_bp = 2000, host_name = 'Kim'; update session set host_bp = 2000")
    async with make.Told(dsn) as told:
        await told.tell(make.ended("hosted", wh=6000))
    for statement in (COLLECTED, REMITTED, JOBS_DONE):
        await conn.execute(statement)
    session: UUID = await conn.fetchval("select id from session")
    return session


async def settled(conn: Any) -> None:
    """The statement of that day, approved by a second person and paid by hand; two chargebacks; a tax invoice."""
    statement_id, _ = await settlements.draft(conn, "P", DAY, DAY + timedelta(days=1), "maker", LATER)
    await settlements.approve(conn, statement_id, "checker", LATER, accept_differences=True)
    for row in await conn.fetch("select id from remittance"):
        await remittances.mark_paid(conn, row["id"], "bank-1", "checker", LATER)
    await conn.execute("update outbox set state = 'done', done_at = now() where kind = 'psp.reconcile'")
    await conn.execute(TOPPED_UP, make.new_id(), LATER)
    await chargebacks.opened(conn, "social", "dispute-1", "pay-bob", 500, "KRW", LATER)
    await chargebacks.opened(conn, "social", "dispute-2", "pay-unknown", 500, "KRW", LATER)
    bill = await conn.fetchval("select id from bill where means = 'balance' and total_minor > 0")
    await receipts.number(conn, bill, "maker", LATER)
