"""Real charges: the file is what its README says, and a charging curve is what a meter could have seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charge_points_sim.run import ONE_DAY, WHOLE_FILE
from charge_points_sim.scenarios.charge import MAX_POWER_W, BadFile, Charge, by_station, delivered, read, readings

charges = st.builds(
    lambda stay_s, share, power_w: Charge("s", "A", "1", 1000, 1000 + stay_s, power_w * stay_s * share // 360_000),
    st.integers(60, 500_000),
    st.integers(0, 100),
    st.integers(1, MAX_POWER_W),
)


def test_the_whole_file_holds_every_session_once() -> None:
    rows = read(WHOLE_FILE)
    assert len({row.session_id for row in rows}) == len(rows) == 22_492
    assert sum(row.delivered_wh for row in rows) == 279_416_878
    assert len({row.station_id for row in rows}) == 106


def test_the_excerpt_is_one_day_of_the_whole_file() -> None:
    day = read(ONE_DAY)
    assert (len(day), sum(row.delivered_wh for row in day)) == (123, 1_535_847)
    assert set(day) <= set(read(WHOLE_FILE))


def test_no_real_session_is_implausible_for_the_connectors_power() -> None:
    for row in read(WHOLE_FILE):
        assert row.delivered_wh * 3600 <= MAX_POWER_W * (row.departure - row.arrival) * 5 // 4


def test_the_files_stations_never_charge_two_cars_at_once() -> None:
    rows = read(WHOLE_FILE)
    assert sorted(row for station in by_station(rows).values() for row in station) == sorted(rows)


def test_a_charge_that_overlaps_waits_for_the_one_before_it() -> None:
    first = Charge("s", "A", "1", 0, 100, 5)
    second = Charge("s", "A", "2", 50, 90, 7)
    assert by_station([first, second])["A"] == [first, second._replace(arrival=100, departure=160)]


@given(charges, st.integers(60, 7200))
def test_a_curve_ends_at_the_delivered_energy_and_never_falls(charge: Charge, every_s: int) -> None:
    registers = [wh for _, wh, _ in readings(charge, every_s)]
    assert delivered(charge, charge.arrival) == 0
    assert delivered(charge, charge.departure) == charge.delivered_wh
    assert registers == sorted(registers)
    assert all(0 <= wh <= charge.delivered_wh for wh in registers)


@given(charges, st.integers(300, 3600))
def test_a_curve_stays_below_the_connectors_power(charge: Charge, every_s: int) -> None:
    assert all(power_w <= MAX_POWER_W + 3600 // every_s + 1 for _, _, power_w in readings(charge, every_s))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("site,station_id\n", "no column arrival"),
        ("{header}\na,b,c,yesterday,2019-01-01,5\n", "line 2"),
        ("{header}\na,b,c,2019-01-02,2019-01-01,5\n", "departure > arrival"),
        ("{header}\na,b,c,2019-01-01,2019-01-02,-5\n", "energy >= 0"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "charges.csv"
    file.write_text(text.format(header="site,station_id,session_id,arrival,departure,delivered_wh"))
    with pytest.raises(BadFile, match=complaint):
        read(file)
