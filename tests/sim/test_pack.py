"""A pack and its BMS: no Wh is lost, however it is used."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from charge_points_sim.devices.pack import Pack
from tests.sim.central import body_schema

uses = st.lists(st.tuples(st.sampled_from(["ride", "charge"]), st.integers(0, 2_000)), max_size=40)


@given(uses, st.integers(1, 5_000), st.integers(1, 10_000), st.integers(0, 10_000))
def test_what_it_holds_is_what_went_in_less_what_went_out(
    done: list[tuple[str, int]], capacity_wh: int, soh: int, soc: int
) -> None:
    pack = Pack(serial="BAT-1", capacity_wh=capacity_wh, soc=soc, soh=soh)
    before = pack.wh
    given_ = taken = 0
    for act, wh in done:
        if act == "ride":
            given_ += pack.ride(wh)
        else:
            taken += pack.charge(wh)
        assert 0 <= pack.wh <= capacity_wh * soh // 10_000
        assert 0 <= pack.soc <= 10_000
    assert pack.wh == before + taken - given_
    assert (pack.discharge_wh, pack.charge_wh) == (given_, taken)
    assert pack.cycles == 100 + taken // capacity_wh


def test_the_known_use_of_a_pack_is_told_in_hundredths_of_a_percent() -> None:
    pack = Pack(serial="BAT-1", capacity_wh=1_500, soc=9_500, soh=9_500)
    assert pack.ride(1_070) == 1_070
    assert (pack.soc, pack.discharge_wh) == (1_991, 1_070)
    assert pack.ride(9_999) == 283
    assert (pack.wh, pack.ride(1)) == (0, 0)


def test_it_takes_no_more_than_fits_nor_more_than_its_target() -> None:
    pack = Pack(serial="BAT-1", capacity_wh=1_000, soc=5_000, soh=10_000)
    assert pack.charge(9_999, target_soc=9_000) == 400
    assert pack.charge(1, target_soc=8_000) == 0
    assert (pack.charge(9_999), pack.soc) == (100, 10_000)


def test_counters_that_begin_anew_are_another_epoch_and_leave_the_charge() -> None:
    pack = Pack(serial="BAT-1", discharge_wh=500, charge_wh=700)
    soc = pack.soc
    pack.reset_counters()
    assert (pack.discharge_wh, pack.charge_wh, pack.epoch, pack.soc) == (0, 0, 2, soc)


def test_a_bms_may_be_wrong_about_the_charge_but_not_about_its_counters() -> None:
    pack = Pack(serial="BAT-1", soc=9_500, soc_error=7_400)
    pack.ride(1_070)
    told = pack.state()
    assert (told["soc"], told["dischargeWh"], pack.soc) == (9_391, 1_070, 1_991)
    pack.soc_error = -9_000
    assert pack.state()["soc"] == 0


def test_an_old_pack_holds_less() -> None:
    pack = Pack(serial="BAT-1", capacity_wh=1_000, soc=10_000, soh=10_000)
    pack.age(8_000)
    assert (pack.wh, pack.soc, pack.soh) == (800, 10_000, 8_000)
    pack.ride(400)
    assert pack.soc == 5_000


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(-10_000, 10_000), st.integers(0, 20_000))
def test_what_it_says_fits_the_schema(soc: int, soh: int, error: int, power_w: int) -> None:
    pack = Pack(serial="BAT-1", soc=soc, soh=soh, soc_error=error, faults=["CellImbalance"])
    told = pack.state("charging", power_w)
    body_schema("battery").validate(json.loads(json.dumps(told)))
    assert told["mode"] == "faulted"
