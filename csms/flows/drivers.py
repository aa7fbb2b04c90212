"""Drivers and their tokens, as staff add and change them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import short_hex, uuid7
from csms.db import SQL, Connection
from csms.domain import token as tokens
from csms.flows.erase import check_pseudonym
from csms.flows.parties import check_id

TokenType = Literal["rfid", "app", "key_code", "battery"]
TokenStatus = Literal["accepted", "blocked", "invalid"]

UNALIASED_LENGTH_MAX = 20
"""A longer token does not fit 1.6 `idTag` and gets an alias."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A driver's token as it is stored: `value` is canonical, `alias` stands for it where it does not fit."""

    value: str
    type: str
    status: str
    alias: str | None
    is_new: bool


async def add_driver(
    conn: Connection, driver_id: str | None, name: str | None, now: datetime, vehicle_class: str | None = None
) -> str:
    """Add a driver and answer the id, a new one when none was chosen; Conflict when it is taken."""
    if driver_id is None:
        driver_id = str(uuid7(time.time_ns() // 1_000_000, secrets.randbits(80)))
    else:
        check_pseudonym(driver_id)
    check_id(driver_id)
    if await SQL.add_driver.value(conn, driver_id, name, now, vehicle_class) is None:
        raise Conflict(f"there is a driver {driver_id} already")
    return driver_id


async def put_token(
    conn: Connection, driver_id: str, value: str, type_: TokenType, status: TokenStatus, now: datetime
) -> TokenRow:
    """
    Give a driver a token, or change the type and status of one that the driver has.

    Conflict when the token is another driver's. A token that does not fit every OCPP version gets an
    alias of 16 hex characters, the same one whenever it is asked, which shares its status.
    """
    canonical = tokens.canonical(value)
    if not canonical:
        raise Refused("a token has at least one visible character", "/value")
    key = tokens.key(canonical)
    async with conn.transaction():
        if await SQL.show_driver.one(conn, driver_id) is None:
            raise NotFound(f"there is no driver {driver_id}")
        is_new = await SQL.put_token.value(conn, key, canonical, type_, status, driver_id, now)
        if is_new is None:
            raise Conflict("this token belongs to another driver, or stands for another token")
        alias = await SQL.follow_alias.value(conn, driver_id, key, type_, status)
        if alias is None and max(len(value.strip()), len(canonical)) > UNALIASED_LENGTH_MAX:
            alias = short_hex(secrets.randbits(64))
            await SQL.add_alias.run(conn, tokens.key(alias), alias, type_, status, driver_id, key, now)
    return TokenRow(canonical, type_, status, alias, is_new)
