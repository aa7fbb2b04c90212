"""A request that moves money is done once per key: who asks again gets the first answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

from csms.base.errors import Refused
from csms.db import SQL, Connection

KEY_LENGTH_MAX = 255
KEPT = timedelta(days=30)
"""How long a first answer is kept for who asks again."""

Answered = tuple[int, object]
"""An HTTP status and a JSON value."""


async def once(
    conn: Connection, client_id: str, key: str, request: str, work: Callable[[], Awaitable[Answered]]
) -> Answered:
    """
    Do `work` in one transaction with the claim of its key; a repeat gets the stored answer instead.

    `request` is what was asked (method, path, body); the key with another request is refused. Work
    that raises leaves the key free. A repeat under way waits for the first.
    """
    digest = hashlib.sha256(request.encode()).digest()
    async with conn.transaction():
        if await SQL.claim_idempotency_key.value(conn, client_id, key, digest) is None:
            return await _first_answer(conn, client_id, key, digest)
        status, answer = await work()
        await SQL.keep_answer.run(conn, client_id, key, status, json.dumps(answer))
    return status, answer


async def first_answer(conn: Connection, client_id: str, key: str, request: str) -> Answered | None:
    """The stored answer of a key, None while it has none; for work that cannot be one transaction."""
    digest = hashlib.sha256(request.encode()).digest()
    if await SQL.find_idempotency_key.one(conn, client_id, key) is None:
        return None
    return await _first_answer(conn, client_id, key, digest)


async def sweep(conn: Connection) -> None:
    """Forget first answers that are older than `KEPT`."""
    await SQL.sweep_idempotency_keys.run(conn, KEPT)


async def _first_answer(conn: Connection, client_id: str, key: str, digest: bytes) -> Answered:
    row = await SQL.find_idempotency_key.one(conn, client_id, key)
    assert row is not None
    if bytes(row["body_hash"]) != digest:
        raise Refused("this Idempotency-Key was used for another request; take a new one")
    return row["status"], json.loads(row["answer"])
