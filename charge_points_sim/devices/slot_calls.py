"""Calls of OCPP itself that a battery station understands: how packs are charged, what is where, and swaps (2.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from charge_points_sim.devices.device import Heard, Message, Payload
from charge_points_sim.devices.memory import Answered
from charge_points_sim.devices.swap_words import inventory

if TYPE_CHECKING:
    from charge_points_sim.devices.battery_station import BatteryStation

UNKNOWN_VENDOR = '{"status":"UnknownVendorId"}'
TARGET = "targetsoc"
"""The setting that says how full packs become, in percent; its case is written in several ways."""


class SlotCalls:
    """Answers calls for its station."""

    def __init__(self, station: BatteryStation) -> None:
        self._of = station

    def hear(self, action: str, payload: Payload) -> str | None:
        """The result of a call as JSON text; None: not one of these."""
        charging = self._of.charging
        match action:
            case "SetChargingProfile":
                return _status("Accepted" if charging.set_profile(payload) else "Rejected")
            case "ClearChargingProfile":
                return _status("Accepted" if charging.clear_profiles(payload) else "Unknown")
            case "ChangeConfiguration" if str(payload.get("key")).casefold() == TARGET:
                return _status("Accepted" if self._set_target(payload.get("value")) else "Rejected")
            case "SetVariables":
                return self._set_variables(payload)
            case "DataTransfer" if self._of.traits.native_only:
                return UNKNOWN_VENDOR
            case "GetBaseReport" if self._of.native:
                report = inventory(payload["requestId"], self._of.now(), [*self._of.slots.values()])
                self._of.station.send(Message("NotifyReport", lambda: json.dumps(report)))
                return _status("Accepted")
            case "RequestBatterySwap" if self._of.native:
                return self._request_swap(payload)
            case _:
                return None

    def _request_swap(self, payload: Payload) -> str:
        """It has no id but its number, and does not expire; asked again it is answered as before."""
        of, rid = self._of, int(payload["requestId"])
        id, now = f"swap-{rid}", of.now()
        known = of.memory.answer(id, now)
        if known is not None:
            return _status(known.status, known.data.get("err"))
        wanted = of.traits.packs_per_swap
        error = of.no_room(wanted)
        if error is None and of.traits.native_only and len(of.full) < wanted:
            error = "NoBatteryAvailable"
        answer = Answered(now, "Rejected" if error else "Accepted", {"err": error} if error else {})
        of.memory.answered(id, answer)
        if error is None:
            token = payload["idToken"]
            of.await_packs(of.swaps.of(rid, token["idToken"], token["type"]), of.empty[:wanted], id)
        return _status(answer.status, error)

    def _set_variables(self, payload: Payload) -> str | None:
        """As any station, but that TargetSoC is known."""
        asked = self._of.station.device.read_call("SetVariables", payload)
        if not isinstance(asked, Heard):
            return None
        results = json.loads(asked.answer)["setVariableResult"]
        for result, setting in zip(results, payload["setVariableData"], strict=True):
            if setting["variable"]["name"].casefold() == TARGET:
                good = self._set_target(setting["attributeValue"])
                result["attributeStatus"] = "Accepted" if good else "Rejected"
        return json.dumps({"setVariableResult": results})

    def _set_target(self, percent: Any) -> bool:
        try:
            soc = round(float(percent) * 100)
        except (TypeError, ValueError):
            return False
        if not 0 < soc <= 10_000:
            return False
        self._of.charging.target_soc = soc
        return True


def _status(status: str, reason: str | None = None) -> str:
    answer: dict[str, Any] = {"status": status}
    return json.dumps(answer if reason is None else answer | {"statusInfo": {"reasonCode": reason}})
