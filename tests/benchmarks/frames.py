"""
The calls that the load speaks, as WebSocket frames prepared once and patched for each call.

Every patched field has a fixed width (numbers are padded with blanks or leading zeros where JSON allows it), so a
frame's length never changes and its header is made once. The mask key is zero, which RFC 6455 allows: the payload
travels as it is. All lengths are in bytes.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from typing import Protocol

METER_START_WH = 10_000_000
"""Registers have eight digits from the first reading to the last, far below the next power of ten."""

HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example pair of RFC 6455 section 1.3."""

SUBPROTOCOLS = {"1.6": "ocpp1.6", "2.0.1": "ocpp2.0.1", "2.1": "ocpp2.1"}


def station_id(index: int, prefix: str = "BENCH-") -> str:
    """The id of simulated station `index`."""
    return f"{prefix}{index:05d}"


def token_text(index: int) -> str:
    """The token that station `index` presents: 14 hex digits, like the UID of an RFID card."""
    return f"04C0DE{index:08X}"


def handshake(host: str, path: str, station: str, password: str, version: str) -> bytes:
    """The HTTP request that opens the connection, with Basic authentication (security profile 1)."""
    basic = base64.b64encode(f"{station}:{password}".encode()).decode()
    return (
        f"GET {path}/{station} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {HANDSHAKE_KEY}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[version]}\r\nAuthorization: Basic {basic}\r\n\r\n"
    ).encode()


def client_frame(payload: bytes, opcode: int = 1) -> bytes:
    """One final frame from a client, mask key zero."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    else:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class Calendar:
    """Instants as the wire writes them, `2026-11-20T15:04:05.123Z`: the second is formatted once, not per frame."""

    def __init__(self) -> None:
        self.second = -1
        self.prefix = b""

    def text(self, unix_ms: int) -> bytes:
        """The instant `unix_ms` (milliseconds since 1970)."""
        second, ms = divmod(unix_ms, 1000)
        if second != self.second:
            self.second = second
            self.prefix = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second)).encode()
        return b"%b%03dZ" % (self.prefix, ms)


class Speech(Protocol):
    """What one station says in one OCPP version. `ref` is the transaction id as the wire writes it."""

    def boot(self, call: int) -> bytes: ...
    def heartbeat(self, call: int) -> bytes: ...
    def authorize(self, call: int) -> bytes: ...
    def start(self, call: int, at: bytes, meter_wh: int) -> bytes: ...
    def meter(self, call: int, at: bytes, meter_wh: int) -> bytes: ...
    def stop(self, call: int, at: bytes, meter_wh: int) -> bytes: ...
    def started(self, answer: bytes) -> bool: ...


def _prepare(action: str, payload: object, *sample: object) -> bytes:
    """
    The frame of a call with `%` fields left open: the call's number first, then those that stand in `payload`.

    `sample` fills the fields of `payload` once, to learn the frame's length.
    """
    return prepared(action, open_text(payload), *sample)


def open_text(payload: object) -> str:
    """JSON with `%` fields. Quotes of a field that is to become a number are written `"<` and `>"` and taken away."""
    return json.dumps(payload, separators=(",", ":")).replace('"<', "").replace('>"', "")


def prepared(action: str, text: str, *sample: object) -> bytes:
    """As `_prepare`, of a payload that is JSON text already."""
    template = b'[2,"%%010d","%b",%b]' % (action.encode(), text.encode())
    frame = client_frame(template % (0, *sample))
    head = len(frame) - len(template % (0, *sample))
    return frame[:head].replace(b"%", b"%%") + template


_TRANSACTION_ID = re.compile(rb'"transactionId":\s*(\d+)')
_AT = b"2026-11-20T15:04:05.123Z"
BOOT_16 = {"chargePointVendor": "Bench", "chargePointModel": "Load"}
BOOT_201 = {"reason": "PowerUp", "chargingStation": {"vendorName": "Bench", "model": "Load"}}


class Speech16:
    """OCPP 1.6: the central system gives the transaction id."""

    def __init__(self, token: str, run: str, index: int) -> None:
        self.ref = b""
        self._boot = _prepare("BootNotification", BOOT_16)
        self._heartbeat = _prepare("Heartbeat", {})
        self._authorize = _prepare("Authorize", {"idTag": token})
        start = {"connectorId": 1, "idTag": token, "meterStart": "<%08d>", "timestamp": "%b"}
        self._start = _prepare("StartTransaction", start, 0, _AT)
        energy = {"value": "%08d", "context": "Sample.Periodic", "measurand": "Energy.Active.Import.Register"}
        power = {"value": "7200", "context": "Sample.Periodic", "measurand": "Power.Active.Import", "unit": "W"}
        reading = {"timestamp": "%b", "sampledValue": [{**energy, "unit": "Wh"}, power]}
        meter = {"connectorId": 1, "transactionId": "<%b>", "meterValue": [reading]}
        self._meter = _prepare("MeterValues", meter, b"%-10d" % 0, _AT, 0)
        stop = {"transactionId": "<%b>", "timestamp": "%b", "meterStop": "<%08d>", "idTag": token, "reason": "Local"}
        self._stop = _prepare("StopTransaction", stop, b"%-10d" % 0, _AT, 0)

    def boot(self, call: int) -> bytes:
        return self._boot % call

    def heartbeat(self, call: int) -> bytes:
        return self._heartbeat % call

    def authorize(self, call: int) -> bytes:
        return self._authorize % call

    def start(self, call: int, at: bytes, meter_wh: int) -> bytes:
        return self._start % (call, meter_wh, at)

    def meter(self, call: int, at: bytes, meter_wh: int) -> bytes:
        return self._meter % (call, self.ref, at, meter_wh)

    def stop(self, call: int, at: bytes, meter_wh: int) -> bytes:
        return self._stop % (call, self.ref, at, meter_wh)

    def started(self, answer: bytes) -> bool:
        """Takes the transaction id from the answer to a start; False if the token was not accepted."""
        found = _TRANSACTION_ID.search(answer)
        self.ref = b"%-10d" % int(found[1]) if found else b"%-10d" % 0
        return found is not None and b'"Accepted"' in answer


class Speech201:
    """OCPP 2.0.1 and 2.1: the station gives the transaction id and counts its reports."""

    def __init__(self, token: str, run: str, index: int) -> None:
        self.ref = b""
        self.sessions = 0
        self.seq = 0
        self.name = f"{run}-{index:05d}"
        id_token = {"idToken": token, "type": "ISO14443"}
        self._boot = _prepare("BootNotification", BOOT_201)
        self._heartbeat = _prepare("Heartbeat", {})
        self._authorize = _prepare("Authorize", {"idToken": id_token})
        evse = {"evse": {"id": 1, "connectorId": 1}}
        self._start = self._event("Started", "Authorized", "Transaction.Begin", {"idToken": id_token, **evse})
        self._meter = self._event("Updated", "MeterValuePeriodic", "Sample.Periodic", {})
        by_driver = {"idToken": id_token}
        self._stop = self._event("Ended", "StopAuthorized", "Transaction.End", by_driver, stoppedReason="Local")

    @staticmethod
    def _event(kind: str, trigger: str, context: str, more: Mapping[str, object], **info: str) -> bytes:
        energy = {"value": "<%08d>", "context": context, "measurand": "Energy.Active.Import.Register"}
        power = {"value": 7200, "context": context, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W"}}
        samples = [{**energy, "unitOfMeasure": {"unit": "Wh"}}, power]
        event = {
            "eventType": kind,
            "timestamp": "%b",
            "triggerReason": trigger,
            "seqNo": "<%-8d>",
            "transactionInfo": {"transactionId": "%b", "chargingState": "Charging", **info},
            "meterValue": [{"timestamp": "%b", "sampledValue": samples}],
            **more,
        }
        return _prepare("TransactionEvent", event, _AT, 0, b"r" * 23, _AT, 0)

    def boot(self, call: int) -> bytes:
        return self._boot % call

    def heartbeat(self, call: int) -> bytes:
        return self._heartbeat % call

    def authorize(self, call: int) -> bytes:
        return self._authorize % call

    def start(self, call: int, at: bytes, meter_wh: int) -> bytes:
        self.sessions += 1
        self.seq = 0
        self.ref = f"{self.name}-{self.sessions:08d}".encode()
        return self._start % (call, at, 0, self.ref, at, meter_wh)

    def meter(self, call: int, at: bytes, meter_wh: int) -> bytes:
        self.seq += 1
        return self._meter % (call, at, self.seq, self.ref, at, meter_wh)

    def stop(self, call: int, at: bytes, meter_wh: int) -> bytes:
        self.seq += 1
        return self._stop % (call, at, self.seq, self.ref, at, meter_wh)

    def started(self, answer: bytes) -> bool:
        """False if the answer to a start refuses the token."""
        return b'"idTokenInfo"' not in answer or b'"Accepted"' in answer


SPEECHES: dict[str, type[Speech16] | type[Speech201]] = {"1.6": Speech16, "2.0.1": Speech201, "2.1": Speech201}
