"""Signed values: only a registered key proves them; what is signed is kept to the letter, however large."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.domain.events import ConnectorMetered, SessionEnded, SessionMetered, SessionStarted
from csms.domain.meter_key import parse
from csms.ocpp.signed import digest, verified
from tests.ocpp.meter import Meter, base64_of, forged
from tests.ocpp.transcript import Conversation

METER = Meter()
OTHER = Meter()


def said(version: str, action: str, payload: Any, keys: dict[int, tuple[str, ...]]) -> Any:
    """The event that a station's call is understood as."""
    told = Conversation(version)
    told.peer.keys = keys
    told.say(json.dumps([2, "1", action, payload]))
    assert told.heard()[0][0] == 3
    return told.events[0]


def values_16(text: str, context: str = "Transaction.Begin") -> list[Any]:
    sample = {"value": text, "format": "SignedData", "context": context}
    return [{"timestamp": "2026-11-20T12:00:00Z", "sampledValue": [sample]}]


def event_2x(kind: str, text: str, context: str) -> Any:
    signed = {"signedMeterData": text, "signingMethod": "", "encodingMethod": "OCMF", "publicKey": ""}
    sample = {"value": 1000, "context": context, "signedMeterValue": signed}
    return {
        "eventType": kind,
        "timestamp": "2026-11-20T12:00:00Z",
        "triggerReason": "Authorized",
        "seqNo": 0,
        "evse": {"id": 1},
        "transactionInfo": {"transactionId": "t-1"},
        "meterValue": [{"timestamp": "2026-11-20T12:00:00Z", "sampledValue": [sample]}],
    }


KEYS: dict[int, tuple[str, ...]] = {1: (METER.public_key,)}


@pytest.mark.parametrize("wrap", [str, base64_of, lambda text: text.encode().hex()])
def test_a_value_is_valid_by_its_registered_key_however_it_is_wrapped(wrap: Any) -> None:
    text = wrap(METER.sign(("B", 12_345)))
    event = said("ocpp1.6", "MeterValues", {"connectorId": 1, "transactionId": 9, "meterValue": values_16(text)}, KEYS)
    assert isinstance(event, SessionMetered)
    (value,) = event.signed
    assert (value.verdict, value.context, value.register_wh, value.raw) == ("valid", "begin", 12_345, text)
    assert event.readings == ()


def test_what_is_signed_has_one_digest_however_it_is_written_down() -> None:
    text = METER.sign(("B", 12_345))
    head, payload, signature = text.split("|")
    respelled = "|".join((head, payload, signature.replace('":"', '": "'), OTHER.public_key))
    wrapped = json.dumps({"signedMeterData": base64_of(text)})
    written = [text, f" {text} ", base64_of(text), text.encode().hex().upper(), wrapped, respelled]
    assert {digest(way) for way in written} == {sha256(payload.encode()).digest()}
    assert digest(METER.sign(("B", 12_346))) != digest(text)
    assert digest("no OCMF") == sha256(b"no OCMF").digest()


def test_a_changed_register_or_another_meters_key_is_invalid() -> None:
    text = METER.sign(("E", 12_345))
    assert [row[1] for row in verified(forged(text, 12_345, 12_000), "OCMF", [METER.public_key])] == ["invalid"]
    assert [row[1] for row in verified(text, "OCMF", [OTHER.public_key])] == ["invalid"]
    assert [row[1] for row in verified(text, "OCMF", [OTHER.public_key, METER.public_key])] == ["valid"]


def test_a_key_inside_the_message_is_never_trusted() -> None:
    text = OTHER.sign(("B", 5)) + "|" + OTHER.public_key
    assert [row[1] for row in verified(text, "OCMF", [])] == ["no_key"]
    assert [row[1] for row in verified(text, "OCMF", [METER.public_key])] == ["invalid"]
    event = event_2x("Started", base64_of(OTHER.sign(("B", 5))), "Transaction.Begin")
    event["meterValue"][0]["sampledValue"][0]["signedMeterValue"]["publicKey"] = OTHER.public_key
    assert said("ocpp2.0.1", "TransactionEvent", event, KEYS).signed[0].verdict == "invalid"


def test_one_text_with_begin_and_end_gives_both() -> None:
    text = METER.sign(("B", 1_000), ("C", 1_500), ("E", 11_000))
    event = event_2x("Ended", base64_of(text), "Transaction.End")
    ended = said("ocpp2.1", "TransactionEvent", event, KEYS)
    assert isinstance(ended, SessionEnded)
    assert [(value.context, value.register_wh) for value in ended.signed] == [
        ("begin", 1_000),
        ("end", 1_500),
        ("end", 11_000),
    ]


@pytest.mark.parametrize("version", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_values_of_many_kilobytes_pass_to_the_letter(version: str) -> None:
    text = base64_of(METER.sign(("B", 7), filling="x" * 12_000))
    assert len(text) > 15_000
    event: Any
    if version == "ocpp1.6":
        payload = {"connectorId": 1, "transactionId": 9, "meterValue": values_16(text)}
        event = said(version, "MeterValues", payload, KEYS)
    else:
        event = said(version, "TransactionEvent", event_2x("Started", text, "Transaction.Begin"), KEYS)
        assert isinstance(event, SessionStarted)
    assert [(value.raw, value.verdict) for value in event.signed] == [(text, "valid")]


def test_a_stop_of_1_6_is_verified_by_any_key_of_its_station() -> None:
    stop = {
        "transactionId": 9,
        "meterStop": 5,
        "timestamp": "2026-11-20T12:00:00Z",
        "transactionData": values_16(METER.sign(("E", 5)), "Transaction.End"),
    }
    (value,) = said("ocpp1.6", "StopTransaction", stop, KEYS).signed
    assert (value.verdict, value.context) == ("valid", "end")


def test_the_key_of_the_station_serves_connectors_without_their_own() -> None:
    text = METER.sign(("B", 5))
    for number, verdict in ((1, "invalid"), (2, "valid")):
        payload = {"connectorId": number, "transactionId": 9, "meterValue": values_16(text)}
        keys: dict[int, tuple[str, ...]] = {0: (METER.public_key,), 1: (OTHER.public_key,)}
        assert said("ocpp1.6", "MeterValues", payload, keys).signed[0].verdict == verdict


def test_a_register_that_the_meter_doubts_is_no_evidence() -> None:
    _, verdict, reason, register_wh = verified(METER.sign(("B", 5), status="T"), "OCMF", [METER.public_key])[0]
    assert (verdict, register_wh) == ("valid", None)
    assert reason is not None
    assert "status T" in reason


@settings(max_examples=60)
@given(st.text(max_size=200) | st.sampled_from(["{", '{"signedMeterData":{}}', "OCMF|" + "[" * 9_000, "OCMF|{}|{}"]))
def test_whatever_is_written_where_a_signed_text_belongs_is_unreadable_and_nothing_worse(text: str) -> None:
    assert [row[1] for row in verified(text, "EDL", [METER.public_key])] == ["unreadable"]


def test_meter_values_of_2_x_are_their_connectors() -> None:
    sample = {"value": 1.5, "unitOfMeasure": {"unit": "kWh"}}
    payload = {"evseId": 2, "meterValue": [{"timestamp": "2026-11-20T12:00:00Z", "sampledValue": [sample]}]}
    event = said("ocpp2.0.1", "MeterValues", payload, {})
    assert isinstance(event, ConnectorMetered)
    assert (event.connector, [reading.register_wh for reading in event.readings]) == (2, [1_500])


class TestKeys:
    def test_a_key_is_the_same_however_it_is_written(self) -> None:
        der = METER.public_key
        pem = "-----BEGIN PUBLIC KEY-----\n" + der[:64] + "\n" + der[64:] + "\n-----END PUBLIC KEY-----\n"
        hexed = base64.b64decode(der).hex()
        assert parse(der, "/k") == parse(pem, "/k") == parse(hexed, "/k") == (der, "secp256r1")

    @settings(max_examples=60)
    @given(st.text(max_size=300) | st.binary(max_size=120).map(lambda it: it.hex()))
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(Refused):
            parse(text, "/public_key")

    def test_a_cut_key_is_refused(self) -> None:
        with pytest.raises(Refused):
            parse(METER.public_key[:-8], "/public_key")
