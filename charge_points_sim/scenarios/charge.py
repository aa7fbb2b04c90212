"""Real charges from a CSV, and the curve along which a car takes its energy."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from charge_points_sim.times import epoch

MAX_POWER_W: Final = 7_400
"""
A connector's power (230 V x 32 A). The highest average of the 22,492 real charges is 8.42 kW (566 Wh
in 242 s), below the 9.25 kW at which energy is implausible (quirk Q-R3: 1.25 x); the next is 7.78 kW.
"""

USUAL_POWER_W: Final = 5_500
TAPER_MAX: Final = 600
"""In 1/1000: the power begins so much above its average, and ends so much below."""

COLUMNS: Final = ("site", "station_id", "session_id", "arrival", "departure", "delivered_wh")


class Charge(NamedTuple):
    """One row: epoch seconds and Wh."""

    site: str
    station_id: str
    session_id: str
    arrival: int
    departure: int
    delivered_wh: int


class BadFile(Exception):
    """The CSV is not what it should be; says where."""


def read(path: Path) -> list[Charge]:
    """The charges of a CSV (`.csv`, or `.csv.gz`) in order of arrival. Raises `BadFile`."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    rows = csv.DictReader(text.splitlines())
    if missing := set(COLUMNS) - set(rows.fieldnames or ()):
        raise BadFile(f"{path.name} has no column {', '.join(sorted(missing))}")
    charges = [_charge(path, number, row) for number, row in enumerate(rows, start=2)]
    charges.sort(key=lambda charge: (charge.arrival, charge.departure))
    return charges


def _charge(path: Path, line: int, row: Mapping[str, str]) -> Charge:
    try:
        charge = Charge(
            row["site"],
            row["station_id"],
            row["session_id"],
            epoch(row["arrival"]),
            epoch(row["departure"]),
            int(row["delivered_wh"]),
        )
    except ValueError as error:
        raise BadFile(f"{path.name} line {line}: {error}") from None
    if charge.departure <= charge.arrival or charge.delivered_wh < 0:
        raise BadFile(f"{path.name} line {line}: a charge needs departure > arrival and energy >= 0")
    return charge


def by_station(charges: Sequence[Charge]) -> dict[str, list[Charge]]:
    """
    Each station's charges in order.

    A connector does one thing at a time: a charge that would begin before the one before it ended
    begins at that end (none does in the published file; a merged one may).
    """
    stations: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        before = stations[charge.station_id]
        if before and charge.arrival < before[-1].departure:
            arrival = before[-1].departure
            charge = charge._replace(arrival=arrival, departure=max(charge.departure, arrival + 60))
        before.append(charge)
    return dict(stations)


def delivered(charge: Charge, at: int) -> int:
    """
    Wh delivered until `at`: fast at first, slower as the battery fills, then nothing until departure.

    Exact integers: 0 at arrival, `delivered_wh` at departure, never decreasing, and never above
    `MAX_POWER_W` unless the charge's average is.
    """
    elapsed = charge.departure - charge.arrival
    full = min(elapsed, max(1, charge.delivered_wh * 3600 // USUAL_POWER_W))
    average_w = max(1, charge.delivered_wh * 3600 // full)
    taper = max(0, min(TAPER_MAX, MAX_POWER_W * 1000 // average_w - 1000))
    s = max(0, min(at - charge.arrival, full))
    return charge.delivered_wh * (s * full * (1000 + taper) - taper * s * s) // (1000 * full * full)


def readings(charge: Charge, every_s: int) -> Iterator[tuple[int, int, int]]:
    """(instant, Wh delivered so far, W since the reading before) each `every_s` seconds between arrival and end."""
    before = 0
    for at in range(charge.arrival + every_s, charge.departure, every_s):
        wh = delivered(charge, at)
        yield at, wh, (wh - before) * 3600 // every_s
        before = wh
