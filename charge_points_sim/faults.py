"""What goes wrong between a station and the system, drawn from a seed so that every run can be repeated."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any

REPEAT_MAX = 20


@dataclass(slots=True, eq=False)
class Faults:
    """
    `repeat`: each frame is sent so many times. `lose`: share of answers to kept messages that never
    arrive. `reorder`: share of 2.x readings that come after their session's end (and an offline queue
    is shuffled at the reconnect). `cut`: share of sent calls after which the
    connection breaks. `jam`: share of openings in which a locker's door stays shut. Shares are 0 to 1.
    """

    repeat: int = 1
    lose: float = 0.0
    reorder: float = 0.0
    cut: float = 0.0
    jam: float = 0.0
    random: Random = field(default_factory=lambda: Random(0), repr=False)

    def copies(self) -> int:
        """How many times the next frame goes out."""
        return self.repeat

    def new_id(self) -> bool:
        """Whether a copy has a message id of its own: stations in the field do both (quirk Q-T01)."""
        return self.random.random() < 0.5

    def lose_answer(self) -> bool:
        """Whether the answer that just came is lost."""
        return self.lose > 0 and self.random.random() < self.lose

    def cut_now(self) -> bool:
        """Whether the connection breaks now."""
        return self.cut > 0 and self.random.random() < self.cut

    def comes_late(self) -> bool:
        """Whether a reading is kept back until after its session's end."""
        return self.reorder > 0 and self.random.random() < self.reorder

    def jams(self) -> bool:
        """Whether the door that is to open now jams."""
        return self.jam > 0 and self.random.random() < self.jam

    def shuffle(self, queue: deque[Any]) -> None:
        """Puts a whole offline queue out of order."""
        if self.reorder > 0 and len(queue) > 1:
            items = list(queue)
            self.random.shuffle(items)
            queue.clear()
            queue.extend(items)


CALM = Faults()
"""Nothing goes wrong."""


def parse(text: str, seed: int) -> Faults:
    """Faults of `repeat=3,lose=0.05`. Raises `ValueError` with a sentence for a person."""
    known = {f.name: f.type for f in fields(Faults) if f.name != "random"}
    given: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            raise ValueError(f"there is no fault {name!r}; choose from {', '.join(known)}")
        try:
            given[name] = int(value) if name == "repeat" else float(value)
        except ValueError:
            raise ValueError(f"{name} wants a number, as in {name}={'3' if name == 'repeat' else '0.05'}") from None
        limit = (1, REPEAT_MAX) if name == "repeat" else (0, 1)
        if not limit[0] <= given[name] <= limit[1]:
            raise ValueError(f"{name} must be between {limit[0]} and {limit[1]}")
    return Faults(**given, random=Random(seed))
