"""What the readers of all reports in `org.csms.assets` begin with: the body, and what reports have in common."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from csms.ocpp import times
from csms.ocpp.calls import Call
from csms.ocpp.vendor import asset_answers, bodies
from csms.ocpp.vendor.bodies import BadBody, Body


def body_of(call: Call) -> Body:
    """The body, held against its schema. Raises `BadBody`."""
    return bodies.read(call.payload.messageId, call.payload.data)


def event_body(call: Call) -> Body:
    """The body of an event, which is answered once it is stored. Raises `BadBody`."""
    body = body_of(call)
    call.answer = partial(asset_answers.event_answer, call, body["id"])
    return body


def told(call: Call, body: Body) -> dict[str, Any]:
    """What all reports share. Raises `BadBody` for a day that no calendar has."""
    at: datetime | None = times.lenient(body["ts"])
    if at is None:
        raise BadBody("BadPayload", "ts: no such instant", body["id"])
    return {
        "station_id": call.station_id,
        "received_at": call.received_at,
        "id": body["id"],
        "at": at,
        "seq": body.get("seq"),
        "offline": body.get("off", False),
        "raw": call.raw,
    }
