"""The journal's file: one JSON line per effect, so that a server that is killed and started again goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from charge_points_sim.social.state import Entry, Json


class Line(msgspec.Struct, frozen=True):
    """One effect, the fingerprint of the request that caused it, and the answer that was given."""

    entry: Entry
    fingerprint: str
    answer: Json


class JournalFile:
    """Appends lines; a torn last line (a kill in mid-write) is cut off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def read(self) -> Iterator[Line]:
        """The lines of earlier runs, in order; then the file is open for appending."""
        good = 0
        if self.path.exists():
            with self.path.open("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    good += len(line)
                    yield msgspec.json.decode(line, type=Line)
        self._file = self.path.open("ab")
        self._file.truncate(good)

    def append(self, line: Line) -> None:
        """Write one line, out of this process's hands before it returns (a kill of the process does not lose it)."""
        assert self._file is not None, "read() opens the file"
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file; nothing can be appended any more."""
        if self._file is not None:
            self._file.close()
