"""
What a series of registers proves when they are not in order: dropouts, wrong readings, registers that began anew.

Only differences inside one rising piece of the series are proven. What contradicts itself proves
nothing, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from csms.domain.events import Reading
from csms.domain.plausible import TOLERANCE_WH, ceiling_wh

RESET_GAP_S_MAX = 3_600
"""A register that fell at an edge of a session began anew only if nothing can be hidden in a longer hole."""

BOOT_SLACK = timedelta(seconds=120)
"""Readings and boots are dated by clocks that were set at different moments."""


class Point(NamedTuple):
    """One register: `at` is when it was read, None at an end whose time nobody knows."""

    at: datetime | None
    wh: int


class Proof(NamedTuple):
    """What a series comes to: `wh` is proven, unless `against` says why it proves nothing. `flags` tell how."""

    wh: int
    flags: tuple[str, ...] = ()
    against: str | None = None


def proven(
    start: Point | None,
    readings: Sequence[Reading],
    end: Point | None,
    max_power_w: int | None,
    boots: Sequence[datetime] = (),
) -> Proof:
    """
    The energy that `start`, the `readings` between (by time) and `end` prove, in Wh.

    A register that is missing at an end is the outermost reading (`start_register_missing`,
    `end_register_missing`, Q-M19). Readings of another register than the ends are put aside
    (`readings_of_another_register`, Q-M03), a zero among higher values is a dropout
    (`register_gap`, Q-M07), a single one out of line is wrong (`reading_implausible`). A fall
    where a register may begin anew, at a boot or at an edge of the session, cuts the series:
    its pieces are added up (`estimated`, Q-M05). Any other fall proves nothing.
    """
    points = [Point(reading.at, reading.register_wh) for reading in readings if reading.register_wh is not None]
    flags = []
    if start is None:
        flags.append("start_register_missing")
    if end is None:
        flags.append("end_register_missing")

    if start is not None and end is not None and points and _is_another_register(start, points, end, boots):
        flags.append("readings_of_another_register")
        if points[-1].wh - points[0].wh > end.wh - start.wh + TOLERANCE_WH:
            return Proof(0, tuple(flags), "end_below_readings")
        points = []

    if start is not None and end is None and points and _may_be_either(start, points, boots):
        return Proof(0, tuple(flags), "register_dropped")
    if start is None and len(points) > 1 and _is_leading_gap(points[0], points[1], max_power_w):
        points = points[1:]
        flags.append("register_gap")
    whole = [*([start] if start is not None else []), *points, *([end] if end is not None else [])]
    if len(whole) < 2:
        return Proof(0, tuple(flags), "no_interval")
    kept, dropped = _in_line(whole, start is not None, end is not None, boots)
    flags += dropped
    pieces = _pieces(kept, start is not None, end is not None, max_power_w, boots)
    if isinstance(pieces, str):
        return Proof(0, tuple(flags), pieces)
    wh = sum(max(0, last.wh - first.wh) for first, last in pieces)
    if len(pieces) > 1:
        flags.append("estimated")
        if wh == 0:
            return Proof(0, tuple(flags), "end_below_start")
    return Proof(wh, tuple(flags))


def _is_another_register(start: Point, points: Sequence[Point], end: Point, boots: Sequence[datetime]) -> bool:
    """Whether start and end are of a lifetime register, and the readings of one that counts this session (Q-M03)."""
    return (
        end.wh >= start.wh - TOLERANCE_WH
        and all(point.wh < start.wh - TOLERANCE_WH for point in points)
        and not _booted(start, points[0], boots)
    )


def _may_be_either(start: Point, points: Sequence[Point], boots: Sequence[datetime]) -> bool:
    """Whether a zero behind the start may be a dropout as well as the first reading of a register of the session."""
    falls = points[0].wh == 0 and start.wh > TOLERANCE_WH and not _booted(start, points[0], boots)
    return falls and any(point.wh >= start.wh for point in points)


def _is_leading_gap(first: Point, second: Point, max_power_w: int | None) -> bool:
    """Whether a series begins with a dropout: no connector can give so much between its first two readings."""
    assert first.at is not None
    assert second.at is not None
    elapsed_s = int((second.at - first.at + BOOT_SLACK).total_seconds())
    return first.wh == 0 and second.wh > ceiling_wh(elapsed_s, max_power_w)


def _in_line(
    points: Sequence[Point], has_start: bool, has_end: bool, boots: Sequence[datetime]
) -> tuple[list[Point], list[str]]:
    """The points without dropouts and single wrong readings, and the flags for what was left out."""
    flags = []
    anew = has_start and all(point.wh < points[0].wh - TOLERANCE_WH for point in points[1:])
    kept = [points[0]]
    for place, point in enumerate(points[1:], 1):
        last = has_end and place == len(points) - 1
        if point.wh == 0 and kept[-1].wh > TOLERANCE_WH and not (last or anew or _booted(kept[-1], point, boots)):
            flags.append("register_gap")
        else:
            kept.append(point)
    straight = _without(kept, _is_dip, boots)
    straight = _without(straight, _is_spike, boots)
    if len(straight) < len(kept):
        flags.append("reading_implausible")
    return straight, list(dict.fromkeys(flags))


def _without(
    points: list[Point], is_wrong: Callable[[Sequence[Point], int], bool], boots: Sequence[datetime]
) -> list[Point]:
    return [
        point
        for place, point in enumerate(points)
        if place in (0, len(points) - 1) or _booted(points[place - 1], point, boots) or not is_wrong(points, place)
    ]


def _is_dip(points: Sequence[Point], place: int) -> bool:
    """One reading below its neighbours, which are in order without it."""
    before, point, after = points[place - 1 : place + 2]
    return point.wh < before.wh - TOLERANCE_WH and before.wh <= after.wh + TOLERANCE_WH


def _is_spike(points: Sequence[Point], place: int) -> bool:
    """One reading above the two that follow it in order; one alone that follows could be wrong itself."""
    if place + 2 >= len(points):
        return False
    before, point, after, later = points[place - 1 : place + 3]
    return point.wh > max(after.wh, later.wh) + TOLERANCE_WH and before.wh <= after.wh <= later.wh


def _pieces(
    points: Sequence[Point], has_start: bool, has_end: bool, max_power_w: int | None, boots: Sequence[datetime]
) -> list[tuple[Point, Point]] | str:
    """First and last point of each rising piece; or why the series contradicts itself."""
    pieces = []
    first = highest = points[0]
    for place, point in enumerate(points[1:], 1):
        before = points[place - 1]
        if point.wh >= highest.wh - TOLERANCE_WH:
            highest = max(highest, point, key=lambda p: p.wh)
            continue
        at_start, at_end = has_start and place == 1, has_end and place == len(points) - 1
        if not _begins_anew(before, point, first, at_start, at_end, max_power_w, boots):
            if at_start and at_end:
                return "end_below_start"
            return "end_below_readings" if at_end else "register_dropped"
        pieces.append((first, highest))
        first = highest = point
    return [*pieces, (first, points[-1] if not pieces else highest)]


def _begins_anew(
    before: Point,
    point: Point,
    first: Point,
    at_start: bool,
    at_end: bool,
    max_power_w: int | None,
    boots: Sequence[datetime],
) -> bool:
    """Whether a register that fell from `before` to `point` was set to zero between them (Q-M05)."""
    if at_start and at_end:
        return False
    elapsed_s = None
    if before.at is not None and point.at is not None:
        elapsed_s = max(0, int((point.at - before.at).total_seconds()))
    if point.wh >= first.wh or point.wh > ceiling_wh(elapsed_s, max_power_w):
        return False
    if _booted(before, point, boots):
        return True
    return (at_start or at_end) and elapsed_s is not None and elapsed_s <= RESET_GAP_S_MAX


def _booted(before: Point, point: Point, boots: Sequence[datetime]) -> bool:
    """Whether the station booted between two points, as far as times can be compared."""
    if before.at is None or point.at is None:
        return False
    return any(before.at - BOOT_SLACK <= boot <= point.at + BOOT_SLACK for boot in boots)
