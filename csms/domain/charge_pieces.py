"""
A charging session in pieces that one price and one answer of every usage condition hold for.

Vouchers cover pieces in their order (`voucher_charge.py`). Within a piece nothing changes, so that what is best for
each quarter of an hour (shared/vouchers.md) is best for the pieces that lie in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import Dimension, Tariff
from csms.domain.tariff_periods import Number, Period, parts, pricing
from csms.domain.tariff_restrictions import Restrictions, State


class Piece(NamedTuple):
    """
    What one price holds for: Wh of energy, seconds, or the flat fee of a session.

    `low` to `high` is its place among all Wh, seconds or fees of the session, so that what is counted in whole units
    is cut at one. Prices are exact units of the currency for a Wh, a second or a session, tax included (`incl`) and
    without (`excl`, None where it is unknown).
    """

    dimension: Dimension
    low: Number
    high: Number
    incl: Fraction
    excl: Fraction | None
    state: State


def pieces(
    periods: Sequence[Period], tariff: Tariff, zone: str | None, conditions: Iterable[Restrictions] = ()
) -> list[Piece]:
    """
    What of a session has a price, in the order of time; what is free is left out.

    As `tariff.calculate` prices it, but for steps and limits: those belong to the whole. Parked time counts as
    charging where the tariff has no price of its own for it.
    """
    elements = [element for element in tariff.elements if element.reserved is None]
    placed: dict[Dimension, Number] = {"ENERGY": 0, "TIME": 0, "PARKING_TIME": 0, "FLAT": 0}
    found: list[Piece] = []
    for part in parts(periods, elements, zone_of(zone), conditions):
        for dimension, quantity in _amounts(dict(part.amounts), tariff):
            low = placed[dimension]
            priced = pricing(dimension, elements, part.state) if quantity else None
            if priced is None or (dimension == "FLAT" and low):
                placed[dimension] = low + (0 if dimension == "FLAT" else quantity)
                continue
            placed[dimension] = high = low + quantity
            incl, excl = priced[1].incl_per_unit, priced[1].excl_per_unit
            if incl:
                found.append(Piece(dimension, low, high, incl, excl, part.state))
    return found


def _amounts(amounts: dict[Dimension, Number], tariff: Tariff) -> list[tuple[Dimension, Number]]:
    if not tariff.prices_parking:
        amounts["TIME"] += amounts["PARKING_TIME"]
        amounts["PARKING_TIME"] = 0
    return list(amounts.items())
