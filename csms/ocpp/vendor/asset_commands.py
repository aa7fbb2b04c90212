"""Commands of the vendor protocol `org.csms.assets`, and what a station answers to them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import msgspec

from csms.base.clock import rfc3339
from csms.domain.commands import OpenDoor, ReportUnits
from csms.ocpp.vendor.bodies import VENDOR, VERSION, Body

Payload = dict[str, Any]

ERROR_LENGTH_MAX = 50


def transfer(command: OpenDoor | ReportUnits, now: datetime, *, as_text: bool) -> Payload:
    """
    The DataTransfer that `command` is, sent `now`; 1.6 carries the body as JSON text.

    Its `id` is the grant's or the request's own, so that a command sent again is known for the same. Doors
    are never opened by UnlockConnector: the specifications keep that for the lock of a cable.
    """
    match command:
        case OpenDoor():
            message, body = "Door.Open", _door_open(command)
        case ReportUnits():
            message, body = "Unit.Report", {"id": str(command.request_id)}
    data = {"v": VERSION, "ts": rfc3339(now), "exp": rfc3339(command.expires_at), **body}
    return {"vendorId": VENDOR, "messageId": message, "data": json.dumps(data) if as_text else data}


def _door_open(command: OpenDoor) -> Body:
    grant = str(command.grant_id)
    body: Body = {"id": grant, "u": command.unit, "gid": grant, "why": command.why}
    if command.item is not None:
        body["item"] = command.item
    if command.hold_s is not None:
        body["hold"] = command.hold_s
    return body


def refusal(payload: Payload) -> str | None:
    """Why a station refused: `err` of its `data` (text or object, quirk Q-D01), else the reason code of 2.x."""
    data = payload.get("data")
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            data = None
    return _code(data, "err") or _code(payload.get("statusInfo"), "reasonCode")


def _code(source: object, name: str) -> str | None:
    found = source.get(name) if isinstance(source, dict) else None
    return found[:ERROR_LENGTH_MAX] if isinstance(found, str) and found.isprintable() and found else None
