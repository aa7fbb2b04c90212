"""An ordinary day: each station gets a few charges at seeded instants."""

from __future__ import annotations

from random import Random

from charge_points_sim.scenarios.charge import MAX_POWER_W, Charge

HOUR_S = 3600
DAY_S = 24 * HOUR_S


def charges(count: int, start: int, seed: int) -> list[Charge]:
    """
    The charges of `count` stations (`SIM-0001` ...) within the day that begins at `start` (epoch seconds).

    One to three a station, 20 minutes to 5 hours long, at a tenth to nine tenths of the connector's power.
    """
    made = []
    for number in range(1, count + 1):
        station_id = f"SIM-{number:04d}"
        random = Random(f"{seed} {station_id}")
        at = start + random.randrange(4 * HOUR_S)
        for visit in range(random.randint(1, 3)):
            stay_s = random.randrange(20 * 60, 5 * HOUR_S)
            wh = MAX_POWER_W * stay_s // HOUR_S * random.randrange(10, 90) // 100
            made.append(Charge("sim", station_id, f"{station_id}-{visit + 1}", at, at + stay_s, wh))
            at += stay_s + random.randrange(10 * 60, 3 * HOUR_S)
    return sorted((c for c in made if c.departure < start + DAY_S), key=lambda c: (c.arrival, c.departure))
