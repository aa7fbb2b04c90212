"""
The load's end of the wire: simulated stations as raw asyncio protocols, one call in flight per station (closed loop).

A station sends its next prepared frame the moment the last one is answered. What it measures is kept in `Tally`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tests.benchmarks import frames

KINDS = (
    *("boot", "heartbeat", "authorize", "start", "meter", "stop"),
    *("hello", "snapshot", "request", "pending", "door", "taken", "placed"),
    *("state", "status", "inserted", "release", "released"),
)
BOOT, HEARTBEAT, AUTHORIZE, START, METER, STOP, HELLO, SNAPSHOT, REQUEST, PENDING, DOOR, TAKEN, PLACED = range(13)
STATE, STATUS, INSERTED, RELEASE, RELEASED = range(13, 18)
"""
The second line are those of cabinets (`cabinets.py`); `pending` is a Door.Request that was not decided in time.

The third are those of battery stations (`swap_stations.py`); `release`: until the command that follows packs put in.
"""
METERS_PER_SESSION = 10
ANSWERS_PER_SESSION = METERS_PER_SESSION + 3
READINGS_PER_WH = 100
"""Long runs of readings count one Wh per so many, which keeps the power of a station below 20 kW."""


@dataclass
class Tally:
    """What the stations of one process saw. Latencies are seconds, by kind of call; `clear` starts a window."""

    latencies: list[array[float]] = field(default_factory=lambda: [array("d") for _ in KINDS])
    sessions: int = 0
    sessions_total: int = 0
    errors: int = 0
    """CALLERRORs and refusals, over the whole run."""
    closed: int = 0
    """Connections that ended before the load asked for it, over the whole run."""
    first_error: str = ""

    def clear(self) -> None:
        for kind in self.latencies:
            del kind[:]
        self.sessions = 0

    def lost(self, why: str) -> None:
        self.closed += 1
        self.first_error = self.first_error or f"connection lost during {why}"

    def note(self, text: bytes | str) -> None:
        self.errors += 1
        self.first_error = self.first_error or (text if isinstance(text, str) else text.decode("utf-8", "replace"))


class Station(asyncio.Protocol):
    """
    One connection: opens it, boots, then does what its subclass says in `proceed`.

    `ready` is called once after the boot is answered, `done` once when the station has nothing more to do.
    """

    speeches: Mapping[str, Callable[[str, str, int], Any]] = frames.SPEECHES
    """What it says, by version: made of a token, the run and the station's number."""

    def __init__(
        self,
        speech: Any,
        hello: bytes,
        tally: Tally,
        calendar: frames.Calendar,
        ready: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        self.speech = speech
        self.hello = hello
        self.tally = tally
        self.latencies = tally.latencies
        self.calendar = calendar
        self.ready = ready
        self.done = done
        self.kind = BOOT
        self.call = 0
        self.message_id = b""
        self.sent = 0.0
        self.last_ms = 0
        self.meter_wh = frames.METER_START_WH
        self.upgraded = False
        self.stopping = False
        self.finished = False
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.hello)

    def data_received(self, data: bytes) -> None:
        # One small unfragmented text frame that is a CALLRESULT, alone in its read: nearly every answer.
        short = 4 < len(data) < 128 and data[1] + 2 == len(data) and data[0] == 0x81 and data[3] == 0x33
        if short and self.upgraded and not self.buffer:
            self.answered(data)
        else:
            self.buffer += data
            self.read_slowly()

    def read_slowly(self) -> None:
        """Everything that is not the ordinary answer: the handshake, long frames, split reads, pings, the end."""
        if not self.upgraded:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101 ") or frames.HANDSHAKE_ACCEPT not in head:
                self.tally.note(head + rest)
                self.finish()
                return
            self.upgraded = True
            self.buffer = rest
            self.say(BOOT, self.speech.boot(self.call))
        while (frame := self.take_frame()) is not None:
            opcode, payload = frame
            if opcode == 9:
                self.transport.write(frames.client_frame(payload, opcode=10))
            elif opcode == 8:
                self.transport.close()
            elif opcode == 1 and payload.startswith(b"[3"):
                self.answered(payload)
            elif opcode == 1 and payload.startswith(b"[2"):
                self.commanded(payload, payload.split(b'"', 2)[1])
            else:
                self.tally.note(payload)
                self.finish()

    def take_frame(self) -> tuple[int, bytes] | None:
        """The next whole frame of the buffer as (opcode, payload), if there is one."""
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        length, head = buffer[1], 2
        if length == 126:
            length, head = int.from_bytes(buffer[2:4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < head + length:
            return None
        self.buffer = buffer[head + length :]
        return buffer[0] & 0x0F, buffer[head : head + length]

    def answered(self, answer: bytes) -> None:
        """A CALLRESULT came; `answer` may still have its header of two bytes."""
        self.latencies[self.kind].append(time.perf_counter() - self.sent)
        if self.message_id in answer:
            self.proceed(answer)
        else:
            self.tally.note(answer)
            self.finish()

    def commanded(self, call: bytes, message_id: bytes) -> None:
        """The system wants something; nearly every station of the load can do nothing."""
        self.transport.write(frames.client_frame(b'[4,"%b","NotSupported","",{}]' % message_id))

    def calls_due(self) -> int:
        """Calls that are due and not answered, where the pace is not that of the answers."""
        return 0

    def say(self, kind: int, frame: bytes) -> None:
        """Sends a call; its answer is counted as `kind`."""
        self.kind = kind
        self.message_id = b'"%010d"' % self.call
        self.call += 1
        self.sent = time.perf_counter()
        self.transport.write(frame)

    def now(self) -> bytes:
        """The station's time: the wall's, but never twice the same millisecond."""
        at = int(time.time() * 1000)
        if at <= self.last_ms:
            at = self.last_ms + 1
        self.last_ms = at
        return self.calendar.text(at)

    def proceed(self, answer: bytes) -> None:
        """The call in flight was answered."""
        if self.kind == BOOT:
            if b'"Accepted"' not in answer:
                self.tally.note(answer)
                self.finish()
            else:
                self.ready()

    @classmethod
    def meet(cls, stations: Sequence[Any], pause_s: float) -> None:
        """All stations of one process are there; `pause_s` is how long people take for each step."""

    def begin(self) -> None:
        """The load begins: all stations are ready."""

    def halt(self) -> None:
        """The load ends: the station finishes what it has begun, then says `done`."""
        self.stopping = True

    def finish(self) -> None:
        if not self.finished:
            self.finished = True
            self.done()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished:
            self.tally.lost(
                f"{'handshake' if not self.upgraded else KINDS[self.kind]}: {exc or 'closed by the server'}"
            )
            self.finish()


class PaidSessions(Station):
    """Authorize, start, ten readings, stop; and again. 6 Wh: no session is too short to have taken them."""

    meters_max = METERS_PER_SESSION
    readings_per_wh = 2
    meters = 0

    def begin(self) -> None:
        self.say(AUTHORIZE, self.speech.authorize(self.call))

    def proceed(self, answer: bytes) -> None:
        kind = self.kind
        if kind == METER:
            self.measure()
        elif kind == STOP:
            self.tally.sessions += 1
            self.tally.sessions_total += 1
            if self.stopping:
                self.finish()
            else:
                self.begin()
        elif kind == AUTHORIZE and b'"Accepted"' in answer:
            self.say(START, self.speech.start(self.call, self.now(), self.meter_wh))
        elif kind == START and self.speech.started(answer):
            self.meters = 0
            self.measure()
        elif kind == BOOT:
            super().proceed(answer)
        else:
            self.tally.note(answer)
            self.finish()

    def measure(self) -> None:
        """Sends the next reading, or the stop."""
        self.meters += 1
        self.meter_wh += (self.meters - 1) % self.readings_per_wh == 0
        if self.meters <= self.meters_max:
            self.say(METER, self.speech.meter(self.call, self.now(), self.meter_wh))
        else:
            self.say(STOP, self.speech.stop(self.call, self.now(), self.meter_wh))


class Readings(PaidSessions):
    """One session whose readings never cease until the load halts."""

    meters_max = sys.maxsize
    readings_per_wh = READINGS_PER_WH

    def halt(self) -> None:
        super().halt()
        self.meters_max = 0


class Heartbeats(Station):
    """Nothing but Heartbeat."""

    def begin(self) -> None:
        self.say(HEARTBEAT, self.speech.heartbeat(self.call))

    def proceed(self, answer: bytes) -> None:
        if self.kind != HEARTBEAT:
            super().proceed(answer)
        elif self.stopping:
            self.finish()
        else:
            self.say(HEARTBEAT, self.speech.heartbeat(self.call))


class Idle(Station):
    """A connection that boots and is silent."""

    def halt(self) -> None:
        self.finish()


SCENARIOS: dict[str, type[Station]] = {
    "sessions": PaidSessions,
    "readings": Readings,
    "heartbeats": Heartbeats,
    "idle": Idle,
}
