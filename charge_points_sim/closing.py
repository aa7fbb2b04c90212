"""The last act of the demo: staff give a driver something back, and settle with the providers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from charge_points_sim.agreement import money
from charge_points_sim.prices import CURRENCY
from charge_points_sim.provision import TIME_ZONE, provider_of
from charge_points_sim.rest import Rest, RestError
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.terminal import Terminal

GIVEN_BACK_MINOR = 100
PAID_S_MAX = 180
PERIOD_MAX = timedelta(days=366)
"""Of one statement; what is older and on none comes with it."""


async def close_books(terminal: Terminal, staff: Rest, approver: Rest, charges: Sequence[Charge]) -> bool:
    """Tells it; True if everything went as it should. Raises `RestError`."""
    credit = await _give_back(staff)
    shares = f"{money(-credit['operator_share']['minor'])} of the operator, {money(-credit['provider_share']['minor'])}"
    terminal.step(
        f"{money(GIVEN_BACK_MINOR)} of a charge goes back to its driver: {shares} of the provider; a credit says so"
    )
    end = _day(max(charge.departure for charge in charges))
    first = max(_day(min(charge.arrival for charge in charges)), end - PERIOD_MAX)
    drafts = [await _draft(staff, site, first, end) for site in sorted({charge.site for charge in charges})]
    terminal.step(f"statements of {first} to before {end}, {TIME_ZONE}, are drafted, and compared with the psp's")
    refused = all([await _is_refused(staff, draft) for draft in drafts])
    approved = [await _approve(approver, draft) for draft in drafts]
    paid = await _paid(approver, len(approved))
    rows, agrees = [], True
    for statement in approved:
        sums = statement["sums"][0]
        remitted = sum(r["amount"]["minor"] for r in paid if r["settlement"] == statement["id"])
        agrees = agrees and remitted == sums["due"]["minor"] == sums["remitted"]["minor"]
        amounts = [sums[name]["minor"] for name in ("fees", "provider_share", "by_psp", "due")]
        rows.append([statement["provider"], str(sums["charges"]), *map(money, [*amounts, remitted])])
    terminal.table(
        ["provider", "bills", "fees", "provider's share", "paid per bill", "due now", "remitted"],
        rows,
        ["together", *(_sum(rows, place) for place in range(1, 7))],
    )
    open_lines = sum(statement["differences"]["lines_open"] for statement in approved[:1])
    terminal.verdict(open_lines == 0, f"the psp's statement and our books differ in {open_lines} lines")
    terminal.verdict(refused, "who drafted a statement could not approve it; somebody else did")
    terminal.verdict(agrees, f"each provider was paid what was due, once, in {CURRENCY}")
    return refused and agrees and open_lines == 0


async def _give_back(staff: Rest) -> dict[str, Any]:
    """A goodwill refund of the first prepaid charge that cost enough."""
    bills = [bill for bill in await staff.all("/bills") if bill["means"] == "balance"]
    bill = min(
        (bill for bill in bills if bill["total"]["minor"] > GIVEN_BACK_MINOR), key=lambda bill: str(bill["issued_at"])
    )
    body = {"amount": {"currency": CURRENCY, "minor": GIVEN_BACK_MINOR}, "reason": "the cable was too short"}
    credit: dict[str, Any] = await staff.post(f"/bills/{bill['id']}/refunds", body, key=f"demo-{bill['id']}")
    return credit


async def _draft(staff: Rest, site: str, first: date, end: date) -> dict[str, Any]:
    provider = provider_of(site)
    terms = {"time_zone": TIME_ZONE, "payout_psp": "social"}
    await staff.call("PUT", f"/providers/{provider}/settlement-terms", terms)
    body = {"provider": provider, "from": str(first), "to": str(end)}
    draft: dict[str, Any] = await staff.post("/settlements", body, key=f"demo-{provider}")
    return draft


async def _is_refused(staff: Rest, draft: dict[str, Any]) -> bool:
    """Whether the drafter cannot approve."""
    try:
        await staff.post(f"/settlements/{draft['id']}/approve", None, key=f"alone-{draft['id']}")
    except RestError as error:
        return error.status == 403
    return False


async def _approve(approver: Rest, draft: dict[str, Any]) -> dict[str, Any]:
    """Once the psp's statements of its days were read; the system does that by itself."""
    deadline_s = time.monotonic() + PAID_S_MAX
    while True:
        now: dict[str, Any] = await approver.get(f"/settlements/{draft['id']}")
        if now["differences"]["days_waiting"] == 0 or time.monotonic() > deadline_s:
            break
        await asyncio.sleep(0.2)
    path = f"/settlements/{draft['id']}/approve"
    approved: dict[str, Any] = await approver.post(path, None, key=f"demo-{draft['id']}")
    return approved


async def _paid(approver: Rest, count: int) -> list[dict[str, Any]]:
    """The remittances that were paid, waited for."""
    deadline_s = time.monotonic() + PAID_S_MAX
    while True:
        paid = [item for item in await approver.all("/remittances") if item["state"] == "paid"]
        if len(paid) >= count or time.monotonic() > deadline_s:
            return paid
        await asyncio.sleep(0.2)


def _day(at: int) -> date:
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(TIME_ZONE)).date()


def _sum(rows: Sequence[Sequence[str]], place: int) -> str:
    """The sum of a column of the table, in its own form."""
    if place == 1:
        return str(sum(int(row[place]) for row in rows))
    return money(sum(round(float(row[place].replace(",", "")) * 100) for row in rows))
