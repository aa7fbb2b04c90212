"""Reading JSON that people wrote: each thing is what it must be, or is refused with its JSON pointer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from csms.base.errors import Refused

PLACES_MAX = 4
"""Decimals of OCPI numbers (2.3.0, types: number)."""

COUNT_MAX = 1_000_000_000


def number(value: object, most: int, at: str) -> Fraction:
    """A JSON number from 0 to `most`, exactly as it is written; a float counts as its shortest text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise Refused("a number is needed here", at)
    exact = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
    if exact < 0:
        raise Refused("the number cannot be negative", at)
    if exact > most:
        raise Refused(f"the number cannot be above {most}", at)
    if (exact * 10**PLACES_MAX).denominator != 1:
        raise Refused(f"the number has more than {PLACES_MAX} decimals", at)
    return exact


def count(value: object, at: str) -> int:
    """A whole JSON number from 0 to `COUNT_MAX`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise Refused(f"{at.rpartition('/')[2]} is a whole number from 0 to {COUNT_MAX}", at)
    return value


def listed(value: object, most: int, at: str) -> list[object]:
    """A list of 1 to `most` things."""
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise Refused(f"{at.rpartition('/')[2]} is a list of 1 to {most}", at)
    return value


def object_(value: object, at: str) -> Mapping[str, object]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise Refused("an object is needed here", at)
    return value


def only(document: Mapping[str, object], known: frozenset[str], at: str) -> None:
    """Refuse the first key that is not `known`."""
    for name in document:
        if name not in known:
            raise Refused(f"{name!r} is not known here", f"{at}/{name}")


def moment(value: object, at: str) -> datetime:
    """An OCPI DateTime (RFC 3339); without a zone it is UTC."""
    try:
        told = datetime.fromisoformat(value) if isinstance(value, str) and len(value) <= 40 else None
        told = told and (told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC))
    except (ValueError, OverflowError):
        told = None
    if told is None:
        raise Refused("a time is written such as 2026-01-31T12:00:00Z", at)
    return told
