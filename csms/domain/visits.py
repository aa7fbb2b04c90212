"""Sessions of the past as choosing vouchers sees them: priced by a tariff of now, cut where a product may change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from csms.base.units import SECONDS_PER_HOUR
from csms.domain import quarter_pieces
from csms.domain.charge_pieces import Piece, pieces
from csms.domain.offer_takes import Product, Visit
from csms.domain.offers import HISTORY_DAYS
from csms.domain.quarter_pieces import EPOCH, Quarter
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


def cuts(products: Iterable[Product]) -> tuple[Restrictions, ...]:
    """Where the clock matters to one of these products, so that sessions are cut there; each once."""
    told = (product.terms.conditions.restrictions for product in products)
    return tuple(dict.fromkeys(found for found in told if found is not None))


def begin(now: datetime) -> datetime:
    """When the history begins that counts."""
    return now - timedelta(days=HISTORY_DAYS)


def charged(start: datetime, seconds: Number, wh: Number) -> Period:
    """So many Wh, evenly in so many seconds from `start` on; none: parked. The power is the mean."""
    end = start + int(seconds * SECOND_US) * MICROSECOND
    if not wh:
        return Period(start, end, 0, 0, seconds, 0, 0)
    power_w = Fraction(wh * SECONDS_PER_HOUR, seconds) if seconds else None
    return Period(start, end, wh, seconds, 0, power_w, power_w)


def told(start: datetime, seconds: Number, wh: Number, place: Place, asked: Iterable[Restrictions]) -> Visit:
    """A session of which nothing else is known; `asked` are the conditions that it is cut for (`cuts`)."""
    return _visit(start, place, pieces((charged(start, seconds, wh),), place.tariff, place.zone, asked))


def kept(
    quarters: Sequence[Quarter],
    place: Place,
    asked: tuple[Restrictions, ...],
    now: datetime,
    *,
    by_vehicle: bool = True,
) -> Visit:
    """A session that is kept in quarters of an hour, in the order of time, for a history that ends `now`."""
    found = quarter_pieces.pieces(quarters, place.tariff, place.zone, asked, now)
    if found is None:
        periods = [charged(EPOCH + at_us * MICROSECOND, seconds, wh) for at_us, wh, seconds in quarters]
        found = pieces(periods, place.tariff, place.zone, asked)
    return _visit(EPOCH + quarters[0][0] * MICROSECOND, place, found, by_vehicle)


def _visit(start: datetime, place: Place, found: Iterable[Piece], by_vehicle: bool = True) -> Visit:
    return Visit(start, place.station_id, place.site_id, tuple(found), place.provider_id, place.site_tags, by_vehicle)
