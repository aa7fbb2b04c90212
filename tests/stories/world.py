"""What stories are told with: stations, drivers, charges, and what the system made of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp

from charge_points_sim.connection import Connection
from charge_points_sim.devices import DEVICES, Device
from charge_points_sim.faults import Faults
from charge_points_sim.rest import Rest, RestError
from charge_points_sim.scenarios.drivers import Driver
from charge_points_sim.session import Session, Token
from charge_points_sim.station import Connector, Station
from charge_points_sim.times import epoch, wire
from charge_points_sim.wallet import Wallet

PASSWORD = "0123456789abcdef0123456789abcdef01234567"
SECRET = "stories-secret"
HOOK_SECRET = "whsec_" + b64encode(b"stories" * 5).decode()
"""Signs what the payment server tells the system."""
PAYMENTS = {"Authorization": f"Basic {b64encode(f'{SECRET}:'.encode()).decode()}"}
"""What opens the payment server's journal."""
SPLIT = {"operator_bp": 1000, "operator_fixed_minor": 0, "operator_min_minor": 0}
HOLD = 40_000
TARIFF = {
    "id": "stories",
    "currency": "KRW",
    "country_code": "KR",
    "party_id": "SIM",
    "tax_included": "YES",
    "elements": [
        {
            "price_components": [
                {"type": "FLAT", "price": 500, "vat": 10, "step_size": 1},
                {"type": "ENERGY", "price": 320, "vat": 10, "step_size": 1},
                {"type": "TIME", "price": 600, "vat": 10, "step_size": 1},
            ]
        }
    ],
    "last_updated": "2026-01-01T00:00:00Z",
    "hold": {"currency": "KRW", "minor": HOLD},
}
_numbers = count(1)


@dataclass
class Place:
    """A simulated station with a clock of its own, and its connection."""

    station: Station
    connection: Connection
    now: list[int]

    def at(self, seconds: int) -> None:
        """Moves the station's clock."""
        self.now[0] += seconds


@dataclass
class World:
    """One story's view of the running system. `day` keeps its instants apart from those of other stories."""

    rest: Rest
    http: aiohttp.ClientSession
    ocpp: str
    social: str
    day: int
    places: list[Place] = field(default_factory=list)

    @property
    def morning(self) -> int:
        """When this story begins."""
        return epoch("2026-01-01T08:00:00Z") + 3 * 86_400 * self.day

    async def once(self, path: str, body: Any) -> None:
        """Adds something that an earlier story may have added."""
        try:
            await self.rest.post(path, body)
        except RestError as error:
            if error.status != 409:
                raise

    async def place(
        self,
        version: str,
        faults: Faults | None = None,
        max_power_w: int = 22_000,
        *,
        device: Device | None = None,
        tariff: Mapping[str, Any] = TARIFF,
    ) -> Place:
        """A new station of that version, added by staff, connected and booted at the story's morning."""
        await self.rest.post("/tariffs", tariff)
        name = f"{version}-{self.day}-{next(_numbers)}"
        body = {"id": name, "provider": "provider", "tariff": tariff["id"], "password": PASSWORD}
        await self.rest.post("/stations", {**body, "connectors": [{"number": 1, "max_power_w": max_power_w}]})
        now = [self.morning + 6 * 3600 * len(self.places)]
        station = Station(
            name,
            device or DEVICES[version],
            new_ref=lambda: str(uuid4()),
            clock=lambda: now[0],
            connectors={1: Connector(1, 1_000_000)},
            faults=faults or Faults(),
        )
        connection = Connection(station, self.ocpp, PASSWORD, Random(1))
        await connection.connect()
        await connection.do(station.boot)
        place = Place(station, connection, now)
        station.show(1, "available")  # a dated report: the system's clock follows it to this story's morning
        await connection.do(station.beat)
        self.places.append(place)
        return place

    async def prepaid(self, minor: int = 100_000) -> tuple[str, Token]:
        """A driver with money in the balance, and the driver's card."""
        name = f"driver-{self.day}-{next(_numbers)}"
        card = f"{next(_numbers):014X}"
        await self.rest.post("/drivers", {"id": name})
        await self.rest.post(f"/drivers/{name}/tokens", {"value": card})
        if minor == 0:
            return name, Token(card)
        top_up = {"amount": {"currency": "KRW", "minor": minor}, "psp": "card", "payment_ref": name}
        await self.rest.post(f"/drivers/{name}/top-ups", top_up, key=name)
        return name, Token(card)

    async def alias(self, place: Place, subject: str) -> Token | None:
        """A social driver's token, handed to the system at this station; None if it is refused."""
        long_token = await Wallet(self.http, self.social).token(Driver(subject, "social"))
        envelope = {
            "v": 1,
            "id": f"id-{next(_numbers):08}",
            "ts": wire(place.now[0]),
            "type": "social",
            "token": long_token,
        }
        alias: str | None = await place.connection.insist(partial(place.station.exchange, envelope))
        return None if alias is None else Token(alias, "alias")

    async def accepted(self, place: Place, token: Token) -> bool:
        """Whether the token may charge there."""
        verdict: bool = await place.connection.insist(partial(place.station.present, token))
        return verdict

    async def start(self, place: Place, token: Token) -> Session:
        """A session begins, and the system has answered."""
        session: Session = await place.connection.do(partial(place.station.start, 1, token))
        return session

    async def charge(self, place: Place, token: Token, wh: int = 11_000, seconds: int = 3600) -> Session:
        """A whole charge with three readings on the way, from the token to the end."""
        assert await self.accepted(place, token)
        session = await self.start(place, token)
        assert session.accepted
        for part in (1, 2, 3):
            place.at(seconds // 4)
            register = session.start_wh + wh * part // 4
            await place.connection.do(partial(place.station.meter, session, register, power_w=wh * 3600 // seconds))
        place.at(seconds - 3 * (seconds // 4))
        await place.connection.do(partial(place.station.end, session, session.start_wh + wh))
        await self.quiet(place)
        return session

    async def quiet(self, place: Place) -> None:
        """The station has been answered everything, late readings and copies too."""
        await place.connection.do(place.station.beat)
        assert place.station.line.idle

    async def sessions(self, place: Place) -> list[dict[str, Any]]:
        """What the system knows of this station's sessions."""
        return await self.rest.all(f"/sessions?station={place.station.id}")

    async def only(self, place: Place) -> dict[str, Any]:
        """The station's one session."""
        (session,) = await self.sessions(place)
        return session

    async def bill(self, session: dict[str, Any]) -> dict[str, Any]:
        """A session's bill."""
        bill: dict[str, Any] = await self.rest.get(f"/sessions/{session['id']}/bill")
        return bill

    async def transfers(self, session: dict[str, Any]) -> list[tuple[str, str, int]]:
        """What went in and out of the session's hold: kind, other account, minor units; names made equal."""
        account = await self.rest.get(f"/ledger/accounts/session:{session['id']}:held")
        names = {session["id"]: "SESSION", session["driver"]: "DRIVER"}

        def plain(text: str) -> str:
            for name, word in names.items():
                text = text.replace(name, word)
            return text

        return sorted((item["kind"], plain(item["other"]), item["amount"]["minor"]) for item in account["items"])

    def told(self, bill: dict[str, Any]) -> dict[str, Any]:
        """A bill without the names and instants in which two equal charges differ."""
        apart = {"id", "session", "station", "driver", "token", "started_at", "ended_at", "issued_at"}
        return {key: value for key, value in bill.items() if key not in apart}

    async def close(self) -> None:
        """All stations go."""
        for place in self.places:
            await place.connection.close()
