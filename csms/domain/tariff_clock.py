"""
The instants at which a wall clock reaches a time of day: where tariffs with hours, dates or weekdays may change.

Durations are counted in UTC; only restrictions read the wall clock. In spring an hour of it does
not exist, in autumn one comes twice (shared wall clock, two instants).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
NOON = 12 * 60
DAYS_MAX = 400
"""A use that is longer than this is not split by the clock any more: nobody charges for more than a year."""


@lru_cache(maxsize=512)
def zone_of(name: str | None) -> ZoneInfo:
    """The zone of an IANA name; None is UTC."""
    return ZoneInfo(name or "UTC")


def boundaries(start: datetime, end: datetime, times: Iterable[int], zone: ZoneInfo) -> list[datetime]:
    """
    The instants within (start, end) at which the clock of `zone` shows one of `times` (minutes), or is set.

    In order, UTC. A time that comes twice gives both instants; of a time that is skipped the jump
    itself is one. Instants at which nothing changes may be among them.
    """
    first, last = start.astimezone(zone).date() - DAY, end.astimezone(zone).date() + DAY
    last = min(last, first + timedelta(days=DAYS_MAX))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    wanted = {*times}
    found = {_instant(day, clock, fold, zone) for day in days for clock in wanted for fold in (0, 1)}
    noons = [_instant(day, NOON, 0, zone) for day in days]
    for earlier, later in pairwise(noons):
        if earlier.astimezone(zone).utcoffset() != later.astimezone(zone).utcoffset():
            found.add(_jump(earlier, later, zone))
    return sorted(instant for instant in found if start < instant < end)


def _instant(day: date, clock: int, fold: int, zone: ZoneInfo) -> datetime:
    hour, minute = divmod(clock, 60)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone, fold=fold).astimezone(UTC)


def _jump(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """The second at which the clock was set, between two instants of different offsets."""
    before = earlier.astimezone(zone).utcoffset()
    while later - earlier > SECOND:
        middle = earlier + (later - earlier) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == before:
            earlier = middle
        else:
            later = middle
    return later
