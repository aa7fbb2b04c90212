"""
Simulated cabinets: each lends to the driver who lives at it, and takes back from the one of the cabinet before.

A driver takes an item at home, walks to the next cabinet of the round, gives it back there, and begins again. A cabinet
serves one driver at a time and has one call in flight. What is where is the cabinet's own: the system is asked for a
door and nothing else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks import client, locker_frames
from tests.benchmarks.client import BOOT, DOOR, HELLO, PENDING, PLACED, REQUEST, SNAPSHOT, TAKEN
from tests.benchmarks.locker_frames import DOORS, ITEMS, CabinetSpeech

WALK_S = 1.1
"""From one cabinet to the next: what was held for less than a second would rightly cost nothing."""

AGAIN_S = 1.0
"""A driver who was answered PaymentPending holds the token to the lock again."""

VISITS_PER_SNAPSHOT = 16

STEPS = 8
"""Reports of one rental: drivers begin at any moment of it, not all at once."""


class Cabinet(client.Station):
    """Says Hello and what is where; then takes and returns, each of four reports, and a snapshot now and then."""

    speeches = locker_frames.SPEECHES
    speech: CabinetSpeech
    before: Cabinet
    after: Cabinet

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        index = self.speech.index
        stood = [locker_frames.item_code(index, unit) if unit <= ITEMS else None for unit in range(1, DOORS + 1)]
        self.items: list[bytes | None] = stood
        self.pause_s = 0.0
        self.seq = 0
        self.visits = 0
        self.serves = False
        self.driver_home = True
        self.waiting: list[bytes] = []
        """What the drivers bring who stand in front of it."""
        self.why = ""
        self.item = b""
        self.asked = 0
        self.gid, self.unit = b"", 0
        self.closing = False

    @classmethod
    def meet(cls, stations: Sequence[Cabinet], pause_s: float) -> None:
        """The round that drivers walk."""
        for place, cabinet in enumerate(stations):
            cabinet.pause_s = pause_s
            cabinet.after = stations[(place + 1) % len(stations)]
            cabinet.after.before = cabinet

    def begin(self) -> None:
        self.serves = True
        asyncio.get_running_loop().call_later(random.uniform(0.0, STEPS * self.pause_s), self.next)

    def soon(self, step: Callable[[], None]) -> None:
        """The next step, as soon as whoever stands there has done it."""
        if self.pause_s:
            asyncio.get_running_loop().call_later(self.pause_s * random.uniform(0.5, 1.5), step)
        else:
            step()

    def next(self) -> None:
        """Whoever stands there, with a snapshot between visits now and then."""
        self.visits += 1
        if self.visits % VISITS_PER_SNAPSHOT == 0:
            self.say(SNAPSHOT, self.speech.snapshot(self.call, self.now(), self.items, self.seq))
        elif self.waiting:
            self.why, self.item = "return", self.waiting.pop(0)
            self.ask(self.call)
        elif self.driver_home and not self.stopping:
            self.why, self.driver_home = "take", False
            self.ask(self.call)
        else:
            self.serves = False
            self.rest()

    def wake(self) -> None:
        """Somebody came."""
        if not self.serves:
            self.serves = True
            self.soon(self.next)

    def ask(self, asked: int) -> None:
        driver = self if self.why == "take" else self.before
        self.asked = asked
        self.say(REQUEST, self.speech.request(self.call, self.now(), asked, self.why, driver.speech.token))

    def proceed(self, answer: bytes) -> None:
        kind = self.kind
        if kind == BOOT and b'"Accepted"' in answer:
            self.say(HELLO, self.speech.hello(self.call, self.now()))
        elif kind == REQUEST:
            self.decided(answer)
        elif b'"Accepted"' not in answer or b'"err' in answer:
            self.tally.note(answer)
            self.finish()
        elif kind == HELLO:
            self.say(SNAPSHOT, self.speech.snapshot(self.call, self.now(), self.items, self.seq))
        elif kind == SNAPSHOT:
            if self.serves:
                self.next()
            else:
                self.ready()
        elif kind == DOOR and self.closing:
            self.left()
        elif kind == DOOR:
            self.soon(self.move)
        else:
            self.soon(self.close)

    def decided(self, answer: bytes) -> None:
        """The door may be opened, or the system needs more time; nobody is refused who has money and an item."""
        found = locker_frames.granted(answer)
        if found is not None:
            self.gid, self.unit = found
            if self.why == "take":
                self.item = self.items[self.unit - 1] or b""
            self.soon(self.open)
        elif b"PaymentPending" in answer:
            self.latencies[PENDING].append(self.latencies[REQUEST].pop())
            asyncio.get_running_loop().call_later(AGAIN_S, self.ask, self.asked)
        else:
            self.tally.note(answer)
            self.finish()

    def open(self) -> None:
        self.closing = False
        self.door("open", self.why == "take")

    def move(self) -> None:
        """The item leaves, or comes."""
        take = self.why == "take"
        self.items[self.unit - 1] = None if take else self.item
        self.seq += 1
        at, message = self.now(), "Item.Taken" if take else "Item.Placed"
        frame = self.speech.moved(self.call, at, self.seq, self.unit, self.gid, message, self.item)
        self.say(TAKEN if take else PLACED, frame)

    def close(self) -> None:
        self.closing = True
        self.door("closed", self.why == "return")

    def door(self, state: str, has: bool) -> None:
        self.seq += 1
        self.say(DOOR, self.speech.door(self.call, self.now(), self.seq, self.unit, self.gid, state, has))

    def left(self) -> None:
        """The door is closed again: the driver walks on, or is home, which is one whole rental."""
        if self.why == "take":
            asyncio.get_running_loop().call_later(WALK_S, self.after.arrive, self.item)
        else:
            self.tally.sessions += 1
            self.tally.sessions_total += 1
            self.before.driver_home = True
            self.before.wake()
        self.soon(self.next)

    def arrive(self, item: bytes) -> None:
        """The driver of the cabinet before brings an item."""
        self.waiting.append(item)
        self.wake()

    def halt(self) -> None:
        super().halt()
        self.rest()

    def rest(self) -> None:
        """The load has ended: done, once nobody is out who will come here."""
        if self.stopping and not self.serves and self.driver_home and self.before.driver_home and not self.finished:
            self.finish()
