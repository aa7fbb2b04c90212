"""A system that swaps what its battery stations say they have, over real sockets, for tests of the scenario."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from charge_points_sim.scenarios.hours import until
from charge_points_sim.scenarios.riders import Rider
from charge_points_sim.times import wire
from tests.sim.central import Body, body_schema, gid
from tests.sim.lender import Lender
from tests.sim.swapping import WHAT

READY = 9_000
ANSWER_S_MAX, SENDINGS_MAX = 0.5, 20
"""A command is sent again, with the same id, where no answer came."""
STRANGE = "FOREIGN"


class Moved(NamedTuple):
    """Packs that went in or out, or were not taken: slot, serial and charge."""

    what: str
    station: str
    rid: int
    packs: tuple[tuple[int, str, int], ...]


class Swapper(Lender):
    """Hands out the fullest packs for those that it knows, and gives back the others; lends as `Lender` does."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: dict[str, int] = {}
        self.promised: set[tuple[str, int]] = set()
        self.moved: list[Moved] = []
        self.commands = count(1)
        self.tasks: list[asyncio.Task[None]] = []

    def answer(self, station_id: str, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the specification says; a transaction tells how full the pack in its slot is."""
        if action == "BatterySwap":
            packs = [(b["evseId"], b["serialNumber"], round(b["soC"] * 100)) for b in payload["batteryData"]]
            self._move(Moved(WHAT[payload["eventType"]], station_id, payload["requestId"], tuple(packs)))
            return {}
        if action == "TransactionEvent":
            self._hear_time(payload["timestamp"])
            slot = self.doors.get(station_id, {}).get(payload["evse"]["id"])
            samples = payload["meterValue"][0]["sampledValue"]
            socs = [round(sample["value"] * 100) for sample in samples if sample.get("measurand") == "SoC"]
            if slot is not None and socs:
                self.levels[slot] = socs[-1]
        return super().answer(station_id, action, payload)

    def _decide(self, station_id: str, message: str, body: Body) -> Body:
        doors = self.doors.setdefault(station_id, {})
        if message == "Unit.Snapshot":
            for unit in body["units"]:
                battery = unit.get("battery")
                doors[unit["u"]] = None if battery is None else battery["serial"]
                if battery is not None:
                    self.levels[battery["serial"]] = battery["soc"]
            return {}
        if (station_id, body["id"]) in self.events:
            return {"dup": True}
        if message == "Battery.State":
            self.levels[body["serial"]] = body["soc"]
        if message in WHAT:
            packs = [(slot["u"], slot["battery"]["serial"], slot["battery"]["soc"]) for slot in body["slots"]]
            self._move(Moved(WHAT[message], station_id, body["rid"], tuple(packs)))
        return super()._decide(station_id, message, body)

    def _move(self, moved: Moved) -> None:
        """Once for each."""
        if moved in self.moved:
            return
        self.moved.append(moved)
        doors = self.doors[moved.station]
        for u, serial, soc in moved.packs:
            self.promised.discard((moved.station, u))
            doors[u] = None if moved.what == "out" else serial
            self.levels[serial] = soc
        if moved.what == "in":
            strange = [u for u, serial, _ in moved.packs if serial.startswith(STRANGE)]
            known = [u for u, serial, _ in moved.packs if not serial.startswith(STRANGE)]
            for u in strange:
                self._order(moved.station, "Battery.Return", {"rid": moved.rid, "u": [u], "err": "BatteryUnknown"})
            for u in self.fullest(moved.station, known):
                self.promised.add((moved.station, u))
                self._order(moved.station, "Battery.Release", {"rid": moved.rid, "u": [u]})

    def fullest(self, station: str, instead_of: list[int]) -> list[int]:
        """The slots to hand out packs from, for those that stand or will stand in these."""
        ready = [
            (-self.levels[serial], u)
            for u, serial in self.doors[station].items()
            if serial is not None and u not in instead_of and (station, u) not in self.promised
        ]
        return [u for level, u in sorted(ready) if -level >= READY][: len(instead_of)]

    def _order(self, station: str, message: str, fields: Body) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(self.order(station, message, fields)))

    async def order(self, station: str, message: str, fields: Body) -> None:
        """Sends a command."""
        number = next(self.commands)
        body = {"v": 1, "id": f"order-{number:06d}", "ts": wire(self.now), "exp": wire(self.now + 15), **fields}
        body_schema(f"down/{message}").validate(body)
        data = json.dumps(body) if self.sockets[station].subprotocol == "ocpp1.6" else body
        payload = {"vendorId": "org.csms.assets", "messageId": message, "data": data}
        await self.insist(station, "DataTransfer", payload)

    async def insist(self, station: str, action: str, payload: Body) -> None:
        """Sends a call until it is answered."""
        for _ in range(SENDINGS_MAX):
            message_id = f"o{next(self.ids)}"
            with suppress(ConnectionClosed):
                await self.sockets[station].send(json.dumps([2, message_id, action, payload]))
            if await until(lambda id=message_id: any(answer[1] == id for answer in self.answers), ANSWER_S_MAX):  # type: ignore[misc]
                return


class SwapperApp:
    """An app of the swapper itself."""

    def __init__(self, swapper: Swapper) -> None:
        self.swapper = swapper
        self.asked: list[str] = []
        """What was asked for, in order."""

    async def rent(self, rider: Rider, station: str, now: int) -> str:
        """Has a slot with a ready pack opened, as a door or as part of a swap of nothing."""
        self.asked.append("rent")
        swapper = self.swapper
        (u,) = swapper.fullest(station, [0])
        if len(self.asked) % 2:
            await self._open(station, u, "take")
        else:
            swapper.promised.add((station, u))
            await swapper.order(station, "Battery.Release", {"rid": 2**30 + len(self.asked), "u": [u]})
        return rider.driver

    async def swap(self, rider: Rider, station: str, number: int, now: int) -> None:
        """Has slots unlocked for packs."""
        self.asked.append("swap")
        rid = 2**30 + 10_000 + len(self.asked)
        if self.swapper.sockets[station].subprotocol == "ocpp2.1":
            token = {"idToken": rider.token, "type": "Central"}
            await self.swapper.insist(station, "RequestBatterySwap", {"requestId": rid, "idToken": token})
            return
        empty = [u for u, serial in self.swapper.doors[station].items() if serial is None]
        slots = {"in": empty[:number], "out": self.swapper.fullest(station, empty[:number])}
        await self.swapper.order(station, "Swap.Start", {"rid": rid, "token": rider.token, "n": number, **slots})

    async def give_back(self, rider: Rider, pack: str, station: str, now: int) -> None:
        """Has the first empty slot opened."""
        self.asked.append("return")
        await self._open(station, next(u for u, s in self.swapper.doors[station].items() if s is None), "return")

    async def state(self, rental: str) -> str:
        """Asked only of one whose slot did not open."""
        return "cancelled"

    async def _open(self, station: str, u: int, why: str) -> None:
        grant = gid(1_000_000 + next(self.swapper.commands))
        await self.swapper.order(station, "Door.Open", {"u": u, "gid": grant, "why": why})
