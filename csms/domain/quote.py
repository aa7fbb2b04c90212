"""What a station may show: what a use is priced by, and the prices that apply now."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH
from csms.domain.session import Session, Station
from csms.domain.tariff import Tariff
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_document import Dimension
from csms.domain.tariff_periods import pricing
from csms.domain.tariff_restrictions import State
from csms.domain.world import World


class Quote(NamedTuple):
    """The tariff version that prices uses at a station: `name` is its id and version, `zone` its site's (None: UTC)."""

    name: str
    tariff: Tariff
    zone: str | None


class Prices(NamedTuple):
    """Prices with tax, in units of the currency: per kWh, per hour charging and parked, once. 0 where there is none."""

    kwh: Fraction
    hour: Fraction
    parking_hour: Fraction
    flat: Fraction


class Running(NamedTuple):
    """The cost so far, in minor units of `currency`, at a register of `meter_wh`, and the prices that apply."""

    minor: int
    currency: str
    meter_wh: int
    at: datetime
    charging: bool
    prices: Prices


def quote(world: World, session: Session) -> Quote | None:
    """What a running session is priced by."""
    if session.state != "active" or session.tariff_id is None or session.tariff_version is None:
        return None
    key = (session.tariff_id, session.tariff_version, session.provider_id, session.terms_version)
    priced = world.priced.get(key)
    return (
        None if priced is None else _quote(session.tariff_id, session.tariff_version, priced.tariff, session.time_zone)
    )


def quote_at(world: World, station: Station) -> Quote | None:
    """What a use that starts now is priced by."""
    terms = station.terms
    if terms is None:
        return None
    priced = world.priced.get((terms.tariff_id, terms.tariff_version, station.provider_id, terms.terms_version))
    return None if priced is None else _quote(terms.tariff_id, terms.tariff_version, priced.tariff, station.time_zone)


@lru_cache(maxsize=4096)
def _quote(tariff_id: str, version: int, tariff: Tariff, zone: str | None) -> Quote:
    """Made once: every start has one."""
    return Quote(name(tariff_id, version), tariff, zone)


def name(tariff_id: str, version: int) -> str:
    """How stations hear of a version of a tariff; 2.1 takes 60 characters."""
    return f"{tariff_id}/{version}"


def prices_at(told: Quote, at: datetime, wh: int = 0, seconds: int = 0, power_w: int | None = None) -> Prices:
    """The prices of the elements that apply at an instant of a use; a power that nobody knows meets no bound."""
    local = at.astimezone(zone_of(told.zone)).replace(tzinfo=None)
    state = State(local, wh, seconds, power_w, power_w, None, None)
    elements = [element for element in told.tariff.elements if element.reserved is None]

    def price(dimension: Dimension, units: int) -> Fraction:
        found = pricing(dimension, elements, state)
        per_unit = found[1].incl_per_unit if found is not None else None
        return (per_unit or Fraction(0)) * units

    hour = price("TIME", SECONDS_PER_HOUR)
    parking = price("PARKING_TIME", SECONDS_PER_HOUR) if told.tariff.prices_parking else hour
    return Prices(price("ENERGY", WH_PER_KWH), hour, parking, price("FLAT", 1))
