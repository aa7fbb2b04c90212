"""
DataTransfer of vendor `org.csms.assets`, version 1: what cabinets and portable chargers say (docs/reference/assets).

Bodies are held against the published schema (`bodies.py`). A fact is kept even when its body is bad, once
for each different one, and Rejected, so that its maker sees the fault; what holds a token is never kept.
"""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from csms.base.clock import rfc3339
from csms.domain.asset_events import (
    DoorMoved,
    DoorRequested,
    ItemPlaced,
    ItemTaken,
    SocketChanged,
    UnitSeen,
    UnitsSeen,
)
from csms.domain.events import Event, TokenIssued, Unreadable
from csms.domain.token import canonical, masked
from csms.ocpp import times
from csms.ocpp.calls import Call, Hurried, Reply, VerifyToken, kept
from csms.ocpp.vendor import asset_answers, bodies
from csms.ocpp.vendor.bodies import VENDOR, VERSION, BadBody, Body
from csms.psp.base import VerifiedToken

PAYMENT_PENDING_S = 0.8
"""`Door.Request` is promised an answer within a second: what a psp has not decided by then follows as Door.Open."""

HOLD_NO_TOKEN = frozenset(
    {"Unit.Snapshot", "Door.Status", "Item.Placed", "Item.Taken", "Socket.Connected", "Socket.Disconnected"}
)
"""The facts among the messages: kept as unreadable where their body is bad."""


def hello(call: Call) -> Reply:
    """Who is there, and which versions it speaks. Nothing of it is recorded."""
    body = _body(call)
    if VERSION not in body["versions"]:
        raise BadBody("BadVersion", "the station does not speak version 1", body["id"])
    return Reply(asset_answers.accepted(call, body["id"]))


def units_seen(call: Call) -> Event:
    """What is where; each unit once. It has no number of its own, because it is never queued."""
    body = _event(call)
    units = tuple(
        UnitSeen(unit["u"], unit["door"], unit["has"], unit.get("item"), unit.get("oos", False))
        for unit in body["units"]
    )
    if len({unit.unit for unit in units}) < len(units):
        raise BadBody("BadPayload", "units: one is told of twice", body["id"])
    return UnitsSeen(**_told(call, body), units=units, last_seq=body.get("last"))


def door_requested(call: Call) -> Hurried:
    """
    A driver holds a token to the lock; a social token is shown to its issuer first, and stands as an alias then.

    Of the text only what is no secret goes on.
    """
    body = _body(call)
    call.answer = partial(asset_answers.request_answer, call, body["id"])
    pending = asset_answers.refused(call, body["id"], "PaymentPending")
    if body["tokenType"] != "social":
        return Hurried(_door_request(call, body, body["token"]), PAYMENT_PENDING_S, pending)
    alias = call.desk.draw.short()
    ask = VerifyToken(
        body["token"],
        lambda verified: _issued(call, alias, verified),
        lambda reason: asset_answers.refused(call, body["id"], "NotAuthorized"),
        lambda: _door_request(call, body, alias),
    )
    return Hurried(ask, PAYMENT_PENDING_S, pending)


def _door_request(call: Call, body: Body, token: str) -> Event:
    draw, at = call.desk.draw, call.received_at
    token = canonical(token)
    return DoorRequested(
        **_told(call, body) | {"raw": json.dumps(body | {"token": masked(token)})},
        unit=body.get("u"),
        why=body["why"],
        token=token,
        rental_id=draw.uuid(at),
        grant_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
    )


def door_moved(call: Call) -> Event:
    """A door moved, or is stuck."""
    body = _event(call)
    return DoorMoved(
        **_told(call, body),
        unit=body["u"],
        door=body["door"],
        grant_id=_grant(body),
        has=body.get("has"),
        error=body.get("err"),
    )


def item_placed(call: Call) -> Event:
    """An item stands in a unit now."""
    body = _event(call)
    flags = tuple(body.get("flags", ()))
    return ItemPlaced(**_told(call, body), unit=body["u"], item=body["item"], grant_id=_grant(body), flags=flags)


def item_taken(call: Call) -> Event:
    """An item left a unit."""
    body = _event(call)
    flags = tuple(body.get("flags", ()))
    return ItemTaken(**_told(call, body), unit=body["u"], item=body["item"], grant_id=_grant(body), flags=flags)


def socket_changed(call: Call) -> Event:
    """A portable charger was plugged into an outlet, or out of it. Where on earth it is, is not looked at yet."""
    body = _event(call)
    connected = call.payload.messageId == "Socket.Connected"
    told = _told(call, body)
    return SocketChanged(
        **told, item=body["item"], connected=connected, tag=body.get("tag"), meter_wh=body.get("meter")
    )


def token_shown(call: Call) -> VerifyToken:
    """A token too long for the version's own field: once its issuer stands for it, it gets a short alias."""
    body = _body(call)

    def issued(verified: VerifiedToken) -> Event:
        event = _issued(call, call.desk.draw.short(), verified)
        fields = {"token": event.alias, "exp": rfc3339(event.expires_at)}
        call.answer = lambda outcome: asset_answers.accepted(call, body["id"], **fields)
        return event

    return VerifyToken(body["token"], issued, lambda reason: asset_answers.refused(call, body["id"], "NotAuthorized"))


def _issued(call: Call, alias: str, verified: VerifiedToken) -> TokenIssued:
    at = call.received_at
    expires_at = at + call.desk.alias_age
    return TokenIssued(call.station_id, at, alias, verified.psp, verified.issuer, verified.subject, expires_at)


def bad(call: Call, why: BadBody) -> Event | Reply:
    """A body that cannot be taken: refused, with the fault's code, and kept if it was to be a fact."""
    answer = asset_answers.refused(call, why.id, why.error)
    message = call.payload.messageId
    if why.error != "BadPayload" or message not in HOLD_NO_TOKEN:
        return Reply(answer)
    call.answer = lambda outcome: answer
    call.mark = "unreadable"
    text = f"{call.station_id}|{message}|{bodies.text_of(call.payload.data)}"
    parked_id = UUID(bytes=sha256(text.encode(errors="replace")).digest()[:16])
    return Unreadable(
        call.station_id, call.received_at, f"{VENDOR}/{message}", kept(str(why)), kept(call.raw), parked_id
    )


def _body(call: Call) -> Body:
    return bodies.read(call.payload.messageId, call.payload.data)


def _event(call: Call) -> Body:
    """The body of an event, which is answered once it is stored."""
    body = _body(call)
    call.answer = partial(asset_answers.event_answer, call, body["id"])
    return body


def _told(call: Call, body: Body) -> dict[str, Any]:
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


def _grant(body: Body) -> UUID | None:
    return UUID(body["gid"]) if "gid" in body else None
