"""What the worker's timers do to a town of battery stations, and how a day there comes to an end."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.assets import LIVE
from tests.simulation.pack_stations import SLOTS, PackStations


def run_clock(town: PackStations, until: datetime) -> None:
    """Everything that is due until then, as the worker's timers do it."""
    for _ in range(3_000):
        due, _, check = min(_due(town), default=(until, "", None), key=lambda it: it[:2])
        if due > until or check is None:
            break
        town.now = max(town.now, due)
        town.tell(replace(check, received_at=town.now))
        if isinstance(check, packs.SwapChecked):
            town.looks[check.swap_id] += 1
    else:
        raise AssertionError(f"liveness: the clock comes to rest: {check}")
    town.now = max(town.now, until)


def _due(town: PackStations) -> list[tuple[datetime, str, Any]]:
    assets, found = town.world.assets, list[tuple[datetime, str, Any]]()
    for grant in assets.grants.values():
        if grant.state in LIVE:
            after = timedelta(seconds=grant.opening_s if grant.state == "accepted" else 21)
            check: Any = said.GrantChecked(grant.station_id, town.now, grant.id)
            found.append((grant.issued_at + after, str(grant.id), check))
    for rental in assets.rentals.values():
        if rental.checked_at is not None:
            check = said.RentalChecked(rental.station_id, town.now, rental.id)
            found.append((rental.checked_at, str(rental.id), check))
    for swap in assets.swaps.values():
        if swap.checked_at is not None:  # every few seconds is too often for a day: the worker may be slow
            slow = timedelta(seconds=min(7_200, 5 * max(0, town.looks[swap.id] - 60) ** 2))
            found.append((swap.checked_at + slow, str(swap.id), packs.SwapChecked(swap.station_id, town.now, swap.id)))
    return found


def come_to_rest(town: PackStations, drawn: random.Random) -> None:
    """Everybody goes home, everything is told, and the clock runs on until nothing is due any more."""
    town.offline = dict.fromkeys(town.offline, False)
    for id_, it in list(town.world.authorizations.items()):
        if it.state == "asking":
            town.verdict(id_, drawn.choice(["authorized", "declined", "timed_out"]))
    for minutes in (0, 1, 60):
        for slot in town.slots.values():
            if slot.rid is not None:
                town.leave(slot, "ours", late=drawn.random() < 0.3)
        town.deliver(drawn)
        run_clock(town, town.now + timedelta(minutes=minutes))
        while waits := town.to_carry():
            town.carry(waits[0], "late", late=False)
    for name in SLOTS:
        town.see(name)
    run_clock(town, town.now + timedelta(days=70))
