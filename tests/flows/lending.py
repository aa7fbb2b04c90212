"""Cabinets on a real database: rows to begin with, and reports as cabinets make them."""

from __future__ import annotations

import itertools
import json
from datetime import datetime
from typing import Any
from uuid import UUID

from csms.domain import asset_events as said
from csms.domain.events import Outcome
from csms.domain.token import key
from tests.domain.lending_town import TARIFF
from tests.make import ANN, NOON, Told, fund, new_id, seed

_numbers = itertools.count(1)


async def build(conn: Any, funds: int = 100_000) -> None:
    """Cabinets C1 (doors 1 to 3, items i1 and i2) and C2 (two empty doors), and Ann with money."""
    await seed(conn)
    await conn.execute(
        "insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)"
        " values ('L', 1, 'P', 'KRW', $1, 10000, now())",
        json.dumps(TARIFF),
    )
    await conn.execute(
        "insert into station (id, kind, provider_id, site_id, tariff_id, created_at)"
        " values ('C1', 'locker', 'P', 'site', 'L', now()), ('C2', 'locker', 'P', 'site', 'L', now())"
    )
    await conn.execute(
        "insert into connector (station_id, number, kind)"
        " values ('C1', 1, 'door'), ('C1', 2, 'door'), ('C1', 3, 'door'), ('C2', 1, 'door'), ('C2', 2, 'door')"
    )
    for code in ("i1", "i2"):
        await add_item(conn, code)
    await fund(conn, "ann", funds - 50_000)


async def add_item(conn: Any, code: str) -> None:
    """A portable charger that nobody has seen yet, as an item and as a station."""
    await conn.execute(
        "insert into item (code, kind, type, provider_id, place, at, key, version, created_at)"
        " values ($1, 'portable', 'p1', 'P', 'unknown', '2026-01-01', '', 1, now())",
        code,
    )
    await conn.execute(
        "insert into station (id, kind, provider_id, site_id, tariff_id, portable, created_at)"
        " values ($1, 'charger', 'P', 'site', 'T', true, now())",
        code,
    )
    await conn.execute("insert into connector (station_id, number, kind) values ($1, 1, 'portable')", code)


def report(station: str, at: datetime = NOON, **more: Any) -> dict[str, Any]:
    """What all reports have in common."""
    number = next(_numbers)
    base = {"station_id": station, "received_at": at, "at": at, "raw": "[2,...]", "offline": False}
    return {**base, "id": f"event-{number:06}", "seq": None, **more}


def snapshot(station: str, units: dict[int, str | None], at: datetime = NOON) -> said.UnitsSeen:
    """What is where."""
    seen = tuple(said.UnitSeen(unit, "closed", code is not None, code) for unit, code in units.items())
    return said.UnitsSeen(**report(station, at), units=seen, last_seq=None)


def rent(at: datetime = NOON, token: str = ANN, station: str = "C1", **more: Any) -> said.RentAsked:
    """A driver's app rents."""
    ids = {"rental_id": new_id(), "grant_id": new_id(), "authorization_id": new_id()}
    values: dict[str, Any] = {"unit": None, "item_type": None, "proof": "totp", "by": "app"}
    return said.RentAsked(
        station_id=station, received_at=at, token_key=key(token), token_masked="A0...", **(ids | values | more)
    )


def door(station: str, unit: int, state: Any, grant: UUID | None, at: datetime, has: bool | None = None) -> Any:
    """A door moves."""
    return said.DoorMoved(**report(station, at), unit=unit, door=state, grant_id=grant, has=has, error=None)


def taken(station: str, unit: int, item: str, grant: UUID | None, at: datetime) -> said.ItemTaken:
    """An item leaves."""
    return said.ItemTaken(**report(station, at), unit=unit, item=item, grant_id=grant)


def placed(station: str, unit: int, item: str, grant: UUID | None, at: datetime) -> said.ItemPlaced:
    """An item comes back."""
    return said.ItemPlaced(**report(station, at), unit=unit, item=item, grant_id=grant)


async def begin(road: Told) -> None:
    """Both cabinets say what is where."""
    await road.tell(snapshot("C1", {1: "i1", 2: "i2", 3: None}))
    await road.tell(snapshot("C2", {1: None, 2: None}))


async def take(road: Told, at: datetime, **more: Any) -> said.RentAsked:
    """From the app to the item in Ann's hands."""
    wish = rent(at, **more)
    [outcome] = await road.tell(wish)
    answer = granted(outcome)
    await road.tell(said.GrantAnswered(wish.station_id, at, wish.grant_id, "accepted", None))
    item = "i1" if answer.unit == 1 else "i2"
    await road.tell(
        door(wish.station_id, answer.unit or 0, "open", wish.grant_id, at),
        taken(wish.station_id, answer.unit or 0, item, wish.grant_id, at),
        door(wish.station_id, answer.unit or 0, "closed", wish.grant_id, at, False),
    )
    return wish


def granted(outcome: Outcome) -> said.AssetAnswer:
    """The answer of somebody who was let in."""
    assert outcome.asset is not None and outcome.asset.error is None, outcome
    return outcome.asset
