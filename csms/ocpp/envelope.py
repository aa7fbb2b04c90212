"""
OCPP-J frames: what a text frame is before anybody reads its payload.

`[2, id, action, payload]` CALL, `[3, id, payload]` CALLRESULT, `[4, id, code, description, details]`
CALLERROR; 2.1 adds 5 CALLRESULTERROR and 6 SEND.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from csms.base.errors import WireError
from csms.ocpp.repair import storable
from csms.ocpp.schemas import FORMATION, Version

DEPTH_MAX = 32
MESSAGE_ID_LENGTH_MAX = 255
"""Longer than the specifications' 36, because some stations are; bounded, because it is sent back."""

NO_ID = b'"-1"'
"""Stands where a message id could not be read (OCPP 2.0.1 part 4, 4.2.3)."""


class CallFrame(NamedTuple):
    """A station's call: message id as JSON, action, payload as JSON."""

    id_json: bytes
    action: str
    payload: bytes | msgspec.Raw


class ResultFrame(NamedTuple):
    """The answer to a call of ours."""

    id: str
    payload: Any


class ErrorFrame(NamedTuple):
    """A station cannot do what we asked; any text it gives is kept (quirk Q-R05)."""

    id: str
    code: str
    description: str


class Ignored(NamedTuple):
    """A frame that wants no answer: nothing may ever be answered to an answer (quirk Q-R08)."""

    why: str


class Malformed(NamedTuple):
    """
    Not a call. `error` is what to answer under `id_json`.

    `action` names the call it was meant to be, where that much can be read; `meant` is that call,
    where all of it can. `is_json` tells an odd frame from a broken one.
    """

    id_json: bytes
    error: WireError
    action: str = ""
    meant: CallFrame | None = None
    is_json: bool = True


Frame = CallFrame | ResultFrame | ErrorFrame | Ignored | Malformed

_CALL = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw])
_encode = msgspec.json.encode
_BRACES = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|([\[{])|([\]}])', re.DOTALL)
"""Strings as a whole, also one without an end: to look again behind each of its quotes would take a minute."""
_HEAD = re.compile(r'\s*\[\s*(\d+)\s*,\s*"([^"\\]{0,255})"\s*(?:,\s*"([A-Za-z0-9]{1,50})")?')


def read(text: str, version: Version) -> Frame:
    """What `text` is. Never raises."""
    if "\\u0000" in text:
        text = _without_nul(text)
    if text.count("[") + text.count("{") > DEPTH_MAX and _depth(text) > DEPTH_MAX:
        return _malformed(text, version, f"nested deeper than {DEPTH_MAX}")
    try:
        kind, message_id, action, payload = _CALL.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _read_odd(text, version)
    if kind != 2 or len(message_id) > MESSAGE_ID_LENGTH_MAX:
        return _read_odd(text, version)
    return CallFrame(_encode(message_id), action, payload)


def _read_odd(text: str, version: Version) -> Frame:
    """Answers, and whatever is not a call of exactly four elements."""
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _malformed(text, version, f"not JSON: {error}", _meant(text))
    if not isinstance(frame, list) or not frame:
        return Malformed(NO_ID, _structural(version, "a frame is a JSON array"))
    match frame:
        case [3, str() as message_id, payload, *_]:
            return ResultFrame(message_id, payload)
        case [4, str() as message_id, *rest]:
            code, description, *_ = [*(str(part) for part in rest), "", ""]
            return ErrorFrame(message_id, code[:255], description[:255])
        case [3 | 4 | 5, *_]:
            return Ignored("an answer that cannot be matched")
        case [6, *_] if version == "ocpp2.1":
            return Ignored("SEND wants no answer")
        case [2, *_]:
            return _read_odd_call(frame, version)
        case _:
            code = FORMATION[version] if version == "ocpp1.6" else "MessageTypeNotSupported"
            return Malformed(_id_of(frame), WireError(code, "no such message type"))


def _read_odd_call(frame: list[Any], version: Version) -> Frame:
    """A call whose id is a number, whose payload is missing, or that is longer than it should be (quirk Q-R03)."""
    id_json = _id_of(frame)
    action = frame[2] if len(frame) > 2 and isinstance(frame[2], str) else ""
    meant = None
    if action and len(frame) > 3 and isinstance(frame[3], dict) and (id_json != NO_ID or type(frame[1]) is int):
        meant = CallFrame(id_json if id_json != NO_ID else b"%d" % frame[1], action, _encode(frame[3]))
    if id_json == NO_ID:
        why = "a message id is text of at most 36 characters"
    else:
        why = "a call has four elements" if action else "a call names its action with text"
    return Malformed(id_json, _structural(version, why), action, meant)


def _id_of(frame: list[Any]) -> bytes:
    if len(frame) > 1 and isinstance(frame[1], str) and len(frame[1]) <= MESSAGE_ID_LENGTH_MAX:
        return _encode(frame[1])
    return NO_ID


def _structural(version: Version, description: str) -> WireError:
    return WireError(FORMATION[version] if version == "ocpp1.6" else "RpcFrameworkError", description[:255])


def _meant(text: str) -> CallFrame | None:
    """The call in text that is JSON but for bare control characters, half characters or NaN; None in any other."""
    if "\0" in text:
        return None
    try:
        match storable(json.loads(text, strict=False, parse_constant=lambda name: None)):
            case [2, str() as message_id, str() as action, dict() as payload] if (
                len(message_id) <= MESSAGE_ID_LENGTH_MAX
            ):
                return CallFrame(_encode(message_id), action, _encode(payload))
    except (ValueError, OverflowError, RecursionError):
        pass
    return None


def _malformed(text: str, version: Version, description: str, meant: CallFrame | None = None) -> Frame:
    """A frame that is not even JSON: its head may still tell whom to answer, or that nobody waits for one."""
    head = _HEAD.match(text)
    if head is None:
        return Malformed(NO_ID, _structural(version, description), is_json=False)
    if head[1] in ("3", "4", "5") or (head[1] == "6" and version == "ocpp2.1"):
        return Ignored(description)
    fault = WireError(FORMATION[version], description[:255])
    return Malformed(_encode(head[2]), fault, head[3] or "", meant, is_json=False)


def _depth(text: str) -> int:
    depth = deepest = 0
    for brace in _BRACES.finditer(text):
        if brace[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif brace[2]:
            depth -= 1
    return deepest


def _without_nul(text: str) -> str:
    try:
        return _encode(storable(msgspec.json.decode(text))).decode()
    except (msgspec.DecodeError, RecursionError):
        return text


def result(id_json: bytes, payload: bytes) -> bytes:
    """The text of a CALLRESULT."""
    return b"[3,%b,%b]" % (id_json, payload)


def error(id_json: bytes, fault: WireError) -> bytes:
    """The text of a CALLERROR."""
    return b"[4,%b,%b,%b,{}]" % (id_json, _encode(fault.code), _encode(fault.description[:255]))


def call(message_id: str, action: str, payload: dict[str, Any]) -> bytes:
    """The text of a CALL of ours."""
    return _encode([2, message_id, action, payload])
