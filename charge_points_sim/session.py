"""One charging session as its station sees it, the same on every OCPP version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

TokenType = Literal["rfid", "alias"]


@dataclass(slots=True)
class Token:
    """What a driver holds to the reader: an RFID card, or an alias that the system issued for a longer token."""

    value: str
    type: TokenType = "rfid"


NOBODY = Token("")
"""Of a session without a driver: a pack that is charged in its slot."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most Wh and seconds of a session; None for no limit."""

    energy_wh: int | None
    seconds: int | None


@dataclass(slots=True)
class Session:
    """
    A running charge.

    `ref` is the wire's transaction id: the station's own on 2.x, the system's answer on 1.6 (None
    until then). `start_wh` and `register_wh` are the connector's lifetime register in Wh.
    """

    connector: int
    token: Token
    started_at: int
    start_wh: int
    register_wh: int
    ref: str | int | None = None
    seq: int = 0
    start_id: int | None = None
    """2.x `remoteStartId` of the remote start that began it."""
    accepted: bool | None = None
    """The system's verdict on the token; None until it is known."""
    ended_at: int | None = None
    limit: Limit | None = None
    """What the system allows, where the station keeps limits itself (2.1)."""
    tariff: Mapping[str, Any] | None = None
    """The 2.1 tariff it is priced by, where the station computes costs itself."""
    suspended: bool = False
    """The station gives no energy now: its limit is reached."""
    soc: int | None = None
    """How full the battery is in 1/100 %, where the station knows."""

    def allowed(self, register_wh: int, at: int) -> int:
        """The register (Wh) at `at`, if the meter would stand at `register_wh` without a limit."""
        if self.limit is None:
            return register_wh
        if self.limit.seconds is not None and at - self.started_at >= self.limit.seconds:
            return self.register_wh
        if self.limit.energy_wh is not None:
            return max(self.register_wh, min(register_wh, self.start_wh + self.limit.energy_wh))
        return register_wh

    def next_seq(self) -> int:
        """The event's number within this session (2.x `seqNo`)."""
        number = self.seq
        self.seq += 1
        return number
