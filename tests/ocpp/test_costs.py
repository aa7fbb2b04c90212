"""What stations are told of prices and costs: in their version's way, never in the way, never again if unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from csms.domain.commands import Answer
from csms.domain.events import Outcome, SessionEnded
from csms.domain.quote import Prices, Quote, Running
from csms.domain.tariff import parse
from csms.ocpp import schemas
from csms.ocpp.calls import Call
from csms.ocpp.cost import COST_ANSWER_S, FINALS_MAX, Costs
from csms.ocpp.schemas import Version
from csms.ocpp.v21.tariff import default_tariff
from csms.ocpp.vendor.cost import VENDOR, price_text
from tests.domain.test_tariff import document
from tests.make import NOON, metered
from tests.ocpp.transcript import Conversation

ENERGY = {"type": "ENERGY", "price": 320, "vat": 10}
FLAT = {"type": "FLAT", "price": 500, "vat": 10}
TIME = {"type": "TIME", "price": 600, "vat": 10}
NOW = Prices(Fraction(320), Fraction(600), Fraction(600), Fraction(500))
RUNNING = Running(1_500, "KRW", 6_000, NOON, True, NOW)
ACCEPTED = Answer("accepted", {"status": "Accepted"})


def quote(*components: dict[str, Any], name: str = "T/1", **members: Any) -> Quote:
    return Quote(name, parse(document(*components, **members)), "Asia/Seoul")


class Shown:
    """A station's screen: what it was told, and how it answers."""

    def __init__(self, version: Version) -> None:
        self.version: Version = version
        self.now = 100
        self.boots = 0
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[Callable[[Answer], None]] = []
        self.costs = Costs(version, self.ask, lambda: self.now, self.booted, 30)

    def ask(self, action: str, payload: dict[str, Any], on_end: Callable[[Answer], None], timeout_s: int) -> None:
        assert timeout_s == COST_ANSWER_S
        schemas.check(self.version, action, payload)
        self.said.append((action, payload))
        self.ends.append(on_end)

    def booted(self) -> None:
        self.boots += 1

    def answer(self, answer: Answer = ACCEPTED) -> None:
        self.ends.pop(0)(answer)

    def told(self, action: str, outcome: Outcome, **payload: Any) -> None:
        call = SimpleNamespace(action=action, payload=SimpleNamespace(**payload), received_at=NOON)
        self.costs.told(cast("Call", call), outcome)

    def messages(self) -> list[str]:
        return [payload.get("messageId", action) for action, payload in self.said]

    def body(self) -> dict[str, Any]:
        """The last call's payload; of a DataTransfer its data."""
        payload = self.said[-1][1]
        return cast("dict[str, Any]", json.loads(payload["data"]) if "data" in payload else payload)


def running(ref: str = "7") -> Outcome:
    return Outcome("accepted", ref, running=RUNNING)


def test_a_1_6_station_hears_prices_the_cost_so_far_and_the_fee() -> None:
    shown = Shown("ocpp1.6")
    shown.told("Authorize", Outcome("accepted", quote=quote(ENERGY, FLAT, TIME)), idTag="A0A0")
    assert shown.said[-1][1]["vendorId"] == VENDOR
    assert shown.body() == {"idToken": "A0A0", "priceText": "320 KRW/kWh, 600 KRW/h, 500 KRW once"}
    shown.answer()
    shown.told("MeterValues", running())
    assert shown.body() == {
        "transactionId": 7,
        "timestamp": "2026-11-20T12:00:00Z",
        "meterValue": 6_000,
        "cost": 1_500,
        "state": "Charging",
        "idlePrice": {"hourPrice": 600},
        "chargingPrice": {"kWhPrice": 320, "hourPrice": 600, "flatFee": 500},
    }
    shown.answer()
    shown.told("StopTransaction", Outcome("accepted", "7", 3_120, "KRW"))
    assert shown.body() == {"transactionId": 7, "cost": 3_120, "priceText": "3120 KRW"}
    assert shown.messages() == ["SetUserPrice", "RunningCost", "FinalCost"]


def test_an_idle_vehicle_has_the_price_of_parking_only() -> None:
    shown = Shown("ocpp1.6")
    idle = RUNNING._replace(charging=False, prices=NOW._replace(parking_hour=Fraction(1, 3)))
    shown.told("MeterValues", Outcome("accepted", "7", running=idle))
    assert shown.body()["state"] == "Idle"
    assert shown.body()["idlePrice"] == {"hourPrice": 0.3333}
    assert "chargingPrice" not in shown.body()


@pytest.mark.parametrize("version", ["ocpp2.0.1", "ocpp2.1"])
def test_a_2_x_station_hears_the_cost_so_far_by_cost_updated(version: Version) -> None:
    shown = Shown(version)
    euros = RUNNING._replace(minor=1_234, currency="EUR")
    shown.told("TransactionEvent", Outcome("accepted", "abc", running=euros))
    shown.told("TransactionEvent", Outcome("accepted", "abc", 1_300, "EUR"))
    assert shown.said == [("CostUpdated", {"totalCost": 12.34, "transactionId": "abc"})]


def test_prices_are_shown_once_for_authorize_and_start() -> None:
    shown = Shown("ocpp1.6")
    accepted = Outcome("accepted", "7", quote=quote(ENERGY))
    shown.told("Authorize", accepted, idTag="A0A0")
    shown.answer()
    shown.told("StartTransaction", accepted, idTag="A0A0")
    assert shown.messages() == ["SetUserPrice"]
    shown.told("Authorize", Outcome("invalid", quote=quote(ENERGY)), idTag="B0B0")
    assert shown.messages() == ["SetUserPrice"]


def test_a_vendor_that_is_not_known_is_not_tried_again() -> None:
    shown = Shown("ocpp1.6")
    shown.told("Authorize", Outcome("accepted", quote=quote(ENERGY)), idTag="A0A0")
    shown.told("StopTransaction", Outcome("accepted", "7", 3_120, "KRW"))  # waits for the answer
    shown.answer(Answer("rejected", {"status": "UnknownVendorId"}))
    shown.told("MeterValues", running())
    shown.told("StopTransaction", Outcome("accepted", "8", 3_120, "KRW"))
    assert shown.messages() == ["SetUserPrice"]
    assert not shown.costs.wished(metered()).wants_cost


@pytest.mark.parametrize(
    "answer",
    [Answer("failed", error="NotImplemented: "), Answer("unknown"), Answer("rejected", {"status": "UnknownMessageId"})],
)
def test_what_a_station_does_not_know_or_answer_is_not_sent_again(answer: Answer) -> None:
    shown = Shown("ocpp2.0.1")
    shown.told("TransactionEvent", running("abc"))
    shown.answer(answer)
    shown.told("TransactionEvent", running("abc"))
    assert len(shown.said) == 1
    assert not shown.costs.wished(metered()).wants_cost


def test_only_a_message_that_is_unknown_is_left_out() -> None:
    shown = Shown("ocpp1.6")
    shown.told("MeterValues", running())
    shown.answer(Answer("rejected", {"status": "UnknownMessageId"}))
    shown.told("MeterValues", running())
    shown.told("StopTransaction", Outcome("accepted", "7", 3_120, "KRW"))
    assert shown.messages() == ["RunningCost", "FinalCost"]


def test_a_slow_station_hears_no_older_costs_but_every_fee() -> None:
    shown = Shown("ocpp1.6")
    shown.told("MeterValues", running())
    for ref in range(FINALS_MAX + 5):
        shown.told("MeterValues", running())
        shown.told("StopTransaction", Outcome("accepted", str(ref), ref, "KRW"))
    assert shown.messages() == ["RunningCost"]
    fees = []
    while shown.ends:
        shown.answer()
        fees.append(shown.body()["cost"])
    assert fees[:-1] == list(range(5, FINALS_MAX + 5))


def test_the_cost_so_far_is_asked_for_at_most_every_thirty_seconds_of_a_session() -> None:
    shown = Shown("ocpp1.6")

    def asked(ref: str, **fields: Any) -> bool:
        return shown.costs.wished(metered(ref, **fields)).wants_cost

    assert [asked("1"), asked("1"), asked("2"), asked("3", offline=True)] == [True, False, True, False]
    shown.now += 29
    assert not asked("1")
    shown.now += 1
    assert asked("1")
    shown.told("StopTransaction", Outcome("accepted", "1", 0, "KRW"))
    shown.answer()
    assert asked("1")


def test_a_2_1_station_gets_each_version_of_its_tariff_once() -> None:
    shown = Shown("ocpp2.1")
    accepted = Outcome("accepted", "abc", quote=quote(ENERGY))
    shown.costs.boot()
    assert shown.boots == 1
    shown.costs.quoted(quote(ENERGY))
    shown.answer()
    shown.told("TransactionEvent", accepted)
    shown.told("TransactionEvent", Outcome("accepted", "abd", quote=quote(ENERGY, name="T/2")))
    assert [payload["tariff"]["tariffId"] for _, payload in shown.said] == ["T/1", "T/2"]


def test_a_2_1_tariff_is_priced_per_minute_and_without_tax() -> None:
    told = default_tariff(quote(ENERGY, FLAT, TIME, max_price={"before_taxes": 10_000, "after_taxes": 11_000}))
    assert told is not None
    schemas.check("ocpp2.1", "SetDefaultTariff", told)
    tax = [{"type": "VAT", "tax": 10}]
    minute = {"prices": [{"priceMinute": 9.09090909}], "taxRates": tax}
    assert told == {
        "evseId": 0,
        "tariff": {
            "tariffId": "T/1",
            "currency": "KRW",
            "energy": {"prices": [{"priceKwh": 290.90909091}], "taxRates": tax},
            "chargingTime": minute,
            "idleTime": minute,
            "fixedFee": {"prices": [{"priceFixed": 454.54545455}], "taxRates": tax},
            "maxCost": {"exclTax": 10_000, "inclTax": 11_000},
        },
    }


def test_restrictions_are_conditions_of_a_2_1_tariff() -> None:
    restrictions = {
        "start_time": "22:00", "end_time": "06:00", "day_of_week": ["SUNDAY", "MONDAY"], "min_kwh": 1.5,
        "max_power": 22, "start_date": "2026-01-01", "end_date": "2026-07-01", "max_duration": 3600, "min_current": 6,
    }  # fmt: skip
    parking = {"type": "PARKING_TIME", "price": 6_000}
    elements = [{"price_components": [parking], "restrictions": restrictions}, {"price_components": [ENERGY]}]
    told = default_tariff(Quote("T/1", parse(document(elements=elements)), None))
    assert told is not None
    schemas.check("ocpp2.1", "SetDefaultTariff", told)
    assert "chargingTime" not in told["tariff"]
    assert told["tariff"]["idleTime"] == {
        "prices": [
            {
                "priceMinute": 100,
                "conditions": {
                    "startTimeOfDay": "22:00",
                    "endTimeOfDay": "06:00",
                    "validFromDate": "2026-01-01",
                    "validToDate": "2026-07-01",
                    "dayOfWeek": ["Monday", "Sunday"],
                    "maxTime": 3600,
                    "minEnergy": 1_500,
                    "maxPower": 22_000,
                    "minCurrent": 6,
                },
            }
        ]
    }


@pytest.mark.parametrize(
    "elements",
    [
        [{"price_components": [{**ENERGY, "step_size": 100}]}],
        [{"price_components": [ENERGY]}, {"price_components": [{**ENERGY, "vat": 20}]}],
        [{"price_components": [FLAT], "restrictions": {"max_kwh": 10}}],
    ],
)
def test_a_tariff_that_2_1_cannot_say_is_not_sent(elements: list[dict[str, Any]]) -> None:
    assert default_tariff(Quote("T/1", parse(document(elements=elements)), None)) is None


@pytest.mark.parametrize(
    ("details", "fee"),
    [
        ({}, "12.34"),
        ({"failureToCalculate": False}, "12.34"),
        ({"failureToCalculate": True}, None),
        ({"totalCost": {"currency": "EUR", "typeOfCost": "NormalCost", "total": {"exclTax": 10}}}, "10"),
    ],
)
def test_the_fee_of_a_2_1_station_is_read_unless_it_could_not_compute_one(
    details: dict[str, Any], fee: str | None
) -> None:
    told = Conversation("ocpp2.1")
    total = {"currency": "EUR", "typeOfCost": "NormalCost", "total": {"exclTax": 11.22, "inclTax": 12.34}}
    usage = {"energy": 1, "chargingTime": 60, "idleTime": 0}
    ended = {
        "eventType": "Ended",
        "timestamp": "2026-11-20T12:00:00Z",
        "triggerReason": "EVDeparted",
        "seqNo": 1,
        "transactionInfo": {"transactionId": "t-1"},
        "costDetails": {"totalCost": total, "totalUsage": usage} | details,
    }
    told.say(json.dumps([2, "1", "TransactionEvent", ended]))
    event = told.events[-1]
    assert isinstance(event, SessionEnded)
    assert event.fee_text == fee


def test_a_price_in_words_tells_what_there_is() -> None:
    free = Prices(*[Fraction(0)] * 4)
    assert price_text(free, "EUR") == "free"
    assert price_text(free._replace(kwh=Fraction(1, 3), parking_hour=Fraction(5)), "EUR") == (
        "0.3333 EUR/kWh, 5 EUR/h parked"
    )
