"""A station without I/O: what it sends, keeps, repeats and answers, on every OCPP version."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.devices import DEVICES
from charge_points_sim.faults import Faults, parse
from charge_points_sim.line import ATTEMPTS_MAX, CallFailed
from charge_points_sim.session import Session, Token
from charge_points_sim.station import Station
from tests.sim.system import System, schema

AT = 1_563_969_906
VERSIONS = pytest.mark.parametrize("version", DEVICES)
TWO = pytest.mark.parametrize("version", ["2.0.1", "2.1"])


def station(version: str, faults: Faults | None = None) -> Station:
    refs = iter(range(1000))
    made = Station("A-1", DEVICES[version], lambda: f"ref-{next(refs)}", lambda: AT, faults=faults or Faults())
    made.line.connected()
    return made


def converse(one: Station, system: System) -> list[list[Any]]:
    """Carries frames both ways until the station has nothing to say; gives its calls."""
    calls = []
    while frames := one.line.take():
        for text in frames:
            _, message_id, action, payload = frame = json.loads(text)
            schema(one.device.subprotocol, action).validate(payload)
            calls.append(frame)
            one.line.receive(json.dumps([3, message_id, system.answer(one.id, action, payload)]))
    return calls


def charge(one: Station, system: System, token: str = "04AABBCC") -> Session:
    session = one.start(1, Token(token))
    converse(one, system)
    one.meter(session, session.start_wh + 500, power_w=7000)
    one.end(session, session.start_wh + 900)
    return session


@VERSIONS
def test_every_message_fits_its_schema_and_the_last_register_is_reported(version: str) -> None:
    one, system = station(version), System()
    one.boot()
    one.beat()
    one.show(1, "preparing")
    one.present(Token("04AABBCC"), lambda accepted: None)
    one.exchange({"v": 1, "id": "12345678", "type": "social", "token": "x" * 600}, lambda alias: None)
    charge(one, system)
    converse(one, system)
    (end,) = system.ends.values()
    assert end.get("meterStop") == 900 or end["meterValue"][0]["sampledValue"][0]["value"] == 900
    assert one.connectors[1].register_wh == 900


@VERSIONS
@given(token=st.text(min_size=1, max_size=20), power_w=st.one_of(st.none(), st.integers(0, 400_000)))
@settings(max_examples=25)
def test_any_token_text_is_written_as_json(version: str, token: str, power_w: int | None) -> None:
    one, system = station(version), System()
    session = one.start(1, Token(token))
    one.meter(session, 5, power_w=power_w)
    one.end(session, 7)
    actions = [call[2] for call in converse(one, system)]
    assert len(actions) == 3


@VERSIONS
def test_a_call_waits_until_the_one_before_it_is_answered(version: str) -> None:
    one = station(version)
    one.beat()
    one.beat()
    assert len(one.line.take()) == 1
    assert one.line.take() == []
    one.line.receive('[3,"1",{"currentTime":"2019-07-24T00:00:00Z"}]')
    assert len(one.line.take()) == 1


@VERSIONS
def test_a_charge_survives_a_lost_connection_with_the_same_content(version: str) -> None:
    one, system = station(version), System()
    session = one.start(1, Token("04AABBCC"))
    first = json.loads(one.line.take()[0])
    one.line.disconnected()
    assert one.line.take() == []
    one.line.connected()
    again = converse(one, system)
    assert [call[2:] for call in again] == [first[2:]]
    assert session.accepted


@VERSIONS
def test_what_moves_no_money_fails_when_the_connection_is_lost(version: str) -> None:
    one = station(version)
    ends: list[object] = []
    one.boot(ends.append)
    one.line.take()
    one.line.disconnected()
    one.beat()
    assert isinstance(ends[0], CallFailed)
    assert one.line.idle


@VERSIONS
def test_a_lost_answer_makes_the_station_repeat_itself(version: str) -> None:
    one, system = station(version, Faults(lose=0.5, random=Random(3))), System()
    charge(one, system)
    converse(one, system)
    assert one.line.counters.lost > 0
    assert one.line.counters.disagreed == 0
    assert len(system.ends) == 1


@VERSIONS
def test_a_message_answered_by_errors_is_given_up_at_last(version: str) -> None:
    one = station(version)
    ends: list[Session] = []
    one.start(1, Token("04AABBCC"), ends.append)
    for _ in range(ATTEMPTS_MAX):
        message_id = json.loads(one.line.take()[0])[1]
        one.line.receive(json.dumps([4, message_id, "InternalError", "no", {}]))
    assert one.line.take() == []
    assert one.line.counters.given_up == 1
    assert ends[0].accepted is False


@TWO
def test_readings_that_come_late_follow_their_sessions_end(version: str) -> None:
    one, system = station(version, Faults(reorder=1.0)), System()
    charge(one, system)
    kinds = [call[3]["eventType"] for call in converse(one, system)]
    assert kinds == ["Ended", "Updated"]
    assert list(system.numbers.values()) == [[0, 2, 1]]


@TWO
def test_an_offline_charge_says_so(version: str) -> None:
    one, system = station(version), System()
    one.line.disconnected()
    session = one.start(1, Token("04AABBCC"))
    one.end(session, 50)
    one.line.connected()
    assert [call[3]["offline"] for call in converse(one, system)] == [True, True]


@VERSIONS
def test_each_frame_is_sent_as_often_as_asked_and_counted_once(version: str) -> None:
    one, system = station(version, Faults(repeat=3)), System()
    charge(one, system)
    converse(one, system)
    assert one.line.counters.sent == 9
    assert len(system.by_start or system.numbers) == 1
    assert one.line.counters.disagreed == 0


START = {
    "1.6": ["RemoteStartTransaction", {"connectorId": 1, "idTag": "AB12"}],
    "2.0.1": [
        "RequestStartTransaction",
        {"evseId": 1, "remoteStartId": 77, "idToken": {"idToken": "AB12", "type": "Central"}},
    ],
}
START["2.1"] = START["2.0.1"]


@VERSIONS
def test_a_remote_start_begins_one_session_and_a_remote_stop_ends_it(version: str) -> None:
    one, system = station(version), System()
    one.line.receive(json.dumps([2, "s1", *START[version]]))
    assert json.loads(one.line.take()[0]) == [3, "s1", {"status": "Accepted"}]
    one.line.receive(json.dumps([2, "s2", *START[version]]))
    rejected = json.loads(one.line.take()[0])
    assert rejected == [3, "s2", {"status": "Rejected"}]
    one.line.overdue()
    converse(one, system)
    session = one.connectors[1].session
    assert session is not None
    stop = ("RemoteStopTransaction", session.ref) if version == "1.6" else ("RequestStopTransaction", session.ref)
    one.line.receive(json.dumps([2, "s3", stop[0], {"transactionId": stop[1]}]))
    assert json.loads(one.line.take()[0]) == [3, "s3", {"status": "Accepted"}]
    assert one.connectors[1].session is None


@VERSIONS
def test_a_call_that_it_does_not_know_is_not_supported(version: str) -> None:
    one = station(version)
    one.line.receive('[2,"s1","SendLocalList",{}]')
    assert json.loads(one.line.take()[0])[:3] == [4, "s1", "NotSupported"]


@VERSIONS
def test_a_trigger_brings_the_message_that_was_asked_for(version: str) -> None:
    one = station(version)
    one.line.receive('[2,"s1","TriggerMessage",{"requestedMessage":"Heartbeat"}]')
    answer, call = one.line.take()
    assert json.loads(answer)[2] == {"status": "Accepted"}
    assert json.loads(call)[2] == "Heartbeat"


@pytest.mark.parametrize("text", ["repeet=3", "lose=2", "repeat=0", "repeat=x"])
def test_a_fault_that_does_not_exist_is_a_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"fault|must be|wants"):
        parse(text, 1)
