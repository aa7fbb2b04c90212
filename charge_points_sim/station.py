"""
A simulated station without I/O: what happens at it, on any OCPP version.

Drivers' acts (`present`, `start`, `meter`, `end`) become calls on the station's `line`; what the
system asks is done and answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from charge_points_sim.devices.device import (
    Device,
    Heard,
    Message,
    Payload,
    StartAsked,
    Status,
    StopAsked,
    StopReason,
    TriggerAsked,
    heartbeat,
)
from charge_points_sim.faults import CALM, Faults
from charge_points_sim.line import Call, CallFailed, Line, Settle, ignore
from charge_points_sim.session import Session, Token

REFUSED = '[4,{},"NotSupported","This simulated station has no such call",{{}}]'


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
        self.line = Line(self._answer, device.names_own_sessions, faults)
        self.asked_to_start: Callable[[StartAsked], bool] = lambda asked: True
        self.asked_to_stop: Callable[[Session], None] = self._end_now
        self._new_ref = new_ref
        self._clock = clock

    def boot(self, settle: Settle = ignore, reason: str = "PowerUp") -> None:
        """Introduces itself after power came up."""
        self._call(self.device.boot(self.id, reason), settle)

    def beat(self, settle: Settle = ignore) -> None:
        """Shows that it is alive."""
        self._call(heartbeat(), settle)

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

        def read(answer: Payload | CallFailed) -> None:
            if isinstance(answer, CallFailed):
                settle(answer)
                return
            accepted, data = self.device.read_transfer(answer)
            settle(data.get("token") if accepted else None)

        self._call(self.device.transfer("org.csms.assets", "Auth.Token", content), read)

    def start(
        self,
        connector: int,
        token: Token,
        settle: Callable[[Session], None] = lambda session: None,
        start_id: int | None = None,
    ) -> Session:
        """A charge begins; `settle` gets the session once the system's verdict (`accepted`) is known."""
        position = self.connectors[connector]
        assert position.session is None, f"connector {connector} of {self.id} is in use"
        register = position.register_wh
        session = Session(connector, token, self._clock(), register, register, start_id=start_id)
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
        """A reading of the lifetime register (Wh) and the power (W)."""
        session.register_wh = self.connectors[session.connector].register_wh = register_wh
        self._call(self.device.metered(session, self._clock(), power_w, not self.line.online), settle, session)

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
        session.register_wh = position.register_wh = register_wh
        session.ended_at = self._clock()
        position.session = None
        self._call(self.device.ended(session, session.ended_at, reason, not self.line.online), settle, session)

    def send(self, message: Message, settle: Settle = ignore) -> None:
        """Any other message, kept by nobody: for stories about stations that do not behave."""
        self._call(message, settle)

    def _call(self, message: Message, settle: Settle, session: Session | None = None) -> None:
        self.line.put(Call(message.action, message.write, settle, session))

    def _answer(self, message_id: str, action: str, payload: Payload) -> str:
        """Does what the system asks, as far as a simulated station can, and writes the answer."""
        asked = self.device.read_call(action, payload)
        match asked:
            case StartAsked():
                return _result(message_id, self._start_asked(asked))
            case StopAsked(ref):
                return _result(message_id, self._stop_asked(ref))
            case TriggerAsked(message, connector):
                return _result(message_id, self._triggered(message, connector))
            case Heard(answer):
                return f"[3,{json.dumps(message_id)},{answer}]"
            case None:
                return REFUSED.format(json.dumps(message_id))

    def _start_asked(self, asked: StartAsked) -> bool:
        free = [c.number for c in self.connectors.values() if c.session is None]
        number = asked.connector if asked.connector is not None else min(free, default=None)
        if number is None or number not in free or not self.asked_to_start(asked):
            return False
        self.start(number, asked.token, start_id=asked.start_id)
        return True

    def _stop_asked(self, ref: str | int) -> bool:
        for position in self.connectors.values():
            session = position.session
            if session is not None and session.ref == ref:
                self.asked_to_stop(session)
                return True
        return False

    def _end_now(self, session: Session) -> None:
        self.end(session, session.register_wh, reason="remote")

    def _triggered(self, message: str, connector: int | None) -> bool:
        match message:
            case "BootNotification":
                self.boot(reason="Triggered")
            case "Heartbeat":
                self.beat()
            case "StatusNotification":
                for position in self.connectors.values():
                    if connector in (None, position.number):
                        self.show(position.number, "charging" if position.session else "available")
            case _:
                return False
        return True


def _result(message_id: str, accepted: bool) -> str:
    """The answer of calls that are accepted or rejected."""
    return f'[3,{json.dumps(message_id)},{{"status":"{"Accepted" if accepted else "Rejected"}"}}]'
