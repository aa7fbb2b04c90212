"""DataTransfer of vendor `org.csms.assets`, version 1: `Auth.Token`, a long token for a short alias."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from csms.base.clock import rfc3339
from csms.domain.events import Event, Outcome, TokenIssued
from csms.ocpp.calls import Call, Reply, VerifyToken
from csms.psp.base import VerifiedToken

VENDOR = "org.csms.assets"
DATA_BYTES_MAX = 4_096


class AuthToken(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `Auth.Token` up: a token too long for the version's own field."""

    v: int
    id: Annotated[str, Meta(min_length=8, max_length=36)]
    ts: str
    token: Annotated[str, Meta(min_length=1, max_length=2048)]
    type: Literal["social", "voucher", "battery", "app"]


_AUTH_TOKEN = msgspec.json.Decoder(AuthToken)


def transferred(call: Call) -> Reply | VerifyToken:
    """Read a DataTransfer: `Auth.Token` asks an issuer, everything else is answered as the specification says."""
    payload = call.payload
    if payload.vendorId != VENDOR:
        return Reply(b'{"status":"UnknownVendorId"}')
    if payload.messageId != "Auth.Token":
        return Reply(b'{"status":"UnknownMessageId"}')
    text = payload.data if isinstance(payload.data, str) else json.dumps(payload.data, default=str)
    if len(text.encode()) > DATA_BYTES_MAX:
        return Reply(_refused(call, "", "BadPayload"))
    try:
        body = _AUTH_TOKEN.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return Reply(_refused(call, _id_of(text), "BadPayload"))
    if body.v != 1:
        return Reply(_refused(call, body.id, "BadVersion"))

    def issued(verified: VerifiedToken) -> Event:
        at, desk = call.received_at, call.desk
        alias = desk.draw.short()
        expires_at = at + desk.alias_age
        call.answer = _answer(call, "Accepted", {"v": 1, "id": body.id, "token": alias, "exp": rfc3339(expires_at)})
        return TokenIssued(call.station_id, at, alias, verified.psp, verified.issuer, verified.subject, expires_at)

    def denied(reason: str) -> bytes:
        return _refused(call, body.id, "NotAuthorized")

    return VerifyToken(body.token, issued, denied)


def transferred_answer(outcome: Outcome, call: Call) -> bytes:
    """The answer once the alias is stored."""
    assert call.answer is not None
    return call.answer


def _id_of(text: str) -> str:
    """The id of a body that is otherwise unreadable, so that the station can match the answer."""
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return ""
    found = body.get("id") if isinstance(body, dict) else None
    return found[:36] if isinstance(found, str) else ""


def _refused(call: Call, body_id: str, error: str) -> bytes:
    return _answer(call, "Rejected", {"v": 1, "id": body_id, "err": error})


def _answer(call: Call, status: str, body: dict[str, Any]) -> bytes:
    """On 1.6 `data` is JSON as text, on 2.x an object, with the error as a reason code too."""
    as_text = call.version == "ocpp1.6"
    answer: dict[str, Any] = {"status": status, "data": json.dumps(body) if as_text else body}
    if "err" in body and not as_text:
        answer["statusInfo"] = {"reasonCode": body["err"]}
    return json.dumps(answer).encode()
