"""Prices: exact lines, one rounding, limits kept, never above what was held."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.base.money import from_minor, half_up, to_minor
from csms.domain.tariff import Line, Price, Tariff, Usage, as_json, calculate, cap, parse, price

amounts = st.integers(0, 50_000_000).map(lambda ten_thousandths: ten_thousandths / 10_000)
vats = st.none() | st.integers(0, 300).map(lambda tenths: tenths / 10)
usages = st.builds(Usage, st.integers(0, 200_000), st.integers(0, 200_000))


def document(*components: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A tariff document with one element."""
    return {"currency": "KRW", "tax_included": "YES", "elements": [{"price_components": list(components)}], **members}


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    kinds = draw(st.lists(st.sampled_from(["ENERGY", "TIME", "FLAT"]), min_size=1, max_size=4))
    tax_included = draw(st.sampled_from(["YES", "NO", "N/A"]))
    components = []
    for kind in kinds:
        component: dict[str, Any] = {"type": kind, "price": draw(amounts), "step_size": draw(st.integers(0, 3_600))}
        vat = draw(vats)
        if vat is not None and tax_included != "N/A":
            component["vat"] = vat
        components.append(component)
    members: dict[str, Any] = {}
    low, high = sorted((draw(st.integers(0, 100_000)), draw(st.integers(0, 100_000))))
    if draw(st.booleans()):
        members["min_price"] = {"before_taxes": low, "after_taxes": low * 1.5}
    if draw(st.booleans()):
        members["max_price"] = {"before_taxes": high, "after_taxes": high * 1.5}
    currency = draw(st.sampled_from(["KRW", "EUR", "JPY"]))
    return parse(document(*components, currency=currency, tax_included=tax_included, **members))


def incl_of(lines: tuple[Line, ...]) -> Fraction:
    return sum((line.exact_incl for line in lines if line.exact_incl is not None), Fraction(0))


def excl_of(lines: tuple[Line, ...]) -> Fraction:
    return sum((line.exact_excl for line in lines if line.exact_excl is not None), Fraction(0))


@given(usages, tariffs())
def test_lines_sum_to_the_exact_total_which_is_rounded_once(usage: Usage, tariff: Tariff) -> None:
    priced = price(usage, tariff)
    assert incl_of(priced.lines) == priced.exact_incl
    assert excl_of(priced.lines) == priced.exact_excl
    assert priced.total_minor == to_minor(priced.exact_incl, tariff.currency)
    assert 0 <= priced.vat_minor <= priced.total_minor


@given(usages, usages, tariffs())
def test_more_energy_and_time_never_cost_less(one: Usage, other: Usage, tariff: Tariff) -> None:
    low = Usage(min(one.energy_wh, other.energy_wh), min(one.seconds, other.seconds))
    high = Usage(max(one.energy_wh, other.energy_wh), max(one.seconds, other.seconds))
    assert price(low, tariff).total_minor <= price(high, tariff).total_minor


@given(usages, tariffs())
def test_limits_hold_with_and_without_tax(usage: Usage, tariff: Tariff) -> None:
    priced = price(usage, tariff)
    if tariff.min_price is not None:
        assert priced.exact_excl >= (tariff.min_price.before_taxes or 0)
        assert priced.exact_incl >= (tariff.min_price.after_taxes or 0)
    if tariff.max_price is not None:
        assert tariff.max_price.before_taxes is None or priced.exact_excl <= tariff.max_price.before_taxes
        assert tariff.max_price.after_taxes is None or priced.exact_incl <= tariff.max_price.after_taxes


@given(usages, tariffs(), st.integers(0, 10_000_000))
def test_a_fee_is_never_above_what_was_held(usage: Usage, tariff: Tariff, held: int) -> None:
    priced = price(usage, tariff)
    capped = cap(priced, held)
    assert capped.total_minor == min(priced.total_minor, held)
    assert 0 <= capped.vat_minor <= capped.total_minor
    assert incl_of(capped.lines) == capped.exact_incl
    assert excl_of(capped.lines) == capped.exact_excl
    assert cap(capped, held) == capped


def test_what_was_not_held_is_a_line_of_its_own() -> None:
    tariff = parse(document({"type": "ENERGY", "price": 347.2, "vat": 10.0}))
    capped = cap(price(Usage(12_345, 0), tariff), 1_100)
    assert (capped.total_minor, capped.vat_minor) == (1_100, 100)
    assert capped.lines[-1].dimension == "NOT_CHARGED"
    assert capped.lines[-1].exact_incl == from_minor(1_100, "KRW") - Fraction("4286.184")


def test_nothing_held_means_nothing_charged() -> None:
    capped = cap(price(Usage(1_000, 0), parse(document({"type": "ENERGY", "price": 300, "vat": 10}))), 0)
    assert (capped.total_minor, capped.vat_minor, capped.exact_incl) == (0, 0, Fraction(0))


@given(st.integers(0, 10_000_000))
def test_korean_vat_is_a_tenth_of_the_supply_inside_the_rounded_total(energy_wh: int) -> None:
    priced = price(Usage(energy_wh, 0), parse(document({"type": "ENERGY", "price": 347.2, "vat": 10})))
    assert priced.vat_minor == half_up(priced.total_minor * 10, 110)


def test_rounding_happens_at_the_total_and_not_per_line() -> None:
    halves = document({"type": "ENERGY", "price": 0.5, "step_size": 1000}, {"type": "FLAT", "price": 0.5})
    priced = price(Usage(1_000, 0), parse(halves))
    assert priced.total_minor == 1


@given(usages)
def test_only_the_first_component_of_a_dimension_counts(usage: Usage) -> None:
    first, second = {"type": "ENERGY", "price": 300}, {"type": "ENERGY", "price": 999}
    alone = price(usage, parse(document(first)))
    assert price(usage, parse(document(first, second))) == alone
    two_elements = document(first)
    two_elements["elements"].append({"price_components": [second]})
    assert price(usage, parse(two_elements)) == alone


@given(usages, st.permutations([{"type": k, "price": 1.5} for k in ("ENERGY", "TIME", "FLAT")]))
def test_the_order_of_different_dimensions_changes_no_total(usage: Usage, components: list[dict[str, Any]]) -> None:
    ordered = parse(document(*({"type": k, "price": 1.5} for k in ("ENERGY", "TIME", "FLAT"))))
    assert price(usage, parse(document(*components))).exact_incl == price(usage, ordered).exact_incl


def test_a_step_of_zero_divides_by_nothing() -> None:
    tariff = parse(document({"type": "TIME", "price": 3_600, "step_size": 0}))
    assert price(Usage(0, 61), tariff).total_minor == 61


def test_an_hour_is_priced_by_the_second() -> None:
    tariff = parse(document({"type": "TIME", "price": 1_000, "step_size": 1}))
    assert price(Usage(0, 1), tariff).exact_incl == Fraction(1_000, 3_600)


def test_a_line_as_json_is_decimal_text() -> None:
    tariff = parse(document({"type": "FLAT", "price": 100, "vat": 10.0}))
    assert as_json(price(Usage(0, 0), tariff).lines[0]) == {
        "dimension": "FLAT",
        "quantity": "1",
        "unit": "session",
        "unit_price": "100",
        "vat_percent": "10",
        "excl_vat": "90.909090909090909091",
        "incl_vat": "100",
    }


@given(tariffs())
@settings(max_examples=30)
def test_every_line_has_a_json_form(tariff: Tariff) -> None:
    for line in cap(price(Usage(1_234, 567), tariff), 0).lines:
        assert all(value is None or isinstance(value, str) for value in as_json(line).values())


def test_an_untold_sales_tax_is_unknown_and_makes_no_bill() -> None:
    untold = document({"type": "TIME", "price": 2.0}, currency="CAD", tax_included="NO", country_code="CA")
    exact = calculate(Usage(0, 9_000), parse(untold, tax_may_be_unknown=True))
    assert (exact.exact_excl, exact.exact_incl) == (Fraction(5), None)
    with pytest.raises(Refused, match="tax is unknown"):
        parse(untold)


def test_an_untold_tax_inside_the_price_hides_the_other_side() -> None:
    untold = document({"type": "FLAT", "price": 2.0}, currency="USD")
    exact = calculate(Usage(0, 0), parse(untold, tax_may_be_unknown=True))
    assert (exact.exact_excl, exact.exact_incl) == (None, Fraction(2))


def test_the_older_names_of_limits_mean_the_same() -> None:
    old = document({"type": "FLAT", "price": 1}, currency="EUR", min_price={"excl_vat": 2, "incl_vat": 2.2})
    new = document({"type": "FLAT", "price": 1}, currency="EUR", min_price={"before_taxes": 2, "after_taxes": 2.2})
    del old["tax_included"], new["tax_included"]
    priced: Price = price(Usage(0, 0), parse(old))
    assert priced == price(Usage(0, 0), parse(new))
    assert (priced.total_minor, priced.vat_minor) == (220, 20)


ENERGY = {"type": "ENERGY", "price": 1}


@pytest.mark.parametrize(
    ("refused", "field"),
    [
        (document(ENERGY, currency="XXX"), "/currency"),
        (document(ENERGY, currency=None), "/currency"),
        (document(ENERGY, tax_included="MAYBE"), "/tax_included"),
        (document(ENERGY, tax_included=""), "/tax_included"),
        (document(ENERGY, colour="red"), "/colour"),
        (document(ENERGY, start_date_time="yesterday"), "/start_date_time"),
        (document(ENERGY, start_date_time=2026), "/start_date_time"),
        (document(ENERGY, end_date_time="0001-01-01T00:00:00+23:59"), "/end_date_time"),
        (
            document(ENERGY, start_date_time="2026-01-01T00:00:00Z", end_date_time="2026-01-01T00:00:00"),
            "/end_date_time",
        ),
        (document(elements=[]), "/elements"),
        (document(elements=None), "/elements"),
        (document(elements=["x"]), "/elements/0"),
        (document(), "/elements/0/price_components"),
        (document({"type": "SOC", "price": 1}), "/elements/0/price_components/0/type"),
        (document({"type": ["ENERGY"], "price": 1}), "/elements/0/price_components/0/type"),
        (document({"type": "ENERGY"}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": -1}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": "1"}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": True}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": 0.00001}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": float("inf")}), "/elements/0/price_components/0/price"),
        (document({"type": "ENERGY", "price": 10**10}), "/elements/0/price_components/0/price"),
        (document({**ENERGY, "vat": -1}), "/elements/0/price_components/0/vat"),
        (document({**ENERGY, "vat": 101}), "/elements/0/price_components/0/vat"),
        (document({**ENERGY, "vat": 10}, tax_included="N/A"), "/elements/0/price_components/0/vat"),
        (document({**ENERGY, "step_size": -1}), "/elements/0/price_components/0/step_size"),
        (document({**ENERGY, "step_size": 1.5}), "/elements/0/price_components/0/step_size"),
        (document({**ENERGY, "name": "x"}), "/elements/0/price_components/0/name"),
        (document(ENERGY, min_price={}), "/min_price"),
        (document(ENERGY, min_price=3), "/min_price"),
        (document(ENERGY, min_price={"net": 1}), "/min_price/net"),
        (document(ENERGY, min_price={"before_taxes": 1, "excl_vat": 1}), "/min_price/excl_vat"),
        (document(ENERGY, max_price={"before_taxes": 2, "after_taxes": 1}), "/max_price/after_taxes"),
        (document(ENERGY, min_price={"after_taxes": 2}, max_price={"after_taxes": 1}), "/min_price"),
    ],
)
def test_a_tariff_that_cannot_be_priced_is_refused_with_its_place(refused: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(refused)
    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("restrictions", "field"),
    [
        ([], ""),
        ({"min_soc": 20}, "/min_soc"),
        ({"start_time": "24:00"}, "/start_time"),
        ({"start_time": "9:00"}, "/start_time"),
        ({"end_time": 900}, "/end_time"),
        ({"start_time": "09:00", "end_time": "09:00"}, "/end_time"),
        ({"start_date": "2026-02-30"}, "/start_date"),
        ({"start_date": "2026-02-02", "end_date": "2026-02-02"}, "/end_date"),
        ({"day_of_week": ["FRIDAY", "FUNDAY"]}, "/day_of_week/1"),
        ({"day_of_week": "FRIDAY"}, "/day_of_week"),
        ({"min_kwh": -1}, "/min_kwh"),
        ({"min_kwh": 20, "max_kwh": 20}, "/max_kwh"),
        ({"max_power": 0}, "/max_power"),
        ({"min_duration": 1.5}, "/min_duration"),
        ({"min_duration": 3600, "max_duration": 1800}, "/max_duration"),
        ({"reservation": "MAYBE"}, "/reservation"),
        ({"reservation": ["RESERVATION"]}, "/reservation"),
    ],
)
def test_a_restriction_that_means_nothing_is_refused_with_its_place(restrictions: Any, field: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse(document(elements=[{"price_components": [ENERGY], "restrictions": restrictions}]))
    assert refusal.value.field == f"/elements/0/restrictions{field}"


def test_a_reservation_has_no_price_of_energy() -> None:
    with pytest.raises(Refused) as refusal:
        parse(document(elements=[{"price_components": [ENERGY], "restrictions": {"reservation": "RESERVATION"}}]))
    assert refusal.value.field == "/elements/0/price_components/0/type"


def test_empty_restrictions_restrict_nothing() -> None:
    empty = {"start_time": None, "day_of_week": []}
    tariff = parse(document(elements=[{"price_components": [ENERGY], "restrictions": empty}]))
    assert not tariff.needs_profile
    assert tariff.components[0].price == 1


def test_a_validity_is_read_in_utc() -> None:
    tariff = parse(document(ENERGY, start_date_time="2026-01-01T00:00:00", end_date_time="2026-02-01T09:00:00+09:00"))
    assert tariff.valid_from == datetime(2026, 1, 1, tzinfo=UTC)
    assert tariff.valid_until == datetime(2026, 2, 1, tzinfo=UTC)
