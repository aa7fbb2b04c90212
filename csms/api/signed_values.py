"""What the meter of a session signed, verbatim, for receipts and for whoever wants to verify it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from csms.api.call import Call, Route
from csms.api.shapes import Answer, Moment
from csms.base.errors import NotFound
from csms.db import SQL, Record


class SignedValue(Answer):
    """
    One signed register. `raw` is the text as the station sent it; `verdict` is ours.

    `no_key`: no key was registered for the meter when it came. `register_wh`: the register inside the text.
    """

    context: Literal["begin", "end", "other"]
    connector: int | None
    at: Moment
    encoding: str
    raw: str
    verdict: Literal["valid", "invalid", "no_key", "unreadable"]
    reason: str | None
    register_wh: int | None
    received_at: Moment


class SignedValues(Answer):
    """Everything that was signed in a session, and the keys that can prove it."""

    session: str
    station: str
    items: list[SignedValue]
    public_keys: list[str]


async def show_signed_values(call: Call) -> SignedValues:
    """What a meter signed of a session."""
    session_id = UUID(call.path["session"])
    session = await SQL.show_session.one(call.conn, session_id)
    if session is None:
        raise NotFound("there is no such session")
    rows = await SQL.show_signed_values.many(call.conn, session_id)
    keys = await SQL.keys_of_session.many(call.conn, session_id)
    return SignedValues(
        session=str(session_id),
        station=session["station_id"],
        items=[_value(row) for row in rows],
        public_keys=[row["public_key"] for row in keys],
    )


def _value(row: Record) -> SignedValue:
    return SignedValue(
        context=row["context"], connector=row["connector"], at=row["at"], encoding=row["encoding"], raw=row["raw"],
        verdict=row["verdict"], reason=row["reason"], register_wh=row["register_wh"], received_at=row["received_at"],
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/sessions/{session}/signed-values", show_signed_values,
        ("stations:read", "reports:read", "driver:self"), "Show what the meter of a session signed", SignedValues,
    ),
)  # fmt: skip
