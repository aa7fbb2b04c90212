"""
Two cabinets as they really are, and the people before them: doors that stick, reports that are late, thieves.

What the rules believe is in the `Town` it is built on; here is what happened. A cabinet obeys the protocol: it
acts on a grant once and in time. What it reports is told at once, or waits in `waiting` to be told later.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from csms.domain import asset_events as said
from csms.domain.assets import LIVE, Grant
from csms.domain.events import AuthorizationDecided, Event, Outcome
from csms.domain.token import key
from csms.domain.world import Rules, Token
from tests.domain.lending_town import Town

SOCIAL = "D0D0D0D0"
"""Bob again, but a psp pays."""
BOXES = [("C1", 1), ("C1", 2), ("C1", 3), ("C2", 1), ("C2", 2)]
FOREIGN = "foreign"
"""A thing that is not ours."""
Way = Literal["opens", "sticks", "lost", "lost and shut", "late"]
"""How a command ends: its answer may be lost, whether the door opened or not."""


@dataclass(slots=True)
class Box:
    """A door and what is behind it. `grant` is what it stands open by, None where it was forced."""

    station: str
    unit: int
    item: str | None = None
    is_open: bool = False
    sticks: bool = False
    grant: UUID | None = None


@dataclass(slots=True)
class Trip:
    """An item out of its box: when it left and by which grant, when and where it was put back."""

    item: str
    grant: UUID | None
    taken_at: datetime
    box: tuple[str, int]
    put_at: datetime | None = None
    back: tuple[str, int] | None = None
    told: bool = True
    at_once: bool = False
    """Whether it was told when it happened, after everything before it."""


class Lockers(Town):
    """
    Town with its boxes. `out` are items in people's hands, `trips` all that left, `openings` the times by grants.

    `rogue` are doors that opened without leave; `look` is called after every report.
    """

    def __init__(self, look: Callable[[Lockers], None] = lambda town: None, funds: int = 100_000) -> None:
        self.look = look
        self.waiting: list[Event] = []
        self.heard: list[Event] = []
        self.boxes = {at: Box(*at) for at in BOXES}
        self.boxes["C1", 1].item, self.boxes["C1", 2].item = "i1", "i2"
        self.offline: dict[str, bool] = {"C1": False, "C2": False}
        self.openings: defaultdict[UUID, list[datetime]] = defaultdict(list)
        self.rogue: list[tuple[str, int]] = []
        self.trips: list[Trip] = []
        self.out: list[str] = []
        self.carried: set[str] = set()
        self.replies: list[UUID] = []
        super().__init__(funds)
        social = Token(key(SOCIAL), "accepted", None, None, "social", "issuer", "bob", None, False, None, False, None)
        self.world.rules = Rules(policies={"social": "hold_capture"})
        self.world.tokens[key(SOCIAL)] = social
        self.world.identities["issuer", "bob"] = "bob"

    def tell(self, *events: Event) -> Outcome:
        outcome = super().tell(*events)
        if isinstance(events[0], said.Told) or outcome.status != "refused":  # what was refused may be asked for again
            self.heard += events
        for (driver, currency), minor in self.world.balances.items():
            assert minor <= self.balance(driver), "20: the rules spend only what postings have left"
            self.world.balances[driver, currency] = self.balance(driver)
            self.world.debts[driver, currency] = -self.accounts[f"driver:{driver}:debt"]
        self.look(self)
        return outcome

    # -- reports ------------------------------------------------------------------------------------------------------

    def say(self, event: Any, late: bool) -> None:
        """A report on its way: told now, or when the cabinet is there again, or whenever it comes."""
        off = self.offline.get(event.station_id, False)
        if off and isinstance(event, said.Told):
            event = replace(event, offline=True)
        if late or off:
            self.waiting.append(event)
        else:
            self.tell(event)

    def deliver(self, drawn: random.Random, share: float = 1.0) -> None:
        """What waits comes in, in any order, some of it twice."""
        now = [event for event in self.waiting if drawn.random() < share]
        self.waiting = [event for event in self.waiting if event not in now]
        now += [event for event in now if drawn.random() < 0.2]
        drawn.shuffle(now)
        for event in now:
            self.tell(replace(event, received_at=self.now))  # type: ignore[call-arg]

    def see(self, station: str, late: bool = False) -> None:
        """The cabinet says what is where."""
        boxes = [box for box in self.boxes.values() if box.station == station]
        seen = tuple(
            said.UnitSeen(b.unit, "open" if b.is_open else "closed", b.item is not None, b.item) for b in boxes
        )
        told = said.UnitsSeen(**self.report(station, seq=None), units=seen, last_seq=self.seqs[station])
        self.say(told, late)

    # -- commands -----------------------------------------------------------------------------------------------------

    def to_carry(self) -> list[tuple[str, Grant]]:
        """Grants on their way to a cabinet, by a command or in the answer to a token at the lock."""
        found = [(e.key, self.world.assets.grants[UUID(e.payload["grant"])]) for e in self.commands()]
        found += [(f"reply/{id_}", self.world.assets.grants[id_]) for id_ in self.replies]
        return [(key, grant) for key, grant in found if key not in self.carried]

    def carry(self, key: str, grant: Grant, way: Way, late: bool) -> None:
        """A grant reaches its cabinet, or does not; and what the cabinet says to it."""
        self.carried.add(key)
        is_command = not key.startswith("reply/")
        if self.offline[grant.station_id]:
            end: tuple[Any, str | None] = ("offline", None)
        else:
            error = self._acted(grant, "late" if way == "late" else way, late)
            end = ("accepted", None) if error is None else ("rejected", error)
            if way.startswith("lost"):
                end = ("unknown", None)
        if is_command:
            answered = said.GrantAnswered(grant.station_id, self.now, grant.id, *end)
            if late:
                self.waiting.append(answered)
            else:
                self.tell(answered)

    def _acted(self, grant: Grant, way: Way, late: bool) -> str | None:
        """What the cabinet does with a grant; the protocol's word for why nothing."""
        box = self.boxes[grant.station_id, grant.unit]
        if way == "late" or self.now > grant.expires_at:
            return "GrantExpired"
        if self.openings[grant.id]:
            return "GrantUsed"
        if box.is_open:
            return "DoorAlreadyOpen"
        if box.sticks and way != "sticks":
            return "DoorJammed"
        if grant.why == "take" and box.item != grant.item:
            return "UnitEmpty" if box.item is None else "ItemMismatch"
        if grant.why == "return" and box.item is not None:
            return "UnitOccupied"
        if way in ("opens", "lost"):
            self.open(box, grant.id, late)
        return None

    def open(self, box: Box, grant: UUID | None, late: bool, word: Any = "open") -> None:
        """The door opens."""
        self.now += timedelta(seconds=1)
        box.is_open, box.grant = True, grant
        if grant is None or self.openings[grant]:
            self.rogue.append((box.station, box.unit))
        if grant is not None:
            self.openings[grant].append(self.now)
        self.say(self.door_event(box.station, box.unit, word, grant, box.item is not None), late)

    # -- people -------------------------------------------------------------------------------------------------------

    def take_out(self, box: Box, late: bool, sensor: bool = True) -> None:
        """Somebody takes what is behind an open door."""
        assert box.is_open and box.item is not None
        self.now += timedelta(seconds=1)
        item = self.box_emptied(box, box.grant, told=sensor)
        waits = any(event.station_id == box.station for event in self.waiting if isinstance(event, said.Told))
        if item != FOREIGN:
            self.trips[-1].at_once = sensor and not (late or waits or self.offline[box.station])
        if sensor and item != FOREIGN:
            self.say(self.taken_event(box.station, box.unit, item, box.grant), late)

    def box_emptied(self, box: Box, grant: UUID | None, told: bool = True) -> str:
        """Nothing stands there any more."""
        assert box.item is not None
        item, box.item = box.item, None
        if item != FOREIGN:
            self.out.append(item)
            self.trips.append(Trip(item, grant, self.now, (box.station, box.unit), told=told))
        return item

    def put_in(self, box: Box, item: str, late: bool, flags: tuple[Any, ...] = ()) -> None:
        """Somebody puts an item behind an open door."""
        assert box.is_open and box.item is None
        self.now += timedelta(seconds=1)
        self.box_filled(box, item)
        self.say(self.placed_event(box.station, box.unit, item, box.grant, flags), late)

    def box_filled(self, box: Box, item: str) -> None:
        """An item stands there now."""
        box.item = item
        if item in self.out:
            self.out.remove(item)
            trip = [trip for trip in self.trips if trip.item == item][-1]
            trip.put_at, trip.back = self.now, (box.station, box.unit)

    def shut(self, box: Box, late: bool, sensor: bool = True) -> None:
        """The door is closed."""
        self.now += timedelta(seconds=1)
        has = box.item is not None if sensor else None
        grant = box.grant if box.station == "C1" else None  # the other cabinet has forgotten by what it was opened
        box.is_open, box.grant = False, None
        self.say(self.door_event(box.station, box.unit, "closed", grant, has), late)

    def verdict(self, id_: UUID, word: str) -> None:
        """A psp has decided."""
        station = self.world.authorizations[id_].station_id
        self.tell(AuthorizationDecided(id_, station, self.now, word, None, None, "bob"))

    # -- the clock ----------------------------------------------------------------------------------------------------

    def run_clock(self, until: datetime) -> None:
        """Everything that is due until then, as the worker's timers do it."""
        for _ in range(2_000):
            due, _, check = min(self._due(), default=(until, "", None), key=lambda it: it[:2])
            if due > until or check is None:
                break
            self.now = max(self.now, due)
            self.tell(replace(check, received_at=self.now))
        else:
            raise AssertionError("liveness: the clock comes to rest")
        self.now = max(self.now, until)

    def _due(self) -> list[tuple[datetime, str, Any]]:
        assets, found = self.world.assets, list[tuple[datetime, str, Any]]()
        for grant in assets.grants.values():
            if grant.state in LIVE:
                after = timedelta(seconds=10) if grant.state == "accepted" else timedelta(seconds=21)
                check: Any = said.GrantChecked(grant.station_id, self.now, grant.id)
                found.append((grant.issued_at + after, str(grant.id), check))
        for rental in assets.rentals.values():
            if rental.checked_at is not None:
                check = said.RentalChecked(rental.station_id, self.now, rental.id)
                found.append((rental.checked_at, str(rental.id), check))
        for door in assets.doors.values():
            if door.opened_at is not None and door.state in ("open", "ajar", "forced") and door.told < 2:
                after = timedelta(seconds=180 if door.told else 60)
                check = said.DoorChecked(door.station_id, self.now, door.unit)
                found.append((door.opened_at + after, f"{door.station_id}/{door.unit}", check))
        return found

    # -- the end ------------------------------------------------------------------------------------------------------

    def come_to_rest(self, drawn: random.Random, look: Callable[[Lockers], None]) -> None:
        """
        Everybody goes home, everything is told, and the clock runs on until nothing is due any more.

        `look` is called before cabinets say what is where.
        """
        self.offline = dict.fromkeys(self.offline, False)
        for box in self.boxes.values():
            if box.is_open:
                self.shut(box, late=drawn.random() < 0.3)
        for id_, it in list(self.world.authorizations.items()):
            if it.state == "asking":
                self.verdict(id_, drawn.choice(["authorized", "declined", "timed_out"]))
        for minutes in (0, 1, 60):
            self.deliver(drawn)
            self.run_clock(self.now + timedelta(minutes=minutes))
            while waits := self.to_carry():
                self.carry(*waits[0], "late", late=False)
        look(self)
        self.see("C1")
        self.see("C2")
        self.run_clock(self.now + timedelta(days=70))
