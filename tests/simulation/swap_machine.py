"""Swaps in any order: riders before three battery stations, with everything that goes wrong, by hypothesis."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from csms.domain import asset_events as said
from csms.domain import pack_events as packs
from csms.domain.pack_rows import Reservation, SlotRules
from tests.domain.lending_town import ANN, BOB
from tests.simulation import playing
from tests.simulation.pack_clock import come_to_rest, run_clock
from tests.simulation.pack_stations import CAT, DAN, TOKEN_OF, UNKNOWN, PackStations, Slot
from tests.simulation.pack_store import Batch
from tests.simulation.swap_laws import always, at_rest, facts, kept, seen

LATE = st.sampled_from([False, False, False, True])
ANY = st.integers(0, 1_000)
STATIONS = st.sampled_from(["S1", "S1", "S1", "S2", "S3"])
WHO = st.sampled_from([ANN, ANN, BOB, CAT, DAN])
WORDS = st.sampled_from(["ours", "ours", "ours", "both", "native"])
WAYS = st.sampled_from(["opens"] * 6 + ["jams", "lost", "lost and shut", "late", "another"])
ACTS = st.sampled_from(["take"] * 6 + ["leave", "nothing", "reboot"])
SECONDS = st.sampled_from([1, 3, 12, 30, 70, 200, 310, 700, 2_000, 90_000, 800_000])
RIDES = st.sampled_from([0, 40, 200, 600, 1_070])
TROUBLES = st.sampled_from(
    ["jam", "jam", "mend", "offline", "online", "online", "forget", "forget", "quarantine", "quarantine", "fit",
     "charge", "charge", "fault", "block", "unblock", "accept", "reserve", "state", "service", "shown"]
)  # fmt: skip
SHOWN = st.sampled_from([None, None, None, "own", "serial", "other"])
"""Which token is shown with what is put in."""


def laws(town: PackStations, batch: Batch) -> None:
    always(town, batch)
    kept(town, batch)


class SwapMachine(RuleBasedStateMachine):
    """Riders, stations and reports; the laws are looked at after every batch, and those of rest at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.town = PackStations(laws)
        self.seed = 0

    def pick(self, found: Any, number: int) -> Any:
        return found[number % len(found)]

    def teardown(self) -> None:
        come_to_rest(self.town, random.Random(self.seed))
        at_rest(self.town)

    # -- riders -------------------------------------------------------------------------------------------------------

    @initialize()
    def a_first_pack(self) -> None:
        """So that in every run somebody has a pack."""
        self.rent(ANN, "S1", "opens", "take", False, "ours", 600)

    @rule(who=WHO, station=STATIONS, way=WAYS, act=ACTS, late=LATE, words=WORDS, wh=RIDES)
    def rent(self, who: str, station: str, way: Any, act: str, late: bool, words: Any, wh: int) -> None:
        """A first pack, by the app; and, if all goes well, it is handed out and ridden."""
        if sum(driver == self._driver(who) for driver in self.town.out.values()) < 3:
            self.town.ask(who, station)
            self._answers(way, act, late, words, wh)

    def _driver(self, token: str) -> str:
        return next(driver for driver, mine in TOKEN_OF.items() if mine == token)

    def _answers(self, way: Any, act: str, late: bool, words: Any, wh: int) -> None:
        """What the station does of what it was told, and what whoever stands there does then."""
        town = self.town
        for errand in town.to_carry():
            town.carry(errand, way, late and way != "opens")
        for slot in [slot for slot in town.slots.values() if slot.rid is not None]:
            if slot.rid is not None:
                self._at(slot, act, late, words, wh)

    def _at(self, slot: Slot, act: str, late: bool, words: Any, wh: int, together: bool = False) -> None:
        town = self.town
        if act == "take" and slot.pack is not None:
            mine = [it for it in town.slots.values() if (it.station, it.rid) == (slot.station, slot.rid) and it.pack]
            codes = [it.pack or "" for it in (mine if together else [slot])]
            town.take(mine if together else [slot], town.taker(slot), words, late)
            for code in codes:
                if wh and code in town.levels:
                    town.use(code, wh, 0, reset=False)
        elif act == "leave" and slot.pack is not None:
            town.leave(slot, words, late)
        elif act == "reboot":
            slot.rid = slot.grant = None

    @precondition(lambda self: self.town.out)
    @rule(number=ANY, station=STATIONS, count=st.sampled_from([1, 1, 1, 2]), shown=SHOWN, late=LATE, words=WORDS,
          way=WAYS, act=ACTS, wh=RIDES, at_once=st.sampled_from([True, True, False]))  # fmt: skip
    def swap(self, number: int, station: str, count: int, shown: str | None, late: bool, words: Any, way: Any,
             act: str, wh: int, at_once: bool) -> None:  # fmt: skip
        """A rider comes without a word to anybody, and puts in one pack, or a set, or two one after the other."""
        town, first = self.town, self.pick(sorted(self.town.out), number)
        driver, empty = town.out[first], town.empty(station)
        mine = [
            first,
            *sorted(code for code in town.out if code != first and (town.out[code] == driver or number % 5 == 0)),
        ]
        into = list(zip(empty, mine[:count], strict=False))
        if not into:
            return
        rid = town.new_rid(station)
        token = {"own": TOKEN_OF.get(driver), "serial": first.upper(), "other": BOB if driver == "ann" else ANN}.get(
            shown or ""
        )
        if at_once:
            town.fill(station, rid, into, token, words, late)
        else:
            for slot, code in into:
                town.fill(station, rid, [(slot, code)], token, words, late)
        self._answers(way, act, late, words, wh)

    @precondition(lambda self: self.town.out)
    @rule(
        number=ANY,
        station=STATIONS,
        late=LATE,
        way=WAYS,
        act=ACTS,
        comes=st.sampled_from([True, True, False]),
        wh=RIDES,
    )
    def swap_by_app(self, number: int, station: str, late: bool, way: Any, act: str, comes: bool, wh: int) -> None:
        """An app begins a swap; slots are kept; the rider comes, or does not."""
        town, code = self.town, self.pick(sorted(self.town.out), number)
        driver = town.out[code]
        if driver not in TOKEN_OF:
            return
        town.ask_swap(TOKEN_OF[driver], station)
        for errand in [e for e in town.to_carry() if e.kind == "swap.start"]:
            town.carry(errand, way, late)
        mine = [it for it in town.invited if it[0] == station]
        free = town.empty(station)
        if comes and mine and free:
            town.invited.remove(mine[-1])
            town.fill(station, mine[-1][1], [(free[number % len(free)], code)], None, "ours", late)
            self._answers(way, act, late, "ours", wh)

    @precondition(lambda self: self.town.out)
    @rule(number=ANY, station=STATIONS, late=LATE, way=WAYS, other=st.sampled_from([False, False, False, True]))
    def bring(self, number: int, station: str, late: bool, way: Any, other: bool) -> None:
        """A plain return, by the app: one slot opens for it; perhaps another rider uses it."""
        town, code = self.town, self.pick(sorted(self.town.out), number)
        rental = town.world.assets.rental_of(code)
        if rental is None:
            return
        town.ask_return(rental, station)
        for errand in [e for e in town.to_carry() if e.payload.get("why") == "return"]:
            town.carry(errand, way, late)
        slots = [slot for slot in town.slots.values() if slot.into is not None and slot.pack is None]
        if slots:
            code = self.pick(sorted(town.out), number + 1) if other else code
            town.fill(slots[0].station, town.new_rid(slots[0].station), [(slots[0], code)], None, "ours", late)
            self._answers("opens", "take", late, "ours", 0)

    @rule(station=STATIONS, known=st.booleans(), late=LATE, words=WORDS, way=WAYS, act=ACTS)
    def put_in_what_nobody_has(self, station: str, known: bool, late: bool, words: Any, way: Any, act: str) -> None:
        """A pack that is not ours, or that is nobody's."""
        town = self.town
        gone = {slot.pack for slot in town.slots.values()} | set(town.out)
        code = next((code for code in ("b7", "b8") if code not in gone), None) if known else UNKNOWN
        if town.empty(station) and code is not None and code not in gone:
            town.fill(station, town.new_rid(station), [(town.empty(station)[0], code)], None, words, late)
            self._answers(way, act, late, words, 0)

    @precondition(lambda self: any(slot.rid is not None for slot in self.town.slots.values()))
    @rule(number=ANY, act=ACTS, late=LATE, words=WORDS, wh=RIDES, together=st.booleans())
    def at_an_unlocked_slot(self, number: int, act: str, late: bool, words: Any, wh: int, together: bool) -> None:
        slots = [slot for slot in self.town.slots.values() if slot.rid is not None]
        self._at(self.pick(slots, number), act, late, words, wh, together)

    @rule(station=STATIONS, number=ANY, who=st.sampled_from([None, ANN, BOB, DAN]), late=LATE, words=WORDS)
    def break_open(self, station: str, number: int, who: str | None, late: bool, words: Any) -> None:
        """A pack leaves without anybody's leave; or the station let it go by a token it knows."""
        full = [
            it for it in self.town.slots.values() if it.station == station and it.pack is not None and it.rid is None
        ]
        if full and number % 3 == 0:
            slot = self.pick(full, number)
            slot.rid = self.town.new_rid(station)
            self.town.take([slot], "nobody" if who is None else self._driver(who), words, late, who)

    @precondition(lambda self: self.town.out)
    @rule(
        number=ANY, wh=RIDES, home=st.sampled_from([0, 0, 3_000, 10_000]), reset=st.sampled_from([False, False, True])
    )
    def use(self, number: int, wh: int, home: int, reset: bool) -> None:
        self.town.use(self.pick(sorted(self.town.out), number), wh, home, reset)

    @rule(driver=st.sampled_from(["bob", "cat"]), minor=st.sampled_from([500, 30_000]))
    def top_up(self, driver: str, minor: int) -> None:
        self.town.top_up(driver, minor)

    @precondition(lambda self: any(a.state == "asking" for a in self.town.world.authorizations.values()))
    @rule(word=st.sampled_from(["authorized", "authorized", "authorized", "declined", "timed_out"]), way=WAYS, act=ACTS)
    def psp_decides(self, word: str, way: Any, act: str) -> None:
        asking = [a for a in self.town.world.authorizations.values() if a.state == "asking"]
        self.town.verdict(asking[0].id, word)
        self._answers(way, act, False, "ours", 200)

    # -- stations -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.town.to_carry())
    @rule(number=ANY, way=WAYS, late=LATE)
    def carry(self, number: int, way: Any, late: bool) -> None:
        self.town.carry(self.pick(self.town.to_carry(), number), way, late)

    @rule(station=STATIONS, late=LATE)
    def snapshot(self, station: str, late: bool) -> None:
        self.town.see(station, late)

    @precondition(lambda self: self.town.waiting)
    @rule(seed=ANY, share=st.sampled_from([0.3, 1.0]), order=st.booleans())
    def deliver(self, seed: int, share: float, order: bool) -> None:
        self.seed = seed
        self.town.deliver(random.Random(seed), share, order)

    @rule(number=ANY)
    def tell_again(self, number: int) -> None:
        """A report, a wish or an answer that was told before."""
        kinds = (
            packs.PacksMoved,
            packs.SwapAsked,
            packs.SwapAnswered,
            said.UnitsSeen,
            said.RentAsked,
            said.GrantAnswered,
        )
        told = [event for event in self.town.heard if isinstance(event, kinds)]
        event: Any = self.pick(told, number)
        before = seen(self.town)
        self.town.tell(replace(event, received_at=self.town.now))
        assert seen(self.town) == before, f"9: what is told again changes nothing: {event}"

    @rule(number=ANY)
    def tell_in_other_words(self, number: int) -> None:
        """The same fact under another message id, with its own time."""
        told = [e for e in self.town.heard if isinstance(e, packs.PacksMoved) and e.seq is not None]
        event: Any = self.pick(told, number)
        before = facts(self.town)
        self.town.tell(replace(event, id=f"{event.id}-{len(self.town.heard)}", received_at=self.town.now))
        assert facts(self.town) == before, f"9: the same fact in other words changes nothing: {event}"

    @rule(what=TROUBLES, station=STATIONS, number=ANY, late=LATE)
    def trouble(self, what: str, station: str, number: int, late: bool) -> None:
        """Stations that jam, are away, forget their numbers; staff; levels that rise in slots."""
        town = self.town
        slot = self.pick([slot for slot in town.slots.values() if slot.station == station], number)
        match what:
            case "jam" | "mend":
                slot.jams = what == "jam"
            case "offline" | "online":
                town.offline[station] = what == "offline"
                town.see(station)
            case "forget":
                town.rids[station] = 0
            case "quarantine" | "fit" if slot.pack in town.levels:
                why = "looked at" if what == "quarantine" else None
                town.tell(packs.PackJudged("", town.now, slot.pack or "", why, "staff", "looked at"))
            case "block" | "unblock":
                token = self.pick(sorted(town.world.tokens), number)
                status = "blocked" if what == "block" else "active"
                town.world.tokens[token] = replace(town.world.tokens[token], driver_status=status)
            case "accept":
                town.world.assets.slot_rules[station] = SlotRules(foreign_packs="accept")
            case "reserve":
                self._reserve(station, number)
            case "service":
                town.tell(said.ServiceOpened(station, town.now, town.new_id(), slot.unit, "service", "staff", "dirty"))
            case "shown":
                town.tell(packs.SlotShown(station, town.now, town.now, slot.unit, slot.pack is None))
            case _ if slot.pack in town.levels:
                self._level(what, slot, late)

    def _reserve(self, station: str, number: int) -> None:
        town = self.town
        kept = Reservation(
            town.new_id(),
            1,
            station,
            ("ann", "bob")[number % 2],
            None,
            1,
            127,
            0,
            1_440,
            date(2026, 1, 1),
            None,
            "UTC",
            None,
        )
        if not town.world.assets.reservations:
            town.world.assets.reservations[kept.id] = kept

    def _level(self, what: str, slot: Slot, late: bool) -> None:
        """A pack in its slot is charged, or has a fault, and says so."""
        town, code = self.town, slot.pack or ""
        if what == "charge":
            level = town.levels[code]
            more = min(10_000 - level.soc, 6_000)
            town.levels[code] = level._replace(
                soc=level.soc + more, charge_wh=(level.charge_wh or 0) + more * 15 // 100
            )
        state = town.levels[code]._replace(faults=("hot",) if what == "fault" else None)
        town.now = town.later(1)
        base = town.report(slot.station)
        town.say(packs.PackStated(**base, pack=state, unit=slot.unit, source="station"), late)

    # -- time ---------------------------------------------------------------------------------------------------------

    @rule(seconds=SECONDS, asleep=st.sampled_from([False] * 5 + [True]))
    def later(self, seconds: int, asleep: bool) -> None:
        """Time passes, and the worker does what is due; or it sleeps."""
        if asleep:
            self.town.later(seconds)
        else:
            run_clock(self.town, self.town.now + timedelta(seconds=seconds))


def play(
    machine: type[RuleBasedStateMachine] = SwapMachine, examples: int = 60, steps: int = 30, shrink: bool = False
) -> None:
    """Run the machine."""
    playing.play(machine, examples, steps, "SWAP_SEED", shrink)
