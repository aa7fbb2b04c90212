"""The tagged outlets of sites: a portable charger that is plugged into one takes the electricity of the site's host."""

from __future__ import annotations

from datetime import datetime

from csms.base.errors import Conflict, NotFound
from csms.db import SQL, Connection, Record


async def add(conn: Connection, site_id: str, tag: str, now: datetime) -> tuple[Record, bool]:
    """
    The outlet, and whether it is new. The same again is the same row.

    NotFound without the site. Conflict while the tag is another site's: whose electricity an outlet gives
    changes in two steps, so that nobody else is paid for it by a slip.
    """
    async with conn.transaction():
        if await SQL.site_to_tag.one(conn, site_id) is None:
            raise NotFound(f"there is no site {site_id}")
        added = await SQL.add_outlet.value(conn, tag, site_id, now)
        row = await SQL.show_outlet.one(conn, tag)
        if row is None:
            raise Conflict("this tag is taken")
        if row["site_id"] != site_id:
            raise Conflict(f"this tag is an outlet of the site {row['site_id']}; remove it there first")
        return row, added is not None


async def listed(conn: Connection, site_id: str, after: str, limit: int) -> list[Record]:
    """At most `limit` outlets of a site, by tag, after a tag. NotFound without the site."""
    if await SQL.show_site.one(conn, site_id) is None:
        raise NotFound(f"there is no site {site_id}")
    return await SQL.list_outlets.many(conn, site_id, after, limit)


async def remove(conn: Connection, site_id: str, tag: str) -> None:
    """Takes an outlet away; what is plugged in there keeps the share it began with. NotFound without it."""
    if await SQL.remove_outlet.value(conn, tag, site_id) is None:
        raise NotFound(f"the site {site_id} has no such outlet")
