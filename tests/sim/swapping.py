"""A battery station and the central system it talks to, without a socket, for the simulator's own tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.battery_station import BatteryStation, Traits
from charge_points_sim.devices.judging import RULES, Rules
from charge_points_sim.devices.pack import Pack
from charge_points_sim.devices.slots import Slot
from charge_points_sim.faults import Faults
from charge_points_sim.times import wire
from tests.sim.cabinet import AT
from tests.sim.central import Body, Central, body_schema
from tests.sim.system import schema

WHAT = {
    "Battery.Inserted": "in",
    "Battery.Released": "out",
    "Battery.ReleaseTimeout": "timeout",
    "BatteryIn": "in",
    "BatteryOut": "out",
    "BatteryOutTimeout": "timeout",
}


class Step(NamedTuple):
    """One step of a swap as the system heard of it, the same on every version."""

    what: str
    rid: int
    packs: list[tuple[int, str, int]]
    """Slot, serial and charge."""
    token: str | None = None


@dataclass
class Visit:
    """A station of four slots, packs in the first two, connected to a central system; `at` is the time of both."""

    version: str
    rules: Rules = RULES
    faults: Faults = field(default_factory=Faults)
    traits: Traits = field(default_factory=Traits)
    at: int = AT

    def __post_init__(self) -> None:
        slots = [Slot(1, pack=pack("B-1", 9_800)), Slot(2, pack=pack("B-2", 9_900)), Slot(3), Slot(4)]
        clock = partial(getattr, self, "at")
        refs = map("tx-{}".format, count(1))
        self.central = Central(clock)
        self.numbers = count(1)
        self.place = BatteryStation(
            "B-1", DEVICES[self.version], slots, clock,
            rules=self.rules, faults=self.faults, new_ref=lambda: next(refs), traits=self.traits,
        )  # fmt: skip
        self.station = self.place.station
        self.reconnect(first=True)

    def talk(self) -> None:
        """Until all is said."""
        self.central.converse(self.station)

    def reconnect(self, *, first: bool = False) -> None:
        """The line stands (again)."""
        self.station.line.connected()
        if first:
            self.station.boot()
        self.talk()

    def pass_time(self, seconds: int) -> None:
        """So much time passes, and the station notices."""
        self.at += seconds
        self.place.tick()
        self.talk()

    def body(self, **fields: Any) -> Body:
        """A command that holds for 15 seconds, with an id of its own unless it is given."""
        head = {"v": 1, "id": f"command-{next(self.numbers):06d}", "ts": wire(self.at), "exp": wire(self.at + 15)}
        return head | fields

    def send(self, message: str, body: Body) -> tuple[str, Body]:
        """Sends a command; its status and answer."""
        return self.central.command(self.station, message, body)

    def order(self, message: str, **fields: Any) -> str | None:
        """Sends a command as the schema wants it; why it was refused, None if it was not."""
        body = self.body(**fields)
        body_schema(f"down/{message}").validate(body)
        status, data = self.send(message, body)
        assert (status == "Rejected") == ("err" in data)
        return data.get("err")

    def call(self, action: str, payload: Body) -> Body:
        """Sends any other call; its answer."""
        protocol = self.station.device.subprotocol
        schema(protocol, action).validate(payload)
        self.station.line.receive(json.dumps([2, f"x{next(self.numbers)}", action, payload]))
        self.talk()
        answer: Body = self.central.last_answer[2]
        schema(protocol, action, answer=True).validate(answer)
        return answer

    def steps(self) -> list[Step]:
        """What the system has heard of swaps, each step once."""
        told = []
        for message, body in self.central.events.values():
            if message in WHAT:
                packs = [(s["u"], s["battery"]["serial"], s["battery"]["soc"]) for s in body["slots"]]
                told.append(Step(WHAT[message], body["rid"], packs, body.get("token")))
        for call in self.central.swapped.values():
            packs = [(b["evseId"], b["serialNumber"], round(b["soC"] * 100)) for b in call["batteryData"]]
            told.append(Step(WHAT[call["eventType"]], call["requestId"], packs, call["idToken"]["idToken"] or None))
        return told

    def transactions(self) -> list[tuple[str, int, str]]:
        """Each TransactionEvent: its type, slot and transaction."""
        events = [payload for action, payload in self.central.calls if action == "TransactionEvent"]
        return [(e["eventType"], e["evse"]["id"], e["transactionInfo"]["transactionId"]) for e in events]


def pack(serial: str, soc: int = 2_000) -> Pack:
    """A pack of 1500 Wh, new."""
    return Pack(serial=serial, soc=soc, soh=10_000)
