"""A locker and the central system it talks to, without a socket, for the simulator's own tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.cabinet import Outcome
from charge_points_sim.devices.doors import Door
from charge_points_sim.devices.judging import RULES, Rules
from charge_points_sim.devices.locker import Locker
from charge_points_sim.faults import Faults
from charge_points_sim.line import CallFailed
from tests.sim.central import Central

AT = 1_563_969_906


@dataclass
class Scene:
    """A locker with items in doors 1 and 2 of four, connected to a central system; `at` is the time of both."""

    version: str
    rules: Rules = RULES
    faults: Faults = field(default_factory=Faults)
    at: int = AT

    def __post_init__(self) -> None:
        doors = [Door(1, "PC-1"), Door(2, "PC-2"), Door(3), Door(4)]
        clock = partial(getattr, self, "at")
        self.central = Central(clock)
        self.locker = Locker("L-1", DEVICES[self.version], doors, clock, rules=self.rules, faults=self.faults)
        self.station = self.locker.station
        self.station.line.connected()
        self.station.boot()
        self.talk()

    def talk(self) -> None:
        """Until all is said."""
        self.central.converse(self.station)

    def open(self, number: int, u: int, why: str = "take", **other: Any) -> tuple[str, dict[str, Any]]:
        """Sends Door.Open; its status and answer."""
        return self.send(self.central.opening(number, u, why, **other))

    def send(self, body: dict[str, Any], message: str = "Door.Open") -> tuple[str, dict[str, Any]]:
        """Sends a command; its status and answer."""
        return self.central.command(self.station, message, body)

    def err(self, *asked: Any, **other: Any) -> str | None:
        """Why an opening was refused."""
        return self.open(*asked, **other)[1].get("err")

    def reconnect(self) -> None:
        """The line stands again."""
        self.station.line.connected()
        self.talk()

    def present(self, token: str, why: str, **other: Any) -> list[Outcome | CallFailed]:
        """Holds a token to the lock; what came of it."""
        ends: list[Outcome | CallFailed] = []
        self.locker.present(token, why, ends.append, **other)
        self.talk()
        return ends
