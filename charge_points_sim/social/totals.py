"""The journal as others read it: page by page, and added up."""

from __future__ import annotations

from collections.abc import Mapping

from charge_points_sim.social.state import Json, State

JOURNAL_PAGE_MAX = 10_000


def journal_page(state: State, query: Mapping[str, str]) -> Json:
    """Entries after number `after` (0: from the first), at most `limit`; `next` is None at the end."""
    try:
        after, limit = int(query.get("after", "0")), int(query.get("limit", str(JOURNAL_PAGE_MAX)))
    except ValueError:
        return {"entries": [], "next": None}
    after, limit = max(after, 0), min(max(limit, 1), JOURNAL_PAGE_MAX)
    entries = state.entries[after : after + limit]
    end = after + len(entries)
    return {"entries": entries, "next": end if end < len(state.entries) else None}


def journal_totals(state: State) -> Json:
    """What all effects add up to: counts per operation, money taken, held and given back, remitted per seller."""
    counts: dict[str, int] = {}
    remitted: dict[str, int] = {}
    fees = 0
    for entry in state.entries:
        counts[entry["operation"]] = counts.get(entry["operation"], 0) + 1
        if entry["operation"] == "settle":
            fees += entry["fee"]
            for part in entry["remittances"]:
                remitted[part["seller"]] = remitted.get(part["seller"], 0) + part["amount"]
    payments = state.payments.values()
    return {
        "counts": counts,
        "declined": sum(payment.status == "ABORTED" for payment in payments),
        "held": sum(payment.amount for payment in payments if payment.status == "AUTHORIZED"),
        "captured": sum(payment.captured for payment in payments),
        "refunded": sum(payment.refunded for payment in payments),
        "settled": fees,
        "remitted": remitted,
    }
