"""What a driver's app does for somebody who borrows a portable charger."""

from __future__ import annotations

from typing import Protocol

from charge_points_sim.scenarios.visits import Visit


class App(Protocol):
    """What it asks of the system, where drivers have one. `now` is when, in epoch seconds. Raises `RestError`."""

    async def rent(self, visit: Visit, station: str, now: int) -> str:
        """Rents any charger of a cabinet; the rental's id. The system has the door opened."""

    async def charge(self, rental: str) -> None:
        """Wants the rented charger, which is plugged in, to charge."""

    async def give_back(self, rental: str, station: str, now: int) -> None:
        """Wants a free door of a cabinet opened."""

    async def state(self, rental: str) -> str:
        """How the rental stands."""
