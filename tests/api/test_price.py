"""The preview of prices answers every published case exactly, and tells which element priced what."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Rest

VECTORS = Path(__file__).parent.parent / "data" / "ocpi_tariff_vectors.json"
CASES: dict[str, Any] = {case["name"]: case for case in json.loads(VECTORS.read_text())["vectors"]}


async def ask(rest: Rest, tariff: dict[str, Any], session: dict[str, Any]) -> Any:
    return await rest.ask("POST", "/tariffs/price", json={"tariff": tariff, "session": session})


async def test_all_published_cases_are_priced_exactly(rest: Rest) -> None:
    assert len(CASES) == 26
    for name, case in CASES.items():
        reply = await ask(rest, case["tariff"], case["session"])
        assert reply.status == 200, (name, reply.body)
        told, expected = reply.json, case["expected"]
        for side in ("excl_vat", "incl_vat"):
            same(told["exact"][f"total_{side}"], expected[f"total_{side}"])
            for dimension, amounts in expected["per_dimension"].items():
                same(told["exact"]["per_dimension"][dimension][side], amounts[side])
            if side in expected.get("rounded", {}):
                assert told[f"total_{side}"] == expected["rounded"][side], name


def same(told: str | None, expected: str | None) -> None:
    """Both unknown, or the same number to 18 decimals."""
    assert (told and Decimal(told)) == (expected and Decimal(expected))


async def test_a_line_tells_its_element_and_when_it_priced(rest: Rest) -> None:
    case = CASES["step_switch_2_charge35"]
    reply = await ask(rest, case["tariff"], case["session"])
    assert [(line["element"], line["start"], line["quantity"]) for line in reply.json["lines"]] == [
        (0, "2018-12-18T15:35:00Z", "1500"),
        (1, "2018-12-18T16:00:00Z", "1200"),
    ]


async def test_one_told_period_is_cut_where_the_hour_changes(rest: Rest) -> None:
    case = CASES["derived_dst_fall_back_hour_twice"]
    whole = [{"start_date_time": "2026-10-24T23:30:00Z", "dimensions": [{"type": "TIME", "volume": 3}]}]
    reply = await ask(rest, case["tariff"], {**case["session"], "charging_periods": whole})
    assert reply.json["total_incl_vat"] == "12.00"


async def test_what_a_rental_used_is_priced_beside_ocpi(rest: Rest) -> None:
    case = CASES["derived_krw_tax_inclusive"]
    tiers = [{"from": 0, "fee": 165}, {"from": 1800, "fee": 360}]
    tariff = {**case["tariff"], "extra": {"held_time": {"tiers": tiers, "vat": 10}}}
    reply = await ask(rest, tariff, {**case["session"], "extra": {"held_s": 1740}})
    assert reply.json["total_incl_vat"] == "4551"
    assert reply.json["per_dimension"]["HELD_TIME"]["incl_vat"] == "165"
    unpriced = await ask(rest, case["tariff"], {**case["session"], "extra": {"held_s": 1740}})
    assert (unpriced.status, unpriced.json["errors"][0]["pointer"]) == (422, "/session/extra")


ENERGY = {"type": "ENERGY", "price": 1}


@pytest.mark.parametrize(
    ("tariff", "session", "pointer"),
    [
        ({"colour": "red"}, {}, "/tariff/colour"),
        (
            {"elements": [{"price_components": [ENERGY], "restrictions": {"start_time": "25:00"}}]},
            {},
            "/tariff/elements/0/restrictions/start_time",
        ),
        ({"extra": {"held_time": {"tiers": []}}}, {}, "/tariff/extra/held_time/tiers"),
        ({}, {"time_zone": "Mars/Olympus"}, "/session/time_zone"),
        ({}, {"end_date_time": "2026-01-14T00:00:00Z"}, "/session/end_date_time"),
        ({}, {"start_date_time": "0001-01-01T00:00:00Z", "charging_periods": []}, "/session/start_date_time"),
        ({}, {"reservation": {"start_date_time": "2026-01-14T00:00:00Z"}}, "/session/reservation/end_date_time"),
        ({}, {"extra": {"held_s": -1}}, "/session/extra/held_s"),
    ],
)
async def test_what_cannot_be_priced_is_refused_with_its_place(
    rest: Rest, tariff: dict[str, Any], session: dict[str, Any], pointer: str
) -> None:
    case = CASES["derived_krw_tax_inclusive"]
    reply = await ask(rest, {**case["tariff"], **tariff}, {**case["session"], **session})
    assert reply.status == 422, reply.body
    assert pointer in [error["pointer"] for error in reply.json["errors"]], reply.json


async def test_a_tariff_with_hours_and_an_extra_is_stored_as_it_was_sent(rest: Rest) -> None:
    night = {"price_components": [ENERGY], "restrictions": {"start_time": "22:00", "end_time": "06:00"}}
    extra = {"late": {"tiers": [{"price": 100}]}, "deposit": 30000}
    document = {"id": "night", "currency": "KRW", "elements": [night, {"price_components": [ENERGY]}], "extra": extra}
    added = await rest.ask("POST", "/tariffs", json=document)
    assert (added.status, added.json["document"]) == (201, document)
    wrong = {**document, "extra": {**extra, "deposit": -1}}
    refused = await rest.ask("POST", "/tariffs", json=wrong)
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/extra/deposit")


async def test_versions_that_are_valid_at_once_are_refused(rest: Rest) -> None:
    first = {"id": "dated", "currency": "KRW", "elements": [{"price_components": [ENERGY]}]}
    may = {**first, "start_date_time": "2027-05-01T00:00:00Z", "end_date_time": "2027-06-01T00:00:00Z"}
    assert (await rest.ask("POST", "/tariffs", json=may)).status == 201
    refused = await rest.ask("POST", "/tariffs", json={**first, "start_date_time": "2027-05-31T23:59:59Z"})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/start_date_time")
    assert "overlapping validity" in refused.json["detail"]
