"""
A simulated station without I/O: text in, text out.

Drivers' acts (`present`, `start`, `meter`, `end`) become calls in a queue; `take` hands out what may
be sent next, `receive` reads what came. One call waits for its answer at a time. Messages that move
money are kept, with the same content, until they are answered, however often the connection is lost.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from charge_points_sim.devices.device import (
    Device,
    Heard,
    Message,
    Payload,
    StartAsked,
    Status,
    StopAsked,
    StopReason,
    TriggerAsked,
    heartbeat,
)
from charge_points_sim.faults import CALM, Faults
from charge_points_sim.session import Session, Token

ATTEMPTS_MAX = 5
"""How often a kept message is answered by an error before the station gives it up, as real ones do."""

REFUSED = '[4,{},"NotSupported","This simulated station has no such call",{{}}]'


class CallFailed(Exception):
    """A call got no result: a CALLERROR, or the connection went away before the answer."""


@dataclass(slots=True, eq=False)
class Call:
    """One request to the system. `kept`: repeated with the same content until it is answered."""

    action: str
    write: Callable[[], str]
    kept: bool
    settle: Callable[[Payload | CallFailed], None]
    session: Session | None = None
    payload: str = ""
    attempts: int = 0
    first: Payload | None = None
    """The first answer, to compare with those of the copies."""


@dataclass(slots=True)
class Counters:
    """What a station, or a whole fleet sharing one object, has seen."""

    sent: int = 0
    answered: int = 0
    errors: int = 0
    repeated: int = 0
    lost: int = 0
    given_up: int = 0
    disagreed: int = 0
    """Copies of one start that were answered with another transaction id."""
    asked: int = 0
    """Calls of the system that reached a station."""
    connections: int = 0


@dataclass(slots=True)
class Connector:
    """A position where one session runs at a time; `register_wh` counts for its lifetime."""

    number: int
    register_wh: int = 0
    session: Session | None = None


def _ignore(answer: Payload | CallFailed) -> None:
    """For calls whose answer changes nothing here."""


@dataclass(slots=True)
class Station:
    """
    One station of one OCPP version.

    `new_ref` draws 2.x transaction ids; `clock` answers the station's time in epoch seconds.
    `asked_to_start` decides on a remote start (default: yes, if the connector is free).
    """

    id: str
    device: Device
    new_ref: Callable[[], str]
    clock: Callable[[], int]
    connectors: dict[int, Connector] = field(default_factory=lambda: {1: Connector(1)})
    faults: Faults = CALM
    counters: Counters = field(default_factory=Counters)
    asked_to_start: Callable[[StartAsked], bool] = lambda asked: True
    asked_to_stop: Callable[[Session], None] | None = None
    online: bool = False
    queue: deque[Call] = field(default_factory=deque)
    _in_flight: Call | None = None
    _late: list[Call] = field(default_factory=list)
    """Readings that the faults keep back until their session has ended."""
    _copies: dict[str, Call] = field(default_factory=dict)
    _out: deque[str] = field(default_factory=deque)
    _number: int = 0

    # What happens at the station.

    def boot(self, settle: Callable[[Payload | CallFailed], None] = _ignore, reason: str = "PowerUp") -> None:
        """Introduces itself after power came up."""
        self.call(self.device.boot(self.id, reason), settle)

    def beat(self) -> None:
        """Shows that it is alive."""
        self.call(heartbeat(), _ignore)

    def show(self, connector: int, status: Status) -> None:
        """Reports a connector's status."""
        self.call(self.device.status(connector, status, self.clock()), _ignore)

    def present(self, token: Token, settle: Callable[[bool | CallFailed], None]) -> None:
        """A driver holds a token to the reader: asks whether it may charge."""

        def read(answer: Payload | CallFailed) -> None:
            settle(answer if isinstance(answer, CallFailed) else self.device.read_authorize(answer).accepted)

        self.call(self.device.authorize(token), read)

    def exchange(self, content: Mapping[str, Any], settle: Callable[[str | CallFailed | None], None]) -> None:
        """Hands a long token (`Auth.Token`) to the system; settles with the alias, or None when it is refused."""

        def read(answer: Payload | CallFailed) -> None:
            if isinstance(answer, CallFailed):
                settle(answer)
                return
            accepted, data = self.device.read_transfer(answer)
            settle(data.get("token") if accepted else None)

        self.call(self.device.transfer("org.csms.assets", "Auth.Token", content), read)

    def start(
        self,
        connector: int,
        token: Token,
        settle: Callable[[Session], None] = lambda session: None,
        start_id: int | None = None,
    ) -> Session:
        """A charge begins; `settle` gets the session once the system's verdict (`accepted`) is known."""
        position = self.connectors[connector]
        assert position.session is None, f"connector {connector} of {self.id} is in use"
        register = position.register_wh
        session = Session(connector, token, self.clock(), register, register, start_id=start_id)
        if self.device.names_own_sessions:
            session.ref = self.new_ref()
        position.session = session

        def read(answer: Payload | CallFailed) -> None:
            if isinstance(answer, CallFailed):
                session.accepted = False
            else:
                verdict = self.device.read_started(answer)
                session.accepted = verdict.accepted
                session.ref = session.ref if verdict.ref is None else verdict.ref
            settle(session)

        self.call(self.device.started(session, not self.online), read, session)
        return session

    def meter(
        self,
        session: Session,
        register_wh: int,
        settle: Callable[[Payload | CallFailed], None] = _ignore,
        power_w: int | None = None,
    ) -> None:
        """A reading of the lifetime register (Wh) and the power (W)."""
        session.register_wh = self.connectors[session.connector].register_wh = register_wh
        self.call(self.device.metered(session, self.clock(), power_w, not self.online), settle, session)

    def end(
        self,
        session: Session,
        register_wh: int,
        settle: Callable[[Payload | CallFailed], None] = _ignore,
        reason: StopReason = "departed",
    ) -> None:
        """The charge ends at `register_wh`; the connector is free again."""
        position = self.connectors[session.connector]
        assert position.session is session
        session.register_wh = position.register_wh = register_wh
        session.ended_at = self.clock()
        position.session = None
        self.call(self.device.ended(session, session.ended_at, reason, not self.online), settle, session)

    def call(
        self, message: Message, settle: Callable[[Payload | CallFailed], None], session: Session | None = None
    ) -> None:
        """Queues a call. One without a session fails at once when the station is offline."""
        call = Call(message.action, message.write, session is not None, settle, session)
        if not self.online and not call.kept:
            settle(CallFailed("offline"))
            return
        if session is None or not self.device.names_own_sessions:
            self.queue.append(call)
        elif session.ended_at is not None:
            self.queue.append(call)
            self.queue.extend(late for late in self._late if late.session is session)
            self._late = [late for late in self._late if late.session is not session]
        elif session.accepted and self.faults.comes_late():
            call.settle = _ignore
            self._late.append(call)
            settle({})
        else:
            self.queue.append(call)

    @property
    def waiting(self) -> Call | None:
        """The call whose answer has not come."""
        return self._in_flight

    @property
    def idle(self) -> bool:
        """Nothing is waiting to be sent or answered."""
        return not self.queue and self._in_flight is None and not self._late

    # The wire.

    def take(self) -> list[str]:
        """The frames to send now: answers to the system, and the next call if none waits for its answer."""
        frames = list(self._out)
        self._out.clear()
        if self._in_flight is None and self.queue and self.online:
            call = self._in_flight = self.queue.popleft()
            frames += self._frames(call)
        return frames

    def _frames(self, call: Call) -> list[str]:
        """The call's frame, as many times as the faults repeat it; some copies have a message id of their own."""
        call.payload = call.payload or call.write()
        call.attempts += 1
        frames: list[str] = []
        message_id = ""
        for copy in range(self.faults.copies()):
            if copy == 0 or self.faults.new_id():
                self._number += 1
                message_id = str(self._number)
            self._copies[message_id] = call
            frames.append(f'[2,"{message_id}","{call.action}",{call.payload}]')
        self.counters.sent += len(frames)
        self.counters.repeated += len(frames) - 1
        return frames

    def receive(self, text: str) -> None:
        """Reads a frame from the system."""
        frame = json.loads(text)
        match frame:
            case [3, str(message_id), payload]:
                self._answered(message_id, payload)
            case [4, str(message_id), str(code), *rest]:
                self._errored(message_id, f"{code}: {rest[0] if rest else ''}")
            case [2, str(message_id), str(action), payload]:
                self.counters.asked += 1
                self._out.append(self._answer(message_id, action, payload))
            case _:
                raise ValueError(f"{self.id} cannot read {text[:200]}")

    def _answered(self, message_id: str, payload: Payload) -> None:
        call = self._copies.get(message_id)
        if call is None:
            return
        self.counters.answered += 1
        if call.first is not None and call.first.get("transactionId") != payload.get("transactionId"):
            self.counters.disagreed += 1
        call.first = call.first or payload
        if call is not self._in_flight:
            return
        if call.kept and self.faults.lose_answer():
            self.counters.lost += 1
            self._again(call)
            return
        self._finish(call, payload)

    def _errored(self, message_id: str, description: str) -> None:
        call = self._copies.get(message_id)
        self.counters.errors += 1
        if call is None or call is not self._in_flight:
            return
        if call.kept and call.attempts < ATTEMPTS_MAX:
            self._again(call)
            return
        self.counters.given_up += call.kept
        self._finish(call, CallFailed(f"{call.action} of {self.id}: {description}"))

    def _again(self, call: Call) -> None:
        """Puts a call back in front: the same content goes out once more."""
        self._in_flight = None
        self.queue.appendleft(call)

    def _finish(self, call: Call, answer: Payload | CallFailed) -> None:
        """Ends the wait. Late copies are forgotten once a few later calls have been sent."""
        self._in_flight = None
        while len(self._copies) > 64:
            del self._copies[next(iter(self._copies))]
        call.settle(answer)

    def connected(self) -> None:
        """The connection stands: the queue may be sent."""
        self.online = True
        self.counters.connections += 1
        if self.device.names_own_sessions:
            self.faults.shuffle(self.queue)

    def disconnected(self) -> None:
        """The connection is gone: kept calls wait in the queue, the others fail now."""
        self.online = False
        self._out.clear()
        self._copies.clear()
        if self._in_flight is not None:
            self._again(self._in_flight)
        lost = [call for call in self.queue if not call.kept]
        self.queue = deque(call for call in self.queue if call.kept)
        for call in lost:
            call.settle(CallFailed("the connection was lost"))

    def overdue(self) -> None:
        """The answer did not come in time: a kept call is sent again, another fails."""
        call = self._in_flight
        if call is None:
            return
        if call.kept:
            self._again(call)
        else:
            self._finish(call, CallFailed(f"{call.action} of {self.id} got no answer"))

    def _answer(self, message_id: str, action: str, payload: Payload) -> str:
        """Does what the system asks, as far as a simulated station can, and writes the answer."""
        asked = self.device.read_call(action, payload)
        match asked:
            case StartAsked():
                return _result(message_id, self._start_asked(asked))
            case StopAsked(ref):
                return _result(message_id, self._stop_asked(ref))
            case TriggerAsked(message, connector):
                return _result(message_id, self._triggered(message, connector))
            case Heard(answer):
                return f"[3,{json.dumps(message_id)},{answer}]"
            case None:
                return REFUSED.format(json.dumps(message_id))

    def _start_asked(self, asked: StartAsked) -> bool:
        free = [c.number for c in self.connectors.values() if c.session is None]
        number = asked.connector if asked.connector is not None else min(free, default=None)
        if number is None or number not in free or not self.asked_to_start(asked):
            return False
        self.start(number, asked.token, start_id=asked.start_id)
        return True

    def _stop_asked(self, ref: str | int) -> bool:
        for position in self.connectors.values():
            session = position.session
            if session is not None and session.ref == ref:
                if self.asked_to_stop is not None:
                    self.asked_to_stop(session)
                else:
                    self.end(session, position.register_wh, reason="remote")
                return True
        return False

    def _triggered(self, message: str, connector: int | None) -> bool:
        match message:
            case "BootNotification":
                self.boot(reason="Triggered")
            case "Heartbeat":
                self.beat()
            case "StatusNotification":
                for position in self.connectors.values():
                    if connector in (None, position.number):
                        self.show(position.number, "charging" if position.session else "available")
            case _:
                return False
        return True


def _result(message_id: str, accepted: bool) -> str:
    """The answer of calls that are accepted or rejected."""
    return f'[3,{json.dumps(message_id)},{{"status":"{"Accepted" if accepted else "Rejected"}"}}]'
