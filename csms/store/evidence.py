"""Evidence beside the readings, as rows: what meters signed, and energy that belongs to no session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from csms.db import SQL, Connection
from csms.domain.signatures import SignedRow
from csms.domain.world import Gap


async def save(conn: Connection, signed: Sequence[SignedRow], gaps: Sequence[Gap]) -> None:
    """Adds to the evidence, in the order of its keys, so that two writers never wait for each other in a circle."""
    await SQL.save_evidence.value(
        conn, sorted(signed, key=lambda value: (value.session_id, value.context, value.digest)), sorted(gaps)
    )


async def taken(conn: Connection, digests: Iterable[bytes]) -> dict[bytes, UUID]:
    """Which of these signed values are the begin or end of a session, and of which."""
    return {row["digest"]: row["session_id"] for row in await SQL.taken_signed_values.many(conn, list(digests))}
