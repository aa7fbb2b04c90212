"""A system that lends what its cabinets say they have, over real sockets, for tests of the scenario."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any

from charge_points_sim.scenarios.visits import Visit
from charge_points_sim.times import epoch, wire
from tests.sim.central import Body, body_schema, gid
from tests.sim.system import System


class Lender(System):
    """Opens any full door to take and any empty one to return; `now` is the time of the newest event."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.doors: dict[str, dict[int, str | None]] = {}
        self.granted: dict[str, Body] = {}
        self.events: dict[tuple[str, str], tuple[str, Body]] = {}
        self.portables: dict[str, str] = {}

    def answer(self, station_id: str, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the specification says, at the time of the simulation."""
        if action in ("BootNotification", "Heartbeat"):
            return {**super().answer(station_id, action, payload), "currentTime": wire(self.now)}
        if action == "StatusNotification":
            self._hear_time(payload["timestamp"])
        if action != "DataTransfer":
            return super().answer(station_id, action, payload)
        text = isinstance(payload["data"], str)
        body = json.loads(payload["data"]) if text else payload["data"]
        body_schema(f"up/{payload['messageId']}").validate(body)
        self._hear_time(body["ts"])
        data = {"v": 1, "id": body["id"], **self._decide(station_id, payload["messageId"], body)}
        body_schema("answer").validate(data)
        status = "Rejected" if "err" in data else "Accepted"
        return {"status": status, "data": json.dumps(data) if text else data}

    def _hear_time(self, at: str) -> None:
        self.now = max(self.now, epoch(at))

    def _decide(self, station_id: str, message: str, body: Body) -> Body:
        doors = self.doors.setdefault(station_id, {})
        match message:
            case "Unit.Snapshot":
                doors.update({unit["u"]: unit.get("item") for unit in body["units"]})
            case "Door.Request":
                return self._grant(station_id, doors, body)
            case "Hello":
                self.portables[station_id] = body.get("item", "")
            case _ if (station_id, body["id"]) in self.events:
                return {"dup": True}
            case _:
                self.events[station_id, body["id"]] = (message, body)
                if message == "Item.Taken":
                    doors[body["u"]] = None
                elif message == "Item.Placed":
                    doors[body["u"]] = body["item"]
        return {}

    def _grant(self, station_id: str, doors: dict[int, str | None], body: Body) -> Body:
        """The same grant for the same request."""
        fit = [u for u, item in doors.items() if (item is not None) == (body["why"] == "take")]
        if body["token"] in self.refused or not fit:
            return {"err": "NotAuthorized" if fit else "NoEmptySlot"}
        key = f"{station_id} {body['id']}"
        if key not in self.granted:
            number = len(self.granted) + 1
            self.granted[key] = {"gid": gid(number), "u": fit[0], "exp": wire(self.now + 15)}
        return self.granted[key]


class LenderApp:
    """An app of the lender itself: its doors open by command, and so do its chargers start."""

    def __init__(self, lender: Lender) -> None:
        self.lender = lender
        self.rentals: dict[str, str] = {}
        """Rental -> the charger that it is about."""
        self.numbers = count(1)

    async def rent(self, visit: Visit, station: str, now: int) -> str:
        """Has the first full door of a cabinet opened; the rental is called by the driver."""
        u, item = next((u, item) for u, item in self.lender.doors[station].items() if item is not None)
        self.rentals[visit.driver] = item
        await self._open(station, u, "take", now)
        return visit.driver

    async def charge(self, rental: str) -> None:
        """Has the charger started."""
        station = self.rentals[rental]
        socket = self.lender.sockets[station]
        start = START["1.6" if socket.subprotocol == "ocpp1.6" else "2.1"]
        await self.lender.ask(station, *start)

    async def give_back(self, rental: str, station: str, now: int) -> None:
        """Has the first empty door of a cabinet opened."""
        await self._open(
            station, next(u for u, item in self.lender.doors[station].items() if item is None), "return", now
        )

    async def state(self, rental: str) -> str:
        """Closed once its charger is in a door."""
        here = self.rentals[rental] in [item for doors in self.lender.doors.values() for item in doors.values()]
        return "closed" if here else "active"

    async def _open(self, station: str, u: int, why: str, now: int) -> None:
        number = 1_000_000 + next(self.numbers)
        body = {"v": 1, "id": f"open-{number}", "ts": wire(now), "exp": wire(now + 15), "u": u, "gid": gid(number)}
        body_schema("down/Door.Open").validate(body | {"why": why})
        text = self.lender.sockets[station].subprotocol == "ocpp1.6"
        data = json.dumps(body | {"why": why}) if text else body | {"why": why}
        payload = {"vendorId": "org.csms.assets", "messageId": "Door.Open", "data": data}
        await self.lender.ask(station, "DataTransfer", payload)


START: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "1.6": ("RemoteStartTransaction", {"connectorId": 1, "idTag": "AB12"}),
    "2.1": (
        "RequestStartTransaction",
        {"evseId": 1, "remoteStartId": 77, "idToken": {"idToken": "AB12", "type": "Central"}},
    ),
}
