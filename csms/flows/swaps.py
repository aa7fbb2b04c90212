"""Swaps as drivers and staff ask for them: each wish is an event of the road, and a repeat of it the same event."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.errors import NotFound, NotYet
from csms.base.ids import short_hex
from csms.db import SQL, Connection, Record
from csms.domain import token as tokens
from csms.domain.events import Outcome
from csms.domain.pack_events import RID_MIN, SwapAsked
from csms.flows.remote import REMOTE_TOKEN_S_MAX
from csms.flows.rentals import PSP_S_MAX, Payer
from csms.flows.through import Submit, through

COUNT_MAX = 16
"""Packs of one visit, as the protocol has them."""

_RID_BITS = 30
_DERIVED_BITS = 8
"""The low byte of a swap's id is free for what is derived from it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A swap that is wanted at a station: how many packs, who pays, how presence was proven."""

    station_id: str
    count: int
    payer: Payer
    proof: str
    by: str


def rid_of(swap_id: UUID) -> int:
    """The number by which a station knows a swap that we began."""
    drawn: int = (swap_id.int >> _DERIVED_BITS) & ((1 << _RID_BITS) - 1)
    return RID_MIN + drawn


async def prepare(conn: Connection, swap_id: UUID, wish: Wish, now: datetime) -> str:
    """
    The single-use token that the station is told, which stands for the payer's there; only its hash is kept.

    A repeat gets another one: the swap that stands keeps its own.
    """
    if await SQL.show_swap.one(conn, swap_id) is not None:
        return ""
    token = short_hex(secrets.randbits(64))
    key, expires_at = tokens.key(tokens.canonical(token)), now + timedelta(seconds=REMOTE_TOKEN_S_MAX)
    await SQL.add_remote_token.run(conn, key, wish.station_id, wish.payer.key, expires_at, now)
    return token


async def begin(submit: Submit, swap_id: UUID, wish: Wish, token: str, now: datetime) -> Outcome | None:
    """What a wish came to; None where nothing is written yet."""
    event = SwapAsked(
        station_id=wish.station_id, received_at=now, swap_id=swap_id, rid=rid_of(swap_id), token_key=wish.payer.key,
        token_masked=wish.payer.masked, token=token, count=wish.count, proof=wish.proof, by=wish.by,
    )  # fmt: skip
    try:
        return await through(submit, event, PSP_S_MAX)
    except NotYet:
        return None


async def show(conn: Connection, swap_id: UUID) -> Record:
    """A swap that the client may know of."""
    row = await SQL.show_swap.one(conn, swap_id)
    if row is None:
        raise NotFound("there is no such swap")
    return row


async def rentals_of(conn: Connection, swaps: list[Record]) -> dict[UUID, Record]:
    """The rentals of the packs of these swaps, those that the client may know of."""
    wanted = {id_ for row in swaps for id_ in (*row["rentals_in"], *row["rentals_out"]) if id_ is not None}
    return {row["id"]: row for row in await SQL.rentals_of_swaps.many(conn, list(wanted))}
