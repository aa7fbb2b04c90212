"""The demo's own judge: it must see when a bill, a fee, a share or a payment is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from charge_points_sim.agreement import findings, per_provider
from charge_points_sim.prices import PRICES, of_site
from charge_points_sim.provision import budget, provider_of
from charge_points_sim.run import ONE_DAY
from charge_points_sim.scenarios.charge import Charge, read
from charge_points_sim.scenarios.drivers import populate
from charge_points_sim.scenarios.replay import Plan
from charge_points_sim.times import wire

CHARGES = read(ONE_DAY)
SITES = ["caltech", "jpl"]
Bills = list[dict[str, Any]]


def world() -> tuple[Bills, dict[str, Any]]:
    """The bills and the journal as they must be."""
    bills: Bills = []
    remitted = {"operator": 0, **{provider_of(site): 0 for site in SITES}}
    for number, charge in enumerate(CHARGES):
        price = of_site(SITES, charge.site)
        fee = price.fee_minor(charge)
        share = price.operator_minor(fee)
        means = "psp" if number % 3 else "balance"
        bills.append(
            {
                "station": charge.station_id,
                "provider": provider_of(charge.site),
                "started_at": wire(charge.arrival),
                "energy_wh": charge.delivered_wh,
                "means": means,
                "total_minor": fee,
                "operator_minor": share,
                "provider_minor": fee - share,
            }
        )
        if means == "psp":
            remitted["operator"] += share
            remitted[provider_of(charge.site)] += fee - share
    settled = sum(remitted.values())
    return bills, {"captured": settled, "settled": settled, "held": 0, "remitted": remitted}


def test_a_true_story_agrees() -> None:
    assert all(finding.holds for finding in findings(CHARGES, *world()))


def change(field: str, by: int) -> Callable[[Bills, dict[str, Any]], None]:
    """One bill's field is off."""

    def apply(bills: Bills, totals: dict[str, Any]) -> None:
        bills[7][field] += by

    return apply


@pytest.mark.parametrize(
    "lie",
    [
        change("energy_wh", 1),
        change("total_minor", 1),
        change("operator_minor", -1),
        lambda bills, totals: bills.append(dict(bills[3])),
        lambda bills, totals: bills.pop(),
        lambda bills, totals: bills[5].update(started_at="2019-07-24T00:00:00Z"),
        lambda bills, totals: totals.update(captured=totals["captured"] + 1),
        lambda bills, totals: totals.update(held=100),
        lambda bills, totals: totals["remitted"].update(operator=0),
    ],
)
def test_a_single_lie_is_seen(lie: Callable[[Bills, dict[str, Any]], None]) -> None:
    bills, totals = world()
    lie(bills, totals)
    assert not all(finding.holds for finding in findings(CHARGES, bills, totals))


def test_a_fee_is_exact_and_rounded_once() -> None:
    charge = Charge("caltech", "A", "1", 0, 3600, 10_000)
    assert PRICES[0].fee_minor(charge) == 438  # (1.00 + 10 x 0.30) x 1.095 = 4.38
    assert PRICES[1].fee_minor(charge) == 263  # (10 x 0.22 + 1 h x 0.20) x 1.095 = 2.628
    assert PRICES[0].fee_minor(charge._replace(delivered_wh=0)) == 0


def test_the_table_adds_up_to_all_bills() -> None:
    bills, totals = world()
    rows = per_provider(CHARGES, bills, totals)
    assert [row[0] for row in rows] == ["caltech-charging", "jpl-charging"]
    assert sum(int(row[3]) for row in rows) == sum(bill["total_minor"] for bill in bills)


def test_drivers_have_enough_for_all_their_charges() -> None:
    plan = Plan(charges=CHARGES, population=populate(200, 0, 0.5, 1))
    fees = sum(of_site(SITES, charge.site).fee_minor(charge) for charge in CHARGES)
    budgets = budget(plan)
    assert sum(budgets.values()) - 60_00 * len(budgets) == fees
