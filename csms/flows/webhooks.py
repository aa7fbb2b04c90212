"""
What psps tell us: kept as it came, and a job made that asks the psp before anything moves.

So it does not matter whether a webhook is genuine, comes twice, late, or in the wrong order: it only says
where to look. One without a good and fresh signature is kept apart, and limited by its receiver.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from csms.base.ids import uuid7
from csms.db import SQL, Connection
from csms.domain.errand import Errand
from csms.psp.base import Event, Psp, Unverified
from csms.store import outbox

RAW_BYTES_MAX = 65_536
HEADERS_MAX = 60
HEADER_LENGTH_MAX = 1_000
TEXT_LENGTH_MAX = 500
SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
"""Never kept: they may let somebody in."""


def read(psp: Psp, headers: Mapping[str, str], raw: bytes) -> Event | Unverified:
    """What a webhook says, and whether it is genuine and fresh. Names of headers in any case."""
    told = psp.parse_webhook({name.lower(): value for name, value in headers.items()}, raw)
    if isinstance(told, Event) and not _can_be_kept(told.event_id):
        return Unverified("an event without an id that can be kept", told)
    return told


async def keep(
    conn: Connection, psp: str, told: Event | Unverified, headers: Mapping[str, str], raw: bytes, at: datetime
) -> UUID | None:
    """
    Store a webhook and the job that looks into it; None when it stands already.

    What cannot be read is stored without a job.
    """
    event = told if isinstance(told, Event) else told.hint
    verified = isinstance(told, Event)
    digest = hashlib.sha256(psp.encode() + b"\0" + raw).hexdigest()
    id_ = uuid7(time.time_ns() // 1_000_000, secrets.randbits(80))
    ref = event.ref if event is not None and _can_be_kept(event.ref) else None
    kept = {
        name.lower(): value[:HEADER_LENGTH_MAX].encode("ascii", "replace").decode().replace("\0", "")
        for name, value in list(headers.items())[:HEADERS_MAX]
        if name.lower() not in SECRET_HEADERS
    }
    async with conn.transaction():
        news = await SQL.keep_webhook.value(
            conn,
            id_,
            psp,
            event.event_id if event is not None and verified else f"unverified/{digest}",
            verified,
            told.reason if isinstance(told, Unverified) else None,
            None if event is None else event.kind,
            ref,
            None if event is None else event.occurred_at,
            json.dumps(kept),
            raw,
            at,
        )
        if news is None:
            return None
        if event is not None and event.kind is not None and ref is not None:
            name = f"webhook/{id_}"
            errand = Errand(id_, "webhook.process", name, name, {"webhook": str(id_)})
            await outbox.insert_errands(conn, [errand])
    return id_


def _can_be_kept(text: str) -> bool:
    """Whether it is a name that the database takes: not empty, not long, no NUL, no half of a surrogate pair."""
    return 0 < len(text) <= TEXT_LENGTH_MAX and text.isprintable()
