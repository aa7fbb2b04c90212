"""
What time does to a rental: what is billed of it, when it is late, when it has to be looked at again.

The rules of the tariff's `extra` (docs/reference/tariffs.md): an item is due `due_after` it was taken, late `grace`
after that, bought when it is so late as `deemed_purchase` says, and free of charge when it is back `free_within`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from csms.base.money import from_minor
from csms.base.units import seconds_between
from csms.domain.assets import OVER, Outage, Rental
from csms.domain.tariff_own import Own, Used

REQUESTED_S_MAX = 900
"""How long a psp may take to decide."""

OPENING_S_MAX = 60
"""How long a rental whose door was opened waits for the word that its item was taken; then its cabinet is asked."""

RETURN_S_MAX = 600
"""How long a return waits for its door to be closed, and for what a cabinet has still to tell."""

UNCLEAR_S_MAX = 24 * 3_600
"""How long a rental waits for evidence whether its item was taken at all."""

INSPECT_S_MAX = 72 * 3_600
"""How long the deposit of an item that came back odd is kept for an inspection."""

STOPPED_S_MAX = 24 * 3_600
"""How long the clock stands still after a return that failed for our sake."""

EXTENSION = timedelta(minutes=30)
"""A driver who finds every door taken gets so much more time."""

BUY_BACK_S_MAX = 45 * 86_400
"""An item that counted as bought and comes back within this time: the price of the purchase is refunded."""

OUTAGE_S_MAX = 7 * 86_400
"""A cabinet that is away for longer is not coming back: by then an item is brought to another one."""

GIVEN_BACK = "given_back"
"""The flag of a rental by which a driver got the own pack back, because no other could be handed out: no delivery."""

REMIND_EVERY_S = 86_400
REMINDERS_MAX = 40


def used(rental: Rental, own: Own | None, end: datetime, currency: str, *, bought: bool = False) -> Used:
    """What is billed until `end`: nothing for an item that is back within the free time, and undamaged."""
    assert rental.taken_at is not None
    held_s = seconds_between(rental.taken_at, end)
    damage = from_minor(rental.damage_minor, currency)
    is_free = own is not None and own.free_s > 0 and held_s <= own.free_s  # free for 0 seconds: never
    if own is None or (is_free and not damage):
        return Used()
    battery_wh = rental.battery_wh or 0
    deliveries = 0 if GIVEN_BACK in rental.flags else own.deliveries(battery_wh)
    return Used(held_s, deliveries, battery_wh, late_s(rental, own, end), damage, bought)


def late_s(rental: Rental, own: Own, end: datetime) -> int:
    """Seconds after its time, extensions and grace, less those for which its cabinet was away."""
    if rental.due_at is None:
        return 0
    return max(0, seconds_between(late_from(rental.due_at, own), end) - rental.outage_s)


def away_s(outages: Sequence[Outage], rental: Rental, own: Own | None, end: datetime) -> int:
    """The seconds until `end` for which a rental's cabinet was away while its item was late: a week of them counts."""
    if own is None or rental.due_at is None:
        return 0
    late = late_from(rental.due_at, own)
    found = sum(seconds_between(max(since, late), min(until or end, end)) for since, until in outages)
    return min(found, OUTAGE_S_MAX)


def due_at(rental: Rental, own: Own | None) -> datetime | None:
    """When its item is to be back, None for never."""
    if own is None or own.due_s is None or rental.taken_at is None:
        return None
    return rental.taken_at + timedelta(seconds=own.due_s) + rental.extensions * EXTENSION


def late_from(due_at: datetime, own: Own) -> datetime:
    """From when on an item is late."""
    return due_at + timedelta(seconds=own.grace_s)


def ended_at(rental: Rental, now: datetime) -> datetime:
    """Until when it is billed: its return, or the attempt that failed for our sake not long before it."""
    end = rental.returned_at or now
    stopped = rental.stopped_at
    if stopped is not None and stopped <= end and seconds_between(stopped, end) <= STOPPED_S_MAX:
        return stopped
    return end


def bought_at(rental: Rental, own: Own | None) -> datetime | None:
    """From when on it counts as bought, None for never."""
    if own is None or own.deemed is None or rental.due_at is None:
        return None
    return late_from(rental.due_at, own) + timedelta(seconds=own.deemed.after_s + rental.outage_s)


def next_look(rental: Rental, own: Own | None) -> datetime | None:
    """When the clock alone changes something about a rental, None for never."""
    if rental.state in OVER:
        return None
    match rental.state:
        case "requested":
            return rental.requested_at + timedelta(seconds=REQUESTED_S_MAX)
        case "opening":
            return rental.requested_at + timedelta(seconds=OPENING_S_MAX)
        case "returning":
            assert rental.returned_at is not None
            return rental.returned_at + timedelta(seconds=RETURN_S_MAX)
        case "provisional" if rental.reason == "inspect" and rental.returned_at is not None:
            return rental.returned_at + timedelta(seconds=INSPECT_S_MAX)
        case "provisional":
            return rental.requested_at + timedelta(seconds=UNCLEAR_S_MAX)
        case _:
            return _of_held(rental, own)


def _of_held(rental: Rental, own: Own | None) -> datetime | None:
    """The next reminder, or the purchase if that comes first."""
    if own is None:
        return None
    looks = (reminder_at(rental, own), bought_at(rental, own))
    return min((at for at in looks if at is not None), default=None)


def reminder_at(rental: Rental, own: Own) -> datetime | None:
    """When its driver is to be reminded next: as it is due, as it is late, then every day; None for no more."""
    if rental.due_at is None or rental.reminders >= REMINDERS_MAX:
        return None
    if rental.reminders == 0:
        return rental.due_at
    return late_from(rental.due_at, own) + timedelta(seconds=REMIND_EVERY_S * (rental.reminders - 1))
