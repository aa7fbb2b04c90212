"""Sessions started and stopped from afar: by an app, a QR page, staff."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import short_hex
from csms.db import SQL, Connection
from csms.domain import token as tokens
from csms.domain.commands import StartSession, StopSession

REMOTE_TOKEN_S_MAX = 3_600
"""Life of a remote start's token on the system's clock: long, because a station may ask its driver to plug in first."""


@dataclass(frozen=True, slots=True)
class Start:
    """What was asked: start at `connector` of a station for a driver's token or its alias."""

    station_id: str
    connector: int
    token: str


@dataclass(frozen=True, slots=True)
class StandIn:
    """`alias`, a token that counts once at a connector of one station, for the token behind `token_key`."""

    alias: str
    token_key: bytes
    station_id: str
    connector: int


async def prepare_start(conn: Connection, start: Start, now: datetime) -> StartSession:
    """
    Make the single-use token of a remote start, and the command that carries it.

    Refused when the token is unknown, blocked or expired, or the station or its connector does not exist.
    """
    async with conn.transaction():
        station = await SQL.connector_to_start.one(conn, start.station_id, start.connector)
        if station is None:
            raise Refused(f"there is no station {start.station_id}", "/station")
        if station["kind"] is None and station["connectors"] > 0:
            raise Refused(f"station {start.station_id} has no connector {start.connector}", "/connector")
        row = await SQL.token_to_start_with.one(conn, tokens.key(tokens.canonical(start.token)))
        standing = "invalid" if row is None else tokens.decide(row["status"], row["expires_at"], now)
        if row is not None and row["driver_status"] == "blocked":
            standing = "blocked"
        if row is None or standing != "accepted":
            raise Refused(f"this token is {'unknown' if row is None else standing}", "/token")
        if row["station_id"] not in (None, start.station_id):
            raise Refused("this token is for another station", "/token")
        alias = short_hex(secrets.randbits(64))
        return await stand_in(conn, StandIn(alias, row["key"], start.station_id, start.connector), now)


async def stand_in(conn: Connection, wanted: StandIn, now: datetime) -> StartSession:
    """Make the single-use token of a start, and the command that carries it; only its hash is kept."""
    key, expires_at = tokens.key(tokens.canonical(wanted.alias)), now + timedelta(seconds=REMOTE_TOKEN_S_MAX)
    await SQL.add_remote_token.run(conn, key, wanted.station_id, wanted.token_key, expires_at, now)
    return StartSession(wanted.connector, wanted.alias, secrets.randbelow(2**31 - 1) + 1)


async def prepare_stop(conn: Connection, session_id: UUID) -> tuple[str, StopSession]:
    """The station of a running session, and the command that stops it; Conflict when it has ended."""
    row = await SQL.show_session.one(conn, session_id)
    if row is None:
        raise NotFound(f"there is no session {session_id}")
    if row["state"] not in ("pending", "active"):
        raise Conflict(f"session {session_id} is {row['state']}")
    return row["station_id"], StopSession(row["ref"])
