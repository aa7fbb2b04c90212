"""The tariff cases of OCPI 2.3.0 and others with known answers (`tests/data/ocpi_tariff_vectors.json`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from csms.base.money import from_minor
from csms.base.units import seconds_between
from csms.domain.tariff import Exact, Period, Reservation, Usage, calculate, parse, price
from csms.domain.tariff_lines import sum_excl, sum_incl

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "ocpi_tariff_vectors.json").read_text())["vectors"]


def edges_of(session: dict[str, Any]) -> list[datetime]:
    edges = [datetime.fromisoformat(period["start_date_time"]) for period in session["charging_periods"]]
    return [*edges, datetime.fromisoformat(session["end_date_time"])]


def usage_of(session: dict[str, Any]) -> Usage:
    """Energy, power and current by the volumes, time by the instants: hours in decimals are not exact."""
    periods = []
    edges = edges_of(session)
    for told, begins, ends in zip(session["charging_periods"], edges, edges[1:], strict=False):
        volumes = {d["type"]: Fraction(d["volume"]) for d in told["dimensions"]}
        if "RESERVATION_TIME" in volumes:
            continue
        length_s = seconds_between(begins, ends)
        period = Period(
            begins,
            ends,
            volumes.get("ENERGY", 0) * 1_000,
            length_s if "TIME" in volumes else 0,
            length_s if "PARKING_TIME" in volumes else 0,
            *(volumes[name] * 1_000 if name in volumes else None for name in ("MIN_POWER", "MAX_POWER")),
            *(volumes.get(name) for name in ("MIN_CURRENT", "MAX_CURRENT")),
        )
        periods.append(period)
    energy_wh = sum((period.energy_wh for period in periods), start=Fraction(0))
    seconds = sum((period.charging_s for period in periods), start=Fraction(0))
    return Usage(energy_wh, seconds, tuple(periods), reservation_of(session))


def reservation_of(session: dict[str, Any]) -> Reservation | None:
    told = session.get("reservation")
    if told is None:
        return None
    start, end = (datetime.fromisoformat(told[name]) for name in ("start_date_time", "end_date_time"))
    return Reservation(Period(start, end, 0, seconds_between(start, end)), told["outcome"] == "EXPIRED")


def known(text: str | None) -> Fraction | None:
    return None if text is None else Fraction(text)


def is_same(found: Fraction | None, expected: Fraction | None) -> bool:
    """Equal, or as near as the 18 decimals that the cases are written with."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= Fraction(1, 10**18)


def per_dimension(exact: Exact) -> dict[str, tuple[Fraction | None, Fraction | None]]:
    return {
        name: (sum_excl(lines), sum_incl(lines))
        for name in {line.dimension for line in exact.lines}
        if (lines := [line for line in exact.lines if line.dimension == name])
    }


def priced_exactly(vector: dict[str, Any]) -> Exact:
    tariff = parse(vector["tariff"], tax_may_be_unknown=True)
    return calculate(usage_of(vector["session"]), tariff, vector["session"]["time_zone"])


def test_there_are_26_cases() -> None:
    assert len(VECTORS) == 26


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_case_with_a_known_answer_is_priced_exactly(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    exact = priced_exactly(vector)
    assert is_same(exact.exact_excl, known(expected["total_excl_vat"]))
    assert is_same(exact.exact_incl, known(expected["total_incl_vat"]))
    found = per_dimension(exact)
    assert found.keys() - {"MIN_PRICE", "MAX_PRICE"} == expected["per_dimension"].keys()
    for dimension, sides in expected["per_dimension"].items():
        assert is_same(found[dimension][0], known(sides["excl_vat"]))
        assert is_same(found[dimension][1], known(sides["incl_vat"]))
    for volume, quantity in expected.get("billed_volumes", {}).items():
        name, unit = volume.replace("RESERVATION_TIME", "RESERVATION").rsplit("_", 1)
        wanted = {"wh": "Wh", "seconds": "s"}[unit]
        lines = [line for line in exact.lines if line.dimension == name and line.unit == wanted]
        assert sum(line.quantity for line in lines) == quantity


@pytest.mark.parametrize(
    "vector", [vector for vector in VECTORS if "rounded" in vector["expected"]], ids=lambda vector: vector["name"]
)
def test_a_case_is_rounded_once(vector: dict[str, Any]) -> None:
    rounded = vector["expected"]["rounded"]
    priced = price(usage_of(vector["session"]), parse(vector["tariff"]), vector["session"]["time_zone"])
    assert from_minor(priced.total_minor, priced.currency) == Fraction(rounded["incl_vat"])
    assert from_minor(priced.total_minor - priced.vat_minor, priced.currency) == Fraction(rounded["excl_vat"])


def named(name: str) -> dict[str, Any]:
    return next(vector for vector in VECTORS if vector["name"] == name)


def hours(start: str, *lengths: tuple[str, int]) -> list[dict[str, Any]]:
    """Periods of so many minutes each, one after the other, at 43 A."""
    at, periods = datetime.fromisoformat(start), []
    for kind, minutes in lengths:
        dimensions = [{"type": kind, "volume": str(minutes / 60)}]
        if kind == "TIME":
            dimensions += [{"type": name, "volume": "43"} for name in ("MIN_CURRENT", "MAX_CURRENT")]
        periods.append({"start_date_time": at.isoformat(), "dimensions": dimensions})
        at += timedelta(minutes=minutes)
    return [*periods, {"start_date_time": at.isoformat(), "dimensions": []}]


def test_the_saturday_of_the_specification_is_priced_by_its_own_prices() -> None:
    """OCPI 2.3.0 prints 12.28 and 13.861 there, and 2.28 for 114 minutes at 1.25: they are 2.375."""
    tariff = parse(named("complex_monday_16A")["tariff"])
    *periods, end = hours("2022-01-15T12:30:00Z", ("TIME", 114), ("PARKING_TIME", 71))
    usage = usage_of({"charging_periods": periods, "end_date_time": end["start_date_time"]})
    exact = calculate(usage, tariff, "Europe/Berlin")
    assert (exact.exact_excl, exact.exact_incl) == (Fraction("12.375"), Fraction("13.975"))


@pytest.mark.parametrize(("minutes", "expired", "expected"), [(22, False, "1.8"), (90, True, "10.8")])
def test_a_price_of_expiry_replaces_that_of_the_reservation(minutes: int, expired: bool, expected: str) -> None:
    """OCPI 2.3.0, "reservation time and expire time": 3 an hour, 6 when it expires, both in steps of 10 minutes."""
    document = named("reservation_used_22min_step10")["tariff"]
    time = {"type": "TIME", "vat": 20, "step_size": 600}
    elements = [
        {"price_components": [time | {"price": price}], "restrictions": {"reservation": kind}}
        for price, kind in ((6, "RESERVATION_EXPIRES"), (3, "RESERVATION"))
    ]
    start = datetime(2019, 2, 4, 9, tzinfo=UTC)
    period = Period(start, start + timedelta(minutes=minutes), 0, minutes * 60)
    usage = Usage(0, 0, (), Reservation(period, expired))
    assert calculate(usage, parse({**document, "elements": elements})).exact_incl == Fraction(expected)
