"""Simulated time: fast, and never far from the oldest start or end that is still to come."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.scenarios.pace import AHEAD_S_MAX, Pace


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_nobody_runs_far_ahead_of_an_act_to_come(seed: int, actors: int) -> None:
    random = Random(seed)
    plans = [sorted(random.randrange(5000) for _ in range(random.randrange(1, 12))) for _ in range(actors)]
    done: list[int] = []
    to_come = sorted(at for plan in plans for at in plan)

    async def live(pace: Pace, actor: int) -> None:
        for at in plans[actor]:
            await pace.reach(actor, at)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            assert at <= to_come[0] + AHEAD_S_MAX
            to_come.remove(at)
            done.append(at)
        pace.leave(actor)

    async def world() -> None:
        pace = Pace(actors, 0, None)
        await asyncio.gather(*(live(pace, actor) for actor in range(actors)))

    asyncio.run(world())
    assert sorted(done) == sorted(at for plan in plans for at in plan)


async def test_at_a_speed_the_wall_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    pace = Pace(1, 0, speed=100_000)
    await pace.reach(0, 5_000)
    assert loop.time() - began_s >= 0.049
    assert pace.now == 5_000


async def test_readings_do_not_hold_up_the_others() -> None:
    pace = Pace(2, 0, None)
    await pace.reach(0, 10, floor=10_000)
    await pace.reach(1, 9_000, floor=9_000)
    assert pace.now == 9_000
