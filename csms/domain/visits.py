"""Sessions of the past as choosing vouchers sees them: priced by a tariff of now, cut where a product may change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from csms.base.units import SECONDS_PER_HOUR
from csms.domain import quarter_pieces
from csms.domain.charge_pieces import pieces
from csms.domain.offers import HISTORY_DAYS, Product, Visit
from csms.domain.tariff_document import Tariff
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number, Period
from csms.domain.tariff_restrictions import Restrictions


class Place(NamedTuple):
    """Where a session was: whose station, in which zone (None: UTC), what is asked there now, the tags of its site."""

    station_id: str | None
    site_id: str | None
    provider_id: str | None
    zone: str | None
    tariff: Tariff
    site_tags: tuple[str, ...] = ()


def cuts(products: Iterable[Product]) -> list[Restrictions]:
    """Where the clock matters to one of these products, so that sessions are cut there; each once."""
    told = (product.terms.conditions.restrictions for product in products)
    return list(dict.fromkeys(found for found in told if found is not None))


def begin(now: datetime) -> datetime:
    """When the history begins that counts."""
    return now - timedelta(days=HISTORY_DAYS)


def asks_power(asked: Iterable[Restrictions], tariff: Tariff) -> bool:
    """Whether the power of a use matters to its price, or to one of these conditions."""
    told = (*asked, *(element.restrictions for element in tariff.elements if element.restrictions is not None))
    return any(
        bound is not None
        for one in told
        for bound in (one.min_power_w, one.max_power_w, one.min_current_a, one.max_current_a)
    )


def charged(start: datetime, seconds: Number, wh: Number, *, powered: bool = True) -> Period:
    """
    So many Wh, evenly in so many seconds from `start` on; none: parked. The power is the mean.

    Not `powered`: nobody asks for the power, and it is left out.
    """
    end = start + int(seconds * SECOND_US) * MICROSECOND
    if not wh:
        return Period(start, end, 0, 0, seconds, 0, 0)
    power_w = Fraction(wh * SECONDS_PER_HOUR, seconds) if seconds and powered else None
    return Period(start, end, wh, seconds, 0, power_w, power_w)


def visit(periods: Sequence[Period], place: Place, asked: Iterable[Restrictions], *, by_vehicle: bool = True) -> Visit:
    """One session of these periods, in the order of time; `asked` are the conditions that it is cut for (`cuts`)."""
    asked = list(asked)
    found = quarter_pieces.pieces(periods, place.tariff, place.zone, asked)
    priced = tuple(pieces(periods, place.tariff, place.zone, asked) if found is None else found)
    return Visit(
        periods[0].start, place.station_id, place.site_id, priced, place.provider_id, place.site_tags, by_vehicle
    )
