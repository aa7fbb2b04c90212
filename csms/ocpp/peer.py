"""
One side of an OCPP-J conversation, without I/O: text in; events, answers and calls of ours out.

Calls of a station are served in order, one at a time, each answered after its commit; what came
meanwhile waits. Heartbeats are answered at once, from memory. Our own calls are in `asking.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol

import msgspec
import structlog

from csms.base.clock import rfc3339
from csms.base.errors import WireError
from csms.domain.events import RECORDED, Outcome, SessionMetered, Unreadable
from csms.domain.voucher_asks import VoucherAnswer
from csms.ocpp import envelope, repair, schemas, wire
from csms.ocpp.asking import Asking
from csms.ocpp.calls import (
    NO_KEYS,
    Call,
    Consult,
    Desk,
    Hurried,
    OtherVersion,
    Read,
    Reply,
    Route,
    Together,
    Unclear,
    VerifyToken,
)
from csms.ocpp.cost import Costs, is_news
from csms.ocpp.envelope import CallFrame, ErrorFrame, Frame, Malformed, ResultFrame
from csms.ocpp.frames import INTERNAL_ERROR, PROTOCOL_ERROR
from csms.ocpp.routes import ROUTES, refusal, spelled
from csms.ocpp.schemas import Version
from csms.ocpp.slot_uses import SlotUses
from csms.ocpp.tx_limits import TxLimits
from csms.ocpp.unreadable import UNREADABLE_KEPT_MAX, broken, check, unreadable
from csms.psp.base import Denied, VerifiedToken

log = structlog.get_logger("csms.ocpp")


class Line(Protocol):
    """The connection below: the socket, or a transcript in a test."""

    def send(self, text: bytes) -> None:
        """Send one text message."""

    def hold(self, held: bool) -> None:
        """Stop or go on reading: too many calls wait."""

    def close(self, code: int, reason: str) -> None:
        """Close the connection."""


class Peer:
    """The conversation with one station over one connection."""

    __slots__ = (
        "_asking",
        "_current",
        "_held",
        "_line",
        "_ready",
        "_route",
        "_routes",
        "_waiting",
        "broken",
        "costs",
        "desk",
        "epoch",
        "keys",
        "kind",
        "on_boot",
        "slots",
        "station_id",
        "strict",
        "tx_limits",
        "version",
    )

    def __init__(self, desk: Desk, line: Line, station_id: str, version: Version, epoch: int, strict: bool) -> None:
        self.desk = desk
        self.station_id = station_id
        self.version: Version = version
        self.epoch = epoch
        self.strict = strict
        self.broken = 0
        self.kind = "charger"
        """What the station is: `charger`, `locker` or `battery_station`."""
        self.slots: SlotUses | None = None
        """Of a battery station: which slots its transactions are in."""
        self.keys = NO_KEYS
        """Public keys of the station's meters, by connector."""
        self.tx_limits: TxLimits | None = None
        """Of a 2.1 station: the limits of sessions that it keeps itself."""
        self.costs: Costs | None = None
        """What the station is told of prices and costs; None where nothing is."""
        self.on_boot: Callable[[], None] | None = None
        """Called after every boot that was accepted."""
        self._line = line
        self._current: Call | None = None
        self._route: Route | None = None
        self._routes = ROUTES[version]
        self._waiting: deque[tuple[Route, CallFrame, str]] | None = None
        self._held = False
        self._ready = False
        self._asking: Asking | None = None

    # What the station says

    def receive(self, text: str) -> None:
        """One text message of the station. Never raises for anything a station can send."""
        frame: Frame = envelope.read(text, self.version)
        if type(frame) is CallFrame:
            self._called(frame, text)
        elif type(frame) is Malformed:
            self._malformed(frame, text)
        elif type(frame) is ResultFrame or type(frame) is ErrorFrame:
            self.asking.answered(frame, self.station_id)
        else:
            log.debug("frame ignored", station=self.station_id, frame=frame)

    def _called(self, frame: CallFrame, text: str) -> None:
        routes = self._routes
        route = routes.get(frame.action)
        if route is None:
            action = frame.action if self.strict else spelled(self.version, frame.action)
            if action == "Heartbeat":
                self._heartbeat(frame)
                return
            route = routes.get(action)
            if route is None:
                self._refuse(frame.id_json, refusal(self.version, frame.action), "")
                return
            frame = frame._replace(action=action)
        if self._current is None:
            self._serve(route, frame, text)
            return
        if self._is_waiting(text):
            log.debug("call repeated while it is served", station=self.station_id, action=frame.action)
            return
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append((route, frame, text))
        if len(self._waiting) >= self.desk.backlog_max and not self._held:
            self._held = True
            self._line.hold(True)

    def _is_waiting(self, text: str) -> bool:
        """Whether this very frame is already being served: the repeat gets no second answer."""
        if self._current is not None and self._current.raw == text:
            return True
        return any(waiting == text for _, _, waiting in self._waiting or ())

    def _heartbeat(self, frame: CallFrame) -> None:
        if not bytes(frame.payload).startswith(b"{"):
            fault = WireError(schemas.FORMATION[self.version], "Heartbeat: the payload is an object")
            self._refuse(frame.id_json, fault, "Heartbeat")
            return
        self.desk.counts[self.version, "Heartbeat", "answered"] += 1
        now = rfc3339(self.desk.clock())
        self._line.send(envelope.result(frame.id_json, b'{"currentTime":"%b"}' % now.encode()))

    def _malformed(self, frame: Malformed, text: str) -> None:
        action = spelled(self.version, frame.action)
        route = self._routes.get(action)
        if route is None or not route.money or self.strict:
            self._refuse(frame.id_json, frame.error, "" if route is None else action)
        elif frame.meant is not None:
            self._called(frame.meant, text)
        elif frame.is_json and frame.id_json != envelope.NO_ID:
            self._called(CallFrame(frame.id_json, action, b"null"), text)
        else:
            # A money report that is not JSON: refused, because nothing of it can be trusted, and kept (Q-M10).
            if self._keeps_more():
                event = broken(self.desk, self.station_id, route, action, frame.error, text)
                self.desk.submit(event, _unheard)
            self._refuse(frame.id_json, frame.error, action)

    def _refuse(self, id_json: bytes, fault: WireError, action: str) -> None:
        """Send a CALLERROR; `action` is "" where there is no route, so that strangers make no names for metrics."""
        self.desk.counts[self.version, action or "other", fault.code] += 1
        log.debug("call refused", station=self.station_id, code=fault.code, why=fault.description)
        self._line.send(envelope.error(id_json, fault))

    # Serving a call

    def _serve(self, route: Route, frame: CallFrame, text: str) -> None:
        desk = self.desk
        now = desk.clock()
        call = Call(
            self.station_id, frame.id_json, frame.action, text, now, None, self.version, desk, perf_counter(), self.keys
        )
        call.tx_limits, call.kind, call.slots = self.tx_limits, self.kind, self.slots
        self._current, self._route = call, route
        try:
            read = self._read(route, call, frame.payload)
        except WireError as fault:
            self._current = None
            self._refuse(frame.id_json, fault, frame.action)
            return
        except OtherVersion as found:
            self._current = None
            log.warning("station speaks another version", station=self.station_id, agreed=self.version, why=str(found))
            self._line.close(PROTOCOL_ERROR, str(found))
            return
        if type(read) is SessionMetered:  # the hot road
            desk.submit(read if self.costs is None else self.costs.wished(read), self._decided)
        elif type(read) is Reply:
            self._current = None
            self._send_result(call, read.payload)
        elif type(read) is VerifyToken:
            self._verify(call, read)
        elif type(read) is Hurried:
            self._hurry(call, read)
        elif type(read) is Consult:
            self._consult(call, read)
        elif type(read) is Together:
            for event in read.events[:-1]:
                desk.submit(event, _unheard)
            desk.submit(read.events[-1], self._decided)
        elif type(read) is Unreadable and not route.money and not self._keeps_more():
            self._current = None
            self._send_result(call, route.write(RECORDED, call))
        else:
            desk.submit(read, self._decided)  # type: ignore[arg-type]

    def _keeps_more(self) -> bool:
        """Whether what is unreadable is still kept: of a broken station only so much."""
        self.broken += 1
        return self.broken <= UNREADABLE_KEPT_MAX

    def _read(self, route: Route, call: Call, payload: bytes | msgspec.Raw) -> Read:
        """The event that a call means. Raises `WireError` for what is refused: never a report that moves money."""
        if self.strict:
            check(self.version, call.action, payload, strict=True)
        try:
            try:
                call.payload = wire.decoder(self.version, call.action).decode(payload)
            except (msgspec.DecodeError, RecursionError):
                call.payload = repair.read(self.version, call.action, payload, deep=route.money)
                call.mark = "mended"
            return route.read(call)
        except (repair.Beyond, Unclear) as why:
            return unreadable(route, call, payload, str(why), strict=self.strict)
        except Exception as error:
            # A fault of ours must not make a station repeat its report for ever (quirk Q-B07).
            log.exception("a report could not be read", station=self.station_id, action=call.action)
            if not route.money:
                raise WireError("InternalError", "this system could not read the call") from error
            return unreadable(route, call, payload, f"{type(error).__name__} in the reader", strict=self.strict)

    def _verify(self, call: Call, ask: VerifyToken) -> None:
        submit, then = self.desk.submit, ask.then
        decided = partial(self._decided_if_open, call)

        def on_word(word: VerifiedToken | Denied) -> None:
            if not isinstance(word, VerifiedToken):
                log.info("token not verified", station=self.station_id, why=word.reason)
                if self._current is call:
                    self._answer(call, ask.denied(word.reason))
            elif then is None:
                submit(ask.issued(word), decided)
            else:
                submit(ask.issued(word), lambda outcome: submit(then(), decided))

        self.desk.verify(ask.token, self.station_id, on_word)

    def _consult(self, call: Call, consult: Consult) -> None:
        def on_answer(answer: VoucherAnswer) -> None:
            if self._current is call:
                self._answer(call, consult.answered(answer))

        assert self.desk.consult is not None, "what nobody can be asked about is not read"
        self.desk.consult(consult.question, on_answer)

    def _hurry(self, call: Call, hurried: Hurried) -> None:
        """Record it; whichever comes first is the answer, the outcome or `pending`."""

        def too_slow() -> None:
            if self._current is call:
                call.mark = "pending"
                self._answer(call, hurried.pending)

        self.desk.later(hurried.within_s, too_slow)
        if isinstance(hurried.meant, VerifyToken):
            self._verify(call, hurried.meant)
        else:
            self.desk.submit(hurried.meant, partial(self._decided_if_open, call))

    def _decided_if_open(self, call: Call, outcome: Outcome) -> None:
        """The commit is done: answer, unless the call was answered meanwhile because that took too long."""
        if self._current is call:
            self._decided(outcome)

    def _decided(self, outcome: Outcome) -> None:
        """The commit is done: answer, and serve what waited."""
        call, route = self._current, self._route
        assert call is not None
        assert route is not None
        try:
            payload = route.write(outcome, call)
        except Exception:  # stored, but not to be told: better a new connection than one that waits for ever
            log.exception("an answer could not be written", station=self.station_id, action=call.action)
            self._line.close(INTERNAL_ERROR, "an answer could not be written")
            return
        self._answer(call, payload)
        if self.costs is not None and is_news(outcome):
            self._tell_costs(self.costs, call, outcome)
        if call.action == "BootNotification":
            self.ready()
            if self.costs is not None:
                self.costs.boot()
            if self.on_boot is not None:
                self.on_boot()

    def _tell_costs(self, costs: Costs, call: Call, outcome: Outcome) -> None:
        try:
            costs.told(call, outcome)
        except Exception:  # what is shown must not disturb what is done
            log.exception("costs could not be told", station=self.station_id, action=call.action)
            self.costs = None

    def _send_result(self, call: Call, payload: bytes) -> None:
        self._line.send(envelope.result(call.id_json, payload))
        self.desk.counts[self.version, call.action, call.mark] += 1
        if self.desk.log_calls:
            took_ms = round((perf_counter() - call.began_s) * 1000, 1)
            log.debug("call", station=self.station_id, action=call.action, outcome=call.mark, ms=took_ms)

    def _answer(self, call: Call, payload: bytes) -> None:
        self._send_result(call, payload)
        self._current = None
        waiting = self._waiting
        while waiting and self._current is None:
            route, frame, text = waiting.popleft()
            self._serve(route, frame, text)
        if waiting is not None and len(waiting) <= self.desk.backlog_max // 2:
            if self._held:
                self._held = False
                self._line.hold(False)
            if not waiting:
                self._waiting = None

    # What we ask of the station

    @property
    def asking(self) -> Asking:
        """Calls of ours on this connection; most connections never have one."""
        if self._asking is None:
            self._asking = Asking(self.epoch, self._line.send)
            if self._ready:
                self._asking.ready()
        return self._asking

    def ready(self) -> None:
        """From now on the station may be called."""
        self._ready = True
        if self._asking is not None:
            self._asking.ready()

    def closed(self) -> None:
        """The connection is gone: calls of ours end; what the station reported is still served."""
        if self._asking is not None:
            self._asking.closed()


def _unheard(outcome: Outcome) -> None:
    """The end of a report whose sender has its answer already."""
