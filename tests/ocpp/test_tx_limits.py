"""A 2.1 station that keeps limits is told them once, again when they are raised, in words of its schema."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, cast

import jsonschema_rs
import pytest

from csms.domain import tariff_document
from csms.domain.events import Limit, Outcome
from csms.domain.pack_rows import Voucher
from csms.ocpp import wire
from csms.ocpp.calls import Call
from csms.ocpp.schemas import Version
from csms.ocpp.tx_limits import TxLimits, read
from csms.ocpp.v21.charging import transaction_answer
from csms.ocpp.v201 import charging as v201
from tests.domain.histories import BASE
from tests.domain.test_spending import document
from tests.domain.test_voucher_charge import voucher
from tests.make import NOON

SCHEMA = json.loads((files("ocpp") / "v21" / "schemas" / "TransactionEventResponse.json").read_text("utf-8-sig"))
TARIFF = tariff_document.parse(document(ENERGY=320, TIME=600, FLAT=500))
Mine = tuple[Voucher, ...] | None


def call(kind: str = "Updated", version: Version = "ocpp2.1") -> Call:
    """A station tells of its session."""
    raw = {
        "eventType": kind, "timestamp": "2026-11-20T12:00:00Z", "triggerReason": "Trigger", "seqNo": 1,
        "transactionInfo": {"transactionId": "r1"},
    }  # fmt: skip
    payload = wire.decoder(version, "TransactionEvent").decode(json.dumps(raw).encode())
    return Call("S1", b'"1"', "TransactionEvent", "", NOON, payload, version, cast("Any", None), 0.0, {})


def told(
    limits: TxLimits | None, minor: int | None, kind: str = "Updated", mine: Mine = None, **outcome: Any
) -> dict[str, Any]:
    """What a station that keeps `limits` is answered when so much is set aside, and beside it `mine` pay."""
    asked = call(kind)
    asked.tx_limits = limits
    limit = None if minor is None else Limit(minor, "KRW", TARIFF if mine is None else BASE, mine)
    answer: dict[str, Any] = json.loads(transaction_answer(Outcome("accepted", limit=limit, **outcome), asked))
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


def test_where_vouchers_pay_the_wh_up_to_which_they_and_the_hold_pay_are_all_that_is_told() -> None:
    mine = (voucher(left=4_000),)

    everything, money = TxLimits(("cost", "energy", "time")), TxLimits(("cost", "time"))
    assert told(everything, 3_000, "Started", mine) == {"transactionLimit": {"maxEnergy": 14_001}}
    assert told(everything, 3_000, mine=mine) == {}
    assert told(money, 3_000, "Started", mine) == {}


def test_where_vouchers_pay_it_is_told_anew_when_it_has_changed_and_only_then() -> None:
    limits, mine = TxLimits(("energy",)), voucher(left=4_000)
    told(limits, 0, mine=(mine,))

    assert told(limits, 300, mine=(mine,)) == {"transactionLimit": {"maxEnergy": 5_001}}
    assert told(limits, 300, mine=(mine._replace(version=2, uses=1),)) == {}
    assert told(limits, 300, mine=(mine._replace(used=mine.used + 1_000),)) == {
        "transactionLimit": {"maxEnergy": 4_001}
    }
    assert told(limits, 300, mine=(mine._replace(used=mine.used + 1_000),)) == {}


def test_vouchers_that_pay_for_whatever_a_session_takes_are_no_limit() -> None:
    assert told(TxLimits(("energy",)), 0, mine=(voucher(left=10**9, total=10**9),)) == {}


def test_a_2_0_1_station_is_told_nothing_of_it() -> None:
    outcome = Outcome("accepted", limit=Limit(3_000, "KRW", BASE, (voucher(),)))

    assert v201.transaction_answer(outcome, call("Started", "ocpp2.0.1")) == b"{}"


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
