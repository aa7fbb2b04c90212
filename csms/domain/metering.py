"""What stations measured, turned into energy that may be billed; what is implausible is held for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from csms.base.units import SECONDS_PER_HOUR
from csms.domain.events import Reading
from csms.domain.evidence import Point, proven
from csms.domain.plausible import TIME_FLAGS, TOLERANCE_WH, WH_MAX, ceiling_wh, plausible_time
from csms.domain.session import Progress, Session

__all__ = [
    "NEEDS_SERIES",
    "TOLERANCE_WH",
    "Energy",
    "NeedsSeries",
    "ceiling_wh",
    "interval",
    "judge",
    "plausible_time",
    "to_wh",
]

FACTOR_MIN, FACTOR_MAX, FACTOR_WH_MIN = 300, 3_000, 1_000
"""Power that amounts to about 1000 times the metered energy, and to a kWh at least: a wrong unit (Q-M01)."""

_TEXT_LENGTH_MAX = 64
_EXPONENT_MAX = 30
_DIGITS = Context(prec=200)
_UNIT_EXPONENT = {"wh": 0, "kwh": 3, "mwh": 6}


def to_wh(value: object, unit: str | None, multiplier: int = 0) -> int:
    """
    An energy value as a station wrote it, in Wh, rounded half to even (Q-M13, Q-M14, Q-M17, Q-M22).

    `value` is text (blanks around it and a decimal comma are read), an integer, a float or a
    Decimal. `unit` is `Wh`, `kWh` or `MWh` in any case; None is the protocol's default, Wh.
    `multiplier` is the 2.x power of ten. Raises ValueError, and nothing else, for what is not such
    a number (`""`, `null`, NaN, infinity), for another unit, and beyond +-2**62 Wh: drop that
    reading only.
    """
    exponent = _UNIT_EXPONENT.get("wh" if unit is None else unit.strip().casefold())
    if exponent is None:
        raise ValueError(f"{unit!r} is not a unit of energy")
    if abs(multiplier) > _EXPONENT_MAX:
        raise ValueError(f"the multiplier {multiplier} is out of range")
    number = _number(value)
    if number and not -_EXPONENT_MAX <= number.adjusted() <= _EXPONENT_MAX:
        if number.adjusted() > 0:
            raise ValueError(f"{value!r} is out of range")
        number = Decimal(0)
    wh = int(number.scaleb(exponent + multiplier, _DIGITS).to_integral_value(ROUND_HALF_EVEN))
    if abs(wh) > WH_MAX:
        raise ValueError(f"{value!r} is out of range")
    return wh


def _number(value: object) -> Decimal:
    """The finite number in a wire value, or ValueError."""
    match value:
        case bool():
            raise ValueError("a truth value is not a number")
        case Decimal():
            number = value
        case int():
            if abs(value) > 10**_EXPONENT_MAX:
                raise ValueError("the number is out of range")
            number = Decimal(value)
        case float():
            number = Decimal(repr(value))
        case str():
            text = value.strip()
            if not text or len(text) > _TEXT_LENGTH_MAX or "_" in text:
                raise ValueError(f"{value[:_TEXT_LENGTH_MAX]!r} is not a number")
            if "." not in text and text.count(",") == 1:
                text = text.replace(",", ".")
            try:
                number = Decimal(text)
            except InvalidOperation:
                raise ValueError(f"{value!r} is not a number") from None
        case _:
            raise ValueError(f"{type(value).__name__} is not a number")
    if not number.is_finite() or len(number.as_tuple().digits) > _TEXT_LENGTH_MAX:
        raise ValueError("the number is not finite, or has too many digits")
    return number


@dataclass(frozen=True, slots=True)
class Energy:
    """
    The outcome of a metered interval.

    `wh` may be billed. `held` means that it may not: then `wh` is 0, and `claimed_wh` is what the
    registers say (it may be negative), for staff. `flags` say why, in words fit for a report; an
    energy that is not held may carry flags too. `why` is the reason of a review.
    """

    wh: int
    held: bool
    flags: tuple[str, ...] = ()
    claimed_wh: int = 0
    why: str = "implausible_energy"


class NeedsSeries:
    """The registers alone cannot be judged: every reading of the session is wanted."""


NEEDS_SERIES = NeedsSeries()

SIGNED_START, SIGNED_END, SIGNATURE_INVALID = "signed_start", "signed_end", "signature_invalid"
"""Flags of a session whose registers its meter signed, or whose signed registers were forged."""


def judge(
    session: Session,
    progress: Progress,
    series: Sequence[Reading] | None = None,
    closed_at: datetime | None = None,
    boots: Sequence[datetime] = (),
) -> Energy | NeedsSeries:
    """
    The energy of a session that has ended, in Wh, from all that is known of it.

    Registers in order are judged at once. Where one is missing, or a reading lies outside them, the
    stored readings decide: without `series` (by time) the answer is then `NEEDS_SERIES`. `boots`
    are those of its station meanwhile. Where the station's clock is not believed, the time between
    the first report and `closed_at`, by our clock, bounds what can have flowed.
    """
    start, end = session.meter_start_wh, session.meter_end_wh
    if SIGNATURE_INVALID in session.flags:
        claimed = 0 if start is None or end is None else end - start
        return Energy(0, True, (), claimed, SIGNATURE_INVALID)
    believed = TIME_FLAGS.isdisjoint(session.flags) and session.started_at is not None and session.ended_at is not None
    elapsed_s = _elapsed_s(session, closed_at, believed)
    mean_power_w = progress.mean_power_w()
    lowest, highest = progress.lowest_wh, progress.highest_wh
    if lowest is None or highest is None:
        return interval(start, end, elapsed_s, session.max_power_w, mean_power_w)
    if start is not None and end is not None:
        signed = SIGNED_START in session.flags and SIGNED_END in session.flags
        if signed or (lowest >= start - TOLERANCE_WH and highest <= end + TOLERANCE_WH):
            return interval(start, end, elapsed_s, session.max_power_w, mean_power_w)
    if series is None:
        return NEEDS_SERIES
    ended_at = session.ended_at if believed else None
    proof = proven(
        None if start is None else Point(session.started_at if believed else None, start),
        [reading for reading in series if ended_at is None or reading.at <= ended_at],
        None if end is None else Point(ended_at, end),
        session.max_power_w,
        boots,
    )
    if proof.against is not None:
        claimed = (highest if end is None else end) - (lowest if start is None else start)
        return Energy(0, True, (*proof.flags, proof.against), claimed)
    return _limited(proof.wh, elapsed_s, session.max_power_w, mean_power_w, proof.flags)


def _elapsed_s(session: Session, closed_at: datetime | None, believed: bool) -> int | None:
    """How long energy can have flowed: by the station's clock, else by ours, else nobody knows."""
    if believed:
        assert session.started_at is not None
        assert session.ended_at is not None
        return max(0, int((session.ended_at - session.started_at).total_seconds()))
    return None if closed_at is None else max(0, int((closed_at - session.opened_at).total_seconds()))


def interval(
    meter_start: int | None,
    meter_end: int | None,
    elapsed_s: int | None,
    max_power_w: int | None,
    mean_power_w: int | None = None,
) -> Energy:
    """
    The energy between two registers, in Wh.

    `elapsed_s` is how long energy can have flowed, None when no clock can be believed; `mean_power_w`
    is the average of the power readings, if there were any (Q-M01).

    Held, never billed: registers missing, an end 10 Wh or more below the start (Q-M04), more than
    the connector can give (Q-R3, Q-M02), a unit wrong by about 1000 (Q-M01).
    """
    if meter_start is None or meter_end is None:
        missing = [
            flag
            for flag, register in (("start_register_missing", meter_start), ("end_register_missing", meter_end))
            if register is None
        ]
        return Energy(0, True, (*missing, "no_interval"))
    return _limited(meter_end - meter_start, elapsed_s, max_power_w, mean_power_w, ())


def _limited(
    claimed: int, elapsed_s: int | None, max_power_w: int | None, mean_power_w: int | None, flags: tuple[str, ...]
) -> Energy:
    """The claimed energy, if it can have flowed."""
    if elapsed_s is None:
        flags = (*flags, "time_unknown")
    if -TOLERANCE_WH < claimed < 0:
        return Energy(0, False, (*flags, "end_slightly_below_start"), claimed)
    if claimed < 0:
        return Energy(0, True, (*flags, "end_below_start"), claimed)
    if claimed > ceiling_wh(elapsed_s, max_power_w):
        return Energy(0, True, (*flags, "above_ceiling"), claimed)
    if _is_factor_1000(claimed, elapsed_s, mean_power_w):
        return Energy(0, True, (*flags, "unit_factor_1000"), claimed)
    return Energy(claimed, False, flags, claimed)


def _is_factor_1000(claimed_wh: int, elapsed_s: int | None, mean_power_w: int | None) -> bool:
    """Whether the power readings amount to about 1000 times the registers: kWh labelled Wh (Q-M01)."""
    if elapsed_s is None or mean_power_w is None:
        return False
    by_power_wh = max(0, mean_power_w) * max(0, elapsed_s) // SECONDS_PER_HOUR
    metered_wh = max(1, claimed_wh)
    return by_power_wh >= FACTOR_WH_MIN and FACTOR_MIN * metered_wh <= by_power_wh <= FACTOR_MAX * metered_wh
