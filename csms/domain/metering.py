"""What stations measured, turned into energy that may be billed; what is implausible is held for people to look at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

from csms.base.units import SECONDS_PER_HOUR

WH_MAX = 2**62
"""Registers beyond this are no registers: PostgreSQL's bigint holds the difference of any two."""

MAX_POWER_W = 400_000
"""Assumed of a connector whose power nobody told us: the fastest chargers in common use."""

CEILING_PERCENT = 125
"""Energy may exceed full power for the whole time by a quarter (Q-R3): clocks and ratings are inexact."""

TOLERANCE_WH = 10
"""Registers round: an end this little below its start, or above the ceiling, is no fault (Q-M04)."""

ELAPSED_UNKNOWN_S = 86_400
"""Assumed for the ceiling when no clock can be believed: one day."""

AHEAD_S = 300
"""A station's clock may be this far ahead of ours (Q-R4)."""

PLAUSIBLE_FROM = datetime(2015, 1, 1, tzinfo=UTC)
"""No session was reported over OCPP 1.6 or later before this; 1970 is a clock that was never set (Q-K01)."""

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
    energy that is not held may carry flags too.
    """

    wh: int
    held: bool
    flags: tuple[str, ...] = ()
    claimed_wh: int = 0


def ceiling_wh(elapsed_s: int | None, max_power_w: int | None) -> int:
    """The most energy a connector can have given in `elapsed_s` (Q-R3); None stands for what nobody knows."""
    seconds = ELAPSED_UNKNOWN_S if elapsed_s is None else max(0, elapsed_s)
    power = MAX_POWER_W if max_power_w is None else max_power_w
    return power * seconds * CEILING_PERCENT // (100 * SECONDS_PER_HOUR) + TOLERANCE_WH


def interval(
    meter_start: int | None,
    meter_end: int | None,
    elapsed_s: int | None,
    max_power_w: int | None,
    highest_wh: int | None = None,
    lowest_wh: int | None = None,
    mean_power_w: int | None = None,
) -> Energy:
    """
    The energy of a session from its registers, in Wh.

    `meter_start` and `meter_end` come from the Start and the Stop; `lowest_wh` and `highest_wh`
    are the registers of the readings between them, which serve only where one of the pair is
    missing (Q-M19) and are of the same class, lifetime or session-relative (Q-M03). `elapsed_s` is
    the longer of what the station's and our clock say, None when neither can be believed.
    `mean_power_w` is the average of the power readings, if there were any (Q-M01).

    Held, never billed: registers missing, an end 10 Wh or more below the start (Q-M04), more than
    the connector can give (Q-R3, Q-M02), a unit wrong by about 1000 (Q-M01).
    """
    flags: list[str] = []
    relative = meter_start is not None and lowest_wh is not None and lowest_wh <= meter_start - TOLERANCE_WH
    if relative:
        flags.append("readings_of_another_register")
        highest_wh = lowest_wh = None
    start, end = meter_start, meter_end
    if start is None:
        flags.append("start_register_missing")
        start = lowest_wh
    if end is None:
        flags.append("end_register_missing")
        end = highest_wh
    if start is None or end is None or (meter_start is None and meter_end is None and start == end):
        return Energy(0, True, (*flags, "no_interval"))

    claimed = end - start
    if elapsed_s is None:
        flags.append("time_unknown")
    if -TOLERANCE_WH < claimed < 0:
        return Energy(0, False, (*flags, "end_slightly_below_start"), claimed)
    if claimed < 0:
        return Energy(0, True, (*flags, "end_below_start"), claimed)
    if claimed > ceiling_wh(elapsed_s, max_power_w):
        return Energy(0, True, (*flags, "above_ceiling"), claimed)
    if _is_factor_1000(claimed, elapsed_s, mean_power_w):
        return Energy(0, True, (*flags, "unit_factor_1000"), claimed)
    return Energy(claimed, False, tuple(flags), claimed)


def _is_factor_1000(claimed_wh: int, elapsed_s: int | None, mean_power_w: int | None) -> bool:
    """Whether the power readings amount to about 1000 times the registers: kWh labelled Wh (Q-M01)."""
    if elapsed_s is None or mean_power_w is None:
        return False
    by_power_wh = max(0, mean_power_w) * max(0, elapsed_s) // SECONDS_PER_HOUR
    metered_wh = max(1, claimed_wh)
    return by_power_wh >= FACTOR_WH_MIN and FACTOR_MIN * metered_wh <= by_power_wh <= FACTOR_MAX * metered_wh


def plausible_time(
    reported: datetime | None, received: datetime, not_before: datetime | None, *, ahead_s: int = AHEAD_S
) -> tuple[datetime, str | None]:
    """
    The time to price by, and the flag when it is not the station's own (Q-R4, Q-K01, Q-K05, Q-K06).

    A `reported` time stands when it lies in [`not_before`, `received` + `ahead_s`]; otherwise
    `received` is taken, with `time_missing`, `time_too_early` or `time_ahead`. `not_before` is the
    station's boot or its last plausible time less its drift; None where neither is known. All are
    aware.
    """
    assert received.tzinfo is not None
    if reported is None:
        return received, "time_missing"
    if reported < (PLAUSIBLE_FROM if not_before is None else max(not_before, PLAUSIBLE_FROM)):
        return received, "time_too_early"
    if reported > received + timedelta(seconds=ahead_s):
        return received, "time_ahead"
    return reported, None
