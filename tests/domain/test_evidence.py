"""Evidence: registers that are not in order are billed as far as they prove something, and held where they do not."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import Reading
from csms.domain.evidence import Point, proven
from csms.domain.metering import NEEDS_SERIES, Energy, NeedsSeries, judge
from csms.domain.plausible import TOLERANCE_WH
from csms.domain.session import NOTHING, Session, Station, ended, metered, opened, started
from tests.make import NOON, after, new_id

POWER_W = 22_000
STATION = Station("S1", "charger", "P", None, 1, None, {1: POWER_W})


def series(*registers: int | None, every: float = 5) -> tuple[Reading, ...]:
    """Readings every five minutes, the first one at five past noon."""
    return tuple(Reading(after(every * place), place, wh) for place, wh in enumerate(registers, 1))


def session(start: int | None, end: int | None, minutes: float = 60, *flags: str) -> Session:
    """A session from noon on, of an hour."""
    at_work = opened(STATION, new_id(), "r1", "r1", False, NOON)._replace(max_power_w=POWER_W, flags=flags)
    return ended(started(at_work, NOON, start, None, False), after(minutes), end, "Local", None)


def judged(
    start: int | None,
    end: int | None,
    readings: tuple[Reading, ...],
    boots: tuple[datetime, ...] = (),
    *flags: str,
    closed: float = 60,
) -> Energy:
    """With all that is stored, as the road does: first without the readings, with them when they are asked for."""
    whole = session(start, end, 60, *flags)
    progress = metered(NOTHING, readings)
    energy = judge(whole, progress, None, after(closed))
    if isinstance(energy, NeedsSeries):
        energy = judge(whole, progress, readings, after(closed), boots)
    assert isinstance(energy, Energy)
    return energy


rises = st.lists(st.integers(0, 1_800), min_size=3, max_size=11)


@given(st.integers(0, 10**9), rises)
def test_registers_in_order_are_judged_without_their_readings(first: int, steps: list[int]) -> None:
    registers = [first + sum(steps[:place]) for place in range(1, len(steps))]
    whole = session(first, first + sum(steps))
    energy = judge(whole, metered(NOTHING, series(*registers)), None, after(60))
    assert energy == Energy(sum(steps), False, (), sum(steps))


@given(st.integers(1_000, 10**9), rises, st.data())
def test_a_register_that_begins_anew_at_a_boot_is_added_up_and_never_above_what_flowed(
    first: int, steps: list[int], data: st.DataObject
) -> None:
    reset = data.draw(st.integers(1, len(steps) - 1))
    true = [first + sum(steps[:place]) for place in range(len(steps) + 1)]
    registers = [wh if place < reset else wh - true[reset] + steps[reset - 1] // 2 for place, wh in enumerate(true)]
    boot = after(5 * reset - 2)
    energy = judged(first, registers[-1], series(*registers[1:-1]), (boot,))
    if any(a - b > TOLERANCE_WH for a, b in itertools.pairwise(registers)):
        lost = steps[reset - 1]
        assert not energy.held or "end_below_start" in energy.flags  # nothing at all is proven
        if not energy.held:
            assert sum(steps) - lost - TOLERANCE_WH <= energy.wh <= sum(steps)
            assert "estimated" in energy.flags


@settings(max_examples=150)
@given(
    st.none() | st.integers(0, 50_000),
    st.none() | st.integers(0, 50_000),
    st.lists(st.none() | st.integers(0, 50_000), max_size=9),
    st.lists(st.integers(0, 60), max_size=3),
)
def test_whatever_was_read_nothing_is_billed_that_no_rising_piece_proves(
    start: int | None, end: int | None, registers: list[int | None], boots: list[int]
) -> None:
    energy = judged(start, end, series(*registers), tuple(after(boot) for boot in sorted(boots)))
    seen = [wh for wh in (start, *registers, end) if wh is not None]
    rises = sum(max(0, b - a) for a, b in itertools.pairwise(seen))
    assert 0 <= energy.wh <= rises
    if energy.held:
        assert energy.wh == 0
        assert energy.flags
    elif start is not None and end is not None and not energy.flags:
        assert energy.wh == end - start


@given(st.integers(1, 10**9), rises, st.data())
def test_zeros_among_the_readings_change_nothing(first: int, steps: list[int], data: st.DataObject) -> None:
    registers = [first + TOLERANCE_WH + sum(steps[:place]) for place in range(1, len(steps))]
    at = data.draw(st.integers(0, len(registers) - 1))
    end = first + TOLERANCE_WH + sum(steps)
    holes = series(*registers[:at], 0, *registers[at:])
    energy = judged(first, end, holes)
    assert (energy.wh, energy.held) == (end - first, False)


@pytest.mark.parametrize(
    ("start", "readings", "end", "boots", "wh", "flags"),
    [
        # Q-M05: reset at a boot; at the start of the session; at its end; twice.
        (100_000, (101_000, 102_000, 50, 900), 1_500, (14,), 2_000 + 1_450, ("estimated",)),
        (5_000, (100, 200, 900), 1_300, (), 1_200, ("estimated",)),
        (5_000, (5_500, 6_000, 6_500, 7_000, 7_200, 7_300, 7_400, 7_500, 7_600, 7_700, 7_800), 0, (), 2_800,
         ("estimated",)),
        (9_000, (9_500, 20, 700, 10, 300), 400, (9, 19), 500 + 680 + 390, ("estimated",)),
        # Q-M07: dropouts, also where a register is missing at an end.
        (100_000, (101_000, 0, 0, 102_000), 103_000, (), 3_000, ("register_gap",)),
        (None, (500_000, 0, 501_000), 502_000, (), 2_000, ("start_register_missing", "register_gap")),
        (None, (0, 501_000, 501_500), 502_000, (), 1_000, ("start_register_missing", "register_gap")),
        (100_000, (101_000, 102_000, 0), None, (), 2_000, ("end_register_missing", "register_gap")),
        # Q-M03: readings of a register of their own, beside a lifetime register.
        (100_000, (0, 500, 900), 101_000, (), 1_000, ("readings_of_another_register",)),
        # One wrong reading, above or below the others.
        (1_000, (1_500, 99_999, 2_000), 2_500, (), 1_500, ("reading_implausible",)),
        (1_000, (1_500, 300, 2_000), 2_500, (), 1_500, ("reading_implausible",)),
        # Q-M19: a register is missing; the last known one counts.
        (None, (1_000, 2_500), 4_000, (), 3_000, ("start_register_missing",)),
        (1_000, (2_000, 4_500), None, (), 3_500, ("end_register_missing",)),
        (None, (1_000, 4_500), None, (), 3_500, ("start_register_missing", "end_register_missing")),
    ],
)  # fmt: skip
def test_what_is_proven_is_billed_and_says_how(
    start: int | None, readings: tuple[int, ...], end: int | None, boots: tuple[int, ...], wh: int, flags: object
) -> None:
    energy = judged(start, end, series(*readings), tuple(after(boot) for boot in boots))
    assert energy == Energy(wh, False, flags, wh)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "readings", "end", "why"),
    [
        (1_000, (2_000, 3_000), 2_000, "end_below_readings"),
        (1_000, (9_000,), 2_000, "end_below_readings"),
        (5_000, (), 3_000, "end_below_start"),
        (5_000, (6_000, 7_000, 900, 1_500), 2_000, "register_dropped"),
        (100_000, (0, 5_000, 9_000), 100_500, "end_below_readings"),
        (None, (4_000, 3_000, 2_000), None, "register_dropped"),
        (1_000, (0, 2_500, 5_000), None, "register_dropped"),
        (None, (), None, "no_interval"),
        (1_000, (), None, "no_interval"),
    ],
)
def test_what_contradicts_itself_is_held(
    start: int | None, readings: tuple[int, ...], end: int | None, why: str
) -> None:
    energy = judged(start, end, series(*readings))
    assert (energy.wh, energy.held) == (0, True)
    assert why in energy.flags


def test_a_fall_at_the_end_after_a_long_silence_is_held() -> None:
    """What flowed in the silence is unknown: the proven piece may be the smaller one."""
    readings = series(5_100, every=0.1)
    long_after = Point(after(180), 300)
    assert proven(Point(NOON, 5_000), readings, long_after, POWER_W).against == "end_below_readings"
    soon_after = Point(after(30), 300)
    assert proven(Point(NOON, 5_000), readings, soon_after, POWER_W).wh == 100


def test_readings_after_the_end_prove_nothing_of_the_session() -> None:
    readings = (*series(2_000, 3_000), Reading(after(90), 9, 8_000))
    assert judged(1_000, 4_000, readings) == Energy(3_000, False, (), 3_000)


@pytest.mark.parametrize("flag", ["time_missing", "time_too_early", "time_ahead"])
def test_without_the_stations_clock_our_own_says_how_much_can_have_flowed(flag: str) -> None:
    assert judged(0, 20_000, (), (), flag, closed=60).wh == 20_000
    assert judged(0, 20_000, (), (), flag, closed=20).flags == ("above_ceiling",)


def test_a_forged_signature_holds_whatever_the_registers_say() -> None:
    energy = judged(0, 5_000, series(1_000, 2_000), (), "signature_invalid")
    assert (energy.wh, energy.held, energy.why, energy.claimed_wh) == (0, True, "signature_invalid", 5_000)


def test_registers_that_the_meter_signed_stand_against_readings_that_it_did_not() -> None:
    assert judged(0, 5_000, series(1_000, 9_000), (), "signed_start", "signed_end").wh == 5_000
    assert judged(0, 5_000, series(1_000, 9_000), (), "signed_start").held


def test_registers_out_of_order_ask_for_the_readings_first() -> None:
    readings = series(2_000, 3_000)
    assert judge(session(1_000, 2_000), metered(NOTHING, readings), None, after(60)) is NEEDS_SERIES
    assert judge(session(None, 2_000), metered(NOTHING, readings), None, after(60)) is NEEDS_SERIES
    assert timedelta(0) < readings[1].at - readings[0].at
