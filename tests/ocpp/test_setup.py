"""A new station is told once to send the registers that bills need; what it refuses is not forced on it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from csms.domain.commands import Answer
from csms.ocpp import schemas
from csms.ocpp.setup import REGISTER, SAMPLED, SAMPLED_MAX, SETTLE_S, Outcome, Said, Setup, talk
from tests.ocpp.house import Rig

ACCEPTED = Answer("accepted", {"status": "Accepted"})
REJECTED = Answer("rejected", {"status": "Rejected"})


def configuration(**values: Any) -> Answer:
    rows = [{"key": key, "readonly": False, "value": value} for key, value in values.items()]
    return Answer("accepted", {"configurationKey": rows})


def held(version: Any, *answers: Answer) -> tuple[list[tuple[str, Any]], Said]:
    """What is said to a station that answers so, each call held against its schema; and how it ended."""
    conversation = talk(version)
    calls = []
    call = next(conversation)
    try:
        for answer in answers:
            schemas.check(version, *call)
            calls.append(call)
            call = conversation.send(answer)
    except StopIteration as end:
        return calls, end.value
    raise AssertionError(f"it goes on: {call}")


def test_a_station_that_sends_registers_is_left_as_it_is() -> None:
    calls, said = held("ocpp1.6", configuration(**{SAMPLED: f"Voltage, {REGISTER}"}))
    assert [action for action, _ in calls] == ["GetConfiguration"]
    assert said.outcome == "done"


def test_no_more_measurands_are_asked_for_than_the_station_takes() -> None:
    calls, said = held("ocpp1.6", configuration(**{SAMPLED: "Voltage", SAMPLED_MAX: "2"}), ACCEPTED)
    assert calls[1] == ("ChangeConfiguration", {"key": SAMPLED, "value": f"{REGISTER},Power.Active.Import"})
    assert said == Said("done", {SAMPLED: f"{REGISTER},Power.Active.Import"})


def test_a_rejected_list_is_tried_shorter_down_to_the_register() -> None:
    calls, said = held("ocpp1.6", configuration(**{SAMPLED: ""}), REJECTED, REJECTED, ACCEPTED)
    assert [len(payload["value"].split(",")) for _, payload in calls[1:]] == [3, 2, 1]
    assert said == Said("done", {SAMPLED: REGISTER})


@pytest.mark.parametrize(
    "answers",
    [
        (Answer("failed", error="NotSupported"),),
        (Answer("unknown"),),
        (Answer("accepted", {"configurationKey": "none"}), Answer("rejected", {"status": "NotSupported"})),
        (configuration(**{SAMPLED: ""}), Answer("unknown")),
        (configuration(**{SAMPLED: ""}), REJECTED, REJECTED, REJECTED),
    ],
)
def test_a_station_that_will_not_is_left_alone(answers: tuple[Answer, ...]) -> None:
    _, said = held("ocpp1.6", *answers)
    assert said.outcome == "refused"


def results(status: str, *names: str) -> list[Any]:
    return [{"attributeStatus": status, "component": {"name": "x"}, "variable": {"name": name}} for name in names]


def test_on_2_x_only_what_lacks_the_register_is_set_and_what_is_rejected_shorter_again() -> None:
    has = results("Accepted", "TxEndedMeasurands")
    has[0]["attributeValue"] = f"{REGISTER},Voltage"
    calls, said = held(
        "ocpp2.0.1",
        Answer("accepted", {"getVariableResult": has}),
        Answer(
            "accepted",
            {
                "setVariableResult": [
                    *results("Accepted", "TxStartedMeasurands"),
                    *results("Rejected", "TxUpdatedMeasurands"),
                ]
            },
        ),
        Answer("accepted", {"setVariableResult": results("Accepted", "TxUpdatedMeasurands")}),
    )
    assert [len(payload.get("setVariableData", ())) for _, payload in calls] == [0, 2, 1]
    assert said.outcome == "done"
    assert said.settings["TxUpdatedMeasurands"] == REGISTER
    assert said.settings["TxEndedMeasurands"] == f"{REGISTER},Voltage"


class Book:
    """Where it is noted; `charging` says whether a session runs."""

    def __init__(self) -> None:
        self.charging = False
        self.noted: list[tuple[str, str, str]] = []

    async def is_charging(self, station_id: str) -> bool:
        return self.charging

    async def note(self, station_id: str, version: str, outcome: Outcome, settings: dict[str, str]) -> None:
        self.noted.append((station_id, version, outcome))


async def test_a_station_that_charges_is_left_alone_until_later() -> None:
    book, asked = Book(), []

    async def ask(action: str, payload: dict[str, Any]) -> Answer:
        asked.append(action)
        return Answer("failed")

    book.charging = True
    assert not await Setup(book).run("S1", "ocpp1.6", ask, lambda: False)
    book.charging = False
    assert await Setup(book).run("S1", "ocpp1.6", ask, lambda: False)
    assert (asked, book.noted) == (["GetConfiguration"], [("S1", "ocpp1.6", "refused")])
    assert await Setup(book).run("S1", "ocpp1.6", ask, lambda: True)
    assert len(asked) == 1


async def test_a_new_station_is_set_up_once_after_its_first_boot(rig: Rig) -> None:
    boot = {"chargePointVendor": "V", "chargePointModel": "M"}
    first = await rig.station("ocpp1.6")
    await first.call("BootNotification", boot)
    for _ in range(SETTLE_S):
        rig.gateway.wheel.tick()
    asked = await first.hear()
    assert asked[2:] == ["GetConfiguration", {"key": [SAMPLED, SAMPLED_MAX]}]
    row = {"key": SAMPLED, "readonly": False, "value": REGISTER}
    await first.say(json.dumps([3, asked[1], {"configurationKey": [row]}]))
    await first.call("Heartbeat", {})
    async with rig.pool.acquire() as conn:
        for _ in range(100):
            row = await conn.fetchrow("select protocol, outcome from station_setup where station_id = 'S1'")
            if row is not None:
                break
            await asyncio.sleep(0.01)
        assert row is not None
        assert tuple(row) == ("ocpp1.6", "done")

    again = await rig.station("ocpp1.6")
    await again.call("BootNotification", boot)
    for _ in range(2 * SETTLE_S):
        rig.gateway.wheel.tick()
    assert await again.call("Heartbeat", {}) is not None  # nothing else was said before
