"""What a running session has cost so far, for stations that show it."""

from __future__ import annotations

from csms.base.units import seconds_between
from csms.domain import voucher_session
from csms.domain.billing import asks_when, charged
from csms.domain.events import SessionMetered
from csms.domain.folding import lacks
from csms.domain.quote import Running, prices_at, quote
from csms.domain.session import Session
from csms.domain.tariff import Usage
from csms.domain.usage import periods
from csms.domain.watch import base_of
from csms.domain.world import Changes, World


def running(world: World, changes: Changes, session: Session, event: SessionMetered) -> Running | None:
    """
    The cost of a session with the readings of `event`, as a bill would say now; None where nobody can say.

    A tariff that asks when energy flowed needs all readings: the batch is decided anew with them.
    """
    told = quote(world, session)
    if told is None or session.started_at is None or session.ended_at is not None or session.currency is None:
        return None
    priced = world.priced_of(session)
    progress = world.progress_of(session.id)
    assert priced is not None
    asks = asks_when(session, priced)
    if progress.highest_wh is None or (asks and lacks(world, changes, session)):
        return None
    if voucher_session.lacks(world, changes, session):
        return None
    at = max((r.at for r in event.readings if r.at <= event.received_at), default=event.received_at)
    at = max(at, session.started_at)
    base = base_of(session.meter_start_wh, progress.lowest_wh)
    wh, seconds = max(0, progress.highest_wh - base), seconds_between(session.started_at, at)
    profile = None
    if asks:
        profile = periods(world.series[session.id], session.started_at, at, base, base + wh)
    used = voucher_session.covered(world, session, priced, Usage(wh, seconds, profile))
    due, _ = charged(session, used, priced)
    powers = [reading.power_w for reading in event.readings if reading.power_w is not None]
    prices = prices_at(told, at, wh, seconds, powers[-1] if powers else None)
    charging = powers[-1] > 0 if powers else True
    return Running(due.total_minor - used.drawn_minor, session.currency, progress.highest_wh, at, charging, prices)
