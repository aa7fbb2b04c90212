"""Calls of ours to one station: one at a time, none before the station is ready for it (quirk Q-B02)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from csms.domain.commands import FEATURE_ABSENT, Answer
from csms.ocpp import envelope
from csms.ocpp.envelope import ErrorFrame, ResultFrame
from csms.ocpp.vendor import asset_commands, bodies

LATE_MAX = 8
"""How many calls are remembered after their time ran out, to tell a late answer from a foreign one."""

ACCEPTING = ("Accepted", "RebootRequired", "Scheduled")
"""The words with which stations agree; an answer without a status agrees too."""

UNKNOWN = ("UnknownVendorId", "UnknownMessageId")
"""The words for a DataTransfer that means nothing to a station."""

NOT_SERVED = ("NotImplemented", "NotSupported")
"""What some stations answer instead (quirk Q-D02)."""

SWAP = "RequestBatterySwap"
"""2.1's own call among those whose refusals have codes of ours; a station need not know it either."""

log = structlog.get_logger("csms.ocpp")


@dataclass(slots=True)
class Asked:
    """A call of ours: `on_end` gets its answer once; `id` is empty until it was sent."""

    action: str
    payload: dict[str, Any]
    on_end: Callable[[Answer], None]
    id: str = ""


class Asking:
    """The queue of our calls on one connection. `send` takes the text of a frame."""

    __slots__ = ("_count", "_current", "_epoch", "_late", "_queue", "_ready", "_send", "unanswered")

    def __init__(self, epoch: int, send: Callable[[bytes], None]) -> None:
        self._epoch = epoch
        self._send = send
        self._ready = False
        self._current: Asked | None = None
        self._queue: deque[Asked] = deque()
        self._late: deque[str] = deque(maxlen=LATE_MAX)
        self._count = 0
        self.unanswered = 0
        """Calls in a row whose time ran out."""

    def ask(self, action: str, payload: dict[str, Any], on_end: Callable[[Answer], None]) -> Asked:
        """Send a call when the station is ready for it and the calls before it have ended."""
        asked = Asked(action, payload, on_end)
        self._queue.append(asked)
        self._send_next()
        return asked

    def ready(self) -> None:
        """From now on the station may be called: its boot was accepted, or it has shown that it needs none."""
        self._ready = True
        self._send_next()

    def give_up(self, asked: Asked, *, counts: bool = True) -> None:
        """
        The time of `asked` is over: `unknown` if it was sent, `offline` if not. A late answer is only logged.

        What a station need not know does not count as `unanswered`. Nothing happens if it has ended.
        """
        if asked is self._current:
            self._current = None
            self._late.append(asked.id)
            self.unanswered += counts
            asked.on_end(Answer("unknown", error="no answer in time"))
            self._send_next()
        elif asked in self._queue:
            self._queue.remove(asked)
            asked.on_end(Answer("offline", error="the station was not ready in time"))

    def closed(self) -> None:
        """The connection is gone: every call ends."""
        current, self._current = self._current, None
        if current is not None:
            current.on_end(Answer("unknown", error="the connection closed before the answer"))
        while self._queue:
            self._queue.popleft().on_end(Answer("offline", error="the connection closed"))

    def answered(self, frame: ResultFrame | ErrorFrame, station_id: str) -> None:
        """An answer came: to the call that is under way, or to none (quirks Q-R01, Q-R02)."""
        asked = self._current
        if asked is None or frame.id != asked.id:
            word = "late answer" if frame.id in self._late else "answer to no call"
            log.debug(word, station=station_id, message_id=frame.id[:50])  # a station may send them without end
            return
        self._current = None
        self.unanswered = 0
        if isinstance(frame, ErrorFrame):
            absent = asked.action in ("DataTransfer", SWAP) and frame.code in NOT_SERVED
            asked.on_end(Answer("failed", error=FEATURE_ABSENT if absent else f"{frame.code}: {frame.description}"))
        else:
            asked.on_end(_judged(asked, frame.payload))
        self._send_next()

    def _send_next(self) -> None:
        if self._current is None and self._ready and self._queue:
            asked = self._queue.popleft()
            self._count += 1
            asked.id = f"{self._epoch}-{self._count}"
            self._current = asked
            self._send(envelope.call(asked.id, asked.action, asked.payload))


def _judged(asked: Asked, payload: object) -> Answer:
    """A station's answer in our words."""
    if not isinstance(payload, dict):
        return Answer("failed", error="the answer is not an object")
    status = payload.get("status", "Accepted")
    if status in ACCEPTING:
        return Answer("accepted", payload)
    if asked.action == "DataTransfer" and status in UNKNOWN:
        return Answer("failed", payload, FEATURE_ABSENT)
    is_asset = asked.payload.get("vendorId") == bodies.VENDOR or asked.action == SWAP
    return Answer("rejected", payload, asset_commands.refusal(payload) if is_asset else None)
