"""What the system asks of a station, done as far as a simulated one can, and answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from charge_points_sim.devices.device import Heard, Payload, Shown, StartAsked, StopAsked, TriggerAsked

if TYPE_CHECKING:
    from charge_points_sim.station import Station

REFUSED = '[4,{},"NotSupported","This simulated station has no such call",{{}}]'


def answer(station: Station, message_id: str, action: str, payload: Payload) -> str:
    """Does what a call asks, and writes the frame of the answer."""
    asked = station.device.read_call(action, payload)
    match asked:
        case StartAsked():
            return _result(message_id, _start(station, asked))
        case StopAsked(ref):
            return _result(message_id, _stop(station, ref))
        case TriggerAsked(message, connector):
            return _result(message_id, _triggered(station, message, connector))
        case Shown(kind, content, text):
            station.shown.append(asked)
            if kind == "tariff":
                station.tariff = content
            return f"[3,{json.dumps(message_id)},{text}]"
        case Heard(text):
            return f"[3,{json.dumps(message_id)},{text}]"
        case None:
            return REFUSED.format(json.dumps(message_id))


def _start(station: Station, asked: StartAsked) -> bool:
    free = [c.number for c in station.connectors.values() if c.session is None]
    number = asked.connector if asked.connector is not None else min(free, default=None)
    if number is None or number not in free or not station.asked_to_start(asked):
        return False
    station.start(number, asked.token, station.judged, asked.start_id)
    return True


def _stop(station: Station, ref: str | int) -> bool:
    for position in station.connectors.values():
        session = position.session
        if session is not None and session.ref == ref:
            station.asked_to_stop(session)
            return True
    return False


def _triggered(station: Station, message: str, connector: int | None) -> bool:
    meant = [position for position in station.connectors.values() if connector in (None, position.number)]
    match message:
        case "BootNotification":
            station.boot(reason="Triggered")
        case "Heartbeat":
            station.beat()
        case "StatusNotification":
            for position in meant:
                station.show(position.number, "charging" if position.session else "available")
        case "TransactionEvent" if station.device.changed is not None:
            for position in meant:
                if position.session is not None:
                    station.tell(position.session, "asked")
        case _:
            return False
    return True


def _result(message_id: str, accepted: bool) -> str:
    """The answer of calls that are accepted or rejected."""
    return f'[3,{json.dumps(message_id)},{{"status":"{"Accepted" if accepted else "Rejected"}"}}]'
