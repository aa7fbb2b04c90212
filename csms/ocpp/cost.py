"""
What one station is told of prices and costs, in its version's way, over one connection.

Never in the way of anything: one call at a time, what comes meanwhile is left out, and what the station
does not know, or does not answer, is not sent again on this connection.

| | when | 1.6 (DataTransfer) | 2.0.1 | 2.1 |
|---|---|---|---|---|
| prices | before and at a start | SetUserPrice | - | SetDefaultTariff |
| cost so far | with a reading, not more often than `every_s` | RunningCost | CostUpdated | CostUpdated |
| fee | at the end | FinalCost | in the answer | in the answer |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import structlog

from csms.base.errors import WireError
from csms.base.money import from_minor
from csms.domain.commands import Answer
from csms.domain.events import Outcome, SessionMetered
from csms.domain.quote import Quote, Running, prices_at
from csms.ocpp import schemas
from csms.ocpp.calls import Call
from csms.ocpp.schemas import Version
from csms.ocpp.v21.tariff import default_tariff
from csms.ocpp.vendor import cost as vendor

COST_S = 60
"""How often a running session's cost is told."""

COST_ANSWER_S = 10
"""How long a station may take to answer."""

SESSIONS_MAX = 1_000
FINALS_MAX = 16
"""Fees that may wait for the call before them."""

UNKNOWN = ("UnknownVendorId", "UnknownMessageId")

log = structlog.get_logger("csms.ocpp")


class Ask(Protocol):
    """Sends a call; `on_end` gets its end, also when the station does not answer in `timeout_s`."""

    def __call__(self, action: str, payload: dict[str, Any], on_end: Callable[[Answer], None], timeout_s: int) -> None:
        """Send it."""


def is_news(outcome: Outcome) -> bool:
    """Whether there is anything of prices or costs in it."""
    return outcome.quote is not None or outcome.running is not None or outcome.fee_minor is not None


class Costs:
    """
    What a station was told, and what it does not know. Small, because every connection has one.

    `now` counts seconds, by any clock that goes on. `booted` is called after the boot of a station that
    takes a default tariff: somebody is to ask for the quote of that station, and give it to `quoted`.
    """

    __slots__ = (
        "_ask",
        "_booted",
        "_default",
        "_due",
        "_every_s",
        "_finals",
        "_is_busy",
        "_now",
        "_shown",
        "_shows_running",
        "_unknown",
        "_version",
    )

    def __init__(
        self, version: Version, ask: Ask, now: Callable[[], int], booted: Callable[[], None], every_s: int = COST_S
    ) -> None:
        self._version = version
        self._ask = ask
        self._now = now
        self._booted = booted
        self._every_s = every_s
        self._is_busy = False
        self._shows_running = True
        self._unknown: frozenset[str] = frozenset()
        self._due: dict[str, int] = {}
        self._finals: list[dict[str, Any]] = []
        self._shown: tuple[str, str] | None = None
        self._default = ""

    def wished(self, event: SessionMetered) -> SessionMetered:
        """The readings; those of a session whose cost is to be told again ask for it. This is the hot road."""
        if not self._shows_running or self._is_busy or event.offline:
            return event
        now = self._now()
        if now < self._due.get(event.ref, 0):
            return event
        if len(self._due) >= SESSIONS_MAX:
            self._due.clear()
        self._due[event.ref] = now + self._every_s
        return event._replace(wants_cost=True)

    def boot(self) -> None:
        """The station's boot was accepted: a 2.1 station may have forgotten its tariff."""
        if self._version == "ocpp2.1":
            self._default = ""
            self._booted()

    def told(self, call: Call, outcome: Outcome) -> None:
        """A report was answered: tell the station what came of it, as far as that `is_news`."""
        if call.payload is None:
            return
        if outcome.running is not None and outcome.ref is not None:
            self._running(outcome.ref, outcome.running)
        if outcome.quote is not None and outcome.status == "accepted":
            self.quoted(outcome.quote, call)
        if outcome.fee_minor is None or outcome.currency is None or outcome.ref is None:
            return
        self._due.pop(outcome.ref, None)
        if self._version == "ocpp1.6":
            self._shown = None
            final = vendor.final_cost(outcome.ref, outcome.fee_minor, outcome.currency)
            self._finals = [*self._finals[1 - FINALS_MAX :], final]
            self._next_final()

    def quoted(self, quote: Quote, call: Call | None = None) -> None:
        """Show what a use costs that begins now: 2.1 as the default tariff, 1.6 to the holder of the tag of `call`."""
        if self._version == "ocpp2.1":
            if quote.name != self._default and not self._is_busy:
                self._default = quote.name
                if (payload := default_tariff(quote)) is not None:
                    self._say("SetDefaultTariff", "SetDefaultTariff", payload)
        elif self._version == "ocpp1.6" and call is not None and call.action in ("Authorize", "StartTransaction"):
            token = call.payload.idTag or ""
            if token and self._shown != (token, quote.name):
                self._shown = (token, quote.name)
                prices = prices_at(quote, call.received_at)
                self._transfer(vendor.user_price(token, prices, quote.tariff.currency))

    def _running(self, ref: str, running: Running) -> None:
        if self._version == "ocpp1.6":
            self._transfer(vendor.running_cost(ref, running))
        else:
            cost = vendor.number(from_minor(running.minor, running.currency))
            self._say("CostUpdated", "CostUpdated", {"totalCost": cost, "transactionId": ref})

    def _transfer(self, payload: dict[str, Any]) -> None:
        self._say("DataTransfer", payload["messageId"], payload)

    def _next_final(self) -> None:
        while self._finals and not self._is_busy:
            self._transfer(self._finals.pop(0))

    def _say(self, action: str, what: str, payload: dict[str, Any]) -> None:
        """Send it, unless another is under way or the station does not know `what`."""
        if self._is_busy or what in self._unknown:
            return
        try:
            schemas.check(self._version, action, payload)
        except WireError as fault:  # a tariff's or a token's text that this version has no room for
            log.info("cost not told", what=what, why=fault.description)
            return
        self._is_busy = True

        def on_end(answer: Answer) -> None:
            self._is_busy = False
            self._learn(what, answer)
            self._next_final()

        self._ask(action, payload, on_end, COST_ANSWER_S)

    def _learn(self, what: str, answer: Answer) -> None:
        """What the answer tells of the station: a vendor it does not know has no messages that it knows."""
        status = (answer.payload or {}).get("status")
        if status == "UnknownVendorId" or (answer.end != "accepted" and self._version == "ocpp1.6" and status is None):
            self._unknown |= {"SetUserPrice", "RunningCost", "FinalCost"}
            self._finals = []
        elif status in UNKNOWN or answer.end in ("failed", "unknown"):
            self._unknown |= {what}
        self._shows_running = not self._unknown & {"RunningCost", "CostUpdated"}
