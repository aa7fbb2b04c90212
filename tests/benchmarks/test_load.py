"""The load itself: what it says is OCPP, and it understands answers however the network cuts them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocpp.messages import Call, validate_payload

from tests.benchmarks import client, frames

AT = b"2026-11-20T15:04:05.123Z"


def calls_of(version: str) -> dict[str, bytes]:
    speech = frames.SPEECHES[version](frames.token_text(7), "5f0e1a2b", 7)
    said = {"boot": speech.boot(1), "heartbeat": speech.heartbeat(2), "authorize": speech.authorize(3)}
    said["start"] = speech.start(4, AT, frames.METER_START_WH)
    speech.started(b'[3,"0000000004",{"transactionId":41,"idTagInfo":{"status":"Accepted"}}]')
    said["meter"] = speech.meter(5, AT, frames.METER_START_WH + 1)
    said["stop"] = speech.stop(6, AT, frames.METER_START_WH + 2)
    return said


def payload_of(frame: bytes) -> bytes:
    """What a server reads from a frame whose mask key is zero."""
    assert frame[0] == 0x81
    assert frame[1] & 0x80, "clients mask"
    length, head = frame[1] & 0x7F, 2
    if length == 126:
        length, head = int.from_bytes(frame[2:4], "big"), 4
    assert frame[head : head + 4] == b"\0\0\0\0"
    assert len(frame) == head + 4 + length
    return frame[head + 4 :]


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_every_prepared_call_is_valid_ocpp(version: str) -> None:
    for frame in calls_of(version).values():
        kind, message_id, action, payload = json.loads(payload_of(frame))
        assert kind == 2
        await validate_payload(Call(message_id, action, payload), version)


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
def test_a_transaction_id_is_repeated_in_every_report_of_its_session(version: str) -> None:
    said = {name: json.loads(payload_of(frame))[3] for name, frame in calls_of(version).items()}
    if version == "1.6":
        assert said["meter"]["transactionId"] == said["stop"]["transactionId"] == 41
    else:
        refs = {said[name]["transactionInfo"]["transactionId"] for name in ("start", "meter", "stop")}
        assert len(refs) == 1
        assert [said[name]["seqNo"] for name in ("start", "meter", "stop")] == [0, 1, 2]


class Wire:
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, frame: bytes) -> None:
        self.written.append(frame)


def answer(call: bytes) -> bytes:
    """What a server that accepts everything sends back, as a frame."""
    _, message_id, action, _ = json.loads(payload_of(call))
    accepted: dict[str, Any] = {"status": "Accepted", "transactionId": 9, "idTagInfo": {"status": "Accepted"}}
    body: dict[str, Any] = {} if action in ("MeterValues", "StopTransaction") else accepted
    text = json.dumps([3, message_id, body]).encode()
    return bytes((0x81, len(text))) + text if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big") + text


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.booleans())
def test_answers_are_understood_however_they_are_cut(cuts: list[int], with_pings: bool) -> None:
    tally, wire = client.Tally(), Wire()
    speech = frames.Speech16(frames.token_text(0), "0" * 8, 0)
    station = client.PaidSessions(speech, b"hello", tally, frames.Calendar(), lambda: None, lambda: None)
    station.connection_made(wire)  # type: ignore[arg-type]
    hello = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: %b\r\n\r\n" % frames.HANDSHAKE_ACCEPT
    deliver(station, hello, cuts)
    deliver(station, answer(wire.written.pop()), cuts)
    station.begin()
    station.halt()
    while not station.finished:
        ping = b"\x89\x02hi" if with_pings else b""
        deliver(station, ping + answer(wire.written.pop()), cuts)
    assert tally.sessions_total == 1
    assert [len(kind) for kind in tally.latencies[:6]] == [1, 0, 1, 1, client.METERS_PER_SESSION, 1]
    assert tally.errors == 0


def deliver(station: client.Station, text: bytes, cuts: list[int]) -> None:
    """Hands `text` over in pieces of the lengths `cuts`, again and again."""
    place = 0
    while text:
        length = cuts[place % len(cuts)]
        station.data_received(text[:length])
        text, place = text[length:], place + 1


def test_a_refused_token_is_counted_as_an_error() -> None:
    tally, wire = client.Tally(), Wire()
    speech = frames.Speech16(frames.token_text(0), "0" * 8, 0)
    station = client.PaidSessions(speech, b"hello", tally, frames.Calendar(), lambda: None, lambda: None)
    station.connection_made(wire)  # type: ignore[arg-type]
    station.upgraded = True
    station.begin()
    station.data_received(b'\x81\x32[3,"0000000000",{"idTagInfo":{"status":"Invalid"}}]')
    assert tally.errors == 1
    assert station.finished


def test_an_answer_to_another_call_is_an_error() -> None:
    tally, wire = client.Tally(), Wire()
    speech = frames.Speech201(frames.token_text(0), "0" * 8, 0)
    station = client.Heartbeats(speech, b"hello", tally, frames.Calendar(), lambda: None, lambda: None)
    station.connection_made(wire)  # type: ignore[arg-type]
    station.upgraded = True
    station.begin()
    station.data_received(b'\x81\x13[3,"0000000001",{}]')
    assert tally.errors == 1
    assert station.finished


def test_the_calendar_writes_instants_as_rfc_3339() -> None:
    calendar = frames.Calendar()
    assert calendar.text(0) == b"1970-01-01T00:00:00.000Z"
    assert calendar.text(1_795_187_045_123) == b"2026-11-20T15:04:05.123Z"
    assert calendar.text(1_795_187_045_999) == b"2026-11-20T15:04:05.999Z"


def test_a_station_never_reports_one_millisecond_twice() -> None:
    station = client.Idle(
        frames.Speech16("", "0" * 8, 0), b"", client.Tally(), frames.Calendar(), lambda: None, lambda: None
    )
    instants = [station.now() for _ in range(1000)]
    assert len(set(instants)) == 1000
    assert instants == sorted(instants)
