"""
What a tariff comes to for a driver with a voucher, as a tariff: for stations that show a driver's own prices.

Shown only, never billed by: what is billed is what vouchers cover of the session as it was (`voucher_charge.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from csms.domain.pack_rows import Voucher
from csms.domain.tariff_document import Component, Element, Tariff
from csms.domain.tariff_restrictions import Restrictions
from csms.domain.voucher_terms import Terms, stored


def with_best(tariff: Tariff, vouchers: Iterable[Voucher]) -> Tariff | None:
    """
    The tariff with the price of the voucher before it that takes most off a Wh, as far as that voucher reaches.

    None where none does, or where the tariff has prices by hours or amounts: two sets of conditions cannot be said as
    one in general.
    """
    energy = next((component for component in tariff.components if component.dimension == "ENERGY"), None)
    if energy is None or not energy.incl_per_unit or any(e.restrictions is not None for e in tariff.elements):
        return None
    best: tuple[Fraction, Voucher, Terms] | None = None
    for one in sorted(vouchers, key=lambda v: (v.valid_until, v.valid_from, v.id)):
        terms = stored(one.terms, one.unit)
        saving = terms.effect.saving(energy.incl_per_unit) if one.unit == "wh" and one.used < one.total else Fraction(0)
        if saving > 0 and (best is None or saving > best[0]):
            best = saving, one, terms
    if best is None:
        return None
    saving, one, terms = best
    cheaper = _lowered(energy, 1 - saving / energy.incl_per_unit)
    within = replace(terms.conditions.restrictions or Restrictions(), max_wh=Fraction(one.total - one.used))
    elements = [Element(0, (cheaper,), within, None), *tariff.elements]
    numbered = tuple(replace(element, number=place) for place, element in enumerate(elements))
    return replace(tariff, elements=numbered, needs_profile=True)


def _lowered(component: Component, share: Fraction) -> Component:
    excl, incl = component.excl_per_unit, component.incl_per_unit
    return replace(
        component,
        price=component.price * share,
        excl_per_unit=None if excl is None else excl * share,
        incl_per_unit=None if incl is None else incl * share,
    )
