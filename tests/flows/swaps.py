"""Battery stations on a real database: rows to begin with, and reports as stations make them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.pack_events import InSlot
from csms.domain.pack_state import PackState
from tests.domain.lending_town import TARIFF
from tests.domain.pack_town import EXTRA
from tests.flows import lending
from tests.make import NOON, Told, fund, new_id, seed


async def build(conn: Any, funds: int = 100_000, extra: dict[str, Any] | None = None) -> None:
    """Stations X1 (slots 1 to 4) and X2 (slots 1 and 2), packs b1 to b5, and Ann with money."""
    await seed(conn)
    document = TARIFF | {"id": "B", "extra": EXTRA if extra is None else extra}
    await conn.execute(
        "insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)"
        " values ('B', 1, 'P', 'KRW', $1, 10000, now())",
        json.dumps(document),
    )
    for station, slots in (("X1", 4), ("X2", 2)):
        await conn.execute(
            "insert into station (id, kind, provider_id, site_id, tariff_id, created_at)"
            " values ($1, 'battery_station', 'P', 'site', 'B', now())",
            station,
        )
        await conn.execute(
            "insert into connector (station_id, number, kind) select $1, n, 'slot' from generate_series(1, $2) n",
            station,
            slots,
        )
    for code in ("b1", "b2", "b3", "b4", "b5"):
        await add_pack(conn, code)
    await fund(conn, "ann", funds - 50_000)


async def add_pack(conn: Any, code: str) -> None:
    """A pack that nobody has seen yet."""
    await conn.execute(
        "insert into item (code, kind, type, provider_id, place, at, key, version, created_at)"
        " values ($1, 'battery', 'k1', 'P', 'unknown', '2026-01-01', '', 1, now())",
        code,
    )
    await conn.execute(
        "insert into pack (code, serial, capacity_wh, faults, key, version) values ($1, upper($1), 1500, '{}', '', 1)",
        code,
    )


def state(code: str, soc: int = 9_500, used_wh: int = 0, **more: Any) -> PackState:
    """What a pack says."""
    return PackState(code.upper(), soc, 9_500, discharge_wh=40_000 + used_wh, charge_wh=41_000, epoch=1, **more)


def units(station: str, slots: dict[int, str | None], at: datetime = NOON) -> said.UnitsSeen:
    """What is in which slot."""
    seen = tuple(
        said.UnitSeen(unit, "closed", code is not None, pack=None if code is None else state(code))
        for unit, code in slots.items()
    )
    return said.UnitsSeen(**lending.report(station, at), units=seen, last_seq=None)


def moved(
    what: Literal["in", "out", "timeout"], rid: int, slots: dict[int, PackState], at: datetime, station: str = "X1",
    **more: Any,
) -> packs.PacksMoved:  # fmt: skip
    """Packs go in, or out, or are locked again."""
    told = tuple(InSlot(unit, pack) for unit, pack in slots.items())
    base = lending.report(station, at)
    return packs.PacksMoved(
        **{**base, "what": what, "rid": rid, "token": None, "slots": told, "swap_id": new_id(), **more}
    )


async def begin(road: Told) -> None:
    """Both stations say what is where."""
    await road.tell(units("X1", {1: "b1", 2: "b2", 3: "b3", 4: None}))
    await road.tell(units("X2", {1: "b4", 2: None}))


async def take(road: Told, conn: Any, at: datetime, **more: Any) -> tuple[said.RentAsked, str]:
    """From the app to a pack in Ann's hands: the wish, and the pack's code."""
    wish = lending.rent(at, station="X1", **more)
    [outcome] = await road.tell(wish)
    answer = lending.granted(outcome)
    await road.tell(said.GrantAnswered("X1", at, wish.grant_id, "accepted", None))
    rid = await conn.fetchval(
        "select rid from swap s join rental r on r.swap_id = s.id where r.id = $1", wish.rental_id
    )
    code = await conn.fetchval("select item from rental where id = $1", wish.rental_id)
    await road.tell(moved("out", rid, {answer.unit or 0: state(code)}, at))
    return wish, code
