"""What a document consists of; apart from `pages.py`, which draws it and takes long to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pairs:
    """Labels with their values, one pair a line."""

    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table under a heading; `numbers` are the places of the columns that stand to the right."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence."""

    text: str


Part = Pairs | Grid | Note
