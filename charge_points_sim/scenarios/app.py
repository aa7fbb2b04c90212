"""What a driver's app does for somebody who borrows a portable charger."""

from __future__ import annotations

from typing import Protocol

from charge_points_sim.scenarios.visits import Visit


class App(Protocol):
    """What a driver's app asks of the system, where drivers have one."""

    async def rent(self, visit: Visit, station: str) -> str:
        """Rents any charger of a cabinet; the rental's id. The system has the door opened."""

    async def charge(self, rental: str) -> None:
        """Wants the rented charger, which is plugged in, to charge."""

    async def give_back(self, rental: str, station: str) -> None:
        """Wants a free door of a cabinet opened."""

    async def state(self, rental: str) -> str:
        """How the rental stands."""
