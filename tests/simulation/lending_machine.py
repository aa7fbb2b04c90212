"""Lending in any order: two drivers and a thief before two cabinets, with everything that goes wrong, by hypothesis."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from csms.domain import asset_events as said
from csms.domain.assets import OPEN
from csms.domain.events import Outcome
from tests.domain.lending_town import ANN, BOB, POOR
from tests.simulation import playing
from tests.simulation.lending_laws import always, at_rest, before_a_look, seen, unchanged
from tests.simulation.lockers import BOXES, FOREIGN, SOCIAL, Box, Lockers

NOBODY = "F0F0F0F0"
LATE = st.sampled_from([False, False, True])
"""Whether what happens is told when it happens."""
ANY = st.integers(0, 1_000)
STATIONS = st.sampled_from(["C1", "C1", "C2"])
LATES = st.lists(LATE, min_size=3, max_size=3)
WHO = st.sampled_from([ANN, ANN, BOB, SOCIAL])
STEPS = st.sampled_from([3, 3, 3, 3, 2, 1, 0])
"""How far a visit comes."""
ACTS = st.sampled_from(["what it is for"] * 7 + ["other", "foreign", "nothing", "to and fro", "broken"])
WAYS = st.sampled_from(["opens"] * 6 + ["sticks", "lost", "lost and shut", "late"])
TROUBLES = st.sampled_from(
    ["force", "steal", "again", "stick", "jam", "mend", "service", "offline", "online", "online"]
)
SECONDS = st.sampled_from([1, 3, 12, 30, 70, 200, 700, 2_000, 90_000, 800_000])
CHECKS = (said.GrantChecked, said.RentalChecked, said.DoorChecked)


class LendingMachine(RuleBasedStateMachine):
    """People, doors and reports; the laws are looked at after every report, and those of rest at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.town = Lockers(always)
        self.seed = 0

    def pick(self, found: Any, number: int) -> Any:
        return found[number % len(found)]

    def teardown(self) -> None:
        self.town.come_to_rest(random.Random(self.seed), before_a_look)
        at_rest(self.town)

    # -- drivers ------------------------------------------------------------------------------------------------------

    @initialize()
    def a_first_visit(self) -> None:
        """So that in every run somebody has an item."""
        self.rent(ANN, "C1", None, False, 3, "opens", "what it is for", [])

    @rule(who=WHO, station=STATIONS, unit=st.sampled_from([None, None, 1, 2]), at_lock=st.booleans(), steps=STEPS,
          way=WAYS, act=ACTS, late=LATES)  # fmt: skip
    def rent(
        self, who: str, station: str, unit: int | None, at_lock: bool, steps: int, way: Any, act: str, late: list[bool]
    ) -> None:
        """A driver asks; and, if all goes well, the door opens, the item is taken, the door is shut."""
        town = self.town
        if not at_lock:
            outcome = town.ask(who, station, unit)
        elif town.offline[station]:
            return
        else:
            outcome = town.at_lock(who, station, "take", unit)
        self._visit(outcome, at_lock, steps, way, act, late)

    def _visit(self, outcome: Outcome, at_lock: bool, steps: int, way: Any, act: str, late: list[bool]) -> None:
        town, asset = self.town, outcome.asset
        if asset is None or asset.error is not None or asset.grant_id is None:
            return
        grant = town.world.assets.grants[asset.grant_id]
        if at_lock and grant.state == "accepted":
            town.replies.append(grant.id)
        told = iter([*late, *[False] * 4])
        if steps > 0:
            for key, waits in town.to_carry():
                if waits.id == grant.id:
                    town.carry(key, grant, way, next(told))
        box = town.boxes[grant.station_id, grant.unit]
        if steps > 1 and box.is_open and box.grant == grant.id:
            self._act(box, 0, act, next(told))
            if steps > 2:
                town.shut(box, next(told))

    @rule(who=st.sampled_from([POOR, NOBODY]), station=STATIONS, why=st.sampled_from(["take", "return", "inspect"]))
    def ask_without_leave(self, who: str, station: str, why: Any) -> None:
        before = len(self.town.world.assets.grants), len(list(self.town.commands()))
        for outcome in (self.town.at_lock(who, station, why), self.town.ask(who, station)):
            assert outcome.asset is not None and outcome.asset.error is not None
        now = len(self.town.world.assets.grants), len(list(self.town.commands()))
        assert now == before, "18: nobody opens a door without leave"

    @precondition(lambda self: self.town.out)
    @rule(number=ANY, station=STATIONS, at_lock=st.booleans(), steps=STEPS, way=WAYS, act=ACTS, late=LATES)
    def bring(self, number: int, station: str, at_lock: bool, steps: int, way: Any, act: str, late: list[bool]) -> None:
        """Whoever has an item brings it; by now it may be overdue, bought, or back as far as anybody knows."""
        town, item = self.town, self.pick(self.town.out, number)
        rental = town.world.assets.newest_of(item)
        if rental is None or rental.driver_id is None:
            return
        if not at_lock:
            outcome = town.ask_return(rental, station)
        elif town.offline[station]:
            return
        else:
            outcome = town.at_lock(ANN if rental.driver_id == "ann" else BOB, station, "return")
        self._visit(outcome, at_lock, steps, way, act, late)

    @precondition(lambda self: self.town.world.assets.rentals)
    @rule(number=ANY)
    def cancel(self, number: int) -> None:
        rental = self.pick(list(self.town.world.assets.rentals.values()), number)
        outcome = self.town.tell(said.RentalCancelled(rental.station_id, self.town.now, rental.id, "ann"))
        done = self.town.rental(rental.id).state == "cancelled"
        assert (outcome.status == "accepted") == done, "a cancellation is done or refused"

    @precondition(lambda self: any(a.state == "asking" for a in self.town.world.authorizations.values()))
    @rule(word=st.sampled_from(["authorized", "authorized", "declined", "timed_out"]))
    def psp_decides(self, word: str) -> None:
        asking = [a for a in self.town.world.authorizations.values() if a.state == "asking"]
        self.town.verdict(asking[0].id, word)

    # -- cabinets -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.town.to_carry())
    @rule(number=ANY, way=WAYS, late=LATE)
    def carry(self, number: int, way: Any, late: bool) -> None:
        self.town.carry(*self.pick(self.town.to_carry(), number), way, late)

    def _open(self) -> list[Box]:
        return [box for box in self.town.boxes.values() if box.is_open]

    @precondition(lambda self: self._open())
    @rule(number=ANY, late=LATE, act=ACTS, sensor=st.sampled_from([True] * 5 + [False]),
          shut=st.sampled_from([True] * 4 + [False]))  # fmt: skip
    def at_an_open_door(self, number: int, late: bool, act: str, sensor: bool, shut: bool) -> None:
        box = self.pick(self._open(), number)
        self._act(box, number, act, late, sensor)
        if shut:
            self.town.shut(box, late, sensor)

    def _act(self, box: Box, number: int, act: str, late: bool, sensor: bool = True) -> None:
        """What somebody does at an open door: what it is for, or something else."""
        town = self.town
        for _ in range(2 if act == "to and fro" else 1):
            if act == "nothing":
                return
            if box.item is not None:
                town.take_out(box, late, sensor)
            elif act == "foreign":
                town.put_in(box, FOREIGN, late)
            elif town.out:
                town.put_in(box, self._what_for(box, number, act), late, ("damaged",) if act == "broken" else ())

    def _what_for(self, box: Box, number: int, act: str) -> str:
        grant = None if box.grant is None else self.town.world.assets.grants.get(box.grant)
        if act != "other" and grant is not None and grant.item in self.town.out:
            return grant.item
        return str(self.pick(self.town.out, number))

    @rule(what=TROUBLES, at=st.sampled_from(BOXES), late=LATE)
    def trouble(self, what: str, at: tuple[str, int], late: bool) -> None:
        """A thief, a door that sticks, staff, no connection, a cabinet that breaks the rules."""
        town, box = self.town, self.town.boxes[at]
        match what:
            case "force" if not box.is_open:
                town.open(box, None, late, "forced")
            case "steal" if not box.is_open and box.item is not None:
                town.open(box, None, late, "forced")
                town.take_out(box, late)
                town.shut(box, late)
            case "again":
                self._open_again(box, late)
            case "stick" | "jam" | "mend":
                box.sticks = what != "mend"
                if what == "jam" and not box.is_open:
                    town.say(town.door_event(*at, "jammed", None, box.item is not None), late)
            case "service":
                town.tell(said.ServiceOpened(at[0], town.now, town.new_id(), at[1], "service", "staff", "dirty"))
            case "offline" | "online":
                town.offline[at[0]] = what == "offline"
                town.see(at[0])

    def _open_again(self, box: Box, late: bool) -> None:
        """
        A door opens once more by a grant that is used up: told at once, or so late that it is over in any order.

        That it was closed has been told: of a door that is known to be open nobody can say that it opens.
        """
        town = self.town
        used = [town.world.assets.grants[id_] for id_, times in town.openings.items() if times]
        mine = [grant for grant in used if (grant.station_id, grant.unit) == (box.station, box.unit)]
        waits = any(isinstance(it, said.Told) and it.station_id == box.station for it in town.waiting)
        if mine and not box.is_open and not waits:
            if late or town.offline[box.station]:
                town.now = max(town.now, mine[-1].expires_at + timedelta(seconds=6))
            town.open(box, mine[-1].id, late)

    @rule(station=STATIONS, late=LATE)
    def snapshot(self, station: str, late: bool) -> None:
        self.town.see(station, late)

    @precondition(lambda self: self.town.waiting)
    @rule(seed=ANY, share=st.sampled_from([0.3, 1.0]))
    def deliver(self, seed: int, share: float) -> None:
        self.seed = seed
        self.town.deliver(random.Random(seed), share)

    @rule(number=ANY)
    def tell_again(self, number: int) -> None:
        """A report, a command or an answer that was told before."""
        told = [event for event in self.town.heard if not isinstance(event, CHECKS) and not self._found_another(event)]
        event: Any = self.pick(told, number)
        before = seen(self.town)
        self.town.tell(replace(event, received_at=self.town.now))
        unchanged(self.town, before)

    def _found_another(self, event: Any) -> bool:
        """A wish to return that was answered with a grant that was live already: of it nothing is kept."""
        return isinstance(event, said.ReturnAsked) and event.grant_id not in self.town.world.assets.grants

    # -- time and people ----------------------------------------------------------------------------------------------

    @rule(seconds=SECONDS, asleep=st.sampled_from([False] * 5 + [True]))
    def later(self, seconds: int, asleep: bool) -> None:
        """Time passes, and the worker does what is due; or it sleeps."""
        if asleep:
            self.town.later(seconds)
        else:
            self.town.run_clock(self.town.now + timedelta(seconds=seconds))

    @precondition(lambda self: self.town.out)
    @rule(number=ANY, connected=st.booleans(), late=LATE)
    def plug(self, number: int, connected: bool, late: bool) -> None:
        item = self.pick(self.town.out, number)
        common = self.town.report(item)
        self.town.say(said.SocketChanged(**common, item=item, connected=connected, tag="T", meter_wh=0), late)

    @precondition(lambda self: any(r.state in OPEN for r in self.town.world.assets.rentals.values()))
    @rule(number=ANY, damage=st.sampled_from([0, 5_000]))
    def inspect(self, number: int, damage: int) -> None:
        rental = self.pick([r for r in self.town.world.assets.rentals.values() if r.state in OPEN], number)
        event = said.RentalInspected(rental.station_id, self.town.now, rental.id, damage, "staff", "looked at")
        is_out = any(item.rental_id == rental.id for item in self.town.world.assets.items.values())
        assert (self.town.tell(event).status == "accepted") == (rental.reason == "inspect" and not is_out)


def play(
    machine: type[RuleBasedStateMachine] = LendingMachine, examples: int = 60, steps: int = 40, shrink: bool = False
) -> None:
    """Run the machine."""
    playing.play(machine, examples, steps, "LENDING_SEED", shrink)
