"""Commands of the vendor protocol `org.csms.assets`, and what a station answers to them."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from csms.base.clock import rfc3339
from csms.domain.commands import DeliverVoucher, OpenDoor, ReleasePack, ReportUnits, StartSwap
from csms.ocpp.vendor.bodies import VENDOR, VERSION, Body, document

Payload = dict[str, Any]

ERROR_LENGTH_MAX = 50


AssetCommand = OpenDoor | ReportUnits | StartSwap | ReleasePack | DeliverVoucher


def transfer(command: AssetCommand, now: datetime, *, as_text: bool) -> Payload:
    """
    The DataTransfer that `command` is, sent `now`; 1.6 carries the body as JSON text.

    Its `id` is that of the grant, swap, voucher or request, so that a command sent again is known for the same. Doors
    are never opened by UnlockConnector: the specifications keep that for the lock of a cable.
    """
    match command:
        case OpenDoor():
            message, body = "Door.Open", _door_open(command)
        case ReportUnits():
            message, body = "Unit.Report", {"id": str(command.request_id)}
        case StartSwap():
            message, body = "Swap.Start", _swap_start(command)
        case ReleasePack():
            message, body = "Battery.Release" if command.error is None else "Battery.Return", _release(command)
        case DeliverVoucher():
            message, body = "Voucher.Deliver", _delivery(command)
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


def _swap_start(command: StartSwap) -> Body:
    return {
        "id": str(command.swap_id),
        "rid": command.rid,
        "token": command.token,
        "n": command.count,
        "in": list(command.units_in),
        "out": list(command.units_out),
    }


def _release(command: ReleasePack) -> Body:
    body: Body = {"id": str(command.grant_id), "rid": command.rid, "u": [command.unit]}
    return body if command.error is None else body | {"err": command.error}


def _delivery(command: DeliverVoucher) -> Body:
    shown = "".join(character for character in command.vehicle if "!" <= character <= "~")
    vehicle = {"type": command.vehicle_kind, "value": shown}
    return {"id": str(command.voucher_id), "vehicle": vehicle, "voucher": command.document}


def refusal(payload: Payload) -> str | None:
    """
    Why a station refused: `err` of its `data` (text or object, quirk Q-D01), else the reason code of 2.x.

    Reason codes are not case-sensitive: those of this protocol are given as it spells them.
    """
    data = payload.get("data")
    if isinstance(data, str):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            data = None
    return _code(data, "err") or _code(payload.get("statusInfo"), "reasonCode")


def _code(source: object, name: str) -> str | None:
    found = source.get(name) if isinstance(source, dict) else None
    if not isinstance(found, str) or not found.isprintable() or not found:
        return None
    return _spelled().get(found.casefold(), found[:ERROR_LENGTH_MAX])


@cache
def _spelled() -> dict[str, str]:
    codes: list[str] = document()["$defs"]["error"]["enum"]
    return {code.casefold(): code for code in codes}
