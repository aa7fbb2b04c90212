"""A conversation holds its order and its limits, whatever a station sends."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.domain.events import Outcome, SessionEnded, TokenPresented, Unreadable
from csms.ocpp.frames import FRAME_BYTES_MAX, INTERNAL_ERROR
from csms.ocpp.schemas import FOLDERS
from csms.ocpp.unreadable import UNREADABLE_KEPT_MAX
from tests.ocpp.transcript import Conversation

AUTHORIZE = '[2,"%s","Authorize",{"idTag":"A0A0A0A0"}]'
STOP = '[2,"s","StopTransaction",{"transactionId":7,"meterStop":9,"timestamp":"2026-11-20T12:00:00Z"}]'

CODES = {
    "NotImplemented",
    "NotSupported",
    "FormationViolation",
    "FormatViolation",
    "RpcFrameworkError",
    "MessageTypeNotSupported",
    "PropertyConstraintViolation",
    "OccurenceConstraintViolation",
    "OccurrenceConstraintViolation",
    "TypeConstraintViolation",
}
"""Every error code a station may ever get for what it sends; InternalError is none of them."""

ACTIONS = ["Heartbeat", "BootNotification", "StopTransaction", "TransactionEvent", "MeterValues", "DataTransfer", "X"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FRAMES = (
    st.text(max_size=60)
    | JSON.map(json.dumps)
    | st.lists(JSON, max_size=6).map(json.dumps)
    | st.tuples(st.integers(0, 7), st.text(max_size=5) | st.integers(), st.sampled_from(ACTIONS), JSON).map(json.dumps)
)


@pytest.mark.parametrize("version", FOLDERS)
def test_any_text_is_answered_at_most_once_and_the_conversation_goes_on(version: str) -> None:
    @given(st.lists(FRAMES, min_size=1, max_size=4))
    @settings(max_examples=150, deadline=None)
    def holds(texts: list[str]) -> None:
        told = Conversation(version)
        for text in texts:
            told.say(text)
            answers = told.heard()
            assert len(answers) <= 1
            assert all(answer[2] in CODES for answer in answers if answer[0] == 4), answers
            assert not [event for event in told.events if isinstance(event, Unreadable) and "reader" in event.reason]
            if told.closed is not None:
                return
        told.say('[2,"end","Heartbeat",{}]')
        assert told.heard()[0][:2] == [3, "end"]

    holds()


@pytest.mark.parametrize("version", FOLDERS)
def test_real_frames_with_bytes_changed_never_stop_a_conversation(version: str) -> None:
    frames = [
        '[2,"1","TransactionEvent",{"eventType":"Updated","timestamp":"2026-11-20T12:00:00Z","triggerReason":'
        '"Trigger","seqNo":1,"transactionInfo":{"transactionId":"t"},"meterValue":[{"timestamp":'
        '"2026-11-20T12:00:00Z","sampledValue":[{"value":1.5}]}]}]',
        '[2,"1","MeterValues",{"connectorId":1,"transactionId":5,"meterValue":[{"timestamp":'
        '"2026-11-20T12:00:00Z","sampledValue":[{"value":"15"}]}]}]',
        STOP,
    ]
    chance = random.Random(11)
    told = Conversation(version)
    for _ in range(1_500):
        text = list(chance.choice(frames))
        for _ in range(chance.randint(1, 4)):
            text[chance.randrange(len(text))] = chance.choice('{}[]",:0e9-\\u\0\n x')
        told.say("".join(text))
        answers = told.heard()
        assert len(answers) <= 1
        assert all(answer[2] in CODES for answer in answers if answer[0] == 4), answers
    assert told.closed is None


def test_calls_are_served_one_at_a_time_in_order() -> None:
    told = Conversation()
    for number in range(3):
        told.peer.receive(AUTHORIZE % number)
    assert len(told.events) == 1
    assert told.heard() == []

    told.commit()

    assert [answer[1] for answer in told.heard()] == ["0"]
    assert len(told.events) == 2
    told.commit()
    told.commit()
    assert [answer[1] for answer in told.heard()] == ["1", "2"]


def test_a_heartbeat_does_not_wait_for_the_road() -> None:
    told = Conversation()
    told.peer.receive(STOP)
    told.peer.receive('[2,"h","Heartbeat",{}]')
    assert [answer[1] for answer in told.heard()] == ["h"]


def test_a_call_repeated_while_it_is_served_gets_one_answer() -> None:
    told = Conversation()
    told.peer.receive(STOP)
    told.peer.receive(AUTHORIZE % "a")
    told.peer.receive(STOP)
    told.peer.receive(AUTHORIZE % "a")
    while told.pending:
        told.commit()

    assert [type(event) for event in told.events] == [SessionEnded, TokenPresented]
    assert [answer[1] for answer in told.heard()] == ["s", "a"]
    told.say(STOP)
    assert len(told.heard()) == 1


def test_two_calls_under_one_message_id_are_two_calls() -> None:
    told = Conversation()
    told.peer.receive(AUTHORIZE % "s")
    told.peer.receive(STOP)
    while told.pending:
        told.commit()
    assert [type(event) for event in told.events] == [TokenPresented, SessionEnded]
    assert [answer[1] for answer in told.heard()] == ["s", "s"]


def test_a_report_that_moves_money_carries_its_text() -> None:
    told = Conversation()
    told.say(STOP)
    odd = STOP.replace("7", '"7"')
    told.say(odd)
    told.say(STOP.replace('"transactionId":7,', ""))
    assert [event.raw for event in told.events] == [STOP, odd, STOP.replace('"transactionId":7,', "")]  # type: ignore[union-attr]


def test_beyond_its_backlog_a_station_is_not_read() -> None:
    told = Conversation(backlog_max=4)
    for number in range(5):
        told.peer.receive(AUTHORIZE % number)
    told.commit()
    assert told.holds == [True]
    told.commit()
    assert told.holds == [True, False]
    while told.pending:
        told.commit()
    assert len(told.heard()) == 5


def test_what_was_read_before_the_end_of_a_connection_is_still_served() -> None:
    told = Conversation()
    told.peer.receive(AUTHORIZE % 1)
    told.peer.receive(STOP)
    told.peer.closed()
    while told.pending:
        told.commit()
    assert [type(event) for event in told.events] == [TokenPresented, SessionEnded]


def test_a_station_that_never_sends_json_does_not_fill_the_store() -> None:
    told = Conversation()
    for _ in range(UNREADABLE_KEPT_MAX + 50):
        told.say('[2,"1","StopTransaction",{]')
    assert len(told.events) == UNREADABLE_KEPT_MAX
    assert all(isinstance(event, Unreadable) for event in told.events)
    assert len(told.heard()) == UNREADABLE_KEPT_MAX + 50


def test_depth_and_size_of_a_payload_are_bounded() -> None:
    told = Conversation()
    for depth, expected in ((29, "UnknownVendorId"), (31, "FormationViolation"), (30_000, "FormationViolation")):
        data = '{"a":' * depth + "1" + "}" * depth
        told.say('[2,"1","DataTransfer",{"vendorId":"x","data":' + data + "}]")
        answer = told.heard()[0]
        assert expected in (answer[2] if answer[0] == 4 else answer[2]["status"])
    braces = "[{" * 40
    told.say('[2,"1","DataTransfer",{"vendorId":"x","data":"' + braces + '"}]')
    assert told.heard() == [[3, "1", {"status": "UnknownVendorId"}]]


@pytest.mark.parametrize(
    "text",
    [
        '[2,"1","DataTransfer",{"vendorId":"x","data":' + "[" * 40 + '"' + '\\"' * 32_000,
        '[2,"1","NotifyReport",{"requestId":1,"seqNo":0,"generatedAt":"2026-11-20T12:00:00Z","reportData":['
        + ",".join(["{}"] * 21_000)
        + "]}]",
    ],
    ids=["quotes without an end", "thousands of faults"],
)
def test_no_frame_takes_long_to_refuse(text: str) -> None:
    assert len(text) < FRAME_BYTES_MAX
    told = Conversation("ocpp2.1")
    began = time.process_time()
    told.say(text)
    assert time.process_time() - began < 0.5  # either took a second and more, in which nobody was served
    assert told.heard()[0][0] == 4


@pytest.mark.parametrize(
    ("tag", "meter_stop", "meter_wh"),
    [("A0A0A0A0\x10\x0e", "9", 9), ("A0A0A0A0\\ud800", "9", 9), ("A0A0A0A0", "NaN", None), ("A0A0A0A0", "1e400", None)],
)
def test_an_end_that_is_nearly_json_is_understood(tag: str, meter_stop: str, meter_wh: int | None) -> None:
    told = Conversation()
    text = STOP.replace('"meterStop":9', f'"meterStop":{meter_stop},"idTag":"{tag}"')
    told.say(text)
    assert told.heard() == [[3, "s", {"idTagInfo": {"status": "Accepted"}}]]
    (event,) = told.events
    assert isinstance(event, SessionEnded)
    assert (event.ref, event.token, event.meter_wh, event.raw) == ("7", "A0A0A0A0", meter_wh, text)


@pytest.mark.parametrize("version", FOLDERS)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_exponent_that_no_number_has_ends_no_conversation(version: str, action: str) -> None:
    told = Conversation(version)
    told.say(
        f'[2,"1","{action}",{{"transactionId":7,"meterStop":1e99999999999999999999,"data":1e99999999999999999999}}]'
    )
    assert len(told.heard()) == 1
    told.say('[2,"end","Heartbeat",{}]')
    assert told.heard()[0][:2] == [3, "end"]


def test_a_number_of_any_size_is_read_or_dropped() -> None:
    told = Conversation()
    head = '[2,"1","MeterValues",{"connectorId":1,"transactionId":5,"meterValue":[{"timestamp":"2026-11-20T12:00:00Z",'
    tail = '},{"value":"3","measurand":"Power.Active.Import"}]}]}]'
    for value in ('"1e999999999"', "1e300", "9" * 300, '"' + "9" * 3000 + '"', '"-1e-999999"'):
        told.say(head + '"sampledValue":[{"value":' + value + tail)
        assert told.heard() == [[3, "1", {}]]
    assert {reading.power_w for event in told.events for reading in event.readings} == {3}  # type: ignore[union-attr]


def test_the_same_reading_has_the_same_digest_and_another_has_another() -> None:
    frame = (
        '[2,"%s","TransactionEvent",{"eventType":"Updated","timestamp":"2026-11-20T12:00:00Z","triggerReason":"Trigger",'
        '"seqNo":%d,"offline":%s,"transactionInfo":{"transactionId":"t"},"meterValue":[{"timestamp":'
        '"2026-11-20T12:00:00Z","sampledValue":[{"value":%d}]}]}]'
    )
    told = Conversation("ocpp2.0.1")
    for made in (("a", 0, "false", 5), ("b", 0, "true", 5), ("c", 0, "false", 6), ("d", 1, "false", 5)):
        told.say(frame % made)
    first, again, other, later = [event.readings[0].digest for event in told.events]  # type: ignore[union-attr]
    assert first == again
    assert len({first, other, later}) == 3
    assert all(-(2**31) <= digest < 2**31 for digest in (first, other, later))


def test_a_call_of_ours_that_ran_out_of_time_is_over_and_its_late_answer_changes_nothing() -> None:
    told = Conversation()
    ends: list[Any] = []
    told.peer.ready()
    asked = told.peer.asking.ask("ClearCache", {}, ends.append)
    told.peer.asking.ask("ClearCache", {}, ends.append)
    assert len(told.heard()) == 1

    told.peer.asking.give_up(asked)
    told.say('[3,"1-1",{"status":"Accepted"}]')

    assert [end.end for end in ends] == ["unknown"]
    assert [frame[1] for frame in told.heard()] == ["1-2"]
    told.say('[3,"1-2",{"status":"Accepted"}]')
    assert [end.end for end in ends] == ["unknown", "accepted"]


def test_a_call_that_was_never_sent_ends_as_offline() -> None:
    told = Conversation()
    ends: list[Any] = []
    waiting = told.peer.asking.ask("ClearCache", {}, ends.append)
    told.peer.asking.ask("ClearCache", {}, ends.append)
    told.peer.asking.give_up(waiting)
    told.peer.closed()
    assert [end.end for end in ends] == ["offline", "offline"]
    assert told.heard() == []


def test_an_answer_that_cannot_be_written_ends_the_connection_and_not_the_station() -> None:
    told = Conversation()
    told.outcomes["SessionStarted"] = Outcome("accepted", ref="no number")
    told.say(
        '[2,"1","StartTransaction",{"connectorId":1,"idTag":"A","meterStart":0,"timestamp":"2026-11-20T12:00:00Z"}]'
    )
    assert told.heard() == []
    assert told.closed is not None
    assert told.closed[0] == INTERNAL_ERROR
