"""Meter values as stations send them -> readings: the import register in Wh and the power in W, nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

from csms.domain.events import Reading
from csms.domain.metering import to_wh
from csms.ocpp.repair import instant

REGISTER = "Energy.Active.Import.Register"
POWER = "Power.Active.Import"

CONTEXT_RANK = {None: 0, "Sample.Periodic": 0, "Sample.Clock": 1, "Transaction.End": 2, "Transaction.Begin": 3}
"""Which of several registers of one instant counts (quirk Q-M06); other contexts are not read."""

LOCATIONS = (None, "Outlet", "Inlet")
"""Where energy to a driver is measured; cable, body and vehicle are other quantities."""

POWER_W_MAX = 2**31 - 1

_DIGITS_FAST = 18
_NO_RANK = 9
_SIGN_BIT = 0x80000000


def read_values(values: Any, salt: str, received_at: datetime, split_unit: bool) -> tuple[Reading, ...]:
    """
    The readings of a list of meter values, in their order; those without a register or power are left out.

    `split_unit`: 2.x, where the unit and its power of ten stand in `unitOfMeasure`. `salt` tells
    apart reports of the same instant (event type and sequence number): it goes into the digest.
    """
    readings = []
    for value in values or ():
        register = power = None
        rank = _NO_RANK
        for sample in value.sampledValue or ():
            measurand = sample.measurand
            if measurand is None or measurand == REGISTER:
                its_rank = CONTEXT_RANK.get(sample.context, _NO_RANK)
                if its_rank < rank and sample.phase is None and sample.location in LOCATIONS:
                    wh = _wh(sample, split_unit)
                    if wh is not None:
                        register, rank = wh, its_rank
            elif measurand == POWER and sample.phase is None and sample.context in CONTEXT_RANK:
                power = _power_w(sample, split_unit)
        if register is not None or power is not None:
            digest = crc32(f"{salt}|{register}|{power}".encode())
            at = value.timestamp
            if at is None or at.tzinfo is not UTC:
                at = instant(at, received_at)
            readings.append(Reading(at, digest - (digest & _SIGN_BIT) * 2, register, power))
    return tuple(readings)


def _unit(sample: Any, split_unit: bool) -> tuple[str | None, int]:
    """A sample's unit and its power of ten."""
    if not split_unit:
        return sample.unit, 0
    measure = sample.unitOfMeasure
    return (None, 0) if measure is None else (measure.unit, measure.multiplier or 0)


def _plain(value: Any) -> int | None:
    """A number as nearly all stations send it, in a tenth of the time that `to_wh` takes; None for any other."""
    if type(value) is str:
        return int(value) if len(value) < _DIGITS_FAST and value.isascii() and value.isdecimal() else None
    if type(value) is Decimal and value.is_finite() and value.adjusted() < _DIGITS_FAST:
        return round(value)
    return None


def _wh(sample: Any, split_unit: bool) -> int | None:
    if not split_unit and sample.format == "SignedData":
        return None
    unit, multiplier = _unit(sample, split_unit)
    if not multiplier and (unit is None or unit == "Wh"):
        plain = _plain(sample.value)
        if plain is not None:
            return plain
    return wh(sample.value, unit, multiplier)


def wh(value: Any, unit: str | None = None, multiplier: int = 0) -> int | None:
    """The energy in Wh, or None for what is no such number: only that sample is dropped (quirk Q-M14)."""
    if value is None:
        return None
    try:
        return to_wh(value, unit, multiplier)
    except ValueError:
        return None


def _power_w(sample: Any, split_unit: bool) -> int | None:
    """W from W or kW: the same powers of ten as for energy."""
    unit, multiplier = _unit(sample, split_unit)
    watts = None
    if not multiplier and (unit is None or unit == "W"):
        watts = _plain(sample.value)
    if watts is None:
        if unit is not None and unit.strip().casefold() not in ("w", "kw"):
            return None
        watts = wh(sample.value, None if unit is None else unit.strip() + "h", multiplier)
    return watts if watts is not None and abs(watts) <= POWER_W_MAX else None
