"""
A simulated station without I/O: what happens at it, on any OCPP version.

Drivers' acts (`present`, `start`, `meter`, `end`) become calls on the station's `line`; what the
system asks is done and answered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from charge_points_sim.asked import answer
from charge_points_sim.devices.device import (
    Change,
    Device,
    Message,
    Payload,
    Shown,
    StartAsked,
    Status,
    StopReason,
    heartbeat,
)
from charge_points_sim.faults import CALM, Faults
from charge_points_sim.line import Call, CallFailed, Line, Settle, ignore
from charge_points_sim.session import Session, Token
from charge_points_sim.times import epoch

ASSETS = "org.csms.assets"
"""The vendor of DataTransfer that these stations speak."""


@dataclass(slots=True)
class Connector:
    """A position where one session runs at a time; `register_wh` counts for its lifetime."""

    number: int
    register_wh: int = 0
    session: Session | None = None


class Station:
    """
    One station of one OCPP version, offline until its line is `connected`.

    `new_ref` draws 2.x transaction ids; `clock` answers the station's time in epoch seconds.
    `asked_to_start` decides on a remote start (default: yes, if the connector is free);
    `asked_to_stop` ends a session that is stopped from afar (default: at its last register).
    """

    def __init__(
        self,
        id: str,
        device: Device,
        new_ref: Callable[[], str],
        clock: Callable[[], int],
        connectors: Mapping[int, Connector] | None = None,
        faults: Faults = CALM,
    ) -> None:
        self.id = id
        self.device = device
        self.connectors = connectors or {1: Connector(1)}
        self.line = Line(self._asked, device.names_own_sessions, faults)
        self.shown: list[Shown] = []
        """Prices and costs that the system had it show, in order."""
        self.tariff: Payload | None = None
        """The default tariff of a 2.1 station that takes one."""
        self.asked_to_start: Callable[[StartAsked], bool] = lambda asked: True
        self.asked_to_stop: Callable[[Session], None] = self._end_now
        self.judged: Callable[[Session], None] = lambda session: None
        """Told when the system has answered the start of a session that it asked for itself."""
        self.hears: Callable[[str, Payload], str | None] = lambda action, payload: None
        """Answers calls that only this device understands: the result as JSON text; None: answered as usual."""
        self.listened: Callable[[], None] = lambda: None
        """Told when the system begins to listen: a boot was accepted, or the line stands again after one."""
        self.booted: bool | None = None
        """None before the first boot; False: a boot waits to be accepted."""
        self.drift_s = 0
        """How far the station's clock is ahead of the system's, as of the last boot or heartbeat."""
        self.line.greet = self._greet
        self.heard: Counter[str] = Counter()
        """Calls of the system, by action."""
        self._new_ref = new_ref
        self._clock = clock

    def now(self) -> int:
        """The station's own time."""
        return self._clock()

    def boot(self, settle: Settle = ignore, reason: str = "PowerUp") -> None:
        """Introduces itself after power came up; once more at the next connection if nobody answers."""
        self.booted = bool(self.booted)

        def read(answer: Payload | CallFailed) -> None:
            self._set_clock(answer)
            if not isinstance(answer, CallFailed) and answer["status"] == "Accepted":
                self.booted = True
                self.listened()
            settle(answer)

        self._call(self.device.boot(self.id, reason), read)

    def beat(self, settle: Settle = ignore) -> None:
        """Shows that it is alive."""

        def read(answer: Payload | CallFailed) -> None:
            self._set_clock(answer)
            settle(answer)

        self._call(heartbeat(), read)

    def lose_power(self) -> None:
        """The station goes dark; it boots when it is connected again."""
        self.booted = False

    def _greet(self) -> None:
        if self.booted:
            self.listened()
        elif self.booted is not None:
            self.boot()

    def _set_clock(self, answer: Payload | CallFailed) -> None:
        if not isinstance(answer, CallFailed):
            self.drift_s = self._clock() - epoch(answer["currentTime"])

    def show(self, connector: int, status: Status) -> None:
        """Reports a connector's status."""
        self._call(self.device.status(connector, status, self._clock()), ignore)

    def present(self, token: Token, settle: Callable[[bool | CallFailed], None]) -> None:
        """A driver holds a token to the reader: asks whether it may charge."""

        def read(answer: Payload | CallFailed) -> None:
            settle(answer if isinstance(answer, CallFailed) else self.device.read_authorize(answer).accepted)

        self._call(self.device.authorize(token), read)

    def exchange(self, content: Mapping[str, Any], settle: Callable[[str | CallFailed | None], None]) -> None:
        """Hands a long token (`Auth.Token`) to the system; settles with the alias, or None when it is refused."""

        def read(answer: tuple[bool, Payload] | CallFailed) -> None:
            if isinstance(answer, CallFailed):
                settle(answer)
                return
            accepted, data = answer
            settle(data.get("token") if accepted else None)

        self.transfer("Auth.Token", content, read)

    def transfer(
        self, message: str, content: Payload, settle: Callable[[tuple[bool, Payload] | CallFailed], None]
    ) -> None:
        """Any message of `org.csms.assets`; settles with whether it was accepted, and the answer's data."""

        def read(answer: Payload | CallFailed) -> None:
            settle(answer if isinstance(answer, CallFailed) else self.device.read_transfer(answer))

        self._call(self.device.transfer(ASSETS, message, content), read)

    def start(
        self,
        connector: int,
        token: Token,
        settle: Callable[[Session], None] = lambda session: None,
        start_id: int | None = None,
        soc: int | None = None,
    ) -> Session:
        """A charge begins; `settle` gets the session once the system's verdict (`accepted`) is known."""
        position = self.connectors[connector]
        assert position.session is None, f"connector {connector} of {self.id} is in use"
        register = position.register_wh
        session = Session(connector, token, self._clock(), register, register, start_id=start_id, soc=soc)
        session.tariff = self.tariff
        if self.device.names_own_sessions:
            session.ref = self._new_ref()
        position.session = session

        def read(answer: Payload | CallFailed) -> None:
            if isinstance(answer, CallFailed):
                session.accepted = False
            else:
                verdict = self.device.read_started(answer)
                session.accepted = verdict.accepted
                session.ref = session.ref if verdict.ref is None else verdict.ref
                self._heed(session, answer)
            settle(session)

        self._call(self.device.started(session, not self.line.online), read, session)
        return session

    def meter(
        self,
        session: Session,
        register_wh: int,
        settle: Settle = ignore,
        power_w: int | None = None,
    ) -> None:
        """
        A reading of the lifetime register (Wh) and the power (W).

        A station that keeps a limit itself gives no energy beyond it: the register stands, and it says so.
        """
        at = self._clock()
        allowed = session.allowed(register_wh, at)
        session.register_wh = self.connectors[session.connector].register_wh = allowed
        if allowed < register_wh and not session.suspended:
            session.suspended = True
            over = session.limit is not None and session.limit.energy_wh == allowed - session.start_wh
            self.tell(session, "energy_limit" if over else "time_limit", settle)
            return
        message = self.device.metered(session, at, power_w, not self.line.online)
        self._call(message, self._heeding(session, settle), session)

    def end(
        self,
        session: Session,
        register_wh: int,
        settle: Settle = ignore,
        reason: StopReason = "departed",
    ) -> None:
        """The charge ends at `register_wh`; the connector is free again."""
        position = self.connectors[session.connector]
        assert position.session is session
        session.ended_at = self._clock()
        session.register_wh = position.register_wh = session.allowed(register_wh, session.ended_at)
        position.session = None

        def read(answer: Payload | CallFailed) -> None:
            fee = None if isinstance(answer, CallFailed) else self.device.read_fee(answer)
            if fee is not None:
                self.shown.append(Shown("fee", fee))
            settle(answer)

        self._call(self.device.ended(session, session.ended_at, reason, not self.line.online), read, session)

    def send(self, message: Message, settle: Settle = ignore) -> None:
        """Any other message, kept by nobody: for stories about stations that do not behave."""
        self._call(message, settle)

    def tell(self, session: Session, change: Change, settle: Settle = ignore) -> None:
        """An event of a session that is no reading."""
        assert self.device.changed is not None, f"OCPP {self.device.version} has no such event"
        message = self.device.changed(session, self._clock(), change, not self.line.online)
        self._call(message, self._heeding(session, settle), session)

    def _heeding(self, session: Session, settle: Settle) -> Settle:
        def read(answer: Payload | CallFailed) -> None:
            if not isinstance(answer, CallFailed):
                self._heed(session, answer)
            settle(answer)

        return read

    def _heed(self, session: Session, answer: Payload) -> None:
        """Keeps to the limit in an answer; a suspended session goes on when it was raised."""
        limit = self.device.read_limit(answer)
        if limit is None or session.ended_at is not None:
            return
        session.limit = limit
        if session.suspended and session.allowed(session.register_wh + 1, self._clock()) > session.register_wh:
            session.suspended = False
            self.tell(session, "resumed")

    def _call(self, message: Message, settle: Settle, session: Session | None = None) -> None:
        self.line.put(Call(message.action, message.write, settle, session))

    def _asked(self, message_id: str, action: str, payload: Payload) -> str:
        """The answer to a call of the system: of this device alone, or as any station gives it."""
        self.heard[action] += 1
        own = self.hears(action, payload)
        return answer(self, message_id, action, payload) if own is None else f"[3,{json.dumps(message_id)},{own}]"

    def _end_now(self, session: Session) -> None:
        self.end(session, session.register_wh, reason="remote")
