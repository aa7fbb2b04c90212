"""A 2.1 station that keeps limits is told them once, again when they are raised, in words of its schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, cast

import jsonschema_rs
import pytest

from csms.domain import tariff_document
from csms.domain.events import Limit, Outcome
from csms.ocpp import wire
from csms.ocpp.calls import Call
from csms.ocpp.tx_limits import TxLimits, read
from csms.ocpp.v21.charging import transaction_answer
from tests.domain.test_spending import document
from tests.make import NOON

SCHEMA = json.loads((files("ocpp") / "v21" / "schemas" / "TransactionEventResponse.json").read_text("utf-8-sig"))
TARIFF = tariff_document.parse(document(ENERGY=320, TIME=600, FLAT=500))


def told(limits: TxLimits | None, minor: int | None, kind: str = "Updated", **outcome: Any) -> dict[str, Any]:
    """What a station that keeps `limits` is answered when so much is set aside."""
    raw = {
        "eventType": kind, "timestamp": "2026-11-20T12:00:00Z", "triggerReason": "Trigger", "seqNo": 1,
        "transactionInfo": {"transactionId": "r1"},
    }  # fmt: skip
    payload = wire.decoder("ocpp2.1", "TransactionEvent").decode(json.dumps(raw).encode())
    call = Call("S1", b'"1"', "TransactionEvent", "", NOON, payload, "ocpp2.1", cast("Any", None), 0.0, {})
    call.tx_limits = limits
    limit = None if minor is None else Limit(minor, "KRW", TARIFF)
    answer: dict[str, Any] = json.loads(transaction_answer(Outcome("accepted", limit=limit, **outcome), call))
    jsonschema_rs.validate(SCHEMA, answer)
    return answer


def test_a_limit_is_told_once_and_again_when_more_is_set_aside() -> None:
    limits = TxLimits(("cost", "energy", "time"))
    assert told(limits, 3_000, "Started") == {
        "transactionLimit": {"maxCost": 3_000, "maxEnergy": 7_814, "maxTime": 15_002}
    }
    assert told(limits, 3_000) == {}
    assert told(limits, 6_200)["transactionLimit"]["maxCost"] == 6_200
    assert told(limits, 6_200) == {}


def test_a_station_that_came_back_is_told_again() -> None:
    assert told(TxLimits(("energy",)), 3_000) == told(TxLimits(("energy",)), 3_000) != {}


def test_an_end_carries_its_cost_and_no_limit() -> None:
    limits = TxLimits(("energy",))
    told(limits, 3_000)
    assert told(limits, 3_000, "Ended", fee_minor=1_234, currency="KRW") == {"totalCost": 1_234}


@pytest.mark.parametrize("limits", [None, TxLimits(), TxLimits(("soc",))])
def test_a_station_that_announced_nothing_is_told_nothing(limits: TxLimits | None) -> None:
    assert told(limits, 3_000) == {}


def test_a_session_that_nothing_is_set_aside_for_has_no_limit() -> None:
    assert told(TxLimits(("cost",)), None) == {}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("MaxCost,MaxEnergy", {"cost", "energy"}),
        ("maxTime, maxSoC", {"time"}),
        ("Energy", {"energy"}),
        ("", set()),
        ("everything", set()),
    ],
)
def test_what_stations_announce_is_read_whatever_its_spelling(value: str, kept: set[str]) -> None:
    assert read(value) == kept
