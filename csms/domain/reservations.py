"""
Packs that are kept for drivers at certain hours of certain days: what is kept at an instant, and for whom.

A reservation occurs once on each of its days: from the time that a clock on the wall there shows, for so many minutes
that really pass. Where that time is skipped, because clocks are put forward, it begins as much later; where there are
two of it, with the first. An occurrence is named by the day on which it begins, also after midnight.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from csms.domain.pack_rows import Reservation
from csms.domain.tariff_clock import zone_of

MINUTES_PER_HOUR = 60
DAY = timedelta(days=1)
DAYS_BACK = 2
"""The day before may last into this one; two before, where a zone skipped a whole day."""


def running(reservation: Reservation, now: datetime) -> date | None:
    """
    The day of the occurrence that keeps packs now, None if none does.

    Once its driver came for a day, neither that occurrence nor an earlier one keeps anything. Two may run at once when
    clocks are put forward: then it is the earlier one.
    """
    today = now.astimezone(zone_of(reservation.time_zone)).date()
    for days_ago in range(DAYS_BACK, -1, -1):
        day = today - days_ago * DAY
        if _occurs(reservation, day) and _is_within(reservation, day, now):
            return day
    return None


def kept_for_others(
    reservations: Iterable[Reservation], driver_id: str | None, item_type: str | None, now: datetime
) -> int:
    """
    How many packs of a type (None: of whichever) must stay for drivers other than this one.

    Who wants packs of any type may be given the last of this one, so that counts, too.
    """
    return sum(
        kept.wanted
        for kept in reservations
        if kept.driver_id != driver_id
        and (item_type is None or kept.item_type in (None, item_type))
        and running(kept, now) is not None
    )


def used(reservation: Reservation, now: datetime) -> Reservation | None:
    """The reservation after its driver came now, None if nothing is kept now."""
    day = running(reservation, now)
    return None if day is None else reservation._replace(used_on=day)


def _occurs(reservation: Reservation, day: date) -> bool:
    """Whether an occurrence begins on this day, and nobody came for it yet."""
    if reservation.used_on is not None and day <= reservation.used_on:
        return False
    if day < reservation.from_date or (reservation.until_date is not None and day > reservation.until_date):
        return False
    return bool(reservation.days & 1 << day.weekday())


def _is_within(reservation: Reservation, day: date, now: datetime) -> bool:
    hour, minute = divmod(reservation.begins, MINUTES_PER_HOUR)
    zone = zone_of(reservation.time_zone)
    since = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).astimezone(UTC)
    return since <= now < since + timedelta(minutes=reservation.minutes)
