"""
WebSocket frames (RFC 6455) as a server reads and writes them, without I/O: bytes in, messages out.

The handshake is websockets' own; frames are ours because one station's report is one short masked
text frame in one read, and that case should cost a microsecond and keep no buffers afterwards.
Compressed messages (RFC 7692) are read when negotiated, each with a fresh window so that an idle
connection keeps nothing; we never compress what we send: our answers are shorter than a window.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from csms.base.errors import WireError

try:
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover - the wheel of this platform has no C extension

    def apply_mask(data: bytes, mask: bytes) -> bytes:  # type: ignore[misc]
        """XOR with the repeated mask, as one big integer."""
        repeated = (mask * (len(data) // 4 + 1))[: len(data)]
        return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")


FRAME_BYTES_MAX = 65_536
"""The longest message a station may send unless its own limit says otherwise."""

STATION_FRAME_BYTES_MAX = 1_048_576
"""The highest limit a station may be given."""

CONTROL_BYTES_MAX = 125

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL, PROTOCOL_ERROR, UNSUPPORTED, NO_CODE = 1000, 1002, 1003, 1005
NOT_UTF8, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1007, 1009, 1011, 1012

_LENGTH_16 = Struct("!BBH")
_LENGTH_64 = Struct("!BBQ")
_DEFLATE_TAIL = b"\x00\x00\xff\xff"


class Ping(NamedTuple):
    """A ping; its payload goes back in a pong."""

    payload: bytes


class Pong(NamedTuple):
    """A pong; that it came is all that matters."""

    payload: bytes


class Close(NamedTuple):
    """The station closes, with its code (1005: it gave none)."""

    code: int
    reason: str


Message = str | Ping | Pong | Close


class FrameError(WireError):
    """Bytes that end the connection; `close_code` is what to close it with."""

    def __init__(self, close_code: int, description: str) -> None:
        super().__init__("FormationViolation", description)
        self.close_code = close_code


@dataclass(slots=True)
class _Partial:
    """What is kept while a message is not complete; an idle connection has none."""

    unread: bytes = b""
    """Bytes of a frame that is not all here."""
    opcode: int | None = None
    """TEXT or BINARY while its fragments arrive."""
    compressed: bool = False
    payload: bytearray | None = None


class Frames:
    """The reading side of one connection. After a `FrameError` it must not be used again."""

    __slots__ = ("bytes_max", "deflate", "partial")

    def __init__(self, bytes_max: int = FRAME_BYTES_MAX, deflate: bool = False) -> None:
        assert bytes_max <= STATION_FRAME_BYTES_MAX
        self.bytes_max = bytes_max
        self.deflate = deflate
        self.partial: _Partial | None = None

    def receive(self, chunk: bytes) -> list[Message]:
        """
        Read what arrived; answers the messages that are complete, in order.

        Raises `FrameError`. Where the messages before a fault matter, use `receive_into`.
        """
        messages: list[Message] = []
        self.receive_into(messages, chunk)
        return messages

    def receive_into(self, messages: list[Message], chunk: bytes) -> None:
        """Append the messages completed by `chunk`. Raises `FrameError` after appending those before the fault."""
        if self.partial is None and len(chunk) > 6 and chunk[0] == 0x81:
            length = chunk[1] - 0x80
            if 0 <= length < 126:
                start = 2
            elif length == 126 and len(chunk) > 8:
                length = chunk[2] << 8 | chunk[3]
                start = 4
            else:
                start = 0
            if start and len(chunk) == start + 4 + length <= self.bytes_max:
                messages.append(_text(apply_mask(chunk[start + 4 :], chunk[start : start + 4])))
                return
        self._receive_slowly(messages, chunk)

    def _receive_slowly(self, messages: list[Message], chunk: bytes) -> None:
        partial = self.partial or _Partial()
        unread = partial.unread + chunk if partial.unread else chunk
        at = 0
        while (frame := self._frame(unread, at, partial)) is not None:
            fin, compressed, opcode, payload, at = frame
            message = (
                _control(opcode, payload) if opcode >= CLOSE else self._data(partial, fin, compressed, opcode, payload)
            )
            if message is not None:
                messages.append(message)
            if isinstance(message, Close):
                at = len(unread)
        partial.unread = unread[at:]
        self.partial = partial if partial.unread or partial.opcode is not None else None

    def _frame(self, unread: bytes, at: int, partial: _Partial) -> tuple[bool, bool, int, bytes, int] | None:
        """The frame that begins at `at`: fin, compressed, opcode, payload, end; None while it is not all here."""
        if len(unread) < at + 2:
            return None
        first, second = unread[at], unread[at + 1]
        fin, compressed, opcode, length = first >= 0x80, bool(first & 0x40), first & 0x0F, second & 0x7F
        self._check_head(first, second, partial)
        start = at + 2
        if length == 126:
            start += 2
            if len(unread) < start:
                return None
            length = int.from_bytes(unread[start - 2 : start], "big")
        elif length == 127:
            start += 8
            if len(unread) < start:
                return None
            length = int.from_bytes(unread[start - 8 : start], "big")
        if length + len(partial.payload or b"") > self.bytes_max and opcode < CLOSE:
            raise FrameError(TOO_BIG, f"a message may have {self.bytes_max} bytes")
        end = start + 4 + length
        if len(unread) < end:
            return None
        return fin, compressed, opcode, apply_mask(unread[start + 4 : end], unread[start : start + 4]), end

    def _check_head(self, first: int, second: int, partial: _Partial) -> None:
        opcode = first & 0x0F
        if first & 0x30:
            raise FrameError(PROTOCOL_ERROR, "reserved bits 2 and 3 are not in use")
        if first & 0x40 and (not self.deflate or opcode not in (TEXT, BINARY)):
            raise FrameError(PROTOCOL_ERROR, "compressed, but compression was not agreed on or not for this frame")
        if not second & 0x80:
            raise FrameError(PROTOCOL_ERROR, "a client's frame is masked")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
            if not first & 0x80 or second & 0x7F > CONTROL_BYTES_MAX:
                raise FrameError(PROTOCOL_ERROR, "a control frame is whole and has at most 125 bytes")
        elif opcode > BINARY:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        elif (opcode == CONTINUATION) != (partial.opcode is not None):
            raise FrameError(PROTOCOL_ERROR, "a continuation without a beginning, or a beginning inside a message")

    def _data(self, partial: _Partial, fin: bool, compressed: bool, opcode: int, payload: bytes) -> str | None:
        """Add one frame to its message; answers the text when the message is complete."""
        if opcode != CONTINUATION:
            partial.opcode, partial.compressed = opcode, compressed
        if not fin:
            if partial.payload is None:
                partial.payload = bytearray()
            partial.payload += payload
            return None
        whole = bytes(partial.payload + payload) if partial.payload is not None else payload
        kind, compressed = partial.opcode, partial.compressed
        partial.opcode, partial.compressed, partial.payload = None, False, None
        if kind == BINARY:
            raise FrameError(UNSUPPORTED, "OCPP-J is sent in text frames")
        return _text(self._inflate(whole) if compressed else whole)

    def _inflate(self, payload: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits=-15)
        try:
            inflated = inflater.decompress(payload + _DEFLATE_TAIL, self.bytes_max + 1)
        except zlib.error as error:
            raise FrameError(PROTOCOL_ERROR, f"not a compressed message: {error}") from error
        if len(inflated) > self.bytes_max:
            raise FrameError(TOO_BIG, f"a message may have {self.bytes_max} bytes when inflated")
        return inflated


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise FrameError(NOT_UTF8, "a text frame is UTF-8") from error


def _control(opcode: int, payload: bytes) -> Message:
    if opcode == PING:
        return Ping(payload)
    if opcode == PONG:
        return Pong(payload)
    if not payload:
        return Close(NO_CODE, "")
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or not ((1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999):
        raise FrameError(PROTOCOL_ERROR, "a close frame has no such code")
    return Close(code, _text(payload[2:]))


def encode(opcode: int, payload: bytes) -> bytes:
    """One whole frame from the server: unmasked, uncompressed."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65_536:
        return _LENGTH_16.pack(0x80 | opcode, 126, length) + payload
    return _LENGTH_64.pack(0x80 | opcode, 127, length) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A close frame; the reason is cut to what fits."""
    text = reason.encode()[: CONTROL_BYTES_MAX - 2].decode(errors="ignore")
    return encode(CLOSE, code.to_bytes(2, "big") + text.encode())
