"""
The other end of the wire for the simulator's own tests: every call is checked against the schemas of the
`ocpp` package and answered as the specification says.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from importlib.resources import files
from itertools import count
from typing import Any

import jsonschema_rs
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

SCHEMAS = {"ocpp1.6": ("v16", ""), "ocpp2.0.1": ("v201", "Request"), "ocpp2.1": ("v21", "Request")}


@cache
def schema(protocol: str, action: str, answer: bool = False) -> jsonschema_rs.Validator:
    """The schema of a call, or of its answer."""
    folder, suffix = SCHEMAS[protocol]
    name = f"{action}{'Response' if answer else suffix}.json"
    text = (files("ocpp") / folder / "schemas" / name).read_text(encoding="utf-8-sig")
    return jsonschema_rs.validator_for(json.loads(text))


class System:
    """Remembers what came. `refused` tokens may not charge; `tamper` may change an answer or drop it (None)."""

    def __init__(self, check: bool = True) -> None:
        self.check = check
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []
        self.seen: Counter[str] = Counter()
        self.answers: list[Any] = []
        self.refused: set[str] = set()
        self.by_start: dict[tuple[Any, ...], int] = {}
        self.sockets: dict[str, ServerConnection] = {}
        self.ids = count(1)
        self.ends: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.numbers: dict[str, list[int]] = defaultdict(list)
        self.tamper: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None] = lambda action, answer: answer
        self.url = ""

    async def talk(self, socket: ServerConnection) -> None:
        """One station's connection."""
        assert socket.request is not None
        station_id = socket.request.path.rsplit("/", 1)[1]
        self.sockets[station_id] = socket
        with suppress(ConnectionClosed):
            await self._listen(station_id, socket)

    async def _listen(self, station_id: str, socket: ServerConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            if frame[0] != 2:
                self.answers.append(frame)
                continue
            _, message_id, action, payload = frame
            if self.check:
                schema(str(socket.subprotocol), action).validate(payload)
            self.calls.append((station_id, action, payload))
            self.seen[action] += 1
            answer = self.tamper(action, self.answer(station_id, action, payload))
            if answer is not None:
                await socket.send(json.dumps([3, message_id, answer]))

    def answer(self, station_id: str, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the specification answers."""
        match action:
            case "BootNotification":
                return {"status": "Accepted", "currentTime": "2019-07-24T00:00:00Z", "interval": 300}
            case "Heartbeat":
                return {"currentTime": "2019-07-24T00:00:00Z"}
            case "Authorize":
                if "idTag" in payload:
                    return {"idTagInfo": self.verdict(payload["idTag"])}
                return {"idTokenInfo": self.verdict(payload["idToken"]["idToken"])}
            case "StartTransaction":
                key = (station_id, *sorted(payload.items()))
                number = self.by_start.setdefault(key, 1000 + next(self.ids))
                return {"transactionId": number, "idTagInfo": self.verdict(payload["idTag"])}
            case "StopTransaction":
                self.ends[station_id, str(payload["transactionId"])] = payload
                return {}
            case "TransactionEvent":
                ref = payload["transactionInfo"]["transactionId"]
                self.numbers[ref].append(payload["seqNo"])
                if payload["eventType"] == "Ended":
                    self.ends[station_id, ref] = payload
                token = payload.get("idToken")
                return {"idTokenInfo": self.verdict(token["idToken"])} if token else {}
            case "DataTransfer":
                body = payload["data"]
                body = json.loads(body) if isinstance(body, str) else body
                alias = body["token"][-16:]
                data = {"v": 1, "id": body["id"], "token": alias}
                return {"status": "Accepted", "data": json.dumps(data) if isinstance(payload["data"], str) else data}
            case _:
                return {}

    def verdict(self, token: str) -> Mapping[str, str]:
        """Of one token."""
        return {"status": "Invalid" if token in self.refused else "Accepted"}

    async def ask(self, station_id: str, action: str, payload: Mapping[str, Any]) -> None:
        """Sends a call to a station; its answer is added to `answers`."""
        await self.sockets[station_id].send(json.dumps([2, f"s{next(self.ids)}", action, payload]))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Serves on a free port; gives the address for stations."""
        server: Server
        async with serve(self.talk, "127.0.0.1", 0, subprotocols=list(SCHEMAS), compression=None) as server:  # type: ignore[arg-type]
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"ws://127.0.0.1:{port}/ocpp"
