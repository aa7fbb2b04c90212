"""The swaps of a battery station: who was offered what, until when. It is kept through power cuts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

SWAPS_KEPT_MAX = 256
RID_END = 2**30
"""Numbers of swaps from here on are the system's."""


@dataclass(slots=True)
class Swap:
    """
    Swap `rid`, and the token that was shown or sent for it.

    Its slots `into` wait unlocked for packs until `until`; `put` were filled. `told`: the system was told of those.
    """

    rid: int
    token: str | None = None
    token_type: str = "rfid"
    into: list[int] = field(default_factory=list)
    until: int = 0
    put: list[int] = field(default_factory=list)
    told: bool = False


@dataclass(slots=True)
class Handout:
    """Slots `units` of swap `rid` that are unlocked until `until`; `taken` has what was taken of them so far."""

    rid: int
    units: list[int]
    until: int
    taken: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Swaps:
    """The swaps that the station knows, by number, the newest last; `rid` is the newest number of its own."""

    rid: int = 0
    known: dict[int, Swap] = field(default_factory=dict)
    handouts: list[Handout] = field(default_factory=list)

    def begin(self, token: str | None) -> Swap:
        """A swap that the station itself begins."""
        self.rid = self.rid % (RID_END - 1) + 1
        self.known.pop(self.rid, None)
        return self.of(self.rid, token)

    def of(self, rid: int, token: str | None = None, token_type: str = "rfid") -> Swap:
        """The swap of this number, known or new."""
        swap = self.known.setdefault(rid, Swap(rid, token, token_type))
        while len(self.known) > SWAPS_KEPT_MAX:
            del self.known[next(iter(self.known))]
        return swap

    def filling(self, u: int) -> Swap | None:
        """The swap that slot `u` waits for a pack of."""
        return next((swap for swap in self.known.values() if u in swap.into), None)

    def handout(self, u: int) -> Handout | None:
        """What slot `u` is handed out by."""
        return next((handout for handout in self.handouts if u in handout.units), None)

    def dump(self) -> str:
        """As JSON text, for the disk."""
        return json.dumps([self.rid, [asdict(swap) for swap in self.known.values()], [*map(asdict, self.handouts)]])

    @classmethod
    def load(cls, text: str) -> Swaps:
        """What `dump` wrote."""
        rid, swaps, handouts = json.loads(text)
        return cls(rid, {swap["rid"]: Swap(**swap) for swap in swaps}, [Handout(**handout) for handout in handouts])
