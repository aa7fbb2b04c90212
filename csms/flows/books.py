"""What flows of money share: postings that must stand, things that people must look at, fresh ids."""

from __future__ import annotations

import json
import secrets
import time
from datetime import datetime
from uuid import UUID

from csms.base.errors import CsmsError
from csms.base.ids import uuid7
from csms.db import SQL, Connection
from csms.domain import ledger
from csms.domain.ledger import Move, Posting


class PostingRefused(CsmsError):
    """The ledger would not take a posting that has to stand; the transaction is to be undone."""


def new_id() -> UUID:
    """A fresh UUIDv7 by the wall clock."""
    return uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))


async def post(conn: Connection, key: str, kind: str, ref: str, at: datetime, currency: str, *moves: Move) -> bool:
    """
    Make the moves (debit, credit, minor units) one posting under `key`; answers whether that was news.

    Moves of nothing are left out. PostingRefused when a guarded account has too little, or the key
    stands with other transfers.
    """
    posting = Posting(new_id(), key, kind, ref, at, ledger.transfers(currency, *moves))
    if not posting.transfers:
        return False
    transfers = [(1, seq, t.debit, t.credit, t.asset, t.minor) for seq, t in enumerate(posting.transfers, 1)]
    [answer] = await SQL.post.value(
        conn, [(posting.id, posting.key, posting.kind, posting.ref, posting.event_at)], transfers
    )
    if answer not in ("posted", "replayed"):
        raise PostingRefused(f"posting {key}: {answer}")
    return bool(answer == "posted")


async def list_exception(conn: Connection, kind: str, ref: str, details: dict[str, object], at: datetime) -> None:
    """Put something on people's list; (kind, ref) is listed once."""
    await SQL.insert_concerns.run(conn, [new_id()], [kind], [ref], [None], [json.dumps(details)], [at])


async def resolve_exception(conn: Connection, kind: str, ref: str, resolution: str, at: datetime) -> None:
    """It needs nobody any more."""
    await SQL.resolve_exception.run(conn, kind, ref, resolution, at)


async def tell(
    conn: Connection, key: str, kind: str, provider: str | None, driver: str | None, body: dict[str, object],
    at: datetime,
) -> int:  # fmt: skip
    """Send news to the endpoints that want them, once per key; answers to how many. Money is {"minor", "currency"}."""
    told: int = await SQL.tell.value(conn, [(key, kind, provider, driver, json.dumps(body), at)])
    return told
