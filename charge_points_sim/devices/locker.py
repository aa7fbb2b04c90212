"""A locker: a cabinet whose doors have portable chargers behind them, known by their codes."""

from __future__ import annotations

from collections.abc import Iterable

from charge_points_sim.devices.cabinet import Cabinet
from charge_points_sim.devices.doors import Door


class Locker(Cabinet[Door]):
    """A cabinet that lends items; people take them and put them back through its doors."""

    kind = "locker"
    capabilities = ("item_sensor", "nfc", "self_test")

    def take(self, u: int) -> str:
        """Somebody takes the item out of an open door."""
        door = self.doors[u]
        item = door.item
        assert door.open and item is not None, f"there is nothing to take from door {u}"
        if door.change(None):
            self._tell("Item.Taken", door, item=item)
        return item

    def place(self, u: int, item: str, flags: Iterable[str] = ()) -> None:
        """Somebody puts an item, right or wrong, into an open and empty door. `flags` are what its self-test found."""
        door = self.doors[u]
        assert door.open and door.item is None, f"there is no room in door {u}"
        if door.change(item):
            found = {"flags": list(flags)} if flags else {}
            self._tell("Item.Placed", door, item=item, **found)
