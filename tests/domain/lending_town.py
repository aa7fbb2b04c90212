"""A town of two cabinets without a database: the rules of lending on a world of dicts, and what they moved."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from csms.domain import asset_events as said
from csms.domain.assets import Assets, Grant, Item, Rental, unknown_door
from csms.domain.books import Books, issued
from csms.domain.decide import decide
from csms.domain.events import Event, Outcome
from csms.domain.session import Priced, Station, Terms
from csms.domain.settlement import Split
from csms.domain.tariff_document import parse
from csms.domain.token import key
from csms.domain.world import Rules, Token, World

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ANN, BOB, POOR = "A0A0A0A0", "B0B0B0B0", "C0C0C0C0"
DRIVERS = {ANN: "ann", BOB: "bob", POOR: "poor"}
DEPOSIT, HOLD = 20_000, 10_000
EXTRA = {
    "held_time": {"tiers": [{"from": 0, "fee": 165}, {"from": 1800, "fee": 360}, {"from": 86_400, "fee": 900}]},
    "late": {"tiers": [{"from": 0, "fee": 0}, {"from": 1, "fee": 1000}, {"from": 86_400, "fee": 3000}]},
    "deposit": DEPOSIT,
    "deemed_purchase": {"after": 7 * 86_400, "price": 18_000},
    "due_after": 86_400,
    "grace": 1_800,
    "free_within": 300,
}
TARIFF = {
    "country_code": "KR", "party_id": "CSM", "id": "L", "currency": "KRW", "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}],
    "extra": EXTRA, "last_updated": "2026-01-01T00:00:00Z",
}  # fmt: skip
KEPT = [it.name for it in fields(World) if it.name not in ("rules", "assets", "waiting")]
TABLES = [it.name for it in fields(Assets)]


def copied(world: World) -> World:
    """A world that a batch may change: rows are values, so copies of the dicts and sets are enough."""
    anew = World(world.rules, **{name: copy.copy(getattr(world, name)) for name in KEPT})
    anew.waiting = {id_: set(places) for id_, places in world.waiting.items()}
    anew.assets = replace(world.assets)
    for name in TABLES:
        setattr(anew.assets, name, copy.copy(getattr(world.assets, name)))
    return anew


class Town:
    """
    Cabinets C1 (doors 1 to 3, items i1 and i2 behind the first two) and C2 (two empty doors).

    `tell` decides one batch and keeps what it wrote; `balance` is what an account has.
    """

    def __init__(self, funds: int = 100_000) -> None:
        self.now = NOON
        self.ids = itertools.count(1)
        self.accounts: defaultdict[str, int] = defaultdict(int)
        self.bills: list[Any] = []
        self.concerns: list[Any] = []
        self.errands: list[Any] = []
        self.seqs: defaultdict[str, int] = defaultdict(int)
        priced = Priced(parse(TARIFF), Split(1000))
        world = self.world = World(Rules(policies={}), priced={("L", 1, "P", 1): priced})
        terms = Terms("L", 1, "KRW", HOLD, 1)
        for station, doors in (("C1", 3), ("C2", 2)):
            world.stations[station] = Station(station, "locker", "P", None, 1, terms, {})
            for unit in range(1, doors + 1):
                world.assets.doors[station, unit] = unknown_door(station, unit)
                world.assets.capable[station, unit] = "portable"
        for code in ("i1", "i2"):
            world.assets.items[code] = Item(
                code, "portable", "p1", "P", "ok", "unknown", None, None, None, NOON - timedelta(days=9), "", None,
                False, None, 1,
            )  # fmt: skip
        for token, driver in DRIVERS.items():
            minor = 0 if driver == "poor" else funds
            world.balances[driver, "KRW"] = self.accounts[f"driver:{driver}:balance"] = minor
            world.tokens[key(token)] = Token(
                key(token), "accepted", driver, "active", None, None, None, None, False, None, False, None
            )
        self.accounts["start"] = -sum(self.accounts.values())
        self.snapshot("C1", {1: "i1", 2: "i2", 3: None})
        self.snapshot("C2", {1: None, 2: None})

    # -- telling ------------------------------------------------------------------------------------------

    def tell(self, *events: Event) -> Outcome:
        """Decides a batch; the outcome of its last event."""
        for _ in range(3):
            world = copied(self.world)
            outcomes, changes = decide(world, events)
            if not changes.lacking and not changes.assets.lacks():
                break
            for place in changes.lacking:
                session = self.world.sessions[place]
                bills = tuple(issued(bill) for bill in self.bills if bill.session.id == session.id)
                self.world.series[session.id], self.world.books[session.id] = (), Books(bills)
            self.world.assets.looked_up |= changes.assets.lacking
        else:
            raise AssertionError("what was loaded is not lacking")
        self.world = world
        world.books.clear()
        for posting in changes.postings:
            for transfer in posting.transfers:
                self.accounts[transfer.debit] -= transfer.minor
                self.accounts[transfer.credit] += transfer.minor
        self.bills += changes.bills
        self.concerns += changes.concerns
        self.errands += changes.errands
        return outcomes[-1]

    def later(self, seconds: float) -> datetime:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        return self.now

    def new_id(self) -> UUID:
        """An id as an edge draws it: the low byte is free for what is derived from it."""
        return UUID(int=(1 << 120) + (next(self.ids) << 8))

    def report(self, station: str, **more: Any) -> dict[str, Any]:
        """What all reports have in common."""
        self.seqs[station] += 1
        at = more.pop("at", self.now)
        base = {"station_id": station, "received_at": self.now, "at": at, "raw": "", "offline": False}
        return {**base, "id": f"event-{next(self.ids):05}", "seq": self.seqs[station], **more}

    # -- what happens -------------------------------------------------------------------------------------

    def snapshot(self, station: str, units: dict[int, str | None], **more: Any) -> Outcome:
        seen = tuple(said.UnitSeen(unit, "closed", code is not None, code) for unit, code in units.items())
        last = self.seqs[station]
        return self.tell(said.UnitsSeen(**self.report(station, seq=None, **more), units=seen, last_seq=last))

    def ask(self, token: str = ANN, station: str = "C1", unit: int | None = None, **more: Any) -> Outcome:
        """A driver's app rents."""
        ids = {name: self.new_id() for name in ("rental_id", "grant_id", "authorization_id")} | more
        return self.tell(
            said.RentAsked(
                station, self.now, **ids, token_key=key(token), token_masked="A0..", unit=unit,
                item_type=None, proof="totp", by=token,
            )
        )  # fmt: skip

    def ask_return(self, rental: Rental, station: str = "C2") -> Outcome:
        """A driver's app gives back."""
        return self.tell(said.ReturnAsked(station, self.now, rental.id, self.new_id(), None, "totp", "ann"))

    def error(self, outcome: Outcome) -> str | None:
        """The protocol's word for what is wrong."""
        assert outcome.asset is not None
        return outcome.asset.error

    def at_lock(self, token: str = ANN, station: str = "C1", why: Any = "take", unit: int | None = None) -> Outcome:
        """A driver's token at the lock."""
        ids = {name: self.new_id() for name in ("rental_id", "grant_id", "authorization_id")}
        request = said.DoorRequested(**self.report(station, seq=None), unit=unit, why=why, token=token, **ids)
        return self.tell(request)

    def answer(self, grant: UUID, end: Any = "accepted", error: str | None = None) -> Outcome:
        station = self.world.assets.grants[grant].station_id
        return self.tell(said.GrantAnswered(station, self.now, grant, end, error))

    def door(self, station: str, unit: int, state: Any, grant: UUID | None = None, has: bool | None = None) -> Outcome:
        return self.tell(self.door_event(station, unit, state, grant, has))

    def door_event(
        self, station: str, unit: int, state: Any, grant: UUID | None = None, has: bool | None = None
    ) -> said.DoorMoved:
        return said.DoorMoved(**self.report(station), unit=unit, door=state, grant_id=grant, has=has, error=None)

    def taken_event(self, station: str, unit: int, item: str, grant: UUID | None) -> said.ItemTaken:
        return said.ItemTaken(**self.report(station), unit=unit, item=item, grant_id=grant)

    def placed_event(
        self, station: str, unit: int, item: str, grant: UUID | None = None, flags: tuple[Any, ...] = ()
    ) -> said.ItemPlaced:
        return said.ItemPlaced(**self.report(station), unit=unit, item=item, grant_id=grant, flags=flags)

    def take(self, token: str = ANN, station: str = "C1", unit: int | None = None) -> Rental:
        """The whole way from the app to the item in the driver's hands."""
        grant = self.granted(self.ask(token, station, unit))
        self.answer(grant.id)
        self.open_and_take(grant)
        assert grant.rental_id is not None
        return self.rental(grant.rental_id)

    def open_and_take(self, grant: Grant) -> None:
        assert grant.item is not None
        self.later(1)
        self.door(grant.station_id, grant.unit, "open", grant.id)
        self.tell(self.taken_event(grant.station_id, grant.unit, grant.item, grant.id))
        self.later(1)
        self.door(grant.station_id, grant.unit, "closed", grant.id, has=False)

    def bring(self, rental: Rental, station: str = "C2", **more: Any) -> Rental:
        """The whole way of a return by the app."""
        grant = self.granted(self.ask_return(rental, station))
        self.answer(grant.id)
        self.door(station, grant.unit, "open", grant.id)
        self.tell(self.placed_event(station, grant.unit, rental.item or "", grant.id, **more))
        self.later(2)
        self.door(station, grant.unit, "closed", grant.id, has=True)
        return self.rental(rental.id)

    def away(self, rental: Rental, seconds: int) -> None:
        """Its cabinet was away for so long after it was late: as the database tells whoever loads the rental."""
        due_at = self.rental(rental.id).due_at
        assert due_at is not None
        since = due_at + timedelta(seconds=EXTRA["grace"])  # type: ignore[arg-type]
        self.world.assets.outages[rental.station_id] = [(since, since + timedelta(seconds=seconds))]

    def check(self, rental: Rental) -> Rental:
        """The clock looks at a rental."""
        self.tell(said.RentalChecked(rental.station_id, self.now, rental.id))
        return self.rental(rental.id)

    def run_clock(self, until: datetime) -> None:
        """Everything that is due until then, in order, as the timers do it."""
        while True:
            due = [r for r in self.world.assets.rentals.values() if r.checked_at is not None and r.checked_at <= until]
            if not due:
                break
            rental = min(due, key=lambda r: (r.checked_at, r.id))
            assert rental.checked_at is not None
            self.now = max(self.now, rental.checked_at)
            self.check(rental)
        self.now = max(self.now, until)

    # -- what is --------------------------------------------------------------------------------------------

    def rental(self, id_: UUID | None) -> Rental:
        assert id_ is not None
        return self.world.assets.rentals[id_]

    def holder(self, code: str) -> Rental:
        """The rental that has this item now."""
        rental = self.world.assets.rental_of(code)
        assert rental is not None, f"nobody has {code}"
        return rental

    def granted(self, outcome: Outcome) -> Grant:
        """The grant that somebody got."""
        assert outcome.asset is not None and outcome.asset.grant_id is not None, outcome
        return self.world.assets.grants[outcome.asset.grant_id]

    def wanted(self, outcome: Outcome) -> Rental:
        """The rental that somebody asked for."""
        assert outcome.asset is not None and outcome.asset.rental_id is not None, outcome
        return self.rental(outcome.asset.rental_id)

    def item(self, code: str) -> Item:
        return self.world.assets.items[code]

    def balance(self, driver: str = "ann") -> int:
        return self.accounts[f"driver:{driver}:balance"]

    def held(self) -> int:
        """What is set aside for all uses together."""
        return sum(minor for address, minor in self.accounts.items() if address.endswith(":held"))

    def kinds(self) -> list[str]:
        """The kinds of what people have to look at."""
        return [concern.kind for concern in self.concerns]

    def commands(self, kind: str = "door.open") -> Iterable[Any]:
        """What the worker was told to send."""
        return [errand for errand in self.errands if errand.kind == kind]
