"""Metering: only what a closed and plausible interval proves is billed; the rest is held for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.domain.metering import Energy, interval, to_wh
from csms.domain.plausible import MAX_POWER_W, PLAUSIBLE_FROM, TOLERANCE_WH, WH_MAX, ceiling_wh, plausible_time

registers = st.none() | st.integers(-WH_MAX, WH_MAX)
instants = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
wire_values = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text() | st.binary()


class TestToWh:
    @given(st.integers(-WH_MAX, WH_MAX))
    def test_whole_watt_hours_survive_every_way_of_writing(self, wh: int) -> None:
        assert to_wh(str(wh), "Wh") == to_wh(wh, None) == to_wh(Decimal(wh), "wh") == wh
        assert to_wh(f" {Decimal(wh).scaleb(-3):f} ", "kWh") == wh
        assert to_wh(f"{Decimal(wh).scaleb(-3):f}".replace(".", ","), "kWh") == wh
        assert to_wh(f"{Decimal(wh).scaleb(-6):f}", "MWh") == wh
        assert to_wh(f"{Decimal(wh).scaleb(-3):f}", "Wh", 3) == wh

    @given(
        wire_values | st.from_regex(r"\A[+-]?[0-9.,]{1,20}([eE][+-]?[0-9]{1,12})?\Z"),
        st.none() | st.sampled_from(["Wh", "kWh", "MWh", "W", "Hz", ""]) | st.text(),
        st.integers(),
    )
    def test_anything_else_is_a_value_error(self, value: object, unit: str | None, multiplier: int) -> None:
        try:
            wh = to_wh(value, unit, multiplier)
        except ValueError:
            return
        assert abs(wh) <= WH_MAX

    @pytest.mark.parametrize(
        ("value", "unit", "wh"),
        [
            ("26008.333", None, 26008),
            ("0.5", "Wh", 0),
            ("1.5", "Wh", 2),
            ("2.5", "Wh", 2),
            (604.213, "Wh", 604),
            ("  2.5", "kWh", 2500),
            ("1,5", "kWh", 1500),
            (0.1, "kWh", 100),
            ("1.5e3", "Wh", 1500),
            ("0", "kWh", 0),
            ("-0.0", "Wh", 0),
            (150.01, " kWh ", 150_010),
        ],
    )
    def test_what_stations_write_is_read(self, value: object, unit: str | None, wh: int) -> None:
        assert to_wh(value, unit) == wh

    @pytest.mark.parametrize(
        "value",
        [
            *("", "  ", "null", "NaN", "inf", "-Infinity", "1_000", "1,000,000", "1,000.5", "9" * 65, "1e400000000"),
            *(float("nan"), float("inf"), None, True, [], 10**400, Decimal("1e30"), WH_MAX + 1),
        ],
    )
    def test_what_is_no_energy_is_a_value_error(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"number|range"):
            to_wh(value, "Wh")

    @pytest.mark.parametrize("unit", ["W", "varh", "", "Celsius"])
    def test_another_unit_is_never_taken_for_energy(self, unit: str) -> None:
        with pytest.raises(ValueError, match="unit"):
            to_wh("1", unit)

    def test_units_that_change_within_a_session_are_one_register(self) -> None:
        assert to_wh("1500", "Wh") == to_wh("1.5", "kWh") == to_wh("15", "Wh", 2)


class TestInterval:
    @given(registers, registers, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6))
    def test_what_is_billed_is_a_proven_and_possible_difference(
        self, start: int | None, end: int | None, elapsed_s: int | None, max_power_w: int | None
    ) -> None:
        energy = interval(start, end, elapsed_s, max_power_w)
        assert 0 <= energy.wh <= ceiling_wh(elapsed_s, max_power_w)
        if energy.held:
            assert energy.wh == 0
            assert energy.flags
        if energy.wh and start is not None and end is not None:
            assert energy.wh == end - start

    @given(st.integers(0, WH_MAX // 2), st.integers(0, 20_000))
    def test_an_ordinary_session_is_billed_to_the_watt_hour(self, start: int, wh: int) -> None:
        assert interval(start, start + wh, 3 * 3600, 7_000) == Energy(wh, False, (), wh)

    @given(st.integers(0, 50_000), st.integers(0, 50_000), st.integers(0, 86_400))
    def test_more_energy_at_the_meter_is_never_less_on_the_bill_until_it_is_held(
        self, one: int, other: int, elapsed_s: int
    ) -> None:
        low = interval(0, min(one, other), elapsed_s, 11_000)
        high = interval(0, max(one, other), elapsed_s, 11_000)
        assert high.held or low.wh <= high.wh
        assert high.held or not low.held

    def test_watt_hours_labelled_kilowatt_hours_are_held(self) -> None:
        claimed = to_wh("150.01", "kWh") - to_wh("0", "kWh")
        assert interval(0, claimed, 15, 600_000) == Energy(0, True, ("above_ceiling",), 150_010)
        assert not interval(0, to_wh("0.15", "kWh"), 15, 600_000).held

    def test_kilowatt_hours_labelled_watt_hours_are_held_when_the_power_says_so(self) -> None:
        held = interval(361, 362, 7 * 60, 22_000, mean_power_w=9_400)
        assert (held.held, held.flags) == (True, ("unit_factor_1000",))
        assert interval(361, 362, 7 * 60, 22_000).wh == 1
        assert interval(361_000, 362_097, 7 * 60, 22_000, mean_power_w=9_400).wh == 1_097

    def test_a_car_that_is_full_is_no_wrong_unit(self) -> None:
        assert not interval(0, 300, 10 * 3600, 22_000, mean_power_w=30).held

    def test_an_end_one_below_the_start_is_no_energy_and_no_fault(self) -> None:
        assert interval(1_000, 999, 3_600, None) == Energy(0, False, ("end_slightly_below_start",), -1)
        assert not interval(1_000, 991, 3_600, None).held

    @pytest.mark.parametrize("end", [990, 0, -5])
    def test_an_end_further_below_the_start_is_held(self, end: int) -> None:
        assert interval(1_000, end, 3_600, None) == Energy(0, True, ("end_below_start",), end - 1_000)

    @pytest.mark.parametrize(("start", "end"), [(None, None), (None, 5_000), (5_000, None)])
    def test_one_register_alone_proves_nothing(self, start: int | None, end: int | None) -> None:
        energy = interval(start, end, 3_600, 7_000)
        assert (energy.wh, energy.held) == (0, True)
        assert "no_interval" in energy.flags

    def test_the_ceiling_is_a_quarter_above_full_power(self) -> None:
        assert ceiling_wh(3_600, 7_000) == 8_750 + TOLERANCE_WH
        assert not interval(0, 8_760, 3_600, 7_000).held
        assert interval(0, 8_761, 3_600, 7_000).held
        assert ceiling_wh(3_600, None) == ceiling_wh(3_600, MAX_POWER_W)

    def test_without_a_clock_to_believe_the_energy_is_judged_by_a_day(self) -> None:
        assert interval(0, 44_069, None, 7_000) == Energy(44_069, False, ("time_unknown",), 44_069)
        assert interval(0, 1_000_000, None, 7_000).held


class TestPlausibleTime:
    RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)

    @given(st.none() | instants, instants, st.none() | instants)
    def test_a_time_once_judged_stands(
        self, reported: datetime | None, received: datetime, not_before: datetime | None
    ) -> None:
        at, flag = plausible_time(reported, received, not_before)
        assert at == (reported if flag is None else received)
        assert plausible_time(at, received, not_before)[0] == at

    @pytest.mark.parametrize(
        ("reported", "flag"),
        [
            (RECEIVED, None),
            (RECEIVED + timedelta(seconds=300), None),
            (RECEIVED + timedelta(seconds=301), "time_ahead"),
            (RECEIVED - timedelta(hours=1), None),
            (RECEIVED - timedelta(hours=1, seconds=1), "time_too_early"),
            (datetime(1970, 1, 1, tzinfo=UTC), "time_too_early"),
            (None, "time_missing"),
        ],
    )
    def test_a_time_outside_the_window_is_replaced_and_flagged(
        self, reported: datetime | None, flag: str | None
    ) -> None:
        at, found = plausible_time(reported, self.RECEIVED, self.RECEIVED - timedelta(hours=1))
        assert found == flag
        assert at == (reported if flag is None else self.RECEIVED)

    def test_a_clock_that_was_never_set_is_seen_without_any_history(self) -> None:
        assert plausible_time(datetime(1970, 1, 1, tzinfo=UTC), self.RECEIVED, None)[1] == "time_too_early"
        assert plausible_time(PLAUSIBLE_FROM, self.RECEIVED, None)[1] is None

    def test_a_boot_before_the_clock_was_set_makes_1970_no_more_plausible(self) -> None:
        booted = datetime(1970, 1, 1, tzinfo=UTC)
        assert plausible_time(booted + timedelta(minutes=1), self.RECEIVED, booted)[1] == "time_too_early"

    def test_an_end_replayed_a_day_late_keeps_its_own_time(self) -> None:
        ended = self.RECEIVED - timedelta(days=1)
        assert plausible_time(ended, self.RECEIVED, self.RECEIVED - timedelta(days=2)) == (ended, None)
