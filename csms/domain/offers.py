"""
Which vouchers to offer a driver: each product tried out on how the driver really charged (shared/vouchers.md).

A product of L days is laid over every window of L days of the last 56, moved on by a day: what it would have taken
off the price there, used up in the order of time, less what it costs. Nothing but the history, the tariffs and the
products counts: the same history gets the same offers, at the same prices.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import accumulate
from math import ceil, floor
from typing import NamedTuple

from csms.base.money import from_minor, to_minor
from csms.base.units import SECONDS_PER_HOUR
from csms.domain.charge_pieces import Piece
from csms.domain.pack_rows import Unit
from csms.domain.voucher_charge import COUNTED
from csms.domain.voucher_terms import Terms

HISTORY_DAYS = 56
OFFERS_MAX = 3
GAIN_MIN = Fraction(60, 100)
"""A voucher is offered if it would have saved money in so many of its windows."""

DAY_S = 24 * SECONDS_PER_HOUR


class Visit(NamedTuple):
    """A session of the past, priced by the tariff that would be asked now."""

    start: datetime
    station_id: str | None
    site_id: str | None
    pieces: tuple[Piece, ...]


class Product(NamedTuple):
    """What is on sale, as far as choosing needs it; the price in minor units."""

    id: str
    version: int
    unit: Unit
    amount: int
    price_minor: int
    currency: str
    valid_days: int
    uses_max: int | None
    terms: Terms


class Offer(NamedTuple):
    """
    What a product would have meant for a driver, in minor units of its currency for its `valid_days`.

    `expected` is the mean over all windows, rounded down, `worst` the least, `gain` the share of windows in which
    money was saved; the voucher's own price is taken off. `covered` of `used` Wh are what it covers in the mean.
    `extrapolated`: the driver is known for fewer days than it is valid. Of no windows nothing is known.
    """

    product: Product
    expected: int
    worst: int
    gain: Fraction
    windows: int
    extrapolated: bool
    recommended: bool = False
    covered: int = 0
    used: int = 0


class _Take(NamedTuple):
    """What a piece would take of a voucher that never ends: units, and the saving, exact."""

    at_s: Fraction
    visit: int
    units: int
    saving: Fraction


def offers(visits: Sequence[Visit], products: Iterable[Product], now: datetime) -> list[Offer]:
    """At most three, the best first; if none would save money the single best one, not recommended; empty of none."""
    return choose(judge(visits, product, now) for product in products)


def choose(judged: Iterable[Offer]) -> list[Offer]:
    """Which of the judged products are offered. Nothing but their figures orders them."""
    ranked = sorted(judged, key=_rank)
    good = [offer._replace(recommended=True) for offer in ranked if offer.expected > 0 and offer.gain >= GAIN_MIN]
    return good[:OFFERS_MAX] if good else ranked[:1]


def _rank(offer: Offer) -> tuple[int, int, int, str]:
    return -offer.expected, -offer.worst, offer.product.price_minor, offer.product.id


def days_known(visits: Sequence[Visit], now: datetime) -> int:
    """Whole days, begun ones too, since the first session of a history; at most 56."""
    if not visits:
        return 0
    seconds = (now - min(visit.start for visit in visits)).total_seconds()
    return min(HISTORY_DAYS, max(1, ceil(seconds / DAY_S)))


def judge(visits: Sequence[Visit], product: Product, now: datetime) -> Offer:
    """
    One product over all windows of a history that ends `now`.

    Of a history that is shorter than the product is valid all windows begin in it, and go on from its start again.
    """
    known, length = days_known(visits, now), product.valid_days
    begin = now - timedelta(days=known)
    takes = [take for take in _takes(visits, product, begin) if 0 <= take.at_s < known * DAY_S]
    extrapolated = known < length
    starts = range(known) if extrapolated else range(known - length + 1)
    if extrapolated and known:
        rounds = -(-(known + length) // known)
        apart = len(visits)
        takes = [
            take._replace(at_s=take.at_s + round_ * known * DAY_S, visit=take.visit + round_ * apart)
            for round_ in range(rounds)
            for take in takes
        ]
    price = from_minor(product.price_minor, product.currency)
    over = _Windows(takes, product)
    found = [over.saving(day * DAY_S, (day + length) * DAY_S) for day in starts]
    nets = [saving - price for saving, _ in found] or [-price]
    mean = sum(nets, Fraction(0)) / len(nets)
    used = sum(_wh(visit) for visit in visits)
    return Offer(
        product,
        floor(mean * _scale(product.currency)),
        floor(min(nets) * _scale(product.currency)),
        Fraction(sum(net > 0 for net in nets), len(nets)) if found else Fraction(0),
        len(found),
        extrapolated,
        covered=floor(Fraction(sum(units for _, units in found), len(found))) if found else 0,
        used=used * length // known if known else 0,
    )


def _scale(currency: str) -> Fraction:
    """Minor units of one unit."""
    return 1 / from_minor(1, currency)


def _wh(visit: Visit) -> int:
    return floor(max((piece.high for piece in visit.pieces if piece.dimension == "ENERGY"), default=0))


class _Windows:
    """The takes of a product by time, and what they add up to from the first on."""

    def __init__(self, takes: Sequence[_Take], product: Product) -> None:
        self._product = product
        self._takes = sorted(takes, key=lambda take: (take.at_s, take.visit))
        self._times = [take.at_s for take in self._takes]
        self._units = [0, *accumulate(take.units for take in self._takes)]
        self._savings = [Fraction(0), *accumulate(take.saving for take in self._takes)]

    def saving(self, from_s: int, until_s: int) -> tuple[Fraction, int]:
        """(exact saving, units taken) of a voucher that begins at `from_s` and ends before `until_s`."""
        first, last = bisect_left(self._times, from_s), bisect_left(self._times, until_s)
        if self._product.uses_max is not None:
            last = self._after_uses(first, last, self._product.uses_max)
        room = self._units[first] + self._product.amount
        if self._units[last] <= room:
            return self._savings[last] - self._savings[first], self._units[last] - self._units[first]
        full = bisect_left(self._units, room, first, last)  # the take after which it is used up
        full = full if self._units[full] == room else full - 1
        saved = self._savings[full] - self._savings[first]
        part = self._takes[full]
        saved += part.saving * (room - self._units[full]) / part.units
        return saved, self._product.amount

    def _after_uses(self, first: int, last: int, uses_max: int) -> int:
        visits: set[int] = set()
        for place in range(first, last):
            if self._takes[place].units:
                visits.add(self._takes[place].visit)
            if len(visits) > uses_max:
                return place
        return last


def _takes(visits: Sequence[Visit], product: Product, begin: datetime) -> list[_Take]:
    """What each piece of a history would take of a voucher without an end."""
    effect, conditions = product.terms.effect, product.terms.conditions
    counted = effect.fees if effect.kind == "fee_waived" else COUNTED[product.unit]
    found: list[_Take] = []
    for place, visit in enumerate(visits):
        if not conditions.at(visit.station_id, visit.site_id, "charge"):
            continue
        start_s = Fraction(int((visit.start - begin).total_seconds()))
        if product.unit == "val":
            found += _of_value(visit, product, start_s, place)
            continue
        fresh = True
        for piece in visit.pieces:
            if piece.dimension not in counted or not conditions.during(piece.state):
                continue
            units = int(fresh) if effect.kind == "fee_waived" else floor(piece.high) - floor(piece.low)
            saving = (piece.high - piece.low) * effect.saving(piece.incl)
            if saving > 0:
                found.append(_Take(start_s + piece.state.elapsed_s, place, units, saving))
                fresh = False
    return found


def _of_value(visit: Visit, product: Product, start_s: Fraction, place: int) -> list[_Take]:
    """Value pays for a whole session, if its conditions are met where that begins."""
    if not visit.pieces or not product.terms.conditions.during(visit.pieces[0].state):
        return []
    cost = sum(((piece.high - piece.low) * piece.incl for piece in visit.pieces), Fraction(0))
    units = to_minor(cost, product.currency)
    return [_Take(start_s, place, units, from_minor(units, product.currency))] if units else []
