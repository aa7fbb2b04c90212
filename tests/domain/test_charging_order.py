"""Which pack is charged first under a site's power cap: the known answer, and what holds for any packs."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.charging_order import STEP_MINUTES, STEPS_MAX, Slot, need_of, plan
from csms.domain.pack_rows import Pack
from csms.domain.slot_limits import NOTHING, Limits, most_within, power_at

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTES = STEPS_MAX * STEP_MINUTES


def slots(*needs: int | None, power_w: int | None = 1_000, station: str = "B1") -> list[Slot]:
    """Slots 1, 2, ... of a station."""
    return [Slot(station, unit, need, power_w) for unit, need in enumerate(needs, start=1)]


def pack(**more: object) -> Pack:
    """A pack of 1500 Wh at 20 %, healthy by 95 %."""
    base = Pack(
        "p1", "SN1", 1_500, 2_000, 9_500, None, None, None, None, None, None, None, None, (), "idle", "station", NOON,
        "k", None, 1,
    )  # fmt: skip
    return base._replace(**more)  # type: ignore[arg-type]


def test_least_energy_to_target_goes_first() -> None:
    found = plan(slots(1_500, 500, 1_000), 1_000)
    assert [found["B1", unit].ready_at for unit in (2, 3, 1)] == [30, 90, 180]
    assert found["B1", 2].limits == ((1_000, 30), (0, 0))
    assert found["B1", 3].limits == ((0, 30), (1_000, 60), (0, 0))
    assert found["B1", 1].limits == ((0, 90), (1_000, 90), (0, 0))


def test_what_the_first_cannot_take_is_the_next_ones() -> None:
    first, second = slots(600, 900, power_w=600)
    found = plan([first, second._replace(pack_power_w=500)], 1_000)
    assert found[first.place] == (((600, 60), (0, 0)), 60)
    assert found[second.place] == (((400, 60), (500, 60), (0, 0)), 120)


def test_equal_needs_are_served_by_the_number_of_the_slot() -> None:
    found = plan([*slots(500, 500, station="B2"), *slots(500, station="B1")], 1_000)
    assert [found[place].ready_at for place in (("B1", 1), ("B2", 1), ("B2", 2))] == [30, 60, 90]


def test_the_stations_of_a_site_share_its_cap() -> None:
    found = plan([*slots(500, station="B1"), *slots(250, station="B2")], 1_000)
    assert (found["B2", 1].ready_at, found["B1", 1].ready_at) == (15, 45)


def test_without_a_cap_each_takes_what_it_can() -> None:
    found = plan(slots(500, 1_500), None)
    assert [charging.ready_at for charging in found.values()] == [30, 90]
    assert plan(slots(500, power_w=None), None)["B1", 1].ready_at is None


def test_what_is_not_to_be_charged_gets_nothing_and_has_no_time() -> None:
    found = plan(slots(None, 0, 100), 1_000)
    assert found["B1", 1] == (NOTHING, None)
    assert found["B1", 2] == (NOTHING, 0)
    assert found["B1", 3].ready_at == 6


def test_a_station_that_cannot_be_told_keeps_what_it_was_told_and_the_others_get_the_rest() -> None:
    away = Slot("B2", 1, 350, 1_000, fixed=((700, 20), (0, 0)))
    found = plan([*slots(500), away], 1_000)
    assert found["B2", 1] == (away.fixed, None)
    assert found["B1", 1] == (((300, 30), (1_000, 30), (0, 0)), 51)
    assert plan([*slots(500), away._replace(fixed=((2_000, 0),))], 1_000)["B1", 1] == (NOTHING, None)


def test_what_would_take_days_has_no_forecast() -> None:
    found = plan(slots(48_000, 100), 1_000)
    assert (found["B1", 2].ready_at, found["B1", 1].ready_at) == (6, None)


@pytest.mark.parametrize(
    ("more", "need"),
    [
        ({}, 998),
        ({"soc": 9_000}, 0),
        ({"soc": 9_900}, 0),
        ({"soh": None}, 1_050),
        ({"soc": None}, None),
        ({"capacity_wh": None}, None),
        ({"faults": ("OverTemperature",)}, None),
        ({"mode": "faulted"}, None),
        ({"quarantine": "its health fell"}, None),
    ],
)
def test_a_pack_needs_what_it_lacks_to_the_target_as_far_as_it_is_known(
    more: dict[str, object], need: int | None
) -> None:
    assert need_of(pack(**more), 9_000) == need


caps = st.integers(1_000, 10_000)
powers = st.none() | st.integers(1_000, 5_000)


@st.composite
def sites(draw: st.DrawFn, power: st.SearchStrategy[int | None] = powers) -> list[Slot]:
    """Slots of two stations that can be ready within the horizon, in any order."""
    places = draw(st.lists(st.tuples(st.sampled_from(["B1", "B2"]), st.integers(1, 6)), max_size=8, unique=True))
    needs = st.none() | st.integers(0, 3_000)
    return [Slot(station, unit, draw(needs), draw(power), draw(powers)) for station, unit in places]


@st.composite
def told(draw: st.DrawFn) -> Limits:
    """What a station was told before."""
    pieces = draw(st.lists(st.tuples(st.integers(0, 6_000), st.integers(1, 300)), max_size=4))
    return (*pieces, (draw(st.integers(0, 500)), 0))


def watts_at(charging: dict[tuple[str, int], tuple[Limits, int | None]], minute: int) -> int:
    return sum(power_at(limits, minute) for limits, _ in charging.values())


@given(sites(), caps)
def test_the_cap_is_never_exceeded(site: list[Slot], cap_w: int) -> None:
    found = plan(site, cap_w)
    assert all(watts_at(found, minute) <= cap_w for minute in range(0, MINUTES + 1, STEP_MINUTES))
    assert watts_at(found, MINUTES) == 0


@given(sites(), caps, told())
def test_what_a_silent_station_may_take_comes_off_the_cap(site: list[Slot], cap_w: int, fixed: Limits) -> None:
    away = Slot("B9", 1, None, None, fixed=fixed)
    found = plan([*site, away], cap_w)
    for minute in range(0, MINUTES, STEP_MINUTES):
        theirs = most_within(fixed, minute, minute + STEP_MINUTES)
        ours = watts_at(found, minute) - power_at(fixed, minute)
        assert ours + theirs <= max(cap_w, theirs)


@given(sites(), caps)
def test_every_pack_that_can_be_charged_is_ready_in_the_end(site: list[Slot], cap_w: int) -> None:
    found = plan(site, cap_w)
    assert all((found[slot.place].ready_at is None) == (slot.need_wh is None) for slot in site)


@given(sites(power=st.just(1_500)), caps)
def test_less_need_is_never_ready_later(site: list[Slot], cap_w: int) -> None:
    site = [slot._replace(pack_power_w=None) for slot in site if slot.need_wh is not None]
    found = plan(site, cap_w)
    ready = [
        found[slot.place].ready_at for slot in sorted(site, key=lambda slot: (slot.need_wh, slot.unit, slot.station_id))
    ]
    assert ready == sorted(ready, key=lambda at: at or 0)


@given(sites(), caps)
def test_what_is_given_covers_each_need_by_the_time_it_is_ready(site: list[Slot], cap_w: int) -> None:
    found = plan(site, cap_w)
    for slot in site:
        limits, ready_at = found[slot.place]
        if slot.need_wh is not None:
            assert ready_at is not None
            given_wmin = sum(power_at(limits, minute) for minute in range(ready_at))
            assert given_wmin >= slot.need_wh * 60
            assert ready_at == 0 or given_wmin - power_at(limits, ready_at - 1) < slot.need_wh * 60


@given(sites(), caps)
def test_no_power_goes_to_what_is_not_to_be_charged_nor_more_than_can_be_taken(site: list[Slot], cap_w: int) -> None:
    found = plan(site, cap_w)
    for slot in site:
        limits = found[slot.place].limits
        most = max(watts for watts, _ in limits)
        assert most <= min([watts for watts in (slot.slot_power_w, slot.pack_power_w, cap_w) if watts is not None])
        assert limits == NOTHING or slot.need_wh


@given(sites(), caps, st.randoms())
def test_the_order_in_which_slots_are_told_changes_nothing(site: list[Slot], cap_w: int, random: Random) -> None:
    shuffled = list(site)
    random.shuffle(shuffled)
    assert plan(shuffled, cap_w) == plan(site, cap_w)


@given(sites(), caps, st.integers(1, 20))
def test_who_plans_again_later_finds_the_same_order(site: list[Slot], cap_w: int, steps: int) -> None:
    minutes = steps * STEP_MINUTES
    before = plan(site, cap_w)
    later = []
    for slot in site:
        given_wmin = sum(power_at(before[slot.place].limits, minute) for minute in range(minutes))
        need = None if slot.need_wh is None else max(0, -(-(slot.need_wh * 60 - given_wmin) // 60))
        later.append(slot._replace(need_wh=need))
    after = plan(later, cap_w)
    for slot in site:
        ready_at, again = before[slot.place].ready_at, after[slot.place].ready_at
        assert again is None or ready_at is None or abs(max(0, ready_at - minutes) - again) <= STEP_MINUTES
