"""
The rules of a provider's statement: its period, what is due, how a remittance moves.

Nothing is remitted twice because of three rules. A bill is on one statement. What a psp pays per bill
is listed and not due. What is not remitted (too little, or below zero) is carried to the next statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from csms.base.errors import Conflict, Refused

PERIOD_DAYS_MAX = 366
YEAR_MIN, YEAR_MAX = 1970, 9998

RemittanceState = Literal["open", "submitted", "paid", "failed", "returned"]
"""`open` waits for staff to pay it by hand; `submitted` is with a psp."""

Ending = Literal["paid", "failed", "returned"]


@dataclass(frozen=True, slots=True)
class Period:
    """Days `from_day` to before `to_day` in a zone, and the instants at which they begin and end."""

    from_day: date
    to_day: date
    zone: str
    starts_at: datetime
    ends_at: datetime


def period(from_day: date, to_day: date, zone: str) -> Period:
    """
    The days from `from_day` to before `to_day`, each as long as it is in `zone`.

    One period ends where the next begins, whatever the clocks do. Refused when there is no time in
    it, more than `PERIOD_DAYS_MAX` days, or years whose instants no clock here can name.
    """
    if from_day.year < YEAR_MIN or to_day.year > YEAR_MAX:
        raise Refused(f"years are {YEAR_MIN} to {YEAR_MAX}", "/from" if from_day.year < YEAR_MIN else "/to")
    if from_day >= to_day:
        raise Refused("a period begins before it ends; `to` is the first day that does not belong to it", "/to")
    if (to_day - from_day).days > PERIOD_DAYS_MAX:
        raise Refused(f"a period has {PERIOD_DAYS_MAX} days at most", "/to")
    starts_at, ends_at = _begins(from_day, zone), _begins(to_day, zone)
    if starts_at >= ends_at:
        raise Refused(f"the clocks of {zone} leave these days out", "/to")
    return Period(from_day, to_day, zone, starts_at, ends_at)


def _begins(day: date, zone: str) -> datetime:
    """
    The instant at which a day begins in a zone, in UTC.

    A midnight that the clocks leave out is the instant of their change; one that comes twice is the first.
    """
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)


def month(text: str) -> tuple[date, date]:
    """The first day of the month `2026-11` and of the one after it; Refused when it is none."""
    try:
        first = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
        return first, (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        raise Refused(f"{text[:20]!r} is not a month such as 2026-11", "/month") from None


@dataclass(frozen=True, slots=True)
class Due:
    """What a statement comes to in one currency, in minor units: `due` is remitted whole, or carried over whole."""

    due_minor: int
    remitted_minor: int
    carried_minor: int


def close(opening_minor: int, by_run_minor: int, adjustments_minor: int, minimum_minor: int = 0) -> Due:
    """
    What is due: what was carried over, the shares that the run pays, and adjustments.

    It is remitted when it is above zero and at least `minimum_minor`. A negative amount is never asked
    back: the provider's next bills pay for it.
    """
    due = opening_minor + by_run_minor + adjustments_minor
    remitted = due if due > 0 and due >= minimum_minor else 0
    return Due(due, remitted, due - remitted)


def ended(state: RemittanceState, ending: Ending) -> Ending | None:
    """
    The state of a psp's attempt after the psp's word on it; None when that is no news.

    A late `paid` after `failed` is believed, because the psp's word came from asking it. What failed after
    it was paid came back. What was returned stays returned: paying again is another attempt.
    """
    match state, ending:
        case "submitted", "returned":
            return "failed"  # it never arrived
        case "submitted", _:
            return ending
        case "failed", "paid":
            return "paid"
        case "paid", "failed" | "returned":
            return "returned"
        case _:
            return None


def may_pay_by_hand(state: RemittanceState) -> None:
    """Conflict unless nobody else is paying it: it is open, or its attempt failed or came back."""
    match state:
        case "open" | "failed" | "returned":
            return
        case "submitted":
            raise Conflict("a psp has been told to pay this remittance; wait for its word, or ask again with retry")
        case "paid":
            raise Conflict("this remittance is paid")
