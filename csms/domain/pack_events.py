"""
What happens to packs, in our words: what battery stations report of them, what people ask for.

Like `asset_events.py`, whose `Told` they share. A pack is known by the serial that its battery says, which is not
always the code that is printed on it (`packs.py`). Levels are in 1/100 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from csms.domain.asset_events import Told
from csms.domain.pack_state import NoLevel, PackState, Source


class InSlot(NamedTuple):
    """A pack in a slot, or out of it."""

    unit: int
    pack: PackState | NoLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class PacksMoved(Told):
    """
    `Battery.Inserted`, `Battery.Released`, `Battery.ReleaseTimeout`; BatterySwap of OCPP 2.1.

    `rid` is the swap's number at its station: chosen by it, or by us from `RID_MIN` on. One swap is known by (station,
    `rid`). `token` is what was shown, if anything; the pack itself says whose it is.
    """

    what: Literal["in", "out", "timeout"]
    rid: int
    token: str | None
    slots: tuple[InSlot, ...]
    swap_id: UUID
    """Drawn at the edge, for a swap that this begins; its low byte is free for what is derived from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackStated(Told):
    """
    `Battery.State`, SoC of a slot's transaction (2.x): how a pack is. `unit` is its slot, None if it is in none.

    Where the station does not say which pack it is, `pack.serial` is "" and means the one that stands in that slot.
    Not kept with the reports that move money: its place in the series tells it from a repeat.
    """

    pack: PackState
    unit: int | None
    source: Source


@dataclass(frozen=True, slots=True)
class SlotShown:
    """StatusNotification of a slot: it is empty, or has a pack. Believed only where nothing better is known."""

    station_id: str
    received_at: datetime
    at: datetime
    unit: int
    empty: bool


@dataclass(frozen=True, slots=True)
class SwapAsked:
    """
    A driver's app, or staff for a driver, wants `count` packs exchanged at a station whose presence is proven.

    Refused before any slot opens, where packs or empty slots are too few. `token` is the text the station is told.
    """

    station_id: str
    received_at: datetime
    swap_id: UUID
    rid: int
    token_key: bytes
    token_masked: str
    token: str
    count: int
    proof: str
    by: str


@dataclass(frozen=True, slots=True)
class SwapAnswered:
    """The end of a `Swap.Start` (RequestBatterySwap on 2.1)."""

    station_id: str
    received_at: datetime
    swap_id: UUID
    end: Literal["accepted", "rejected", "failed", "offline", "unknown"]
    error: str | None


@dataclass(frozen=True, slots=True)
class SwapChecked:
    """Time to look at a swap: is it paid now, has everything been taken, must a pack be given back?"""

    station_id: str
    received_at: datetime
    swap_id: UUID


@dataclass(frozen=True, slots=True)
class PackJudged:
    """Staff put a pack into quarantine (`reason`), or take it out (None)."""

    station_id: str
    received_at: datetime
    item: str
    quarantine: str | None
    by: str
    reason: str


PackReport = PacksMoved | PackStated
PackEvent = PackReport | SlotShown | SwapAsked | SwapAnswered | SwapChecked | PackJudged

RID_MIN = 2**30
"""Numbers of swaps that we choose begin here; stations choose smaller ones (OCPP 2.1 block S says nothing of it)."""
