"""A station of OCPP 2.1: as 2.0.1, with what 2.1 says differently; and one that keeps limits of sessions itself."""

from __future__ import annotations

import json
from dataclasses import replace

from charge_points_sim.devices import v201
from charge_points_sim.devices.device import Asked, Heard, Payload
from charge_points_sim.session import Limit

ANNOUNCED = "MaxEnergy,MaxTime"
"""`TxCtrlr.SupportedLimits` of the station that keeps limits."""


def read_limit(answer: Payload) -> Limit | None:
    """`transactionLimit` of a TransactionEventResponse. A cost is no limit to a station that knows no tariff."""
    told = answer.get("transactionLimit")
    if told is None:
        return None
    energy, seconds = told.get("maxEnergy"), told.get("maxTime")
    return Limit(None if energy is None else int(energy), None if seconds is None else int(seconds))


def read_call(action: str, payload: Payload) -> Asked:
    """What the system asks; it may ask which limits are kept."""
    asked = v201.read_call(action, payload)
    if action != "GetVariables" or not isinstance(asked, Heard):
        return asked
    results = json.loads(asked.answer)["getVariableResult"]
    for result in results:
        if (result["component"]["name"], result["variable"]["name"]) == ("TxCtrlr", "SupportedLimits"):
            result |= {"attributeStatus": "Accepted", "attributeValue": ANNOUNCED}
    return Heard(json.dumps({"getVariableResult": results}))


DEVICE = replace(v201.DEVICE, version="2.1", subprotocol="ocpp2.1")
LIMITING = replace(DEVICE, read_limit=read_limit, read_call=read_call)
