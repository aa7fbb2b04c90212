"""
How a driver uses stations, from the quarters of an hour of the last 56 days (docs/reference/tendency.md).

The database computes it for many drivers at once (`db/queries/tendency.sql`); this is the same, to be read and to be
compared with. Only metered use counts: nothing of age, gender, address or device is known here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil, log2
from typing import Literal, NamedTuple, TypeVar

from csms.base.units import SECONDS_PER_HOUR
from csms.domain.tariff_clock import zone_of

HISTORY = timedelta(days=56)
WEEK = timedelta(days=7)
WEEKS_MAX = 8
BAND_HOURS = 4
BANDS = 6
SATURDAY = 6
STATIONS_MAX = 5
"""Of the stations that a driver uses the most used ones are named."""
QUARTILES = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
POWERS_W = (7_400, 22_000)
"""Below the first is charging at home or at a lamp post, up to the second three phases, above it direct current."""
ANY = "any"
"""The region of a site, and the class of a vehicle, of which none is known."""

Confidence = Literal["low", "medium", "high"]
Key = TypeVar("Key", bound=Hashable)


class Used(NamedTuple):
    """A segment with where it was: `zone` and `region` are its site's, None where there is none. Wh and seconds."""

    at: datetime
    session_id: Hashable
    station_id: str
    wh: int
    seconds: int
    cheap: bool | None = None
    site_id: str | None = None
    zone: str | None = None
    region: str | None = None


class Tendency(NamedTuple):
    """
    What the use of 56 days comes to; energies in Wh, durations in seconds.

    `bands_wh`: weekdays from 0 to 4 h, 4 to 8 h ..., then weekends; `power_wh`: below 7.4 kW, to 22 kW, above.
    Quartiles and medians are values that occur: of an even number the lower middle one. A week is seven days before
    now, before those, ... until the first session; a session is of the week in which it began. `entropy` in bits.
    """

    sessions: int
    weeks: int
    wh: int
    week_wh_mean: int
    week_wh_median: int
    bands_wh: tuple[int, ...]
    session_wh: tuple[int, ...]
    session_s: tuple[int, ...]
    stations: tuple[str, ...]
    stations_wh: tuple[int, ...]
    station_count: int
    entropy: float
    power_wh: tuple[int, ...]
    cheap_wh: int
    priced_wh: int
    swaps: int
    region: str
    confidence: Confidence


def confidence(weeks: int, sessions: int) -> Confidence:
    """How much a history can tell."""
    if weeks >= WEEKS_MAX and sessions >= 12:
        return "high"
    return "medium" if weeks >= 2 and sessions >= 4 else "low"


def of(used: Iterable[Used], now: datetime, swaps: int = 0) -> Tendency | None:
    """What the segments of the 56 days before `now` come to, with so many packs rented; None where there are none."""
    history = [one for one in used if now - HISTORY < one.at <= now]
    if not history:
        return None
    by_session = _grouped((one.session_id, one) for one in history)
    weeks_wh = [0] * WEEKS_MAX
    for session in by_session.values():
        weeks_wh[(now - min(one.at for one in session)) // WEEK] += _wh(session)
    weeks = max((now - one.at) // WEEK for one in history) + 1
    by_station = {id_: _wh(found) for id_, found in _grouped((one.station_id, one) for one in history).items()}
    most_used = sorted(by_station, key=lambda id_: (-by_station[id_], id_))[:STATIONS_MAX]
    total = _wh(history)
    return Tendency(
        len(by_session),
        weeks,
        total,
        sum(weeks_wh[:weeks]) // weeks,
        quantiles(weeks_wh[:weeks], (QUARTILES[1],))[0],
        _bands(history),
        quantiles([_wh(session) for session in by_session.values()]),
        quantiles([sum(one.seconds for one in session) for session in by_session.values()]),
        tuple(most_used),
        tuple(by_station[id_] for id_ in most_used),
        len(by_station),
        entropy(by_station.values()),
        _powers(history),
        _wh([one for one in history if one.cheap]),
        _wh([one for one in history if one.cheap is not None]),
        swaps,
        _region(history),
        confidence(weeks, len(by_session)),
    )


def quantiles(values: Iterable[int], wanted: Sequence[Fraction] = QUARTILES) -> tuple[int, ...]:
    """Of each share the least value that so many are not above, as `percentile_disc` in SQL."""
    ordered = sorted(values)
    return tuple(ordered[ceil(share * len(ordered)) - 1] for share in wanted)


def entropy(parts: Iterable[int]) -> float:
    """Shannon's, in bits."""
    parts = sorted(part for part in parts if part)
    total = sum(parts)
    return -sum(part / total * log2(part / total) for part in parts) if len(parts) > 1 else 0.0


def _grouped(pairs: Iterable[tuple[Key, Used]]) -> dict[Key, list[Used]]:
    groups: dict[Key, list[Used]] = defaultdict(list)
    for key, one in pairs:
        groups[key].append(one)
    return groups


def _wh(used: Sequence[Used]) -> int:
    return sum(one.wh for one in used)


def _bands(history: Sequence[Used]) -> tuple[int, ...]:
    bands = [0] * (2 * BANDS)
    for one in history:
        local = one.at.astimezone(zone_of(one.zone))
        bands[(BANDS if local.isoweekday() >= SATURDAY else 0) + local.hour // BAND_HOURS] += one.wh
    return tuple(bands)


def _powers(history: Sequence[Used]) -> tuple[int, ...]:
    """Wh by the mean power of their segment; of none that took no time."""
    powers = [0] * (len(POWERS_W) + 1)
    low_w, high_w = POWERS_W
    for one in history:
        watt_seconds = one.wh * SECONDS_PER_HOUR
        if one.seconds:
            powers[(watt_seconds >= low_w * one.seconds) + (watt_seconds > high_w * one.seconds)] += one.wh
    return tuple(powers)


def _region(history: Sequence[Used]) -> str:
    """That of the site where most flowed; of equal ones the first by id, and one of no site before all."""
    by_site = _grouped((one.site_id or "", one) for one in history)
    first = min(by_site, key=lambda id_: (-_wh(by_site[id_]), id_))
    return by_site[first][0].region or ANY
