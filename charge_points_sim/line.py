"""
The station's side of an OCPP-J conversation, without I/O: one call waits for its answer at a time.

Calls that move money are kept, with the same content, until they are answered, however often the
connection is lost; the others fail with it.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from charge_points_sim.devices.device import Payload
from charge_points_sim.faults import Faults
from charge_points_sim.session import NOBODY, Session

ATTEMPTS_MAX = 5
"""How often a kept call is answered by an error before the station gives it up, as real ones do."""
COPIES_KEPT_MAX = 64


class CallFailed(Exception):
    """A call got no result: a CALLERROR, or the connection went away before the answer."""


Settle = Callable[[Payload | CallFailed], None]


def ignore(answer: Payload | CallFailed) -> None:
    """For calls whose answer changes nothing here."""


def say_nothing() -> None:
    """For stations that have nothing to say when a connection stands."""


@dataclass(slots=True, eq=False)
class Call:
    """One request to the system. With a `session` it is kept: repeated with the same content until it is answered."""

    action: str
    write: Callable[[], str]
    settle: Settle
    session: Session | None = None
    payload: str = ""
    attempts: int = 0
    first: Payload | None = None
    """The first answer, to compare with those of the copies."""

    @property
    def kept(self) -> bool:
        """Whether it moves money."""
        return self.session is not None


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
class Line:
    """
    What waits to be said and what was said last. `answer` writes the answer to a call of the system.

    `unordered`: the version numbers its session events, so faults may change their order (2.x).
    """

    answer: Callable[[str, str, Payload], str]
    unordered: bool
    faults: Faults
    counters: Counters = field(default_factory=Counters)
    greet: Callable[[], None] = say_nothing
    """Called whenever a connection stands, before the queue is sent."""
    online: bool = False
    waiting: Call | None = None
    """The call whose answer has not come."""
    _queue: deque[Call] = field(default_factory=deque)
    _late: list[Call] = field(default_factory=list)
    """Readings that the faults keep back until their session has ended; one of nobody may never end."""
    _copies: dict[str, Call] = field(default_factory=dict)
    _out: deque[str] = field(default_factory=deque)
    _number: int = 0

    @property
    def idle(self) -> bool:
        """Nothing waits to be sent or answered."""
        return not self._queue and self.waiting is None and not self._late

    def put(self, call: Call) -> None:
        """Queues a call. One that is not kept fails at once when the line is down."""
        session = call.session
        if session is None and not self.online:
            call.settle(CallFailed("offline"))
        elif session is None or not self.unordered:
            self._queue.append(call)
        elif session.ended_at is not None:
            self._queue.append(call)
            self._queue.extend(late for late in self._late if late.session is session)
            self._late = [late for late in self._late if late.session is not session]
        elif session.accepted and session.token is not NOBODY and self.faults.comes_late():
            settle, call.settle = call.settle, ignore
            self._late.append(call)
            settle({})
        else:
            self._queue.append(call)

    def take(self) -> list[str]:
        """The frames to send now: answers to the system, and the next call if none waits for its answer."""
        frames = list(self._out)
        self._out.clear()
        if self.waiting is None and self._queue and self.online:
            call = self.waiting = self._queue.popleft()
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
        """Reads a frame from the system; `ValueError` if it is none."""
        match json.loads(text):
            case [3, str(message_id), payload]:
                self._answered(message_id, payload)
            case [4, str(message_id), str(code), *rest]:
                self._errored(message_id, f"{code}: {rest[0] if rest else ''}")
            case [2, str(message_id), str(action), payload]:
                self.counters.asked += 1
                self._out.append(self.answer(message_id, action, payload))
            case _:
                raise ValueError(f"this is no frame of OCPP-J: {text[:200]}")

    def _answered(self, message_id: str, payload: Payload) -> None:
        call = self._copies.get(message_id)
        if call is None:
            return
        self.counters.answered += 1
        if call.first is not None and call.first.get("transactionId") != payload.get("transactionId"):
            self.counters.disagreed += 1
        call.first = call.first or payload
        if call is not self.waiting:
            return
        if call.kept and self.faults.lose_answer():
            self.counters.lost += 1
            self._again(call)
            return
        self._finish(call, payload)

    def _errored(self, message_id: str, description: str) -> None:
        call = self._copies.get(message_id)
        self.counters.errors += 1
        if call is None or call is not self.waiting:
            return
        if call.kept and call.attempts < ATTEMPTS_MAX:
            self._again(call)
            return
        self.counters.given_up += call.kept
        self._finish(call, CallFailed(f"{call.action}: {description}"))

    def _again(self, call: Call) -> None:
        """Puts a call back in front: the same content goes out once more."""
        self.waiting = None
        self._queue.appendleft(call)

    def _finish(self, call: Call, answer: Payload | CallFailed) -> None:
        """Ends the wait. Late copies are forgotten once some later calls have been sent."""
        self.waiting = None
        while len(self._copies) > COPIES_KEPT_MAX:
            del self._copies[next(iter(self._copies))]
        call.settle(answer)

    def connected(self) -> None:
        """The connection stands: the queue may be sent."""
        self.online = True
        self.counters.connections += 1
        if self.unordered:
            self.faults.shuffle(self._queue)
        self.greet()

    def disconnected(self) -> None:
        """The connection is gone: kept calls wait in the queue, the others fail now."""
        self.online = False
        self._out.clear()
        self._copies.clear()
        if self.waiting is not None:
            self._again(self.waiting)
        lost = [call for call in self._queue if not call.kept]
        self._queue = deque(call for call in self._queue if call.kept)
        for call in lost:
            call.settle(CallFailed("the connection was lost"))

    def overdue(self) -> None:
        """The answer did not come in time: a kept call is sent again, another fails."""
        call = self.waiting
        if call is None:
            return
        if call.kept:
            self._again(call)
        else:
            self._finish(call, CallFailed(f"{call.action} got no answer"))
