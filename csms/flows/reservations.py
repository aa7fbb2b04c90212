"""Packs that drivers want kept for them at a station, on days of the week, from a time of day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from uuid import UUID

from csms.base.errors import Conflict, NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain.tariff_clock import zone_of
from csms.flows.books import new_id

Day = Literal["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
DAYS: tuple[Day, ...] = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")

RESERVATIONS_MAX = 20
"""Reservations of one driver that are not over."""
MINUTES_PER_HOUR = 60


@dataclass(frozen=True, slots=True)
class Wish:
    """Packs wanted at a station: from `begins` (minutes after midnight there) for `minutes`, on `days`."""

    station_id: str
    driver_id: str
    item_type: str | None
    count: int
    days: Sequence[Day]
    begins: int
    minutes: int
    from_date: date
    until_date: date | None


def minutes_of(text: str) -> int:
    """`07:30` as minutes after midnight."""
    hours, minutes = text.split(":")
    return int(hours) * MINUTES_PER_HOUR + int(minutes)


def text_of(begins: int) -> str:
    """Minutes after midnight as `07:30`."""
    return f"{begins // MINUTES_PER_HOUR:02}:{begins % MINUTES_PER_HOUR:02}"


def days_of(bits: int) -> list[Day]:
    """The days of a row, Monday first."""
    return [day for place, day in enumerate(DAYS) if bits >> place & 1]


async def add(conn: Connection, wish: Wish, now: datetime) -> Record:
    """
    Keep packs for a driver; the caller has seen station and driver. The station's zone is that of its site, or UTC.

    Refused when nothing could ever be kept by it; Conflict when the driver has too many.
    """
    station = await SQL.station_to_swap_at.one(conn, wish.station_id)
    if station is None:
        raise NotFound(f"there is no battery station {wish.station_id}")
    zone_name = station["time_zone"] or "UTC"
    _check_days(wish, zone_name, now)
    await _check_packs(conn, wish)
    await SQL.lock_reservations.run(conn, wish.driver_id)
    if await SQL.count_reservations.value(conn, wish.driver_id, now) >= RESERVATIONS_MAX:
        raise Conflict(f"a driver has at most {RESERVATIONS_MAX} reservations; cancel one")
    id_, bits = new_id(), sum(1 << DAYS.index(day) for day in set(wish.days))
    await SQL.add_reservation.run(
        conn, id_, wish.station_id, wish.driver_id, wish.item_type, wish.count, bits, wish.begins, wish.minutes,
        wish.from_date, wish.until_date, zone_name, now,
    )  # fmt: skip
    return await show(conn, id_)


def _check_days(wish: Wish, zone_name: str, now: datetime) -> None:
    """Refused when no day of the wish is still to come."""
    until = wish.until_date
    if until is None:
        return
    if until < wish.from_date:
        raise Refused("it ends before it begins", "/until")
    week = [until - timedelta(days=back) for back in range(min(len(DAYS), (until - wish.from_date).days + 1))]
    last = next((day for day in week if DAYS[day.weekday()] in wish.days), None)
    if last is None:
        raise Refused(f"none of these days is between {wish.from_date} and {until}", "/days")
    begins = datetime.combine(last, time(*divmod(wish.begins, MINUTES_PER_HOUR)), zone_of(zone_name))
    if begins.astimezone(UTC) + timedelta(minutes=wish.minutes) <= now:
        raise Refused(f"it is over already: its last day is {last}", "/until")


async def _check_packs(conn: Connection, wish: Wish) -> None:
    """Refused when the station can never have the packs that are wanted."""
    slots = await SQL.count_slots.value(conn, wish.station_id)
    if wish.count > slots:
        raise Refused(f"station {wish.station_id} has {slots} slots", "/count")
    if wish.item_type is not None and not await SQL.is_type_of_packs.value(conn, wish.item_type):
        raise Refused(f"there is no pack of type {wish.item_type}", "/item_type")


async def show(conn: Connection, id_: UUID) -> Record:
    """A reservation that the client may know of."""
    row = await SQL.show_reservation.one(conn, id_)
    if row is None:
        raise NotFound("there is no such reservation")
    return row
