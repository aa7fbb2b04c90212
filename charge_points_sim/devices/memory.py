"""What a controller keeps through power cuts: its numbers, the events not yet accepted, and what it has done."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from charge_points_sim.devices.assets import envelope
from charge_points_sim.times import wire

QUEUE_LENGTH_MAX = 20_000
"""An event that finds the queue full is lost; its number is used up, so that the system sees a gap."""
ANSWERS_KEPT_MAX = 256
ANSWER_KEPT_S = 24 * 3600
GRANTS_KEPT_MAX = 4_096
"""So many grants are remembered as used, the newest."""


@dataclass(slots=True)
class Event:
    """
    One fact for the system: its message and its body, which keeps its id however often it is sent.

    `native`: a call of OCPP itself, whose payload the body is; it has neither an id nor a number.
    """

    message: str
    body: dict[str, Any]
    native: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is no event: a question that waits for a decision, or a picture of now. Asked again with the same id."""

    message: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """The stored answer to a command."""

    at: int
    status: str
    data: dict[str, Any]


@dataclass(slots=True)
class Memory:
    """
    `born` (epoch seconds) makes the ids of a new controller differ from those of the one it replaced.

    No two of its messages have the same time: the system puts what happened in order by it.
    """

    born: int
    seq: int = 0
    asked: int = 0
    lost: int = 0
    """Events that found the queue full."""
    second: int = 0
    ticks: int = 0
    """How many messages the newest second has seen."""
    queue: deque[Event] = field(default_factory=deque)
    aside: list[Event] = field(default_factory=list)
    """Events whose body the system refused: for their maker to look at."""
    answers: dict[str, Answered] = field(default_factory=dict)
    grants: dict[str, int] = field(default_factory=dict)
    """Grants acted on, and when."""

    def event(self, message: str, at: int, body: Mapping[str, Any], off: bool) -> Event:
        """Makes the next event; it is not in the queue yet."""
        self.seq += 1
        head = envelope(f"{self.born:08x}-e{self.seq:010d}", self.stamp(at))
        return Event(message, {**head, "seq": self.seq, "off": off, **body})

    def request(self, message: str, at: int, body: Mapping[str, Any]) -> Request:
        """Makes a request."""
        self.asked += 1
        return Request(message, {**envelope(f"{self.born:08x}-r{self.asked:010d}", self.stamp(at)), **body})

    def stamp(self, at: int) -> str:
        """The time of one message, a microsecond after the one before if that was made in the same second."""
        self.ticks = self.ticks + 1 if at == self.second else 0
        self.second = at
        return f"{wire(at)[:-1]}.{self.ticks:06d}Z"

    def keep(self, event: Event) -> None:
        """Puts an event behind the others."""
        if len(self.queue) >= QUEUE_LENGTH_MAX:
            self.lost += 1
        else:
            self.queue.append(event)

    def answer(self, command_id: str, now: int) -> Answered | None:
        """The stored answer to a command that came before."""
        found = self.answers.get(command_id)
        return found if found is not None and now - found.at < ANSWER_KEPT_S else None

    def answered(self, command_id: str, answer: Answered) -> None:
        """Stores the answer to a command, before anything is done."""
        self.answers.pop(command_id, None)
        self.answers[command_id] = answer
        while len(self.answers) > ANSWERS_KEPT_MAX:
            del self.answers[next(iter(self.answers))]

    def used(self, gid: str, now: int) -> None:
        """Marks a grant as used, before the door opens."""
        self.grants[gid] = now
        while len(self.grants) > GRANTS_KEPT_MAX:
            del self.grants[next(iter(self.grants))]

    def dump(self) -> str:
        """As JSON text, for the disk."""
        return json.dumps(asdict(self) | {"queue": [asdict(event) for event in self.queue]})

    @classmethod
    def load(cls, text: str) -> Memory:
        """What `dump` wrote."""
        kept = json.loads(text)
        kept["queue"] = deque(Event(**event) for event in kept["queue"])
        kept["aside"] = [Event(**event) for event in kept["aside"]]
        kept["answers"] = {id: Answered(**answer) for id, answer in kept["answers"].items()}
        return cls(**kept)
