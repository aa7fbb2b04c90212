"""What the third act of the demo checks: each promise is seen to be broken when it is."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from charge_points_sim.agreement import Finding
from charge_points_sim.devices import DEVICES
from charge_points_sim.morning import KEEPING, NAMES, POOR, SAVER, STRANGE, make_plan
from charge_points_sim.scenarios.renting import fee_minor
from charge_points_sim.swapped import Ride, Rode, findings

BILLED, ENERGY, FEES, BEFORE, VOUCHERS, HELD = range(6)
TEN, THEN, LATER = (f"2019-07-25T15:00:{second}.000Z" for second in ("10", "10", "13"))


def money(minor: int) -> dict[str, int]:
    return {"minor": minor}


def rental(id_: str, item: str, wh: int | None) -> dict[str, Any]:
    back = None if wh is None else TEN
    return {
        "id": id_, "item": item, "taken_at": "2019-07-25T14:00:00.000Z", "returned_at": back, "battery_wh": wh,
        "hold": money(2_000),
    }  # fmt: skip


USE = {"session": "r1", "units": 600, "released": money(24)}
LINE = {"dimension": "VOUCHER", "quantity": "600", "incl_vat": "0.24"}
BILL = {"session": "r1", "total": money(100 + 18 + 24), "issued_at": TEN, "lines": [LINE]}  # 400 Wh: 18
OPENINGS = [
    {"rental": "r1", "why": "take", "issued_at": TEN, "opened_at": LATER},
    {"rental": "r2", "why": "take", "issued_at": THEN, "opened_at": LATER},
]
RODE = Rode(
    driver="jon",
    rides=[Ride("jon", "K1", 1_001), Ride("jon", "K2", 50)],
    rentals=[rental("r1", "K1", 1_000), rental("r2", "K2", None)],
    swaps=[{"packs_in": [{"rental": "r1"}], "packs_out": [{"rental": "r2"}]}],
    bills=[BILL],
    vouchers=[{"used": 600, "released": money(24), "uses": [USE]}],
    balance={name: money(2_000 * (name == "held")) for name in ("balance", "held", "debt", "refunding")},
)


def broken(found: list[Finding]) -> list[int]:
    return [place for place, finding in enumerate(found) if not finding.holds]


def changed(change: Callable[[Rode, list[dict[str, Any]]], object]) -> list[int]:
    rode, openings = deepcopy(RODE), deepcopy(OPENINGS)
    change(rode, openings)
    return broken(findings([rode], openings))


def test_each_version_has_a_station_and_each_odd_rider_a_trip() -> None:
    plan = make_plan(0)
    assert [plan.version(number) for number in range(len(plan.stations))] == list(DEVICES)
    assert {plan.riders[trip.rider].driver for trip in plan.trips} == set(NAMES)
    assert {POOR, SAVER, STRANGE, *KEEPING} <= set(NAMES)


def test_a_morning_that_went_well_agrees() -> None:
    assert broken(findings([RODE], OPENINGS)) == []
    assert (RODE.given_wh, RODE.billed_wh, RODE.fees_minor, RODE.released_minor) == (1_001, 1_000, 142, 24)
    assert fee_minor(1_000) == 145


def test_a_morning_without_swaps_or_vouchers_proves_nothing() -> None:
    idle = replace(RODE, rides=[], rentals=[], swaps=[], bills=[], vouchers=[])
    assert broken(findings([idle], [])) == [ENERGY, BEFORE, VOUCHERS, HELD]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda rode, _: rode.bills.append(BILL), [BILLED, FEES]),
        (lambda rode, _: rode.bills.append(BILL | {"session": "r2", "lines": []}), [BILLED, FEES]),
        (lambda rode, _: rode.rides.append(Ride("jon", "K1", 1)), [ENERGY]),
        (lambda rode, _: rode.bills[0].update(total=money(143)), [FEES]),
        (lambda rode, _: rode.bills[0].update(issued_at="2019-07-25T15:00:11.000Z"), [BEFORE]),
        (lambda _, openings: openings[1].update(opened_at="2019-07-25T15:00:09.000Z"), [BEFORE]),
        (lambda rode, _: rode.vouchers[0].update(used=601), [VOUCHERS]),
        (lambda rode, _: rode.vouchers[0].update(released=money(25)), [VOUCHERS]),
        (lambda rode, _: rode.bills[0]["lines"][0].update(incl_vat="0.25"), [VOUCHERS]),
        (lambda rode, _: rode.balance.update(held=money(2_001)), [HELD]),
        (lambda rode, _: rode.balance.update(debt=money(1)), [HELD]),
    ],
)
def test_what_does_not_agree_is_seen(change: Callable[[Rode, list[dict[str, Any]]], object], wrong: list[int]) -> None:
    assert changed(change) == wrong
