"""A provider whose bills are issued by hand, for the tests of the statement run: rows and postings as by the road."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from csms.domain import ledger
from csms.flows import books, settlements

NOVEMBER = (date(2026, 11, 1), date(2026, 12, 1))
DECEMBER = (date(2026, 12, 1), date(2027, 1, 1))
JANUARY = (date(2027, 1, 1), date(2027, 2, 1))
LATER = datetime(2027, 6, 1, tzinfo=UTC)
IN_NOVEMBER = datetime(2026, 11, 10, 12, tzinfo=UTC)
MAKER, CHECKER = "client-maker", "client-checker"


def day(month: int, number: int, hour: int = 12) -> datetime:
    """An instant of 2026."""
    return datetime(2026, month, number, hour, tzinfo=UTC)


async def provider(
    conn: Any, id_: str = "P", *, accounts: dict[str, str] | None = None, payout_psp: str | None = None,
    zone: str = "UTC", minimums: dict[str, int] | None = None,
) -> None:  # fmt: skip
    """A provider that gets nine tenths of every fee."""
    async with conn.transaction():
        await conn.execute(
            "insert into provider (id, name, psp_accounts, terms_version, created_at) values ($1, $2, $3, 1, $4)",
            id_,
            f"Provider {id_}",
            json.dumps(accounts or {}),
            day(1, 1),
        )
        await conn.execute(
            "insert into provider_terms (provider_id, version, operator_bp, created_at) values ($1, 1, 1000, $2)",
            id_,
            day(1, 1),
        )
    await settlements.set_terms(conn, id_, zone, minimums or {}, payout_psp)


async def bill(
    conn: Any,
    minor: int,
    at: datetime = IN_NOVEMBER,
    *,
    provider_id: str = "P",
    shares_by: str = "run",
    currency: str = "KRW",
    of: UUID | None = None,
    station: str = "S1",
    host: int = 0,
) -> tuple[UUID, UUID]:
    """
    A bill whose provider share is `minor` (a credit when it is below zero, of session `of`); answers (bill, session).

    The operator's share is a tenth more, `host` that of a host, and the provider's share is posted to its account.
    """
    id_, session = books.new_id(), of or books.new_id()
    revision = 1 + await conn.fetchval("select count(*) from bill where session_id = $1", session)
    charge = None
    if minor < 0:
        charge = await conn.fetchval("select id from bill where session_id = $1 and kind = 'charge'", session)
    operator = minor // 10
    await conn.execute(
        """insert into bill (id, session_id, revision, station_id, provider_id, driver_id, tariff_id, tariff_version,
               terms_version, means, psp, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor,
               not_charged_minor, operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at, kind,
               corrects, shares_by, site_id, host_minor)
           values ($1, $2, $3, $4, $5, 'D', 'T', 1, 1, $6, $7, $8, $9, $9, 0, 0, $10, 0, 0, $11, 0, $12, '[]', '{}',
               $9, $13, $14, $15, case when $16 <> 0 then 'site' end, $16)""",
        id_, session, revision, station, provider_id, "psp" if shares_by == "psp" else "balance",
        "social" if shares_by == "psp" else None, currency, at, minor + operator + host, operator, minor,
        "credit" if minor < 0 else "charge", charge, shares_by, host,
    )  # fmt: skip
    payable = ledger.provider_payable(provider_id)
    move = ("test:driver", payable, minor) if minor > 0 else (payable, "test:driver", -minor)
    await books.post(conn, f"session/{session}/bill/{revision}", "settle", str(session), at, currency, move)
    if shares_by == "psp":
        await _settle_job(conn, session, id_, minor, operator + host, currency, at)
    return id_, session


async def _settle_job(
    conn: Any, session: UUID, bill_id: UUID, minor: int, to_operator: int, currency: str, at: datetime
) -> None:
    await conn.execute(
        "insert into outbox (id, kind, key, subject, payload) values ($1, 'psp.settle', $2, $3, $4)",
        books.new_id(),
        f"session/{session}/remit",
        f"session/{session}",
        json.dumps({"bill": str(bill_id), "session": str(session)}),
    )
    await conn.execute(
        "insert into remittance_item (bill_id, payee, psp, account, amount_minor, currency, state, at)"
        " select $1, p.payee, 'social', 'a', p.minor, $3, 'submitted', $4"
        " from (values ('provider:P', $2::bigint), ('operator', $5)) p (payee, minor) where p.minor > 0",
        bill_id,
        minor,
        currency,
        at,
        to_operator,
    )


async def psp_said(conn: Any, session: UUID, word: str) -> None:
    """What became of the settlement message of a session: `paid`, `failed` for good, or `unknown` and given up."""
    bill_id, minor, currency = await conn.fetchrow(
        "select id, provider_minor, currency from bill where session_id = $1 and revision = 1", session
    )
    state = {"paid": "done"}.get(word, "given_up")
    await conn.execute("update outbox set state = $2 where key = $1", f"session/{session}/remit", state)
    if word == "unknown":
        return
    await conn.execute("update remittance_item set state = $2, psp_ref = 's-1' where bill_id = $1", bill_id, word)
    if word == "paid":
        move = (ledger.provider_payable("P"), "psp:social:clearing", minor)
        await books.post(conn, f"session/{session}/remitted", "remitted", str(session), day(11, 11), currency, move)


async def draft(conn: Any, period: tuple[date, date] = NOVEMBER, provider_id: str = "P") -> UUID:
    """A statement drafted by the maker."""
    id_, _ = await settlements.draft(conn, provider_id, *period, MAKER, LATER)
    return id_


async def settle(conn: Any, period: tuple[date, date] = NOVEMBER, provider_id: str = "P") -> UUID:
    """A statement drafted by the maker and approved by the checker, whatever the psps' statements say."""
    id_ = await draft(conn, period, provider_id)
    await settlements.approve(conn, id_, CHECKER, LATER, accept_differences=True)
    return id_


async def total(conn: Any, statement_id: UUID, currency: str = "KRW") -> Any:
    """What a statement comes to."""
    return await conn.fetchrow(
        "select * from statement_sum where statement_id = $1 and currency = $2", statement_id, currency
    )


async def payable(conn: Any, provider_id: str = "P", currency: str = "KRW") -> int:
    """What the ledger says we owe a provider."""
    balance: int | None = await conn.fetchval(
        "select balance from account_balance where address = $1 and asset = $2",
        ledger.provider_payable(provider_id),
        currency,
    )
    return balance or 0
