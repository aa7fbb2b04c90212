"""
The power that a slot may take, one piece after another: what a station is told, and what still stands of it later.

Pieces are (watts, minutes), as `LimitSlot` has them; the last one holds for good, whatever its minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

Limits = tuple[tuple[int, int], ...]

NOTHING: Limits = ((0, 0),)
"""No power at all."""

MINUTES_PER_HOUR = 60


def in_steps(watts: Iterable[int], minutes: int) -> Limits:
    """Pieces of so many minutes each, those of one power joined; then nothing, for good."""
    found: list[tuple[int, int]] = []
    for power in watts:
        if found and found[-1][0] == power:
            found[-1] = (power, found[-1][1] + minutes)
        else:
            found.append((power, minutes))
    if found and found[-1][0] == 0:
        found.pop()
    return (*found, *NOTHING)


def still(limits: Limits, minutes: int) -> Limits:
    """What is left of them once so many minutes have passed."""
    rest = list(limits)
    while len(rest) > 1 and rest[0][1] <= minutes:
        minutes -= rest.pop(0)[1]
    if len(rest) > 1:
        rest[0] = (rest[0][0], rest[0][1] - max(0, minutes))
    return tuple(rest)


def powers(limits: Limits) -> tuple[int, ...]:
    """The powers one after the other, whenever they change: two that agree in them differ in nothing but time."""
    found = [limits[0][0], *(later for (earlier, _), (later, _) in pairwise(limits) if later != earlier)]
    return tuple(found)


def power_at(limits: Limits, minute: int) -> int:
    """The watts that may be taken so many minutes after they begin."""
    return still(limits, minute)[0][0]


def most_within(limits: Limits, begins: int, ends: int) -> int:
    """The most watts that may be taken between two minutes, the latter exclusive."""
    return max(power_at(limits, minute) for minute in {begins, *(m for m in _changes(limits) if begins < m < ends)})


def highest(one: Limits, other: Limits) -> Limits:
    """Where nobody knows which of two counts: at every minute the higher one."""
    minutes = sorted({0, *_changes(one), *_changes(other)})
    found = [
        (max(power_at(one, minute), power_at(other, minute)), until - minute)
        for minute, until in pairwise((*minutes, minutes[-1]))
    ]
    return tuple(found)


def together_above(some: Iterable[Limits], others: Iterable[Limits], most_w: int) -> bool:
    """Whether there is a minute at which some take more together than both `most_w` and what others take together."""
    steps = sorted([(minute, watts, 0) for minute, watts in _steps(some)] + [(m, 0, w) for m, w in _steps(others)])
    some_w = others_w = 0
    for _, of_minute in groupby(steps, key=lambda step: step[0]):
        for _, some_rise_w, others_rise_w in of_minute:
            some_w, others_w = some_w + some_rise_w, others_w + others_rise_w
        if some_w > max(most_w, others_w):
            return True
    return False


def reached_at(limits: Limits, need_wh: int) -> int | None:
    """After how many minutes, begun ones counted whole, they have given so much energy; None if they never do."""
    lacking = need_wh * MINUTES_PER_HOUR
    passed = 0
    for place, (watts, minutes) in enumerate(limits, start=1):
        is_last = place == len(limits)
        if lacking <= 0:
            break
        if watts > 0 and (is_last or watts * minutes >= lacking):
            return passed - (-lacking // watts)
        lacking -= watts * minutes
        passed += minutes
    return passed if lacking <= 0 else None


def _steps(several: Iterable[Limits]) -> Iterator[tuple[int, int]]:
    """At which minute the sum of them rises, and by how many watts."""
    for limits in several:
        passed = before = 0
        for watts, minutes in limits:
            yield passed, watts - before
            passed, before = passed + minutes, watts


def _changes(limits: Limits) -> list[int]:
    """The minutes at which another piece begins."""
    found, passed = [], 0
    for _, minutes in limits[:-1]:
        passed += minutes
        found.append(passed)
    return found
