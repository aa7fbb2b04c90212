"""Where items are is folded from reports by the time of the events: any order of arrival ends in the same custody."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from csms.domain import asset_events as said
from csms.domain import custody
from csms.domain.assets import AssetChanges, Assets, Door, Item, Key, Place, unknown_door
from tests.domain.lending_town import NOON, Town

ITEMS = ("i1", "i2", "i3")
DOORS = (("C1", 1), ("C1", 2), ("C2", 1))
FOREIGN = "x"
"""An item that is not ours: it fills a door all the same."""


class Told(NamedTuple):
    """An event at minute `at`: `what` is placed, left, emptied or said (of an item away from any door)."""

    what: str
    item: str
    door: tuple[str, int]
    at: int
    id: str
    to: Place = "driver"

    @property
    def key(self) -> Key:
        return NOON + timedelta(minutes=self.at), self.id


class Where(NamedTuple):
    """What is believed in the end."""

    items: tuple[tuple[str, str, str | None, int | None], ...]
    marks: tuple[str | None, ...]


kinds = st.sampled_from(["placed", "placed", "left", "emptied", "said"])
steps = st.tuples(
    kinds,
    st.sampled_from([*ITEMS, FOREIGN]),
    st.sampled_from(DOORS),
    st.integers(0, 8),
    st.sampled_from(["driver", "staff", "unknown"]),
)
"""Few minutes, so that events of one instant are usual."""


@st.composite
def histories(draw: st.DrawFn) -> list[Told]:
    drawn = draw(st.lists(steps, min_size=2, max_size=12))
    return [Told(what, item, door, at, f"e{n:02}", to) for n, (what, item, door, at, to) in enumerate(drawn)]


def fold(history: Iterable[Told]) -> Where:
    assets, changes = Assets(), AssetChanges()
    for code in ITEMS:
        assets.items[code] = Item(
            code, "portable", "p1", "P", "ok", "unknown", None, None, None, NOON - timedelta(days=9), "", None,
            False, None, 1,
        )  # fmt: skip
    for station_id, unit in DOORS:
        assets.doors[station_id, unit] = unknown_door(station_id, unit)
    for told in history:
        _tell(assets, changes, told)
        assert_one_place_each(assets)
    items = tuple((i.code, i.place, i.station_id, i.unit) for i in assets.items.values())
    return Where(items, tuple(door.mark_item for door in assets.doors.values()))


def _tell(assets: Assets, changes: AssetChanges, told: Told) -> None:
    match told.what:
        case "placed":
            custody.placed(assets, changes, told.item, told.door, told.key)
        case "left":
            rental_id = UUID(int=1) if told.to == "driver" else None
            custody.left(assets, changes, told.item, told.door, told.key, rental_id, told.to)
        case "emptied":
            custody.emptied(assets, changes, told.door, told.key)
        case _:
            if told.item in assets.items:
                custody.said(assets, changes, told.item, "staff", told.key)


def assert_one_place_each(assets: Assets) -> None:
    """Invariant 1, after every report."""
    standing = [(i.station_id, i.unit) for i in assets.items.values() if i.place == "connector"]
    assert len(standing) == len(set(standing)), "1: a door holds at most one item"
    for item in assets.items.values():
        at_a_door = item.station_id is not None and item.unit is not None
        assert (item.place == "connector") == at_a_door, "1: an item is in exactly one place"
        assert (item.rental_id is not None) <= (item.place == "driver"), "2: only who has it has custody of it"


def orders(history: list[Told], seed: int, count: int) -> Iterator[list[Told]]:
    """The same reports in random orders, some of them told again."""
    drawn = random.Random(seed)
    for _ in range(count):
        again = [*history, *drawn.choices(history, k=drawn.randint(0, 4))]
        drawn.shuffle(again)
        yield again


def by_time(history: list[Told]) -> list[Told]:
    return sorted(history, key=lambda told: told.key)


@settings(max_examples=500, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_any_order_and_any_repeats_end_in_the_same_custody(history: list[Told], seed: int) -> None:
    in_order = fold(by_time(history))
    for as_it_came in orders(history, seed, 20):
        assert fold(as_it_came) == in_order


def _newest(history: list[Told], about: Any) -> Told | None:
    return max((told for told in history if about(told)), key=lambda told: told.key, default=None)


@settings(max_examples=500, deadline=None)
@given(histories())
def test_custody_is_what_the_newest_word_on_the_item_and_on_the_door_say(history: list[Told]) -> None:
    where = fold(history)
    for code, place, station_id, unit in where.items:
        mine = _newest(history, lambda told, code=code: told.what != "emptied" and told.item == code)
        expected: tuple[str, str | None, int | None] = ("unknown", None, None)
        if mine is not None and mine.what == "left":
            expected = (mine.to, None, None)
        elif mine is not None and mine.what == "said":
            expected = ("staff", None, None)
        elif mine is not None:
            there = _newest(history, lambda told, door=mine.door: told.what != "said" and told.door == door)
            if there == mine:
                expected = ("connector", *mine.door)
        assert (place, station_id, unit) == expected


# -- planted ----------------------------------------------------------------------------------------------------------


def no_mark(patch: pytest.MonkeyPatch) -> None:
    """A door does not remember the newest report of it: a late one believes itself."""
    patch.setattr(custody, "marked", lambda assets, changes, door, code, key: door._replace(mark_item=code))


def no_eviction(patch: pytest.MonkeyPatch) -> None:
    """Whoever was believed there stays, though the door was seen with something else."""
    patch.setattr(custody, "_evict", lambda *arguments: None)


def by_arrival(patch: pytest.MonkeyPatch) -> None:
    """The report that comes last counts."""
    patch.setattr(Item, "since", property(lambda item: (NOON - timedelta(days=99), "")))


def evicted_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """A mark is whatever was told last."""
    patch.setattr(Door, "is_older", lambda door, key: True)


def ties_by_arrival(patch: pytest.MonkeyPatch) -> None:
    """Of two events of one instant the later arrival counts: their ids are not looked at."""
    patch.setattr(Item, "since", property(lambda item: (item.at, "")))


@pytest.mark.parametrize("plant", [no_mark, no_eviction, by_arrival, evicted_by_arrival, ties_by_arrival])
def test_a_defect_in_the_fold_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @settings(max_examples=300, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(histories(), st.integers(0, 2**32))
    def any_order(history: list[Told], seed: int) -> None:
        assert all(fold(as_it_came) == fold(by_time(history)) for as_it_came in orders(history, seed, 5))

    with pytest.raises(AssertionError):
        any_order()


# -- by whole reports -------------------------------------------------------------------------------------------------


def _report(town: Town, told: Told) -> Any:
    """What a cabinet says of it; a snapshot of one door for an empty one."""
    common = {"station_id": told.door[0], "received_at": NOON + timedelta(minutes=20), "id": told.id, "raw": ""}
    common |= {"at": told.key[0], "seq": None, "offline": False}
    match told.what:
        case "placed":
            return said.ItemPlaced(**common, unit=told.door[1], item=told.item, grant_id=None)
        case "left":
            return said.ItemTaken(**common, unit=told.door[1], item=told.item, grant_id=None)
        case "emptied":
            return said.UnitsSeen(**common, units=(said.UnitSeen(told.door[1], "closed", False),), last_seq=None)
        case _:
            unreadable = said.UnitSeen(told.door[1], "closed", True, None)
            return said.UnitsSeen(**common, units=(unreadable,), last_seq=None)


def _custody(history: list[Told]) -> Where:
    town = Town()
    for told in history:
        town.tell(_report(town, told))
        assert_one_place_each(town.world.assets)
    assets = town.world.assets
    items = tuple((i.code, i.place, i.station_id, i.unit) for i in assets.items.values())
    return Where(items, tuple(door.mark_item for door in assets.doors.values()))


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(0, 2**32))
def test_reports_without_rentals_end_in_the_same_custody_too(history: list[Told], seed: int) -> None:
    in_order = _custody(by_time(history))
    for as_it_came in orders(history, seed, 3):
        assert _custody(as_it_came) == in_order
