"""
What a history would take of a voucher: of each session, piece by piece, and what that adds up to between two days.

All is in whole numbers wherever a piece is: Python is ten times as fast with them as with fractions.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import accumulate
from math import floor, lcm
from operator import itemgetter
from typing import NamedTuple

from csms.base.money import from_minor, to_minor
from csms.base.units import SECONDS_PER_HOUR
from csms.domain.charge_pieces import Piece
from csms.domain.pack_rows import Unit
from csms.domain.tariff_document import Dimension
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number
from csms.domain.tariff_restrictions import Restrictions, State
from csms.domain.voucher_charge import COUNTED
from csms.domain.voucher_terms import Terms

DAY_S = 24 * SECONDS_PER_HOUR
DAY_US = DAY_S * SECOND_US
SECONDS = COUNTED["sec"]
CUT_MAX = 2**256
"""Whole numbers of smaller parts of a unit are no faster than fractions."""


class Visit(NamedTuple):
    """
    A session of the past, priced by the tariff that would be asked now. `site_tags` are those of its site now.

    `by_vehicle`: of the vehicle for which is chosen.
    """

    start: datetime
    station_id: str | None
    site_id: str | None
    pieces: tuple[Piece, ...]
    provider_id: str | None = None
    site_tags: tuple[str, ...] = ()
    by_vehicle: bool = True


class Product(NamedTuple):
    """What is on sale, as far as choosing needs it; the price in minor units. `provider_id` None: of the operator."""

    id: str
    version: int
    unit: Unit
    amount: int
    price_minor: int
    currency: str
    valid_days: int
    uses_max: int | None
    terms: Terms
    provider_id: str | None = None


class Take(NamedTuple):
    """What a piece would take of a voucher that never ends: when, in whole microseconds, units, and the saving."""

    at_us: int
    visit: int
    units: int
    saving: Number


class _Row(NamedTuple):
    """A piece of a session, as all products look at it: `at_us` after the history begins."""

    dimension: Dimension
    at_us: int
    units: int
    length: Number
    incl: Fraction
    met: int
    """Which of the products' conditions are met, a bit for each."""


class Laid(NamedTuple):
    """A session, when it was (us after the history begins), and its pieces."""

    visit: Visit
    at_us: int
    rows: list[_Row]

    def flows(self) -> Iterator[Take]:
        """Its Wh, as what covers all and takes nothing off."""
        return (Take(row.at_us, 0, row.units, 0) for row in self.rows if row.dimension == "ENERGY")


def lay(visits: Iterable[Visit], begin: datetime, asked: Sequence[Restrictions | None]) -> list[Laid]:
    """A history, laid out once for all products, of which these are the conditions."""
    tests = [_remembered(restrictions) for restrictions in asked]
    starts = ((visit, (visit.start - begin) // MICROSECOND) for visit in visits)
    return [Laid(visit, start_us, _rows(visit, start_us, tests)) for visit, start_us in starts]


def _rows(visit: Visit, start_us: int, tests: Sequence[Callable[[State], bool]]) -> list[_Row]:
    """
    The pieces of a session; those that follow each other at one price, and meet the same conditions, are one.

    Not over the end of a day that is counted from the begin of the history, because windows begin there, and not past
    seconds of another kind: parked and charging ones may be taken of the same voucher.
    """
    found: list[_Row] = []
    last: dict[Dimension, int] = {}
    for dimension, low, high, incl, _, state in visit.pieces:
        at_us = start_us + floor(state.elapsed_s * SECOND_US)
        met = sum(1 << place for place, test in enumerate(tests) if test(state))
        units, length = floor(high) - floor(low), high - low
        before = found[last[dimension]] if dimension in last else None
        if (
            before is not None
            and before.incl is incl
            and before.met == met
            and before.at_us // DAY_US == at_us // DAY_US
        ):
            found[last[dimension]] = before._replace(units=before.units + units, length=before.length + length)
        else:
            last[dimension] = len(found)
            found.append(_Row(dimension, at_us, units, length, incl, met))
        if dimension in SECONDS:  # both take of one voucher, in the order of time
            last = {place: row for place, row in last.items() if place not in SECONDS or place == dimension}
    return found


def takes(laid: Sequence[Laid], product: Product, bit: int) -> tuple[list[Take], int]:
    """
    What each piece of a history would take of a voucher without an end; savings in so many parts of a minor unit.

    `bit`: which of the conditions that the history was laid out for are the product's.
    """
    effect, conditions = product.terms.effect, product.terms.conditions
    there = [
        (place, one)
        for place, one in enumerate(laid)
        if product.provider_id in (None, one.visit.provider_id)
        and conditions.at(one.visit.station_id, one.visit.site_id, "charge", one.visit.site_tags)
        and (one.visit.by_vehicle or not conditions.vehicle)
    ]
    if product.unit == "val":
        return [take for place, one in there for take in _of_value(one, product, place)], 1
    prices = {id(row.incl): row.incl for _, one in there for row in one.rows}
    minor = from_minor(1, product.currency)
    savings = {place: effect.saving(price) / minor for place, price in prices.items()}
    parts = lcm(*(saving.denominator for saving in savings.values()))
    rates = {place: int(saving * parts) for place, saving in savings.items()}
    found = [take for place, one in there for take in _of(one.rows, product, place, rates, bit)]
    cut = lcm(*{take.saving.denominator for take in found})
    if cut == 1 or cut > CUT_MAX:
        return found, parts
    return [take._replace(saving=int(take.saving * cut)) for take in found], parts * cut


def _remembered(told: Restrictions | None) -> Callable[[State], bool]:
    """Whether restrictions are met, asked once for each minute of the week where they ask for nothing but the clock."""
    if told is None:
        return lambda state: True
    if told != Restrictions(told.start_time, told.end_time, days=told.days):
        return told.met
    known: dict[int, bool] = {}

    def during(state: State) -> bool:
        local = state.local
        minute = (local.weekday() * 24 + local.hour) * 60 + local.minute
        answer = known.get(minute)
        if answer is None:
            answer = known[minute] = told.met(state)
        return answer

    return during


def _of(rows: Sequence[_Row], product: Product, place: int, rates: dict[int, int], bit: int) -> Iterator[Take]:
    """What a session would take; `rates` by the identity of a price: it is one object in all pieces that have it."""
    effect = product.terms.effect
    waived = effect.kind == "fee_waived"
    counted = effect.fees if waived else COUNTED[product.unit]
    fresh = True
    for dimension, at_us, units, length, incl, met in rows:
        if dimension in counted and met & bit and (rate := rates[id(incl)]):
            yield Take(at_us, place, int(fresh) if waived else units, length * rate)
            fresh = False


def _of_value(one: Laid, product: Product, place: int) -> Iterator[Take]:
    """Value pays for a whole session, if its conditions are met where that begins."""
    pieces = one.visit.pieces
    if pieces and product.terms.conditions.during(pieces[0].state):
        cost = sum(((piece.high - piece.low) * piece.incl for piece in pieces), Fraction(0))
        if units := to_minor(cost, product.currency):
            yield Take(one.at_us, place, units, units)


class Windows:
    """The takes of a product by time, and what they add up to from the first on."""

    def __init__(self, takes: Sequence[Take], amount: int, uses_max: int | None) -> None:
        self._amount, self._uses_max = amount, uses_max
        self._takes = sorted(takes, key=itemgetter(0, 1))
        self._times = [take.at_us for take in self._takes]
        self._units = [0, *accumulate(take.units for take in self._takes)]
        self._savings: list[Number] = [0, *accumulate(take.saving for take in self._takes)]

    def saving(self, from_us: int, until_us: int) -> tuple[Number, int]:
        """(exact saving, units taken) of a voucher that begins at `from_us` and ends before `until_us`."""
        first, last = bisect_left(self._times, from_us), bisect_left(self._times, until_us)
        if self._uses_max is not None:
            last = self._after_uses(first, last, self._uses_max)
        room = self._units[first] + self._amount
        if self._units[last] <= room:
            return self._savings[last] - self._savings[first], self._units[last] - self._units[first]
        full = bisect_right(self._units, room, first, last) - 1  # the last take that it covers whole
        saved, part = self._savings[full] - self._savings[first], self._takes[full]
        share, rest = divmod(part.saving * (room - self._units[full]), part.units)
        return saved + (share + Fraction(rest) / part.units if rest else share), self._amount

    def _after_uses(self, first: int, last: int, uses_max: int) -> int:
        visits: set[int] = set()
        for place in range(first, last):
            if self._takes[place].units:
                visits.add(self._takes[place].visit)
            if len(visits) > uses_max:
                return place
        return last
