"""Packs as people speak of them: set up by staff, told of by terminals, judged by staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import asyncpg

from csms.base.errors import Conflict, NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain import packs as rules_of_packs
from csms.domain.assets import Item
from csms.domain.events import Outcome
from csms.domain.pack_events import PackJudged, PackStated
from csms.domain.pack_rows import Pack, SlotRules
from csms.domain.pack_state import PackState
from csms.flows.through import Submit, through

TOLD = UUID("0d5f6f0a-0c53-5a4e-8a0b-5b6f6f3f5f55")
"""Namespace of the ids of what terminals tell: the same told again is the same state of the series."""
BY_TERMINAL = "~terminal/"

NEVER = datetime.min.replace(tzinfo=UTC)

AHEAD_S_MAX = timedelta(seconds=60)
"""How far the clock of a terminal may be ahead."""


@dataclass(frozen=True, slots=True)
class Word:
    """What a terminal tells of a pack, when it measured that, and whose it is; `since` is the begin of its custody."""

    item: str
    pack: PackState
    at: datetime
    by: str
    raw: str
    since: datetime | None


async def add(conn: Connection, code: str, serial: str | None, capacity_wh: int | None) -> None:
    """Make a new battery a pack; Conflict when its serial is another's."""
    if await SQL.add_pack.value(conn, code, serial or code, capacity_wh) is None:
        raise Conflict(f"there is a pack with the serial {serial or code} already")


async def change(conn: Connection, code: str, changed: dict[str, object]) -> None:
    """Change `serial` and `capacity_wh`, as given; Conflict when the serial is another's. Refused for no battery."""
    row = await find(conn, code)
    if row is None:
        raise Refused("only a battery has a serial and a capacity", f"/{next(iter(changed))}")
    known = {"serial": row["serial"], "capacity_wh": row["capacity_wh"], **changed}
    try:
        await SQL.change_pack.value(conn, code, known["serial"], known["capacity_wh"])
    except asyncpg.UniqueViolationError:
        raise Conflict(f"there is a pack with the serial {known['serial']} already") from None


async def find(conn: Connection, code: str) -> Record | None:
    """A pack that the client may know of."""
    rows = await SQL.show_packs.many(conn, [code])
    return rows[0] if rows else None


async def state(submit: Submit, word: Word, now: datetime) -> None:
    """
    Put what a terminal tells into the pack's series.

    Refused when its time is none: still to come, or before the driver had the pack.
    """
    if word.at > now + AHEAD_S_MAX:
        raise Refused("this time is still to come", "/at")
    if word.since is not None and word.at < word.since:
        raise Refused("at this time somebody else had the pack", "/at")
    digest = uuid5(TOLD, f"{word.by}\n{word.item}\n{word.at.isoformat()}\n{word.raw}")
    event = PackStated(
        station_id="", received_at=now, id=f"{BY_TERMINAL}{digest}", at=word.at, seq=None, offline=False, raw=word.raw,
        pack=word.pack, unit=None, source="terminal",
    )  # fmt: skip
    _done(await through(submit, event))


async def judge(submit: Submit, item: Record, quarantine: str | None, by: str, reason: str, now: datetime) -> None:
    """Put a pack into quarantine, or take it out (None); the same again changes nothing."""
    _done(await through(submit, PackJudged(item["station_id"] or "", now, item["code"], quarantine, by, reason)))


async def custody(conn: Connection, code: str, driver_id: str) -> datetime:
    """Since when a driver has a pack; NotFound when the driver has not."""
    since: datetime | None = await SQL.custody_of.value(conn, code, driver_id)
    if since is None:
        raise NotFound("there is no such item")
    return since


def unfit(row: Record, rules: SlotRules) -> str | None:
    """The protocol's word for why the pack of a slot (a row of `list_slots`) is not handed out, None if it is fit."""
    names = dict.fromkeys(("rental_id", "tag", "plugged_at"))
    item = Item(
        code=row["item"], kind="battery", type=row["item_type"], provider_id="", state=row["item_state"],
        place="connector", station_id=None, unit=row["connector"], at=NEVER, key="", plugged=False, version=0, **names,
    )  # fmt: skip
    pack = None if row["code"] is None else Pack(*(row[name] for name in Pack._fields))
    return rules_of_packs.unfit(pack, item, rules)


def _done(outcome: Outcome) -> None:
    if outcome.status == "refused":
        raise Conflict(outcome.reason or "refused")
    if outcome.status != "accepted":
        raise Conflict("this could not be done; it is on the list of parked reports")
    if outcome.asset is not None and outcome.asset.error is not None:
        raise Conflict(f"this could not be done: {outcome.asset.error}")
