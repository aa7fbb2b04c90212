"""The events of a station on their way to the system: in order, kept until they are accepted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from charge_points_sim.devices.device import Message, Payload
from charge_points_sim.devices.memory import Event, Memory, Request
from charge_points_sim.line import CallFailed
from charge_points_sim.station import Station

FAILURES_MAX = 5
"""After so many failures in a row the outbox rests, until there is news or a new connection."""


class Reply(NamedTuple):
    """The system's decision on a request."""

    accepted: bool
    data: Payload


Body = Mapping[str, Any]


class Outbox:
    """
    Sends the events of `memory` through `station`, one at a time; nothing is sent before `introduce`.

    An event is dropped only when it was accepted. An error or silence leaves it where it is, and it is sent
    again with the same id; one that is refused is set aside, and the next has its turn.
    """

    def __init__(self, station: Station, memory: Memory, clock: Callable[[], int]) -> None:
        self.memory = memory
        self._station = station
        self._clock = clock
        self._first: deque[Request] = deque()
        self._sending: Event | Request | None = None
        self._open = False
        self._failures = 0
        self.accepted: Callable[[Event], None] = lambda event: None
        """Told of each event that the system has stored."""

    @property
    def idle(self) -> bool:
        """Everything was accepted, or set aside."""
        return not self.memory.queue and not self._first

    def tell(self, message: str, body: Body) -> None:
        """Something happened: it is kept, and sent when its turn comes."""
        off = not (self._open and self._station.line.online)
        self.memory.keep(self.memory.event(message, self._clock(), body, off))
        self.resume()

    def call(self, action: str, payload: dict[str, Any]) -> None:
        """Something happened for which OCPP has a call of its own: kept, and sent in the same order as all else."""
        self.memory.keep(Event(action, payload, native=True))
        self.resume()

    def introduce(self, *first: tuple[str, Body]) -> None:
        """A new connection: `first` goes before the queue, whose events are late now."""
        for event in self.memory.queue:
            if not event.native:
                event.body["off"] = True
        self._open, self._sending = True, None
        self._first.clear()
        for message, body in first:
            self.report(message, body)

    def report(self, message: str, body: Body) -> None:
        """A picture of now: it goes before the queue, and is not kept."""
        if self._open:
            self._first.append(self.memory.request(message, self._clock(), body))
            self.resume()

    def resume(self) -> None:
        """Tries again after a rest."""
        self._failures = 0
        self._pump()

    def close(self) -> None:
        """The power is gone: nothing is sent until the next introduction."""
        self._open, self._sending = False, None
        self._first.clear()

    def ask(self, request: Request, settle: Callable[[Reply | CallFailed], None]) -> None:
        """Sends a request, past the queue; a retry is the same request asked again."""

        def read(answer: tuple[bool, Payload] | CallFailed) -> None:
            if self._station.line.faults.lose_answer():
                self._station.line.counters.lost += 1
                answer = CallFailed("the answer was lost")
            settle(answer if isinstance(answer, CallFailed) else Reply(*answer))

        self._station.transfer(request.message, request.body, read)

    def _pump(self) -> None:
        if not self._open or not self._station.line.online or self._sending is not None:
            return
        if self.idle or self._failures >= FAILURES_MAX:
            return
        sent = self._first[0] if self._first and not self._snapshot_waits() else self._next()
        self._sending = sent

        def read(answer: tuple[bool, Payload] | CallFailed) -> None:
            if self._sending is sent:  # else it was sent on a connection before this one
                self._sending = None
                self._answered(sent, answer)

        if isinstance(sent, Event) and sent.native:
            self._station.send(
                Message(sent.message, lambda: json.dumps(sent.body)),
                lambda answer: read(answer if isinstance(answer, CallFailed) else (True, {})),
            )
        else:
            self._station.transfer(sent.message, dict(sent.body), read)

    def _snapshot_waits(self) -> bool:
        """Calls that have no time of their own are told before what is so now, or they would seem to follow it."""
        return self._first[0].message == "Unit.Snapshot" and any(event.native for event in self.memory.queue)

    def _next(self) -> Event:
        """The head of the queue; or, as a fault, the event behind it. Calls without a time keep their order."""
        queue, faults = self.memory.queue, self._station.line.faults
        if len(queue) < 2 or queue[0].native or queue[1].native:
            return queue[0]
        return queue[1] if faults.comes_late() else queue[0]

    def _answered(self, sent: Event | Request, answer: tuple[bool, Payload] | CallFailed) -> None:
        line = self._station.line
        if not isinstance(answer, CallFailed) and line.faults.lose_answer():
            line.counters.lost += 1
        elif isinstance(sent, Request) and not isinstance(answer, CallFailed):
            self._first.popleft()
        elif isinstance(sent, Event) and not isinstance(answer, CallFailed) and answer[1].get("err") != "Busy":
            self.memory.queue.remove(sent)
            self._failures = 0
            if answer[0]:
                self.accepted(sent)
            else:
                self.memory.aside.append(sent)
        else:
            self._failures += 1
        self._pump()
