"""
Which vouchers to offer a driver: each product tried out on how the driver really charged (shared/vouchers.md).

A product of L days is laid over every window of L days of the last 56, moved on by a day: what it would have taken
off the price there, used up in the order of time, less what it costs. Nothing but the history, the tariffs and the
products counts: the same history gets the same offers, at the same prices.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import accumulate
from math import ceil, floor, lcm
from operator import itemgetter
from typing import Literal, NamedTuple

from csms.base.money import from_minor, to_minor
from csms.base.units import SECONDS_PER_HOUR
from csms.domain.charge_pieces import Piece
from csms.domain.pack_rows import Unit
from csms.domain.tariff_document import Dimension
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number
from csms.domain.tariff_restrictions import Restrictions, State
from csms.domain.voucher_charge import COUNTED
from csms.domain.voucher_terms import Terms

HISTORY_DAYS = 56
OFFERS_MAX = 3
GAIN_MIN = Fraction(60, 100)
"""A voucher is offered if it would have saved money in so many of its windows."""

COLD_SESSIONS = 6
"""So many sessions of one's own weigh as much as what is known of others."""

Confidence = Literal["high", "medium", "low"]
CONFIDENCE: tuple[tuple[Confidence, int, int], ...] = (("high", 8, 12), ("medium", 2, 4))
"""From so many weeks, begun ones too, and sessions on."""
DAYS_PER_WEEK = 7

WEEK_DAYS = 7
NO_LIMIT = 2**62
DAY_S = 24 * SECONDS_PER_HOUR
DAY_US = DAY_S * SECOND_US
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
    """What a piece would take of a voucher that never ends: when, in whole microseconds, units, and the saving."""

    at_us: int
    visit: int
    units: int
    saving: Number


def offers(
    visits: Sequence[Visit], products: Iterable[Product], now: datetime, since: datetime | None = None
) -> list[Offer]:
    """At most three, the best first; if none would save money the single best one, not recommended; empty of none."""
    return choose(judge_all(visits, products, now, since))


def choose(judged: Iterable[Offer]) -> list[Offer]:
    """Which of the judged products are offered. Nothing but their figures orders them."""
    ranked = sorted(judged, key=_rank)
    good = [offer._replace(recommended=True) for offer in ranked if offer.expected > 0 and offer.gain >= GAIN_MIN]
    return good[:OFFERS_MAX] if good else ranked[:1]


def _rank(offer: Offer) -> tuple[int, int, int, str]:
    return -offer.expected, -offer.worst, offer.product.price_minor, offer.product.id


def confidence(sessions: int, days: int) -> Confidence:
    """How far what is said of so many sessions in so many known days can be relied on."""
    weeks = -(-days // DAYS_PER_WEEK)
    return next((name for name, weeks_min, least in CONFIDENCE if weeks >= weeks_min and sessions >= least), "low")


def blend(own: Offer, cohort: Offer, sessions: int) -> Offer:
    """
    What is expected of a driver who is hardly known: n/(n+6) of the own figures, the rest those of the cohort.

    `cohort` is the same product judged on the history of the cohort's median driver. What was covered stays the own.
    """
    assert own.product == cohort.product
    weight = Fraction(sessions, sessions + COLD_SESSIONS)
    expected, worst, gain = (
        weight * mine + (1 - weight) * theirs
        for mine, theirs in (
            (own.expected, cohort.expected),
            (own.worst, cohort.worst),
            (own.gain, cohort.gain),
        )
    )
    return own._replace(expected=floor(expected), worst=floor(worst), gain=gain)


def days_known(visits: Sequence[Visit], now: datetime, since: datetime | None = None) -> int:
    """Whole days, begun ones too, since the first session of a history, or since the driver is known; at most 56."""
    if not visits:
        return 0
    first = min(visit.start for visit in visits)
    seconds = (now - (first if since is None else min(first, since))).total_seconds()
    return min(HISTORY_DAYS, max(1, ceil(seconds / DAY_S)))


def judge(visits: Sequence[Visit], product: Product, now: datetime, since: datetime | None = None) -> Offer:
    """One product, as `judge_all` judges many."""
    return judge_all(visits, [product], now, since)[0]


def judge_all(
    visits: Sequence[Visit], products: Iterable[Product], now: datetime, since: datetime | None = None
) -> list[Offer]:
    """
    Each product over all windows of a history that ends `now`; `since` when the driver is known, if for longer.

    A history that is shorter than a product is valid is repeated by whole weeks: what is not known of them is nothing.
    """
    products = list(products)
    known = days_known(visits, now, since)
    begin = now - timedelta(days=known)
    asked = list(dict.fromkeys(product.terms.conditions.restrictions for product in products))
    tests = [_remembered(restrictions) for restrictions in asked]
    laid = [_Laid(visit, _rows(visit, begin, tests)) for visit in visits]
    return [
        _judge(laid, product, known, begin, 1 << asked.index(product.terms.conditions.restrictions))
        for product in products
    ]


def _rows(visit: Visit, begin: datetime, tests: Sequence[Callable[[State], bool]]) -> list[_Row]:
    """
    The pieces of a session; those that follow each other at one price, and meet the same conditions, are one.

    Not over the end of a day that is counted from the begin of the history: windows begin there.
    """
    start_us = (visit.start - begin) // MICROSECOND
    found: list[_Row] = []
    last: dict[Dimension, int] = {}
    for dimension, low, high, incl, _, state in visit.pieces:
        at_us = start_us + floor(state.elapsed_s * SECOND_US)
        met = sum(1 << place for place, test in enumerate(tests) if test(state))
        units, length = floor(high) - floor(low), high - low
        place = last.get(dimension)
        before = None if place is None else found[place]
        if (
            place is not None
            and before is not None
            and before.incl is incl
            and before.met == met
            and before.at_us // DAY_US == at_us // DAY_US
        ):
            found[place] = before._replace(units=before.units + units, length=before.length + length)
        else:
            last[dimension] = len(found)
            found.append(_Row(dimension, at_us, units, length, incl, met))
    return found


def _judge(laid: Sequence[_Laid], product: Product, known: int, begin: datetime, bit: int) -> Offer:
    """One product over all windows of so many known days; `bit` says in which rows its conditions are met."""
    visits, length = [one.visit for one in laid], product.valid_days
    takes, denominator = _takes(laid, product, begin, bit)
    flows = [_Take(row.at_us, 0, row.units, 0) for one in laid for row in one.rows if row.dimension == "ENERGY"]
    takes, flows = ([take for take in some if 0 <= take.at_us < known * DAY_US] for some in (takes, flows))
    extrapolated = known < length
    starts = range(known - length + 1)
    if extrapolated and known:
        weeks = -(-known // WEEK_DAYS) * WEEK_DAYS
        starts = range(weeks)
        takes, flows = (_repeated(some, known, weeks, length, len(visits)) for some in (takes, flows))
    price = from_minor(product.price_minor, product.currency) * denominator
    over = _Windows(takes, product)
    found = [over.saving(day * DAY_US, (day + length) * DAY_US) for day in starts]
    nets = [saving - price for saving, _ in found] or [-price]
    minor = _scale(product.currency) / denominator
    used = _Windows(flows, product._replace(amount=NO_LIMIT, uses_max=None))
    seen = [used.saving(day * DAY_US, (day + length) * DAY_US)[1] for day in starts]
    return Offer(
        product,
        floor(sum(nets, Fraction(0)) * minor / len(nets)),
        floor(min(nets) * minor),
        Fraction(sum(net > 0 for net in nets), len(nets)) if found else Fraction(0),
        len(found),
        extrapolated,
        covered=floor(Fraction(sum(units for _, units in found), len(found))) if found else 0,
        used=floor(Fraction(sum(seen), len(seen))) if seen else 0,
    )


def _repeated(takes: Sequence[_Take], known: int, weeks: int, length: int, visits: int) -> list[_Take]:
    """The known days at the end of so many whole weeks (in days), again and again until every window is full."""
    rounds = -(-(weeks + length) // weeks)
    return [
        take._replace(at_us=take.at_us + (weeks - known + round_ * weeks) * DAY_US, visit=take.visit + round_ * visits)
        for round_ in range(rounds)
        for take in takes
    ]


def _scale(currency: str) -> Fraction:
    """Minor units of one unit."""
    return 1 / from_minor(1, currency)


class _Row(NamedTuple):
    """A piece of a session, as all products look at it: `at_us` after the history begins."""

    dimension: Dimension
    at_us: int
    units: int
    length: Number
    incl: Fraction
    met: int
    """Which of the products' conditions are met, a bit for each."""


class _Laid(NamedTuple):
    """A session and its pieces."""

    visit: Visit
    rows: list[_Row]


class _Windows:
    """The takes of a product by time, and what they add up to from the first on."""

    def __init__(self, takes: Sequence[_Take], product: Product) -> None:
        self._product = product
        self._takes = sorted(takes, key=itemgetter(0, 1))
        self._times = [take.at_us for take in self._takes]
        self._units = [0, *accumulate(take.units for take in self._takes)]
        self._savings: list[Number] = [0, *accumulate(take.saving for take in self._takes)]

    def saving(self, from_us: int, until_us: int) -> tuple[Number, int]:
        """(exact saving, units taken) of a voucher that begins at `from_us` and ends before `until_us`."""
        first, last = bisect_left(self._times, from_us), bisect_left(self._times, until_us)
        if self._product.uses_max is not None:
            last = self._after_uses(first, last, self._product.uses_max)
        room = self._units[first] + self._product.amount
        if self._units[last] <= room:
            return self._savings[last] - self._savings[first], self._units[last] - self._units[first]
        full = bisect_right(self._units, room, first, last) - 1  # the last take that it covers whole
        saved, part = self._savings[full] - self._savings[first], self._takes[full]
        return saved + Fraction(part.saving) * (room - self._units[full]) / part.units, self._product.amount

    def _after_uses(self, first: int, last: int, uses_max: int) -> int:
        visits: set[int] = set()
        for place in range(first, last):
            if self._takes[place].units:
                visits.add(self._takes[place].visit)
            if len(visits) > uses_max:
                return place
        return last


def _takes(laid: Sequence[_Laid], product: Product, begin: datetime, bit: int) -> tuple[list[_Take], int]:
    """
    What each piece of a history would take of a voucher without an end; savings in so many parts of a unit.

    Whole numbers wherever a piece is: Python is ten times as fast with them as with fractions.
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
        return [take for place, one in there for take in _of_value(one.visit, product, begin, place)], 1
    prices = {id(row.incl): row.incl for _, one in there for row in one.rows}
    savings = {place: effect.saving(price) for place, price in prices.items()}
    denominator = lcm(*(saving.denominator for saving in savings.values()))
    rates = {place: int(saving * denominator) for place, saving in savings.items()}
    found = [take for place, one in there for take in _of(one.rows, product, place, rates, bit)]
    cut = lcm(*{take.saving.denominator for take in found})
    if cut == 1 or cut > CUT_MAX:
        return found, denominator
    return [take._replace(saving=int(take.saving * cut)) for take in found], denominator * cut


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


def _of(rows: Sequence[_Row], product: Product, place: int, rates: dict[int, int], bit: int) -> Iterator[_Take]:
    """What a session would take; `rates` by the identity of a price: it is one object in all pieces that have it."""
    effect = product.terms.effect
    waived = effect.kind == "fee_waived"
    counted = effect.fees if waived else COUNTED[product.unit]
    fresh = True
    for dimension, at_us, units, length, incl, met in rows:
        if dimension in counted and met & bit and (rate := rates[id(incl)]):
            yield _Take(at_us, place, int(fresh) if waived else units, length * rate)
            fresh = False


def _of_value(visit: Visit, product: Product, begin: datetime, place: int) -> Iterator[_Take]:
    """Value pays for a whole session, if its conditions are met where that begins."""
    if not visit.pieces or not product.terms.conditions.during(visit.pieces[0].state):
        return
    cost = sum(((piece.high - piece.low) * piece.incl for piece in visit.pieces), Fraction(0))
    if units := to_minor(cost, product.currency):
        yield _Take((visit.start - begin) // MICROSECOND, place, units, from_minor(units, product.currency))
