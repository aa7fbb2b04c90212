"""Packs: how they are and were, who has and had them, what drivers' terminals tell, and staff's word on them."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from csms.api.call import Call, Route, connection
from csms.api.items import FIND, SET_UP, Item, Reason, Serial, items_of
from csms.api.pack_answers import Custody, Pack, PackState, custody, pack, pack_state
from csms.api.paging import LAST_TIME, LAST_UUID, after_id, beside, page, place_in_time, unseal
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, Moment, Page, Paging
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain import pack_state as domain
from csms.flows import items, packs

Hundredths = Annotated[int, Field(ge=0, le=10_000)]
Wh = Annotated[int, Field(ge=0, le=10**12)]
Fault = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,50}$")]
LAST_ID = "\U0010ffff"
"""After every id of a state."""


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


class NewPackState(Body):
    """
    What a driver's terminal tells of the pack in the driver's hands: `Battery.State` of the protocol, without envelope.

    It is kept as told by a `terminal` and believed less: nothing is billed by it while stations told of the pack.
    """

    serial: Serial
    soc: Hundredths
    soh: Hundredths | None = None
    mv: Annotated[int, Field(ge=0, le=10**6)] | None = None
    ma: Annotated[int, Field(ge=-(10**6), le=10**6)] | None = None
    temp: Annotated[int, Field(ge=-100, le=200)] | None = None
    cycles: Annotated[int, Field(ge=0, le=10**6)] | None = None
    dischargeWh: Wh | None = None
    chargeWh: Wh | None = None
    epoch: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    capacity: Annotated[int, Field(ge=1, le=10**6)] | None = None
    made: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_day)] | None = None
    faults: Annotated[list[Fault], Field(max_length=16)] | None = None
    mode: Literal["idle", "charging", "discharging", "faulted"] | None = None
    source: Literal["terminal"] = "terminal"
    at: Moment | None = None

    def read(self) -> domain.PackState:
        """The same in the words of the rules."""
        made = None if self.made is None else date.fromisoformat(self.made)
        faults = None if self.faults is None else tuple(self.faults)
        return domain.PackState(
            self.serial, self.soc, self.soh, self.mv, self.ma, self.temp, self.cycles, self.dischargeWh, self.chargeWh,
            self.epoch, self.capacity, made, faults, self.mode,
        )  # fmt: skip


class Told(Answer):
    """That a state was stored, and as of when."""

    item: str
    source: str
    at: Moment


class NewJudgement(Body):
    """Why a pack is taken out of use, or may be used again."""

    reason: Reason


class SeriesQuery(Paging):
    """Which states."""

    since: Moment | None = Field(None, alias="from", description="measured at this time or later")
    until: Moment | None = Field(None, alias="to", description="measured before this time")


async def list_states(call: Call) -> Page[PackState]:
    """What stations and terminals told of a pack, the newest first; to a driver, since the driver has it."""
    q: SeriesQuery = call.query
    code = call.path["item"]
    await _known(call.conn, code)
    rows = await SQL.list_pack_states.many(call.conn, code, *_place(q.cursor), q.since, q.until, q.limit + 1)
    return page(rows, q.limit, pack_state, lambda row: json.dumps([row["at"].isoformat(), row["id"]]))


async def list_history(call: Call) -> Page[Custody]:
    """Who had a pack, with which levels it went and came, the newest first; to a driver, the driver's own times."""
    q: Paging = call.query
    code = call.path["item"]
    await _known(call.conn, code)
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_custodies.many(call.conn, code, *place, q.limit + 1)
    return page(rows, q.limit, custody, place_in_time("requested_at"))


async def list_driver_items(call: Call) -> Page[Item]:
    """What a driver has in hands, by code, with the newest state of packs."""
    q: Paging = call.query
    driver_id = call.path["driver"]
    if await SQL.show_driver.one(call.conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    rows = await SQL.list_items_of_driver.many(call.conn, driver_id, after_id(q.cursor), q.limit + 1)
    shown = page(rows, q.limit, lambda row: row, lambda row: str(row["code"]))
    return Page(items=await items_of(call.conn, shown.items), next_cursor=shown.next_cursor)


async def tell_state(call: Call) -> Told:
    """Tell how a pack is, from the terminal of the driver who has it, or for a driver by staff; 404 for all others."""
    new: NewPackState = call.body
    code, now, driver_id = call.path["item"], call.parts.clock(), call.client.driver
    async with connection(call.parts) as conn:
        row = await _known(conn, code)
        since = None if driver_id is None else await packs.custody(conn, code, driver_id)
    if row["serial"] != new.serial:
        raise Refused("this is the serial of another pack", "/serial")
    word = packs.Word(code, new.read(), new.at or now, call.client.id, new.model_dump_json(), since)
    await packs.state(call.parts.submit, word, now)
    return Told(item=code, source="terminal", at=word.at)


async def quarantine(call: Call) -> Pack:
    """Take a pack out of use until staff say otherwise: it is not handed out, and stays where it is."""
    judgement: NewJudgement = call.body
    return await _judged(call, judgement.reason)


async def release(call: Call) -> Pack:
    """Let a pack be handed out again."""
    return await _judged(call, None)


async def _judged(call: Call, wanted: str | None) -> Pack:
    judgement: NewJudgement = call.body
    code = call.path["item"]
    async with connection(call.parts) as conn:
        await _known(conn, code)
        item = await items.show(conn, code)
    await packs.judge(call.parts.submit, item, wanted, call.client.id, judgement.reason, call.parts.clock())
    async with connection(call.parts) as conn:
        return pack(await _known(conn, code))


async def _known(conn: Connection, code: str) -> Record:
    """The pack in the address, which the client may know of."""
    row = await packs.find(conn, code)
    if row is None:
        raise NotFound("there is no such pack")
    return row


def _place(cursor: str | None) -> tuple[datetime, str]:
    """The (time, id) that a series goes on below."""
    if cursor is None:
        return LAST_TIME, LAST_ID
    try:
        at, id_ = json.loads(unseal(cursor))
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not isinstance(id_, str) or "\x00" in id_:
            raise ValueError
        return moment, id_
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise Problem(400, "this is not a cursor of ours; take `next_cursor` as it was given") from None


TELL = ("stations:write", "driver:self")
SEE_DRIVER = ("drivers:read", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/items/{item}/states", list_states, FIND, "List what was told of a pack", Page[PackState],
        query=SeriesQuery,
    ),
    Route("POST", "/items/{item}/state", tell_state, TELL, "Tell how a pack is", Told, NewPackState, connects=False),
    Route("GET", "/items/{item}/history", list_history, FIND, "List who had a pack", Page[Custody], query=Paging),
    Route(
        "GET", "/drivers/{driver}/items", list_driver_items, SEE_DRIVER, "List what a driver has", Page[Item],
        query=Paging,
    ),
    Route(
        "POST", "/items/{item}/quarantine", quarantine, SET_UP, "Take a pack out of use", Pack, NewJudgement,
        connects=False,
    ),
    Route(
        "DELETE", "/items/{item}/quarantine", release, SET_UP, "Let a pack be handed out again", Pack, NewJudgement,
        connects=False,
    ),
)  # fmt: skip
