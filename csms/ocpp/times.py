"""Instants as stations write them, read leniently (quirks Q-K03, Q-K06)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

CLOCK_SET_YEAR_MIN = 2015
"""A report dated before this comes from a clock that was never set (quirk Q-K01)."""

_HOUR_OFFSET = re.compile(r"[+-]\d{2}$")
_FRACTION = re.compile(r"[.,](\d+)")


def utc(at: datetime) -> datetime | None:
    """`at` in UTC; no zone means UTC. None where the calendar ends (year 1 or 9999 shifted over its edge)."""
    if at.tzinfo is UTC:
        return at
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return None


def lenient(text: str) -> datetime | None:
    """The instant that `text` means, in UTC; None if it means none. `+03` and any number of decimals are understood."""
    text = text.strip()
    if _HOUR_OFFSET.search(text) and "T" in text.upper():
        text += ":00"
    text = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), text, count=1)
    try:
        return utc(datetime.fromisoformat(text))
    except ValueError:
        return None


def is_late(at: datetime, received_at: datetime, age_max: timedelta) -> bool:
    """Whether a report was made so long before it came that the station had been offline (1.6 does not say so)."""
    return received_at - at > age_max and at.year >= CLOCK_SET_YEAR_MIN
