"""
The central system's side of `org.csms.assets` for the simulator's own tests, without a socket.

Every call is checked against the schemas of OCPP and of the vendor protocol.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs

from charge_points_sim.station import Station
from charge_points_sim.times import wire
from tests.sim.system import System, schema

Body = dict[str, Any]
Fate = Literal["accepted", "rejected", "busy", "error", "silence"]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/assets/v1.schema.json").read_text())


@cache
def body_schema(name: str) -> jsonschema_rs.Validator:
    """`up/Hello`, `down/Door.Open`, `answer`."""
    pointer = name.replace("/", "~1")
    return jsonschema_rs.validator_for({"$defs": SCHEMA["$defs"], "$ref": f"#/$defs/{pointer}"})


def gid(number: int) -> str:
    """The id of a grant."""
    return f"01991f00-0000-7000-8000-{number:012d}"


class Central:
    """
    Hears stations, on one `clock`. `fate` says what becomes of a message; `grants` answers Door.Request.

    `events` has what was accepted, by id, as it first came; `heard` everything in the order of its coming.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.heard: list[tuple[str, Body]] = []
        self.events: dict[str, tuple[str, Body]] = {}
        self.swapped: dict[str, Body] = {}
        """Each BatterySwap once."""
        self.fate: Callable[[str, Body], Fate] = lambda message, body: "accepted"
        self.grants: Callable[[Body], Body] = lambda body: {"err": "NotAuthorized"}
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.system = System()
        self.numbers = count(1)

    def told(self, *messages: str) -> list[Body]:
        """The bodies of accepted events of these kinds (of all, if none is named), in order of their numbers."""
        bodies = [body for message, body in self.events.values() if not messages or message in messages]
        return sorted(bodies, key=lambda body: int(body["seq"]))

    def converse(self, station: Station) -> None:
        """Carries frames both ways until the station has nothing to say or waits in vain."""
        while frames := station.line.take():
            for text in frames:
                frame = json.loads(text)
                if frame[0] == 2:
                    answer = self.hear(station, *frame[1:])
                    if answer is not None:
                        station.line.receive(json.dumps(answer))
                else:
                    self.last_answer = frame

    def hear(self, station: Station, message_id: str, action: str, payload: Body) -> list[Any] | None:
        """One call of a station, and its answer."""
        schema(station.device.subprotocol, action).validate(payload)
        self.calls.append((action, payload))
        if action == "BootNotification":
            return [3, message_id, {"status": "Accepted", "currentTime": wire(self.clock()), "interval": 300}]
        if action == "Heartbeat":
            return [3, message_id, {"currentTime": wire(self.clock())}]
        if action == "BatterySwap":
            return self._swapped(message_id, payload)
        if action != "DataTransfer":
            return [3, message_id, self.system.answer(station.id, action, payload)]
        data = payload["data"]
        assert isinstance(data, str) == (station.device.version == "1.6")
        return self._transferred(message_id, payload["messageId"], json.loads(data) if isinstance(data, str) else data)

    def _swapped(self, message_id: str, payload: Body) -> list[Any] | None:
        """It has neither an id nor a number: one that says the same again is the same."""
        self.heard.append(("BatterySwap", payload))
        fate = self.fate("BatterySwap", payload)
        if fate == "silence":
            return None
        if fate != "accepted":
            return [4, message_id, "InternalError", "", {}]
        self.swapped.setdefault(json.dumps(payload, sort_keys=True), payload)
        return [3, message_id, {}]

    def _transferred(self, message_id: str, message: str, body: Body) -> list[Any] | None:
        body_schema(f"up/{message}").validate(body)
        self.heard.append((message, body))
        fate = self.fate(message, body)
        if fate == "error":
            return [4, message_id, "InternalError", "", {}]
        if fate == "silence":
            return None
        answer: Body = {"v": 1, "id": body["id"]}
        if message == "Door.Request":
            answer |= self.grants(body)
        elif fate in ("rejected", "busy"):
            answer["err"] = "Busy" if fate == "busy" else "BadPayload"
        elif "seq" in body:
            answer["dup"] = body["id"] in self.events
            self.events.setdefault(body["id"], (message, body))
        status = "Rejected" if "err" in answer else "Accepted"
        text = isinstance(self.calls[-1][1]["data"], str)
        return [3, message_id, {"status": status, "data": json.dumps(answer) if text else answer}]

    def command(self, station: Station, message: str, body: Body) -> tuple[str, Body]:
        """Sends a command to a station, and carries on until all is said; gives its answer."""
        text = station.device.version == "1.6"
        payload = {
            "vendorId": "org.csms.assets",
            "messageId": message,
            "data": json.dumps(body) if text else body,
        }
        station.line.receive(json.dumps([2, f"c{next(self.numbers)}", "DataTransfer", payload]))
        self.converse(station)
        _, _, answer = self.last_answer
        schema(station.device.subprotocol, "DataTransfer", answer=True).validate(answer)
        if "data" not in answer:
            return answer["status"], {}
        data = json.loads(answer["data"]) if text else answer["data"]
        body_schema("answer").validate(data)
        assert text or "err" not in data or answer["statusInfo"]["reasonCode"] == data["err"]
        return answer["status"], data

    def opening(self, number: int, u: int, why: str = "take", **other: Any) -> Body:
        """A Door.Open that holds for 15 seconds; `number` makes its id and its grant, unless they are given."""
        now = self.clock()
        body = {"v": 1, "id": f"open-{number:06d}", "ts": wire(now), "exp": wire(now + 15), "u": u, "gid": gid(number)}
        body_schema("down/Door.Open").validate(body := body | {"why": why} | other)
        return body
