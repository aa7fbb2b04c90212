"""OCPI Tariff documents (2.3.0; 2.2.1 is read too), read into the values that `tariff.py` prices with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from csms.base.errors import Refused
from csms.base.money import SCALES
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH
from csms.domain import tariff_own, tariff_restrictions
from csms.domain.tariff_own import Own
from csms.domain.tariff_reading import count, listed, moment, number, object_, only
from csms.domain.tariff_restrictions import Reserved, Restrictions
from csms.domain.tariff_tax import PRICE_MAX, Tax, TaxIncluded, tax_of, vat_of

Dimension = Literal["ENERGY", "TIME", "PARKING_TIME", "FLAT"]
UNITS: Mapping[Dimension, tuple[str, int]] = {
    "ENERGY": ("Wh", WH_PER_KWH),
    "TIME": ("s", SECONDS_PER_HOUR),
    "PARKING_TIME": ("s", SECONDS_PER_HOUR),
    "FLAT": ("session", 1),
}
"""The unit each dimension counts in, and how many of them a price is for."""
DIMENSIONS: Mapping[object, Dimension] = {name: name for name in UNITS}
OF_A_RESERVATION = ("TIME", "FLAT")
ELEMENTS_MAX = 100

_TARIFF_KEYS = frozenset(
    {
        *("country_code", "party_id", "id", "currency", "type", "tariff_alt_text", "tariff_alt_url"),
        *("min_price", "max_price", "preauthorize_amount", "elements", "tax_included"),
        *("start_date_time", "end_date_time", "energy_mix", "last_updated", "extra"),
    }
)
_COMPONENT_KEYS = frozenset({"type", "price", "vat", "step_size"})
_LIMIT_KEYS = {"before_taxes": "before_taxes", "after_taxes": "after_taxes", "excl_vat": "before_taxes"}
_LIMIT_KEYS["incl_vat"] = "after_taxes"


@dataclass(frozen=True, slots=True)
class Component:
    """
    The price of one dimension: per kWh (ENERGY), per hour (TIME, PARKING_TIME) or per session (FLAT).

    `step_size` is in Wh or seconds, 0 for none. `vat_percent` is None where the tariff tells none.
    `excl_per_unit` and `incl_per_unit` are the price of one Wh, second or session without and with
    tax; the side that an untold tax hides is None.
    """

    dimension: Dimension
    price: Fraction
    step_size: int
    vat_percent: Fraction | None
    excl_per_unit: Fraction | None
    incl_per_unit: Fraction | None


@dataclass(frozen=True, slots=True)
class Element:
    """
    Components and when they apply; at most one component per dimension, the first that was written.

    `number` is the place in the document, from 0. With `reserved` it prices a reservation and no charging.
    """

    number: int
    components: tuple[Component, ...]
    restrictions: Restrictions | None
    reserved: Reserved | None


@dataclass(frozen=True, slots=True)
class PriceLimit:
    """The least or the most that a session costs; each side, None for no limit, is applied on its own."""

    before_taxes: Fraction | None
    after_taxes: Fraction | None


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """
    A tariff ready to price with; prices are exact units of `currency`. Equal to itself only: it is a key of caches.

    `components` is the first component of each dimension, for whoever may look no further:
    `needs_profile` says that hours, days, amounts, power or parking matter, so that a use is
    priced by its periods. `tax_included` says what the prices are: with tax, without, or free of
    it. `tax_known` is False where a tax is due that the document does not tell. It may be used
    from `valid_from` until (exclusive) `valid_until`; None for no end. `own` is our part beside OCPI.
    """

    currency: str
    tax_included: TaxIncluded
    components: tuple[Component, ...]
    min_price: PriceLimit | None
    max_price: PriceLimit | None
    tax_known: bool
    elements: tuple[Element, ...]
    needs_profile: bool
    prices_parking: bool
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    own: Own | None = None


def parse(document: Mapping[str, object], *, tax_may_be_unknown: bool = False) -> Tariff:
    """
    Read an OCPI Tariff object (mod_tariffs of 2.3.0 and 2.2.1, where prices are without tax).

    Refused, with the JSON pointer of the place, for whatever is unknown, malformed, negative, too
    large, or can never apply. A tariff whose tax is unknown cannot make a bill: it is refused too,
    unless `tax_may_be_unknown` (previews).
    """
    only(document, _TARIFF_KEYS, "")
    currency = document.get("currency")
    if not isinstance(currency, str) or currency not in SCALES:
        raise Refused(f"the currency {currency!r} is not known; known are {', '.join(SCALES)}", "/currency")
    tax = tax_of(document, currency)
    elements = _elements(document.get("elements"), tax)
    components = [component for element in elements for component in element.components]
    extra = document.get("extra")
    own = None if extra is None else tariff_own.read(extra, tax, "/extra")
    told = all(component.vat_percent is not None for component in components)
    if tax.untold and not told and not tax_may_be_unknown:
        raise Refused("the tax is unknown: give each component its vat, or set tax_included to N/A", "/elements")
    if tax.untold and own is not None and not own.tells_tax and not tax_may_be_unknown:
        raise Refused("the tax is unknown: give each part its vat, or set tax_included to N/A", "/extra")
    tax_known = not tax.untold or (told and (own is None or own.tells_tax))
    least, most = _limit(document, "min_price"), _limit(document, "max_price")
    _in_order(least, most)
    valid_from, valid_until = _validity(document)
    charging = [element for element in elements if element.reserved is None]
    parking = any(component.dimension == "PARKING_TIME" for element in charging for component in element.components)
    return Tariff(
        currency,
        tax.included,
        _first_of_each(component for element in charging for component in element.components),
        least,
        most,
        tax_known,
        elements,
        parking or any(element.restrictions is not None for element in charging),
        parking,
        valid_from,
        valid_until,
        own,
    )


def _elements(document: object, tax: Tax) -> tuple[Element, ...]:
    """All elements, in their order: the first that applies counts."""
    return tuple(
        _element(number_, element, tax, f"/elements/{number_}")
        for number_, element in enumerate(listed(document, ELEMENTS_MAX, "/elements"))
    )


def _element(place: int, document: object, tax: Tax, at: str) -> Element:
    document = object_(document, at)
    only(document, frozenset({"price_components", "restrictions"}), at)
    restrictions, reserved = tariff_restrictions.read(document.get("restrictions"), f"{at}/restrictions")
    at = f"{at}/price_components"
    components = [
        _component(component, tax, reserved, f"{at}/{index}")
        for index, component in enumerate(listed(document.get("price_components"), ELEMENTS_MAX, at))
    ]
    return Element(place, _first_of_each(components), restrictions, reserved)


def _first_of_each(components: Iterable[Component]) -> tuple[Component, ...]:
    """Of each dimension only the first component counts."""
    first: dict[Dimension, Component] = {}
    for component in components:
        first.setdefault(component.dimension, component)
    return tuple(first.values())


def _component(document: object, tax: Tax, reserved: Reserved | None, at: str) -> Component:
    """One price component, in its own units."""
    document = object_(document, at)
    only(document, _COMPONENT_KEYS, at)
    name = document.get("type")
    dimension = DIMENSIONS.get(name) if isinstance(name, str) else None
    if dimension is None:
        raise Refused(f"{name!r} is not a type of price component; they are {', '.join(UNITS)}", f"{at}/type")
    if reserved is not None and dimension not in OF_A_RESERVATION:
        raise Refused(f"a reservation has prices of {' and '.join(OF_A_RESERVATION)} only", f"{at}/type")
    step_size = count(document.get("step_size", 1), f"{at}/step_size")
    vat_percent = vat_of(document, tax, at)
    price = number(document.get("price"), PRICE_MAX, f"{at}/price")
    excl, incl = tax.sides(price / UNITS[dimension][1], vat_percent)
    return Component(dimension, price, step_size, vat_percent, excl, incl)


def _validity(document: Mapping[str, object]) -> tuple[datetime | None, datetime | None]:
    """From when until (exclusive) a tariff may be used; None for no end."""
    first, last = (
        None if document.get(name) is None else moment(document[name], f"/{name}")
        for name in ("start_date_time", "end_date_time")
    )
    if first is not None and last is not None and first >= last:
        raise Refused("end_date_time must be later than start_date_time", "/end_date_time")
    return first, last


def _limit(document: Mapping[str, object], name: str) -> PriceLimit | None:
    """`min_price` or `max_price`, by the names of 2.3.0 or of 2.2.1."""
    found = document.get(name)
    if found is None:
        return None
    found = object_(found, f"/{name}")
    only(found, frozenset(_LIMIT_KEYS), f"/{name}")
    sides: dict[str, Fraction] = {}
    for key, value in found.items():
        if value is None:
            continue
        side = _LIMIT_KEYS[key]
        if side in sides:
            raise Refused(f"{side} is given twice", f"/{name}/{key}")
        sides[side] = number(value, PRICE_MAX, f"/{name}/{key}")
    if not sides:
        raise Refused("a limit needs before_taxes, after_taxes or both", f"/{name}")
    before, after = sides.get("before_taxes"), sides.get("after_taxes")
    if before is not None and after is not None and after < before:
        raise Refused("after_taxes is below before_taxes", f"/{name}/after_taxes")
    return PriceLimit(before, after)


def _in_order(least: PriceLimit | None, most: PriceLimit | None) -> None:
    """Refuse a minimum above the maximum, on either side."""
    if least is None or most is None:
        return
    for low, high in ((least.before_taxes, most.before_taxes), (least.after_taxes, most.after_taxes)):
        if low is not None and high is not None and low > high:
            raise Refused("min_price is above max_price", "/min_price")
