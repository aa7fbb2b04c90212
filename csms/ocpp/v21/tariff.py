"""OCPP 2.1: our tariffs as the version's own (Tariff, block I), so that stations show prices and compute costs."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from csms.base.money import half_up
from csms.domain.quote import Quote
from csms.domain.tariff import Tariff
from csms.domain.tariff_document import Component, Dimension, Element, PriceLimit
from csms.domain.tariff_restrictions import DAYS, Restrictions

SECONDS_PER_MINUTE = 60
WH_PER_KWH = 1_000
PLACES = 8
"""Decimals of prices without tax: one from prices with tax need not have an end."""

ALL_CONNECTORS = 0
Payload = dict[str, Any]


def default_tariff(quote: Quote) -> Payload | None:
    """SetDefaultTariff for all connectors; None where this version cannot say it."""
    told = tariff_of(quote)
    return None if told is None else {"evseId": ALL_CONNECTORS, "tariff": told}


def tariff_of(quote: Quote) -> Payload | None:
    """
    A TariffType. Prices are without tax; time is priced per minute.

    None for what the version cannot say: steps above 1, several taxes in one dimension, a start price
    with restrictions. A station that computed costs of it would come to others than we do.
    """
    tariff = quote.tariff
    elements = [element for element in tariff.elements if element.reserved is None]
    if not _can_be_said(elements):
        return None
    told: Payload = {"tariffId": quote.name, "currency": tariff.currency}
    told |= _part("energy", "priceKwh", elements, "ENERGY", WH_PER_KWH)
    told |= _part("chargingTime", "priceMinute", elements, "TIME", SECONDS_PER_MINUTE)
    idle: Dimension = "PARKING_TIME" if tariff.prices_parking else "TIME"
    told |= _part("idleTime", "priceMinute", elements, idle, SECONDS_PER_MINUTE)
    told |= _part("fixedFee", "priceFixed", elements, "FLAT", 1)
    told |= _limits(tariff)
    return told


def _can_be_said(elements: Iterable[Element]) -> bool:
    taxes: dict[Dimension, Fraction] = {}
    for element in elements:
        for component in element.components:
            vat = component.vat_percent or Fraction(0)
            if component.step_size > 1 or taxes.setdefault(component.dimension, vat) != vat:
                return False
            if component.dimension == "FLAT" and element.restrictions is not None:
                return False
    return True


def _part(name: str, price_name: str, elements: Iterable[Element], dimension: Dimension, units: int) -> Payload:
    """One dimension: its prices in their order, with the conditions of their elements; the first that is met counts."""
    prices, vat = [], Fraction(0)
    for element in elements:
        for component in element.components:
            if component.dimension == dimension:
                vat = component.vat_percent or Fraction(0)
                prices.append({price_name: _price(component, units), **_conditions(element.restrictions)})
    if not prices:
        return {}
    return {name: {"prices": prices, **({"taxRates": [{"type": "VAT", "tax": _number(vat)}]} if vat else {})}}


def _price(component: Component, units: int) -> int | float:
    assert component.excl_per_unit is not None
    return _number(component.excl_per_unit * units)


def _conditions(restrictions: Restrictions | None) -> Payload:
    if restrictions is None:
        return {}
    r = restrictions
    told: Payload = {
        "startTimeOfDay": _clock(r.start_time),
        "endTimeOfDay": _clock(r.end_time),
        "validFromDate": r.start_date and r.start_date.isoformat(),
        "validToDate": r.end_date and r.end_date.isoformat(),
        "dayOfWeek": [DAYS[day].capitalize() for day in sorted(r.days)] or None,
        "minTime": r.min_duration_s,
        "maxTime": r.max_duration_s,
    }
    measured = {
        "minEnergy": r.min_wh,
        "maxEnergy": r.max_wh,
        "minPower": r.min_power_w,
        "maxPower": r.max_power_w,
        "minCurrent": r.min_current_a,
        "maxCurrent": r.max_current_a,
    }
    told |= {name: _number(bound) for name, bound in measured.items() if bound is not None}
    return {"conditions": {name: value for name, value in told.items() if value is not None}}


def _clock(minutes: int | None) -> str | None:
    return None if minutes is None else f"{minutes // 60:02d}:{minutes % 60:02d}"


def _limits(tariff: Tariff) -> Payload:
    found = {"minCost": tariff.min_price, "maxCost": tariff.max_price}
    return {name: _limit(limit) for name, limit in found.items() if limit is not None}


def _limit(limit: PriceLimit) -> Payload:
    sides = {"exclTax": limit.before_taxes, "inclTax": limit.after_taxes}
    return {name: _number(side) for name, side in sides.items() if side is not None}


def _number(exact: Fraction) -> int | float:
    if exact.denominator == 1:
        return exact.numerator
    return float(Fraction(half_up(exact.numerator * 10**PLACES, exact.denominator), 10**PLACES))
