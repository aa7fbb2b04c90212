"""How a station tells what became of packs: in the words of `org.csms.assets`, or of OCPP 2.1 itself (BatterySwap)."""

from __future__ import annotations

from typing import Any, Literal

from charge_points_sim.devices.outbox import Outbox
from charge_points_sim.devices.slots import Slot
from charge_points_sim.devices.swaps import Swap
from charge_points_sim.devices.v201 import TOKEN_TYPES
from charge_points_sim.times import wire

What = Literal["in", "out", "timeout"]
VENDOR = {"in": "Battery.Inserted", "out": "Battery.Released", "timeout": "Battery.ReleaseTimeout"}
NATIVE = {"in": "BatteryIn", "out": "BatteryOut", "timeout": "BatteryOutTimeout"}
NOBODY = {"idToken": "", "type": "NoAuthorization"}
"""BatterySwap needs a token, even where nobody showed one: the pack says whose it is."""


def tell(outbox: Outbox, native: bool, what: What, swap: Swap, slots: list[dict[str, Any]]) -> None:
    """Tells one step of a swap; `slots` are {u, battery}."""
    if native:
        outbox.call("BatterySwap", swapped(what, swap, slots))
        return
    token = {} if swap.token is None else {"token": swap.token}
    outbox.tell(VENDOR[what], {"rid": swap.rid, **token, "slots": slots})


def swapped(what: What, swap: Swap, slots: list[dict[str, Any]]) -> dict[str, Any]:
    """The payload of BatterySwap."""
    token = NOBODY
    if swap.token is not None:
        token = {"idToken": swap.token, "type": TOKEN_TYPES.get(swap.token_type, swap.token_type)}
    return {
        "eventType": NATIVE[what],
        "requestId": swap.rid,
        "idToken": token,
        "batteryData": [_battery_data(**slot) for slot in slots],
    }


def _battery_data(u: int, battery: dict[str, Any]) -> dict[str, Any]:
    data = {
        "evseId": u,
        "serialNumber": battery["serial"],
        "soC": battery["soc"] / 100,
        "soH": battery["soh"] / 100,
    }
    return data | {"productionDate": f"{battery['made']}T00:00:00Z"} if "made" in battery else data


def inventory(request_id: int, at: int, slots: list[Slot]) -> dict[str, Any]:
    """NotifyReport of what stands where, in the words of the device model of 2.1."""
    entries = []
    for slot in slots:
        status = "Available" if slot.seen is None else "Occupied"
        entries.append(_variable("Connector", "SlotStatus", slot.number, status))
        if slot.pack is not None:
            battery = slot.battery()
            told = {
                "SerialNumber": battery["serial"],
                "StateOfCharge": battery["soc"] / 100,
                "StateOfHealth": battery["soh"] / 100,
                "Temperature": battery["temp"],
                "Capacity": battery["capacity"],
            }
            entries += [_variable("BatteryCartridge", name, slot.number, str(value)) for name, value in told.items()]
    return {"requestId": request_id, "generatedAt": wire(at), "seqNo": 0, "tbc": False, "reportData": entries}


def _variable(component: str, variable: str, u: int, value: str) -> dict[str, Any]:
    unit = {"Capacity": {"unit": "Wh"}}.get(variable, {})
    return {
        "component": {"name": component, "evse": {"id": u}},
        "variable": {"name": variable},
        "variableAttribute": [{"type": "Actual", "value": value, "mutability": "ReadOnly"}],
        "variableCharacteristics": {"dataType": "string", "supportsMonitoring": False, **unit},
    }
