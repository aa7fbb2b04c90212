"""
DataTransfer of vendor `org.csms.assets`, version 1: what cabinets and portable chargers say (docs/reference/assets).

Bodies are held against the published schema (`bodies.py`). A fact is kept even when its body is bad, once
for each different one, and Rejected, so that its maker sees the fault; no token in it is kept. Packs: `packs.py`.
"""

from __future__ import annotations

import json
from functools import partial
from hashlib import sha256
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
from csms.ocpp.calls import Call, Hurried, Reply, VerifyToken, kept
from csms.ocpp.masking import without_tokens
from csms.ocpp.vendor import asset_answers, bodies, packs
from csms.ocpp.vendor.bodies import VENDOR, VERSION, BadBody, Body
from csms.ocpp.vendor.reports import body_of, event_body, told
from csms.psp.base import VerifiedToken

PAYMENT_PENDING_S = 0.8
"""`Door.Request` is promised an answer within a second: what a psp has not decided by then follows as Door.Open."""

FACTS = frozenset(
    {
        "Unit.Snapshot",
        "Door.Status",
        "Item.Placed",
        "Item.Taken",
        "Socket.Connected",
        "Socket.Disconnected",
        "Battery.Inserted",
        "Battery.Released",
        "Battery.ReleaseTimeout",
        "Battery.State",
    }
)
"""The facts among the messages: kept as unreadable where their body is bad."""


def hello(call: Call) -> Reply:
    """Who is there, and which versions it speaks. Nothing of it is recorded."""
    body = body_of(call)
    if VERSION not in body["versions"]:
        raise BadBody("BadVersion", "the station does not speak version 1", body["id"])
    return Reply(asset_answers.accepted(call, body["id"]))


def units_seen(call: Call) -> Event:
    """What is where; each unit once. It has no number of its own, because it is never queued."""
    body = event_body(call)
    units = tuple(_unit_seen(unit) for unit in body["units"])
    if len({unit.unit for unit in units}) < len(units):
        raise BadBody("BadPayload", "units: one is told of twice", body["id"])
    return UnitsSeen(**told(call, body), units=units, last_seq=body.get("last"))


def _unit_seen(unit: Body) -> UnitSeen:
    # a pack that does not say how full it is stands there all the same, as in NotifyReport
    pack = packs.pack_state(unit["battery"]) if "soc" in unit.get("battery", ()) else None
    return UnitSeen(unit["u"], unit["door"], unit["has"], unit.get("item"), unit.get("oos", False), pack)


def door_requested(call: Call) -> Hurried:
    """
    A driver holds a token to the lock; a social token is shown to its issuer first, and stands as an alias then.

    Of the text only what is no secret goes on.
    """
    body = body_of(call)
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
        **told(call, body) | {"raw": json.dumps(body | {"token": masked(token)})},
        unit=body.get("u"),
        why=body["why"],
        token=token,
        rental_id=draw.uuid(at),
        grant_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
    )


def door_moved(call: Call) -> Event:
    """A door moved, or is stuck."""
    body = event_body(call)
    return DoorMoved(
        **told(call, body),
        unit=body["u"],
        door=body["door"],
        grant_id=_grant(body),
        has=body.get("has"),
        error=body.get("err"),
    )


def item_placed(call: Call) -> Event:
    """An item stands in a unit now."""
    body = event_body(call)
    flags = tuple(body.get("flags", ()))
    return ItemPlaced(**told(call, body), unit=body["u"], item=body["item"], grant_id=_grant(body), flags=flags)


def item_taken(call: Call) -> Event:
    """An item left a unit."""
    body = event_body(call)
    flags = tuple(body.get("flags", ()))
    return ItemTaken(**told(call, body), unit=body["u"], item=body["item"], grant_id=_grant(body), flags=flags)


def socket_changed(call: Call) -> Event:
    """A portable charger was plugged into an outlet, or out of it. Where on earth it is, is not looked at yet."""
    body = event_body(call)
    return SocketChanged(
        **told(call, body),
        item=body["item"],
        connected=call.payload.messageId == "Socket.Connected",
        tag=body.get("tag"),
        meter_wh=body.get("meter"),
    )


def token_shown(call: Call) -> VerifyToken | Reply:
    """
    A token too long for the version's own field: once its issuer stands for it, it gets a short alias.

    That of a pack's serial is always the same and needs nobody's word.
    """
    body = body_of(call)
    if body["type"] == "battery":
        return Reply(_pack_alias(call, body))

    def issued(verified: VerifiedToken) -> Event:
        event = _issued(call, call.desk.draw.short(), verified)
        fields = {"token": event.alias, "exp": rfc3339(event.expires_at)}
        call.answer = lambda outcome: asset_answers.accepted(call, body["id"], **fields)
        return event

    return VerifyToken(body["token"], issued, lambda reason: asset_answers.refused(call, body["id"], "NotAuthorized"))


def _pack_alias(call: Call, body: Body) -> bytes:
    alias = packs.alias(body["token"])
    if alias is None:
        return asset_answers.refused(call, body["id"], "BatteryUnknown")
    expires_at = call.received_at + call.desk.alias_age
    return asset_answers.accepted(call, body["id"], token=alias, exp=rfc3339(expires_at))


def _issued(call: Call, alias: str, verified: VerifiedToken) -> TokenIssued:
    at = call.received_at
    expires_at = at + call.desk.alias_age
    return TokenIssued(call.station_id, at, alias, verified.psp, verified.issuer, verified.subject, expires_at)


def bad(call: Call, why: BadBody) -> Event | Reply:
    """A body that cannot be taken: refused, with the fault's code, and kept if it was to be a fact."""
    answer = asset_answers.refused(call, why.id, why.error)
    message = call.payload.messageId
    if why.error != "BadPayload" or message not in FACTS:
        return Reply(answer)
    call.answer = lambda outcome: answer
    call.mark = "unreadable"
    text = f"{call.station_id}|{message}|{bodies.text_of(call.payload.data)}"
    parked_id = UUID(bytes=sha256(text.encode(errors="replace")).digest()[:16])
    return Unreadable(
        call.station_id,
        call.received_at,
        f"{VENDOR}/{message}",
        kept(str(why)),
        kept(without_tokens(call.raw)),
        parked_id,
    )


def _grant(body: Body) -> UUID | None:
    return UUID(body["gid"]) if "gid" in body else None
