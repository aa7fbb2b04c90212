"""A town with two battery stations and no database: the rules of swaps on a world of dicts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.assets import Item, Rental, unknown_door
from csms.domain.events import Outcome
from csms.domain.pack_events import RID_MIN, InSlot
from csms.domain.pack_rows import Pack, Swap, Voucher
from csms.domain.pack_state import PackState
from csms.domain.session import Priced, Station, Terms
from csms.domain.settlement import Split
from csms.domain.tariff_document import parse
from csms.domain.token import key
from tests.domain.lending_town import ANN, NOON, TARIFF, Town

EXTRA = {
    "battery_energy": {"tiers": [{"from": 0, "price": 500}]},
    "deliveries": {"tiers": [{"from": 0, "price": 100}]},
    "deposit": 20_000,
    "free_within": 0,
    "due_after": 7 * 86_400,
}
CAPACITY = 1_500


class PackTown(Town):
    """
    Stations S1 (slots 1 to 4, packs b1 to b3 in the first three, full) and S2 (slots 1 and 2, b4 in the first).

    Pack `b1` says the serial `B1`; `level` is what a pack says now. Ann and Bob have 100,000, Poor has nothing.
    """

    def __init__(self, funds: int = 100_000, extra: dict[str, Any] | None = None) -> None:
        super().__init__(funds)
        world = self.world
        document = TARIFF | {"id": "B", "extra": EXTRA if extra is None else extra}
        world.priced["B", 1, "P", 1] = Priced(parse(document), Split(1000))
        terms = Terms("B", 1, "KRW", 10_000, 1)
        self.levels: dict[str, PackState] = {}
        for station, slots in (("S1", 4), ("S2", 2)):
            world.stations[station] = Station(station, "battery_station", "P", None, 1, terms, {})
            for unit in range(1, slots + 1):
                world.assets.doors[station, unit] = unknown_door(station, unit)
                world.assets.capable[station, unit] = "battery"
        for code in ("b1", "b2", "b3", "b4", "b5", "b6"):
            self._add(code)
        self.units("S1", {1: "b1", 2: "b2", 3: "b3", 4: None})
        self.units("S2", {1: "b4", 2: None})

    def _add(self, code: str) -> None:
        since = NOON - timedelta(days=9)
        world, serial = self.world, code.upper()
        world.assets.items[code] = Item(
            code, "battery", "k1", "P", "ok", "unknown", None, None, None, since, "", None, False, None, 1
        )
        world.assets.packs[code] = Pack(
            code, serial, CAPACITY, None, None, None, None, None, None, None, None, None, None, (), None, None, None,
            "", None, 1,
        )  # fmt: skip
        self.levels[code] = PackState(serial, 9_500, 9_500, discharge_wh=40_000, charge_wh=41_000, epoch=1, cycles=100)

    # -- packs --------------------------------------------------------------------------------------------

    def ride(self, code: str, wh: int) -> None:
        """A pack is used: its level falls, its counter rises."""
        level = self.levels[code]
        less = wh * 10_000 * 10_000 // (CAPACITY * (level.soh or 0))
        self.levels[code] = level._replace(soc=max(0, level.soc - less), discharge_wh=(level.discharge_wh or 0) + wh)
        self.later(3_600)

    def units(self, station: str, units: dict[int, str | None], **more: Any) -> Outcome:
        """A snapshot of a station's slots."""
        seen = tuple(
            said.UnitSeen(unit, "closed", code is not None, None, pack=None if code is None else self.levels[code])
            for unit, code in units.items()
        )
        last = self.seqs[station]
        return self.tell(said.UnitsSeen(**self.report(station, seq=None, **more), units=seen, last_seq=last))

    def moved(
        self, what: Literal["in", "out", "timeout"], rid: int, slots: dict[int, str], station: str = "S1",
        token: str | None = None, **more: Any,
    ) -> packs.PacksMoved:  # fmt: skip
        """A report of packs; a code that nobody knows is a serial."""
        told = tuple(InSlot(unit, self.levels.get(code, PackState(code, 5_000))) for unit, code in slots.items())
        base = self.report(station, **more)
        return packs.PacksMoved(**base, what=what, rid=rid, token=token, slots=told, swap_id=self.new_id())

    def put_in(self, rid: int, slots: dict[int, str], station: str = "S1", **more: Any) -> Outcome:
        return self.tell(self.moved("in", rid, slots, station, **more))

    def take_out(self, rid: int, slots: dict[int, str], station: str = "S1", **more: Any) -> Outcome:
        self.later(1)
        return self.tell(self.moved("out", rid, slots, station, **more))

    def not_taken(self, rid: int, slots: dict[int, str], station: str = "S1", **more: Any) -> Outcome:
        self.later(60)
        return self.tell(self.moved("timeout", rid, slots, station, **more))

    def stated(self, code: str, station: str = "S1", unit: int | None = None, **more: Any) -> Outcome:
        event = packs.PackStated(
            **self.report(station), pack=self.levels[code]._replace(**more), unit=unit, source="station"
        )
        return self.tell(event)

    # -- drivers ------------------------------------------------------------------------------------------

    def rent_pack(self, token: str = ANN, station: str = "S1", unit: int | None = None) -> Rental:
        """The whole way of a first pack: by the app, until it is in the driver's hands."""
        grant = self.granted(self.ask(token, station, unit))
        assert grant.rental_id is not None and grant.item is not None
        self.answer(grant.id)
        swap = self.swap_of(grant.rental_id)
        self.take_out(swap.rid, {grant.unit: grant.item}, station)
        return self.rental(grant.rental_id)

    def ask_swap(self, token: str = ANN, station: str = "S1", count: int = 1) -> Outcome:
        swap_id = self.new_id()
        return self.tell(
            packs.SwapAsked(
                station, self.now, swap_id, RID_MIN + swap_id.int % RID_MIN, key(token), "A0..", "F" * 16, count,
                "totp", token,
            )
        )  # fmt: skip

    def watch(self, seconds: float = 5) -> None:
        """The clock looks at every grant, swap and rental that is due by then."""
        self.later(seconds)
        for grant in list(self.world.assets.grants.values()):
            self.tell(said.GrantChecked(grant.station_id, self.now, grant.id))
        for swap in list(self.world.assets.swaps.values()):
            if swap.checked_at is not None and swap.checked_at <= self.now:
                self.tell(packs.SwapChecked(swap.station_id, self.now, swap.id))
        self.run_clock(self.now)

    def buy(self, unit: Any, total: int, price: int, driver: str = "ann", **more: Any) -> Voucher:
        """A driver has a voucher; its price stands on its deferred account."""
        mine = Voucher(
            self.new_id(), 1, driver, None, "m", unit, total, 0, price, 0, "KRW", Decimal(10), None,
            self.now - timedelta(days=1), self.now + timedelta(days=29), None,
        )._replace(**more)  # fmt: skip
        self.world.assets.vouchers[mine.id] = mine
        self.accounts[f"voucher:{mine.id}:deferred"] += price
        self.accounts[f"voucher:{mine.id}:{unit}"] += total
        self.accounts["start"] -= price
        self.accounts[f"units:{unit}"] -= total
        return mine

    # -- what is --------------------------------------------------------------------------------------------

    def swap_of(self, rental_id: UUID | None) -> Swap:
        """The swap that a rental is handed out by."""
        swap_id = self.rental(rental_id).swap_id
        assert swap_id is not None
        return self.world.assets.swaps[swap_id]

    def swap(self, rid: int, station: str = "S1") -> Swap:
        """The newest swap of a number."""
        found = self.world.assets.swaps.of("rid", (station, rid))
        return max(found, key=lambda swap: swap.opened_at)

    def releases(self) -> list[dict[str, Any]]:
        """What stations were told to hand out, or to give back."""
        return [errand.payload for errand in self.commands() if "rid" in errand.payload]

    def fees(self) -> list[int]:
        """What was billed, in order."""
        return [bill.price.total_minor for bill in self.bills]
