"""
Which vouchers to offer a driver: each product tried out on how the driver really charged (shared/vouchers.md).

A product of L days is laid over every window of L days of the last 56, moved on by a day: what it would have taken
off the price there, used up in the order of time, less what it costs. Nothing but the history, the tariffs and the
products counts: the same history gets the same offers, at the same prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil, floor
from typing import Literal, NamedTuple

from csms.domain import offer_takes
from csms.domain.offer_takes import DAY_S, DAY_US, Laid, Product, Take, Visit, Windows

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
NO_LIMIT = 2**62


class Offer(NamedTuple):
    """
    What a product would have meant for a driver, in minor units of its currency for its `valid_days`.

    `expected` is the mean over all windows, rounded down, `worst` the least, `gain` the share of windows in which
    money was saved; the voucher's own price is taken off. `covered` of `used` Wh are what it covers in the mean.
    `extrapolated`: the driver is known for fewer days than it is valid. Of no windows nothing is known. `held`: its
    driver has something left of another one.
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
    held: bool = False


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
    laid = offer_takes.lay(visits, begin, asked)
    flows = [take for one in laid for take in one.flows()]
    used = {length: _used(flows, known, length) for length in {product.valid_days for product in products}}
    bits = {restrictions: 1 << place for place, restrictions in enumerate(asked)}
    return [
        _judge(laid, product, known, bits[product.terms.conditions.restrictions], used[product.valid_days])
        for product in products
    ]


def _judge(laid: Sequence[Laid], product: Product, known: int, bit: int, used: int) -> Offer:
    """One product over all windows of so many known days; `bit` is that of its conditions."""
    takes, parts = offer_takes.takes(laid, product, bit)
    price = product.price_minor * parts
    over = Windows(_spread(takes, known, product.valid_days, len(laid)), product.amount, product.uses_max)
    found = [over.saving(*window) for window in _windows(known, product.valid_days)]
    nets = [saving - price for saving, _ in found] or [-price]
    return Offer(
        product,
        sum(nets) // (parts * len(nets)),
        min(nets) // parts,
        Fraction(sum(net > 0 for net in nets), len(nets)) if found else Fraction(0),
        len(found),
        known < product.valid_days,
        covered=sum(units for _, units in found) // len(found) if found else 0,
        used=used,
    )


def _used(flows: Sequence[Take], known: int, length: int) -> int:
    """What flowed in so many days, in the mean of all windows."""
    over = Windows(_spread(flows, known, length, 0), NO_LIMIT, None)
    found = [over.saving(*window)[1] for window in _windows(known, length)]
    return sum(found) // len(found) if found else 0


def _windows(known: int, length: int) -> list[tuple[int, int]]:
    """From when until when a voucher of `length` days is laid over so many known days, in us after they begin."""
    starts = range(known - length + 1) if known >= length else range(_whole_weeks(known))
    return [(day * DAY_US, (day + length) * DAY_US) for day in starts]


def _whole_weeks(days: int) -> int:
    return -(-days // DAYS_PER_WEEK) * DAYS_PER_WEEK


def _spread(takes: Iterable[Take], known: int, length: int, visits: int) -> list[Take]:
    """
    Those within the known days.

    Of fewer days than `length`: they at the end of whole weeks, again and again until every window is full.
    """
    within = [take for take in takes if 0 <= take.at_us < known * DAY_US]
    if known >= length or not known:
        return within
    weeks = _whole_weeks(known)
    rounds = -(-(weeks + length) // weeks)
    return [
        take._replace(at_us=take.at_us + (weeks - known + round_ * weeks) * DAY_US, visit=take.visit + round_ * visits)
        for round_ in range(rounds)
        for take in within
    ]
