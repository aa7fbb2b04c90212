"""States of charge and health as stations write them -> 1/100 %."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

from csms.ocpp.repair import decimal

FULL = 10_000
"""100 %."""

LARGEST = Decimal(10**18)


def hundredths(percent: object) -> int | None:
    """
    A number of percent in 1/100 %, rounded half up.

    None for what is no number, and for what no pack can have: a level beyond 0 to 100 % says nothing of it.
    """
    if isinstance(percent, float):
        percent = str(percent)  # as it was written
    number = None if isinstance(percent, bool) else decimal(percent)
    level = None if number is None else whole(number * 100)
    return level if level is not None and 0 <= level <= FULL else None


def whole(number: Decimal) -> int:
    """The nearest whole number, a half away from zero; of what is beyond all measure, the measure."""
    return int(max(-LARGEST, min(LARGEST, number)).quantize(Decimal(1), ROUND_HALF_UP))
