"""CDRs of bills: their charging periods and prices, exactly."""

from __future__ import annotations

import json
from decimal import Decimal

from csms.domain import usage
from csms.domain.tariff_periods import Period
from csms.flows import cdr
from tests.make import NOON, after


def test_the_periods_of_a_bill_are_those_of_its_cdr() -> None:
    kept = [
        usage.as_json(Period(NOON, after(30), 5_432, 1_800, 0)),
        usage.as_json(Period(after(30), after(75), 0, 0, 2_700)),
    ]
    row = {"periods": json.dumps(kept), "started_at": NOON, "energy_wh": 5_432, "seconds": 4_500}
    first, second = cdr.periods(row, "T")
    assert first == {
        "start_date_time": "2026-11-20T12:00:00Z",
        "dimensions": [{"type": "ENERGY", "volume": Decimal("5.432")}, {"type": "TIME", "volume": Decimal("0.5")}],
        "tariff_id": "T",
    }
    assert second["dimensions"][1:] == [{"type": "PARKING_TIME", "volume": Decimal("0.75")}]
    total = sum(
        part["volume"] for period in (first, second) for part in period["dimensions"] if part["type"] == "ENERGY"
    )
    assert total == cdr.kwh(row["energy_wh"])


def test_a_bill_that_needed_no_periods_is_one_period() -> None:
    row = {"periods": None, "started_at": NOON, "energy_wh": 7, "seconds": 100}
    (only,) = cdr.periods(row, None)
    assert only["dimensions"] == [
        {"type": "ENERGY", "volume": Decimal("0.007")},
        {"type": "TIME", "volume": Decimal("0.0278")},
    ]


def test_prices_have_the_places_of_their_currency_and_add_up() -> None:
    assert cdr.price(1234, 112, "EUR", "2.2.1") == {"excl_vat": Decimal("11.22"), "incl_vat": Decimal("12.34")}
    credit = cdr.price(-1234, -112, "EUR", "2.3.0")
    assert credit["before_taxes"] + credit["taxes"][0]["amount"] == Decimal("-12.34")
