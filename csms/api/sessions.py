"""Sessions and bills, starts and stops from afar, and what became of commands."""

from __future__ import annotations

import asyncio
import secrets
import time
from uuid import UUID

from pydantic import Field

from csms.api import answers, jsontext
from csms.api.bodies import NewSession
from csms.api.call import KEY, Call, connection
from csms.api.paging import LAST_TIME, LAST_UUID, beside, page, place_in_time
from csms.api.problems import Problem
from csms.api.session_answers import Bill, Session, bill, session
from csms.api.shapes import Moment, Page, Paging, Parameter, Query
from csms.base.errors import Conflict, NotFound
from csms.base.ids import uuid7
from csms.db import SQL, Connection
from csms.domain.commands import Command, StartSession
from csms.domain.session import State
from csms.flows import remote
from csms.flows.idempotency import once

WAIT_S_MAX = 60
OFFLINE_S = 0.05
"""How long a command is given to say that its station is not connected, where nobody waits for its end."""


class SessionQuery(Paging):
    """Which sessions."""

    station: Parameter | None = Field(None, description="at this station")
    provider: Parameter | None = Field(None, description="of this provider")
    driver: Parameter | None = Field(None, description="of this driver")
    state: State | None = Field(None, description="in this state")
    since: Moment | None = Field(None, alias="from", description="opened at this time or later")
    until: Moment | None = Field(None, alias="to", description="opened before this time")


class BillQuery(Paging):
    """Which bills."""

    station: Parameter | None = Field(None, description="of this station")
    provider: Parameter | None = Field(None, description="of this provider")
    driver: Parameter | None = Field(None, description="of this driver")
    since: Moment | None = Field(None, alias="from", description="issued at this time or later")
    until: Moment | None = Field(None, alias="to", description="issued before this time")


class WaitQuery(Query):
    """How long to wait for the station."""

    wait: int = Field(0, ge=0, le=WAIT_S_MAX, description="seconds to wait for the end of the command")


async def list_sessions(call: Call) -> Page[Session]:
    """Sessions, the newest first."""
    q: SessionQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_sessions.many(
        call.conn, q.limit + 1, *place, q.station, q.provider, q.driver, q.state, q.since, q.until
    )
    return page(rows, q.limit, session, place_in_time("opened_at"))


async def show_session(call: Call) -> Session:
    """One session."""
    row = await SQL.show_session.one(call.conn, UUID(call.path["session"]))
    if row is None:
        raise NotFound("there is no such session")
    return session(row)


async def show_session_bill(call: Call) -> Bill:
    """The bill of a session."""
    row = await SQL.show_session_bill.one(call.conn, UUID(call.path["session"]))
    if row is None:
        raise NotFound("this session has no bill")
    return bill(row)


async def list_bills(call: Call) -> Page[Bill]:
    """Bills, the newest first."""
    q: BillQuery = call.query
    place = beside(q.cursor, (LAST_TIME, LAST_UUID))
    rows = await SQL.list_bills.many(call.conn, q.limit + 1, *place, q.provider, q.station, q.driver, q.since, q.until)
    return page(rows, q.limit, bill, place_in_time("issued_at"))


async def show_bill(call: Call) -> Bill:
    """One bill."""
    row = await SQL.show_bill.one(call.conn, UUID(call.path["bill"]))
    if row is None:
        raise NotFound("there is no such bill")
    return bill(row)


async def start_session(call: Call) -> tuple[int, answers.Command]:
    """
    Ask a station to start a session for a driver's token.

    With an Idempotency-Key a repeat asks the station nothing and answers the same command. What was
    refused leaves its key free.
    """
    new: NewSession = call.body
    command_id = new_id()
    start = remote.Start(new.station, new.connector, new.token)
    async with connection(call.parts) as conn:
        if "Idempotency-Key" in call.request.headers:
            first, command = await _prepare_once(conn, call, command_id, start)
            if command is None:
                return 202, await _repeated(conn, first)
        else:
            command = await remote.prepare_start(conn, start, call.parts.clock())
    return await send(call, command_id, new.station, command)


async def stop_session(call: Call) -> tuple[int, answers.Command]:
    """Ask the station of a running session to stop it."""
    async with connection(call.parts) as conn:
        station_id, command = await remote.prepare_stop(conn, UUID(call.path["session"]))
    return await send(call, new_id(), station_id, command)


async def show_command(call: Call) -> answers.Command:
    """What became of a command."""
    return await _command(call.conn, UUID(call.path["command"]))


async def _prepare_once(
    conn: Connection, call: Call, command_id: UUID, start: remote.Start
) -> tuple[UUID, StartSession | None]:
    """The command that this Idempotency-Key stands for; what to send when that is `command_id`, else None."""
    key = call.request.headers["Idempotency-Key"]
    if not KEY.fullmatch(key):
        raise Problem(400, "this is not an Idempotency-Key")
    prepared: StartSession | None = None

    async def work() -> tuple[int, object]:
        nonlocal prepared
        prepared = await remote.prepare_start(conn, start, call.parts.clock())
        return 202, {"command": str(command_id)}

    asked = f"POST {call.request.path}\n{jsontext.write(call.body.model_dump())}"
    _, answer = await once(conn, call.client.id, key, asked, work)
    assert isinstance(answer, dict)
    return UUID(answer["command"]), prepared


async def _repeated(conn: Connection, command_id: UUID) -> answers.Command:
    """The command of an earlier request, which may be about to be sent, or have died with its process."""
    try:
        return await _command(conn, command_id)
    except NotFound:
        raise Conflict("the first request with this Idempotency-Key has not sent its command (yet)") from None


async def send(call: Call, command_id: UUID, station_id: str, command: Command) -> tuple[int, answers.Command]:
    """202 with the command on its way; 200 when it ended while we waited; 409 when the station is not connected."""
    issued = await call.parts.commands.issue(command_id, station_id, command, call.client.id)
    query: WaitQuery = call.query
    done, _ = await asyncio.wait({issued.answer}, timeout=max(query.wait, OFFLINE_S))
    if done and issued.answer.result().end == "offline":
        raise Conflict(f"station {station_id} is not connected")
    async with connection(call.parts) as conn:
        return 200 if done and query.wait else 202, await _command(conn, command_id)


async def _command(conn: Connection, command_id: UUID) -> answers.Command:
    row = await SQL.show_command.one(conn, command_id)
    if row is None:
        raise NotFound("there is no such command")
    return answers.command(row)


def new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
