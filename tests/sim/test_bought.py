"""What the fourth act of the demo checks: each promise is seen to be broken when it is."""

from __future__ import annotations

from copy import deepcopy
from datetime import date, datetime
from fractions import Fraction
from typing import Any

import pytest

from charge_points_sim.agreement import Finding
from charge_points_sim.bought import Bought, balance_finding, findings, offer_findings
from charge_points_sim.habit import FIRST_DAY, HISTORY_WEEKS, STATION, ZONE, habit, line, local, matrix, within
from charge_points_sim.offered import shade
from charge_points_sim.prices import PRICES, Price, of_site
from charge_points_sim.run import WHOLE_FILE
from charge_points_sim.saved import Tried, reckon, released_minor, try_out
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.times import wire
from charge_points_sim.voucher_act import PRICE as ACT_PRICE

PRICE = Price("plain", per_kwh=3000, per_hour=0, flat=0, tax=0, operator_bp=0)
"""30 cents a kWh."""
ONCE, UNITS, AMOUNTS, USES, EARNED = range(5)
BEFORE_MINOR = 1_000


def at(text: str) -> int:
    """An instant of the station's clock."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def charge(begins: str, hours: int, wh: int) -> Charge:
    return Charge("jpl", STATION, begins, at(begins), at(begins) + 3_600 * hours, wh)


CHARGES = [charge("2019-08-05 20:00", 2, 5_000), charge("2019-08-10 09:00", 4, 8_000)]
TERMS: dict[str, Any] = {"price": {"minor": 150}, "effect": None, "conditions": None, "valid_days": 7}


def test_the_driver_is_real_and_comes_four_or_five_times_a_week() -> None:
    lived = habit(WHOLE_FILE, 0)
    weeks = [(local(one.arrival).date() - FIRST_DAY).days // 7 for one in lived.before]
    assert (len(lived.before), len(lived.after)) == (37, 9) and lived.guest.arrival > lived.after[-1].departure
    assert {weeks.count(week) for week in range(HISTORY_WEEKS)} == {4, 5}
    assert sum(map(sum, matrix(lived.before))) == sum(one.delivered_wh for one in lived.before)


def test_who_starts_later_lives_the_same_weekdays_whole_weeks_later() -> None:
    first, later = habit(WHOLE_FILE, 0), habit(WHOLE_FILE, at("2020-06-01 00:00"))
    assert later.before[0].arrival > at("2020-06-01 00:00")
    assert {b.arrival - a.arrival for a, b in zip(first.before, later.before, strict=True)} == {
        later.moved_weeks * 7 * 86_400
    }


def test_hours_that_wrap_are_cut_between_readings() -> None:
    told = [(at("2019-08-05 20:30"), 0), (at("2019-08-05 21:30"), 1_000)]
    parts = list(within(told, {"start_time": "21:00", "end_time": "07:00"}))
    assert parts == [(at("2019-08-05 21:00"), Fraction(500), Fraction(1_000))]


def test_weekdays_count_from_midnight() -> None:
    told = [(at("2019-08-09 23:00"), 0), (at("2019-08-10 01:00"), 1_000)]
    assert [(int(low), int(high)) for _, low, high in within(told, {"day_of_week": ["SATURDAY"]})] == [(500, 1_000)]


def test_a_voucher_reaches_to_the_wh_and_its_last_unit_earns_the_rest() -> None:
    one, other = reckon(CHARGES, PRICE, TERMS, 7_000)
    assert (one.covered_wh, one.paid_minor, one.price_minor) == (5_000, 0, 150)
    assert (other.covered_wh, other.paid_minor, other.price_minor) == (2_000, 180, 240)
    assert one.released_minor + other.released_minor == 150
    assert one.saved_minor + other.saved_minor == 150 + 240 - 180 - 150


def test_what_is_earned_is_rounded_half_up_of_all_that_is_used() -> None:
    assert [released_minor(1, 2, used) for used in range(3)] == [0, 1, 1]


def test_a_product_is_tried_on_every_window() -> None:
    tried = try_out(CHARGES, PRICE, {**TERMS, "amount": 100_000}, at("2019-08-15 20:00"), 10)
    assert [int(net) for net in tried.nets] == [240, 90, 90, 90]  # Monday's charge is in the first of them alone
    assert (tried.expected_minor, tried.worst_minor, float(tried.gain)) == (127, 90, 1.0)


def bought() -> Bought:
    """Two charges and a voucher that covered the first and a part of the other, as a system would tell it."""
    reckoned = reckon(CHARGES, PRICE, TERMS, 7_000)
    uses = [
        {
            "session": one.charge.session_id, "units": one.covered_wh, "released": {"minor": one.released_minor},
            "saved": {"minor": one.value_minor - one.released_minor}, "at": wire(one.charge.departure),
        }
        for one in reckoned
    ]  # fmt: skip
    bills = [
        {
            "session": one.charge.session_id, "started_at": wire(one.charge.arrival),
            "energy_wh": one.charge.delivered_wh, "total": {"minor": one.paid_minor + one.released_minor},
            "lines": [
                {"dimension": "ENERGY", "incl_vat": f"{one.price_minor / 100}"},
                {"dimension": "COVERED", "incl_vat": "-1"}, {"dimension": "VOUCHER", "incl_vat": "1"},
            ],
        }
        for one in reckoned
    ]  # fmt: skip
    voucher = {
        "price": {"minor": 150}, "used": 7_000, "total": 7_000, "released": {"minor": 150}, "deferred": {"minor": 0},
        "uses": uses,
    }  # fmt: skip
    zero = {"minor": 0}
    left = {"minor": BEFORE_MINOR - sum(one.paid_minor for one in reckoned)}
    balance = {"balance": left, "held": zero, "debt": zero, "refunding": zero}
    return Bought([voucher], voucher, bills, reckoned, balance)


def broken(found: list[Finding]) -> set[int]:
    return {place for place, finding in enumerate(found) if not finding.holds}


def test_a_voucher_that_paid_as_it_should_agrees() -> None:
    told = bought()
    assert broken(findings(told)) == set()
    assert balance_finding(told, BEFORE_MINOR).holds
    assert told.saved_minor == 150 + 240 - 180 - 150


def _no_bill(told: Any) -> None:
    told.bills.pop()


def _other_energy(told: Any) -> None:
    told.bills[0]["energy_wh"] += 1


def _unit_more(told: Any) -> None:
    told.voucher["uses"][0]["units"] += 1


def _cent_more(told: Any) -> None:
    told.bills[1]["total"]["minor"] += 1


def _saved_less(told: Any) -> None:
    told.voucher["uses"][0]["saved"]["minor"] -= 1


def _earned_early(told: Any) -> None:
    told.voucher["released"]["minor"] += 1


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (_no_bill, {ONCE, UNITS, AMOUNTS}),
        (_other_energy, {ONCE}),
        (_unit_more, {UNITS}),
        (_cent_more, {AMOUNTS}),
        (_saved_less, {USES}),
        (_earned_early, {EARNED}),
    ],
)
def test_what_is_wrong_is_seen(change: Any, seen: set[int]) -> None:
    told = deepcopy(bought())
    change(told)
    assert broken(findings(told)) == seen


def test_a_cent_that_went_elsewhere_is_seen() -> None:
    assert not balance_finding(bought(), BEFORE_MINOR + 1).holds


def test_an_offer_that_promises_more_or_is_out_of_order_is_seen() -> None:
    tried = {"good": Tried([Fraction(20)]), "fair": Tried([Fraction(10)]), "bad": Tried([Fraction(-5)])}

    def offer(product: str, minor: int) -> dict[str, Any]:
        return {"product": product, "expected": {"minor": minor}, "worst": {"minor": minor}, "windows": 1,
                "recommended": True}  # fmt: skip

    good, fair = offer("good", 20), offer("fair", 10)
    assert broken(offer_findings({"offers": [good, fair]}, tried)) == set()
    assert broken(offer_findings({"offers": [fair, good]}, tried)) == {1}
    assert broken(offer_findings({"offers": [good]}, tried)) == {1}
    assert broken(offer_findings({"offers": [offer("good", 21), fair]}, tried)) == {0}


def test_a_shade_is_darker_for_more_and_never_nothing_for_something() -> None:
    assert [shade(part, 100) for part in (0, 1, 50, 100)] == [" ", "░", "▒", "█"]
    assert shade(0, 0) == " "


def test_the_prices_of_the_act_are_those_of_the_station() -> None:
    assert of_site(["caltech", "jpl"], "jpl") == ACT_PRICE and ACT_PRICE in PRICES
    assert line(CHARGES[0])[-1] == (CHARGES[0].departure, 5_000)


def test_eight_weeks_begin_on_a_monday() -> None:
    assert date.weekday(FIRST_DAY) == 0
