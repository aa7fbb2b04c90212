"""Histories of drivers, and products, to choose vouchers by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from csms.domain.charge_pieces import pieces
from csms.domain.offer_takes import Product, Visit
from csms.domain.pack_rows import Unit
from csms.domain.tariff_document import Tariff, parse
from csms.domain.tariff_periods import Period
from csms.domain.voucher_terms import read


def tariff(price: float = 300, currency: str = "KRW", *more: dict[str, Any]) -> Tariff:
    """So much per kWh, tax included; `more` elements come first."""
    plain = {"price_components": [{"type": "ENERGY", "price": price, "vat": 10, "step_size": 1}]}
    return parse({"currency": currency, "tax_included": "YES", "elements": [*more, plain]})


BASE = tariff()


def product(
    name: str,
    price_minor: int,
    amount: int,
    *,
    days: int = 28,
    unit: Unit = "wh",
    currency: str = "KRW",
    uses_max: int | None = None,
    effect: dict[str, Any] | None = None,
    **conditions: Any,
) -> Product:
    """A product of four weeks."""
    terms = read(effect, conditions or None, unit)
    return Product(name, 1, unit, amount, price_minor, currency, days, uses_max, terms)


NIGHT = {"start_time": "21:00", "end_time": "07:00"}
WEEKEND = {"day_of_week": ["SATURDAY", "SUNDAY"]}
P1 = product("P1", 9_900, 200_000, effect={"kind": "percent_off", "percent": 40}, **NIGHT)
P2 = product("P2", 7_900, 60_000, **WEEKEND)
P3 = product("P3", 25_000, 100_000)
P4 = product("P4", 39_000, 300_000)
"""The products of shared/vouchers.md."""


def visit(start: datetime, wh: int, minutes: int = 60, of: Tariff = BASE, zone: str = "UTC", at: str = "S1") -> Visit:
    """One session, its energy flowing evenly."""
    products = (P1, P2)
    asked = [p.terms.conditions.restrictions for p in products if p.terms.conditions.restrictions is not None]
    period = Period(start, start + timedelta(minutes=minutes), wh, minutes * 60)
    return Visit(start, at, None, tuple(pieces((period,), of, zone, asked)))


def weeks(now: datetime, hour: int, wh: int, days: set[int], count: int = 8, **more: Any) -> list[Visit]:
    """Sessions at an hour of these weekdays (Monday 0) in the weeks before `now`."""
    first = now - timedelta(weeks=count)
    starts = [first.replace(hour=hour, minute=0) + timedelta(days=day) for day in range(7 * count)]
    return [visit(start, wh, **more) for start in starts if start.weekday() in days]
