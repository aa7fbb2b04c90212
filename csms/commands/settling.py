"""`csms settle`: draft the statement of a provider's period. Another person approves it, over REST."""

from __future__ import annotations

import argparse
import getpass
import json
from datetime import UTC, date, datetime

from csms.base.errors import Refused
from csms.base.money import Money, decimal_text
from csms.commands.database import connected
from csms.config import Settings
from csms.db import Record
from csms.domain.statement import month
from csms.flows import audit, settlements
from csms.flows.settlements import Statement


async def settle(settings: Settings, arguments: argparse.Namespace) -> int:
    """Draft the statement, or find it when it is there; prints what it comes to."""
    first, end = _period(arguments)
    now, who = datetime.now(UTC), f"command line of {getpass.getuser()}"
    async with connected(settings, create=False) as conn:
        async with conn.transaction():
            id_, is_new = await settlements.draft(conn, arguments.provider, first, end, who, now)
            if is_new:
                told = {"provider": arguments.provider, "settlement": str(id_)}
                await audit.append(conn, audit.Event(now, who, None, None, "RUN", "settle", told, None, "-"), 201)
        statement = await settlements.show(conn, id_)
    if arguments.json:
        print(json.dumps(_document(statement, is_new)))
        return 0
    row = statement.row
    print(f"{row['state']} {id_}{'' if is_new else ' (was there already)'}")
    print(f"{row['provider_name']}, {row['from_day']} to before {row['to_day']} ({row['time_zone']})")
    for total in statement.sums:
        _print(total)
    if not statement.sums:
        print("nothing was billed in this period")
    if row["state"] == "draft":
        print(f"another client approves it: POST /api/v1/settlements/{id_}/approve")
    return 0


def _period(arguments: argparse.Namespace) -> tuple[date, date]:
    if arguments.month is not None:
        if arguments.since is not None or arguments.until is not None:
            raise Refused("give --month, or --from and --to")
        return month(arguments.month)
    if arguments.since is None or arguments.until is None:
        raise Refused("give --month, or --from and --to")
    return _day(arguments.since, "from"), _day(arguments.until, "to")


def _day(text: str, flag: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(f"--{flag} {text[:20]!r} is not a day such as 2026-11-01") from None


LINES = (
    ("carried over", "opening_minor"),
    ("fees", "fees_minor"),
    ("VAT in them", "vat_minor"),
    ("operator's share", "operator_minor"),
    ("provider's share", "provider_minor"),
    ("hosts' share", "host_minor"),
    ("of it paid by psps", "by_psp_minor"),
    ("adjustments", "adjustments_minor"),
    ("amount due", "due_minor"),
    ("remitted once approved", "remitted_minor"),
    ("carried to the next", "carried_minor"),
)


def _print(total: Record) -> None:
    print(f"{total['charges']} charges, {total['credits']} credits, {total['energy_wh']} Wh")
    for label, column in LINES:
        print(f"  {label:24}{decimal_text(total[column], total['currency']):>18} {total['currency']}")


def _document(statement: Statement, is_new: bool) -> dict[str, object]:
    row = statement.row
    return {
        "settlement": str(row["id"]),
        "new": is_new,
        "provider": row["provider_id"],
        "from": str(row["from_day"]),
        "to": str(row["to_day"]),
        "state": row["state"],
        "sums": [
            {"currency": total["currency"]}
            | {column.removesuffix("_minor"): Money(total[column], total["currency"]).as_json() for _, column in LINES}
            for total in statement.sums
        ],
    }
