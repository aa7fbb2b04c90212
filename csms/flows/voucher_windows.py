"""Windows of sold vouchers at sites with limited power: what they are expected to draw, and whether one more fits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from csms.db import SQL, Connection, Record
from csms.domain import voucher_terms
from csms.domain import voucher_windows as windows
from csms.domain.voucher_terms import Terms
from csms.domain.voucher_windows import Load, Sold


def terms_of(product: Record) -> Terms:
    """A product's effect and conditions."""
    told = {name: None if product[name] is None else json.loads(product[name]) for name in ("effect", "conditions")}
    return voucher_terms.read(told["effect"], told["conditions"], product["unit"])


async def loads(conn: Connection, sites: Sequence[str], now: datetime) -> dict[str, Load]:
    """What valid vouchers that name these sites, a station or tag of them, are expected to draw; W by half hours."""
    sold: dict[str, list[Sold]] = {}
    for row in await SQL.sold_windows.many(conn, list(sites), now):
        conditions = terms_of(row).conditions
        one = Sold(conditions, row["amount"], windows.days_of(conditions, row["valid_days"]), row["sold"])
        sold.setdefault(row["site_id"], []).append(one)
    return {site: windows.load(found) for site, found in sold.items()}


async def full_site(conn: Connection, product: Record, now: datetime, *, sells: bool = False) -> str | None:
    """
    A site that this product names, itself, by a station or by a tag, and whose window one voucher more would overfill.

    Who `sells` one in this transaction keeps others from selling there until it ends.
    """
    conditions = terms_of(product).conditions
    if product["unit"] != "wh" or not conditions.has_places():
        return None
    more = Sold(conditions, product["amount"], windows.days_of(conditions, product["valid_days"]))
    places = (sorted(conditions.sites), sorted(conditions.stations), sorted(conditions.tags))
    rows = await SQL.limited_sites.many(conn, *places)
    if sells:
        await SQL.lock_windows.many(conn, [row["id"] for row in rows])
    standing = await loads(conn, [row["id"] for row in rows], now)
    full = (
        row["id"] for row in rows if windows.is_full(standing.get(row["id"], windows.EMPTY), more, row["power_cap_w"])
    )
    return next(full, None)
