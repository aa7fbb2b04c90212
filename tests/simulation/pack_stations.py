"""
Three battery stations as they really are, and the riders before them: packs, levels, slots that jam, reports that lag.

What the rules believe is in the `PackTown` it is built on; here is what happened. A station obeys the protocol: it acts
on a grant once and in time. What it reports is told at once, or waits in `waiting`; all of it is derived from what is
really in its slots.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.assets import unknown_door
from csms.domain.errand import Errand
from csms.domain.events import AuthorizationDecided, Event, Outcome
from csms.domain.pack_state import PackState
from csms.domain.session import Priced, Station, Terms
from csms.domain.settlement import Split
from csms.domain.tariff_document import parse
from csms.domain.token import key
from csms.domain.world import Rules, Token
from tests.domain.lending_town import ANN, BOB, TARIFF
from tests.domain.pack_town import CAPACITY, EXTRA, PackTown
from tests.simulation.pack_store import Batch, decided

CAT, DAN = "CA1CA1CA", "DA2DA2DA"
"""Who has vouchers and no money; whom a psp pays for."""
TOKENS = {ANN: "ann", BOB: "bob", CAT: "cat", DAN: "dan"}
TOKEN_OF = {driver: token for token, driver in TOKENS.items()}
SLOTS = {"S1": 4, "S2": 2, "S3": 3}
DEEMED = {"deemed_purchase": {"after": 7 * 86_400, "price": 18_000}}
NO_DEPOSIT = {
    "battery_energy": {"tiers": [{"from": 0, "price": 500}]},
    "deliveries": {"tiers": [{"from": 0, "price": 100}]},
    "held_time": {"tiers": [{"from": 0, "price": 60}]},
    "delivery_wh": 600,
    "free_within": 0,
    "due_after": 7 * 86_400,
    "deemed_purchase": {"after": 7 * 86_400, "price": 5_000},
}
UNKNOWN = "X9"
"""The serial of a pack that nobody knows."""
Way = Literal["opens", "jams", "lost", "lost and shut", "late", "another"]
"""How a command ends: its answer may be lost, whether the slot opened or not; or the station chooses for itself."""
Words = Literal["ours", "both", "native"]
"""A 2.1 station may say the same fact as BatterySwap, without a time, and in our protocol."""


@dataclass(slots=True)
class Slot:
    """A slot and what is in it. `rid`: it is unlocked for that swap by `grant`; `into`: for whoever gives back."""

    station: str
    unit: int
    pack: str | None = None
    jams: bool = False
    rid: int | None = None
    grant: UUID | None = None
    into: UUID | None = None


@dataclass(slots=True)
class Trip:
    """A pack out of its slot: its level when it left, and when it was put back."""

    pack: str
    driver: str
    taken_at: datetime
    out: PackState
    box: tuple[str, int]
    put_at: datetime | None = None
    back: PackState | None = None
    box_in: tuple[str, int] | None = None
    at_once: bool = True
    """Whether all of it was told in our protocol when it happened, after everything before it."""


class PackStations(PackTown):
    """
    PackTown with its slots. `out` says who really has which pack, `trips` who had which.

    `look` is called after every batch, with what it wrote.
    """

    def __init__(self, look: Callable[[PackStations, Batch], None] = lambda town, batch: None) -> None:
        self.look = look
        self.waiting: list[Event] = []
        self.heard: list[Event] = []
        self.slots: dict[tuple[str, int], Slot] = {}
        self.offline = dict.fromkeys(SLOTS, False)
        self.rids: Counter[str] = Counter()
        self.acted: set[UUID] = set()
        self.carried: set[str] = set()
        self.invited: list[tuple[str, int, str]] = []
        self.out: dict[str, str] = {}
        self.trips: list[Trip] = []
        self.uses: list[Any] = []
        self.looks: Counter[UUID] = Counter()
        self.topped: defaultdict[str, int] = defaultdict(int)
        self.ready = False
        super().__init__(extra={**EXTRA, **DEEMED})
        self._furnish()
        self.ready = True

    def _furnish(self) -> None:
        world = self.world
        for provider in ("P", "Q"):
            world.priced["D", 1, provider, 1] = Priced(parse(TARIFF | {"id": "D", "extra": NO_DEPOSIT}), Split(1000))
        terms = Terms("D", 1, "KRW", 10_000, 1)
        for name, provider in (("S2", "P"), ("S3", "Q")):
            world.stations[name] = Station(name, "battery_station", provider, None, 1, terms, {})
        for unit in range(1, SLOTS["S3"] + 1):
            world.assets.doors["S3", unit] = unknown_door("S3", unit)
            world.assets.capable["S3", unit] = "battery"
        for code in ("b7", "b8"):
            self._add(code)
        self.slots = {(name, unit): Slot(name, unit) for name in SLOTS for unit in range(1, SLOTS[name] + 1)}
        for place, code in {("S1", 1): "b1", ("S1", 2): "b2", ("S1", 3): "b3", ("S2", 1): "b4", ("S3", 1): "b5",
                            ("S3", 2): "b6"}.items():  # fmt: skip
            self.slots[place].pack = code
        world.rules = Rules(policies={"social": "hold_capture"})
        world.tokens[key(DAN)] = Token(
            key(DAN), "accepted", None, None, "social", "issuer", "dan", None, False, None, False, None
        )
        world.identities["issuer", "dan"] = "dan"
        world.tokens[key(CAT)] = replace(world.tokens[key(ANN)], key=key(CAT), driver_id="cat")
        for driver, minor in (("ann", 100_000), ("bob", 30_400), ("cat", 0), ("dan", 0)):
            before = self.accounts[f"driver:{driver}:balance"]
            self.accounts["start"] += before - minor
            world.balances[driver, "KRW"] = self.accounts[f"driver:{driver}:balance"] = minor
            self.topped[driver] = minor
        for unit, total, price in (("cnt", 2, 333), ("sec", 10_000, 500), ("wh", 1_500, 1_001), ("val", 900, 700)):
            self.buy(unit, total, price, "cat", product_id=unit, valid_until=self.now + timedelta(days=60))
        self.buy("wh", 700, 650, "bob", overuse_price=None)
        for name in SLOTS:
            self.see(name)

    # -- reports ------------------------------------------------------------------------------------------------------

    def tell(self, *events: Event) -> Outcome:
        """As in `Town`; what is stored of a batch is all that is left of it."""
        outcomes, batch = decided(self, events)
        if isinstance(events[0], said.Told) or outcomes[-1].status != "refused":
            self.heard += events
        if self.ready:
            self.look(self, batch)
        return outcomes[-1]

    def say(self, event: Any, late: bool) -> None:
        """A report on its way: told now, or when the station is there again, or whenever it comes."""
        off = self.offline.get(event.station_id, False)
        if off and isinstance(event, said.Told):
            event = replace(event, offline=True)
        if late or off:
            self.waiting.append(event)
        else:
            self.tell(event)

    def lags(self, station: str) -> bool:
        """Whether something of a station is still to be told."""
        return self.offline[station] or any(it.station_id == station for it in self.waiting)

    def deliver(self, drawn: random.Random, share: float = 1.0, order: bool = False) -> None:
        """What waits comes in, in any order, some of it twice; or in the order of a queue that is replayed."""
        now = [event for event in self.waiting if drawn.random() < share]
        self.waiting = [event for event in self.waiting if event not in now]
        now += [event for event in now if drawn.random() < 0.2 and not order]
        if not order:
            drawn.shuffle(now)
        for event in now:
            self.tell(replace(event, received_at=self.now))  # type: ignore[call-arg]

    def see(self, station: str, late: bool = False) -> None:
        """The station says what stands where."""
        seen = tuple(
            said.UnitSeen(
                s.unit, "closed", s.pack is not None, None, pack=None if s.pack is None else self.state(s.pack)
            )
            for s in self.slots.values()
            if s.station == station
        )
        told = said.UnitsSeen(**self.report(station, seq=None), units=seen, last_seq=self.seqs[station])
        self.say(told, late)

    def state(self, code: str) -> PackState:
        """How a pack is."""
        return self.levels.get(code, PackState(code, 5_000))

    def words(self, event: packs.PacksMoved, words: Words, late: bool) -> None:
        """Packs moved: told in our protocol, as BatterySwap, or both; BatterySwap comes at once or not at all."""
        if words != "ours" and not self.offline[event.station_id]:
            bare = tuple(
                slot._replace(pack=PackState(slot.pack.serial, slot.pack.soc, slot.pack.soh)) for slot in event.slots
            )
            self.tell(replace(event, id=f"{event.id}-native", seq=None, at=self.now, slots=bare))
            if words == "native":
                return
        self.say(event, late)

    # -- commands -----------------------------------------------------------------------------------------------------

    def to_carry(self) -> list[Errand]:
        """Commands on their way to a station."""
        return [e for e in self.errands if e.kind in ("door.open", "swap.start") and e.key not in self.carried]

    def carry(self, errand: Errand, way: Way, late: bool) -> None:
        """A command reaches its station, or does not; and what is answered to it."""
        self.carried.add(errand.key)
        payload, station = errand.payload, str(errand.payload["station"])
        expires_at = datetime.fromisoformat(str(payload["expires_at"]))
        end: tuple[Any, str | None] = ("accepted", None)
        if self.offline[station]:
            end = ("offline", None)
        elif way == "late" or self.now > expires_at:
            end = ("rejected", "GrantExpired")
        elif errand.kind == "door.open":
            error = self._acted(payload, way)
            end = ("accepted", None) if error is None else ("rejected", error)
        elif way == "jams":
            end = ("rejected", "Busy")
        else:
            self.invited.append((station, int(str(payload["rid"])), str(payload["swap"])))
        if way.startswith("lost") and end[0] != "offline":
            end = ("unknown", None)
        answer: Any
        if errand.kind == "door.open":
            answer = said.GrantAnswered(station, self.now, UUID(str(payload["grant"])), *end)
        else:
            answer = packs.SwapAnswered(station, self.now, UUID(str(payload["swap"])), *end)
        if late:
            self.waiting.append(answer)
        else:
            self.tell(answer)

    def _acted(self, payload: Any, way: Way) -> str | None:
        """What a station does with a grant; the protocol's word for why nothing."""
        grant, slot = UUID(payload["grant"]), self.slots[payload["station"], payload["unit"]]
        if grant in self.acted:
            return "GrantUsed"
        if slot.rid is not None or slot.into is not None:
            return "DoorAlreadyOpen"
        if slot.jams or way == "jams":
            return "DoorJammed"
        if payload["why"] != "take":
            if slot.pack is not None:
                return "UnitOccupied"
            slot.into = grant if way in ("opens", "lost") else None
            return None
        if slot.pack is None:
            return "UnitEmpty"
        if way == "another" and payload["err"] is None:
            others = [s for s in self.slots.values() if s.station == slot.station and s.pack and s.rid is None]
            slot = others[-1] if others else slot
        if way != "lost and shut":
            self.acted.add(grant)
            slot.rid, slot.grant = payload["rid"], grant
        return None

    # -- people -------------------------------------------------------------------------------------------------------

    def empty(self, station: str) -> list[Slot]:
        """Slots that something can be put into."""
        return [slot for slot in self.slots.values() if slot.station == station and slot.pack is None]

    def fill(self, station: str, rid: int, into: Sequence[tuple[Slot, str]], token: str | None, words: Words, late: bool) -> None:  # fmt: skip # noqa: E501
        """Somebody puts packs into slots."""
        self.now += timedelta(seconds=1)
        lags = self.lags(station)
        for slot, code in into:
            assert slot.pack is None
            slot.pack, slot.into = code, None
            if code in self.out:
                del self.out[code]
                trip = [trip for trip in self.trips if trip.pack == code][-1]
                trip.put_at, trip.back, trip.box_in = self.now, self.state(code), (station, slot.unit)
                trip.at_once = trip.at_once and not (late or lags or words != "ours")
        event = self.moved("in", rid, {slot.unit: code for slot, code in into}, station, token)
        self.words(event, words, late)

    def take(self, slots: Sequence[Slot], driver: str, words: Words, late: bool, token: str | None = None) -> None:
        """Somebody takes packs out of slots that are unlocked, or broken open."""
        self.now += timedelta(seconds=1)
        station, rid = slots[0].station, slots[0].rid
        assert rid is not None
        codes = {slot.unit: slot.pack or "" for slot in slots}
        at_once = not (late or self.lags(station) or words != "ours")
        event = self.moved("out", rid, codes, station, token)
        for slot in slots:
            code = slot.pack or ""
            slot.pack = slot.rid = slot.grant = None
            if code != UNKNOWN:
                self.out[code] = driver
                place = station, slot.unit
                self.trips.append(Trip(code, driver, self.now, self.state(code), place, at_once=at_once))
        self.words(event, words, late)

    def leave(self, slot: Slot, words: Words, late: bool, told: bool = True) -> None:
        """Nobody takes what was offered: the slot is locked again."""
        assert slot.rid is not None and slot.pack is not None
        self.now += timedelta(seconds=60)
        event = self.moved("timeout", slot.rid, {slot.unit: slot.pack}, slot.station)
        slot.rid = slot.grant = None
        if told:
            self.words(event, words, late)

    def new_rid(self, station: str) -> int:
        """A number that the station chooses."""
        self.rids[station] += 1
        return self.rids[station]

    def taker(self, slot: Slot) -> str:
        """Who stands before an unlocked slot: whose pack it is to be."""
        grant = None if slot.grant is None else self.world.assets.grants.get(slot.grant)
        rental = None if grant is None or grant.rental_id is None else self.world.assets.rentals.get(grant.rental_id)
        return "nobody" if rental is None or rental.driver_id is None else rental.driver_id

    def use(self, code: str, wh: int, home: int, reset: bool) -> None:
        """A pack is ridden, charged at home, its counters begin anew."""
        self.ride(code, wh)
        level = self.levels[code]
        more = min(home, 10_000 - level.soc)
        level = level._replace(soc=level.soc + more, charge_wh=(level.charge_wh or 0) + more * CAPACITY // 10_000)
        if reset:
            level = level._replace(epoch=(level.epoch or 0) + 1, discharge_wh=0, charge_wh=0)
        self.levels[code] = level

    def top_up(self, driver: str, minor: int) -> None:
        """Money comes in."""
        self.accounts[f"driver:{driver}:balance"] += minor
        self.accounts["start"] -= minor
        self.topped[driver] += minor
        self.world.balances[driver, "KRW"] = self.accounts[f"driver:{driver}:balance"]

    def verdict(self, id_: UUID, word: str) -> None:
        """A psp has decided."""
        station = self.world.authorizations[id_].station_id
        self.tell(AuthorizationDecided(id_, station, self.now, word, None, None, "dan"))  # type: ignore[arg-type]
