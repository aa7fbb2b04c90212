"""
Spending what is set aside: a running session is stopped when it is spent, or more is set aside.

`SpendingChecked` comes when a reading or the time passed a session's watch (`watch.py`), and after a
top-up. What the session will have cost by its next reading decides: below what is set aside it goes
on; otherwise more of the balance is set aside, and with no more there it is flagged `spent` and its
station is told to stop. A driver is never charged above what was set aside, so a late stop costs the
provider at most one interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from hashlib import sha256
from math import ceil
from uuid import UUID

from csms.base.ids import uuid7
from csms.base.money import from_minor
from csms.base.units import SECONDS_PER_HOUR
from csms.domain import billing, budget, voucher_limit, voucher_session
from csms.domain.errand import Errand
from csms.domain.events import RECORDED, Outcome, Reading, SpendingChecked
from csms.domain.folding import lacks, put
from csms.domain.plausible import ceiling_wh
from csms.domain.session import VOUCHERS, Priced, Session, flagged
from csms.domain.tariff import Usage, price
from csms.domain.tariff_limits import bound
from csms.domain.usage import periods
from csms.domain.watch import (
    INTERVAL_ASSUMED_S,
    MARGIN_S,
    NEVER_AT,
    NEVER_WH,
    POWER_ASSUMED_W,
    Used,
    Watch,
    base_of,
    first,
    is_limited,
    watch,
)
from csms.domain.world import Changes, World

SPENT = "spent"
"""The flag of a session whose station was told to stop because nothing more could be set aside."""

OVERSPENT = "overspent"
"""The flag of one that went on and clearly used more than was set aside."""

OVER_PERCENT = 2
"""So much above what is set aside: registers round, and a station's clock is not ours."""

RECHECK_S = 10
"""Where the bound of a price is above the price itself, time passes a watch again and again: not sooner than this."""

RECHECK_SHARED_S, RECHECK_CLOCK_S = 900, 60
"""How often a session that vouchers pay for is looked at anyway; more often where they count at certain hours only."""

INTERVAL_S_MAX = 3_600
"""A station that was silent for longer is not taken to be silent for as long again."""


@dataclass(frozen=True, slots=True)
class Projection:
    """A running session now, and what it will have used when its next reading could have come and a stop been done."""

    used: Used
    wh: int
    until: datetime


def checked(world: World, changes: Changes, event: SpendingChecked) -> Outcome:
    """Judges a running session's spending with all its readings, the balance and the time."""
    session = world.sessions.get((event.station_id, event.ref))
    if session is None or not is_limited(session):
        return RECORDED
    priced = world.priced_of(session)
    if priced is None or lacks(world, changes, session) or budget.lacks(world, changes, session):
        return RECORDED
    if voucher_session.lacks(world, changes, session):
        return RECORDED
    series, before = world.series[session.id], session
    seen = project(session, series, event.received_at)
    cost = cost_minor(world, session, priced, series, seen)
    session = _set_aside(world, changes, session, cost, event.received_at)
    limit = voucher_limit.told(world, session, priced)
    if cost >= max(1, session.hold_minor):
        over = _is_over(world, session, priced, series, seen, event.received_at)
        binds = voucher_limit.binds(world.watches.get(session.id), limit)
        session = _stopped(changes, session, voucher_limit.kept_by(priced, limit), binds, over, event)
    watched = _watch(world, session, priced, series, seen, event.received_at)
    world.watches[session.id] = watched._replace(outcome=Outcome("accepted", limit=limit))
    put(world, changes, session, before)
    return RECORDED


def _stopped(
    changes: Changes, session: Session, kept_by: list[str], binds: bool, over: bool, event: SpendingChecked
) -> Session:
    """
    The session flagged, and its station told: once, and once more when it goes on all the same.

    It is not left to the station where the limit that it was told no longer `binds`.
    """
    if SPENT not in session.flags:
        changes.errands.append(_stop(session, kept_by if binds else [], event.received_at))
    if over and OVERSPENT not in session.flags:
        changes.errands.append(_insist(session, kept_by, event.received_at))
    return session._replace(flags=flagged(session.flags, SPENT, OVERSPENT if over else None))


def begin(world: World, session: Session) -> Watch | None:
    """The watch of a session that was not looked at yet, kept from now on; None for one that is not limited."""
    priced = world.priced_of(session) if is_limited(session) else None
    watched = first(session, world.progress_of(session.id), priced) if priced is not None else None
    if watched is not None and priced is not None:
        if VOUCHERS in session.flags:
            watched = watched._replace(outcome=Outcome("accepted", limit=voucher_limit.told(world, session, priced)))
        world.watches[session.id] = watched
    return watched


def project(session: Session, series: Sequence[Reading], now: datetime) -> Projection:
    """
    The usage at the next reading, `MARGIN_S` later: as much again as between the last two registers.

    Time goes on also where no reading comes; energy does not. Registers that no connector can have reached
    by now are not believed: they must not set a driver's whole balance aside.
    """
    assert session.started_at is not None
    lowest = min((r.register_wh for r in series if r.register_wh is not None), default=None)
    base = base_of(session.meter_start_wh, lowest)
    points = [(session.started_at, base)]
    for reading in series:
        wh, at = reading.register_wh, reading.at
        if wh is not None and wh >= points[-1][1] and at > points[-1][0]:
            elapsed_s = int((max(at, now) - session.started_at).total_seconds())
            if wh - base <= ceiling_wh(elapsed_s, session.max_power_w):
                points.append((at, wh))
    last_at, last_wh = points[-1]
    interval, rate = INTERVAL_ASSUMED_S, Fraction(0)
    if len(points) > 1:
        apart = last_at - points[-2][0]
        interval = min(INTERVAL_S_MAX, ceil(apart.total_seconds()))
        rate = Fraction((last_wh - points[-2][1]) * 1_000_000, max(1, apart // timedelta(microseconds=1)))
    horizon = interval + MARGIN_S if len(points) > 1 else 0
    until = max(last_at + timedelta(seconds=horizon), now + timedelta(seconds=MARGIN_S))
    seconds = max(0, int((max(last_at, now) - session.started_at).total_seconds()))
    used = Used(base, last_wh - base, seconds, rate, interval)
    return Projection(used, used.wh + ceil(rate * horizon), until)


def cost_minor(world: World, session: Session, priced: Priced, series: Sequence[Reading], seen: Projection) -> int:
    """What that usage takes of the hold, as its bill would say: what no voucher pays; no energy is no fee."""
    assert session.started_at is not None
    if seen.wh <= 0:
        return 0
    seconds = max(0, int((seen.until - session.started_at).total_seconds()))
    if not billing.asks_when(session, priced):
        return price(Usage(seen.wh, seconds), priced.tariff).total_minor
    used = _used(world, session, priced, series, seen)
    return price(used, priced.tariff, session.time_zone).total_minor - used.drawn_minor


def _used(world: World, session: Session, priced: Priced, series: Sequence[Reading], seen: Projection) -> Usage:
    """That usage with its periods, and what vouchers pay of it."""
    assert session.started_at is not None
    until, base = max(seen.until, session.started_at), seen.used.base_wh
    profile = periods(series, session.started_at, until, base, base + seen.wh)
    seconds = int((until - session.started_at).total_seconds())
    return voucher_session.covered(world, session, priced, Usage(seen.wh, seconds, profile))


def _set_aside(world: World, changes: Changes, session: Session, cost: int, at: datetime) -> Session:
    """More of the driver's balance, if the session needs it or began with less than is usual, and there is any."""
    if session.means != "balance" or session.driver_id is None or session.currency is None:
        return session
    terms = world.stations[session.station_id].terms
    usual = terms.hold_minor if terms is not None and terms.currency == session.currency else session.hold_minor
    short = max(usual, cost - session.hold_minor + 1) if cost >= session.hold_minor else usual - session.hold_minor
    key = (session.driver_id, session.currency)
    there = min(world.balances.get(key, 0), budget.room(world, session))
    minor = min(short, there)
    if minor <= 0:
        return session
    world.balances[key] -= minor
    raised = budget.spend(world, changes, session, minor)
    raised = raised._replace(
        hold_minor=session.hold_minor + minor,
        flags=tuple(flag for flag in raised.flags if flag not in (SPENT, OVERSPENT)),
    )
    changes.postings.append(billing.more_held(raised, minor, at))
    changes.errands.append(_tell(raised, at))
    return raised


def _is_over(
    world: World, session: Session, priced: Priced, series: Sequence[Reading], seen: Projection, now: datetime
) -> bool:
    """Whether what was used already costs clearly more: then a limit that the station keeps itself is not kept."""
    so_far = Projection(seen.used, seen.used.wh, max(now, series[-1].at if series else now))
    over = cost_minor(world, session, priced, series, so_far) - session.hold_minor
    whole = session.hold_minor
    if VOUCHERS in session.flags:  # what they pay counts as set aside
        whole += _used(world, session, priced, series, so_far).covered_minor(priced.tariff.currency)
    return over * 100 > whole * OVER_PERCENT


def _watch(
    world: World, session: Session, priced: Priced, series: Sequence[Reading], seen: Projection, now: datetime
) -> Watch:
    """
    Where to look next. A session that took no energy costs nothing, however long it stands.

    One that is spent is looked at with its next reading, and after a top-up; others not at every moment.
    """
    watched = watch(session, priced.tariff, seen.used)
    if seen.wh <= 0:
        return watched._replace(wh=seen.used.base_wh + 1, at=NEVER_AT)
    if SPENT in session.flags:
        return watched._replace(at=NEVER_AT)
    if VOUCHERS in session.flags:
        return _beside_vouchers(world, session, priced, series, seen, now, watched.floor_wh)
    if watched.at > now:
        return watched
    latest = watch(session, priced.tariff, replace(seen.used, interval_s=0)).at  # when no reading comes before
    return watched._replace(at=latest if latest > now else now + timedelta(seconds=RECHECK_S))


def _stop(session: Session, kept_by: list[str], at: datetime) -> Errand:
    """
    Has the station stop a session whose hold, as it is now, is spent; withdrawn if more is set aside before.

    A station that keeps one of the limits `kept_by` itself needs no telling.
    """
    return _errand(session, "station.stop", "stop", at, kept_by=kept_by)


def _insist(session: Session, kept_by: list[str], at: datetime) -> Errand:
    """Has a station stop that was to keep a limit itself, and does not."""
    return _errand(session, "station.stop", "stop-over", at, kept_by=kept_by, over=True)


def _beside_vouchers(
    world: World,
    session: Session,
    priced: Priced,
    series: Sequence[Reading],
    seen: Projection,
    now: datetime,
    floor_wh: int,
) -> Watch:
    """
    The thresholds of a session that vouchers pay for: from what of them is left, and of the hold beside them.

    Another session may take of them, and the clock end their hours: it is looked at now and then anyway.
    """
    assert session.currency is not None
    used = _used(world, session, priced, series, Projection(seen.used, seen.used.wh, now))
    paid_minor = price(used, priced.tariff, session.time_zone).total_minor - used.drawn_minor
    left, line = voucher_session.ahead(world, session, used), bound(priced.tariff)
    room = max(Fraction(0), from_minor(2 * (session.hold_minor - paid_minor) - 1, session.currency) / 2)
    rate = seen.used.rate or Fraction(session.max_power_w or POWER_ASSUMED_W, SECONDS_PER_HOUR)
    per_second = line.per_wh * rate + line.per_s
    beyond = int(rate * max(Fraction(0), room / per_second - MARGIN_S)) if per_second else NEVER_WH
    wh = min(NEVER_WH, seen.used.base_wh + seen.used.wh + left.wh + beyond)
    at = now + timedelta(seconds=RECHECK_CLOCK_S if left.asks_the_clock else RECHECK_SHARED_S)
    if line.per_s:
        at = min(at, now + timedelta(seconds=max(RECHECK_S, int(room / line.per_s) - seen.used.interval_s)))
    return Watch(floor_wh, wh, at, Outcome("accepted"))


def _tell(session: Session, at: datetime) -> Errand:
    """Has a station that keeps a limit itself hear that it was raised."""
    return _errand(session, "station.limit", "limit", at)


def _errand(session: Session, kind: str, word: str, at: datetime, **more: object) -> Errand:
    """Once for each amount that is set aside. Its subject is its own: no psp's job waits for a station."""
    key = f"session/{session.id}/{word}/{session.hold_minor}"
    payload: dict[str, object] = {
        "session": str(session.id),
        "station": session.station_id,
        "ref": session.ref,
        "hold_minor": session.hold_minor,
        **more,
    }
    return Errand(_id(key, at), kind, key, key, payload)


def _id(key: str, at: datetime) -> UUID:
    """The id of what is done once under `key`."""
    return uuid7(int(at.timestamp() * 1000), int.from_bytes(sha256(key.encode()).digest()[:10]))
