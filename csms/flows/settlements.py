"""
The statement run: a period's bills are frozen on a draft, a second person approves it, then it is remitted.

Who pays a bill's shares was fixed when it was issued. What a psp pays per bill is listed and not due. Only
when its psp has finally failed does the run take a share over, as an adjustment; when the psp turns out to
have paid all the same, the next statement takes it back. What is not remitted is carried over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from csms.base.clock import rfc3339
from csms.base.errors import Conflict, CsmsError, NotFound, Refused
from csms.base.ids import CHOSEN_ID
from csms.base.money import MINOR_MAX, SCALES
from csms.db import SQL, Connection, Record
from csms.domain import statement as rules
from csms.flows import books, remittances
from csms.flows.parties import check_zone

RECONCILED_DAYS_MAX = rules.PERIOD_DAYS_MAX + 2
RECENT_DAYS = 7
"""For so long a psp's statement of a day is asked for without anybody's doing."""


class NeedsAnother(CsmsError):
    """The one who drafted a statement cannot approve it."""


@dataclass(frozen=True, slots=True)
class Differences:
    """
    How far our books and the psps' statements of the period were compared.

    `days_waiting` are being read, `days_unavailable` could not be; `lines_open` do not match.
    """

    days_waiting: int
    days_unavailable: int
    lines_open: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it is stored: its row, its sums by currency, and, for the operator, what was compared."""

    row: Record
    sums: tuple[Record, ...]
    differences: Differences | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How a provider is settled. `minimums`: currency -> the least that is remitted, in minor units."""

    provider: str
    time_zone: str
    minimums: Mapping[str, int]
    payout_psp: str | None


async def terms(conn: Connection, provider_id: str) -> Terms:
    """How a provider is settled; NotFound when there is none."""
    row = await SQL.show_settlement_terms.one(conn, provider_id)
    if row is None:
        raise NotFound(f"there is no provider {provider_id}")
    return Terms(row["id"], row["time_zone"], json.loads(row["remittance_minimums"]), row["payout_psp"])


async def set_terms(
    conn: Connection, provider_id: str, time_zone: str, minimums: Mapping[str, int], payout_psp: str | None
) -> None:
    """How a provider is settled from its next statement on. `minimums`: currency -> the least that is remitted."""
    check_zone(time_zone, "/time_zone")
    for currency, minor in minimums.items():
        if currency not in SCALES:
            raise Refused(f"the currency {currency!r} is not known", f"/minimums/{currency}")
        if not 0 <= minor <= MINOR_MAX:
            raise Refused("the least that is remitted is 0 or more", f"/minimums/{currency}")
    if payout_psp is not None and not CHOSEN_ID.fullmatch(payout_psp):
        raise Refused("this is no name of a psp", "/payout_psp")
    done = await SQL.set_settlement_terms.run(conn, provider_id, time_zone, json.dumps(dict(minimums)), payout_psp)
    if done == "UPDATE 0":
        raise NotFound(f"there is no provider {provider_id}")


async def draft(
    conn: Connection, provider_id: str, from_day: date, to_day: date, by: str, now: datetime
) -> tuple[UUID, bool]:
    """
    Draft the statement of the days `from_day` to before `to_day`; answers its id, and whether it is new.

    The same period again is the same statement. Bills of earlier days that are on no statement belong to
    it too, as late ones. Refused while the period is not over; Conflict while an earlier draft stands, and
    when the period begins before the last statement ends.
    """
    async with conn.transaction():
        provider = await SQL.lock_provider_to_settle.one(conn, provider_id)  # two runs at once: the second waits here
        if provider is None:
            raise NotFound(f"there is no provider {provider_id}")
        period = rules.period(from_day, to_day, provider["time_zone"])
        if (standing := await SQL.statement_of_period.value(conn, provider_id, from_day, to_day)) is not None:
            await _compare(conn, standing, period)  # days that could not be read are asked for again
            return standing, False
        if now < period.ends_at:
            raise Refused(f"the period is not over before {rfc3339(period.ends_at)}", "/to")
        last = await SQL.last_statement.one(conn, provider_id)
        _follows(last, from_day)
        id_ = books.new_id()
        await SQL.add_statement.run(
            conn, id_, provider_id, period.zone, from_day, to_day, period.starts_at, period.ends_at, by, now
        )
        await SQL.freeze_bills.run(conn, id_, provider_id, period.starts_at, period.ends_at)
        await SQL.lock_shares.value(conn, provider_id)
        await SQL.take_over_failed_shares.run(conn, id_, provider_id)
        await SQL.take_back_late_shares.run(conn, id_, provider_id)
        await SQL.charge_gifts.run(conn, id_)
        minimums: dict[str, int] = json.loads(provider["remittance_minimums"])
        for row in await SQL.add_up_statement.many(conn, id_, last and last["id"]):
            due = rules.close(
                row["opening_minor"], row["by_run_minor"], row["adjustments_minor"], minimums.get(row["currency"], 0)
            )
            await SQL.add_statement_sum.run(
                conn, id_, provider_id, *row, due.due_minor, due.remitted_minor, due.carried_minor
            )
        await _compare(conn, id_, period)
    return id_, True


async def _compare(conn: Connection, statement_id: UUID, period: rules.Period) -> None:
    """Have the statements of the psps that collected its bills read."""
    for psp in await SQL.psps_of_statement.many(conn, statement_id):
        await ask_reconciliations(conn, psp["psp"], *_days(period.starts_at, period.ends_at))


def _follows(last: Record | None, from_day: date) -> None:
    if last is None:
        return
    if last["state"] == "draft":
        raise Conflict(f"the draft {last['id']} stands; approve or cancel it first")
    if from_day < last["to_day"]:
        raise Conflict(
            f"the last statement ends with the day before {last['to_day']}; later bills of its days come with the next"
        )


async def ask_reconciliations(conn: Connection, psp: str, first: date, last: date, again: bool = False) -> None:
    """Have a psp's statements read, of the days from `first` to `last` (UTC); those that were read only `again`."""
    count = (last - first).days + 1
    if not 0 < count <= RECONCILED_DAYS_MAX:
        raise Refused(f"ask for 1 to {RECONCILED_DAYS_MAX} days at a time", "/to")
    days = [first + timedelta(days=n) for n in range(count)]
    await SQL.ask_reconciliations.run(conn, psp, days, [books.new_id() for _ in days], again)


async def ask_recent(conn: Connection, psps: Sequence[str], today: date) -> int:
    """
    Have the statements read of the last days, before `today` (UTC), on which money of ours moved at a psp.

    Days that were read are left out, those that could not be read are asked for again. Answers how many.
    """
    midnight = datetime.combine(today, time.min, UTC)
    rows = await SQL.days_to_reconcile.many(conn, list(psps), midnight - timedelta(days=RECENT_DAYS), midnight)
    for row in rows:
        await ask_reconciliations(conn, row["psp"], row["day"], row["day"])
    return len(rows)


async def approve(
    conn: Connection, statement_id: UUID, by: str, now: datetime, accept_differences: bool = False
) -> None:
    """
    Approve a draft and remit what is due: the second person's word.

    NeedsAnother for the client that drafted it. Conflict when it is no draft any more, when a psp paid
    what it takes over meanwhile, and, unless `accept_differences`, when the psps' statements do not
    agree with our books, or were not read yet.
    """
    async with conn.transaction():
        provider = await SQL.show_statement.one(conn, statement_id)
        if provider is None:
            raise NotFound("there is no such statement")
        terms: Record = await SQL.lock_provider_to_settle.one(conn, provider["provider_id"])
        row: Record = await SQL.lock_statement.one(conn, statement_id)
        if row["drafted_by"] == by:
            raise NeedsAnother("who drafted a statement does not approve it; another client has to")
        if row["state"] != "draft":
            raise Conflict(f"this statement is {row['state']}")
        if late := await SQL.late_shares_of_statement.many(conn, statement_id):
            raise Conflict(f"a psp paid bill {late[0]['bill_id']} meanwhile; cancel this draft and draft again")
        if not accept_differences:
            _agree(await _differences(conn, row))
        await SQL.approve_statement.run(conn, statement_id, by, now)
        sums = await SQL.sums_of_statements.many(conn, [statement_id])
        for due in sums:
            await _note_negative(conn, row, due, now)
            if due["remitted_minor"]:
                await remittances.begin(
                    conn, statement_id, row["provider_id"], due["currency"], due["remitted_minor"],
                    terms["payout_psp"], terms["payout_account"], by, now,
                )  # fmt: skip
        await _tell(conn, row, sums, now)


async def _tell(conn: Connection, row: Record, sums: Sequence[Record], now: datetime) -> None:
    """`statement.ready`, to those who want to know."""
    body: dict[str, object] = {
        "statement": str(row["id"]),
        "provider": row["provider_id"],
        "from": str(row["from_day"]),
        "to": str(row["to_day"]),
        "due": [{"minor": due["due_minor"], "currency": due["currency"]} for due in sums],
    }
    await books.tell(conn, f"statement/{row['id']}", "statement.ready", row["provider_id"], None, body, now)


def _agree(found: Differences) -> None:
    """Conflict when the psps' statements leave a question open."""
    if found.days_waiting:
        raise Conflict(f"{found.days_waiting} days of the psps' statements are still being read; try again soon")
    if found.lines_open or found.days_unavailable:
        raise Conflict(
            f"{found.lines_open} lines of the psps' statements do not match and {found.days_unavailable} days could"
            " not be read (GET /api/v1/reconciliation-lines); approve with accept_differences=true if you know why"
        )


async def _note_negative(conn: Connection, row: Record, due: Record, now: datetime) -> None:
    if due["due_minor"] >= 0:
        await SQL.resolve_negative_statement.run(conn, row["provider_id"], due["currency"], now)
        return
    details: dict[str, object] = {
        "provider": row["provider_id"], "currency": due["currency"], "due_minor": due["due_minor"],
        "statement": str(row["id"]),
    }  # fmt: skip
    await books.list_exception(conn, "negative_statement", f"statement/{row['id']}/{due['currency']}", details, now)


async def cancel(conn: Connection, statement_id: UUID, by: str, now: datetime) -> None:
    """Give a draft up; its bills are free for another. Conflict when it is no draft any more."""
    async with conn.transaction():
        row = await SQL.lock_statement.one(conn, statement_id)
        if row is None:
            raise NotFound("there is no such statement")
        if row["state"] != "draft":
            raise Conflict(f"this statement is {row['state']}; only a draft can be cancelled")
        await SQL.cancel_statement.run(conn, statement_id, by, now)


async def show(conn: Connection, statement_id: UUID, compared: bool = True) -> Statement:
    """A statement with its sums; NotFound when there is none. What was `compared` is not for a provider to see."""
    row = await SQL.show_statement.one(conn, statement_id)
    if row is None:
        raise NotFound("there is no such statement")
    sums = await SQL.sums_of_statements.many(conn, [statement_id])
    return Statement(row, tuple(sums), await _differences(conn, row) if compared else None)


async def _differences(conn: Connection, row: Record) -> Differences:
    psps = [found["psp"] for found in await SQL.psps_of_statement.many(conn, row["id"])]
    first, last = _days(row["starts_at"], row["ends_at"])
    found: Record = await SQL.differences_of_statement.one(conn, psps, first, last, row["starts_at"], row["ends_at"])
    return Differences(*found)


def _days(starts_at: datetime, ends_at: datetime) -> tuple[date, date]:
    """The first and the last day in UTC of a period."""
    return starts_at.astimezone(UTC).date(), (ends_at - timedelta(microseconds=1)).astimezone(UTC).date()
