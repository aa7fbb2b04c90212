"""The tariff cases of OCPI 2.3.0 and others with known answers (`tests/data/ocpi_tariff_vectors.json`)."""

from __future__ import annotations

import json
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from csms.base.money import from_minor
from csms.base.units import seconds_between
from csms.domain.tariff import Exact, Usage, calculate, parse, price

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "ocpi_tariff_vectors.json").read_text())["vectors"]
SUPPORTED_DIMENSIONS = {"ENERGY", "TIME", "FLAT"}


def is_supported(vector: dict[str, Any]) -> bool:
    """Whether the case asks for nothing but energy, charging time and flat prices without restrictions."""
    elements = vector["tariff"]["elements"]
    dimensions = {component["type"] for element in elements for component in element["price_components"]}
    return dimensions <= SUPPORTED_DIMENSIONS and not any("restrictions" in element for element in elements)


SUPPORTED = [vector for vector in VECTORS if is_supported(vector)]


def usage_of(session: dict[str, Any]) -> Usage:
    """Energy by the volumes, time by the instants: hours in decimals are not exact."""
    periods = session["charging_periods"]
    edges = [datetime.fromisoformat(period["start_date_time"]) for period in periods]
    edges.append(datetime.fromisoformat(session["end_date_time"]))
    energy_wh, seconds = Fraction(0), 0
    for period, begins, ends in zip(periods, edges, edges[1:], strict=False):
        for dimension in period["dimensions"]:
            if dimension["type"] == "ENERGY":
                energy_wh += Fraction(dimension["volume"]) * 1_000
            elif dimension["type"] == "TIME":
                seconds += seconds_between(begins, ends)
    return Usage(energy_wh, seconds)


def known(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def is_same(found: Fraction | None, expected: Fraction | None) -> bool:
    """Equal, or as near as the 18 decimals that the cases are written with."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= Fraction(1, 10**18)


def per_dimension(exact: Exact) -> dict[str, tuple[Fraction | None, Fraction | None]]:
    return {line.dimension: (line.exact_excl, line.exact_incl) for line in exact.lines}


def test_the_cases_that_this_engine_prices_are_about_half() -> None:
    assert len(VECTORS) == 26
    assert len(SUPPORTED) == 12


@pytest.mark.parametrize("vector", SUPPORTED, ids=lambda vector: vector["name"])
def test_a_case_with_a_known_answer_is_priced_exactly(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    exact = calculate(usage_of(vector["session"]), parse(vector["tariff"], tax_may_be_unknown=True))
    assert is_same(exact.exact_excl, known(expected["total_excl_vat"]))
    assert is_same(exact.exact_incl, known(expected["total_incl_vat"]))
    found = per_dimension(exact)
    for dimension, sides in expected["per_dimension"].items():
        assert is_same(found[dimension][0], known(sides["excl_vat"]))
        assert is_same(found[dimension][1], known(sides["incl_vat"]))
    for volume, quantity in expected.get("billed_volumes", {}).items():
        name, unit = volume.rsplit("_", 1)
        line = next(line for line in exact.lines if line.dimension == name)
        assert line.quantity == quantity
        assert line.unit == {"wh": "Wh", "seconds": "s"}[unit]


@pytest.mark.parametrize(
    "vector", [vector for vector in SUPPORTED if "rounded" in vector["expected"]], ids=lambda vector: vector["name"]
)
def test_a_case_is_rounded_once(vector: dict[str, Any]) -> None:
    rounded = vector["expected"]["rounded"]
    priced = price(usage_of(vector["session"]), parse(vector["tariff"]))
    assert from_minor(priced.total_minor, priced.currency) == Fraction(rounded["incl_vat"])
    assert from_minor(priced.total_minor - priced.vat_minor, priced.currency) == Fraction(rounded["excl_vat"])
