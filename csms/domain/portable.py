"""
Portable chargers as stations: energy flows if and only if the item is plugged in, rented, and paid for.

That somebody pays is judged like anywhere else (`payer.py`); here is the rest. The outlet's tag says whose
electricity is given: its site's host has a share of the fee.
"""

from __future__ import annotations

from datetime import datetime

from csms.domain.session import Session
from csms.domain.world import Changes, World


def objection(
    world: World,
    changes: Changes,
    session: Session | None,
    driver_id: str | None,
    began_at: datetime | None,
    station_id: str | None = None,
) -> str | None:
    """
    Why this driver gets no energy here, None if they do.

    What began while the station was offline is judged by who had the item then; where it was plugged in
    nobody can tell any more.
    """
    code = session.station_id if session is not None else station_id
    assert code is not None
    if code not in world.assets.looked_up:
        changes.assets.lacking.add(code)
        return "not_rented"
    item, rental = world.assets.items.get(code), world.assets.newest_of(code)
    if item is None or rental is None or rental.driver_id is None or rental.driver_id != driver_id:
        return "not_rented"
    if session is not None and session.offline and began_at is not None:
        over = rental.returned_at or rental.closed_at
        had_it = (rental.taken_at or rental.requested_at) <= began_at and (over is None or began_at <= over)
        return None if had_it else "not_rented"
    if rental.state not in ("opening", "active", "overdue"):
        return "not_rented"
    if not item.plugged:
        return "not_plugged"
    if item.tag is None or item.tag not in world.assets.hosts:
        return "unknown_outlet"
    return None


def at_its_outlet(world: World, session: Session) -> Session:
    """The session at the site whose electricity it gives, with that site's tags and the share of its host."""
    item = world.assets.items.get(session.station_id)
    host = world.assets.hosts.get(item.tag) if item is not None and item.tag is not None else None
    if host is None:
        return session
    return session._replace(site_id=host.site_id, host_bp=host.host_bp, site_tags=host.tags)
