"""The audit trail: what people changed, each event chained to the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from csms.db import SQL, Connection


@dataclass(frozen=True, slots=True)
class Event:
    """
    Who asked for what: the client (of a provider, or a driver), method and address pattern, the ids in the address.

    `body_hash` is the SHA-256 of what was sent.
    """

    at: datetime
    client: str
    provider: str | None
    driver: str | None
    method: str
    route: str
    object: Mapping[str, str]
    body_hash: bytes | None
    request_id: str


async def append(conn: Connection, event: Event, status: int | None) -> int:
    """
    Add an event at the end of the trail and answer its number; `status` is None when it is about to be done.

    Call it last in a transaction: until that ends, other events wait.
    """
    number: int = await SQL.append_audit.value(
        conn, event.at, event.client, event.provider, event.driver, event.method, event.route,
        json.dumps(dict(event.object)), event.body_hash, status, event.request_id,
    )  # fmt: skip
    return number
