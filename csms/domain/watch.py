"""
When to look at what a running session has spent: two thresholds, so that a reading costs two comparisons.

A price is bounded by a line, `flat + per_wh * Wh + per_s * s` (`tariff.bound`). As long as neither threshold of a
`Watch` is passed, the fee is below what is set aside; once one is, `spending.checked` looks with everything
that is stored, and watches from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from csms.base.ids import derived
from csms.base.money import from_minor
from csms.base.units import SECONDS_PER_HOUR
from csms.domain.billing import Bill
from csms.domain.errand import Concern
from csms.domain.events import Limit, Outcome, Reading
from csms.domain.metering import TOLERANCE_WH
from csms.domain.session import VOUCHERS, Priced, Progress, Session
from csms.domain.tariff import Tariff, Usage, price
from csms.domain.tariff_limits import bound

MARGIN_S = 2
"""A stop takes this long to reach a station and to be done."""

INTERVAL_ASSUMED_S = 900
"""How far apart readings are taken to be until two of them are known: a time threshold is earlier by this."""

POWER_ASSUMED_W = 22_000
"""Of a connector whose power nobody told us, and of a session that takes no energy yet."""

REACHES_MAX = 1_000
"""Amounts set aside, and powers, for which a tariff's first watch is remembered."""

ZERO = datetime(2000, 1, 1, tzinfo=UTC)
"""The start of the session that stands for all when a watch is worked out."""

NEVER_WH = 2**63
NEVER_AT = datetime(9999, 12, 31, tzinfo=UTC)
ENERGY_WH_MAX = 10_000_000
"""More than any session takes."""

LOST_PERCENT_MAX = 20
"""So much of what was set aside may be delivered above it without people being told."""

OVERSPENT_PLACE = 11
"""The derived id of that exception."""

TIME_S_MAX = 366 * 86_400
"""A threshold further away than this is never reached: no session lasts a year."""


class Watch(NamedTuple):
    """
    Registers (Wh) and a time (UTC) at which spending must be looked at, and what its station is told until then.

    `floor_wh`: a register below it is of another kind than the session's first (quirk Q-M03), so the
    energy must be counted anew. `outcome` answers every reading; made once, because readings are many.
    """

    floor_wh: int
    wh: int
    at: datetime
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Used:
    """
    What a session has used: Wh and seconds, the register its energy counts from, its rate.

    `rate` is Wh per second, 0 when nobody knows; `interval_s` is the time between its last two readings.
    """

    base_wh: int
    wh: int = 0
    seconds: int = 0
    rate: Fraction = Fraction(0)
    interval_s: int = INTERVAL_ASSUMED_S


def limit_of(session: Session) -> Fraction:
    """The least exact price, in units of the currency, that rounds to what is set aside."""
    assert session.currency is not None
    return from_minor(2 * session.hold_minor - 1, session.currency) / 2


def is_limited(session: Session) -> bool:
    """Whether it runs, and may cost no more than what is set aside for it."""
    return (
        session.state == "active"
        and (session.hold_minor > 0 or (session.means == "balance" and VOUCHERS in session.flags))
        and session.started_at is not None
        and session.ended_at is None
    )


def limit_for(session: Session, tariff: Tariff) -> Limit | None:
    """
    What the station of a running session is told, if it keeps limits itself (OCPP 2.1 `transactionLimit`).

    Nothing where vouchers pay: what can be told then asks for them (`voucher_limit.told`).
    """
    if not is_limited(session) or session.currency is None or VOUCHERS in session.flags:
        return None
    return Limit(session.hold_minor, session.currency, tariff)


def first(session: Session, progress: Progress, priced: Priced) -> Watch | None:
    """The watch of a session that was not looked at yet; None while it is unknown where it began."""
    start_wh, started_at = session.meter_start_wh, session.started_at
    if started_at is None or (start_wh is None and progress.lowest_wh is None):
        return None
    base = base_of(start_wh, progress.lowest_wh)
    key = (session.hold_minor, session.max_power_w, session.currency)
    reach = priced.reaches.get(key)
    if reach is None:
        if len(priced.reaches) >= REACHES_MAX:
            priced.reaches.clear()
        from_zero = session._replace(started_at=ZERO)
        reach = priced.reaches[key] = watch(from_zero, priced.tariff, Used(0))
    floor_wh, wh, at, outcome = reach
    return Watch(floor_wh + base, wh + base, at if at is NEVER_AT else started_at + (at - ZERO), outcome)


def watch(session: Session, tariff: Tariff, used: Used) -> Watch:
    """
    The thresholds from `used` on: reached together if the session goes on as it did.

    With nothing left every reading and every moment passes. Where a dimension costs nothing its
    threshold is never reached.
    """
    assert session.started_at is not None
    floor_wh = used.base_wh - TOLERANCE_WH
    outcome = Outcome("accepted", limit=limit_for(session, tariff))
    line = bound(tariff)
    if line.most is not None and line.most < limit_of(session):
        return Watch(floor_wh, NEVER_WH, NEVER_AT, outcome)
    room = limit_of(session) - line.flat - line.per_wh * used.wh - line.per_s * used.seconds
    if room <= 0:
        return Watch(floor_wh, floor_wh, session.started_at, outcome)
    rate = used.rate or Fraction(session.max_power_w or POWER_ASSUMED_W, SECONDS_PER_HOUR)
    per_second = line.per_wh * rate + line.per_s
    wh, at = NEVER_WH, NEVER_AT
    if per_second > 0:
        seconds = room / per_second
        if line.per_wh > 0:
            wh = used.base_wh + used.wh + int(rate * max(Fraction(0), seconds - MARGIN_S))
        reached = used.seconds + seconds - used.interval_s - MARGIN_S
        if line.per_s > 0 and reached < TIME_S_MAX:
            at = session.started_at + timedelta(seconds=max(0, int(reached)))
    return Watch(floor_wh, wh, at, outcome)


def passed(watched: Watch, highest_wh: int | None, readings: Iterable[Reading]) -> bool:
    """
    Whether these readings, or one more like them, pass a threshold. `highest_wh` is the register before them.

    The hot one: a register is carried on by its last increase, so that the stop comes before the
    hold is spent and not one reading after.
    """
    floor_wh, wh, until, _ = watched
    for at, _, register, _ in readings:
        if at >= until:
            return True
        if register is not None:
            if highest_wh is None:
                highest_wh = register
            if register + register - highest_wh >= wh or register < floor_wh:
                return True
            highest_wh = register
    return False


def base_of(start_wh: int | None, lowest_wh: int | None) -> int:
    """The register that energy counts from, of the Start and of the lowest reading, as `metering.interval` takes it."""
    if start_wh is None:
        return lowest_wh or 0
    return lowest_wh if lowest_wh is not None and lowest_wh <= start_wh - TOLERANCE_WH else start_wh


@lru_cache(maxsize=512)
def caps(tariff: Tariff, minor: int) -> tuple[int | None, int | None]:
    """
    The most Wh, and the most seconds, that either alone would cost at most `minor`; None where it never costs more.

    Nothing is known for a tariff whose prices depend on more than the two.
    """
    if tariff.needs_profile:
        return None, None

    def most(usage: Callable[[int], Usage], largest: int) -> int | None:
        if price(usage(largest), tariff).total_minor <= minor:
            return None
        low, high = 0, largest  # low costs at most `minor`, or is 0; high costs more
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if price(usage(middle), tariff).total_minor <= minor else (low, middle)
        return low

    return most(lambda wh: Usage(wh, 0), ENERGY_WH_MAX), most(lambda seconds: Usage(0, seconds), TIME_S_MAX)


def keepers(tariff: Tariff) -> list[str]:
    """The limits (`cost`, `energy`, `time`) of which one alone keeps a session within what is set aside."""
    line = bound(tariff)
    kept = ["cost"]
    if not tariff.needs_profile and not line.per_s:
        kept.append("energy")
    if not tariff.needs_profile and not line.per_wh:
        kept.append("time")
    return kept


def overspent(bill: Bill) -> Concern | None:
    """People are told of energy that nobody pays for, when it is more than a late stop explains."""
    held, lost = bill.session.hold_minor, bill.not_charged_minor
    if bill.revision > 1 or bill.reason is not None or lost * 100 <= held * LOST_PERCENT_MAX:
        return None
    session = bill.session
    details: dict[str, object] = {"session": str(session.id), "held_minor": held, "not_charged_minor": lost}
    place = derived(session.id, OVERSPENT_PLACE)
    return Concern(place, "overspent", str(session.id), session.station_id, details, bill.issued_at)
