"""A prepaid session is stopped when it is spent: never before, and never more than one reading too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any, cast
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain import tariff_document
from csms.domain.books import Books
from csms.domain.decide import decide
from csms.domain.events import Outcome, Reading, SessionMetered, SpendingChecked
from csms.domain.session import Means, Priced, Session, Station, Terms, opened
from csms.domain.settlement import Split
from csms.domain.spending import SPENT
from csms.domain.tariff import Usage, price
from csms.domain.watch import NEVER_AT, caps, keepers
from csms.domain.world import Changes, Rules, World
from tests.make import NOON, new_id

DRIVER = "ann"
START_WH = 5_000_000


def document(**prices: int) -> dict[str, Any]:
    """An OCPI tariff of these dimensions, tax included."""
    parts = [{"type": name, "price": value, "vat": 10, "step_size": 1} for name, value in prices.items() if value]
    return {
        "country_code": "KR", "party_id": "CSM", "id": "T", "currency": "KRW", "tax_included": "YES",
        "elements": [{"price_components": parts}], "last_updated": "2026-01-01T00:00:00Z",
    }  # fmt: skip


@dataclass
class Charge:
    """A running session in a world of its own; `told` is the newest outcome its station got."""

    priced: Priced
    hold: int
    balance: int = 0
    means: Means = "balance"
    usual: int = 0
    world: World = field(init=False)
    session_id: UUID = field(default_factory=new_id)
    errands: list[str] = field(default_factory=list)
    checks: int = 0
    told: Outcome | None = None

    def __post_init__(self) -> None:
        terms = Terms("T", 1, "KRW", self.usual or self.hold, 1)
        station = Station("S1", "charger", "P", None, 1, terms, {1: 22_000})
        session = opened(station, self.session_id, "r1", "r1", False, NOON)._replace(
            state="active", connector=1, max_power_w=22_000, driver_id=DRIVER, means=self.means,
            hold_minor=self.hold, started_at=NOON, meter_start_wh=START_WH,
        )  # fmt: skip
        self.world = World(Rules({}), stations={"S1": station}, sessions={("S1", "r1"): session})
        self.world.priced["T", 1, "P", 1] = self.priced
        self.world.balances[DRIVER, "KRW"] = self.balance
        self.world.series[self.session_id] = ()
        self.world.books[self.session_id] = Books()

    @property
    def session(self) -> Session:
        return self.world.sessions["S1", "r1"]

    @property
    def spent(self) -> bool:
        return SPENT in self.session.flags

    def meter(self, seconds: int, wh: int) -> None:
        """A reading so many seconds and Wh after the start, and what it makes the system look at."""
        at = NOON + timedelta(seconds=seconds)
        reading = Reading(at, wh, START_WH + wh)
        (self.told,), changes = self._decide(SessionMetered("S1", "r1", at, (reading,), 1, False, new_id(), "[]"))
        for (station_id, ref), when in changes.checks.items():
            self.look(SpendingChecked(station_id, ref, when))

    def look(self, event: SpendingChecked) -> Changes:
        self.checks += 1
        return self._decide(event)[1]

    def look_at(self, seconds: int) -> Changes:
        return self.look(SpendingChecked("S1", "r1", NOON + timedelta(seconds=seconds)))

    def _decide(self, event: Any) -> tuple[Sequence[Outcome], Changes]:
        outcomes, changes = decide(self.world, [event])
        self.errands += [errand.key.split("/", 2)[2] for errand in changes.errands]
        assert not changes.lacking
        return outcomes, changes

    def cost(self, seconds: int, wh: int) -> int:
        return price(Usage(wh, seconds), self.priced.tariff).total_minor if wh else 0


def charge(hold: int, *, balance: int = 0, means: Means = "balance", usual: int = 0, **prices: Any) -> Charge:
    tariff = tariff_document.parse(document(**prices))
    return Charge(Priced(tariff, Split(1000)), hold, balance, means, usual)


prices = st.fixed_dictionaries(
    {
        "ENERGY": st.sampled_from([0, 100, 320]),
        "TIME": st.sampled_from([0, 60, 600, 6000]),
        "FLAT": st.sampled_from([0, 500]),
    }
).filter(lambda p: p["ENERGY"] or p["TIME"])
steps = st.lists(st.tuples(st.integers(5, 1200), st.integers(0, 22_000)), min_size=1, max_size=40)
"""Seconds between readings, and W."""


@settings(max_examples=40, deadline=None)
@given(prices, st.integers(200, 20_000), steps)
def test_nobody_is_stopped_early_nor_gets_more_than_one_reading_unpaid(
    costs: dict[str, int], hold: int, ways: list[tuple[int, int]]
) -> None:
    it = charge(hold, **cast("Any", costs))
    points, seconds, wh = [(0, 0)], 0, 0
    for apart, watts in ways:
        taken = watts * apart // 3600
        before = points[-1]
        seconds, wh = seconds + apart, wh + taken
        points.append((seconds, wh))
        it.meter(seconds, wh)
        if it.spent:
            # by the next reading, and two seconds on, it would have cost what is set aside: as far as is projected
            assert it.cost(seconds + apart + 2, wh + -(-taken * (apart + 2) // apart) + 1) >= hold
            assert it.cost(*before) < hold
            return
        assert it.cost(seconds, wh) < hold


@settings(max_examples=40, deadline=None)
@given(prices, st.integers(500, 8_000), st.integers(30, 900), st.integers(1_000, 22_000))
def test_a_steady_session_is_stopped_before_its_hold_is_spent(
    costs: dict[str, int], hold: int, apart: int, watts: int
) -> None:
    it = charge(hold, **cast("Any", costs))
    for number in range(1, 150):
        seconds = number * apart
        it.meter(seconds, watts * seconds // 3600)
        if it.spent:
            break
    else:
        return
    if number > 1:  # a first reading may be too late already
        assert it.cost(seconds, watts * seconds // 3600) < hold
        assert it.errands == [f"stop/{hold}"]


def test_a_session_far_from_its_hold_is_never_looked_at() -> None:
    it = charge(30_000, ENERGY=300, FLAT=100)
    for minute in range(1, 61):
        it.meter(minute * 60, minute * 183)
    assert (it.checks, it.spent) == (0, False)


def test_more_of_the_balance_is_set_aside_before_anything_is_stopped() -> None:
    it = charge(3_000, balance=5_000, ENERGY=300)
    for minute in range(1, 121):
        it.meter(minute * 60, minute * 300)
        if it.spent:
            break
    assert it.session.hold_minor == 8_000
    assert it.world.balances[DRIVER, "KRW"] == 0
    assert it.errands == ["limit/6000", "limit/8000", "stop/8000"]
    assert minute == 88  # 26,400 Wh are 7,920; the 89th minute would be above


def test_what_a_psp_holds_is_not_raised_from_a_balance() -> None:
    it = charge(3_000, balance=5_000, means="psp", ENERGY=300)
    it.meter(3600, 9_900)
    assert (it.spent, it.session.hold_minor, it.world.balances[DRIVER, "KRW"]) == (True, 3_000, 5_000)


def test_a_register_that_nobody_can_have_reached_sets_nothing_aside_and_stops_nobody() -> None:
    it = charge(3_000, balance=50_000, ENERGY=300)
    it.meter(600, 9_000_000)
    assert (it.spent, it.session.hold_minor, it.errands) == (False, 3_000, [])


def test_a_top_up_takes_the_stop_back_and_raises_what_was_set_aside() -> None:
    it = charge(1_000, usual=30_000, ENERGY=300)
    it.meter(600, 3_000)
    it.meter(660, 3_300)
    assert it.spent
    it.world.balances[DRIVER, "KRW"] = 20_000
    it.look_at(670)
    assert (it.spent, it.session.hold_minor) == (False, 21_000)
    assert it.errands == ["stop/1000", "limit/21000"]
    assert it.told is not None and it.told.limit is not None and it.told.limit.minor == 1_000
    it.meter(720, 3_600)
    assert it.told.limit is not None and it.told.limit.minor == 21_000


def test_a_top_up_raises_a_session_that_began_with_less_than_usual_before_it_is_short() -> None:
    it = charge(1_000, balance=50_000, usual=30_000, ENERGY=300)
    it.look_at(60)
    assert (it.session.hold_minor, it.world.balances[DRIVER, "KRW"]) == (30_000, 21_000)


def test_a_session_is_asked_to_stop_once_for_each_amount() -> None:
    it = charge(1_000, ENERGY=300)
    for minute in range(1, 6):
        it.meter(3600 + minute * 60, 3_200 + minute * 10)
    assert it.errands == ["stop/1000"]
    it.meter(4_000, 3_500)
    it.meter(4_100, 3_600)
    assert it.errands == ["stop/1000", "stop-over/1000"]


def test_time_alone_spends_a_hold_of_a_session_that_takes_energy() -> None:
    it = charge(1_000, TIME=600)
    it.meter(60, 10)
    watched = it.world.watches[it.session_id]
    assert NOON + timedelta(seconds=4_000) < watched.at < NOON + timedelta(seconds=6_000)
    it.look_at(5_000)
    assert not it.spent
    it.look_at(5_996)
    assert it.spent


def test_a_session_without_energy_costs_nothing_however_long_it_stands() -> None:
    it = charge(1_000, TIME=600, FLAT=500)
    it.look_at(86_400)
    assert not it.spent
    assert it.world.watches[it.session_id].at == NEVER_AT
    it.meter(86_460, 1)
    assert it.spent


def test_registers_of_another_kind_are_counted_from_their_own_lowest() -> None:
    it = charge(3_000, ENERGY=300)
    for minute in range(60):
        at = NOON + timedelta(minutes=minute + 1)
        reading = Reading(at, minute, 200 * minute)  # session-relative, while the start told a lifetime register
        _, changes = decide(it.world, [SessionMetered("S1", "r1", at, (reading,), 1, False, new_id(), "[]")])
        for (station_id, ref), when in changes.checks.items():
            it.look(SpendingChecked(station_id, ref, when))
        if it.spent:
            break
    assert 200 * minute * 300 // 1000 < 3_000 <= 200 * (minute + 2) * 300 // 1000


def test_energy_or_time_alone_costs_at_most_what_is_set_aside_and_one_more_costs_more() -> None:
    tariff = tariff_document.parse(document(ENERGY=320, TIME=600, FLAT=500))
    energy_wh, seconds = caps(tariff, 3_000)
    assert energy_wh is not None and seconds is not None
    for usages in (
        pairwise([Usage(energy_wh, 0), Usage(energy_wh + 2, 0)]),
        pairwise([Usage(0, seconds), Usage(0, seconds + 4)]),
    ):
        for inside, beyond in usages:
            assert price(inside, tariff).total_minor <= 3_000 < price(beyond, tariff).total_minor
    assert keepers(tariff) == ["cost"]
    assert keepers(tariff_document.parse(document(ENERGY=320, FLAT=500))) == ["cost", "energy"]
    assert caps(tariff_document.parse(document(FLAT=500)), 3_000) == (None, None)
