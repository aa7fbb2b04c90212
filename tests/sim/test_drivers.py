"""Drivers: nobody is in two places, and a seed tells the whole story."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.run import ONE_DAY
from charge_points_sim.scenarios.charge import read
from charge_points_sim.scenarios.drivers import assign, populate


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_no_driver_charges_twice_at_once(seed: int) -> None:
    charges = read(ONE_DAY)
    drivers = assign(charges, populate(110, 0, 0.3, seed), seed)
    free_at: dict[str, int] = {}
    for charge in charges:
        name = drivers[charge.session_id].name
        assert free_at.get(name, 0) <= charge.arrival
        free_at[name] = charge.departure


def test_a_seed_repeats_the_population_and_who_comes_when() -> None:
    charges = read(ONE_DAY)
    one, again, other = (assign(charges, populate(200, 5, 0.5, seed), seed) for seed in (7, 7, 8))
    assert one == again != other


def test_too_few_drivers_are_a_clear_error() -> None:
    with pytest.raises(ValueError, match="take more drivers"):
        assign(read(ONE_DAY), populate(3, 0, 0.0, 1), 1)
