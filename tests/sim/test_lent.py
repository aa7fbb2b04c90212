"""What the second act of the demo checks: each promise is seen to be broken when it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from charge_points_sim.agreement import Finding
from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.assets import VENDOR
from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.locker import Locker
from charge_points_sim.lending_act import NAMES, listen, make_plan
from charge_points_sim.lent import Lent, findings
from charge_points_sim.scenarios.lending import HELD_MINOR, TOP_UP_MINOR, fees_minor, host_minor
from charge_points_sim.scenarios.visits import Visit

BILLED, RECKONED, SHARED, REFUNDED, KEPT = range(5)


def money(minor: int) -> dict[str, int]:
    return {"minor": minor}


def bill(session: str, minor: int, wh: int, host: int = 0) -> dict[str, Any]:
    rest = {"operator_share": money(minor // 10), "provider_share": money(minor - minor // 10 - host)}
    return {"session": session, "total": money(minor), "energy_wh": wh, "host_share": money(host), **rest}


def told(visit: Visit) -> Lent:
    """All is as it should be."""
    held, energy = fees_minor(visit)
    bills = [bill("r", held, 0), bill("s", energy, visit.wh, host_minor(energy))]
    times = {"taken_at": "2019-07-25T15:00:00.000Z", "returned_at": "2019-07-25T15:41:00.000Z"}
    balance = {"balance": money(0 if visit.by_app else TOP_UP_MINOR - held - energy)}
    balance |= {name: money(0) for name in ("held", "debt", "refunding")}
    back = HELD_MINOR - held - energy if visit.by_app else 0
    payment = "pay_1" if visit.by_app else None
    return Lent(visit, [{"id": "r", "state": "closed", **times}], bills, balance, payment, back)


LENT = [told(visit) for visit in make_plan(0).visits]


def broken(found: list[Finding]) -> list[int]:
    return [place for place, finding in enumerate(found) if not finding.holds]


def test_each_version_has_a_cabinet_and_half_of_the_drivers_an_app() -> None:
    plan = make_plan(0)
    assert [plan.version(number) for number in range(plan.cabinets)] == list(DEVICES)
    assert sum(visit.by_app for visit in plan.visits) * 2 == len(plan.visits) == len(NAMES)


def test_a_street_that_went_well_agrees() -> None:
    assert broken(findings(LENT)) == [] and LENT[0].held_s == 41 * 60


@pytest.mark.parametrize(
    ("number", "change", "sees"),
    [
        (0, lambda one: replace(one, rentals=[{**one.rental, "state": "provisional"}]), [BILLED]),
        (0, lambda one: replace(one, bills=[*one.bills, bill("r", 0, 0)]), [BILLED]),
        (0, lambda one: replace(one, bills=[one.bills[0], bill("s", 45, one.visit.wh + 1, 2)]), [BILLED]),
        (0, lambda one: replace(one, bills=[bill("r", 50, 0), one.bills[1]]), [RECKONED, KEPT]),
        (0, lambda one: replace(one, bills=[one.bills[0], bill("s", 45, one.visit.wh, 3)]), [SHARED]),
        (1, lambda one: replace(one, refunded_minor=one.refunded_minor - 1), [REFUNDED]),
        (1, lambda one: replace(one, balance={**one.balance, "refunding": money(1)}), [REFUNDED]),
        (0, lambda one: replace(one, balance={**one.balance, "held": money(1)}), [KEPT]),
    ],
)
def test_what_is_wrong_is_seen(number: int, change: Callable[[Lent], Lent], sees: list[int]) -> None:
    lent = [change(one) if place == number else one for place, one in enumerate(LENT)]
    assert broken(findings(lent)) == sees


def test_every_frame_that_opens_a_door_is_counted_and_acted_on_as_ever() -> None:
    locker = Locker("L-1", DEVICES["1.6"], [Door(1, "PC-1")], lambda: 0)
    heard = listen([locker])
    call = {"vendorId": VENDOR, "messageId": "Door.Open", "data": '{"v": 1, "id": "12345678", "gid": "g-1"}'}
    answers = [locker.station.hears("DataTransfer", call), locker.station.hears("Heartbeat", {})]
    assert heard == ["g-1"] and "BadPayload" in str(answers[0]) and answers[1] is None
