"""
Limits of sessions that a 2.1 station keeps itself (`TxCtrlr.SupportedLimits`): cost, energy, time.

One per connection: a station that comes back is told again, which changes nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable

from csms.base.money import decimal_text
from csms.domain.events import Limit
from csms.domain.voucher_limit import most_wh
from csms.domain.watch import caps

COST, ENERGY, TIME = "cost", "energy", "time"
KEPT = (COST, ENERGY, TIME)

COMPONENT, VARIABLE = "TxCtrlr", "SupportedLimits"

SESSIONS_MAX = 1_000
"""Sessions of one connection that are remembered: more than any station has connectors."""


def read(value: str) -> frozenset[str]:
    """What a station announces: `MaxCost,MaxEnergy`, whatever the spelling; others (state of charge) are left out."""
    words = [word.strip().casefold().removeprefix("max") for word in value.split(",")]
    return frozenset(word for word in words if word in KEPT)


class TxLimits:
    """What one station keeps, and what it was told of each session on this connection."""

    __slots__ = ("_told", "kept")

    def __init__(self, kept: Iterable[str] = ()) -> None:
        self.kept = frozenset(kept)
        self._told: dict[str, tuple[Limit, bytes]] = {}

    def news(self, ref: str, limit: Limit | None) -> bytes | None:
        """`transactionLimit` as JSON; None where there is none, or it was told before."""
        if limit is None or not self.kept:
            return None
        told = self._told.get(ref)
        if told is not None and (told[0] is limit or told[0] == limit):  # nearly always the very same
            return None
        part = self._part(limit)
        if part is None:
            return None
        if len(self._told) >= SESSIONS_MAX:
            self._told.clear()
        self._told[ref] = limit, part
        return None if told is not None and told[1] == part else part

    def _part(self, limit: Limit) -> bytes | None:
        """What of it the station keeps, None for nothing; where vouchers pay, energy alone (`voucher_limit.py`)."""
        if limit.vouchers is not None:
            most = most_wh(limit.tariff, limit.minor, limit.vouchers) if ENERGY in self.kept else None
            return None if most is None else b'{"maxEnergy":%d}' % most
        parts = []
        energy_wh, seconds = caps(limit.tariff, limit.minor)
        if COST in self.kept:
            parts.append(f'"maxCost":{decimal_text(limit.minor, limit.currency)}')
        if ENERGY in self.kept and energy_wh is not None:
            parts.append(f'"maxEnergy":{energy_wh}')
        if TIME in self.kept and seconds is not None:
            parts.append(f'"maxTime":{seconds}')
        return f"{{{','.join(parts)}}}".encode() if parts else None

    def forget(self, ref: str) -> None:
        """The session is over."""
        self._told.pop(ref, None)
