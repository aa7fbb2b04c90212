"""
The socket of one station: handshake, frames, liveness. It moves bytes; what they mean is the peer's.

Reading never waits for a handler. An idle connection has no task, no timer of its own and no buffer.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import structlog

from csms.ocpp import frames
from csms.ocpp.frames import Close, FrameError, Frames, Message, Ping
from csms.ocpp.handshake import Handshake
from csms.ocpp.peer import Peer
from csms.ocpp.wheel import Wheel

HANDSHAKE_S = 15
"""How long a connection may take to say who it is."""

PING_S = 60
"""How often a connection is looked at, and pinged if nothing was heard since."""

SILENCE_S_MIN = 180
"""A connection is given up after this much silence at the least (quirks Q-C04, Q-C05)."""

CLOSE_S = 5
"""How long a station may take to answer a close."""

READY_S = 10
"""When a station that never boots may be called, once it has said anything (quirk Q-B02)."""

TURN_MESSAGES_MAX = 64
"""So many messages of one piece are handed over before other connections have their turn."""

log = structlog.get_logger("csms.ocpp")


class Door(Protocol):
    """The gateway, as a socket sees it."""

    wheel: Wheel
    silence_s: int

    def arrived(self, socket: StationSocket, handshake: Handshake) -> None:
        """A whole upgrade request is here: judge it and answer it."""

    def left(self, socket: StationSocket) -> None:
        """The connection is gone."""


class StationSocket(asyncio.Protocol):
    """One connection. It has a peer from the moment the station was let in."""

    __slots__ = (
        "_blocked",
        "_closing",
        "_door",
        "_frames",
        "_handshake",
        "_heard",
        "_held",
        "_spoke",
        "_stash",
        "_transport",
        "peer",
    )

    def __init__(self, door: Door) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = Handshake()
        self._frames: Frames | None = None
        self._heard = door.wheel.now
        self._held = False
        self._blocked = False
        self._closing = False
        self._spoke = False
        self._stash: list[Message] | None = None
        """Messages that came in one piece with more than could be handed over; they are served before others."""
        self.peer: Peer | None = None

    @property
    def station_id(self) -> str:
        """The station at the other end."""
        assert self.peer is not None
        return self.peer.station_id

    @property
    def epoch(self) -> int:
        """This connection's place among those of its station."""
        assert self.peer is not None
        return self.peer.epoch

    @property
    def source(self) -> str:
        """The address it comes from."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else "unknown"

    # The loop's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._door.wheel.after(HANDSHAKE_S, self._hurry)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        self._heard = self._door.wheel.now
        if self._frames is not None:
            self._read(data)
        elif self._handshake is not None:
            if self._handshake.receive(data):
                self.hold(True)
                self._door.arrived(self, self._handshake)
            elif len(self._handshake.rest) > frames.FRAME_BYTES_MAX:
                self.cut()

    def _read(self, data: bytes) -> None:
        assert self._frames is not None
        messages: list[Message] = []
        fault = None
        try:
            self._frames.receive_into(messages, data)
        except FrameError as error:
            fault = error
        self._spoke = True
        self._deliver(messages)
        if fault is not None:
            log.info("connection broken off", station=self.station_id, code=fault.close_code, why=fault.description)
            self.close(fault.close_code, fault.description)
            self._end()

    def _deliver(self, messages: list[Message]) -> None:
        """Hand over messages in their order, as long as the peer takes them."""
        peer = self.peer
        assert peer is not None
        for place, message in enumerate(messages):
            if self._held or place == TURN_MESSAGES_MAX:
                self._stash = messages[place:]
                if not self._held:
                    asyncio.get_running_loop().call_soon(self._unstash)
                    self._apply_hold()
                return
            if self._closing and type(message) is not Close:
                continue
            if type(message) is str:
                peer.receive(message)
            elif type(message) is Ping:
                self._write(frames.encode(frames.PONG, message.payload))
            elif type(message) is Close:
                self._closed_by_station(message)

    def _unstash(self) -> None:
        if self._stash is not None and not self._held:
            messages, self._stash = self._stash, None
            self._deliver(messages)
            self._apply_hold()

    def pause_writing(self) -> None:
        """The station does not read our answers: it is not read either."""
        self._blocked = True
        self._apply_hold()

    def resume_writing(self) -> None:
        """The station reads again."""
        self._blocked = False
        self._apply_hold()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, in whichever way."""
        self._transport = None
        self._handshake = None
        self._frames = None
        if self.peer is not None:
            self.peer.closed()
            self._door.left(self)

    # The gateway's side

    def open(self, answer: bytes, peer: Peer, deflate: bool) -> None:
        """The station was let in: send the 101 and read frames from now on."""
        assert self.peer is None
        self.peer = peer
        self._handshake = None
        self._frames = Frames(deflate=deflate)
        self._write(answer)
        self.hold(False)
        self._door.wheel.after(PING_S, self._look)
        self._door.wheel.after(READY_S, self._settle)

    def refuse(self, answer: bytes) -> None:
        """Send an HTTP answer that is no 101, and hang up."""
        self._handshake = None
        self._write(answer)
        self._end()

    @property
    def gone(self) -> bool:
        """Whether nobody is at the other end any more."""
        return self._transport is None

    # The peer's side

    def send(self, text: bytes) -> None:
        """Send one text message; into nothing when the connection is gone: the station will ask again."""
        if not self._closing:
            self._write(frames.encode(frames.TEXT, text))

    def hold(self, held: bool) -> None:
        """Stop or go on reading; the clock of its liveness stands still meanwhile."""
        self._held = held
        if not held and self._stash is not None:
            asyncio.get_running_loop().call_soon(self._unstash)
        self._apply_hold()

    def close(self, code: int, reason: str) -> None:
        """Close the connection; the station has a few seconds to agree."""
        if self._closing or self._transport is None:
            return
        self._closing = True
        self._write(frames.encode_close(code, reason))
        self._held = self._blocked = False
        self._stash = None
        self._apply_hold()
        self._door.wheel.after(CLOSE_S, self._end)

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    # Inside

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        """Hang up, after what was written has gone; a station that does not read is cut off."""
        if self._transport is not None:
            if self._transport.is_closing() or self._blocked:
                self._transport.abort()
            else:
                self._transport.close()
                self._door.wheel.after(CLOSE_S, self._end)

    def _apply_hold(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held or self._blocked or self._stash is not None:
            self._transport.pause_reading()
        else:
            self._heard = self._door.wheel.now
            self._transport.resume_reading()

    def _closed_by_station(self, message: Close) -> None:
        if not self._closing:
            self._closing = True
            code = frames.NORMAL if message.code == frames.NO_CODE else message.code
            self._write(frames.encode_close(code, ""))
        self._end()

    def _hurry(self) -> None:
        """The handshake took too long; one that waits for our own judgement did not."""
        if self._handshake is not None and not self._handshake.complete:
            self._end()

    def _settle(self) -> None:
        """A station that has said anything by now needs no boot to be called."""
        if self.peer is not None and self._transport is not None:
            if self._spoke:
                self.peer.ready()
            else:
                self._door.wheel.after(READY_S, self._settle)

    def _look(self) -> None:
        """Every minute: is anybody there? A ping may go unanswered; silence of all kinds may not last."""
        if self._transport is None:
            return
        wheel = self._door.wheel
        if self._held or self._blocked or self._stash is not None:
            self._heard = wheel.now
        if wheel.now - self._heard >= self._door.silence_s:
            log.info("connection silent, given up", station=self.station_id)
            self._transport.abort()
            return
        if wheel.now - self._heard >= PING_S:
            self._write(frames.encode(frames.PING, b""))
        wheel.after(PING_S, self._look)
