"""What a simulated station answers to `Voucher.Deliver`: taken once, for the vehicle that is there, in time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.handover import VOUCHER_LENGTH_MAX, Delivered, Handover
from charge_points_sim.station import ASSETS, Station
from charge_points_sim.times import epoch
from tests.sim.system import schema

NOW = epoch("2026-11-20T12:00:00Z")
ID = "01991f00-0000-7000-8000-000000000001"
EVCC = "0123456789AB"
DELIVERY: dict[str, Any] = {
    "v": 1, "id": ID, "ts": "2026-11-20T12:00:00Z", "exp": "2026-11-20T12:01:00Z",
    "vehicle": {"type": "EVCCID", "value": "01...AB"}, "voucher": "eyJ.eyJ.c2ln",
}  # fmt: skip


class Scene:
    """A station, a vehicle there, and what a system asks of the station."""

    def __init__(self, version: str = "2.0.1") -> None:
        self.version = version
        self.told: list[str] = []
        self.station = Station("S1", DEVICES[version], str, lambda: NOW)
        self.handover = Handover(self.station, {"EVCCID": EVCC}, self.told.append)

    def ask(self, message: str = "Voucher.Deliver", vendor: str = ASSETS, **changes: Any) -> tuple[str, Any]:
        """The answer's status and data."""
        body = {**DELIVERY, **changes}
        data: Any = json.dumps(body) if self.version == "1.6" else body
        payload = {"vendorId": vendor, "messageId": message, "data": data}
        _, _, answer = json.loads(self.station.line.answer("m1", "DataTransfer", payload))
        schema(self.station.device.subprotocol, "DataTransfer", answer=True).validate(answer)
        told = answer.get("data")
        return answer["status"], json.loads(told) if isinstance(told, str) else told


@pytest.mark.parametrize("version", DEVICES)
def test_a_voucher_is_taken_for_the_vehicle_that_is_there(version: str) -> None:
    scene = Scene(version)

    assert scene.ask() == ("Accepted", {"v": 1, "id": ID})

    assert scene.handover.delivered == {ID: Delivered(EVCC, "eyJ.eyJ.c2ln")} and scene.told == [ID]


@pytest.mark.parametrize("version", DEVICES)
def test_the_same_delivery_again_gets_the_same_answer_and_is_taken_once(version: str) -> None:
    scene = Scene(version)
    scene.ask()

    assert scene.ask(voucher="other") == ("Accepted", {"v": 1, "id": ID, "dup": True})

    assert scene.handover.delivered[ID].document == "eyJ.eyJ.c2ln" and scene.told == [ID]


@pytest.mark.parametrize("version", DEVICES)
@pytest.mark.parametrize(
    "vehicle",
    [{"type": "EVCCID", "value": "BA...10"}, {"type": "MAC", "value": "01...AB"}, {"type": "EVCCID", "value": "01"}, 7],
)
def test_for_a_vehicle_that_is_not_there_it_is_rejected(version: str, vehicle: Any) -> None:
    scene = Scene(version)

    assert scene.ask(vehicle=vehicle) == ("Rejected", {"v": 1, "id": ID, "err": "UnknownVehicle"})

    assert scene.handover.delivered == {} and scene.told == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"exp": "2026-11-20T12:00:00Z"}, "GrantExpired"),
        ({"v": 2}, "BadVersion"),
        ({"ts": None}, "BadPayload"),
        ({"voucher": ""}, "BadPayload"),
        ({"voucher": "x" * (VOUCHER_LENGTH_MAX + 1)}, "BadPayload"),
        ({"voucher": None}, "BadPayload"),
    ],
)
def test_what_comes_too_late_or_is_no_delivery_is_rejected(changes: dict[str, Any], error: str) -> None:
    scene = Scene()

    status, data = scene.ask(**changes)

    assert (status, data["err"], scene.handover.delivered) == ("Rejected", error, {})


def test_everything_else_is_answered_as_by_any_station() -> None:
    scene = Scene()
    assert scene.ask("Door.Open")[0] == "UnknownVendorId" == scene.ask(vendor="org.other")[0]
