"""
Simulated battery stations: they tell how every pack is, and riders bring packs and take others.

A rider takes a pack, rides to the next station of the round, puts it in, gets another, and rides on. A station serves
one rider at a time and has one call in flight; one of its slots is empty at any time. What is due meanwhile waits.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks import client, frames, locker_frames, swap_frames
from tests.benchmarks.cabinets import AGAIN_S, WALK_S
from tests.benchmarks.client import BOOT, HELLO, INSERTED, RELEASE, RELEASED, REQUEST, SNAPSHOT, STATE, STATUS
from tests.benchmarks.swap_frames import SLOTS, Pack, SwapSpeech

REPORT_S = 60.0
"""How often each slot is told of."""

PULL_S = 1.0
"""Until a rider has pulled a released pack out, where riders take their time."""

LENDS_PER_S = 100
"""How many riders get their first pack in a second: all at once would not be answered in time, and ask again."""

FULL, RIDDEN = 9_800, 9_200
"""Levels: of a pack after a report of its slot, and of one that is put in. Both may be handed out at any pace."""


class SwapStation(client.Station):
    """Each slot is told of once a minute; riders come at the pace of `pause_s`, the time of a ride."""

    speeches = swap_frames.SPEECHES
    speech: SwapSpeech
    after: SwapStation

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        index = self.speech.index
        serials = [swap_frames.serial_of(index, unit) for unit in range(1, SLOTS + 1)]
        self.slots: list[Pack | None] = [Pack(serial.encode(), FULL) for serial in serials]
        self.ride_s = 0.0
        self.due: deque[tuple[float, Callable[[], None]]] = deque()
        """What is to be said next, and since when."""
        self.is_busy = True
        self.unit = 0
        self.seq = 0
        self.rid = 0
        self.riders: deque[Pack] = deque()
        """The packs of those who stand in front of it."""
        self.serves = False
        self.inserted_at = 0.0
        self.decided = False
        self.release: tuple[int, int] | None = None
        """(number, slot) of the pack that may be taken."""
        self.taken: Pack
        self.is_lent = False

    @classmethod
    def meet(cls, stations: Sequence[SwapStation], pause_s: float) -> None:
        """The round that riders take; the first of each begins at its own station."""
        for place, station in enumerate(stations):
            station.ride_s = pause_s
            station.after = stations[(place + 1) % len(stations)]

    # -- getting ready: every station lends a pack to the rider who lives there ------------------------------

    def proceed(self, answer: bytes) -> None:
        kind = self.kind
        if kind == BOOT and b'"Accepted"' in answer:
            self.say(HELLO, self.speech.hello(self.call, self.now()))
        elif kind in (STATE, STATUS):
            if b'"err' in answer or b'"Rejected"' in answer:
                self.tally.note(answer)
            self.go_on()
        elif kind == INSERTED:
            self.put_in(answer)
        elif kind == REQUEST:
            self.lend(answer)
        elif b'"err' in answer or (b'"Accepted"' not in answer and not (kind == RELEASED and self.speech.is_native)):
            self.tally.note(answer)
            self.finish()
        elif kind == HELLO:
            self.say(SNAPSHOT, self.speech.snapshot(self.call, self.now(), self.slots))
        elif kind == SNAPSHOT:
            asyncio.get_running_loop().call_later(self.speech.index / LENDS_PER_S, self.ask)
        elif not self.is_lent:
            self.is_lent, self.is_busy = True, False
            self.ready()
        else:
            self.swapped()

    def ask(self) -> None:
        self.say(REQUEST, self.speech.request(self.call, self.now(), 0, "take", self.speech.token))

    def lend(self, answer: bytes) -> None:
        """The first pack of the rider, by a grant in the answer; who is not answered in time asks again."""
        found, rid = locker_frames.granted(answer), swap_frames.rid_of(answer)
        if found is not None and rid is not None:
            self.pull(rid, found[1])
        elif b"PaymentPending" in answer:
            asyncio.get_running_loop().call_later(AGAIN_S, self.ask)
        else:
            self.tally.note(answer)
            self.finish()

    # -- the pace --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(random.uniform(0.0, REPORT_S / SLOTS), self.report)
        loop.call_later(WALK_S + random.uniform(0.0, self.ride_s), self.after.arrive, self.taken)

    def report(self, at: float = 0.0) -> None:
        """The next slot is due; on a grid, so that what came late does not slow the rest down."""
        loop = asyncio.get_running_loop()
        following = (at or loop.time()) + REPORT_S / SLOTS
        if not self.stopping:
            loop.call_at(following, self.report, following)
            self.wants(self.tell)

    def wants(self, say: Callable[[], None]) -> None:
        """Something is due: said at once, or after what is in flight."""
        self.due.append((time.perf_counter(), say))
        if not self.is_busy:
            self.go_on()

    def go_on(self) -> None:
        """Says what is due, if anything is."""
        self.is_busy = bool(self.due)
        if not self.due:
            self.rest()
            return
        since, say = self.due.popleft()
        say()
        if self.kind in (STATE, STATUS):
            self.sent = since  # a report that had to wait is late, whoever kept it waiting

    def calls_due(self) -> int:
        return len(self.due) + self.is_busy

    def tell(self) -> None:
        """How the next slot is."""
        self.unit = self.unit % SLOTS + 1
        pack = self.slots[self.unit - 1]
        if pack is None:
            self.say(STATUS, self.speech.empty(self.call, self.now(), self.unit))
            return
        pack.charge(FULL)
        self.seq += not self.speech.tells_by_charging(self.unit)
        self.say(STATE, self.speech.state(self.call, self.now(), self.seq, self.unit, pack))

    # -- swaps -----------------------------------------------------------------------------------------------

    def arrive(self, pack: Pack) -> None:
        """A rider of the station before is here."""
        if not self.stopping:
            self.riders.append(pack)
            self.serve()

    def serve(self) -> None:
        """The next rider, if nobody is at it."""
        if self.riders and not self.serves and not self.stopping:
            self.serves = True
            self.decided, self.release = False, None
            self.wants(self.insert)

    def insert(self) -> None:
        pack, unit = self.riders.popleft(), self.slots.index(None) + 1
        pack.use(RIDDEN)
        self.slots[unit - 1] = pack
        self.seq += not self.speech.is_native
        self.rid += 1
        frame = self.speech.moved(self.call, self.now(), self.seq, "Battery.Inserted", self.rid, unit, pack)
        self.say(INSERTED, frame)
        self.inserted_at = self.sent

    def put_in(self, answer: bytes) -> None:
        """The insertion is decided. BatterySwap has no fields for it: the command that follows tells."""
        if not self.speech.is_native and (b'"out' not in answer or b'"err' in answer):
            self.tally.note(answer)
            self.finish()
        self.decided = True
        self.take()
        self.go_on()

    def commanded(self, call: bytes, message_id: bytes) -> None:
        """Battery.Release is obeyed, once the rider has pulled. Nothing else can be done."""
        if b'"Battery.Release"' not in call:
            if b'"Battery.Return"' in call:
                self.tally.note(call)
            super().commanded(call, message_id)
            return
        body = json.loads(call)[3]["data"]
        body = json.loads(body) if isinstance(body, str) else body
        self.transport.write(frames.client_frame(b'[3,"%b",{"status":"Accepted"}]' % message_id))
        if self.serves and self.release is None:
            self.latencies[RELEASE].append(time.perf_counter() - self.inserted_at)
            self.release = body["rid"], body["u"][0]
            self.take()

    def take(self) -> None:
        """The rider pulls the released pack, once both the answer and the command are here."""
        if self.decided and self.release is not None:
            rid, unit = self.release
            wait_s = PULL_S if self.ride_s else 0.0
            asyncio.get_running_loop().call_later(wait_s, self.wants, lambda: self.pull(rid, unit))

    def pull(self, rid: int, unit: int) -> None:
        pack = self.slots[unit - 1]
        assert pack is not None
        self.taken, self.slots[unit - 1] = pack, None
        self.seq += not self.speech.is_native
        frame = self.speech.moved(self.call, self.now(), self.seq, "Battery.Released", rid, unit, pack)
        self.say(RELEASED, frame)

    def swapped(self) -> None:
        """The rider rides on, which is one whole swap."""
        self.tally.sessions += 1
        self.tally.sessions_total += 1
        self.serves = False
        ride_s = max(WALK_S, self.ride_s * random.uniform(0.5, 1.5))
        asyncio.get_running_loop().call_later(ride_s, self.after.arrive, self.taken)
        self.serve()
        self.go_on()

    # -- the end ---------------------------------------------------------------------------------------------

    def halt(self) -> None:
        super().halt()
        self.rest()

    def rest(self) -> None:
        """The load has ended: done, once nobody stands there with a pack put in and none taken."""
        if self.stopping and not self.serves and not self.is_busy:
            self.finish()


class PackStates(SwapStation):
    """No riders: the state of slot after slot as fast as it is answered."""

    def begin(self) -> None:
        self.wants(self.tell)

    def go_on(self) -> None:
        if not self.stopping:
            self.due.append((time.perf_counter(), self.tell))
        super().go_on()

    def calls_due(self) -> int:
        return 0


SCENARIOS: dict[str, type[client.Station]] = {"swaps": SwapStation, "states": PackStates}
