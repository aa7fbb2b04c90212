"""Rows of one table by their keys, found by what else they name without looking through a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Rows(dict[K, V]):
    """
    A dict of rows that `of` looks into by other columns: with one look for every event of a batch, going through all
    its rows each time would cost the square of the batch.

    `columns` says what a row names, None where it names nothing. What was never asked for costs nothing. Rows are
    set and replaced, never taken out.
    """

    def __init__(self, columns: Mapping[str, Callable[[V], Hashable]]) -> None:
        super().__init__()
        self._columns = columns
        self._found: dict[str, dict[Hashable, dict[K, None]]] = {}

    def of(self, column: str, value: Hashable) -> list[V]:
        """The rows that name `value` now."""
        found = self._found.get(column)
        if found is None:
            read, found = self._columns[column], self._found.setdefault(column, {})
            for key, row in self.items():
                found.setdefault(read(row), {})[key] = None
        return [self[key] for key in found.get(value, ())]

    def __setitem__(self, key: K, row: V) -> None:
        before = self.get(key)
        for column, found in self._found.items():
            read = self._columns[column]
            if before is not None:
                del found[read(before)][key]
            found.setdefault(read(row), {})[key] = None
        super().__setitem__(key, row)

    def __copy__(self) -> Rows[K, V]:
        copied: Rows[K, V] = Rows(self._columns)
        dict.update(copied, self)
        return copied

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("rows are set one by one, and never taken out")

    __delitem__ = pop = popitem = clear = update = setdefault = __ior__ = _refuse
