"""
What a voucher does, and where and when: its effect and its usage conditions, as its product's document says them.

Conditions are OCPI restrictions (2.3.0 mod_tariffs, TariffRestrictions) with their rules: local to the site, lower
bounds inclusive, upper bounds exclusive, an `end_time` before `start_time` on the next day. Stations, sites and their
tags, kinds of use and the vehicle are ours.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from csms.base.errors import Refused
from csms.base.units import WH_PER_KWH
from csms.domain import site_tags, tariff_restrictions
from csms.domain.pack_rows import Unit
from csms.domain.tariff_document import DIMENSIONS, Dimension
from csms.domain.tariff_reading import listed, number, object_, only
from csms.domain.tariff_restrictions import Restrictions, State
from csms.domain.tariff_tax import PRICE_MAX

Kind = Literal["included", "percent_off", "flat_rate", "fee_waived"]
KINDS: Mapping[object, tuple[Kind, frozenset[Unit]]] = {
    "included": ("included", frozenset({"wh", "sec", "cnt", "val"})),
    "percent_off": ("percent_off", frozenset({"wh", "sec"})),
    "flat_rate": ("flat_rate", frozenset({"wh"})),
    "fee_waived": ("fee_waived", frozenset({"cnt"})),
}
"""The effects, and the units that each can be counted in."""
FEES: frozenset[Dimension] = frozenset({"FLAT", "TIME", "PARKING_TIME"})
USES = ("charge", "rental")
PLACES_MAX = 1_000
PLACE_LENGTH_MAX = 48
HUNDRED = 100

_EFFECT_KEYS: Mapping[Kind, frozenset[str]] = {
    "included": frozenset({"kind"}),
    "percent_off": frozenset({"kind", "percent"}),
    "flat_rate": frozenset({"kind", "price"}),
    "fee_waived": frozenset({"kind", "fees"}),
}
_RESTRICTIONS = frozenset(
    {"start_time", "end_time", "start_date", "end_date", "day_of_week", "min_power", "max_power"},
)
_CONDITION_KEYS = frozenset({*_RESTRICTIONS, "stations", "sites", "tags", "uses", "vehicle"})


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What becomes of a price that is covered: nothing is left of it (`included`), or less.

    `percent` of it goes off, or a Wh costs `per_wh` (tax included) where the tariff asks more; `fees` are not asked.
    """

    kind: Kind = "included"
    percent: Fraction = Fraction(HUNDRED)
    per_wh: Fraction = Fraction(0)
    fees: frozenset[Dimension] = frozenset()

    def saving(self, per_unit: Fraction) -> Fraction:
        """What goes off the price of a unit, tax included; never more than all of it, never less than nothing."""
        match self.kind:
            case "percent_off":
                return per_unit * self.percent / HUNDRED
            case "flat_rate":
                return max(Fraction(0), per_unit - self.per_wh)
            case _:
                return per_unit


@dataclass(frozen=True, slots=True)
class Conditions:
    """
    Where, when and for what kind of use it covers; None or empty restricts nothing.

    `vehicle`: only what the vehicle charges for which it was bought.
    """

    restrictions: Restrictions | None = None
    stations: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset(USES)
    vehicle: bool = False

    def at(self, station_id: str | None, site_id: str | None, use: str, tags: Collection[str]) -> bool:
        """
        Whether it covers such a use of this station at all, of whose site these are the tags.

        A station that is named, one of a site that is named, or one of a site with any of the tags: either will do.
        """
        named = station_id in self.stations or site_id in self.sites or not self.tags.isdisjoint(tags)
        return use in self.uses and (named or not self.has_places())

    def has_places(self) -> bool:
        """Whether it covers at some places only."""
        return bool(self.stations or self.sites or self.tags)

    def with_token(self, bought_for: bytes | None, shown: bytes | None) -> bool:
        """Whether it covers what was begun with a token, by its key, if it was bought for the vehicle of that key."""
        return not self.vehicle or (bought_for is not None and bought_for == shown)

    def during(self, state: State) -> bool:
        """Whether it covers what flows then."""
        return self.restrictions is None or self.restrictions.met(state)


@dataclass(frozen=True, slots=True)
class Terms:
    """The effect of a voucher and its usage conditions."""

    effect: Effect = Effect()
    conditions: Conditions = Conditions()


PLAIN = Terms()
"""Of what is paid by so many units, anywhere and always."""


def read(effect: object, conditions: object, unit: Unit) -> Terms:
    """
    The terms that a product's `effect` and `conditions` say; None says what `PLAIN` does.

    Refused, with the JSON pointer of the place, for what is unknown, can never be met, or does not fit the unit.
    """
    terms = Terms(_effect(effect, unit, "/effect"), _conditions(conditions, "/conditions"))
    if terms.conditions.vehicle and terms.effect.kind == "included" and unit == "cnt":
        raise Refused("cnt counts deliveries, and a vehicle takes none", "/conditions/vehicle")
    if terms.effect.kind != "included" and "charge" not in terms.conditions.uses:
        raise Refused(f"{terms.effect.kind} covers charging only; add charge, or leave uses out", "/conditions/uses")
    return terms


@lru_cache(maxsize=4_096)
def stored(text: str | None, unit: Unit) -> Terms:
    """The terms as they are stored with a voucher: JSON `{effect, conditions}`; None is `PLAIN`."""
    if text is None:
        return PLAIN
    document = json.loads(text)
    return read(document.get("effect"), document.get("conditions"), unit)


def _effect(document: object, unit: Unit, at: str) -> Effect:
    if document is None:
        return Effect()
    document = object_(document, at)
    told = document.get("kind")
    found = KINDS.get(told) if isinstance(told, str) else None
    if found is None:
        raise Refused(f"an effect is one of {', '.join(map(str, KINDS))}", f"{at}/kind")
    kind, units = found
    only(document, _EFFECT_KEYS[kind], at)
    if unit not in units:
        raise Refused(f"{kind} is counted in {' or '.join(sorted(units))}, not in {unit}", f"{at}/kind")
    match kind:
        case "percent_off":
            return Effect(kind, percent=_percent(document.get("percent"), f"{at}/percent"))
        case "flat_rate":
            return Effect(kind, per_wh=number(document.get("price"), PRICE_MAX, f"{at}/price") / WH_PER_KWH)
        case "fee_waived":
            return Effect(kind, fees=_fees(document.get("fees"), f"{at}/fees"))
    return Effect(kind)


def _percent(value: object, at: str) -> Fraction:
    percent = number(value, HUNDRED, at)
    if not percent:
        raise Refused("0 percent off is nothing; say how much goes off", at)
    return percent


def _fees(value: object, at: str) -> frozenset[Dimension]:
    fees = frozenset(DIMENSIONS.get(name) for name in listed(value, len(FEES), at) if isinstance(name, str))
    wanted = frozenset(name for name in fees if name is not None)
    if not wanted or wanted != fees or not wanted <= FEES:
        raise Refused(f"a fee that can be waived is one of {', '.join(sorted(FEES))}", at)
    return wanted


def _conditions(document: object, at: str) -> Conditions:
    if document is None:
        return Conditions()
    document = object_(document, at)
    only(document, _CONDITION_KEYS, at)
    restrictions, _ = tariff_restrictions.read({k: v for k, v in document.items() if k in _RESTRICTIONS}, at)
    tags, vehicle = document.get("tags"), _vehicle(document.get("vehicle"), f"{at}/vehicle")
    return Conditions(
        restrictions,
        _places(document.get("stations"), f"{at}/stations"),
        _places(document.get("sites"), f"{at}/sites"),
        frozenset() if tags is None else site_tags.read(tags, f"{at}/tags"),
        _uses(document.get("uses"), f"{at}/uses", vehicle=vehicle),
        vehicle,
    )


def _vehicle(value: object, at: str) -> bool:
    if value is not None and value is not True:
        raise Refused("true: it counts for the vehicle for which it is bought; leave it out otherwise", at)
    return value is True


def _places(value: object, at: str) -> frozenset[str]:
    if value is None:
        return frozenset()
    places = listed(value, PLACES_MAX, at)
    for place, name in enumerate(places):
        if not isinstance(name, str) or not 0 < len(name) <= PLACE_LENGTH_MAX:
            raise Refused("an id is needed here", f"{at}/{place}")
    return frozenset(str(name) for name in places)


def _uses(value: object, at: str, *, vehicle: bool) -> frozenset[str]:
    if value is None:
        return frozenset({"charge"} if vehicle else USES)
    uses = listed(value, len(USES), at)
    if not all(use in USES for use in uses):
        raise Refused(f"a use is one of {', '.join(USES)}", at)
    if vehicle and "rental" in uses:
        raise Refused("a vehicle charges, and rents nothing; leave rental out", at)
    return frozenset(str(use) for use in uses)
