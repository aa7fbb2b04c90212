"""
A billed session in quarters of an hour: what flowed in each, and whether it was cheap then.

This is all that is kept of how a driver uses stations (docs/reference/tendency.md). Energy is integer Wh: each quarter
has the whole Wh that its end has beyond its begin, so that none is lost or counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import NamedTuple
from zoneinfo import ZoneInfo

from csms.domain.tariff_document import Tariff
from csms.domain.tariff_periods import MICROSECOND, SECOND_US, Number, Period, pricing
from csms.domain.tariff_restrictions import State

QUARTER = timedelta(minutes=15)
QUARTER_US = QUARTER // MICROSECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOURS = range(24)

CHEAP_PART = 3
"""A price is cheap if it is among this part of the day's different prices, from the lowest; at least the lowest is."""

EMPTY_MAX = 7 * 96
"""Quarters without energy are kept for a week of standing: a vehicle left at a plug for a year says no more."""


class Segment(NamedTuple):
    """
    What flowed between `at` and the next full quarter of an hour (UTC): Wh, and seconds of charging or standing.

    `at` is a full quarter, or the start of the session. `cheap` is None where there is one price all day, or none.
    """

    at: datetime
    wh: int
    seconds: int
    cheap: bool | None = None


def segments(periods: Sequence[Period], tariff: Tariff | None = None, zone: ZoneInfo | None = None) -> list[Segment]:
    """
    The charging periods of a session (`domain/usage.py`), cut at every quarter of an hour; all its Wh are in them.

    Within a period energy flows evenly. Prices are those of `tariff` by the clock of `zone`.
    """
    prices = None if tariff is None or zone is None else Prices(tariff, zone)
    found: list[Segment] = []
    begins: datetime | None = None
    wh = seconds = empty = 0
    for at, until_wh, until_s in _edges(periods):
        if begins is not None and at > begins:
            segment = Segment(begins, floor(until_wh) - wh, until_s - seconds)
            empty += segment.wh == 0
            if segment.wh or (segment.seconds and empty <= EMPTY_MAX):
                found.append(segment._replace(cheap=None if prices is None else prices.cheap(begins)))
            wh, seconds = floor(until_wh), until_s
        begins = at
    if begins is not None and (left := _total(periods) - wh):  # a session of no length
        found.append(Segment(begins, left, 0, None if prices is None else prices.cheap(begins)))
    return found


def _total(periods: Sequence[Period]) -> int:
    return floor(sum((period.energy_wh for period in periods), start=0))


def _edges(periods: Sequence[Period]) -> list[tuple[datetime, Number, int]]:
    """The start, each full quarter and the end, with the Wh and whole seconds from the start until there."""
    if not periods:
        return []
    start = periods[0].start
    edges: list[tuple[datetime, Number, int]] = [(start, 0, 0)]
    before: Number = 0
    for period in periods:
        length_us = (period.end - period.start) // MICROSECOND
        at = next_quarter(period.start)
        while at < period.end:
            share = Fraction((at - period.start) // MICROSECOND, length_us)
            edges.append((at, before + share * period.energy_wh, (at - start) // MICROSECOND // SECOND_US))
            at += QUARTER
        before += period.energy_wh
        if period.end == at or period is periods[-1]:
            edges.append((period.end, before, (period.end - start) // MICROSECOND // SECOND_US))
    return edges


def next_quarter(at: datetime) -> datetime:
    """The first full quarter of an hour after `at`, UTC."""
    return EPOCH + ((at - EPOCH) // QUARTER + 1) * QUARTER


class Prices:
    """What a kWh costs through the day by a tariff, for a use that begins then; days and hours of a site's clock."""

    def __init__(self, tariff: Tariff, zone: ZoneInfo) -> None:
        self._elements = [element for element in tariff.elements if element.reserved is None]
        self._zone = zone
        self._clocked = any(e.restrictions is not None and e.restrictions.asks_the_clock() for e in self._elements)
        self._highest_cheap: dict[date, Fraction | None] = {}

    def cheap(self, at: datetime) -> bool | None:
        """Whether the price at `at` is among the cheapest third of that day's; None where the day has one price."""
        if not self._clocked:
            return None
        local = at.astimezone(self._zone).replace(tzinfo=None)
        if local.date() not in self._highest_cheap:
            self._highest_cheap[local.date()] = self._bound(local)
        bound = self._highest_cheap[local.date()]
        return None if bound is None else self._per_wh(local) <= bound

    def _bound(self, local: datetime) -> Fraction | None:
        """The highest of the day's cheap prices."""
        prices = sorted({self._per_wh(local.replace(hour=hour, minute=0, second=0, microsecond=0)) for hour in HOURS})
        return None if len(prices) == 1 else prices[max(1, len(prices) // CHEAP_PART) - 1]

    def _per_wh(self, local: datetime) -> Fraction:
        found = pricing("ENERGY", self._elements, State(local, 0, 0, None, None, None, None))
        return Fraction(0) if found is None or found[1].incl_per_unit is None else found[1].incl_per_unit
